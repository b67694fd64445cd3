"""Which calibration frames drift is judged by."""

from __future__ import annotations

import math

import numpy as np

from open_set_seg.frame import Prediction
from open_set_seg.monitoring.summaries import (
    LEAST_FRAMES,
    STRIDE,
    DriftReference,
    ScoreSummary,
    summarise,
)

# Above it the rank of a new frame is known well enough, and a file of them stays small (ours).
MOST_FRAMES = 5000
# Of the first frame, where a score brings no threshold of its own.
FIRST_QUANTILE = 0.99


class ReferenceFrames:
    """Collects summaries of calibration frames that lie as far apart as the judged ones will.

    Args:
        threshold: by which ``unknown_share`` is taken, the model's own; None: the 99 % quantile of
            the first frame's scores. The calibrated one will not do: it is known only at the end,
            and leaves nothing above it in most of the frames.
        interval_s: of frames of one recording, as ``DriftConfig.interval_s``; 0: take every frame.
    """

    def __init__(self, threshold: float | None, interval_s: float) -> None:
        self._threshold, self._interval_ns = threshold, interval_s * 1e9
        self._summaries: list[ScoreSummary] = []
        self._last: tuple[int, int] | None = None

    def add(self, prediction: Prediction, stamp_ns: int, recording: int = 0) -> None:
        """Take a frame, unless the one taken before is of the same recording and too near."""
        before, since = self._last or (None, 0)
        if before == recording and 0 <= stamp_ns - since < self._interval_ns:
            return
        self._last = recording, stamp_ns
        if self._threshold is None:
            sample = prediction.anomaly[::STRIDE, ::STRIDE]
            self._threshold = float(np.quantile(sample, FIRST_QUANTILE))
        self._summaries.append(summarise(prediction, self._threshold))

    def __len__(self) -> int:
        return len(self._summaries)

    def reference(self) -> DriftReference | None:
        """Of the frames so far, evenly thinned to 5000; None with fewer than 20."""
        if len(self._summaries) < LEAST_FRAMES or self._threshold is None:
            return None
        step = math.ceil(len(self._summaries) / MOST_FRAMES)
        return DriftReference.of_summaries(self._summaries[::step], self._threshold)

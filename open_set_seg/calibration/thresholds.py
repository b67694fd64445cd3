"""Statistics of frames become a threshold with a promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from open_set_seg.calibration.bounds import CalibrationError, allowed_alarms, needed_samples
from open_set_seg.calibration.segments import Segments, are_alike, find_segments
from open_set_seg.calibration.statistic import Band, FrameStatistic
from open_set_seg.metrics import ScoreCounts

Unit = Literal["frame", "segment"]
Rule = Literal["tolerance", "expected_rate", "true_positive_rate", "best_f1"]


@dataclass(frozen=True)
class BandThreshold:
    """A threshold for obstacles of some distances alone.

    Attributes:
        near, far: [near, far) in metres.
        samples: independent ones that show ground at these distances.
        threshold: None where they are too few: there the threshold for all distances holds, because
            an obstacle in the band is an obstacle.
    """

    near: float
    far: float
    samples: int
    threshold: float | None


@dataclass(frozen=True)
class Threshold:
    """A threshold and what it rests on; ``describe_promise`` says what it is worth.

    Attributes:
        value: pixels whose anomaly is above it are unknown; in [0, 1), a float32.
        rule: how it was chosen: ``tolerance``: the rate of false alarms is at most ``target`` with
            ``confidence``; ``expected_rate``: on average over calibrations; ``true_positive_rate``:
            the highest at which a share ``target`` of the unknown pixels is found; ``best_f1``:
            best F1 of pixels.
        target: see ``rule``; None for ``best_f1``.
        confidence: for ``tolerance`` alone.
        unit: what the rate is a share of; None for the rules of pixels.
        samples: independent frames or segments; for the rules of pixels unknown pixels.
        alarms: how many of the samples still alarm at ``value``.
        frames: that were looked at.
        segment_frames: frames in a segment; 1 for independent frames.
        segment_seconds: their duration; None where it is not known.
        autocorrelation_time: of the frame statistic, frames; None for independent frames.
        bands: thresholds for single distances.
    """

    value: float
    rule: Rule
    target: float | None
    confidence: float | None
    unit: Unit | None
    samples: int
    alarms: int
    frames: int
    segment_frames: int = 1
    segment_seconds: float | None = None
    autocorrelation_time: float | None = None
    bands: tuple[BandThreshold, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.value < 1 or float(np.float32(self.value)) != self.value:
            raise CalibrationError(
                f"expected a threshold in [0, 1) that is a float32, found {self.value!r}"
            )
        if self.rule in ("tolerance", "expected_rate"):
            self._check_rate()

    def _check_rate(self) -> None:
        if self.target is None or self.unit not in get_args(Unit):
            raise CalibrationError(f"the rule {self.rule} needs a target, and frames or segments")
        if (self.confidence is None) != (self.rule == "expected_rate"):
            raise CalibrationError("expected a confidence with the rule tolerance, and only there")
        allowed = allowed_alarms(self.samples, self.target, self.confidence)
        if allowed is None or not 0 <= self.alarms <= allowed:
            raise CalibrationError(
                f"{self.alarms} alarms among {self.samples} samples do not carry the promise of "
                f"a rate of {self.target:g}"
            )


def calibrate_threshold(
    frames: Sequence[FrameStatistic],
    target: float = 0.05,
    confidence: float | None = 0.95,
    per: Unit = "frame",
    *,
    video: bool = False,
    shortest: int = 1,
    bands: Sequence[Band] = (),
) -> Threshold:
    """The lowest threshold that keeps a rate of false alarms, by an order statistic.

    Samples are frames that are independent of each other, or from video, where neighbours are not,
    one a segment (``segments.find_segments``): the largest statistic of its frames for a promise
    per segment, that of its middle frame for a promise per frame. The threshold is S_(n - r) of n
    samples, r from ``bounds.tolerated_alarms``, or without confidence ``expected_alarms``: a frame
    alarms if its statistic is *above* it, so ties err on the safe side.

    Args:
        frames: without anything unknown, of the domain of the later use; of a video in the order
            of time.
        target: largest rate of false alarms.
        confidence: that the rate is kept, over calibrations; None: it is kept on average.
        per: whose share the rate is. Segments are video.
        video: whether neighbouring frames resemble each other.
        shortest: fewest frames of a segment.
        bands: [near, far) metres, those of the frames' ``bands``; each gets a threshold of its own
            where enough samples show it. Their confidence is for each one, not for all together.

    Raises:
        CalibrationError: too few independent samples; frames that are given as independent but
            resemble their neighbours; or frames without anything unknown that have the score 1.
    """
    needed_samples(target, confidence)  # refuses a target that nobody can promise
    segments = find_segments(frames, shortest) if video or per == "segment" else None
    if segments is None and are_alike([np.array([frame.score for frame in frames])]):
        raise CalibrationError(
            f"neighbours among the {len(frames)} frames resemble each other, so they are not as "
            "many independent samples: calibrate per segment, or with single pictures"
        )
    samples = _samples(frames, segments, per)
    value = _threshold([frame.score for frame in samples], target, confidence)
    if value is None:
        needed = needed_samples(target, confidence)
        raise CalibrationError(_too_few(len(samples), needed, segments, target, confidence))
    if value >= 1:
        raise CalibrationError(
            "too many frames without anything unknown score 1 somewhere: no threshold below 1 "
            f"keeps a rate of {target:g}; another score or a larger smallest area may"
        )
    return Threshold(
        value=value,
        rule="expected_rate" if confidence is None else "tolerance",
        target=target,
        confidence=confidence,
        unit=per,
        samples=len(samples),
        alarms=sum(frame.score > value for frame in samples),
        frames=len(frames),
        segment_frames=1 if segments is None else segments.length,
        segment_seconds=None if segments is None or not segments.seconds > 0 else segments.seconds,
        autocorrelation_time=None if segments is None else segments.autocorrelation_time,
        bands=tuple(
            _band_threshold(band, [frame.bands[number] for frame in samples], target, confidence)
            for number, band in enumerate(bands)
        ),
    )


def threshold_at_rate(counts: ScoreCounts, rate: float) -> Threshold:
    """The highest threshold at which at least a share ``rate`` of the unknown pixels is above it.

    From labelled data; nothing is promised of false alarms, nor of other data.

    Raises:
        CalibrationError: no unknown pixel was counted, or a rate outside (0, 1].
    """
    if not 0 < rate <= 1 or not counts.outliers:
        raise CalibrationError(
            f"expected a rate in (0, 1] and unknown pixels, found {rate} and {counts.outliers}"
        )
    return _of_pixels(counts, counts.threshold_at_tpr(rate), "true_positive_rate", rate)


def threshold_at_best_f1(counts: ScoreCounts) -> Threshold:
    """The threshold at which the F1 of labelled pixels is best; as ``threshold_at_rate``."""
    if not counts.outliers or not counts.inliers:
        raise CalibrationError("the best F1 needs known and unknown pixels in the labels")
    return _of_pixels(counts, counts.metrics()["best_F1_threshold"], "best_f1", None)


def _of_pixels(counts: ScoreCounts, score: float, rule: Rule, target: float | None) -> Threshold:
    # The curve counts scores of ``score`` and above, a threshold those above it.
    below = float(np.nextafter(np.float32(score), np.float32(-1)))
    if below < 0:
        raise CalibrationError(
            "so many unknown pixels score 0 that no threshold reaches them: none in [0, 1] is it"
        )
    return Threshold(below, rule, target, None, None, counts.outliers, 0, 0)


def _samples(
    frames: Sequence[FrameStatistic], segments: Segments | None, per: Unit
) -> list[FrameStatistic]:
    if segments is None:
        return list(frames)
    if per == "frame":
        return [block[len(block) // 2] for block in segments.blocks]
    return [_merge(block) for block in segments.blocks]


def _merge(block: Sequence[FrameStatistic]) -> FrameStatistic:
    """The block as one frame: it alarms where one of its frames does."""
    bands = []
    for scores in zip(*(frame.bands for frame in block), strict=True):
        seen = [score for score in scores if score is not None]
        bands.append(max(seen) if seen else None)
    return FrameStatistic(
        max(frame.score for frame in block), block[0].stamp_ns, block[0].recording, tuple(bands)
    )


def _threshold(scores: Sequence[float], target: float, confidence: float | None) -> float | None:
    allowed = allowed_alarms(len(scores), target, confidence)
    if allowed is None:
        return None
    score = sorted(scores)[len(scores) - 1 - allowed]
    # Scores are compared as float32, so the threshold is one: rounded up if at all, to stay safe.
    rounded = np.float32(score)
    return float(rounded if float(rounded) >= score else np.nextafter(rounded, np.float32(2)))


def _band_threshold(
    band: Band, scores: Sequence[float | None], target: float, confidence: float | None
) -> BandThreshold:
    seen = [score for score in scores if score is not None]
    found = _threshold(seen, target, confidence)
    return BandThreshold(*band, len(seen), None if found is None or found >= 1 else found)


def _too_few(
    found: int, needed: int, segments: Segments | None, target: float, confidence: float | None
) -> str:
    sure = "on average" if confidence is None else f"with {confidence:.4g} confidence"
    promise = f"a rate of {target:g} {sure} takes {needed} independent"
    if segments is None:
        return f"{promise} frames, found {found}"
    duration = f" ({segments.seconds:.3g} s)" if segments.seconds > 0 else ""
    return (
        f"{promise} segments, found {found}: neighbouring frames resemble each other over "
        f"{segments.autocorrelation_time:.3g} frames, so that a segment takes "
        f"{segments.length}{duration}, and {needed} of them {needed * segments.length} frames"
    )

"""How recordings are processed."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from open_set_seg.backends import AUTOMATIC, Precision
from open_set_seg.bags import FrameTopics
from open_set_seg.bags.outputs import OUTPUTS
from open_set_seg.bags.writing import Storage
from open_set_seg.calibration import calibration_path
from open_set_seg.checkpoint import DEMO_CHECKPOINT
from open_set_seg.files import hash_file
from open_set_seg.observer import AUTOMATIC_CALIBRATION, ObserverConfig, find_calibration
from open_set_seg.processing.json_form import to_json

VideoCodec = Literal["mp4v", "vp09"]
REPORT_EXTRA = "pip install 'open_set_seg[report]'"


@dataclass(frozen=True)
class ProcessConfig:
    """How recordings are processed.

    Args:
        model: file of the network.
        observer: threshold, range, ground, tracking and monitoring, as the node has them.
        device, precision, backend, score, calibration: as for ``Observer.from_checkpoint``.
        threads: that each process computes with; None: PyTorch's choice, all cores.
        topics: what makes up the frames.
        tolerance_s: largest difference of image and range stamps, seconds.
        outputs: what the output recording holds, names in ``OUTPUTS``; none: no such recording.
        with_inputs: whether it holds the messages that it was made of, too.
        storage: of the output recording.
        codec: of the video, MPEG-4 (fast) or VP9 (plays in browsers); None: no video.
        video_scale: size of the video relative to the image.
        parquet: whether tables are also written as Parquet; None: where pyarrow is installed.
        report: whether there is a page to read; None: where matplotlib and Jinja2 are installed.

    Raises:
        ValueError: an output without a name in ``OUTPUTS``, or a number out of its range.
    """

    model: Path = DEMO_CHECKPOINT
    observer: ObserverConfig = field(default_factory=ObserverConfig)
    device: str = "auto"
    precision: Precision = "auto"
    backend: str = AUTOMATIC
    score: str | None = None
    calibration: str | Path | None = AUTOMATIC_CALIBRATION
    threads: int | None = None
    topics: FrameTopics = field(default_factory=FrameTopics)
    tolerance_s: float = 0.01
    outputs: tuple[str, ...] = ("obstacles", "segmentation")
    with_inputs: bool = False
    storage: Storage = "mcap"
    codec: VideoCodec | None = "mp4v"
    video_scale: float = 1.0
    parquet: bool | None = None
    report: bool | None = None

    def __post_init__(self) -> None:
        unknown = sorted(set(self.outputs) - set(OUTPUTS))
        if unknown:
            known = ", ".join(OUTPUTS)
            raise ValueError(f"expected outputs among {known}, found {', '.join(unknown)}")
        if not 0 < self.video_scale <= 1:
            raise ValueError(f"video_scale must be in (0, 1], not {self.video_scale}")
        if not 0 <= self.tolerance_s < math.inf:
            raise ValueError(f"tolerance_s must be 0 or more seconds, not {self.tolerance_s}")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads must be at least 1, not {self.threads}")

    @property
    def makes_report(self) -> bool:
        """Whether there will be a page to read."""
        return report_is_available() if self.report is None else self.report

    def describe(self) -> dict[str, Any]:
        """All of it as a JSON object, files by their content: equal where results are to be equal.

        Raises:
            OSError: the model cannot be read.
            CalibrationError: as ``find_calibration``.
        """
        settings: dict[str, Any] = to_json(replace(self, model=Path(), calibration=None))
        return {
            **settings,
            "model": self.model.name,
            "model_file_sha256": hash_file(self.model),
            "calibration_file_sha256": self._hash_calibration(),
        }

    def _hash_calibration(self) -> str | None:
        if find_calibration(self.model, self.calibration) is None:
            return None
        named = self.calibration not in (None, AUTOMATIC_CALIBRATION)
        path = Path(str(self.calibration)) if named else calibration_path(self.model)
        return hash_file(path.expanduser())


def report_is_available() -> bool:
    """Whether matplotlib and Jinja2 are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("matplotlib", "jinja2"))

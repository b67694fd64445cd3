"""Which threshold is in use, where it is from, and what it is worth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from open_set_seg.calibration import (
    Calibration,
    CalibrationError,
    Conditions,
    calibration_path,
    load_calibration,
)
from open_set_seg.detector import DetectorConfig

AUTOMATIC_CALIBRATION = "auto"
ThresholdSource = Literal["given", "calibration", "model"]


@dataclass(frozen=True)
class OperatingPoint:
    """The threshold in use.

    Attributes:
        threshold: in [0, 1]; None: the model's own.
        source: ``given`` by the user, of a ``calibration``, or the ``model``'s own.
        promise: what is known of its false alarms, in one sentence.
    """

    threshold: float | None
    source: ThresholdSource
    promise: str

    @classmethod
    def choose(cls, given: float | None, calibration: Calibration | None) -> OperatingPoint:
        """The user's threshold before the calibration's before the model's."""
        if given is not None:
            return cls(given, "given", "No promise about false alarms: the threshold was given.")
        if calibration is not None:
            return cls(calibration.threshold.value, "calibration", calibration.promise)
        return cls(
            None,
            "model",
            "No promise about false alarms: the model's own threshold, which nothing was "
            "calibrated for.",
        )


def find_calibration(model: Path, choice: str | Path | None) -> Calibration | None:
    """The calibration to use with a model file.

    Args:
        choice: ``auto``: the file beside the model, if there is one; a path; None: none.

    Raises:
        CalibrationError: a file that was named is not there, or one that is no calibration.
    """
    if choice is None:
        return None
    if choice != AUTOMATIC_CALIBRATION:
        return load_calibration(Path(choice).expanduser())
    beside = calibration_path(model)
    return load_calibration(beside) if beside.exists() else None


def check_conditions(calibration: Calibration, segmenter: Any, config: DetectorConfig) -> None:
    """Refuse a calibration of another network, score or configuration.

    A threshold that the user gave promises nothing, so that only what drift is judged by has to
    agree: the network and its score.

    Args:
        segmenter: with ``metadata`` and ``scoring``, as ``OpenSetSegmenter`` has them.

    Raises:
        CalibrationError: names what differs, both values, and the ways out.
    """
    found = Conditions.of(
        segmenter.metadata, segmenter.scoring, config.obstacles, config.ground, config.range
    )
    if config.threshold is not None:
        made = calibration.conditions
        found = replace(found, obstacles=made.obstacles, ground=made.ground, range=made.range)
    try:
        calibration.require(found)
    except CalibrationError as error:
        raise CalibrationError(
            f"{error}, give a threshold of your own, or turn the calibration off"
        ) from None

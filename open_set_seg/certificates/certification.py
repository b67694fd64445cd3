"""Compares two segmenters on a calibration set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from open_set_seg.certificates.calibration import CalibrationFrame, CalibrationSet
from open_set_seg.certificates.certificate import Certificate, hash_files
from open_set_seg.certificates.comparison import Comparison, Figures
from open_set_seg.certificates.limits import Limits
from open_set_seg.checkpoint import CheckpointMetadata
from open_set_seg.checkpoint.json_form import metadata_to_json
from open_set_seg.label_spaces import LabelSpace
from open_set_seg.segmenter import OpenSetSegmenter


@dataclass(frozen=True)
class Setting:
    """A segmenter and where it came from.

    Attributes:
        segmenter: ready to answer.
        files: that it was made of.
        precision: of weights and arithmetic, in a word.
        quantised_on: the frames that chose the ranges of its integers, in words; None: no integers.
    """

    segmenter: OpenSetSegmenter
    files: tuple[Path, ...]
    precision: str
    quantised_on: str | None = None

    def describe(self) -> dict[str, Any]:
        """For the certificate."""
        found = {
            "files": hash_files(self.files),
            "weights_sha256": self.segmenter.metadata.weights_sha256,
            "runs_on": self.segmenter.device_description,
            "precision": self.precision,
        }
        quantised = {} if self.quantised_on is None else {"quantised_on": self.quantised_on}
        return {**found, **quantised}


def certify(
    reference: Setting,
    candidate: Setting,
    calibration: CalibrationSet,
    limits: Limits,
    frames: Iterable[CalibrationFrame] | None = None,
) -> Certificate:
    """What changes between two networks with the same score and the same frozen threshold.

    Args:
        reference: the original, in float32.
        candidate: the changed one.
        calibration: what they look at.
        limits: that are to hold.
        frames: those of ``calibration``, as something that shows progress.

    Raises:
        ValueError: two networks that do not belong together, or no frames.
    """
    before, after = reference.segmenter, candidate.segmenter
    check_kinship(before.metadata, after.metadata)
    comparison = Comparison(before.label_space, calibration.label_space)
    for frame in calibration if frames is None else frames:
        answers = (before.segment(frame.image), after.segment(frame.image))
        comparison.add(*answers, frame.labels)
    figures = comparison.figures()
    metadata = before.metadata
    return Certificate(
        reference=reference.describe(),
        candidate=candidate.describe(),
        calibration=calibration.description,
        score=f"{metadata.score}, temperature {metadata.temperature:g}",
        threshold=metadata.threshold,
        figures=figures,
        not_given=tuple(_missing(figures, before.label_space, calibration.label_space)),
        limits=limits,
    )


def check_kinship(reference: CheckpointMetadata, candidate: CheckpointMetadata) -> None:
    """Raise ``ValueError`` unless two files say the same about the same weights."""
    expected, found = metadata_to_json(reference), metadata_to_json(candidate)
    differing = [name for name in expected if expected[name] != found[name]]
    if differing:
        raise ValueError(
            "expected two files of one network, found that they differ in "
            f"{', '.join(differing)}: export the checkpoint again"
        )


def _missing(figures: Figures, known: LabelSpace, truth: LabelSpace | None) -> Iterable[str]:
    quality: Mapping[str, float | None] = vars(figures.reference)
    if truth is None:
        yield "AP, FPR95 and mIoU: the pictures have no truth"
    elif truth.classes != known.classes:
        yield f"mIoU: the network knows {known.name}, the truth is of {truth.name}"
    elif quality["miou"] is None:
        yield "mIoU: no pixel of a known class is in the frames"
    if truth is not None and quality["ap"] is None:
        yield "AP and FPR95: the frames do not hold both known and unknown pixels"

"""The model file, its calibration and its certificate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from open_set_seg.doctor.findings import Finding, error, fine, note, warning

if TYPE_CHECKING:
    from open_set_seg.calibration import Conditions
    from open_set_seg.checkpoint import CheckpointMetadata


@dataclass(frozen=True)
class ModelFiles:
    """What the node would load.

    Attributes:
        path: of the model.
        calibration: of its calibration; None: beside the model, where there is one; ``off``: it
            is not used.
    """

    path: Path
    calibration: Path | Literal["off"] | None = None


def check_checkpoint(files: ModelFiles) -> Iterator[Finding]:
    """The file opens as what it is, whole and unchanged."""
    try:
        metadata, kind = _read(files.path)
    except (ValueError, OSError) as failure:
        yield error(
            f"{files.path} cannot be used: {failure}",
            "copy it again (the SHA-256 must match), or name another: --model FILE, and "
            "model:=FILE for the node",
        )
        return
    rule = f" ({metadata.threshold_rule})" if metadata.threshold_rule else ""
    digest = f", SHA-256 {metadata.weights_sha256[:12]}..." if metadata.weights_sha256 else ""
    yield fine(
        f"{files.path.name}: {kind}, {metadata.architecture}, "
        f"{metadata.label_space.num_classes} classes of {metadata.label_space.name}, "
        f"score {metadata.score}, threshold {metadata.threshold:g}{rule}{digest}"
    )
    if metadata.label_space.num_classes < 2:
        yield warning(
            "the model knows fewer than two classes, so that no score of doubt can be computed",
            "train or describe a model with more classes",
        )


def check_calibration(files: ModelFiles) -> Iterator[Finding]:
    """The calibration belongs to this model, and carries what drift is measured against."""
    from open_set_seg.calibration import (
        CalibrationError,
        calibration_path,
        load_calibration,
    )

    if files.calibration == "off":
        yield note("the calibration is off: the threshold promises nothing about false alarms")
        return
    path = files.calibration or calibration_path(files.path)
    again = f"open-set-seg calibrate {files.path} RECORDING..."
    if files.calibration is None and not path.exists():
        yield note(
            f"no calibration lies beside the model ({path.name}): the threshold promises nothing "
            "about false alarms, and drift cannot be told",
            f"{again} (docs/calibration.md)",
        )
        return
    try:
        calibration = load_calibration(path)
    except (CalibrationError, OSError) as failure:
        yield error(f"the calibration cannot be used: {failure}", again)
        return
    try:
        metadata, _ = _read(files.path)
    except (ValueError, OSError):
        yield note("the calibration is not compared: the model itself cannot be read")
        return
    found, mine = _conditions(metadata), calibration.conditions
    same_settings = replace(found, obstacles=mine.obstacles, ground=mine.ground, range=mine.range)
    try:
        mine.require(same_settings)
    except CalibrationError as failure:
        yield error(f"{path.name} is not of this model: {failure}", again)
        return
    try:
        mine.require(found)
    except CalibrationError as failure:
        yield warning(
            f"{path.name} was made with other than the default settings: {failure}",
            "give the node the same settings (--params-file), or calibrate with the defaults",
        )
    yield fine(f"{path.name}: {calibration.promise}")
    if calibration.drift_reference is None:
        yield note(
            f"{path.name} holds no reference for the drift monitor: nobody will notice a domain "
            "that it was not calibrated in",
            again,
        )


def check_certificate(files: ModelFiles) -> Iterator[Finding]:
    """An exported file carries a certificate that it answers as its checkpoint did."""
    from open_set_seg.checkpoint import is_exported, read_exported

    if not is_exported(files.path):
        return
    try:
        certificate = read_exported(files.path).certificate
    except (ValueError, OSError):
        return  # check_checkpoint has said so
    if certificate is None:
        yield warning(
            f"{files.path.name} carries no certificate: nobody has compared it with its checkpoint",
            f"open-set-seg export CHECKPOINT -o {files.path} --size WxH",
        )
        return
    verdict = certificate.get("verdict")
    broken = "; ".join(map(str, certificate.get("broken_limits") or ()))
    if verdict != "passed":
        yield error(
            f"{files.path.name} answers differently from its checkpoint: {broken or verdict}",
            "export it in another precision: open-set-seg export CHECKPOINT -o FILE "
            "--precision fp32 --size WxH",
        )
        return
    yield fine(
        f"{files.path.name} is certified: compared on {certificate.get('calibration', 'unknown')}"
    )


def _read(path: Path) -> tuple[CheckpointMetadata, str]:
    """Metadata of a model file and its kind in words; reads and hashes the weights."""
    import torch

    from open_set_seg.checkpoint import is_exported, read_exported
    from open_set_seg.opening import open_model

    if is_exported(path):
        exported = read_exported(path)
        precision = exported.settings.get("precision", "of unknown precision")
        return exported.metadata, f"exported to {exported.format} ({precision})"
    opened = open_model(path, torch.device("cpu"))
    return opened.metadata, "checkpoint" if opened.metadata.weights_sha256 else "described network"


def _conditions(metadata: CheckpointMetadata) -> Conditions:
    """Those of a node with this model and default settings."""
    from open_set_seg.calibration import Conditions
    from open_set_seg.ground import GroundConfig
    from open_set_seg.obstacles import ObstacleConfig
    from open_set_seg.scoring import Scoring
    from open_set_seg.stereo import RangeConfig

    own = Scoring.parse(metadata.score)
    warm = own.entry.temperature is not None
    own = replace(own, temperature=metadata.temperature if warm else None)
    return Conditions.of(metadata, own, ObstacleConfig(), GroundConfig(), RangeConfig())

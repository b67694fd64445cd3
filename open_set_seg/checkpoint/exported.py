"""What exported files (ONNX, OpenVINO IR) say about themselves, read without running them.

Both formats have room for text by key. Under ``open_set_seg`` lies what the header of the
checkpoint said, word for word, so that an exported file is complete; beside it how it was exported,
statistics of inlier data, and the certificate.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from open_set_seg.checkpoint.json_form import metadata_from_text, metadata_to_text
from open_set_seg.checkpoint.metadata import CheckpointError, CheckpointMetadata
from open_set_seg.checkpoint.onnx_properties import read_onnx_properties
from open_set_seg.checkpoint.statistics import SHAPES, check_statistics
from open_set_seg.files import hash_file
from open_set_seg.scores import SCORES, ScoreStatistics

METADATA_KEY = "open_set_seg"
SETTINGS_KEY = "open_set_seg_export"
STATISTICS_KEY = "open_set_seg_statistics"
CERTIFICATE_KEY = "open_set_seg_certificate"
# In the settings: SHA-256 of the .bin that belongs to an .xml.
WEIGHTS_HASH = "weights_file_sha256"


class ExportedFile(NamedTuple):
    """What an exported file says.

    Attributes:
        format: ``onnx`` or ``openvino``.
        metadata: of the checkpoint that it was made of.
        settings: how it was exported: ``precision``, ``width``, ``height``.
        statistics: of inlier data, those that scores of logits read.
        certificate: as it was written; None without one.
    """

    format: str
    metadata: CheckpointMetadata
    settings: Mapping[str, Any]
    statistics: ScoreStatistics | None
    certificate: Mapping[str, Any] | None


def is_exported(path: Path) -> bool:
    """Whether ``read_exported`` is who should read a file, if only to say what is wrong with it.

    That is every .xml, and every .onnx but sound ones of other programs.
    """
    if path.suffix.lower() != ".onnx":
        return path.suffix.lower() in _FORMATS
    try:
        return METADATA_KEY in read_onnx_properties(path)
    except (ValueError, OSError):
        return True


def read_exported(path: str | Path) -> ExportedFile:
    """What an .onnx or .xml file says about itself; it is not run, and needs no other package.

    Raises:
        CheckpointError: no such file, or one without a checkpoint's metadata; one line.
    """
    path = Path(path)
    name, read = _FORMATS[path.suffix.lower()]
    properties = _read(path, read, name)
    if METADATA_KEY not in properties:
        raise CheckpointError(
            f"expected a file that `open-set-seg export` wrote at {path}, found an {name} file of "
            f"another program: it has no {METADATA_KEY!r} entry"
        )
    metadata = metadata_from_text(properties[METADATA_KEY], str(path))
    settings = _read_object(properties, SETTINGS_KEY, path) or {}
    if WEIGHTS_HASH in settings:
        _check_weights_file(path.with_suffix(".bin"), settings[WEIGHTS_HASH])
    return ExportedFile(
        format=name,
        metadata=metadata,
        settings=settings,
        statistics=_read_statistics(properties, metadata, path),
        certificate=_read_object(properties, CERTIFICATE_KEY, path),
    )


def exported_properties(
    metadata: CheckpointMetadata,
    statistics: ScoreStatistics | None,
    settings: Mapping[str, Any],
) -> dict[str, str]:
    """What a file has to hold, by key; the certificate comes later."""
    found = {METADATA_KEY: metadata_to_text(metadata), SETTINGS_KEY: json.dumps(dict(settings))}
    fitted = {} if statistics is None else statistics.tensors()
    usable = {name: fitted[name].tolist() for name in _statistics_of_logits() if name in fitted}
    return {**found, STATISTICS_KEY: json.dumps(usable)} if usable else found


def _statistics_of_logits() -> list[str]:
    """Fields that scores read which need no more than an exported network gives."""
    scores = [score for score in SCORES.values() if not {"features", "samples"} & {*score.needs}]
    return [name for score in scores for name in score.fields]


def _read(path: Path, read: Callable[[Path], dict[str, str]], name: str) -> dict[str, str]:
    expected = f"expected an {name} file at {path}"
    if path.is_dir() or not path.exists():
        raise CheckpointError(f"{expected}, found {'a directory' if path.is_dir() else 'nothing'}")
    try:
        return read(path)
    except (ValueError, OSError, ElementTree.ParseError) as error:
        raise CheckpointError(f"{expected}, found {error}") from None


def _read_ir_properties(path: Path) -> dict[str, str]:
    root = ElementTree.parse(path).getroot()
    if root.tag != "net":
        raise ValueError(f"XML whose root is {root.tag!r:.40} instead of 'net'")
    return {entry.tag: entry.get("value", "") for entry in root.findall("rt_info/*")}


def _read_object(properties: Mapping[str, str], key: str, path: Path) -> dict[str, Any] | None:
    if key not in properties:
        return None
    try:
        content = json.loads(properties[key])
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"expected JSON under {key!r} in {path}, found {error}") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"expected a JSON object under {key!r} in {path}")
    return content


def _read_statistics(
    properties: Mapping[str, str], metadata: CheckpointMetadata, path: Path
) -> ScoreStatistics | None:
    content = _read_object(properties, STATISTICS_KEY, path)
    if not content:
        return None
    try:
        tensors = {name: torch.tensor(content[name]) for name in content if name in SHAPES}
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"expected numbers as statistics in {path}, found {error}") from None
    statistics = ScoreStatistics.of_tensors(tensors)
    check_statistics(statistics, metadata.label_space.num_classes, None, str(path))
    return statistics


def _check_weights_file(path: Path, expected: Any) -> None:
    try:
        found = hash_file(path)
    except OSError as error:
        raise CheckpointError(
            f"expected the weights at {path}, beside their .xml, found {error}"
        ) from None
    if found != expected:
        raise CheckpointError(
            f"expected weights with SHA-256 {str(expected)[:16]}... in {path}, found "
            f"{found[:16]}...: the file was changed or damaged, or belongs to another .xml"
        )


_FORMATS: dict[str, tuple[str, Callable[[Path], dict[str, str]]]] = {
    ".onnx": ("onnx", read_onnx_properties),
    ".xml": ("openvino", _read_ir_properties),
}

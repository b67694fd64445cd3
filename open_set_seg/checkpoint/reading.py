"""Reading checkpoint files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from open_set_seg.checkpoint.json_form import metadata_from_text
from open_set_seg.checkpoint.metadata import CheckpointError, CheckpointMetadata
from open_set_seg.checkpoint.statistics import PREFIX, statistics_from_state
from open_set_seg.models import WeightsError, build_model
from open_set_seg.models.weights import check_state_dict
from open_set_seg.scores import ScoreStatistics

HEADER_KEY = "open_set_seg"
# Reads the features in every network that gives them: its channels are theirs.
CLASSIFIER = "logits.conv.weight"

_WHAT_IS_EXPECTED = "expected an open_set_seg checkpoint (.safetensors)"
_CODE = "; such files are never opened because they can run code"
_FOREIGN = {
    b"PK\x03\x04": f"a zip archive, as torch.save writes it{_CODE}",
    b"\x80": f"a Python pickle{_CODE}",
    b"\x89HDF": "an HDF5 file",
    b"\x08\x00\x00\x00": "an ONNX file",
}


def load_checkpoint(path: str | Path) -> tuple[nn.Module, CheckpointMetadata]:
    """The network (float32, CPU, evaluation mode) and the metadata of a checkpoint.

    Raises:
        CheckpointError: the file is missing, empty, truncated, of another kind, or contradicts
            itself; the message says what was expected and what was found.
    """
    path = Path(path)
    metadata = read_metadata(path)
    stored = read_weights(path, metadata)
    model = describe_network(metadata, str(path))
    state = {n: t.float() if t.is_floating_point() else t for n, t in stored.items()}
    check_fit(model.state_dict(), state, str(path))
    model.load_state_dict(state)
    return model.eval(), metadata


def load_statistics(path: str | Path) -> ScoreStatistics | None:
    """The statistics of inlier data that a checkpoint carries, on the CPU; None without them.

    Raises:
        CheckpointError: as ``load_checkpoint``, or statistics that cannot be computed with.
    """
    path = Path(path)
    metadata = read_metadata(path)
    state, channels = _read_tensors(path, statistics=True)
    digest = hash_weights(state) if state else ""
    _check_hash("statistics", metadata.statistics_sha256, digest, path)
    return statistics_from_state(state, metadata.label_space.num_classes, channels, str(path))


def read_metadata(path: str | Path) -> CheckpointMetadata:
    """The metadata alone, without reading the weights.

    Raises:
        CheckpointError: as ``load_checkpoint``.
    """
    path = Path(path)
    _check_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{_WHAT_IS_EXPECTED} at {path}, found {error}") from error
    if HEADER_KEY not in header:
        raise CheckpointError(
            f"{_WHAT_IS_EXPECTED} at {path}, found a safetensors file of another program: its "
            f"header has no {HEADER_KEY!r} entry"
        )
    return metadata_from_text(header[HEADER_KEY], str(path))


def hash_weights(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of all tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def read_weights(path: Path, metadata: CheckpointMetadata) -> dict[str, Tensor]:
    """The weights as stored, checked against their hash."""
    stored, _ = _read_tensors(path, statistics=False)
    _check_hash("weights", metadata.weights_sha256, hash_weights(stored), path)
    return stored


def _read_tensors(path: Path, statistics: bool) -> tuple[dict[str, Tensor], int | None]:
    """Tensors of one of the two kinds, and the channels that the classifier reads."""
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            wanted = [name for name in names if name.startswith(PREFIX) == statistics]
            shape = file.get_slice(CLASSIFIER).get_shape() if CLASSIFIER in names else []
            tensors = {name: file.get_tensor(name) for name in wanted}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{_WHAT_IS_EXPECTED} at {path}, found {error}") from error
    return tensors, shape[1] if len(shape) > 1 else None


def _check_hash(kind: str, expected: str, found: str, path: Path) -> None:
    if found != expected:
        raise CheckpointError(
            f"expected {kind} with SHA-256 {_shorten(expected)} in {path}, found "
            f"{_shorten(found)}: the file was changed or damaged"
        )


def _shorten(digest: str) -> str:
    return f"{digest[:16]}..." if digest else "of nothing"


def describe_network(metadata: CheckpointMetadata, source: str) -> nn.Module:
    """A fresh network as ``metadata`` describes it."""
    try:
        return build_model(
            metadata.architecture,
            metadata.label_space.num_classes,
            metadata.width,
            metadata.outlier_head,
        )
    except ValueError as error:
        raise CheckpointError(
            f"expected a network that can be built in {source}, found {error}"
        ) from error


def check_fit(expected: dict[str, Tensor], found: dict[str, Tensor], source: str) -> None:
    """Raise ``CheckpointError`` unless both hold tensors of the same names and shapes."""
    try:
        check_state_dict(expected, found, source)
    except WeightsError as error:
        raise CheckpointError(str(error)) from error


def _check_file(path: Path) -> None:
    """Refuse what is no readable file, and name the kinds of file that are often confused."""
    if path.is_dir():
        raise CheckpointError(f"{_WHAT_IS_EXPECTED} at {path}, found a directory")
    if not path.exists():
        raise CheckpointError(f"{_WHAT_IS_EXPECTED} at {path}, found nothing there")
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise CheckpointError(f"{_WHAT_IS_EXPECTED} at {path}, found {error}") from error
    if not start:
        raise CheckpointError(f"{_WHAT_IS_EXPECTED} at {path}, found an empty file")
    if start[8:] == b"{":
        return  # eight bytes of length, then a JSON object: so begins a safetensors file
    for magic, kind in _FOREIGN.items():
        if start.startswith(magic):
            raise CheckpointError(f"{_WHAT_IS_EXPECTED} at {path}, found {kind}")

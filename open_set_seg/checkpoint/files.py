"""Writing and reading checkpoint files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from open_set_seg.checkpoint.metadata import (
    CheckpointError,
    CheckpointMetadata,
    metadata_from_json,
    metadata_to_json,
)
from open_set_seg.models import WeightsError, build_model
from open_set_seg.models.weights import check_state_dict

FORMAT_VERSION = 1
HEADER_KEY = "open_set_seg"
DEMO_CHECKPOINT = Path(__file__).resolve().parent.parent / "checkpoints" / "demo.safetensors"

_WHAT_IS_EXPECTED = "expected an open_set_seg checkpoint (.safetensors)"
_CODE = "; such files are never opened because they can run code"
_FOREIGN = {
    b"PK\x03\x04": f"a zip archive, as torch.save writes it{_CODE}",
    b"\x80": f"a Python pickle{_CODE}",
    b"\x89HDF": "an HDF5 file",
    b"\x08\x00\x00\x00": "an ONNX file",
}


def save_checkpoint(
    path: str | Path, model: nn.Module, metadata: CheckpointMetadata, half: bool = False
) -> str:
    """Write ``model`` with its metadata.

    Args:
        path: file to write; it appears whole or not at all.
        model: the network that ``metadata`` describes.
        metadata: everything else; its ``weights_sha256`` is replaced by the computed one.
        half: store convolution weights as float16 (they are loaded as float32).
            Normalisation statistics stay float32: variances may exceed float16's range.

    Returns:
        The SHA-256 of the weights as stored.

    Raises:
        CheckpointError: the model does not fit the metadata, or a weight is not finite as stored.
    """
    path = Path(path)
    state = {
        name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()
    }
    _check_fit(_describe(metadata, "the metadata").state_dict(), state, "the model")
    if half:
        weights = {name for name, parameter in model.named_parameters() if parameter.ndim > 1}
        state = {n: t.half() if n in weights else t for n, t in state.items()}
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"expected finite weights, found NaN or Inf in {name}")
    digest = hash_weights(state)
    content = {"format_version": FORMAT_VERSION, **metadata_to_json(metadata)}
    content["weights_sha256"] = digest
    partial = path.with_name(path.name + ".partial")
    header = {HEADER_KEY: json.dumps(content, allow_nan=False)}
    # Not save_file(): it makes files that only their owner can read.
    partial.write_bytes(save(state, metadata=header))
    partial.replace(path)
    return digest


def load_checkpoint(path: str | Path) -> tuple[nn.Module, CheckpointMetadata]:
    """The network (float32, CPU, evaluation mode) and the metadata of a checkpoint.

    Raises:
        CheckpointError: the file is missing, empty, truncated, of another kind, or contradicts
            itself; the message says what was expected and what was found.
    """
    path = Path(path)
    metadata = read_metadata(path)
    try:
        with safe_open(path, framework="pt") as file:
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{_WHAT_IS_EXPECTED} at {path}, found {error}") from error
    digest = hash_weights(stored)
    if digest != metadata.weights_sha256:
        raise CheckpointError(
            f"expected weights with SHA-256 {metadata.weights_sha256[:16]}... in {path}, "
            f"found {digest[:16]}...: the file was changed or damaged"
        )
    model = _describe(metadata, str(path))
    state = {n: t.float() if t.is_floating_point() else t for n, t in stored.items()}
    _check_fit(model.state_dict(), state, str(path))
    model.load_state_dict(state)
    return model.eval(), metadata


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
    try:
        content = json.loads(header[HEADER_KEY])
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"expected JSON in the header of {path}, found {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f"expected a JSON object in the header of {path}, found {type(content).__name__}"
        )
    version = content.pop("format_version", None)
    if type(version) is not int or version != FORMAT_VERSION:
        raise CheckpointError(
            f"expected format version {FORMAT_VERSION} in {path}, found {version!r}"
        )
    return metadata_from_json(content, str(path))


def hash_weights(state: dict[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of all tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _describe(metadata: CheckpointMetadata, source: str) -> nn.Module:
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


def _check_fit(expected: dict[str, Tensor], found: dict[str, Tensor], source: str) -> None:
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

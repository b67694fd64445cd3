"""Files of flows: safetensors whose header says how to build the flow and where it comes from.

The header's metadata holds one key, ``open_set_seg_flow``, with a JSON object: the fields of
``FlowMetadata``, the version of the format and the SHA-256 of the weights. Nothing is unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from open_set_seg import __version__
from open_set_seg.checkpoint import hash_weights
from open_set_seg.files import write_whole
from open_set_seg.models.weights import WeightsError, check_state_dict
from training.flow.image_flow import ImageFlow
from training.flow.registry import build_flow

HEADER_KEY = "open_set_seg_flow"
FORMAT_VERSION = 1
_EXPECTED = "expected a flow's file (.safetensors)"


class FlowFileError(ValueError):
    """A file that holds no flow, or not the flow that it describes; one line."""


@dataclass(frozen=True)
class FlowMetadata:
    """What a file says of its flow.

    Attributes:
        name: key in ``FLOWS``.
        options: of ``build_flow``.
        seed: that the training started from.
        recipe: of the training, as nested mappings of plain values.
        metrics: what was measured on the flow.
        package_version: that wrote the file.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    package_version: str = __version__


def save_flow(path: str | Path, flow: ImageFlow, metadata: FlowMetadata) -> str:
    """Write a flow; the file appears whole or not at all.

    Returns:
        The SHA-256 of the weights.

    Raises:
        FlowFileError: the flow is not the one that ``metadata`` describes, a weight is not finite,
            or something in ``metadata`` has no place in JSON.
    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in flow.state_dict().items()}
    _check_fit(_build_empty(metadata, "the metadata"), state, "the flow")
    for name, tensor in state.items():
        if not bool(torch.isfinite(tensor).all()):
            raise FlowFileError(f"expected finite weights, found NaN or Inf in {name}")
    digest = hash_weights(state)
    content = {"format_version": FORMAT_VERSION, "weights_sha256": digest, **asdict(metadata)}
    try:
        text = json.dumps(content, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise FlowFileError(f"expected metadata that JSON can hold, found {error}") from error
    # Not save_file(): it makes files that only their owner can read.
    write_whole(Path(path), save(state, metadata={HEADER_KEY: text}))
    return digest


def load_flow(path: str | Path) -> tuple[ImageFlow, FlowMetadata]:
    """The flow (on the CPU, in evaluation mode, as precise as it was) and what its file says of it.

    Draws no random number.

    Raises:
        FlowFileError: missing, truncated or foreign file, or one that contradicts itself.
    """
    path = Path(path)
    if not path.is_file():
        raise FlowFileError(f"{_EXPECTED} at {path}, found no file there")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        # Also what torch.save writes: it is no safetensors file, and is never opened as a pickle.
        raise FlowFileError(f"{_EXPECTED} at {path}, found {error}") from error
    metadata, digest = _read_header(header, path)
    if digest != hash_weights(state):
        raise FlowFileError(f"{path}: the weights are not those that were saved: damaged file")
    flow = _build_empty(metadata, str(path))
    _check_fit(flow, state, str(path))
    flow.load_state_dict(state, assign=True)
    return flow.eval(), metadata


def _build_empty(metadata: FlowMetadata, source: str) -> ImageFlow:
    """The flow without numbers, which costs neither memory nor random numbers."""
    try:
        with torch.device("meta"):
            return build_flow(metadata.name, **metadata.options)
    except (TypeError, ValueError, RuntimeError) as error:
        raise FlowFileError(
            f"expected a flow that can be built in {source}, found {error}"
        ) from error


def _check_fit(flow: ImageFlow, state: dict[str, Tensor], source: str) -> None:
    try:
        check_state_dict(flow.state_dict(), state, source)
    except WeightsError as error:
        raise FlowFileError(str(error)) from error
    for name, tensor in flow.state_dict().items():
        if tensor.is_floating_point() != state[name].is_floating_point():
            raise FlowFileError(
                f"expected {tensor.dtype} for {name} in {source}, found {state[name].dtype}"
            )


def _read_header(header: Mapping[str, str], path: Path) -> tuple[FlowMetadata, str]:
    if HEADER_KEY not in header:
        raise FlowFileError(
            f"{_EXPECTED} at {path}, found a safetensors file of another program: its header has "
            f"no {HEADER_KEY!r} entry"
        )
    try:
        content = json.loads(header[HEADER_KEY])
    except (ValueError, RecursionError) as error:
        raise FlowFileError(f"expected JSON in the header of {path}, found {error}") from error
    kinds: dict[str, type | tuple[type, ...]] = {
        "format_version": int, "weights_sha256": str, "name": str, "options": dict,
        "seed": (int, type(None)), "recipe": dict, "metrics": dict, "package_version": str,
    }  # fmt: skip
    for name, kind in kinds.items():
        if not isinstance(content, dict) or not isinstance(content.get(name, ...), kind):
            raise FlowFileError(f"expected {name!r} in the header of {path}, found none to read")
    if content["format_version"] != FORMAT_VERSION:
        raise FlowFileError(
            f"expected format version {FORMAT_VERSION} in {path}, found {content['format_version']}"
        )
    fields = {name: content[name] for name in FlowMetadata.__dataclass_fields__}
    return FlowMetadata(**fields), content["weights_sha256"]

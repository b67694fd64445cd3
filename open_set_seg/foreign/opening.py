"""Opens what a description describes."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import torch

from open_set_seg.checkpoint import CheckpointMetadata
from open_set_seg.files import hash_file
from open_set_seg.foreign.description import ModelDescription, read_description
from open_set_seg.foreign.files import is_torchscript, open_network
from open_set_seg.foreign.onnx_network import OnnxNetwork
from open_set_seg.models import AdapterError, LogitsAdapter
from open_set_seg.scoring import Scoring


def open_described(path: Path, device: torch.device) -> tuple[LogitsAdapter, CheckpointMetadata]:
    """The network and the metadata of a description.

    Args:
        path: of the YAML file; see ``ModelDescription``.
        device: where the network will run.

    Raises:
        AdapterError: the description or the file that it names is not usable; one line.
    """
    description = read_description(path)
    try:
        return _open_adapter(description, device), _derive_metadata(description)
    except ValueError as error:
        raise AdapterError(f"{path}: {error}") from error


def refuse_undescribed(path: Path) -> NoReturn:
    """Say what a bare TorchScript or ONNX file lacks."""
    kind = "TorchScript" if is_torchscript(path) else "ONNX"
    raise AdapterError(
        f"{path} is {kind}, which does not say what its classes are and what image it takes: open "
        f"a YAML file with 'file: {path.name}', 'label_space: ...' and so on instead "
        "(docs/models.md)"
    )


def _open_adapter(description: ModelDescription, device: torch.device) -> LogitsAdapter:
    network = open_network(description.file, device)
    size = network.input_size if isinstance(network, OnnxNetwork) else None
    if size is not None and description.input_size not in (None, size):
        raise AdapterError(
            f"input_size: {description.file} takes images of [height, width] = {list(size)} alone"
        )
    return LogitsAdapter(
        network,
        description.label_space.num_classes,
        description.mean,
        description.std,
        description.scale,
        description.channel_order,
        description.input_size or size,
        description.input_multiple,
    )


def _derive_metadata(description: ModelDescription) -> CheckpointMetadata:
    default = Scoring.parse(description.score).entry.temperature
    temperature = default if description.temperature is None else description.temperature
    return CheckpointMetadata(
        architecture="torchscript" if is_torchscript(description.file) else "onnx",
        label_space=description.label_space,
        score=description.score,
        temperature=1.0 if temperature is None else temperature,
        score_map=description.score_map,
        threshold=description.threshold,
        weights_sha256=hash_file(description.file),
    )

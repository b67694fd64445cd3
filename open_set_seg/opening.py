"""Opens whatever file is named as a model: a table of the kinds of file, told apart by content."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, NoReturn

import torch
from torch import nn

from open_set_seg.backends import (
    AUTOMATIC,
    Arithmetic,
    Backend,
    BackendError,
    OnnxRuntimeBackend,
    OpenVinoBackend,
    PyTorchBackend,
)
from open_set_seg.checkpoint import (
    CheckpointError,
    CheckpointMetadata,
    is_exported,
    load_checkpoint,
    load_statistics,
    read_exported,
)
from open_set_seg.foreign import (
    is_description,
    is_onnx,
    is_torchscript,
    open_described,
    refuse_undescribed,
)
from open_set_seg.scores import ScoreStatistics


class OpenedModel(NamedTuple):
    """What a file named as a model holds.

    Attributes:
        network: maps RGB (B, 3, H, W) on 0..255 to a ``SegmentationOutput``.
        metadata: label space, score and threshold that belong to it.
        statistics: of inlier data, where the file carries them.
        backend: what ``auto`` means for it: networks whose code lies in the file run in PyTorch.
    """

    network: nn.Module
    metadata: CheckpointMetadata
    statistics: ScoreStatistics | None = None
    backend: str = AUTOMATIC


class OpenedBackend(NamedTuple):
    """What an exported file holds.

    Attributes:
        backend: runs its network.
        metadata, statistics: as in ``OpenedModel``.
    """

    backend: Backend
    metadata: CheckpointMetadata
    statistics: ScoreStatistics | None


class Kind(NamedTuple):
    """One kind of file.

    Attributes:
        fits: whether a file is of this kind.
        open: reads it for a network that will run on a device; errors are ``ValueError`` of one
            line that say what was expected and what was found.
    """

    fits: Callable[[Path], bool]
    open: Callable[[Path, torch.device], OpenedModel]


def open_model(path: str | Path, device: torch.device) -> OpenedModel:
    """The network of a file and everything that is needed to use it.

    Args:
        path: of a kind in ``KINDS``.
        device: where the network will run.

    Raises:
        ValueError: the file is of no kind, or not usable; says in one line what was expected and
            what was found.
    """
    path = Path(path)
    return KINDS[kind_of(path)].open(path, device)


def open_exported(
    path: str | Path, device: torch.device, arithmetic: Arithmetic = "fp32"
) -> OpenedBackend:
    """What runs the network of a file that ``open-set-seg export`` wrote.

    Args:
        path: an .onnx or .xml file.
        device: where it runs.
        arithmetic: of an .xml; an .onnx has its own.

    Raises:
        ValueError: the file is not usable, or does not run so here; one line.
    """
    exported = read_exported(path)
    backend: Backend
    if exported.format == "openvino":
        backend = OpenVinoBackend.from_file(path, device, arithmetic)
    elif arithmetic == "fp32":
        backend = OnnxRuntimeBackend.from_file(path, device)
    else:
        raise BackendError(f"{path} has a precision of its own: expected fp32, found {arithmetic}")
    return OpenedBackend(backend, exported.metadata, exported.statistics)


def kind_of(path: Path) -> str:
    """Key in ``KINDS`` of the first kind that a file fits."""
    return next(name for name, kind in KINDS.items() if kind.fits(path))


def _refuse_exported(path: Path) -> NoReturn:
    raise CheckpointError(
        f"expected a model whose network is in PyTorch, found {path}, an exported file: take the "
        "checkpoint that it was made of"
    )


# The last takes whatever nothing before it took: its reader says best what a file is instead.
KINDS: dict[str, Kind] = {
    "description": Kind(
        is_description,
        lambda path, device: OpenedModel(
            *open_described(path, device), backend=PyTorchBackend.name
        ),
    ),
    "exported": Kind(is_exported, lambda path, device: _refuse_exported(path)),
    "undescribed": Kind(
        lambda path: is_torchscript(path) or is_onnx(path),
        lambda path, device: refuse_undescribed(path),
    ),
    "checkpoint": Kind(
        lambda path: True,
        lambda path, device: OpenedModel(*load_checkpoint(path), load_statistics(path)),
    ),
}

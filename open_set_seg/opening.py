"""Opens whatever file is named as a model: a table of the kinds of file, told apart by content."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from open_set_seg.checkpoint import CheckpointMetadata, load_checkpoint, load_statistics
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
    """

    network: nn.Module
    metadata: CheckpointMetadata
    statistics: ScoreStatistics | None = None


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


def kind_of(path: Path) -> str:
    """Key in ``KINDS`` of the first kind that a file fits."""
    return next(name for name, kind in KINDS.items() if kind.fits(path))


# The last takes whatever nothing before it took: its reader says best what a file is instead.
KINDS: dict[str, Kind] = {
    "description": Kind(
        is_description, lambda path, device: OpenedModel(*open_described(path, device))
    ),
    "undescribed": Kind(
        lambda path: is_torchscript(path) or is_onnx(path),
        lambda path, device: refuse_undescribed(path),
    ),
    "checkpoint": Kind(
        lambda path: True,
        lambda path, device: OpenedModel(*load_checkpoint(path), load_statistics(path)),
    ),
}

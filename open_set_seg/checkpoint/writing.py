"""Writing checkpoint files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from open_set_seg.checkpoint.json_form import metadata_to_text
from open_set_seg.checkpoint.metadata import CheckpointError, CheckpointMetadata
from open_set_seg.checkpoint.reading import (
    CLASSIFIER,
    HEADER_KEY,
    check_fit,
    describe_network,
    hash_weights,
    read_metadata,
    read_weights,
)
from open_set_seg.checkpoint.statistics import check_statistics, statistics_to_state
from open_set_seg.files import write_whole
from open_set_seg.scores import LogisticMap, ScoreStatistics


def save_checkpoint(
    path: str | Path,
    model: nn.Module,
    metadata: CheckpointMetadata,
    half: bool = False,
    statistics: ScoreStatistics | None = None,
) -> str:
    """Write ``model`` with its metadata.

    Args:
        path: file to write; it appears whole or not at all.
        model: the network that ``metadata`` describes.
        metadata: everything else; its ``weights_sha256`` and ``statistics_sha256`` are replaced by
            the computed ones.
        half: store convolution weights as float16 (they are loaded as float32).
            Normalisation statistics stay float32: variances may exceed float16's range.
        statistics: of inlier data, where they were fitted.

    Returns:
        The SHA-256 of the weights as stored.

    Raises:
        CheckpointError: the model or the statistics do not fit the metadata, or a weight is not
            finite as stored.
    """
    path = Path(path)
    state = {
        name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()
    }
    check_fit(describe_network(metadata, "the metadata").state_dict(), state, "the model")
    if half:
        weights = {name for name, parameter in model.named_parameters() if parameter.ndim > 1}
        state = {n: t.half() if n in weights else t for n, t in state.items()}
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"expected finite weights, found NaN or Inf in {name}")
    return _write(path, state, metadata, statistics).weights_sha256


def add_statistics(
    path: str | Path,
    output: str | Path,
    statistics: ScoreStatistics,
    score_maps: Mapping[str, LogisticMap],
    source: str,
) -> CheckpointMetadata:
    """Write a copy of a checkpoint with these statistics and maps instead of what it had of them.

    The weights are copied as they are stored, so that their hash stays.

    Args:
        path: of the checkpoint.
        output: file to write; it appears whole or not at all, and may be ``path``.
        statistics: of inlier data.
        score_maps: as in ``CheckpointMetadata``.
        source: ``statistics_source`` of the new metadata.

    Returns:
        The metadata as written.

    Raises:
        CheckpointError: as ``load_checkpoint``, or statistics or maps that do not fit.
    """
    metadata = read_metadata(path)
    changed = replace(metadata, score_maps=dict(score_maps), statistics_source=source)
    return _write(Path(output), read_weights(Path(path), metadata), changed, statistics)


def _write(
    path: Path,
    state: dict[str, Tensor],
    metadata: CheckpointMetadata,
    statistics: ScoreStatistics | None,
) -> CheckpointMetadata:
    """Write a file at once; the metadata with the hashes of what was written."""
    extra = statistics_to_state(statistics)
    if statistics is not None:
        channels = state[CLASSIFIER].shape[1] if CLASSIFIER in state else None
        check_statistics(statistics, metadata.label_space.num_classes, channels, "the statistics")
    metadata = replace(
        metadata,
        weights_sha256=hash_weights(state),
        statistics_sha256=hash_weights(extra) if extra else "",
    )
    header = {HEADER_KEY: metadata_to_text(metadata)}
    # Not save_file(): it makes files that only their owner can read.
    write_whole(path, save(state | extra, metadata=header))
    return metadata

"""Statistics of inlier data as tensors of a checkpoint, and what makes them usable.

They lie beside the weights under names that begin with ``score_statistics.``, and have a hash of
their own: a network keeps its identity when statistics are added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

import torch
from torch import Tensor

from open_set_seg.checkpoint.metadata import CheckpointError
from open_set_seg.scores import ScoreStatistics

PREFIX = "score_statistics."

# Shapes by letters: K classes, C channels of the features, Q quantile levels.
SHAPES: dict[str, str] = {
    "max_logit_mean": "K",
    "max_logit_deviation": "K",
    "feature_mean": "KC",
    "feature_precision": "CC",
    "density_weight": "K",
    "density_mean": "KC",
    "density_cholesky": "KCC",
    "activation_levels": "Q",
    "activation_quantiles": "Q",
}
TOGETHER: tuple[frozenset[str], ...] = (
    frozenset({"max_logit_mean", "max_logit_deviation"}),
    frozenset({"feature_mean", "feature_precision"}),
    frozenset({"density_weight", "density_mean", "density_cholesky"}),
    frozenset({"activation_levels", "activation_quantiles"}),
)


def statistics_to_state(statistics: ScoreStatistics | None) -> dict[str, Tensor]:
    """Tensors by their names in a file."""
    found = {} if statistics is None else statistics.tensors()
    return {PREFIX + name: tensor.detach().cpu().contiguous() for name, tensor in found.items()}


def statistics_from_state(
    state: Mapping[str, Tensor], num_classes: int, channels: int | None, source: str
) -> ScoreStatistics | None:
    """The inverse; None where there are none.

    Args:
        state: tensors by their names in a file.
        num_classes: K of the network.
        channels: C of its features; None: whatever all fields agree on.
        source: for messages.

    Raises:
        CheckpointError: a name that is no field, or as ``check_statistics``.
    """
    if not state:
        return None
    tensors = {name.removeprefix(PREFIX): tensor for name, tensor in state.items()}
    known = {one.name for one in fields(ScoreStatistics)}
    for name in tensors:
        _require(name in known, f"expected statistics of known names in {source}, found {name!r}")
    statistics = ScoreStatistics.of_tensors(tensors)
    check_statistics(statistics, num_classes, channels, source)
    return statistics


def check_statistics(
    statistics: ScoreStatistics, num_classes: int, channels: int | None, source: str
) -> None:
    """Refuse statistics that cannot be computed with.

    Raises:
        CheckpointError: a field without its companions, of another shape, not finite, or out of
            its range; one line.
    """
    tensors = statistics.tensors()
    for group in TOGETHER:
        missing = sorted(group - set(tensors))
        complete = not missing or len(missing) == len(group)
        _require(complete, f"expected {', '.join(missing)} among the statistics in {source}")
    sizes = {"K": num_classes} | ({} if channels is None else {"C": channels})
    for name, tensor in tensors.items():
        _check_tensor(name, tensor, sizes, source)
    for name, tensor in tensors.items():
        problem = _find_problem(name, tensor)
        _require(problem is None, f"expected {problem} for {name} in {source}")


def _check_tensor(name: str, tensor: Tensor, sizes: dict[str, int], source: str) -> None:
    """Type, shape and finiteness; a letter without a size takes that of its first tensor."""
    letters = SHAPES[name]
    if tensor.ndim == len(letters):
        for letter, size in zip(letters, tensor.shape, strict=True):
            sizes.setdefault(letter, size)
    expected = ", ".join(str(sizes.get(letter, letter)) for letter in letters)
    found = ", ".join(map(str, tensor.shape))
    _require(
        found == expected, f"expected shape ({expected}) for {name} in {source}, found ({found})"
    )
    _require(tensor.is_floating_point(), f"expected floating {name} in {source}")
    finite = bool(torch.isfinite(tensor).all())
    _require(finite, f"expected finite statistics in {source}, found NaN or Inf in {name}")


def _find_problem(name: str, tensor: Tensor) -> str | None:
    """What was expected of a finite tensor of the right shape, if it is not so."""
    if name == "max_logit_deviation" and not bool((tensor > 0.0).all()):
        return "positive numbers"
    if name == "density_weight":
        fits = bool((tensor >= 0.0).all()) and abs(float(tensor.double().sum()) - 1.0) < 1e-4
        return None if fits else "shares that sum to 1"
    if name == "density_cholesky":
        diagonal = tensor.diagonal(dim1=1, dim2=2)
        fits = torch.equal(tensor, tensor.tril()) and bool((diagonal > 0.0).all())
        return None if fits else "lower triangles with positive diagonals"
    if name == "feature_precision":
        fits = torch.allclose(tensor, tensor.T) and bool((tensor.diagonal() > 0.0).all())
        return None if fits else "a symmetric matrix with a positive diagonal"
    if name == "activation_levels":
        inside = bool(((tensor > 0.0) & (tensor < 1.0)).all())
        return None if inside and bool((tensor.diff() > 0.0).all()) else "levels that increase"
    if name == "activation_quantiles":
        return None if bool((tensor.diff() >= 0.0).all()) else "quantiles that do not decrease"
    return None


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise CheckpointError(message)

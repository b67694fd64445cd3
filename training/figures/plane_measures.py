"""Where a flow's samples lie in the plane, and how sure the classifier is around the clusters."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from open_set_seg.scores.class_scores import jsd_maximum
from training.divergences import DIVERGENCES
from training.figures.plane import CENTRES, DEVIATION, PlaneNetworks, draw_inliers
from training.randomness import make_generator

INLIERS, SAMPLES = 900, 2000  # points that are compared
GRID = 161  # points along a side of the unit square
# The border of the inliers: distances to the nearest of them, in deviations of a cluster.
BORDER = (0.75, 3.0)
_INLIERS_USE, _SAMPLES_USE = 36, 37  # of random numbers


@dataclass(frozen=True, eq=False)
class PlaneMeasures:
    """What is seen of a pair of networks.

    Attributes:
        inliers, labels: (n, 2) points and (n,) their classes.
        samples: (m, 2) of the flow.
        field: (GRID, GRID) JS(U, p) over its maximum, at y (rows) and x of the unit square.
        distance: (GRID, GRID) of the same places to the nearest inlier.
        border: share of samples in the border, see ``BORDER``.
        beyond: share of samples further away.
        ring: mean of ``field`` over the border.
        accuracy: of the classifier on the inliers.
    """

    inliers: Tensor
    labels: Tensor
    samples: Tensor
    field: Tensor
    distance: Tensor
    border: float
    beyond: float
    ring: float
    accuracy: float

    def figures(self) -> dict[str, float]:
        """The single numbers."""
        names = ("border", "beyond", "ring", "accuracy")
        return {name: round(getattr(self, name), 4) for name in names}


@torch.no_grad()
def measure_plane(networks: PlaneNetworks, seed: int = 0) -> PlaneMeasures:
    """The same inliers and latents for all networks of one seed."""
    points, labels = draw_inliers(INLIERS, make_generator(seed, _INLIERS_USE))
    drawn = networks.sample(SAMPLES, make_generator(seed, _SAMPLES_USE))
    inliers, samples, grid = to_rows(points), to_rows(drawn), grid_points()
    divergence = DIVERGENCES["js"](networks.classify(to_image(grid))).flatten()
    field = divergence / jsd_maximum(len(CENTRES))
    place = _distances(samples, inliers)
    low, high = (limit * DEVIATION for limit in BORDER)
    around = _distances(grid, inliers)
    ring = (around >= low) & (around <= high)
    hits = networks.classify(points).argmax(dim=1) == labels
    return PlaneMeasures(
        inliers,
        labels.flatten(),
        samples,
        field.reshape(GRID, GRID),
        around.reshape(GRID, GRID),
        _share((place >= low) & (place <= high)),
        _share(place > high),
        float(field[ring].mean()),
        _share(hits),
    )


def grid_points() -> Tensor:
    """(GRID^2, 2) points of the unit square, row by row of y."""
    ticks = torch.linspace(0.0, 1.0, GRID)
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=1)


def to_rows(points: Tensor) -> Tensor:
    """(1, 2, n, 1) -> (n, 2)."""
    return points[0, :, :, 0].T


def to_image(points: Tensor) -> Tensor:
    """(n, 2) -> (1, 2, n, 1)."""
    return points.T[None, :, :, None]


def _distances(points: Tensor, others: Tensor) -> Tensor:
    """From each point to the nearest of the others."""
    return torch.cdist(points, others).amin(dim=1)


def _share(mask: Tensor) -> float:
    return float(mask.float().mean())

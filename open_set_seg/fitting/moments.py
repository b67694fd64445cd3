"""Counts, means and scatter matrices of vectors by class, batch by batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class ClassMoments:
    """First and second moments of vectors of C numbers in K classes, float64 on the CPU.

    Attributes:
        count: (K,), n_k.
        mean: (K, C), m_k; zero where n_k is 0.
        scatter: (K, C, C), sums of (x - m_k)(x - m_k)^T.
    """

    count: Tensor
    mean: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, values: Tensor, classes: Tensor, num_classes: int) -> ClassMoments:
        """The moments of one batch; rows that hold a number that is not finite are left out.

        Args:
            values: (N, C), floating.
            classes: (N,), integers in 0 to K - 1.
            num_classes: K.
        """
        channels = values.shape[1]
        count = torch.zeros(num_classes, dtype=torch.float64)
        mean = torch.zeros(num_classes, channels, dtype=torch.float64)
        scatter = torch.zeros(num_classes, channels, channels, dtype=torch.float64)
        finite = torch.isfinite(values).all(dim=1)
        for index in torch.unique(classes[finite]).tolist():
            rows = values[finite & (classes == index)].double()
            centre = rows.mean(dim=0)
            rows = rows - centre
            count[index], mean[index], scatter[index] = (
                len(rows),
                centre.cpu(),
                (rows.T @ rows).cpu(),
            )
        return cls(count, mean, scatter)

    def merged(self, other: ClassMoments) -> ClassMoments:
        """The moments of both together (Chan, Golub and LeVeque 1983: no cancellation)."""
        count = self.count + other.count
        share = other.count / count.clamp(min=1.0)
        step = other.mean - self.mean
        mean = self.mean + share.unsqueeze(1) * step
        between = (self.count * share).view(-1, 1, 1) * _outer(step)
        return ClassMoments(count, mean, self.scatter + other.scatter + between)

    def within(self) -> Tensor:
        """(C, C) covariance around the means of the classes: sum_k scatter_k / sum_k n_k."""
        covariance: Tensor = self.scatter.sum(dim=0) / self.count.sum()
        return covariance

    def pooled(self) -> ClassMoments:
        """The same vectors as one class."""
        count = self.count.sum(dim=0, keepdim=True)
        mean = (self.count.unsqueeze(1) * self.mean).sum(dim=0, keepdim=True) / count.clamp(min=1.0)
        between = self.count.view(-1, 1, 1) * _outer(self.mean - mean)
        return ClassMoments(count, mean, (self.scatter + between).sum(dim=0, keepdim=True))


def _outer(rows: Tensor) -> Tensor:
    """(K, C) -> (K, C, C)."""
    return rows.unsqueeze(2) * rows.unsqueeze(1)

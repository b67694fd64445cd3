"""Optimal assignment with gated costs.

Exact and not greedy: a greedy choice (cheapest pair first) equals the optimum only where no two
allowed pairs compete for a row or a column in a way that the cheapest one loses; two obstacles that
move by more than half their separation already break it. Optimal assignment with squared distances
does not mind: for any common translation t, sum |x_i + t - x_s(i)|^2 over a permutation s differs
from that of the identity by sum |x_i - x_s(i)|^2 >= 0, because sum (x_i - x_s(i)) = 0.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Costs = NDArray[np.float64]


def assign(costs: Costs) -> list[tuple[int, int]]:
    """Pairs (row, column), each row and column at most once, that maximise sum (1 - cost).

    To leave a row and a column alone costs as much as a pair of cost 1, so only pairs of a cost
    below 1 are ever made. Successive shortest augmenting paths with potentials (Jonker and
    Volgenant, Computing 38, 1987): O(N^2 (N + M)) for N rows and M columns.

    Args:
        costs: (N, M); 1 and more, inf and NaN: never paired; not below 0.

    Returns:
        Pairs in the order of their rows.
    """
    rows, columns = costs.shape
    # A column of its own for every row: the row stays alone, at a gain of zero.
    padded = np.zeros((rows, columns + rows))
    padded[:, :columns] = np.where(costs < 1.0, costs - 1.0, 0.0)
    owner = np.full(columns + rows, -1, np.intp)
    row_potential, column_potential = np.zeros(rows), np.zeros(columns + rows)
    for row in range(rows):
        _insert(row, padded, owner, row_potential, column_potential)
    pairs = [(int(owner[column]), column) for column in range(columns) if owner[column] >= 0]
    return sorted((row, column) for row, column in pairs if costs[row, column] < 1.0)


def _insert(
    row: int,
    costs: Costs,
    owner: NDArray[np.intp],
    row_potential: Costs,
    column_potential: Costs,
) -> None:
    """Give ``row`` a column along the cheapest alternating path; keeps what rows had optimal."""
    size = owner.size
    distance = np.full(size, math.inf)
    previous = np.full(size, -1, np.intp)
    visited = np.zeros(size, np.bool_)
    reached, current, last = 0.0, row, -1
    while True:
        through = reached + costs[current] - row_potential[current] - column_potential
        shorter = ~visited & (through < distance)
        distance[shorter], previous[shorter] = through[shorter], last
        last = int(np.argmin(np.where(visited, math.inf, distance)))
        reached = float(distance[last])
        if owner[last] < 0:
            break
        visited[last] = True
        current = int(owner[last])
    done = np.flatnonzero(visited)
    row_potential[owner[done]] += reached - distance[done]
    column_potential[done] -= reached - distance[done]
    row_potential[row] += reached
    while last >= 0:
        before = int(previous[last])
        owner[last] = owner[before] if before >= 0 else row
        last = before

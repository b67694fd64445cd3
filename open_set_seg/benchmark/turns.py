"""Timing of variants that take turns, so that a busy machine is busy for all of them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

Variants = Mapping[str, Callable[[], Any]]
# Milliseconds of every round by the name of the variant.
Times = Mapping[str, Sequence[float]]
Progress = Callable[[str], None]


class Turns(NamedTuple):
    """What variants took.

    Attributes:
        wall: by the clock.
        cpu: of the processor, summed over the threads of this process: what others cannot have.
            Other processes change it little.
    """

    wall: dict[str, list[float]]
    cpu: dict[str, list[float]]


def take_turns(
    variants: Variants,
    rounds: int,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> Turns:
    """Milliseconds of every variant in every round.

    One more round comes first and only warms up. Every round has an order of its own, drawn from a
    fixed seed: what a variant leaves in the caches then falls on no neighbour in particular.

    Args:
        variants: what to time, by name.
        rounds: at least 1.
        device: on a CUDA device its queue is emptied before each stamp.
        progress: told what is running.
    """
    turns = Turns({name: [] for name in variants}, {name: [] for name in variants})
    order = list(variants)
    shuffler = random.Random(0)
    for turn in range(rounds + 1):
        shuffler.shuffle(order)
        for name in order:
            if progress is not None:
                progress(f"round {turn} of {rounds}: {name}")
            synchronise(device)
            start, start_cpu = time.perf_counter(), time.process_time()
            variants[name]()
            synchronise(device)
            if turn > 0:
                turns.wall[name].append((time.perf_counter() - start) * 1e3)
                turns.cpu[name].append((time.process_time() - start_cpu) * 1e3)
    return turns


def synchronise(device: torch.device | None) -> None:
    """Wait for what was sent to a CUDA device."""
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)


def spread(values: Sequence[float]) -> dict[str, float]:
    """10th, 50th and 90th percentile."""
    p10, p50, p90 = np.percentile(values, (10, 50, 90)).tolist()
    return {"p10": round(p10, 4), "p50": round(p50, 4), "p90": round(p90, 4)}


def median_ratio(values: Sequence[float], to: Sequence[float]) -> float:
    """Median over rounds of ``values / to``: what disturbed a whole round cancels."""
    return round(float(np.median(np.divide(values, to))), 4)


def median_difference(values: Sequence[float], less: Sequence[float]) -> float:
    """Median over rounds of ``values - less``."""
    return round(float(np.median(np.subtract(values, less))), 4)

"""The frame beside other processes that do nothing but compute, against the frame alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from open_set_seg.benchmark.turns import Progress, median_ratio, spread, take_turns


def measure_busy(
    variants: Mapping[str, Callable[[], Any]],
    processes: int,
    rounds: int,
    device: torch.device,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Rows of a result: every variant alone and beside ``processes`` busy ones, by turns.

    In every round all variants run alone, then the other processes wake up and all run again.
    """
    alone: dict[str, list[float]] = {name: [] for name in variants}
    beside: dict[str, list[float]] = {name: [] for name in variants}
    with _sleepers(processes) as others:
        for _ in range(rounds):
            # Each with a round before it that only warms up, as after any pause.
            for name, values in take_turns(variants, 1, device, progress).wall.items():
                alone[name] += values
            _resume(others)
            for name, values in take_turns(variants, 1, device, progress).wall.items():
                beside[name] += values
            _pause(others)
    return [
        {
            "engine": name,
            "alone_ms": spread(alone[name]),
            "beside_ms": spread(beside[name]),
            "ratio": median_ratio(beside[name], alone[name]),
            "processes": processes,
            "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "not set"),
        }
        for name in variants
    ]


@contextmanager
def _sleepers(count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that compute for ever once they are woken."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        _pause(others)
        yield others
    finally:
        for one in others:
            one.kill()
            one.wait()


def _pause(processes: list[subprocess.Popen[bytes]]) -> None:
    for one in processes:
        one.send_signal(signal.SIGSTOP)
        os.waitpid(one.pid, os.WUNTRACED)


def _resume(processes: list[subprocess.Popen[bytes]]) -> None:
    for one in processes:
        one.send_signal(signal.SIGCONT)

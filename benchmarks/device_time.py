"""Time on a CUDA device by its own clock, and the device in words."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Mapping
from typing import Any

import torch

Run = Callable[[], Any]


def describe_device(device: torch.device) -> dict[str, Any]:
    """Name, capability, driver, clocks as they are, and the libraries that torch was built with."""
    properties = torch.cuda.get_device_properties(device)
    return {
        "name": properties.name,
        "compute_capability": f"{properties.major}.{properties.minor}",
        "multiprocessors": properties.multi_processor_count,
        "memory_GiB": round(properties.total_memory / 2**30, 1),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        **_ask_driver(f"GPU-{properties.uuid}"),
    }


def capture(run: Run, times: int = 1) -> Run:
    """The same work, ``times`` over, as one CUDA graph; ``run`` must not wait for the device."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(times):
            run()
    return graph.replay


def time_in_turns(variants: Mapping[str, Run], rounds: int) -> dict[str, list[float]]:
    """Milliseconds by CUDA events of every variant in every round, each round in its own order.

    One more round comes first and only warms up.
    """
    times: dict[str, list[float]] = {name: [] for name in variants}
    order, shuffler = list(variants), random.Random(0)
    for turn in range(rounds + 1):
        shuffler.shuffle(order)
        for name in order:
            torch.cuda.synchronize()
            start, end = _event(), _event()
            start.record()
            variants[name]()
            end.record()
            end.synchronize()
            if turn > 0:
                times[name].append(start.elapsed_time(end))
    return times


def peak_memory(run: Run) -> float:
    """MiB that ``run`` needs at most beyond what lies on the device already."""
    run()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    torch.cuda.synchronize()
    return round((torch.cuda.max_memory_allocated() - before) / 2**20, 1)


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


def _ask_driver(device: str) -> dict[str, str]:
    fields = ("driver_version", "clocks.sm", "clocks.max.sm", "power.limit", "temperature.gpu")
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader"]
    try:
        done = subprocess.run([*command, f"--id={device}"], capture_output=True, text=True)
    except OSError:
        return {}
    return dict(zip(fields, done.stdout.strip().split(", "), strict=False))

"""Peak memory of a process that does one thing."""

from __future__ import annotations

import multiprocessing
import resource
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

from open_set_seg.benchmark.cases import make_cases
from open_set_seg.benchmark.engines import BASELINE, Absent, EngineSpec, open_engine
from open_set_seg.benchmark.heads import TEXTBOOK
from open_set_seg.benchmark.networks import NetworkSource
from open_set_seg.frame import ImageRGB

IMAGES = 3


def measure_memory(
    spec: EngineSpec, source: NetworkSource, score: str, rgb: ImageRGB, device: torch.device,
    threads: int,
) -> dict[str, Any] | Absent:  # fmt: skip
    """A row of a result: what a process of its own needs for one engine and one head.

    ``resident_MiB`` is the largest resident memory of that process, interpreter, libraries and the
    compilation of the network included; ``before_MiB`` what it was before the network was opened.
    On a CUDA device ``device_MiB`` is torch's own peak there.

    Args:
        score: of every engine but the baseline, which has the textbook's head.
    """
    head = TEXTBOOK if spec.name == BASELINE else score
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        found = pool.submit(_run_alone, spec, source, head, rgb, device, threads).result()
    if isinstance(found, str):
        return Absent(f"memory of {spec.name}: {head}", found)
    return {"engine": spec.name, "head": head, **found}


def _run_alone(
    spec: EngineSpec, source: NetworkSource, head: str, rgb: ImageRGB, device: torch.device,
    threads: int,
) -> dict[str, float] | str:  # fmt: skip
    torch.set_num_threads(threads)
    before = peak_mib()
    engine = open_engine(spec, source, device, rgb)
    if isinstance(engine, Absent):
        return engine.reason
    cases, absent = make_cases([engine], [] if head == TEXTBOOK else [head], rgb)
    case = next((one for one in cases if one.head == head), None)
    if case is None:
        return absent[0].reason
    for _ in range(IMAGES):
        case.run()
    found = {"resident_MiB": peak_mib(), "before_MiB": before}
    if device.type == "cuda":
        found["device_MiB"] = round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    return found


def peak_mib() -> float:
    """The largest resident memory of this process so far."""
    # On Linux ru_maxrss starts at the memory of the process that started this one.
    for line in _status_lines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 2**10, 1)
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)


def _status_lines() -> list[str]:
    try:
        return Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return []

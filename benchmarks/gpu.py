"""What the open-set head and the networks take on a CUDA device.

    python -m benchmarks.gpu

Compares the Triton kernel with the definition in float64, then times the head alone, the networks
with and without it, and whole images from host to host. Device times are by CUDA events, work that
can be is replayed as a CUDA graph, and variants take turns. The logits of the head alone lie in the
device's cache, as behind a network. Writes benchmarks/results/gpu.json. Takes about 8 minutes; a
part for which ``--seconds`` leave no time is left out and named.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.device_time import capture, describe_device, time_in_turns
from benchmarks.gpu_networks import JSD, UNKNOWN, Size, Times, compare, time_network
from benchmarks.machine import ROOT, save_result
from open_set_seg.backends.protocol import Arithmetic
from open_set_seg.benchmark.floors import Floor, Rates, measure_rates
from open_set_seg.benchmark.heads import CLOSED_SET, textbook_head, upsample
from open_set_seg.benchmark.turns import spread
from open_set_seg.head import ScoreChannel, head_backend
from open_set_seg.head.tiles import compute_by_tiles
from open_set_seg.kernels import GpuHeadKernel, HeadInputs, KernelChannel
from open_set_seg.kernels.gpu_head import Blocks
from open_set_seg.kernels.requests import FORMULAS
from open_set_seg.scores import SCORES, ScoreInputs, ScoreStatistics

ARITHMETICS: tuple[Arithmetic, ...] = ("fp16", "bf16")
# So many heads are one graph: a single one is as short as the clock's own roughness.
REPEATS = 20


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--height", type=int, default=1024)
    parser.add_argument("--classes", type=int, default=19)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=450.0, help="no part starts after them")
    parser.add_argument("--name", default="gpu", help="of the result file")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        parser.exit(1, f"needs a CUDA device: torch {torch.__version__} sees none here\n")
    device = torch.device("cuda", torch.cuda.current_device())
    size, classes, rounds = (options.height, options.width), options.classes, options.rounds
    result: dict[str, Any] = {
        "what": "gpu",
        **vars(options),
        "device": describe_device(device),
        "head_backend": head_backend(device),
    }
    try:
        run_parts(result, size, classes, rounds, device, options.seconds)
    finally:
        # What was measured before an error stays measured.
        save_result(ROOT / "benchmarks" / "results" / f"{options.name}.json", result)


def run_parts(
    result: dict[str, Any], size: Size, classes: int, rounds: int, device: torch.device,
    seconds: float,
) -> None:  # fmt: skip
    """Fill the result part by part, the most important first."""
    start = time.perf_counter()
    rates = measure_rates({"fp32", "bf16", "fp16"}, device)
    result["rates"] = rates.describe()
    networks = [(name, one) for name in ("swiftnet_rn18", "ldn_121") for one in ARITHMETICS]
    parts: dict[str, Callable[[], Any]] = {
        "differences_from_float64": lambda: compare_with_definition(size, classes, device),
        "head": lambda: time_head(size, classes, rounds, rates, device),
        **{
            f"{name}, {arithmetic}": partial(
                time_network, name, arithmetic, size, classes, rounds, rates, device
            )
            for name, arithmetic in networks
        },
        "blocks": lambda: try_blocks(size, classes, rounds, device),
    }
    for name, run in parts.items():
        elapsed = time.perf_counter() - start
        print(f"{elapsed:5.0f} s: {name}", flush=True)
        result[name] = run() if elapsed < seconds else "left out: no time"


def make_inputs(
    size: Size, classes: int, dtype: torch.dtype, device: torch.device, scale: float = 6.0
) -> HeadInputs:
    """Smooth regions of sure and unsure classes, at a quarter of the image's size."""
    generator = torch.Generator().manual_seed(0)
    grid = (-(-size[0] // 4), -(-size[1] // 4))

    def make(planes: int) -> Tensor:
        coarse = torch.randn(1, planes, grid[0] // 8 + 1, grid[1] // 8 + 1, generator=generator)
        smooth = functional.interpolate(coarse * scale, size=grid, mode="bicubic")
        return smooth.to(device, dtype)

    mean, deviation = (torch.full((classes,), one, device=device) for one in (3.0, 2.0))
    return HeadInputs(make(classes), make(2), mean, deviation)


@torch.inference_mode()
def compare_with_definition(size: Size, classes: int, device: torch.device) -> dict[str, Any]:
    """Largest difference of every score, and how many classes differ, from PyTorch in float64."""
    odd = (size[0] - 1, size[1] - 3)
    cases = {
        f"{classes} classes, fp16": (size, classes, torch.float16, sorted(FORMULAS)),
        f"{classes} classes, fp32, no whole factor": (odd, classes, torch.float32, ["jsd"]),
        "2 classes, bf16": (odd, 2, torch.bfloat16, ["jsd", "energy"]),
        "150 classes, fp16": ((300, 500), 150, torch.float16, ["jsd", "entropy"]),
    }
    found: dict[str, Any] = {}
    for case, (image, count, dtype, scores) in cases.items():
        inputs = make_inputs(image, count, dtype, device)
        rows = {}
        for score in scores:
            nearest, (values,), _ = GpuHeadKernel()(inputs, image, [_channel(score)])
            full, expected = _define(inputs, image, score)
            chosen = full.gather(1, nearest.long().unsqueeze(1)).squeeze(1)
            rows[score] = {
                "difference": float((values - expected).abs().max()),
                "classes": int((nearest != full.argmax(1)).sum()),
                "largest_logit_missed_by": float((full.amax(1) - chosen).max()),
            }
        found[case] = rows
    return found


@torch.inference_mode()
def time_head(
    size: Size, classes: int, rounds: int, rates: Rates, device: torch.device
) -> dict[str, Any]:
    """The head alone on fp16 logits, beside PyTorch's, the textbook's and the closed set's."""
    inputs = make_inputs(size, classes, torch.float16, device)
    kernel, logits = GpuHeadKernel(), inputs.logits
    last = HeadInputs(logits.contiguous(memory_format=torch.channels_last))
    single = HeadInputs(logits.float())
    variants: dict[str, Callable[[], Any]] = {
        "textbook": lambda: textbook_head(logits.float(), size),
        CLOSED_SET: lambda: upsample(logits, size).argmax(dim=1),
        "upsample + max": lambda: upsample(logits, size).max(dim=1),
        "kernel, arg-max alone": lambda: kernel(inputs, size, []),
        **{
            f"kernel, {score}": partial(kernel, inputs, size, [_channel(score)])
            for score in FORMULAS
        },
        "kernel, jsd, channels-last logits": lambda: kernel(last, size, [JSD]),
        "kernel, jsd, fp32 logits": lambda: kernel(single, size, [JSD]),
        "kernel, jsd, fp16 values and labels": lambda: kernel(
            inputs, size, [JSD], UNKNOWN, torch.float16
        ),
    }
    graphs = {name: capture(run, REPEATS) for name, run in variants.items()}
    # It waits for the device, so no graph can hold it.
    tiled = partial(compute_by_tiles, ScoreInputs(logits), size, [ScoreChannel("jsd")])
    graphs["tiled PyTorch, jsd"] = lambda: [tiled() for _ in range(REPEATS)]
    times = _per_head(time_in_turns(graphs, rounds))
    moved = logits.numel() * 2 + math.prod(size) * (1 + 4)
    floor = Floor.of(moved, 0, "fp16", rates)
    return {name: compare(times, name, floor) for name in times}


@torch.inference_mode()
def try_blocks(size: Size, classes: int, rounds: int, device: torch.device) -> dict[str, Any]:
    """JSD with other shapes of the program's instances."""
    inputs = make_inputs(size, classes, torch.float16, device)
    shapes = [Blocks(c, r, w) for c, w in ((64, 2), (128, 4), (256, 4)) for r in (1, 2, 4, 8)]
    graphs = {
        f"{one.columns} columns, {one.rows} rows, {one.warps} warps": capture(
            partial(GpuHeadKernel(one), inputs, size, [JSD]), REPEATS
        )
        for one in shapes
    }
    return {
        name: spread(values) for name, values in _per_head(time_in_turns(graphs, rounds)).items()
    }


def _define(inputs: HeadInputs, size: Size, score: str) -> tuple[Tensor, Tensor]:
    assert inputs.outlier_logits is not None
    full, outlier = (
        functional.interpolate(one.double(), size=size, mode="bilinear", align_corners=False)
        for one in (inputs.logits, inputs.outlier_logits)
    )
    statistics = ScoreStatistics(
        max_logit_mean=inputs.class_mean, max_logit_deviation=inputs.class_deviation
    )
    return full, SCORES[score](full, outlier_logits=outlier, statistics=statistics)


def _channel(score: str) -> KernelChannel:
    known = SCORES[score]
    return KernelChannel(score, known.temperature or 1.0, 1.0 if known.bounded else math.inf)


def _per_head(times: Times) -> dict[str, list[float]]:
    return {name: [one / REPEATS for one in values] for name, values in times.items()}


if __name__ == "__main__":
    main()

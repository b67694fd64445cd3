"""What the open-set head costs on a CPU, beside the textbook's head and a closed-set arg-max.

    python -m benchmarks.head --width 2048 --height 1024

All variants take turns in one process, so that a busy machine is busy for all of them. Writes
benchmarks/results/head.json: medians, spreads, and how many times each is above the floor, which is
the bytes that must move (logits in, label and score out) over the measured copy bandwidth.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.machine import ROOT, save_result
from open_set_seg.benchmark.floors import measure_bandwidth
from open_set_seg.benchmark.heads import textbook_head
from open_set_seg.benchmark.turns import median_ratio, spread, take_turns
from open_set_seg.head import ScoreChannel, UnknownRule, compute_channels, head_backend
from open_set_seg.head.tiles import compute_by_tiles
from open_set_seg.kernels import HeadInputs, HeadKernel, HeadMaps, KernelChannel
from open_set_seg.scores import SCORES, ScoreInputs

# One for each formula that the kernel knows.
KERNEL_SCORES = (
    *("jsd", "msp", "entropy", "kl", "max_logit", "energy"),
    *("sml", "op", "op_ms", "dense_hybrid"),
)
RULE = UnknownRule(threshold=0.5, label=255)
Variants = dict[str, Callable[[], Any]]


def main() -> None:
    """Measure all variants and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--height", type=int, default=1024)
    parser.add_argument("--classes", type=int, default=19)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--name", default="head", help="of the result file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    size = (options.height, options.width)
    logits = make_logits(options.classes, size)
    with torch.inference_mode():
        variants = make_variants(logits, size, options.threads)
        differences = compare_with_definition(logits, size, options.threads)
        load_before = os.getloadavg()[0]
        times = take_turns(variants, options.rounds).wall
        bandwidth = measure_bandwidth()
    moved = logits.numel() * 4 + math.prod(size) * (1 + 4)
    floor_ms = moved / bandwidth * 1e3
    result = {
        "what": "head",
        **vars(options),
        "backend": head_backend(),
        "load_average_before": round(load_before, 2),
        "bytes_that_must_move": moved,
        "copy_bandwidth_GB_per_s": round(bandwidth / 1e9, 2),
        "floor_ms": round(floor_ms, 3),
        "differences_from_float64": differences,
        "results": summarise(times, floor_ms),
    }
    save_result(ROOT / "benchmarks" / "results" / f"{options.name}.json", result)


def make_logits(classes: int, size: tuple[int, int]) -> Tensor:
    """Smooth regions of sure and unsure classes, at a quarter of the image's size."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(1, classes, size[0] // 32, size[1] // 32, generator=generator) * 6.0
    return functional.interpolate(coarse, size=(size[0] // 4, size[1] // 4), mode="bicubic")


def make_inputs(logits: Tensor) -> HeadInputs:
    """With an outlier head and the statistics that standardise the largest logit."""
    mean, deviation = torch.full((2, logits.shape[1]), 2.0)
    return HeadInputs(logits, logits[:, :2].flip(dims=(3,)).contiguous(), mean, deviation)


def make_variants(logits: Tensor, size: tuple[int, int], threads: int) -> Variants:
    """Name -> what to time."""

    def upsample() -> Tensor:
        return functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)

    jsd, inputs = [_channel("jsd")], ScoreInputs(logits)
    coarse = ScoreChannel("jsd", coarse=True)
    variants: Variants = {
        "textbook": lambda: textbook_head(logits, size),
        "closed set: upsample + argmax": lambda: upsample().argmax(dim=1),
        "closed set: upsample + max": lambda: upsample().max(dim=1),
        "tiled PyTorch, jsd": lambda: compute_by_tiles(inputs, size, [ScoreChannel("jsd")]),
        "coarse jsd: kernel's arg-max, PyTorch's score of the grid": lambda: compute_channels(
            inputs, size, [coarse]
        ),
        **_make_kernel_variants(HeadKernel(), make_inputs(logits), size, threads),
    }
    for level in range(HeadKernel().best_level):
        lower = HeadKernel(level=level)
        name = f"kernel, jsd, {lower.instructions} only"
        variants[name] = partial(lower, HeadInputs(logits), size, jsd, threads)
    return variants


def _make_kernel_variants(
    kernel: HeadKernel, inputs: HeadInputs, size: tuple[int, int], threads: int
) -> Variants:
    jsd, channels = [_channel("jsd")], [_channel(name) for name in KERNEL_SCORES]
    last = HeadInputs(inputs.logits.contiguous(memory_format=torch.channels_last))
    odd = (size[0] - 1, size[1] - 1)

    def label_after() -> Any:
        maps: HeadMaps = kernel(inputs, size, jsd, threads)[0]
        anomaly, nearest = maps.values[0].numpy(), maps.nearest.numpy()
        return np.where(anomaly > RULE.threshold, np.uint8(RULE.label), nearest)

    return {
        "kernel, arg-max alone": lambda: kernel(inputs, size, [], threads),
        **{
            f"kernel, {name}": partial(kernel, inputs, size, [channel], threads)
            for name, channel in zip(KERNEL_SCORES, channels, strict=True)
        },
        "kernel, all ten formulas": lambda: kernel(inputs, size, channels, threads),
        "kernel, jsd and labels": lambda: kernel(inputs, size, jsd, threads, RULE),
        "kernel, jsd, then labels by numpy": label_after,
        "kernel, jsd, channels-last logits": lambda: kernel(last, size, jsd, threads),
        "kernel, jsd, one row and column less": lambda: kernel(inputs, odd, jsd, threads),
        "kernel, jsd, one thread": lambda: kernel(inputs, size, jsd, 1),
    }


def compare_with_definition(
    logits: Tensor, size: tuple[int, int], threads: int
) -> dict[str, dict[str, float]]:
    """Largest difference of JSD, and the labels that differ, from the textbook in float64."""
    labels, expected = textbook_head(logits.double(), size)
    (nearest, (values,), _), _ = HeadKernel()(HeadInputs(logits), size, [_channel("jsd")], threads)
    tiled, (tiled_values,) = compute_by_tiles(ScoreInputs(logits), size, [ScoreChannel("jsd")])
    return {
        name: {
            "jsd": float((score - expected).abs().max()),
            "labels": int((label != labels).sum()),
        }
        for name, label, score in (
            ("textbook, float32", *textbook_head(logits, size)),
            ("tiled PyTorch", tiled, tiled_values),
            ("kernel", nearest, values),
        )
    }


def summarise(times: dict[str, list[float]], floor_ms: float) -> list[dict[str, Any]]:
    """Medians and spreads; ratios are medians of the rounds' ratios."""
    rows = []
    for name, values in times.items():
        row: dict[str, Any] = {"variant": name, "ms": spread(values)}
        for other in ("textbook", "closed set: upsample + argmax", "tiled PyTorch, jsd"):
            row[f"times faster than {other}"] = round(median_ratio(times[other], values), 2)
        row["times the floor"] = round(row["ms"]["p50"] / floor_ms, 1)
        rows.append(row)
    return rows


def _channel(score: str) -> KernelChannel:
    maximum = 1.0 if SCORES[score].bounded else math.inf
    return KernelChannel(score, SCORES[score].temperature or 1.0, maximum)


if __name__ == "__main__":
    main()

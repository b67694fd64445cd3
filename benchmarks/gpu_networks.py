"""Networks on a CUDA device, alone and with what may follow them: a part of ``benchmarks.gpu``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.device_time import capture, peak_memory, time_in_turns
from open_set_seg.backends.cuda import CudaGraphBackend
from open_set_seg.backends.protocol import Arithmetic
from open_set_seg.backends.pytorch import PyTorchBackend
from open_set_seg.backends.transfer import download
from open_set_seg.benchmark.floors import Floor, Rates
from open_set_seg.benchmark.heads import CLOSED_SET, textbook_head, upsample
from open_set_seg.benchmark.networks import build_random
from open_set_seg.benchmark.turns import median_ratio, spread, take_turns
from open_set_seg.frame import ImageRGB
from open_set_seg.kernels import GpuHeadKernel, HeadInputs, KernelChannel, UnknownRule
from open_set_seg.models import SegmentationOutput, count_parameters
from open_set_seg.models.cost import count_multiply_adds

JSD = KernelChannel("jsd", 2.0, 1.0)
UNKNOWN = UnknownRule(0.5, 19)
Size = tuple[int, int]
Times = Mapping[str, Sequence[float]]


def time_network(
    name: str, arithmetic: Arithmetic, size: Size, classes: int, rounds: int, rates: Rates,
    device: torch.device,
) -> dict[str, Any]:  # fmt: skip
    """A network alone and with what may follow it, on the device and from host to host."""
    # Outside of inference mode: parameters that are made in it cannot be used out of it.
    network, kernel = build_random(name, classes, 1.0, outlier_head=False), GpuHeadKernel()
    operations = 2 * count_multiply_adds(network, *size)
    backend = PyTorchBackend(network, device, arithmetic)
    rgb = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    image = torch.from_numpy(rgb).to(device)

    def answer() -> SegmentationOutput:
        output: SegmentationOutput = backend.network(backend.prepare(image))
        return output

    def finish(output: SegmentationOutput) -> list[Tensor]:
        maps = kernel(HeadInputs(output.logits), size, [JSD], UNKNOWN, torch.float16)
        return [maps.values[0], *(one for one in (maps.labels,) if one is not None)]

    variants: dict[str, Callable[[], Any]] = {
        "network": answer,
        CLOSED_SET: lambda: upsample(answer().logits, size).argmax(dim=1),
        "textbook": lambda: textbook_head(answer().logits.float(), size),
        "kernel, jsd": lambda: finish(answer()),
    }
    with torch.inference_mode():
        memory = {variant: peak_memory(run) for variant, run in variants.items()}
        graphs = {variant: capture(run) for variant, run in variants.items()}
        graphs["network, no graph"] = answer
        times = time_in_turns(graphs, rounds)
        graph = CudaGraphBackend(network, device, arithmetic)
        host = time_host(graph, backend, finish, rgb, rounds)
    element = 4 if arithmetic == "fp32" else 2
    moved = math.prod(size) * (3 + 1 + 2) + count_parameters(network) * element
    floor = Floor.of(moved, operations, arithmetic, rates)
    return {
        "device": {variant: compare(times, variant, floor) for variant in times},
        "host_to_host": host,
        "memory_MiB": memory,
    }


def time_host(
    graph: CudaGraphBackend,
    eager: PyTorchBackend,
    finish: Callable[[SegmentationOutput], list[Tensor]],
    rgb: ImageRGB,
    rounds: int,
) -> dict[str, Any]:
    """Wall-clock time of an image in host memory until its labels and anomaly are there too."""
    small = [one.clone() for one in finish(graph(rgb))]
    variants: dict[str, Callable[[], Any]] = {
        "graph, kernel": lambda: download(finish(graph(rgb))),
        "no graph, kernel": lambda: download(finish(eager(rgb))),
        f"no graph, {CLOSED_SET}": lambda: (
            upsample(eager(rgb).logits, rgb.shape[:2]).argmax(dim=1).to(torch.uint8).cpu()
        ),
        "image up, converted": lambda: eager.image_tensor(rgb),
        "labels and fp16 anomaly down": lambda: download(small),
    }
    times = take_turns(variants, rounds, graph.device).wall
    return {name: spread(values) for name, values in times.items()}


def compare(times: Times, name: str, floor: Floor) -> dict[str, Any]:
    """A variant's milliseconds, its share of the closed set's, and how far from the floor it is."""
    ms = spread(times[name])
    return {
        "ms": ms,
        f"of {CLOSED_SET}": median_ratio(times[name], times[CLOSED_SET]),
        "floor": floor.describe(ms["p50"]),
    }

"""What runs the network: every backend in every precision, and the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from open_set_seg.backends import (
    Arithmetic,
    Backend,
    OnnxRuntimeBackend,
    OpenVinoBackend,
    PyTorchBackend,
    find_pytorch,
    open_backend,
)
from open_set_seg.benchmark.config import BenchmarkConfig
from open_set_seg.benchmark.networks import NetworkSource
from open_set_seg.frame import ImageRGB
from open_set_seg.models import SegmentationOutput
from open_set_seg.opening import OpenedModel

BASELINE = "pytorch fp32 NCHW"
OUTLIER_SUFFIX = " + outlier head"


@dataclass(frozen=True)
class EngineSpec:
    """One way to run the network; can be sent to another process.

    Attributes:
        name: in results.
        backend: key of a backend; ``baseline``; ``file`` for a model file.
        arithmetic: of the network.
        file: the model file.
        outlier_head: whether a random network has a second head.
    """

    name: str
    backend: str
    arithmetic: Arithmetic
    file: Path | None = None
    outlier_head: bool = False

    @property
    def floor_arithmetic(self) -> str:
        """What the matrix products are computed in, mostly."""
        if self.file is None:
            return self.arithmetic
        quantised = self.file.suffix == ".xml" and '"FakeQuantize"' in self.file.read_text("utf-8")
        return "int8" if quantised else self.arithmetic

    def with_outlier_head(self) -> EngineSpec:
        """The same for a network with a second head."""
        return replace(self, name=self.name + OUTLIER_SUFFIX, outlier_head=True)


@dataclass(frozen=True, eq=False)
class Engine:
    """An open engine.

    Attributes:
        spec: what it is.
        backend: runs the network.
        model: network, metadata and statistics behind it.
    """

    spec: EngineSpec
    backend: Backend
    model: OpenedModel

    @property
    def pytorch(self) -> PyTorchBackend | None:
        """The backend, where it can do what interventions need."""
        return find_pytorch(self.backend)


@dataclass(frozen=True)
class Absent:
    """What could not be measured, and why."""

    what: str
    reason: str


class PlainBackend:
    """The network as a first script runs it: fp32, eager, images and weights in NCHW order.

    Args:
        network: stays in the memory format that it has.
        device: where to.
    """

    name = "baseline"
    image_size: tuple[int, int] | None = None

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self.device = device
        self.network = network.eval().to(device=device, dtype=torch.float32)
        self.description = f"PyTorch on {device}, fp32, NCHW"

    def __call__(self, rgb: ImageRGB) -> SegmentationOutput:
        """See ``Backend``."""
        image = torch.from_numpy(rgb).to(self.device).permute(2, 0, 1).unsqueeze(0)
        image = image.to(torch.float32, memory_format=torch.contiguous_format)
        with torch.inference_mode():
            output: SegmentationOutput = self.network(image)
        return output


def plan_engines(config: BenchmarkConfig) -> list[EngineSpec]:
    """Every engine of a configuration, the baseline first."""
    precisions: Sequence[Arithmetic] = config.precisions  # type: ignore[assignment]
    specs = [EngineSpec(BASELINE, "baseline", "fp32")]
    for backend in config.backends:
        specs += [EngineSpec(f"{backend} {one}", backend, one) for one in precisions]
    for file in config.model_files:
        # What an ONNX file computes in is written in the file.
        fixed = file.suffix == ".onnx"
        specs += [
            EngineSpec(file.name if fixed else f"{file.name} {one}", "file", one, file)
            for one in (precisions[:1] if fixed else precisions)
        ]
    return specs


def open_engine(
    spec: EngineSpec, source: NetworkSource, device: torch.device, rgb: ImageRGB
) -> Engine | Absent:
    """The engine after its first image, or why it is not there."""
    model = source.open(spec.outlier_head)
    try:
        backend = _open_backend(spec, model.network, device)
        backend(rgb)
    except (ValueError, ModuleNotFoundError) as error:
        return Absent(spec.name, str(error))
    return Engine(spec, backend, model)


def _open_backend(spec: EngineSpec, network: nn.Module, device: torch.device) -> Backend:
    if spec.backend == "baseline":
        return PlainBackend(network, device)
    if spec.file is not None and spec.file.suffix == ".onnx":
        return OnnxRuntimeBackend.from_file(spec.file, device)
    if spec.file is not None:
        return OpenVinoBackend.from_file(spec.file, device, spec.arithmetic)
    return open_backend(spec.backend, network, device, spec.arithmetic)

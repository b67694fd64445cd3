"""The network in OpenVINO, on a CPU."""

from __future__ import annotations

import copy
import logging
import platform
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from open_set_seg.backends.agreement import check_agreement
from open_set_seg.backends.openvino_models import (
    NETWORK_LAYOUT,
    convert_network,
    find_layout,
    find_size,
    shape_model,
)
from open_set_seg.backends.protocol import Arithmetic, BackendError, find_outputs, shorten
from open_set_seg.backends.pytorch import PyTorchBackend
from open_set_seg.backends.telemetry import import_openvino
from open_set_seg.frame import ImageRGB
from open_set_seg.models import SegmentationOutput

logger = logging.getLogger(__name__)

# Sizes of images that are kept compiled, each with its own copy of the weights.
KEPT_SIZES = 4
_HINTS: dict[Arithmetic, str] = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoBackend:
    """Compiles the network for the size of an image when the first one of that size comes.

    A size takes seconds, which the log says. A network of PyTorch is converted for every size and
    compared with the original on an image of noise before it is used. Its features are not given.

    Args:
        network: as ``PyTorchBackend`` takes it, of which a copy is made; or an ``openvino.Model``
            with one image as input, uint8 or floating on 0..255, (1, 3, H, W) or (1, H, W, 3), and
            the outputs ``logits`` and perhaps ``outlier_logits``. A single output is ``logits``
            whatever its name. What is left open of H and W is open to images.
        device: a CPU.
        arithmetic: fp32, or bf16 where the processor computes in it; of a quantised model, that of
            the layers that are not quantised.
        title: of the model in words, for descriptions.

    Raises:
        BackendError: OpenVINO is missing, or does not do this here.
    """

    name = "openvino"

    def __init__(
        self,
        network: nn.Module | Any,
        device: torch.device,
        arithmetic: Arithmetic = "fp32",
        title: str = "",
    ) -> None:
        openvino = _require_openvino()
        if device.type != "cpu":
            raise BackendError(f"the backend openvino runs on CPUs, not on {device}")
        self._core = openvino.Core()
        check_arithmetic(arithmetic, self._core)
        self.device = device
        self._arithmetic = arithmetic
        threads = torch.get_num_threads()
        self._configuration = _configure(arithmetic, threads)
        self._reference: PyTorchBackend | None = None
        self.image_size: tuple[int, int] | None = None
        if isinstance(network, nn.Module):
            self._reference = PyTorchBackend(_copy(network), device, "fp32")
            self._layout = NETWORK_LAYOUT
        else:
            self._model, self._layout = network, find_layout(network)
            self.image_size = find_size(network, self._layout)
        self._compiled: OrderedDict[tuple[int, int], _Compiled] = OrderedDict()
        self._warned = False
        where = f"{device} ({platform.machine()}, {threads} threads)"
        self.description = ", ".join(filter(None, (f"OpenVINO on {where}", arithmetic, title)))

    @classmethod
    def from_file(
        cls, path: str | Path, device: torch.device, arithmetic: Arithmetic = "fp32"
    ) -> OpenVinoBackend:
        """The backend of a model file (.xml with its .bin beside it); see the constructor.

        Raises:
            BackendError: no usable model file, or as the constructor.
        """
        try:
            model = _require_openvino().Core().read_model(Path(path))
        except RuntimeError as error:
            raise BackendError(
                f"{path} is no model that OpenVINO reads: {shorten(error)}"
            ) from error
        return cls(model, device, arithmetic, Path(path).name)

    def __call__(self, rgb: ImageRGB) -> SegmentationOutput:
        """See ``Backend``; the tensors belong to this backend and are written by every call."""
        size = (rgb.shape[0], rgb.shape[1])
        if size not in self._compiled:
            self._add(size)
        self._compiled.move_to_end(size)
        return self._compiled[size](rgb)

    def _add(self, size: tuple[int, int]) -> None:
        begin = time.perf_counter()
        try:
            model = self._model_for(size)
            program = _Compiled(model, self._layout, self._core, self._configuration)
        except BackendError:
            raise
        except Exception as error:  # whatever exporters and compilers raise
            raise BackendError(
                f"OpenVINO cannot run this network on {size[1]}x{size[0]} pixels: {shorten(error)}"
            ) from error
        if len(self._compiled) == KEPT_SIZES:
            self._compiled.popitem(last=False)
            self._warn_of_sizes()
        self._compiled[size] = program
        if self._reference is not None:
            try:
                check_agreement(self, self._reference, self._arithmetic, size)
            except BackendError:
                del self._compiled[size]
                raise
        logger.info(
            "openvino: ready for images of %dx%d pixels after %.1f s",
            *(size[1], size[0], time.perf_counter() - begin),
        )

    def _model_for(self, size: tuple[int, int]) -> Any:
        if self._reference is not None:
            return convert_network(self._reference.network, size)
        return shape_model(self._model, self._layout, size)

    def _warn_of_sizes(self) -> None:
        if not self._warned:
            logger.warning(
                "openvino: images of more than %d sizes come; each change of size takes seconds, "
                "and the backend pytorch may be faster for them",
                KEPT_SIZES,
            )
        self._warned = True


class _Compiled:
    """A network for one size of images."""

    def __init__(self, model: Any, layout: str, core: Any, configuration: dict[str, Any]) -> None:
        openvino = import_openvino()
        steps = openvino.preprocess.PrePostProcessor(model)
        steps.input().tensor().set_element_type(openvino.Type.u8)
        steps.input().tensor().set_layout(openvino.Layout("NHWC"))
        steps.input().model().set_layout(openvino.Layout(layout))
        for index in range(len(model.outputs)):
            steps.output(index).tensor().set_element_type(openvino.Type.f32)
        compiled = core.compile_model(steps.build(), "CPU", configuration)
        self._request = compiled.create_infer_request()
        self._outputs: dict[str, Tensor] = {}
        # Memory of PyTorch: it stays valid whatever becomes of the compiled network.
        for name, port in _find_outputs(compiled).items():
            memory = torch.empty(tuple(port.shape), dtype=torch.float32)
            self._request.set_tensor(port, openvino.Tensor(memory.numpy(), shared_memory=True))
            self._outputs[name] = memory

    def __call__(self, rgb: ImageRGB) -> SegmentationOutput:
        image = np.require(rgb, requirements=["C", "W"])[None]
        self._request.infer([image], share_inputs=True, share_outputs=True)
        return SegmentationOutput(**self._outputs)


def check_arithmetic(arithmetic: Arithmetic, core: Any | None = None) -> None:
    """Raise ``BackendError`` unless OpenVINO computes so on this CPU."""
    if arithmetic not in _HINTS:
        raise BackendError(f"the backend openvino computes in fp32 or bf16, not in {arithmetic}")
    core = core or _require_openvino().Core()
    able = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if arithmetic == "bf16" and "BF16" not in able:
        raise BackendError("this processor has no bf16 arithmetic for OpenVINO: take fp32")


def _find_outputs(model: Any) -> dict[str, Any]:
    by_name = {name: port for port in model.outputs for name in port.get_names()}
    return find_outputs(by_name, model.outputs)


def _configure(arithmetic: Arithmetic, threads: int) -> dict[str, Any]:
    return {
        # Said explicitly: left alone, OpenVINO takes bf16 wherever the processor has it.
        "INFERENCE_PRECISION_HINT": _HINTS[arithmetic],
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": threads,
        # Other processes of a robot need the processors too: let the system move threads.
        "ENABLE_CPU_PINNING": False,
    }


def _copy(network: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(network)
    except Exception as error:  # a module may hold anything
        raise BackendError(
            f"OpenVINO cannot take this network, of which no copy can be made: {shorten(error)}"
        ) from error


def _require_openvino() -> Any:
    try:
        return import_openvino()
    except ImportError as error:
        raise BackendError(
            f"the backend openvino needs OpenVINO ({shorten(error)}): "
            "pip install 'open_set_seg[openvino]'"
        ) from error

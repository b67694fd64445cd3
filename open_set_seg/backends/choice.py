"""Which backend runs a network: by name, or the preferred one that is there and agrees."""

from __future__ import annotations

import functools
import importlib.util
import logging
from collections.abc import Callable

import torch
from torch import nn

from open_set_seg.backends.cuda import CudaGraphBackend
from open_set_seg.backends.openvino import OpenVinoBackend, check_arithmetic
from open_set_seg.backends.protocol import Arithmetic, Backend, BackendError
from open_set_seg.backends.pytorch import PyTorchBackend
from open_set_seg.frame import ImageRGB
from open_set_seg.models import SegmentationOutput

logger = logging.getLogger(__name__)

AUTOMATIC = "auto"
# Each is made of a network, a device and an arithmetic.
BACKENDS: dict[str, Callable[[nn.Module, torch.device, Arithmetic], Backend]] = {
    "pytorch": PyTorchBackend,
    "openvino": OpenVinoBackend,
    "cuda_graph": CudaGraphBackend,
}
# What ``auto`` means on a kind of device.
_PREFERRED = {"cpu": "openvino", "cuda": "cuda_graph"}


class AutomaticBackend:
    """A fast backend, and PyTorch from the moment at which that one cannot run the network.

    Args:
        first: the fast one.
        make_second: makes the other one, when it is needed.
    """

    def __init__(self, first: Backend, make_second: Callable[[], Backend]) -> None:
        self.active = first
        self._make_second: Callable[[], Backend] | None = make_second

    @property
    def name(self) -> str:
        """See ``Backend``; of the active one, as everything here."""
        return self.active.name

    @property
    def device(self) -> torch.device:
        """See ``Backend``."""
        return self.active.device

    @property
    def description(self) -> str:
        """See ``Backend``."""
        return self.active.description

    @property
    def image_size(self) -> tuple[int, int] | None:
        """See ``Backend``."""
        return self.active.image_size

    def __call__(self, rgb: ImageRGB) -> SegmentationOutput:
        """See ``Backend``."""
        try:
            return self.active(rgb)
        except BackendError as error:
            if self._make_second is None:
                raise
            logger.warning("the network runs in PyTorch from here on: %s", error)
            self.active = self._make_second()
            self._make_second = None
            return self.active(rgb)


def open_backend(
    name: str, network: nn.Module, device: torch.device, arithmetic: Arithmetic
) -> Backend:
    """The backend of a name.

    Args:
        name: ``auto`` or a key of ``BACKENDS``. ``auto`` takes what ``explain_choice`` says, and
            PyTorch where that turns out not to run the network, or to say something else.
        network: maps RGB (B, 3, H, W) on 0..255 to a ``SegmentationOutput``; it may be moved.
        device: where to.
        arithmetic: of the network.

    Raises:
        BackendError: an unknown name, or a backend that is not there.
    """
    check_backend(name)
    if name != AUTOMATIC:
        return BACKENDS[name](network, device, arithmetic)
    chosen, reason = explain_choice(device, arithmetic)
    pytorch = functools.partial(PyTorchBackend, network, device, arithmetic)
    if chosen == PyTorchBackend.name:
        if chosen != _PREFERRED[device.type]:
            _warn_once(f"the network runs in PyTorch: {reason}")
        return pytorch()
    try:
        return AutomaticBackend(BACKENDS[chosen](network, device, arithmetic), pytorch)
    except BackendError as error:
        _warn_once(f"the network runs in PyTorch: {error}")
        return pytorch()


def check_backend(name: str) -> None:
    """Raise ``BackendError`` unless ``name`` is ``auto`` or a key of ``BACKENDS``."""
    if name not in (AUTOMATIC, *BACKENDS):
        known = ", ".join((AUTOMATIC, *BACKENDS))
        raise BackendError(f"unknown backend {name!r}: expected one of {known}")


def explain_choice(device: torch.device, arithmetic: Arithmetic = "fp32") -> tuple[str, str]:
    """What ``auto`` takes on a device, as far as can be told without the network.

    Returns:
        key of ``BACKENDS``, and the reason in words.
    """
    preferred = _PREFERRED[device.type]
    if preferred != OpenVinoBackend.name:
        return preferred, "all kernels of the network are started at once"
    if importlib.util.find_spec("openvino") is None:
        return PyTorchBackend.name, (
            "OpenVINO, which is faster on CPUs, is not installed: "
            "pip install 'open_set_seg[openvino]'"
        )
    try:
        check_arithmetic(arithmetic)
    except BackendError as error:
        return PyTorchBackend.name, str(error)
    return preferred, "OpenVINO is installed, and the fastest on CPUs"


def find_pytorch(backend: Backend) -> PyTorchBackend | None:
    """The backend itself where its output holds features and interventions may use its network."""
    if isinstance(backend, AutomaticBackend):
        backend = backend.active
    return backend if isinstance(backend, PyTorchBackend) else None


@functools.cache
def _warn_once(text: str) -> None:
    logger.warning("%s", text)

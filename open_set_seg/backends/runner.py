"""A network behind the backend of choice, and behind PyTorch where more than logits is wanted."""

from __future__ import annotations

import logging

import torch
from torch import nn

from open_set_seg.backends.choice import AUTOMATIC, check_backend, find_pytorch, open_backend
from open_set_seg.backends.protocol import Arithmetic, Backend, BackendError
from open_set_seg.backends.pytorch import PyTorchBackend

logger = logging.getLogger(__name__)


class NetworkRunner:
    """Knows which backend a frame needs.

    Args:
        network: as for ``open_backend``.
        device: where it runs.
        backend: ``auto`` or a key of ``BACKENDS``.
        arithmetic: of the network.
        whole: whether every frame will need more than logits: ``auto`` is PyTorch then.

    Raises:
        BackendError: as ``open_backend``, or ``whole`` and a backend that gives logits alone.
    """

    def __init__(
        self,
        network: nn.Module,
        device: torch.device,
        backend: str = AUTOMATIC,
        arithmetic: Arithmetic = "fp32",
        whole: bool = False,
    ) -> None:
        check_backend(backend)
        self._network, self._arithmetic = network, arithmetic
        self._automatic = backend == AUTOMATIC
        if whole and self._automatic and device.type == "cpu":
            backend = PyTorchBackend.name
        self._backend = open_backend(backend, network, device, arithmetic)
        self._second: PyTorchBackend | None = None
        if whole:
            self.check_whole()

    @property
    def network(self) -> nn.Module:
        """The network in PyTorch."""
        return self._network

    @property
    def description(self) -> str:
        """Of the backend that runs plain frames, in words."""
        return self._backend.description

    def check_whole(self) -> None:
        """Raise ``BackendError`` where ``choose`` has no backend for features."""
        if not self._automatic and find_pytorch(self._backend) is None:
            raise BackendError(
                f"the backend {self._backend.name} gives logits alone; the backends auto and "
                "pytorch give features and allow interventions"
            )

    def choose(self, whole: bool) -> Backend:
        """The backend for one frame.

        Args:
            whole: whether features are wanted, or an intervention will follow.
        """
        return self.whole() if whole else self._backend

    def whole(self) -> PyTorchBackend:
        """The backend whose output holds features and whose network interventions may use.

        Raises:
            BackendError: as ``check_whole``.
        """
        found = find_pytorch(self._backend) or self._second
        if found is None:
            self.check_whole()
            found = PyTorchBackend(self._network, self._backend.device, self._arithmetic)
            logger.info("frames that need features or an intervention: %s", found.description)
            self._second = found
        return found

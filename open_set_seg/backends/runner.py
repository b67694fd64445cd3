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
        network: as for ``open_backend``, or a backend that runs one already.
        device: where it runs.
        backend: ``auto`` or a key of ``BACKENDS``.
        arithmetic: of the network.
        whole: whether every frame will need more than logits: ``auto`` is PyTorch then.

    Raises:
        BackendError: as ``open_backend``, or another backend than the one that was given.
    """

    def __init__(
        self,
        network: nn.Module | Backend,
        device: torch.device,
        backend: str = AUTOMATIC,
        arithmetic: Arithmetic = "fp32",
        whole: bool = False,
    ) -> None:
        check_backend(backend)
        self._arithmetic = arithmetic
        self._second: PyTorchBackend | None = None
        if not isinstance(network, nn.Module):
            self._network, self._backend = None, network
            if backend not in (AUTOMATIC, network.name):
                raise BackendError(
                    f"this model runs in the backend {network.name} alone, not in {backend}"
                )
            return
        if whole and backend == AUTOMATIC and device.type == "cpu":
            backend = PyTorchBackend.name
        # An explicit choice is kept for every frame.
        self._network = network if backend == AUTOMATIC else None
        self._backend = open_backend(backend, network, device, arithmetic)

    @property
    def name(self) -> str:
        """Key of the backend that runs plain frames."""
        return self._backend.name

    @property
    def description(self) -> str:
        """Of the backend that runs plain frames, in words."""
        return self._backend.description

    @property
    def image_size(self) -> tuple[int, int] | None:
        """(H, W) of the only images that it takes; None: of any."""
        return self._backend.image_size

    @property
    def gives_features(self) -> bool:
        """Whether ``whole`` has a backend."""
        return self._network is not None or find_pytorch(self._backend) is not None

    def choose(self, whole: bool) -> Backend:
        """The backend for one frame.

        Args:
            whole: whether features are wanted, or an intervention will follow.
        """
        return self.whole() if whole else self._backend

    def whole(self) -> PyTorchBackend:
        """The backend whose output holds features and whose network interventions may use.

        Raises:
            BackendError: there is none, because a backend was chosen that gives logits alone.
        """
        found = find_pytorch(self._backend) or self._second
        if found is not None:
            return found
        if self._network is None:
            raise BackendError(
                f"the backend {self._backend.name} gives logits alone: features and "
                "interventions need the backend auto or pytorch"
            )
        self._second = PyTorchBackend(self._network, self._backend.device, self._arithmetic)
        logger.info("for features and interventions: %s", self._second.description)
        return self._second

"""The network in PyTorch on a CUDA device, its kernels started as one graph."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Any

import torch
from torch import nn

from open_set_seg.backends.protocol import Arithmetic, BackendError, shorten
from open_set_seg.backends.pytorch import PyTorchBackend
from open_set_seg.backends.transfer import ImageUpload
from open_set_seg.frame import ImageRGB
from open_set_seg.models import SegmentationOutput

logger = logging.getLogger(__name__)

# Graphs of so many image sizes are kept, those used last.
KEPT_SIZES = 4
# Before a graph is recorded, so that libraries have made their choices and their workspaces.
_WARM_UPS = 3


class CudaGraphBackend(PyTorchBackend):
    """Runs a network as it is; a graph is recorded at the first image of every size.

    A small network's hundreds of kernels are started faster than they run only in a graph. What it
    computes is what PyTorch computes without it. A network that cannot be recorded, because it
    asks the device for a value in between, runs without; the log says so.

    Args:
        network: maps RGB (B, 3, H, W) on 0..255 to a ``SegmentationOutput``; it is moved.
        device: a CUDA device.
        arithmetic: of the network.

    Raises:
        BackendError: another device.
    """

    name = "cuda_graph"

    def __init__(self, network: nn.Module, device: torch.device, arithmetic: Arithmetic) -> None:
        if device.type != "cuda":
            raise BackendError(f"CUDA graphs need a CUDA device, not {device}")
        super().__init__(network, device, arithmetic)
        self.description += ", CUDA graphs"
        self._recordings: OrderedDict[tuple[int, int], Recording | None] = OrderedDict()
        with torch.cuda.device(device):
            # One memory for all sizes, which torch shares on one stream: no two graphs ever run at
            # the same time.
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, rgb: ImageRGB) -> SegmentationOutput:
        """See ``Backend``."""
        recording = self._find(rgb.shape[:2])
        return super().__call__(rgb) if recording is None else recording(rgb)

    def _find(self, size: tuple[int, int]) -> Recording | None:
        """The recording of a size; None where it was tried in vain."""
        if size not in self._recordings:
            while len(self._recordings) >= KEPT_SIZES:
                self._recordings.popitem(last=False)
            self._recordings[size] = self._record(size)
        self._recordings.move_to_end(size)
        return self._recordings[size]

    def _record(self, size: tuple[int, int]) -> Recording | None:
        try:
            return Recording(self, size, self._stream, self._pool)
        except RuntimeError as error:
            # What ends a recording that has failed only says that it has.
            cause = error.__context__ if isinstance(error.__context__, Exception) else error
            logger.warning(
                "no CUDA graph for images of %d x %d, their kernels are started one by one: %s",
                *(size[1], size[0], shorten(cause)),
            )
            return None


class Recording:
    """What a network does with images of one size, as a graph.

    Args:
        backend: whose network and arithmetic.
        size: (H, W).
        stream: to record on.
        pool: memory that recordings share: an output lasts until another one runs.

    Raises:
        RuntimeError: the network does something that cannot be recorded.
    """

    def __init__(
        self,
        backend: PyTorchBackend,
        size: tuple[int, int],
        stream: torch.cuda.Stream,
        pool: Any,
    ) -> None:
        self._device = backend.device
        current = torch.cuda.current_stream(self._device)
        with torch.inference_mode(), torch.cuda.device(self._device):
            self._upload = ImageUpload(size, self._device)
            image, self._graph = self._upload.image, torch.cuda.CUDAGraph()
            stream.wait_stream(current)
            try:
                with torch.cuda.stream(stream):
                    for _ in range(_WARM_UPS):
                        backend.network(backend.prepare(image))
                # Other threads may go on using the device meanwhile.
                with torch.cuda.graph(
                    self._graph, pool=pool, stream=stream, capture_error_mode="thread_local"
                ):
                    self._output: SegmentationOutput = backend.network(backend.prepare(image))
            finally:
                # Where recording fails, torch leaves its stream the current one.
                torch.cuda.set_stream(current)

    def __call__(self, rgb: ImageRGB) -> SegmentationOutput:
        """The output, which the next call overwrites."""
        with torch.inference_mode(), torch.cuda.device(self._device):
            self._upload(rgb)
            self._graph.replay()
        return self._output

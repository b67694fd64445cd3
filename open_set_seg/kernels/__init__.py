"""Compiled kernels. Each is optional: where it is not there, PyTorch does its work.

``head.c`` and what it includes is the open-set head on a CPU, built by ``setup.py`` into the shared
object ``head.so`` beside this file and called through ctypes, which lets other Python threads run.
``gpu_program`` is the head on a CUDA device; it imports triton, so only ``gpu_head`` imports it,
and not before such a device is there.
"""

from open_set_seg.kernels.cpu_head import HeadKernel, choose_head_kernel
from open_set_seg.kernels.gpu_head import GpuHeadKernel, choose_gpu_head_kernel
from open_set_seg.kernels.requests import (
    HeadInputs,
    HeadMaps,
    KernelChannel,
    NotBuiltError,
    UnknownRule,
)
from open_set_seg.kernels.wish import BACKEND_VARIABLE

__all__ = [
    "BACKEND_VARIABLE",
    "GpuHeadKernel",
    "HeadInputs",
    "HeadKernel",
    "HeadMaps",
    "KernelChannel",
    "NotBuiltError",
    "UnknownRule",
    "choose_gpu_head_kernel",
    "choose_head_kernel",
]

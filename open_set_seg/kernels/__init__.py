"""Compiled kernels. Each is optional: where it was not built, PyTorch does its work.

``head.c`` with ``scores.h`` is the open-set head on a CPU, built by ``setup.py`` into the shared
object ``head.so`` beside this file and called through ctypes, which lets other Python threads run.
"""

from open_set_seg.kernels.cpu_head import (
    BACKEND_VARIABLE,
    HeadKernel,
    KernelChannel,
    NotBuiltError,
    choose_head_kernel,
)

__all__ = ["BACKEND_VARIABLE", "HeadKernel", "KernelChannel", "NotBuiltError", "choose_head_kernel"]

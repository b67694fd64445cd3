"""Where a network runs and in which arithmetic: names to what is there."""

from __future__ import annotations

from typing import Literal

import torch

from open_set_seg.backends.protocol import Arithmetic
from open_set_seg.backends.pytorch import DTYPES

Precision = Literal["auto", "fp32", "bf16", "fp16"]


def choose_device(name: str) -> torch.device:
    """The torch device of a name, ``auto`` included.

    Raises:
        ValueError: no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"unknown device {name!r}: expected auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {name!r} was asked for, but torch sees no CUDA device here")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device {name!r}: torch sees {torch.cuda.device_count()} CUDA devices")
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"unknown device {name!r}: expected auto, cpu or cuda")
    return device


def choose_precision(name: Precision, device: torch.device) -> Arithmetic:
    """The arithmetic behind a precision name on ``device``.

    Raises:
        ValueError: unknown name, or fp16 on a CPU (which has no fast fp16 convolutions).
    """
    if name == "auto":
        return "fp32"
    if name not in DTYPES:
        raise ValueError(f"unknown precision {name!r}: expected auto, {', '.join(DTYPES)}")
    if name == "fp16" and device.type == "cpu":
        raise ValueError("fp16 is for CUDA devices; on a CPU take fp32 or bf16")
    return name

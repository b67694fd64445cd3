"""The open-set head: logits at stride 4 -> nearest known class and anomaly at full size.

Logits are upsampled bilinearly (half-pixel centres) to the image size *before* the score. Whatever
is not a finite number becomes anomaly 1: a network that cannot say anything about a pixel does not
know it.

On a CPU a C kernel does all of it in one walk over the logits, where it was built, and on a CUDA
device a Triton kernel, where triton is; else, and for what the kernels cannot do, PyTorch works
through the image in tiles. Setting ``OPEN_SET_SEG_HEAD`` to ``pytorch`` in the environment keeps
the kernels out.
"""

from open_set_seg.head.channels import HeadOutput, ScoreChannel, check_score
from open_set_seg.head.computation import (
    compute_channels,
    label_channels,
    open_set_head,
    reference_head,
)
from open_set_seg.head.fused import head_backend
from open_set_seg.kernels import UnknownRule

__all__ = [
    "HeadOutput",
    "ScoreChannel",
    "UnknownRule",
    "check_score",
    "compute_channels",
    "head_backend",
    "label_channels",
    "open_set_head",
    "reference_head",
]

"""What a network costs: parameters and multiply-adds."""

from __future__ import annotations

import torch
from torch import nn
from torch.func import functional_call


def count_parameters(model: nn.Module) -> int:
    """Number of numbers in the parameters of ``model``, frozen ones included."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_multiply_adds(model: nn.Module, height: int, width: int) -> int:
    """Multiply-adds of ``model``, in evaluation mode, for one image of ``height`` x ``width``.

    Counted exactly are convolutions and matrix products, C_in k_h k_w for every output number of a
    convolution. Normalisation, ReLU, pooling, resizing and biases are not counted, as in the
    papers; a FLOP count is twice as large. The pass runs on shapes alone: it takes no
    memory and no arithmetic, and ``model`` stays as it is.

    Args:
        model: network that takes RGB (1, 3, H, W).
        height: H in pixels.
        width: W in pixels.

    Raises:
        ValueError: a size below 1.
    """
    # Imports triton where that is installed: not for everybody who imports the networks.
    from torch.utils.flop_counter import FlopCounterMode

    if height < 1 or width < 1:
        raise ValueError(f"expected an image of at least 1 x 1 pixels, found {width} x {height}")
    tensors = {
        name: tensor.to("meta")
        for named in (model.named_parameters(), model.named_buffers())
        for name, tensor in named
    }
    dtype = next((t.dtype for t in tensors.values() if t.is_floating_point()), torch.float32)
    image = torch.empty(1, 3, height, width, dtype=dtype, device="meta")
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        functional_call(model, tensors, (image,))
    operations = int(counter.get_total_flops())
    return operations // 2

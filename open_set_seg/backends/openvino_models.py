"""Networks as models of OpenVINO, and what there is to know about such a model."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from open_set_seg.backends.protocol import OUTPUTS, BackendError
from open_set_seg.backends.telemetry import import_openvino
from open_set_seg.models import SegmentationOutput

NETWORK_LAYOUT = "NCHW"


def convert_network(network: nn.Module, size: tuple[int, int]) -> Any:
    """An ``openvino.Model`` of a network on a CPU, for (1, 3, H, W) images of one size.

    Args:
        network: returns a ``SegmentationOutput``; the model shares its weights and lacks the
            features.
        size: (H, W); networks may look at it while they are traced, so it is part of the model.
    """
    openvino = import_openvino()
    example = torch.zeros(1, 3, *size)
    with warnings.catch_warnings(), torch.no_grad():
        # Of the two packages about each other's parts; nothing that a user could do.
        warnings.simplefilter("ignore")
        program = torch.export.export(_Logits(network).eval(), (example,))
        model = openvino.convert_model(program)
    for name, port in zip(OUTPUTS, model.outputs, strict=False):
        port.get_tensor().set_names({name})
    return shape_model(model, NETWORK_LAYOUT, size)


def shape_model(model: Any, layout: str, size: tuple[int, int]) -> Any:
    """A copy of a model for images of one size.

    Args:
        model: an ``openvino.Model``.
        layout: as ``find_layout`` says.
        size: (H, W).

    Raises:
        BackendError: the model is for another one.
    """
    model = model.clone()
    expected = [1, 3, *size] if layout == "NCHW" else [1, *size, 3]
    shape = model.inputs[0].partial_shape
    if any(one.is_static and one.get_length() != n for one, n in zip(shape, expected, strict=True)):
        raise BackendError(
            f"the model takes images of shape {shape}, and this one has {size[1]}x{size[0]} pixels"
        )
    model.reshape(expected)
    return model


class _Logits(nn.Module):
    """A network without the outputs that no score of logits needs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        output: SegmentationOutput = self.network(image)
        return tuple(one for one in output[: len(OUTPUTS)] if one is not None)


def find_layout(model: Any) -> str:
    """The order of a model's input, NCHW or NHWC.

    Raises:
        BackendError: it does not take one RGB image.
    """
    if len(model.inputs) != 1:
        raise BackendError(f"expected a model with one input, found {len(model.inputs)}")
    shape = model.inputs[0].partial_shape
    if shape.rank.is_static and len(shape) == 4:
        for layout, axis in (("NCHW", 1), ("NHWC", 3)):
            if shape[axis].is_static and shape[axis].get_length() == 3:
                return layout
    raise BackendError(f"expected a model for (1, 3, H, W) or (1, H, W, 3), found {shape}")


def find_size(model: Any, layout: str) -> tuple[int, int] | None:
    """(H, W) of the only images that a model takes; None where either is open."""
    shape, rows = model.inputs[0].partial_shape, layout.index("H")
    sides = [shape[rows], shape[rows + 1]]
    if any(side.is_dynamic for side in sides):
        return None
    height, width = (int(side.get_length()) for side in sides)
    return height, width

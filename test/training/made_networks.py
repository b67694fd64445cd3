"""Networks that a command line can name as ``made_networks:...``, and their twins in ONNX."""

from __future__ import annotations

import time
from pathlib import Path

import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from open_set_seg.checkpoint import load_checkpoint


class Slow(nn.Module):
    """A linear network of stride 4 that takes its time."""

    def __init__(self, classes: int, seconds: float) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.layer = nn.Conv2d(3, classes, 4, stride=4)
        self.seconds = seconds

    def forward(self, image):
        time.sleep(self.seconds)
        return {"out": 3 * self.layer(image)}


def slow(classes: int = 12, seconds: float = 0.0) -> nn.Module:
    return Slow(classes, seconds)


class Logits(nn.Module):
    """A network of this package as anybody else's: a tensor of logits, nothing more."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image):
        return self.network(image).logits


def from_checkpoint(path: str) -> nn.Module:
    return Logits(load_checkpoint(path)[0])


def no_network() -> str:
    return "not a module"


def save_onnx(path: Path, network: Slow, height=None, width=None) -> Path:
    """The same network as an ONNX graph; of one size where height and width are given."""
    layer = network.layer
    weights = [("w", 3 * layer.weight), ("b", 3 * layer.bias)]
    constants = [numpy_helper.from_array(v.detach().numpy(), name) for name, v in weights]
    node = helper.make_node("Conv", ["image", "w", "b"], ["logits"], strides=[4, 4])
    size = [height or "height", width or "width"]
    entry = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, *size])
    result = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, "k", "h", "w"])
    graph = helper.make_graph([node], "made", [entry], [result], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path

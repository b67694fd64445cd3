"""Networks of other makes in files: TorchScript and ONNX, and the YAML that describes them.

A TorchScript file is a program that runs in torch's own interpreter: nothing of Python is unpickled
or imported. An ONNX graph is run by ONNX Runtime.
"""

from open_set_seg.foreign.description import (
    ModelDescription,
    is_description,
    read_description,
)
from open_set_seg.foreign.files import is_onnx, is_torchscript, open_network
from open_set_seg.foreign.onnx_network import OnnxNetwork
from open_set_seg.foreign.opening import open_described, refuse_undescribed

__all__ = [
    "ModelDescription",
    "OnnxNetwork",
    "is_description",
    "is_onnx",
    "is_torchscript",
    "open_described",
    "open_network",
    "read_description",
    "refuse_undescribed",
]

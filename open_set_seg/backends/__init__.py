"""What runs the network: one interface, an image in, the network's maps out."""

from open_set_seg.backends.choice import (
    AUTOMATIC,
    BACKENDS,
    AutomaticBackend,
    check_backend,
    explain_choice,
    find_pytorch,
    open_backend,
)
from open_set_seg.backends.cuda import CudaGraphBackend
from open_set_seg.backends.devices import Precision, choose_device, choose_precision
from open_set_seg.backends.onnxruntime import OnnxRuntimeBackend
from open_set_seg.backends.openvino import OpenVinoBackend
from open_set_seg.backends.protocol import Arithmetic, Backend, BackendError
from open_set_seg.backends.pytorch import PyTorchBackend
from open_set_seg.backends.runner import NetworkRunner

__all__ = [
    "AUTOMATIC",
    "BACKENDS",
    "Arithmetic",
    "AutomaticBackend",
    "Backend",
    "BackendError",
    "CudaGraphBackend",
    "NetworkRunner",
    "OnnxRuntimeBackend",
    "OpenVinoBackend",
    "Precision",
    "PyTorchBackend",
    "check_backend",
    "choose_device",
    "choose_precision",
    "explain_choice",
    "find_pytorch",
    "open_backend",
]

"""A network from an ONNX file, in ONNX Runtime."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch

from open_set_seg.backends.protocol import BackendError, find_outputs, shorten
from open_set_seg.frame import ImageRGB
from open_set_seg.models import SegmentationOutput

_TYPES = {
    "tensor(uint8)": np.uint8,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
}
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxRuntimeBackend:
    """Runs an ``onnxruntime.InferenceSession``.

    Args:
        session: of a model with one image as input, uint8 or floating on 0..255, (1, 3, H, W) or
            (1, H, W, 3), and the outputs ``logits`` and perhaps ``outlier_logits``. A single output
            is ``logits`` whatever its name. What is left open of H and W is open to images.
        device: where the session runs and the output lies.
        title: of the model in words, for descriptions.

    Raises:
        BackendError: a model of another kind.
    """

    name = "onnxruntime"

    def __init__(self, session: Any, device: torch.device, title: str = "") -> None:
        self.device = device
        self._session = session
        inputs = session.get_inputs()
        if len(inputs) != 1:
            raise BackendError(f"expected a model with one input, found {len(inputs)}")
        self._input = inputs[0].name
        self._planes = _has_planes(inputs[0].shape)
        # Sizes that the model fixes are numbers; the others are names or nothing.
        self._size = inputs[0].shape[2:] if self._planes else inputs[0].shape[1:3]
        if inputs[0].type not in _TYPES:
            found = f"{inputs[0].type}, expected one of {', '.join(_TYPES)}"
            raise BackendError(f"the model's input is of type {found}")
        self._type = _TYPES[inputs[0].type]
        names = [output.name for output in session.get_outputs()]
        self._outputs = find_outputs(dict(zip(names, names, strict=True)), names)
        threads = f" ({platform.machine()}, {torch.get_num_threads()} threads)"
        where = f"{device}{threads if device.type == 'cpu' else ''}"
        self.description = ", ".join(filter(None, (f"ONNX Runtime on {where}", title)))

    @classmethod
    def from_file(cls, path: str | Path, device: torch.device) -> OnnxRuntimeBackend:
        """The backend of an ONNX file; see the constructor.

        Raises:
            BackendError: ONNX Runtime is missing or not built for the device, or no usable file.
        """
        session = open_session(path, device)
        return cls(session, device, Path(path).name)

    @property
    def image_size(self) -> tuple[int, int] | None:
        """See ``Backend``."""
        height, width = self._size
        return (height, width) if isinstance(height, int) and isinstance(width, int) else None

    def __call__(self, rgb: ImageRGB) -> SegmentationOutput:
        """See ``Backend``; on a CPU every call gives new tensors."""
        found = rgb.shape[:2]
        if any(isinstance(n, int) and n != m for n, m in zip(self._size, found, strict=True)):
            size = "x".join(str(n) for n in reversed(self._size))
            raise BackendError(
                f"the model takes images of {size} pixels, and this one has {found[1]}x{found[0]}"
            )
        image = np.ascontiguousarray(rgb.transpose(2, 0, 1) if self._planes else rgb)
        feed = {self._input: image.astype(self._type, copy=False)[None]}
        try:
            values = self._session.run(list(self._outputs.values()), feed)
        except Exception as error:
            raise BackendError(
                f"ONNX Runtime cannot run this model on {found[1]}x{found[0]} pixels: "
                f"{shorten(error)}"
            ) from error
        tensors = (torch.from_numpy(value).float().to(self.device) for value in values)
        return SegmentationOutput(**dict(zip(self._outputs, tensors, strict=True)))


def open_session(path: str | Path, device: torch.device) -> Any:
    """An ``onnxruntime.InferenceSession`` of a file.

    Raises:
        BackendError: ONNX Runtime is missing or not built for the device, or no usable file.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise BackendError(
            "the backend onnxruntime needs ONNX Runtime: pip install 'open_set_seg[onnx]'"
        ) from error
    onnxruntime.disable_telemetry_events()
    provider, there = _PROVIDERS[device.type], onnxruntime.get_available_providers()
    if provider not in there:
        raise BackendError(
            f"this ONNX Runtime does not run on {device}: it has {', '.join(there)} "
            "(onnxruntime-gpu is the package for CUDA)"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Threads that spin at barriers starve the other processes of a robot.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    wanted: list[Any] = [provider]
    if device.type == "cuda":
        wanted = [(provider, {"device_id": device.index or 0}), _PROVIDERS["cpu"]]
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=wanted)
    except Exception as error:  # its own classes, one for every kind of failure
        raise BackendError(
            f"{path} is no model that ONNX Runtime reads: {shorten(error)}"
        ) from error


def _has_planes(shape: list[Any]) -> bool:
    if len(shape) == 4 and 3 in (shape[1], shape[3]):
        return bool(shape[1] == 3)
    raise BackendError(f"expected a model for (1, 3, H, W) or (1, H, W, 3), found {shape}")

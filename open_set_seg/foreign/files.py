"""TorchScript and ONNX files: told apart by their content, and opened."""

from __future__ import annotations

import zipfile
from pathlib import Path

import torch
from torch import nn

from open_set_seg.foreign.onnx_network import OnnxNetwork
from open_set_seg.models import AdapterError
from open_set_seg.models.adapter import last_line

_ZIP = b"PK\x03\x04"
_ONNX = b"\x08"  # the first field of an ONNX file is its version, a number


def open_network(path: Path, device: torch.device) -> nn.Module:
    """The network of a TorchScript or ONNX file: images (B, 3, H, W) to whatever it gives.

    Args:
        path: of the file.
        device: where an ONNX graph is computed; TorchScript is loaded on the CPU.

    Raises:
        AdapterError: no such file, another kind of file, or one that does not load.
    """
    if not path.is_file():
        raise AdapterError(f"expected a TorchScript or ONNX file at {path}, found nothing there")
    if is_torchscript(path):
        return _open_torchscript(path)
    if is_onnx(path):
        return OnnxNetwork(path, device)
    raise AdapterError(
        f"expected a TorchScript or ONNX file at {path}, found neither: checkpoints (.safetensors) "
        "need no description, and what torch.save writes is never opened because it can run code"
    )


def is_torchscript(path: Path) -> bool:
    """Whether the content is a TorchScript archive, or what is left of an archive."""
    if _start(path, 4) != _ZIP:
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name for name in archive.namelist())
    except zipfile.BadZipFile:
        return True  # cut off: the reader of TorchScript runs nothing of it and says what is wrong


def is_onnx(path: Path) -> bool:
    """Whether the content, or for lack of it the suffix, is that of an ONNX file."""
    start = _start(path, 9)
    is_protocol_buffer = start[:1] == _ONNX and start[8:] != b"{"
    return is_protocol_buffer or (bool(start) and path.suffix == ".onnx")


def _open_torchscript(path: Path) -> nn.Module:
    try:
        network: nn.Module = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise AdapterError(
            f"{path}: no TorchScript that loads here ({last_line(error)})"
        ) from error
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    return network


def _start(path: Path, length: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(length)
    except OSError:
        return b""

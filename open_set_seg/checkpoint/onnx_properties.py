"""The metadata of an ONNX file, read off its bytes: no package and no memory for weights needed.

An ONNX file is one protobuf message: fields, each a tag, then a number or a length and so many
bytes. Source: the encoding of Protocol Buffers, and ``ModelProto`` in onnx.proto.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

# ModelProto.metadata_props, a repeated StringStringEntryProto of a key (1) and a value (2).
_METADATA_PROPS = 14
# ModelProto.graph: without one it is no model.
_GRAPH = 7
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
_LONGEST_VARINT = 10


def read_onnx_properties(path: Path) -> dict[str, str]:
    """``metadata_props`` by key.

    Raises:
        ValueError: the bytes are no ONNX model, or end too early.
    """
    properties: dict[str, str] = {}
    has_graph = False
    with path.open("rb") as file:
        end = path.stat().st_size
        while file.tell() < end:
            field, kind, length = _read_head(file)
            if file.tell() + length > end:
                raise ValueError("a file that ends too early, or is none")
            if field == _METADATA_PROPS and kind == _BYTES:
                key, value = _read_entry(file, file.tell() + length)
                properties[key] = value
            else:
                file.seek(length, 1)
            has_graph |= field == _GRAPH and kind == _BYTES
    if not has_graph:
        raise ValueError("a file without a network in it")
    return properties


def _read_entry(file: BinaryIO, end: int) -> tuple[str, str]:
    texts = {1: "", 2: ""}
    while file.tell() < end:
        field, kind, length = _read_head(file)
        if kind != _BYTES or field not in texts or file.tell() + length > end:
            raise ValueError("metadata that cannot be read")
        texts[field] = file.read(length).decode()
    return texts[1], texts[2]


def _read_head(file: BinaryIO) -> tuple[int, int, int]:
    """Number and kind of a field, and how many bytes of it follow."""
    tag = _read_varint(file)
    field, kind = tag >> 3, tag & 7
    if kind == _VARINT:
        _read_varint(file)
        return field, kind, 0
    lengths = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}
    if kind != _BYTES and kind not in lengths:
        raise ValueError("bytes of another kind")
    return field, kind, lengths[kind] if kind in lengths else _read_varint(file)


def _read_varint(file: BinaryIO) -> int:
    """Seven bits a byte, the lowest first; the eighth bit says that more follow."""
    number = 0
    for place in range(_LONGEST_VARINT):
        byte = file.read(1)
        if not byte:
            break
        number |= (byte[0] & 127) << 7 * place
        if byte[0] < 128:
            return number
    raise ValueError("a file that ends too early, or is none")

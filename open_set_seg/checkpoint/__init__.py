"""Checkpoints: a safetensors file whose header says everything that the weights need to be used.

The header's metadata holds one key, ``open_set_seg``, with a JSON object: the fields of
``CheckpointMetadata``, the format version and the SHA-256 of the weights. Statistics of inlier data
lie beside the weights, with a hash of their own. Nothing is ever unpickled; whatever is not such a
file is refused with what was expected and what was found.
"""

from pathlib import Path

from open_set_seg.checkpoint.exported import ExportedFile, is_exported, read_exported
from open_set_seg.checkpoint.json_form import FORMAT_VERSION
from open_set_seg.checkpoint.metadata import CheckpointError, CheckpointMetadata
from open_set_seg.checkpoint.reading import (
    hash_weights,
    load_checkpoint,
    load_statistics,
    read_metadata,
)
from open_set_seg.checkpoint.writing import add_statistics, save_checkpoint

DEMO_CHECKPOINT = Path(__file__).resolve().parent.parent / "checkpoints" / "demo.safetensors"

__all__ = [
    "DEMO_CHECKPOINT",
    "FORMAT_VERSION",
    "CheckpointError",
    "CheckpointMetadata",
    "ExportedFile",
    "add_statistics",
    "hash_weights",
    "is_exported",
    "load_checkpoint",
    "load_statistics",
    "read_exported",
    "read_metadata",
    "save_checkpoint",
]

"""Checkpoints: a safetensors file whose header says everything that the weights need to be used.

The header's metadata holds one key, ``open_set_seg``, with a JSON object: the fields of
``CheckpointMetadata``, the format version and the SHA-256 of the weights. Nothing is ever
unpickled; whatever is not such a file is refused with what was expected and what was found.
"""

from open_set_seg.checkpoint.files import (
    DEMO_CHECKPOINT,
    FORMAT_VERSION,
    hash_weights,
    load_checkpoint,
    read_metadata,
    save_checkpoint,
)
from open_set_seg.checkpoint.metadata import CheckpointError, CheckpointMetadata

__all__ = [
    "DEMO_CHECKPOINT",
    "FORMAT_VERSION",
    "CheckpointError",
    "CheckpointMetadata",
    "hash_weights",
    "load_checkpoint",
    "read_metadata",
    "save_checkpoint",
]

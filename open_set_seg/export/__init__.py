"""Exported files: a checkpoint's network for other runtimes, complete and certified."""

from open_set_seg.export.exporting import (
    FORMATS,
    ExportConfig,
    ExportError,
    certificate_path,
    export_checkpoint,
    open_reference,
    write_certificate,
)
from open_set_seg.export.networks import ImageSize

__all__ = [
    "FORMATS",
    "ExportConfig",
    "ExportError",
    "ImageSize",
    "certificate_path",
    "export_checkpoint",
    "open_reference",
    "write_certificate",
]

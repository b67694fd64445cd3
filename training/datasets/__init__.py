"""Data sets: frames with their truth, read from the publishers' own files."""

from __future__ import annotations

from training.datasets.registry import DATASETS, open_dataset

__all__ = ["DATASETS", "open_dataset"]

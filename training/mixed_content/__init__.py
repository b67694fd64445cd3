"""Mixed-content images: training images with negative patches pasted into them."""

from __future__ import annotations

from training.mixed_content.pasting import cut, outlier_mask, paste
from training.mixed_content.places import (
    SHAPES,
    Place,
    Placement,
    Shape,
    choose_places,
    patch_generators,
    split_by_size,
)

__all__ = [
    "SHAPES",
    "Place",
    "Placement",
    "Shape",
    "choose_places",
    "cut",
    "outlier_mask",
    "paste",
    "patch_generators",
    "split_by_size",
]

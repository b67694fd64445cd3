"""Sources of negatives: what is pasted into training images as an unknown object."""

from __future__ import annotations

from typing import Any

from training.negatives.ade20k_patches import Ade20kPatches
from training.negatives.flow_patches import FlowPatches
from training.negatives.gan import AdversarialPatches
from training.negatives.image_patches import ImagePatches
from training.negatives.noise import FractalNoise, WhiteNoise
from training.negatives.protocol import Drawn, NegativeSource

__all__ = ["NEGATIVES", "Drawn", "NegativeSource", "build_source"]

NEGATIVES: dict[str, type[NegativeSource]] = {
    "flow": FlowPatches,
    "white_noise": WhiteNoise,
    "fractal_noise": FractalNoise,
    "gan": AdversarialPatches,
    "image_patches": ImagePatches,
    "ade20k": Ade20kPatches,
}


def build_source(name: str, **options: Any) -> NegativeSource:
    """The source of that name with its own options.

    Raises:
        ValueError: an unknown name, or an option that is out of range.
        TypeError: an option that the source does not have.
    """
    if name not in NEGATIVES:
        raise ValueError(f"unknown source {name!r}; known are {', '.join(NEGATIVES)}")
    return NEGATIVES[name](**options)

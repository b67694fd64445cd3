"""What a segmenter takes, and the labels that it gives."""

from __future__ import annotations

import numpy as np

from open_set_seg.frame import FloatImage, ImageRGB, LabelImage
from open_set_seg.label_spaces import LabelSpace


def label_pixels(
    nearest: LabelImage, anomaly: FloatImage, threshold: float, space: LabelSpace
) -> LabelImage:
    """(H, W) nearest known classes, and the unknown id where ``anomaly > threshold``."""
    unknown: LabelImage = (anomaly > threshold).view(np.uint8)
    # Bytes wrap around, so this is the unknown id where ``unknown`` is one; np.where takes longer.
    labels: LabelImage = nearest + unknown * (np.uint8(space.unknown_id) - nearest)
    return labels


def check_image(rgb: ImageRGB) -> None:
    """Raise ``ValueError`` unless ``rgb`` is an (H, W, 3) uint8 array with pixels in it."""
    if not isinstance(rgb, np.ndarray) or rgb.dtype != np.uint8:
        found = rgb.dtype if isinstance(rgb, np.ndarray) else type(rgb).__name__
        raise ValueError(f"expected an image as a uint8 array, found {found}")
    if rgb.ndim != 3 or rgb.shape[2] != 3 or 0 in rgb.shape:
        raise ValueError(f"expected an RGB image of shape (H, W, 3), found {rgb.shape}")

"""The camera's own traces, last of all and on the whole image: nothing gives an object away."""

from __future__ import annotations

import cv2
import numpy as np

from open_set_seg.frame import ImageRGB
from open_set_seg.simulation.rendering.textures import Floats
from open_set_seg.simulation.scene import Optics
from open_set_seg.simulation.streams import open_stream

KNEE = 0.70  # signal above which the response bends towards full scale


def develop(radiance: Floats, optics: Optics, noise_key: tuple[int, str] | None) -> ImageRGB:
    """Lens blur, vignette, white balance, response, gamma, and noise that grows with the signal.

    Args:
        radiance: (H, W, 3) float32.
        noise_key: seed and name of the noise stream; None for an ideal sensor.

    Returns:
        (H, W, 3) uint8.
    """
    height, width = radiance.shape[:2]
    gain = np.asarray(optics.white_balance, np.float32) * np.float32(optics.exposure)
    sigma = optics.blur * width
    image = cv2.GaussianBlur(radiance, (0, 0), sigma) if sigma > 0.15 else radiance.copy()
    image *= gain * _vignette(height, width, optics.vignette)[..., None]
    # Bright parts saturate gently, as film and tone curves do.
    excess = np.maximum(image - KNEE, 0.0)
    image = np.minimum(image, KNEE) + (1.0 - KNEE) * (1.0 - np.exp(-excess / (1.0 - KNEE)))
    image = np.power(image, np.float32(optics.gamma), dtype=np.float32)
    if noise_key is not None:
        rng = open_stream(*noise_key)
        deviation = np.sqrt(optics.read_noise**2 + optics.shot_noise**2 * image)
        image += deviation * rng.standard_normal(image.shape, dtype=np.float32)
    return np.asarray(np.clip(image * 255.0 + 0.5, 0.0, 255.0), np.uint8)


def _vignette(height: int, width: int, strength: float) -> Floats:
    rows = np.linspace(-1.0, 1.0, height, dtype=np.float32)[:, None] * np.float32(height / width)
    columns = np.linspace(-1.0, 1.0, width, dtype=np.float32)[None, :]
    return np.asarray(1.0 - strength * (rows * rows + columns * columns), np.float32)

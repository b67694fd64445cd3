"""The distance of an obstacle's near face from many noisy ranges."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

NEAR_SHARE = 0.10
# A Gaussian's 90th percentile lies this many standard deviations above its median.
GAUSSIAN_QUANTILE = 1.2815515655446004


def estimate_near_face(
    depth: NDArray[np.float32], sigma: NDArray[np.float32]
) -> tuple[float, float]:
    """The 10th percentile of Z as it would be without noise, and its standard deviation.

    A low percentile of noisy ranges is not the range of the near face: noise alone spreads the
    ranges of a flat front towards the camera, by 1.28 sigma at the 10th percentile. Noise adds in
    quadrature, so it is taken out in quadrature, in inverse depth w = 1 / Z, where a stereo
    sensor's noise s = sigma_Z / Z^2 is the same at all ranges and symmetric:

        w_near = m + sqrt(max(0, (q - m)^2 - (1.2816 s)^2)),  Z = 1 / w_near

    with m the median and q the 90th percentile of w. This is exact for Gaussian shapes and for a
    flat front, and it never leaves the interval from the median to the plain percentile.

    Args:
        depth: (N,) valid ranges in metres, N >= 1.
        sigma: (N,) their standard deviations in metres.

    Returns:
        Distance in metres, and its standard deviation: that of a single range there. It is not
        divided by sqrt(N): neighbouring ranges share texture, window and calibration, so their
        errors are largely common.
    """
    inverse = 1.0 / depth.astype(np.float64)
    noise = float(np.median(sigma * inverse * inverse))
    middle, near = np.quantile(inverse, [0.5, 1.0 - NEAR_SHARE])
    excess = (near - middle) ** 2 - (GAUSSIAN_QUANTILE * noise) ** 2
    distance = 1.0 / (float(middle) + math.sqrt(max(0.0, float(excess))))
    return distance, noise * distance * distance

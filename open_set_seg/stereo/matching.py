"""Disparity of a rectified pair where nobody else has computed one."""

from __future__ import annotations

import cv2
import numpy as np

from open_set_seg.frame import DisparityMap, ImageRGB

# OpenCV's semi-global matching: 16ths of a pixel, and min - 1 where it found no match.
MATCHER_STEPS = 16
SEARCHED_SHARE = 0.12  # of the image width: the largest disparity that is searched
BLOCK_PX = 5


def match_pair(
    left: ImageRGB,
    right: ImageRGB,
    focal_length: float,
    baseline: float,
    searched_px: int | None = None,
) -> DisparityMap:
    """Disparity of a rectified pair by OpenCV's semi-global block matching.

    Blocks of 5 x 5 pixels, P1 = 8 c b^2 and P2 = 32 c b^2 for c = 3 channels and b = 5, left and
    right checked against each other within 1 pixel, a match 10 % better than the next, regions of
    up to 100 pixels that differ by 2 from what is around them removed, three directions.

    Args:
        searched_px: disparities from 0 up to this one are searched, rounded up to a multiple of
            16; None: 12 % of the width.

    Returns:
        Pixels in steps of 1/16; -1 where no match was found.

    Raises:
        ValueError: images that are not wider than what is searched, or nothing to search.
    """
    if searched_px is not None and searched_px < 1:
        raise ValueError(f"disparities up to {searched_px} px are none")
    share = int(left.shape[1] * SEARCHED_SHARE) if searched_px is None else searched_px + 15
    searched = max(16, share // 16 * 16)
    if left.shape[1] <= searched + BLOCK_PX:
        raise ValueError(
            f"images of {left.shape[1]} pixels in width are too small to search {searched} px"
        )
    matcher = cv2.StereoSGBM.create(
        minDisparity=0,
        numDisparities=searched,
        blockSize=BLOCK_PX,
        P1=8 * 3 * BLOCK_PX**2,
        P2=32 * 3 * BLOCK_PX**2,
        disp12MaxDiff=1,
        uniquenessRatio=10,
        speckleWindowSize=100,
        speckleRange=2,
        mode=cv2.STEREO_SGBM_MODE_SGBM_3WAY,
    )
    values = matcher.compute(left, right).astype(np.float32) * np.float32(1 / MATCHER_STEPS)
    return DisparityMap(values, focal_length, baseline, 0.0, float(searched - 1), 1 / MATCHER_STEPS)

"""LostAndFound (Pinggera et al. 2016): small obstacles on the road, with stereo disparity."""

from __future__ import annotations

from pathlib import Path

from open_set_seg.bags.conversion.cityscapes import CityscapesLayout, Truth
from open_set_seg.bags.conversion.frames import LabelCodes

# Marker pole, posts, post stand, timber, wheel cap, thin wood.
NO_HAZARDS = (31, 33, 34, 36, 37, 38, 39)
LABEL_CODES = {
    "_gtCoarse_labelTrainIds.png": LabelCodes(
        "lost_and_found labelTrainIds",
        inliers=(1,),
        outliers=(2,),
        ignored=(0, 255),
        names={0: "no hazard", 1: "free road", 2: "obstacle", 255: "background"},
    ),
    "_gtCoarse_labelIds.png": LabelCodes(
        "lost_and_found labelIds",
        inliers=(1,),
        outliers=tuple(code for code in range(2, 44) if code not in NO_HAZARDS),
        ignored=(0, *NO_HAZARDS),
        names={0: "background", 1: "free road"},
    ),
}
TRUTH = Truth("gtCoarse", LABEL_CODES)


def open_lost_and_found(root: Path, split: str, scenes: str = "*") -> CityscapesLayout:
    """LostAndFound, whose scenes are streets.

    Raises:
        ConversionError: see ``CityscapesLayout``.
    """
    return CityscapesLayout("lost_and_found", root, split, TRUTH, scenes)

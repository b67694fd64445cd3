"""From an RGB image to labels with *unknown* and an anomaly map."""

from open_set_seg.segmenter.images import check_image, label_pixels
from open_set_seg.segmenter.segmenter import OpenSetSegmenter

__all__ = ["OpenSetSegmenter", "check_image", "label_pixels"]

"""Stored stereo data sets -> recordings, with everything that a stereo camera would publish.

``convert(open_lost_and_found(root, "test"), output, ConversionConfig(17.0))`` writes one.
"""

from open_set_seg.bags.conversion.calibration import PairCalibration, read_pair_calibration
from open_set_seg.bags.conversion.cityscapes import CityscapesLayout, Truth, open_cityscapes
from open_set_seg.bags.conversion.config import ConversionConfig, ConversionSummary, WrittenBag
from open_set_seg.bags.conversion.converting import convert
from open_set_seg.bags.conversion.frames import ConversionError, Fault, StereoSource
from open_set_seg.bags.conversion.lost_and_found import open_lost_and_found
from open_set_seg.bags.conversion.stereo_folders import StereoFolders

__all__ = [
    "CityscapesLayout",
    "ConversionConfig",
    "ConversionError",
    "ConversionSummary",
    "Fault",
    "PairCalibration",
    "StereoFolders",
    "StereoSource",
    "Truth",
    "WrittenBag",
    "convert",
    "open_cityscapes",
    "open_lost_and_found",
    "read_pair_calibration",
]

"""Disparity or depth becomes range in metres with its standard deviation; camera geometry.

A stereo driver can be wrong without looking wrong: a baseline in the wrong unit, a focal length of
another image size, a flipped sign. Each of these shifts every distance by a constant factor that
nothing downstream could notice. So inputs are checked against the camera, against the right
camera and against plausible limits; what contradicts is named in a ``Problem`` and refused, until
a parameter says which of the numbers to trust.
"""

from open_set_seg.stereo.config import RangeConfig
from open_set_seg.stereo.estimation import estimate_range
from open_set_seg.stereo.geometry import back_project, point_map, project

__all__ = ["RangeConfig", "back_project", "estimate_range", "point_map", "project"]

"""The range of every pixel from whichever kind of map the sensor sent."""

from __future__ import annotations

from open_set_seg.frame import Camera, DepthMap, DisparityMap, Problem, RangeMap
from open_set_seg.stereo.config import RangeConfig
from open_set_seg.stereo.depth import range_from_depth
from open_set_seg.stereo.disparity import range_from_disparity


def estimate_range(
    range_input: DisparityMap | DepthMap,
    image_size: tuple[int, int],
    camera: Camera,
    config: RangeConfig,
    right_baseline: float | None = None,
) -> tuple[RangeMap | None, tuple[Problem, ...]]:
    """Z and its standard deviation for every pixel that can be believed.

    Disparity: Z = f T / d and sigma_Z = Z^2 / (f T) sigma_d, where sigma_d^2 is
    ``disparity_sigma``^2 plus quantum^2 / 12. A pixel is valid iff d is finite and positive, inside
    the matcher's stated limits, and Z inside [min_range, max_range]. Depth: valid iff finite and
    inside [min_range, max_range]; sigma_Z = ``depth_sigma_per_m2`` Z^2.

    Args:
        range_input: what the sensor sent.
        image_size: (H, W) of the image that the range belongs to.
        camera: the calibrated left camera for that image size.
        config: limits and overrides.
        right_baseline: what the right camera's CameraInfo says about the baseline, metres.

    Returns:
        The range map, or None where the input is refused, and what was wrong with it.
    """
    if range_input.values.shape != image_size:
        return None, (_size_problem(range_input, image_size),)
    if isinstance(range_input, DepthMap):
        return range_from_depth(range_input, config)
    return range_from_disparity(range_input, camera, config, right_baseline)


def _size_problem(range_input: DisparityMap | DepthMap, image_size: tuple[int, int]) -> Problem:
    name = "disparity" if isinstance(range_input, DisparityMap) else "depth"
    seen = "x".join(str(side) for side in reversed(range_input.values.shape))
    height, width = image_size
    return Problem(
        f"{name}.size",
        f"the {name} has {seen} pixels but the image {width}x{height}; feed the {name} that was "
        "computed from this image",
        "error",
    )

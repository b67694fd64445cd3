"""A real stereo pair through recording, player and node.

Needs ``OPEN_SET_SEG_DATA``: a folder with ``kitti_stereo/{left.png, right.png, calib.txt}``.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from drives import listening
from sensor_msgs.msg import Image, PointCloud2
from untrained import save_untrained

from open_set_seg.bags import BagWriter, building, read_frames
from open_set_seg.cli.files import read_image
from open_set_seg.frame import Camera, DisparityMap, Frame
from open_set_seg.messages import LIST_POINT, decode_points
from open_set_seg.ros.messages import decode_image
from open_set_seg.ros.processes import Executable
from open_set_seg.stereo import RangeConfig, estimate_range
from open_set_seg.stereo.matching import match_pair

KITTI = Path(os.environ.get("OPEN_SET_SEG_DATA", "/nowhere")) / "kitti_stereo"
pytestmark = pytest.mark.skipif(
    not (KITTI / "calib.txt").is_file(), reason="OPEN_SET_SEG_DATA names no KITTI pair"
)
CAMERA_HEIGHT = 1.65  # of KITTI's cars, metres above the road
STAMP = 1_000_000_000_000


@pytest.fixture(scope="module")
def pair() -> tuple[Frame, DisparityMap]:
    projections = {}
    for line in (KITTI / "calib.txt").read_text().splitlines():
        name, _, numbers = line.partition(":")
        projections[name] = [float(number) for number in numbers.split()]
    left, right = (read_image(KITTI / f"{side}.png") for side in ("left", "right"))
    p2, p3 = projections["P2"], projections["P3"]
    baseline = (p2[3] - p3[3]) / p2[0]
    camera = Camera(left.shape[1], left.shape[0], p2[0], p2[5], p2[2], p2[6])
    return Frame(left, STAMP, "camera", camera), match_pair(left, right, p2[0], baseline)


@pytest.fixture(scope="module")
def bag(tmp_path_factory, pair):
    """The pair three times: a node drops what it has no time for."""
    frame, disparity = pair
    path = tmp_path_factory.mktemp("kitti") / "bag"
    with BagWriter(path) as writer:
        for stamp in range(STAMP, STAMP + 3_000_000_000, 1_000_000_000):
            writer.write("/camera_info", stamp, building.camera_info(frame.camera, stamp, "camera"))
            writer.write("/image", stamp, building.image(frame.image, stamp, "camera"))
            late = stamp + 50_000_000
            writer.write("/disparity", late, building.disparity_image(disparity, stamp, "camera"))
    return path


def test_ranges_are_plausible_where_they_can_be_judged_by_eye(bag):
    (frame, *_) = read_frames(bag)
    camera = frame.camera
    ranges, problems = estimate_range(
        frame.range_input, (camera.height, camera.width), camera, RangeConfig()
    )
    assert not problems

    def distance_of_ground(row):
        """Where the ray of a row meets the road, by the height of the camera."""
        return camera.fy * CAMERA_HEIGHT / (row - camera.cy)

    def median_distance(rows, columns):
        return np.nanmedian(ranges.depth[slice(*rows), slice(*columns)])

    # The road before the car.
    for row in (300, 340):
        near = median_distance((row - 2, row + 3), (560, 680))
        assert near == pytest.approx(distance_of_ground(row), rel=0.05)
    # Rears of parked cars, against the rows in which their tyres meet the road.
    dark_hatchback = median_distance((225, 275), (815, 880))
    assert distance_of_ground(310) - 1 < dark_hatchback < distance_of_ground(305) + 0.5
    red_saloon = median_distance((195, 225), (695, 730))
    assert red_saloon == pytest.approx(distance_of_ground(252), rel=0.12)
    dark_estate = median_distance((195, 220), (482, 525))
    assert dark_estate == pytest.approx(distance_of_ground(232), rel=0.12)


def test_a_real_pair_goes_through_recording_player_and_node(tmp_path, bag, pair):
    model = save_untrained(tmp_path / "model.safetensors", pair[0].image)
    detector = Executable(
        "open_set_seg.ros.node",
        {"model": model, "device": "cpu", "backend": "pytorch"},
        {},
        tmp_path / "detector.log",
    )
    player = Executable("open_set_seg.ros.player", {"bag": bag}, {}, tmp_path / "player.log")
    with listening() as listener:
        listener.subscribe(Image, "/detector/overlay")
        listener.subscribe(PointCloud2, "/detector/obstacles/list")
        with detector, player:
            arrived = listener.spin_until(
                lambda: all(listener.heard[topic] for topic in listener.heard), 60.0
            )
        assert arrived, (tmp_path / "detector.log").read_text()
        overlay = decode_image(listener.messages("/detector/overlay")[0])
        points = decode_points(listener.messages("/detector/obstacles/list")[0])
    assert overlay.shape == pair[0].image.shape
    assert points.dtype.names == LIST_POINT.names
    assert len(points) > 0

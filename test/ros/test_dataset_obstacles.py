"""From the files of a data set to `~/obstacles/list`, by the programs that users run."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import stereo_trees as trees
import torch
from drives import listening
from rclpy.qos import QoSProfile
from sensor_msgs.msg import PointCloud2
from untrained import save_untrained

from open_set_seg import cli
from open_set_seg.detector import DetectorConfig, ObstacleDetector
from open_set_seg.frame import Camera, DisparityMap, Frame
from open_set_seg.messages import decode_points, decode_stamp
from open_set_seg.ros.processes import Executable
from open_set_seg.stereo import RangeConfig

FRAMES, RATE_HZ = 3, 2.0
LIST = "/detector/obstacles/list"
FLOAT32 = 2 * np.finfo(np.float32).eps


@pytest.fixture
def one_thread():
    """As the detector's process computes: sums depend on how work is shared out."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def read(root, frame_id: str) -> tuple[np.ndarray, np.ndarray, dict]:
    """Image, disparity codes and camera of a frame, by nothing of this package."""
    image = cv2.imread(str(trees.place(root, "leftImg8bit", frame_id, "leftImg8bit.png")))[
        ..., ::-1
    ]
    codes = cv2.imread(
        str(trees.place(root, "disparity", frame_id, "disparity.png")), cv2.IMREAD_UNCHANGED
    )
    camera = json.loads(trees.place(root, "camera", frame_id, "camera.json").read_text())
    return image, codes, camera


def detect_in_files(root, frame_id: str, detector: ObstacleDetector):
    """Obstacles of a frame, and the distances f B / d of all its pixels."""
    image, codes, content = read(root, frame_id)
    inside, baseline = content["intrinsic"], content["extrinsic"]["baseline"]
    height, width = codes.shape
    disparity = np.where(codes > 0, (codes.astype(np.float32) - 1) / 256, -1).astype(np.float32)
    camera = Camera(width, height, inside["fx"], inside["fy"], inside["u0"], inside["v0"])
    given = DisparityMap(disparity, inside["fx"], baseline, 0.0, 65534 / 256, 1 / 256)
    found = detector.process(Frame(image, camera=camera, range_input=given))
    assert found.problems == ()
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = np.where(codes > 1, inside["fx"] * baseline * 256 / (codes - 1.0), np.nan)
    return found.obstacles, depth


def hear_lists(tmp_path, bag, model) -> dict[int, np.ndarray]:
    """What a detector process says of a recording that a player process loops, by stamp."""
    quiet = {"OMP_NUM_THREADS": "1"}
    parameters = {
        "model": model, "device": "cpu", "backend": "pytorch", "calibration": "off",
        "expected_size": f"{trees.WIDTH}x{trees.HEIGHT}", "range.max_range": 200.0,
    }  # fmt: skip
    whole: dict[int, np.ndarray] = {}

    def complete() -> bool:
        for message in listener.messages(LIST):
            points = decode_points(message)
            # Best effort may lose a disparity on a busy machine; the loop brings it again.
            if points.size and np.isfinite(points["distance"]).any():
                whole[decode_stamp(message)] = points
        return len(whole) == FRAMES

    with (
        listening() as listener,
        Executable("open_set_seg.ros.node", parameters, quiet, tmp_path / "node.log") as node,
        Executable(
            "open_set_seg.ros.player",
            {"bag": bag, "loop": True, "wait_for_subscribers_s": 60.0}, quiet,
            tmp_path / "player.log",
        ),
    ):  # fmt: skip
        listener.subscribe(PointCloud2, LIST, qos=QoSProfile(depth=10))
        assert listener.spin_until(complete, 90.0), (tmp_path / "node.log").read_text()
        node.check()
    return whole


def test_listed_distances_are_those_of_the_disparity_files(tmp_path, one_thread):
    root = trees.write_lost_and_found(tmp_path / "laf", trees.render(FRAMES))
    bag = tmp_path / "bag"
    assert cli.main([
        "bag", "from-lost-and-found", str(root), "--split", "test", "-o", str(bag),
        "--frame-rate", str(RATE_HZ), "--timing", "even",
    ]) == 0  # fmt: skip
    image, _, _ = read(root, trees.LOST_AND_FOUND[0])
    model = save_untrained(tmp_path / "model.safetensors", image)
    lists = hear_lists(tmp_path, bag, model)
    detector = ObstacleDetector.from_checkpoint(
        model, DetectorConfig(range=RangeConfig(max_range=200.0)), "cpu", backend="pytorch"
    )
    compared = 0
    for number, frame_id in enumerate(trees.LOST_AND_FOUND[:FRAMES]):
        points = lists[10**18 + number * round(1e9 / RATE_HZ)]
        expected, depth = detect_in_files(root, frame_id, detector)
        assert len(points) == len(expected)
        for point, obstacle in zip(points, expected, strict=True):
            for name, value in (
                ("distance", obstacle.distance), ("sigma", obstacle.distance_sigma),
                ("valid_share", obstacle.valid_share), ("width", obstacle.width),
                *zip("xyz", obstacle.position, strict=True),
            ):  # fmt: skip
                np.testing.assert_allclose(point[name], value, rtol=FLOAT32, err_msg=name)
            if np.isnan(obstacle.distance):
                continue
            # By hand: the near face lies among the ranges of the obstacle's own pixels.
            left, top, width, height = obstacle.box
            own = depth[top : top + height, left : left + width][obstacle.mask]
            nearest, farthest = np.nanmin(own), np.nanmax(own)
            assert nearest * (1 - FLOAT32) <= point["distance"] <= farthest * (1 + FLOAT32)
            compared += 1
    assert compared >= FRAMES

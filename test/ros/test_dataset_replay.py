"""A data set, as a recording, played into the node: its distances are those of the files."""

from __future__ import annotations

import numpy as np
import pytest
import stereo_trees as trees
from node_harness import Running, wait_until
from PIL import Image

from open_set_seg.bags.conversion import ConversionConfig, convert, open_lost_and_found
from open_set_seg.ros.processes import Executable
from open_set_seg.stereo import RangeConfig, estimate_range

FRAMES = 3
PERIOD = 10**9 // 4


@pytest.fixture
def node(run_node) -> Running:
    topics = ("image", "camera_info", "disparity", "right/camera_info")
    remapped = [part for topic in topics for part in ("-r", f"{topic}:=/{topic}")]
    return run_node(arguments=remapped)


def whole_frames(frames):
    """By stamp, those with everything: best effort may lose a disparity or a camera on the way."""
    return {
        frame.stamp_ns: frame
        for frame in list(frames)
        if frame.camera and frame.right_baseline and frame.range_input is not None
    }


def test_distances_in_the_node_are_those_of_the_files(tmp_path, node):
    root = trees.write_lost_and_found(tmp_path / "laf", trees.render(FRAMES))
    config = ConversionConfig(4.0, timing="even")
    assert convert(open_lost_and_found(root, "test"), tmp_path / "bag", config).complete
    start = 10**18
    heard = node.fake.frames  # as the node handed them to its detector
    parameters = {"bag": tmp_path / "bag", "loop": True}
    with Executable("open_set_seg.ros.player", parameters, {}, tmp_path / "player.log"):
        wait_until(
            lambda: len(whole_frames(heard)) == FRAMES,
            "every frame with all that belongs to it",
            deadline_s=60.0,  # for busy machines; it takes about 5 s
        )
    by_stamp = whole_frames(heard)
    for n, frame_id in enumerate(trees.LOST_AND_FOUND[:FRAMES]):
        frame = by_stamp[start + n * PERIOD]
        picture = Image.open(trees.place(root, "leftImg8bit", frame_id, "leftImg8bit.png"))
        np.testing.assert_array_equal(frame.image, np.asarray(picture))
        codes = np.asarray(
            Image.open(trees.place(root, "disparity", frame_id, "disparity.png")), np.float64
        )
        reach = frame.camera.fx * frame.right_baseline
        with np.errstate(divide="ignore", invalid="ignore"):
            expected = np.where(codes > 1, reach / ((codes - 1) / 256), np.nan)
        ranges, problems = estimate_range(
            frame.range_input, codes.shape, frame.camera,
            RangeConfig(min_range=0.01, max_range=1e6), frame.right_baseline,
        )  # fmt: skip
        assert problems == ()
        np.testing.assert_allclose(ranges.depth, expected, rtol=2 * np.finfo(np.float32).eps)

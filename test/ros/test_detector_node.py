"""The node's contract over real DDS, with a plain detector behind it."""

from __future__ import annotations

import numpy as np
from node_harness import make_stamp, wait_until
from sensor_msgs.msg import Image, PointCloud2

SECOND = 10**9


def test_a_frame_goes_through_and_keeps_its_stamp_and_frame(run_node):
    running = run_node()
    camera = running.camera
    labels = camera.listen(Image, "detector/segmentation")
    listing = camera.listen(PointCloud2, "detector/obstacles/list")
    camera.connected()
    camera.send(7 * SECOND + 5)
    wait_until(lambda: labels and listing, "outputs")
    for message in (labels[0], listing[0]):
        assert message.header.stamp == make_stamp(7 * SECOND + 5)
        assert message.header.frame_id == "left_optical"
    image = np.frombuffer(labels[0].data, np.uint8).reshape(16, 32)
    assert image[4, 4] == 12
    assert image[0, 0] == 6
    assert listing[0].width == 1

"""Files for navigation, RViz and Foxglove against the node's topics; the clearing cloud over DDS."""

from __future__ import annotations

import numpy as np
from node_harness import wait_until
from sensor_msgs.msg import PointCloud2

from open_set_seg.messages import decode_points

SECOND = 10**9


def test_the_clearing_cloud_ends_before_obstacles_and_needs_an_examined_frame_with_range(run_node):
    running = run_node()
    clearing = running.camera.listen(PointCloud2, "detector/obstacles/clearing")
    marking = running.camera.listen(PointCloud2, "detector/obstacles/points")
    running.connect()
    for topic in ("~/obstacles/clearing", "~/obstacles/points"):
        wait_until(lambda t=topic: running.detector._outputs.wanted(t), topic)
    running.fake.examined = False
    running.send(SECOND)
    running.processed(1)
    running.fake.examined = True
    running.camera.send(2 * SECOND, disparity=False)
    running.processed(2)
    running.send(3 * SECOND)
    wait_until(lambda: clearing and marking, "both clouds")
    assert [message.header.stamp.sec for message in clearing] == [3]
    free, marked = decode_points(clearing[0]), decode_points(marking[0])
    assert free.size == 32 - 3, "one a column, as all is at the same distance"
    directions = free["x"] / free["z"]
    shadow = marked["x"] / marked["z"]
    assert not ((directions > shadow.min() - 1e-6) & (directions < shadow.max() + 1e-6)).any()
    assert np.isfinite(free["z"]).all()
    running.fake.obstacles = False
    running.send(4 * SECOND)
    wait_until(lambda: len(clearing) > 1, "the next clearing cloud")
    assert decode_points(clearing[1]).size == 32 - 3, "unknown pixels, listed or not"

"""Files for Nav2, RViz and Foxglove against the topics of the node, and the clearing cloud."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from node_harness import wait_until
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from stereo_msgs.msg import DisparityImage
from visualization_msgs.msg import MarkerArray

from open_set_seg.messages import decode_points
from open_set_seg.resources import find_resource
from open_set_seg.ros.outputs import TOPICS

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
    free = decode_points(clearing[1])
    below = free[np.isin(np.round(free["x"] * 10 + 15.5), (4, 5, 6))]
    assert below.size == 3
    assert (below["y"] > -0.25).all(), "ground before unknown pixels, listed or not"


INPUTS = {"image": Image, "camera_info": CameraInfo, "disparity": DisparityImage}


def read_yaml(relative: str):
    return yaml.safe_load(find_resource(relative).read_text())


def kind_of(topic: str):
    """Type of a topic as the node of the default name serves it; fails for one that is not."""
    known = {topic.replace("~", "/detector"): kind for topic, kind in TOPICS.items()}
    known |= {f"/{name}": kind for name, kind in INPUTS.items()}
    assert topic in known, f"{topic} is not a topic of the node"
    return known[topic]


def costmap_layer():
    parameters = read_yaml("config/nav2/costmap.yaml")["local_costmap"]["local_costmap"]
    layer = parameters["ros__parameters"]["open_set_layer"]
    assert "open_set_layer" in parameters["ros__parameters"]["plugins"]
    assert layer["plugin"] == "nav2_costmap_2d::ObstacleLayer"
    return layer


def test_the_costmap_marks_from_obstacles_and_clears_from_free_ground():
    layer = costmap_layer()
    assert layer["observation_sources"].split() == ["marking", "clearing"]
    marking, clearing = layer["marking"], layer["clearing"]
    assert marking["topic"] == "/detector/obstacles/points"
    assert clearing["topic"] == "/detector/obstacles/clearing"
    assert (marking["marking"], marking["clearing"]) == (True, False)
    assert (clearing["marking"], clearing["clearing"]) == (False, True)
    for source in (marking, clearing):
        assert kind_of(source["topic"]) is PointCloud2
        assert source["data_type"] == "PointCloud2", "the default is LaserScan"
        assert source["max_obstacle_height"] > 0.3, "the default, 0.0, refuses obstacles"
        assert source["min_obstacle_height"] < source["max_obstacle_height"]
        assert source["observation_persistence"] == 0.0
        assert source["expected_update_rate"] > 0, "0 takes a dead detector for a clear road"
        assert source["inf_is_valid"] is False
    assert 0 < marking["min_obstacle_height"] < 0.1, "low obstacles are marked, ground is not"
    assert clearing["min_obstacle_height"] < 0 < clearing["max_obstacle_height"]
    assert marking["obstacle_min_range"] < marking["obstacle_max_range"]
    assert 0 < clearing["raytrace_min_range"] < clearing["raytrace_max_range"]
    assert clearing["raytrace_max_range"] <= marking["obstacle_max_range"], (
        "what is cleared farther than it is marked is lost"
    )


def test_the_collision_monitor_watches_obstacle_points_at_every_height():
    parameters = read_yaml("config/nav2/collision_monitor.yaml")["collision_monitor"]
    parameters = parameters["ros__parameters"]
    for name in parameters["observation_sources"]:
        source = parameters[name]
        assert source["type"] == "pointcloud"
        assert kind_of(source["topic"]) is PointCloud2
        assert source["min_height"] <= 0.05 < 1.0 < source["max_height"]
    assert parameters["source_timeout"] > 0, "0 would never notice a dead detector"
    for name in parameters["polygons"]:
        polygon = parameters[name]
        corners = np.array(yaml.safe_load(polygon["points"]))
        assert corners.shape[0] >= 3
        assert corners.shape[1] == 2
        assert corners[:, 0].max() > 0, "ahead of the robot"
        assert polygon["min_points"] > 0
        assert polygon["action_type"] in ("stop", "slowdown")


def test_the_lifecycle_manager_expects_no_bond():
    (parameters,) = read_yaml("config/nav2/lifecycle_manager.yaml").values()
    assert parameters["ros__parameters"]["node_names"] == ["detector"]
    assert parameters["ros__parameters"]["bond_timeout"] == 0.0


RVIZ_TYPES = {"Image": Image, "MarkerArray": MarkerArray, "PointCloud2": PointCloud2}


def test_every_display_of_rviz_shows_a_topic_of_its_type():
    displays = read_yaml("config/rviz/detector.rviz")["Visualization Manager"]["Displays"]
    shown = {}
    for display in displays:
        if "Topic" not in display:
            continue
        kind = display["Class"].removeprefix("rviz_default_plugins/")
        topic = display["Topic"]["Value"]
        assert kind_of(topic) is RVIZ_TYPES[kind], topic
        shown[topic.removeprefix("/detector/")] = display["Enabled"]
    assert set(shown) == {
        "/image", "overlay", "anomaly/heatmap", "obstacles/markers", "obstacles/points",
        "obstacles/clearing", "points",
    }  # fmt: skip


def test_every_panel_of_foxglove_shows_a_topic_of_its_type():
    layout = json.loads(find_resource("config/foxglove/detector.json").read_text())
    panels, used = layout["configById"], set()
    for name, panel in panels.items():
        kind = name.partition("!")[0]
        if kind == "Image":
            used.add(panel["imageMode"]["imageTopic"])
            assert kind_of(panel["imageMode"]["imageTopic"]) in (Image, CompressedImage)
            calibration = panel["imageMode"].get("calibrationTopic")
            assert calibration is None or kind_of(calibration) is CameraInfo
        elif kind == "3D":
            used |= set(panel["topics"])
            assert {kind_of(topic) for topic in panel["topics"]} <= {MarkerArray, PointCloud2}
        else:
            assert kind == "DiagnosticSummary"
            used.add(panel["topicToRender"])
            assert kind_of(panel["topicToRender"]) is DiagnosticArray
    assert {"/diagnostics", "/detector/obstacles/markers", "/detector/anomaly/heatmap"} <= used

    def leaves(node):
        if isinstance(node, str):
            return [node]
        return leaves(node["first"]) + leaves(node["second"])

    assert sorted(leaves(layout["layout"])) == sorted(panels), "every panel is on the screen once"


@pytest.mark.parametrize("folder", ["nav2", "rviz", "foxglove"])
def test_setup_installs_the_files(folder):
    root = find_resource("config/detector.yaml").parents[1]
    if not (root / "setup.py").is_file():
        pytest.skip("installed without setup.py")
    assert f'"config/{folder}/*' in (root / "setup.py").read_text()

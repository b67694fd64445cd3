"""The launch files, where ROS's launch packages are importable (no registry has them)."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

pytest.importorskip("launch_ros", reason="launch_ros is part of a ROS installation")

from launch import LaunchContext
from launch.actions import DeclareLaunchArgument, ExecuteProcess, SetEnvironmentVariable
from launch.launch_description_sources import get_launch_description_from_python_launch_file
from launch.launch_description_sources.python_launch_file_utilities import (
    load_python_launch_file_as_module,
)
from launch_ros.actions import Node

LAUNCH = Path(__file__).parents[1] / "launch"
FILES = sorted(path.name for path in LAUNCH.glob("*.launch.py"))
# The arguments that users of other packages expect to find.
EXPECTED = {
    "namespace", "name", "use_sim_time", "params_file", "log_level", "image", "camera_info",
    "disparity", "model", "device", "score", "threshold", "image_transport", "autostart",
    "target_frame",
}  # fmt: skip


def describe(name: str):
    return get_launch_description_from_python_launch_file(str(LAUNCH / name))


def load_module(name: str):
    return load_python_launch_file_as_module(str(LAUNCH / name))


def run(description, **arguments: str):
    """Everything that a launch of the file would do, includes and functions resolved."""
    context = LaunchContext()
    context.launch_configurations.update(arguments)
    done, pending = [], list(description.entities)
    while pending:
        entity = pending.pop(0)
        done.append(entity)
        if not isinstance(entity, ExecuteProcess):
            pending = list(entity.visit(context) or []) + pending
    return done, context


def test_all_three_files_are_there():
    assert FILES == ["demo.launch.py", "detector.launch.py", "replay.launch.py"]


@pytest.mark.parametrize("name", FILES)
def test_every_argument_is_described(name):
    arguments = describe(name).get_launch_arguments()
    assert {argument.name for argument in arguments} >= EXPECTED
    for argument in arguments:
        assert "." in argument.description, argument.name


@pytest.mark.parametrize(
    ("name", "arguments", "executables"),
    [
        ("detector.launch.py", {}, ["detector"]),
        ("demo.launch.py", {}, ["detector", "simulator"]),
        ("replay.launch.py", {"bag": "somewhere"}, ["detector", "player"]),
    ],
)
def test_files_start_their_nodes(name, arguments, executables):
    done, _ = run(describe(name), **arguments)
    nodes = [entity for entity in done if isinstance(entity, Node)]
    assert [node.node_executable for node in nodes] == executables
    assert {node.node_package for node in nodes} == {"open_set_seg"}


def test_the_dds_profile_is_set_unless_the_user_has_one(monkeypatch):
    monkeypatch.delenv("FASTRTPS_DEFAULT_PROFILES_FILE", raising=False)
    monkeypatch.delenv("FASTDDS_DEFAULT_PROFILES_FILE", raising=False)
    done, context = run(describe("detector.launch.py"))
    assert any(isinstance(entity, SetEnvironmentVariable) for entity in done)
    assert Path(context.environment["FASTRTPS_DEFAULT_PROFILES_FILE"]).is_file()
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", "/mine.xml")
    done, _ = run(describe("detector.launch.py"))
    assert not any(isinstance(entity, SetEnvironmentVariable) for entity in done)


def test_a_replay_needs_a_bag():
    (bag,) = [
        argument
        for argument in describe("replay.launch.py").entities
        if isinstance(argument, DeclareLaunchArgument) and argument.name == "bag"
    ]
    assert bag.default_value is None


def test_the_default_parameter_file_exists_and_names_every_node():
    _, context = run(describe("detector.launch.py"))
    path = context.launch_configurations["params_file"]
    assert set(yaml.safe_load(Path(path).read_text())) == {"/**"}


def test_a_replay_plays_the_inputs_and_not_the_outputs_of_an_earlier_detector():
    _, context = run(describe("detector.launch.py"), image="/rig/left/image", disparity="far")
    topics = load_module("replay.launch.py").list_input_topics(context)
    assert {"/rig/left/image", "/rig/left/camera_info", "/far"} <= set(topics)
    assert "/rig/left/image/compressed" in topics
    assert not any("detector" in topic for topic in topics)


@pytest.mark.parametrize(("given", "value"), [("true", True), ("false", False)])
def test_the_node_waits_for_a_manager_where_it_is_told_to(given, value):
    module = load_module("detector.launch.py")
    context = LaunchContext()
    for argument in describe("detector.launch.py").get_launch_arguments():
        argument.visit(context)
    context.launch_configurations["autostart"] = given
    assert module.read_overrides(context)["autostart"] is value
    context.launch_configurations["autostart"] = ""
    assert "autostart" not in module.read_overrides(context)


REPLAYED = {"bag": "/some bag", "rate": "0.5", "loop": "true", "duration": "3.0", "player": "own"}


def test_our_player_gets_its_parameters_in_their_types():
    module = load_module("replay.launch.py")
    _, context = run(describe("replay.launch.py"), **REPLAYED)
    values = module.read_values(context)
    pytest.importorskip("rclpy")
    from open_set_seg.ros.player import make_settings

    settings = make_settings(**values)
    assert (settings.bag, settings.rate, settings.loop) == ("/some bag", 0.5, True)
    assert (settings.duration, settings.clock_hz) == (3.0, module.CLOCK_HZ)
    assert "/image" in settings.topics


def test_rosbag2_plays_where_it_is_asked_for():
    done, context = run(describe("replay.launch.py"), **{**REPLAYED, "player": "rosbag2"})
    (player,) = [
        entity
        for entity in done
        if isinstance(entity, ExecuteProcess) and not isinstance(entity, Node)
    ]
    command = ["".join(part.perform(context) for part in parts) for parts in player.cmd]
    assert command[:4] == ["ros2", "bag", "play", "/some bag"]
    assert command[4:9] == ["--rate", "0.5", "--loop", "--playback-duration", "3.0"]
    assert command[9:12] == ["--clock", "100", "--topics"]
    assert "/image" in command

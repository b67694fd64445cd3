"""Plays a recording into the detector: ros2 launch open_set_seg replay.launch.py bag:=FOLDER."""

import posixpath
from pathlib import Path

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
)
from launch.event_handlers import OnProcessExit
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from open_set_seg.bags.replay import find_rosbag2, rosbag2_command

HERE = Path(__file__).resolve().parent

# name: (default, type, description)
PLAYER_ARGUMENTS = {
    "rate": ("1.0", float, "How many times faster than recorded."),
    "loop": ("false", bool, "Start again after the last message."),
    "start_offset": ("0.0", float, "Seconds of the recording to skip."),
    "duration": ("0.0", float, "Seconds of the recording to play; 0: to its end."),
    "start_paused": ("false", bool, "Wait before the first message."),
}
CLOCK_HZ = 100.0
INPUTS = ("image", "camera_info", "disparity", "depth", "right_camera_info")


def list_input_topics(context):
    """Resolved topics that the detector listens to.

    Only these are played: a recording often holds outputs of an earlier detector too, which would
    mix with those of the one that runs now.
    """
    namespace = LaunchConfiguration("namespace").perform(context)
    topics = {
        name: posixpath.join("/", namespace, LaunchConfiguration(name).perform(context))
        for name in INPUTS
    }
    beside_the_image = posixpath.join(posixpath.dirname(topics["image"]), "camera_info")
    return [*topics.values(), f"{topics['image']}/compressed", beside_the_image]


def read_values(context):
    """The player's parameters in their types."""
    values = {"bag": LaunchConfiguration("bag").perform(context)}
    for name, (_, kind, _) in PLAYER_ARGUMENTS.items():
        text = LaunchConfiguration(name).perform(context)
        values[name] = text.lower() == "true" if kind is bool else kind(text)
    follows = LaunchConfiguration("clock").perform(context) == "true"
    values["clock_hz"] = CLOCK_HZ if follows else 0.0
    values["topics"] = LaunchConfiguration("topics").perform(context).split()
    values["topics"] = values["topics"] or list_input_topics(context)
    return values


def start_player(context):
    chosen = LaunchConfiguration("player").perform(context)
    values = read_values(context)
    if chosen == "rosbag2" or (chosen == "auto" and find_rosbag2()):
        player = ExecuteProcess(cmd=rosbag2_command(**values), output="screen")
    else:
        player = Node(
            package="open_set_seg", executable="player", output="screen", parameters=[values]
        )
    stop = OnProcessExit(target_action=player, on_exit=[Shutdown(reason="the recording is over")])
    return [player, RegisterEventHandler(stop)]


def generate_launch_description():
    arguments = [
        DeclareLaunchArgument("bag", description="Folder of the rosbag2 recording."),
        DeclareLaunchArgument(
            "topics",
            default_value="",
            description="Topics to play, separated by spaces; empty: the detector's inputs.",
        ),
        DeclareLaunchArgument(
            "clock",
            default_value="true",
            choices=["true", "false"],
            description="Publish the recording's time on /clock; the detector follows it.",
        ),
        DeclareLaunchArgument(
            "player",
            default_value="auto",
            choices=["auto", "rosbag2", "own"],
            description="ros2 bag play, this package's player, or (auto) the first that there is.",
        ),
        *(
            DeclareLaunchArgument(name, default_value=default, description=text)
            for name, (default, _, text) in PLAYER_ARGUMENTS.items()
        ),
    ]
    detector = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(HERE / "detector.launch.py")),
        launch_arguments={"use_sim_time": LaunchConfiguration("clock")}.items(),
    )
    return LaunchDescription([*arguments, detector, OpaqueFunction(function=start_player)])

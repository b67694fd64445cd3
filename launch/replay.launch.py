"""Plays a recording into the detector: ros2 launch open_set_seg replay.launch.py bag:=FOLDER."""

import posixpath
from pathlib import Path

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
)
from launch.event_handlers import OnProcessExit
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

HERE = Path(__file__).resolve().parent

# name: (default, type, description)
PLAYER_ARGUMENTS = {
    "rate": ("1.0", float, "How many times faster than recorded."),
    "loop": ("false", bool, "Start again after the last message."),
    "start_offset": ("0.0", float, "Seconds of the recording to skip."),
    "clock": ("true", bool, "Publish the recording's time on /clock; the detector follows it."),
}
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


def start_player(context):
    chosen = LaunchConfiguration("topics").perform(context).split()
    player = Node(
        package="open_set_seg",
        executable="player",
        output="screen",
        parameters=[
            {
                "bag": ParameterValue(LaunchConfiguration("bag"), value_type=str),
                "topics": chosen or list_input_topics(context),
                **{
                    name: ParameterValue(LaunchConfiguration(name), value_type=kind)
                    for name, (_, kind, _) in PLAYER_ARGUMENTS.items()
                },
            }
        ],
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

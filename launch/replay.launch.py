"""Plays a recording into the detector: ros2 launch open_set_seg replay.launch.py bag:=FOLDER."""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
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


def generate_launch_description():
    arguments = [
        DeclareLaunchArgument("bag", description="Folder of the rosbag2 recording."),
        *(
            DeclareLaunchArgument(name, default_value=default, description=text)
            for name, (default, _, text) in PLAYER_ARGUMENTS.items()
        ),
    ]
    detector = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(HERE / "detector.launch.py")),
        launch_arguments={"use_sim_time": LaunchConfiguration("clock")}.items(),
    )
    player = Node(
        package="open_set_seg",
        executable="player",
        output="screen",
        parameters=[
            {
                "bag": ParameterValue(LaunchConfiguration("bag"), value_type=str),
                **{
                    name: ParameterValue(LaunchConfiguration(name), value_type=kind)
                    for name, (_, kind, _) in PLAYER_ARGUMENTS.items()
                },
            }
        ],
    )
    stop = RegisterEventHandler(
        OnProcessExit(target_action=player, on_exit=[Shutdown(reason="the recording is over")])
    )
    return LaunchDescription([*arguments, detector, player, stop])

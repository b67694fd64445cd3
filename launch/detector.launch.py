"""Starts the detector node: ros2 launch open_set_seg detector.launch.py --show-args."""

import os
from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

CONFIG = Path(__file__).resolve().parent.parent / "config"
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")

# Empty: as the parameter file says.
PARAMETER_ARGUMENTS = {
    "autostart": (
        "Whether the node configures and activates itself; empty: as in params_file.",
        ["", "true", "false"],
    ),
    "model": ("Checkpoint file; empty: as in params_file.", None),
    "target_frame": (
        "Frame in which obstacles are published, such as base_link; empty: as in params_file.",
        None,
    ),
    "device": ("auto, cpu, cuda or cuda:N; empty: as in params_file.", None),
    "score": (
        "Anomaly score, with a threshold of its own; empty: as in params_file.",
        None,
    ),
    "threshold": ("Anomaly above which a pixel is unknown; empty: as in params_file.", None),
    "image_transport": (
        "raw: listen to image; compressed: to image/compressed; empty: as in params_file.",
        ["", "raw", "compressed"],
    ),
    "range_source": (
        "Where distances come from; empty: as in params_file.",
        ["", "disparity", "depth", "none"],
    ),
}
TOPIC_ARGUMENTS = {
    "image": ("image", "Topic of the rectified left image, without /compressed."),
    "camera_info": (
        "camera_info",
        "Topic of its calibration; where only image is set, the camera_info beside that topic.",
    ),
    "disparity": ("disparity", "Topic of the stereo_msgs/DisparityImage."),
    "depth": ("depth", "Topic of the depth image, for range_source:=depth."),
    "right_camera_info": ("right/camera_info", "Topic of the right camera's calibration."),
}
TOPIC_NAMES = {"right_camera_info": "right/camera_info"}


def declare_arguments():
    arguments = [
        DeclareLaunchArgument("namespace", default_value="", description="Namespace of the node."),
        DeclareLaunchArgument("name", default_value="detector", description="Name of the node."),
        DeclareLaunchArgument(
            "use_sim_time",
            default_value="false",
            choices=["true", "false"],
            description="Take the time from /clock, as for a replayed bag.",
        ),
        DeclareLaunchArgument(
            "params_file",
            default_value=str(CONFIG / "detector.yaml"),
            description="YAML file with the node's parameters.",
        ),
        DeclareLaunchArgument(
            "log_level",
            default_value="info",
            choices=["debug", "info", "warn", "error", "fatal"],
            description="What the node logs.",
        ),
        DeclareLaunchArgument(
            "dds_profile",
            default_value=str(CONFIG / "fastdds.xml"),
            description="Fast DDS profile for large images; an exported "
            f"{PROFILE_VARIABLES[0]} goes first; empty: none.",
        ),
    ]
    for name, (text, choices) in PARAMETER_ARGUMENTS.items():
        arguments.append(
            DeclareLaunchArgument(name, default_value="", description=text, choices=choices)
        )
    for name, (topic, text) in TOPIC_ARGUMENTS.items():
        arguments.append(DeclareLaunchArgument(name, default_value=topic, description=text))
    return arguments


def set_dds_profile(context):
    profile = LaunchConfiguration("dds_profile").perform(context)
    if not profile or any(os.environ.get(name) for name in PROFILE_VARIABLES):
        return []
    return [SetEnvironmentVariable(PROFILE_VARIABLES[0], profile)]


def read_overrides(context):
    """Parameters that arguments name, in their types."""
    values = {name: LaunchConfiguration(name).perform(context) for name in PARAMETER_ARGUMENTS}
    overrides = {name: value for name, value in values.items() if value}
    if "autostart" in overrides:
        overrides["autostart"] = overrides["autostart"] == "true"
    if "threshold" in overrides:
        overrides["threshold"] = float(overrides["threshold"])
    overrides["use_sim_time"] = LaunchConfiguration("use_sim_time").perform(context) == "true"
    return overrides


def start_detector(context):
    def value(name):
        return LaunchConfiguration(name).perform(context)

    return [
        Node(
            package="open_set_seg",
            executable="detector",
            namespace=value("namespace"),
            name=value("name"),
            output="screen",
            parameters=[value("params_file"), read_overrides(context)],
            remappings=[(TOPIC_NAMES.get(n, n), value(n)) for n in TOPIC_ARGUMENTS],
            arguments=["--ros-args", "--log-level", value("log_level")],
        )
    ]


def generate_launch_description():
    return LaunchDescription(
        [
            *declare_arguments(),
            OpaqueFunction(function=set_dds_profile),
            OpaqueFunction(function=start_detector),
        ]
    )

"""Starts the simulated stereo camera and the detector; look at /detector/overlay."""

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
CAMERA = "/camera"

# name: (default, type, description)
SIMULATOR_ARGUMENTS = {
    "drive": ("", str, "Folder of a saved drive; empty: render one, about a second an image."),
    "seed": ("1", int, "Seed of the drive that is rendered."),
    "frames": ("40", int, "Frames of the drive that is rendered."),
    "width": ("1024", int, "Width of the rendered images, px."),
    "height": ("512", int, "Height of the rendered images, px."),
    "rate_hz": ("10.0", float, "Frames a second."),
    "loop": ("true", bool, "Start the drive again after its last frame; false: end there."),
}


def generate_launch_description():
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, _, text) in SIMULATOR_ARGUMENTS.items()
    ]
    detector = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(HERE / "detector.launch.py")),
        launch_arguments={
            "image": f"{CAMERA}/image",
            "camera_info": f"{CAMERA}/camera_info",
            "disparity": f"{CAMERA}/disparity",
            "right_camera_info": f"{CAMERA}/right/camera_info",
        }.items(),
    )
    simulator = Node(
        package="open_set_seg",
        executable="simulator",
        namespace=CAMERA,
        output="screen",
        parameters=[
            {
                name: ParameterValue(LaunchConfiguration(name), value_type=kind)
                for name, (_, kind, _) in SIMULATOR_ARGUMENTS.items()
            }
        ],
    )
    stop = RegisterEventHandler(
        OnProcessExit(target_action=simulator, on_exit=[Shutdown(reason="the drive is over")])
    )
    # The detector's launch file sets the DDS profile, which the camera needs too: it comes first.
    return LaunchDescription([*arguments, detector, simulator, stop])

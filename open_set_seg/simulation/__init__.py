"""Procedural stereo road scenes with ground truth: demo, tests and the synthetic benchmark.

The scene graph comes first (``build_scene``), the pictures follow from it (``render_still``,
``render_drive``). numpy and OpenCV are all it needs.
"""

from open_set_seg.simulation.archive import load_drive, save_drive
from open_set_seg.simulation.config import DriveConfig, SceneConfig
from open_set_seg.simulation.drive import render_drive, render_frame
from open_set_seg.simulation.layout import build_scene
from open_set_seg.simulation.objects.unknown_objects import DEVELOPMENT_FAMILIES, SEALED_FAMILIES
from open_set_seg.simulation.rendering.compiled import compile_scene
from open_set_seg.simulation.rendering.render import View, render_view
from open_set_seg.simulation.scene import SceneGraph, SceneObject
from open_set_seg.simulation.sensor import MatcherModel, sense_disparity
from open_set_seg.simulation.stereo import (
    StereoFrame,
    StereoRig,
    TrueObstacle,
    render_stereo,
    render_still,
)
from open_set_seg.simulation.streams import TEST_SEEDS, TRAINING_SEEDS, VALIDATION_SEEDS

__all__ = [
    "DEVELOPMENT_FAMILIES",
    "SEALED_FAMILIES",
    "TEST_SEEDS",
    "TRAINING_SEEDS",
    "VALIDATION_SEEDS",
    "DriveConfig",
    "MatcherModel",
    "SceneConfig",
    "SceneGraph",
    "SceneObject",
    "StereoFrame",
    "StereoRig",
    "TrueObstacle",
    "View",
    "build_scene",
    "compile_scene",
    "load_drive",
    "render_drive",
    "render_frame",
    "render_stereo",
    "render_still",
    "render_view",
    "save_drive",
    "sense_disparity",
]

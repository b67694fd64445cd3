"""Normalizing flows that learn images and invent them: build, save, load."""

from training.flow.denseflow import DenseFlow
from training.flow.files import FlowFileError, FlowMetadata, load_flow, save_flow
from training.flow.glow import GlowSmall
from training.flow.image_flow import ImageFlow
from training.flow.realnvp import RealNVP
from training.flow.registry import FLOWS, build_flow

__all__ = [
    "FLOWS",
    "DenseFlow",
    "FlowFileError",
    "FlowMetadata",
    "GlowSmall",
    "ImageFlow",
    "RealNVP",
    "build_flow",
    "load_flow",
    "save_flow",
]

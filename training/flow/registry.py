"""The flows by name, and one way to build one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from training.flow.denseflow import DenseFlow
from training.flow.glow import GlowSmall
from training.flow.image_flow import ImageFlow
from training.flow.realnvp import RealNVP

FLOWS: dict[str, Callable[..., ImageFlow]] = {
    "glow_small": GlowSmall,
    "realnvp": RealNVP,
    "denseflow_25_6": DenseFlow,
}


def build_flow(name: str, **options: Any) -> ImageFlow:
    """A freshly initialised flow of ``FLOWS``; its weights come from torch's global generator.

    Args:
        name: key in ``FLOWS``.
        options: arguments of the class.

    Raises:
        ValueError: unknown name or option, or a value that the class refuses.
    """
    if name not in FLOWS:
        raise ValueError(f"unknown flow {name!r}; known are {', '.join(sorted(FLOWS))}")
    known = inspect.signature(FLOWS[name]).parameters
    for option in options:
        if option not in known:
            raise ValueError(f"unknown option {option!r} of {name}; known are {', '.join(known)}")
    return FLOWS[name](**options)

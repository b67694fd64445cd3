"""Sizes of images on the command line."""

from __future__ import annotations

import re


def read_size(text: str) -> tuple[int, int]:
    """(width, height) of ``WIDTHxHEIGHT``.

    Raises:
        ValueError: it is none.
    """
    match = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", text)
    if match is None:
        raise ValueError(f"expected --size as WIDTHxHEIGHT in pixels, found {text!r}")
    return int(match[1]), int(match[2])

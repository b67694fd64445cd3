"""What the user wants of the head's kernels, from the environment."""

from __future__ import annotations

import logging
import os

logger = logging.getLogger(__name__)

BACKEND_VARIABLE = "OPEN_SET_SEG_HEAD"
_WISHES = ("auto", "pytorch")


def wants_pytorch() -> bool:
    """Whether ``OPEN_SET_SEG_HEAD`` keeps the kernels out; a value without meaning is warned of."""
    wish = os.environ.get(BACKEND_VARIABLE, "auto")
    if wish not in _WISHES:
        expected = " or ".join(_WISHES)
        logger.warning("%s is %r: expected %s; taking auto", BACKEND_VARIABLE, wish, expected)
    return wish == "pytorch"

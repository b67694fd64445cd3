"""The one exception of message conversion."""

from __future__ import annotations


class MessageError(ValueError):
    """A message whose content cannot be used.

    Attributes:
        code: stable dotted identifier (``image.truncated``): what is counted and logged once.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code

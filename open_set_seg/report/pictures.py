"""Pictures of a report, alone or on cards with what is known about them."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

# First bytes of the picture formats that every browser shows, and their media types.
_PICTURE_TYPES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"RIFF": "image/webp",
}
_ANCHOR = re.compile(r"[a-z][a-z0-9-]*")


@dataclass(frozen=True)
class Picture:
    """A photograph or drawing.

    Attributes:
        data: the bytes of a PNG, JPEG or WebP file.
        caption: below it.
        alternative: what is seen, for who cannot see it.
    """

    data: bytes
    caption: str
    alternative: str

    @property
    def uri(self) -> str:
        """The picture as a data URI.

        Raises:
            ValueError: the data is no PNG, JPEG or WebP.
        """
        for start, media_type in _PICTURE_TYPES.items():
            if self.data.startswith(start):
                return f"data:{media_type};base64,{base64.b64encode(self.data).decode('ascii')}"
        raise ValueError(f"{self.caption!r} is no PNG, JPEG or WebP file: {self.data[:8]!r}...")


@dataclass(frozen=True)
class Pictures:
    """Pictures below each other."""

    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Card:
    """One thing among many alike: small pictures and what is known about it.

    Attributes:
        anchor: its id in the page, which links lead to; unique, of a to z, digits and dashes.
        title: above the pictures.
        pictures: side by side, small.
        details: (label, value) below them.

    Raises:
        ValueError: an anchor of other characters.
    """

    anchor: str
    title: str
    pictures: tuple[Picture, ...]
    details: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        if not _ANCHOR.fullmatch(self.anchor):
            raise ValueError(f"an anchor is made of a to z, digits and dashes, not {self.anchor!r}")


@dataclass(frozen=True)
class Cards:
    """Cards side by side where there is room."""

    cards: tuple[Card, ...]

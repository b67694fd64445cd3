"""MP4 files by OpenCV, in the first codec that can be written here and read back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from open_set_seg.frame import ImageRGB

# VP9 plays in browsers and in every current player, H.264 likewise where OpenCV can write it (the
# registry's builds cannot), MPEG-4 part 2 in players alone, but takes a fiftieth of VP9's time.
FOR_BROWSERS = ("vp09", "avc1", "mp4v")
FAST = ("mp4v", "vp09")


class VideoError(OSError):
    """A video could not be written."""


class Video:
    """Context manager that writes an MP4 picture by picture, in the first codec that works.

    Args:
        size: (width, height) in pixels; an odd one loses its last line.
        rate_hz: pictures a second.
        codecs: as fourcc codes, the preferred first.

    Attributes:
        codec: the one in use.

    Raises:
        VideoError: OpenCV can write none of the codecs here, or (on leaving) the file cannot be
            read back whole.
    """

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        rate_hz: float,
        codecs: Sequence[str] = FOR_BROWSERS,
    ) -> None:
        self._path = path
        # Chroma is subsampled: odd sizes lose their last line.
        self._width, self._height = (length - length % 2 for length in size)
        self._rate_hz = rate_hz
        self._written = 0
        self.codec = next((codec for codec in codecs if self._works(codec)), "")
        if not self.codec:
            raise VideoError(f"OpenCV can write {path} with none of {', '.join(codecs)}")

    def write(self, picture: ImageRGB) -> None:
        """Append an RGB picture (H, W, 3)."""
        shown = picture[: self._height, : self._width]
        self._writer.write(cv2.cvtColor(shown, cv2.COLOR_RGB2BGR))
        self._written += 1

    def __enter__(self) -> Video:
        self._writer = self._open(self.codec)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._writer.release()
        if exc_type is None and self._count_frames() != self._written:
            raise VideoError(f"{self._path} does not hold the {self._written} pictures written")

    def _open(self, codec: str) -> cv2.VideoWriter:
        fourcc = cv2.VideoWriter.fourcc(*codec)
        return cv2.VideoWriter(str(self._path), fourcc, self._rate_hz, (self._width, self._height))

    def _works(self, codec: str) -> bool:
        """Whether a video of two pictures can be written and read back."""
        writer = self._open(codec)
        for level in (0, 255) if writer.isOpened() else ():
            writer.write(np.full((self._height, self._width, 3), level, np.uint8))
        writer.release()
        works = self._count_frames() == 2
        self._path.unlink(missing_ok=True)
        return works

    def _count_frames(self) -> int:
        reader = cv2.VideoCapture(str(self._path))
        try:
            count = 0
            while reader.grab():
                count += 1
            return count
        finally:
            reader.release()

"""The newest frames, bounded in seconds and in bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class Part:
    """One message of a frame; it is serialised when it is written, if ever.

    Attributes:
        topic, type_name: as in the recording.
        size: bytes that it takes in memory, about as many as it will have serialised.
        serialise: gives the CDR bytes; called once at most, in the writing thread, so whatever it
            holds must not change.
    """

    topic: str
    type_name: str
    size: int
    serialise: Callable[[], bytes | memoryview]


@dataclass(frozen=True, eq=False)
class RecordedFrame:
    """The messages that belong to one image.

    Attributes:
        stamp_ns: of the image; the time of its messages in a recording.
    """

    stamp_ns: int
    parts: tuple[Part, ...]

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(part.size for part in self.parts)


class RingBuffer:
    """Frames of the last seconds; not thread-safe.

    Frames come in the order of their stamps; one whose stamp went back empties the buffer first.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._frames: deque[RecordedFrame] = deque()

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def seconds(self) -> float:
        """From the oldest frame to the newest."""
        if not self._frames:
            return 0.0
        return (self._frames[-1].stamp_ns - self._frames[0].stamp_ns) * 1e-9

    def add(self, frame: RecordedFrame, seconds: float, limit: int) -> None:
        """Take a frame, and let go whatever is older than ``seconds`` or beyond ``limit`` bytes.

        A frame that alone is larger than the limit is not kept.
        """
        if self._frames and frame.stamp_ns < self._frames[-1].stamp_ns:
            self.clear()
        self._frames.append(frame)
        self.bytes += frame.size
        self.forget_before(frame.stamp_ns - round(seconds * 1e9))
        while self._frames and self.bytes > limit:
            self.bytes -= self._frames.popleft().size

    def forget_before(self, stamp_ns: int) -> None:
        """Let frames go whose stamp is earlier."""
        while self._frames and self._frames[0].stamp_ns < stamp_ns:
            self.bytes -= self._frames.popleft().size

    def take(self) -> list[RecordedFrame]:
        """All frames, oldest first; the buffer is empty then."""
        frames = list(self._frames)
        self.clear()
        return frames

    def clear(self) -> None:
        """Let all frames go."""
        self._frames.clear()
        self.bytes = 0

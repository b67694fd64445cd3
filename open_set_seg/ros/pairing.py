"""Pairing images with their disparity (or depth), without ROS and without a clock of its own.

A matcher takes time, so a disparity arrives after the image that it belongs to; messages get lost,
delayed and repeated, and a looped bag jumps back in time. What holds whatever arrives:

- a message is used at most once, and images come out in the order in which they came in;
- an exact stamp goes before a near one; a near one is within the tolerance and the nearest;
- an image waits at most ``wait_s``, in a buffer of bounded size;
- after ``absence_s`` and several images without any range message images pass at once, until one
  arrives again; time alone proves nothing where images come seldom (a slow replay, single steps);
- when stamps jump back, nothing of before the jump is paired with anything after it.

Messages are handed over with the time of their arrival (any monotonic clock, seconds), so tests
need no sleep. Not thread-safe: the caller holds a lock and uses the results outside of it.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

Image = TypeVar("Image")
Range = TypeVar("Range")
Stream = Literal["image", "range"]  # which one jumped back before the other did


@dataclass(frozen=True)
class PairingConfig:
    """How long and how widely a partner is looked for.

    Attributes:
        tolerance_ns: largest difference of stamps of a near pair. Keep it under half a frame
            period: beyond that a neighbouring frame may be taken for the right one.
        wait_s: longest time that an image waits for its partner; 0: partners are not expected.
        absence_s: after this time and ``absence_images`` images without any range message images
            do not wait any more.
        absence_images: see ``absence_s``; two images may go without by a loss.
        capacity: images, and range messages, that are kept at most.
    """

    tolerance_ns: int = 10_000_000
    wait_s: float = 0.2
    absence_s: float = 1.0
    absence_images: int = 3
    capacity: int = 16


@dataclass(frozen=True)
class _Waiting(Generic[Image]):
    stamp_ns: int
    arrival: float
    message: Image


@dataclass(frozen=True)
class Pair(Generic[Image, Range]):
    """An image with its range message, or alone.

    Attributes:
        waited_s: time from the image's arrival to its release.
    """

    image: Image
    range: Range | None
    waited_s: float


class FramePairing(Generic[Image, Range]):
    """See the module's text. ``counts`` tells what happened, by name:

    ``exact``, ``near``: pairs; ``alone``: images whose wait ended; ``overtaken``: images released
    alone because a later one was complete; ``passed``: images that did not wait as no range
    messages come; ``evicted``: images pushed out of the full buffer; ``unused_ranges``: range
    messages that found no image; ``jumps``: times that image stamps went back.

    ``nearest_miss_ns`` is how far the nearest range message was from the stamp of the last image
    that went without one: what to look at when nothing pairs.
    """

    def __init__(self, config: PairingConfig | None = None) -> None:
        self.config = config or PairingConfig()
        self.counts: Counter[str] = Counter()
        self._images: deque[_Waiting[Image]] = deque()
        self._ranges: deque[_Waiting[Range]] = deque()
        self._first_arrival: float | None = None
        self._last_range_arrival: float | None = None
        self._images_since_range = 0
        self._newest_image_ns: int | None = None
        self._newest_range_ns: int | None = None
        self._leader: Stream | None = None
        self._stamps_agree = True
        self.nearest_miss_ns: int | None = None

    def add_image(self, stamp_ns: int, image: Image, now: float) -> list[Pair[Image, Range]]:
        """Take an image; returns what is complete now, oldest first."""
        released: list[Pair[Image, Range]] = []
        if self._newest_image_ns is not None and stamp_ns < self._newest_image_ns:
            released += self._jump_back(now)
        self._newest_image_ns = stamp_ns
        if self._first_arrival is None:
            self._first_arrival = now
        self._images_since_range += 1
        if len(self._images) >= self.config.capacity:
            released.append(self._release(now, "evicted"))
        self._images.append(_Waiting(stamp_ns, now, image))
        return released + self.poll(now)

    def add_range(self, stamp_ns: int, message: Range, now: float) -> list[Pair[Image, Range]]:
        """Take a disparity or depth message; returns what is complete now, oldest first."""
        if self._newest_range_ns is not None and stamp_ns < self._newest_range_ns:
            self._drop_ranges(len(self._ranges))
            self._leader = None if self._leader == "image" else "range"
        self._newest_range_ns = stamp_ns
        self._last_range_arrival = now
        self._images_since_range = 0
        if len(self._ranges) >= self.config.capacity:
            self._drop_ranges(1)
        self._ranges.append(_Waiting(stamp_ns, now, message))
        return self.poll(now)

    def poll(self, now: float) -> list[Pair[Image, Range]]:
        """What is complete at ``now``, oldest first; call it at ``next_deadline``."""
        while self._ranges and now - self._ranges[0].arrival > self.config.absence_s:
            self._drop_ranges(1)
        released: list[Pair[Image, Range]] = []
        while (found := self._find_exact() or self._find_near(now)) is not None:
            released += self._take(*found, now)
        waits = not self.range_absent(now)
        while self._images and (not waits or now >= self._images[0].arrival + self.config.wait_s):
            released.append(self._release(now, "alone" if waits else "passed"))
        return released

    @property
    def next_deadline(self) -> float | None:
        """When ``poll`` has something to do at the latest; None while no image waits."""
        if not self._images:
            return None
        deadline = self._images[0].arrival + self.config.wait_s
        silence = self._silence_ends
        return deadline if silence is None else min(deadline, silence)

    def range_absent(self, now: float) -> bool:
        """Whether images pass without waiting: no range message is expected, or none comes."""
        silence = self._silence_ends
        return self.config.wait_s <= 0 or (silence is not None and now >= silence)

    @property
    def _silence_ends(self) -> float | None:
        """When range messages count as absent unless one arrives; None: too few images to say."""
        if self._images_since_range < self.config.absence_images:
            return None
        since = self._last_range_arrival
        if since is None:
            since = self._first_arrival
        return None if since is None else since + self.config.absence_s

    def reset(self) -> None:
        """Forget all messages and stamps (the clock jumped); counters stay."""
        self._images.clear()
        self._ranges.clear()
        self._first_arrival = self._last_range_arrival = None
        self._images_since_range = 0
        self._newest_image_ns = self._newest_range_ns = None
        self._leader, self._stamps_agree = None, True

    def reconfigure(self, config: PairingConfig) -> None:
        """Use another configuration from the next call on."""
        self.config = config

    def _find_exact(self) -> tuple[int, int] | None:
        for i, image in enumerate(self._images):
            for j, candidate in enumerate(self._ranges):
                if candidate.stamp_ns == image.stamp_ns:
                    return i, j
        return None

    def _find_near(self, now: float) -> tuple[int, int] | None:
        """The first image's nearest range message, once no better one is to be expected.

        While stamps agree exactly, an earlier neighbour is not settled for before a later message
        shows that the exact one was lost, or the wait ends.
        """
        for i, image in enumerate(self._images):
            offsets = [abs(entry.stamp_ns - image.stamp_ns) for entry in self._ranges]
            if not offsets or min(offsets) > self.config.tolerance_ns:
                continue
            j = offsets.index(min(offsets))
            if self._is_nearest_image(i, j) and self._is_settled(image, now):
                return i, j
        return None

    def _is_nearest_image(self, i: int, j: int) -> bool:
        """Whether no other waiting image is nearer to range message ``j`` than image ``i``."""
        stamp = self._ranges[j].stamp_ns
        offset = abs(self._images[i].stamp_ns - stamp)
        return all(offset <= abs(entry.stamp_ns - stamp) for entry in self._images)

    def _is_settled(self, image: _Waiting[Image], now: float) -> bool:
        if not self._stamps_agree or now >= image.arrival + self.config.wait_s:
            return True
        return self._newest_range_ns is not None and self._newest_range_ns > image.stamp_ns

    def _take(self, i: int, j: int, now: float) -> list[Pair[Image, Range]]:
        """Pair image ``i`` with range ``j``; older images go first, alone: theirs were lost."""
        released = [self._release(now, "overtaken") for _ in range(i)]
        image, partner = self._images.popleft(), self._ranges[j]
        del self._ranges[j]
        self._drop_ranges(j)
        self._stamps_agree = image.stamp_ns == partner.stamp_ns
        self.counts["exact" if self._stamps_agree else "near"] += 1
        if self._stamps_agree:
            self._leader = None  # both streams are of the same time
        released.append(Pair(image.message, partner.message, now - image.arrival))
        return released

    def _release(self, now: float, reason: str) -> Pair[Image, Range]:
        image = self._images.popleft()
        if self._ranges:
            self.nearest_miss_ns = min(
                (entry.stamp_ns - image.stamp_ns for entry in self._ranges), key=abs
            )
        self.counts[reason] += 1
        return Pair(image.message, None, now - image.arrival)

    def _jump_back(self, now: float) -> list[Pair[Image, Range]]:
        """Let waiting images go, and drop the range messages of before the jump.

        The range stream may have jumped first: then what it sent since is of the new time.
        """
        self.counts["jumps"] += 1
        released = [self._release(now, "overtaken") for _ in range(len(self._images))]
        if self._leader == "range":
            self._leader = None
        else:
            self._drop_ranges(len(self._ranges))
            self._leader = "image"
        return released

    def _drop_ranges(self, number: int) -> None:
        for _ in range(number):
            self._ranges.popleft()
            self.counts["unused_ranges"] += 1

"""The newest-frame slot and the one thread that owns the detector."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic

from open_set_seg.ros.pairing import FramePairing, Image, Pair, PairingConfig, Range


class FrameSlot(Generic[Image, Range]):
    """Pairing with a slot of one behind it: whoever takes gets the newest complete frame.

    A frame that is still in the slot when a newer one is complete is dropped and counted.
    Thread-safe; nothing is called back while the lock is held.
    """

    def __init__(self, config: PairingConfig) -> None:
        self.dropped = 0
        self._pairing: FramePairing[Image, Range] = FramePairing(config)
        self._newest: Pair[Image, Range] | None = None
        self._changed = threading.Condition()
        self._closed = False

    def add_image(self, stamp_ns: int, image: Image) -> None:
        """Take an image."""
        with self._changed:
            self._store(self._pairing.add_image(stamp_ns, image, time.monotonic()))
            self._changed.notify_all()  # also if it only waits: its deadline is a new one

    def add_range(self, stamp_ns: int, message: Range) -> None:
        """Take a disparity or depth message."""
        with self._changed:
            self._store(self._pairing.add_range(stamp_ns, message, time.monotonic()))
            self._changed.notify_all()

    def take(self) -> Pair[Image, Range] | None:
        """The newest complete frame, as soon as there is one; None once the slot is closed."""
        with self._changed:
            while not self._closed:
                self._store(self._pairing.poll(time.monotonic()))
                if self._newest is not None:
                    newest, self._newest = self._newest, None
                    return newest
                deadline = self._pairing.next_deadline
                timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
                self._changed.wait(timeout)
            return None

    def reset(self) -> None:
        """Forget what waits: the clock jumped."""
        with self._changed:
            self._pairing.reset()
            self._newest = None

    def reconfigure(self, config: PairingConfig) -> None:
        """Use another pairing configuration from now on."""
        with self._changed:
            self._pairing.reconfigure(config)
            self._changed.notify_all()

    def open(self) -> None:
        """Let ``take`` work (again), from an empty slot."""
        with self._changed:
            self._pairing.reset()
            self._newest, self._closed = None, False

    def close(self) -> None:
        """Let ``take`` return None from now on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def nearest_miss_ns(self) -> int | None:
        """See ``FramePairing``."""
        return self._pairing.nearest_miss_ns

    def range_absent(self) -> bool:
        """Whether images pass without waiting for a partner."""
        with self._changed:
            return self._pairing.range_absent(time.monotonic())

    def snapshot(self) -> dict[str, int]:
        """Counts of the pairing and of ``dropped`` frames."""
        with self._changed:
            return {**self._pairing.counts, "dropped": self.dropped}

    def _store(self, complete: list[Pair[Image, Range]]) -> None:
        for frame in complete:
            self.dropped += self._newest is not None
            self._newest = frame


class InferenceThread(threading.Thread, Generic[Image, Range]):
    """Loads the detector and processes frames until the slot is closed, all in one thread.

    Everything that touches the device happens here: graph captures and compiled code are bound to
    the thread that made them.

    Args:
        slot: where frames come from.
        load: makes the detector; runs first. What it raises is kept in ``failure``.
        process: handles one frame; must not raise.
    """

    def __init__(
        self,
        slot: FrameSlot[Image, Range],
        load: Callable[[], None],
        process: Callable[[Pair[Image, Range]], None],
    ) -> None:
        super().__init__(name="inference", daemon=True)
        self.failure: BaseException | None = None
        self.loaded = threading.Event()
        self._slot, self._load, self._process = slot, load, process

    def run(self) -> None:
        """Thread body."""
        try:
            self._load()
        except BaseException as error:  # handed over to the thread that waits for ``loaded``
            self.failure = error
            return
        finally:
            self.loaded.set()
        while (frame := self._slot.take()) is not None:
            self._process(frame)

    def stop(self) -> None:
        """Close the slot and wait until the frame in progress is done."""
        self._slot.close()
        if self.is_alive():
            self.join()

"""Keys of a terminal that steer a replay, the same as those of ``ros2 bag play``."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Literal

Command = Literal["toggle", "next", "faster", "slower"]

# Terminals send arrows as ESC [ X, or as ESC O X in their application mode.
_KEYS: dict[bytes, Command] = {
    b" ": "toggle",
    b"\x1b[C": "next", b"\x1bOC": "next",
    b"\x1b[A": "faster", b"\x1bOA": "faster",
    b"\x1b[B": "slower", b"\x1bOB": "slower",
}  # fmt: skip
_LONGEST = max(map(len, _KEYS))


def parse_keys(typed: bytes) -> tuple[list[Command], bytes]:
    """Commands in what was typed, and its end where that may be the beginning of a key."""
    commands: list[Command] = []
    while typed:
        key = next((k for k in _KEYS if typed.startswith(k)), None)
        if key is None and len(typed) < _LONGEST and any(k.startswith(typed) for k in _KEYS):
            break
        if key is not None:
            commands.append(_KEYS[key])
        typed = typed[len(key) if key else 1 :]
    return commands, typed


class Keyboard:
    """Context manager that takes single keys from a terminal; no keys where there is none.

    Args:
        stream: standard input by default.
    """

    HELP = "SPACE pauses, right arrow plays the next message, up and down change the rate"

    def __init__(self, stream: Any = None) -> None:
        self._stream = sys.stdin if stream is None else stream
        self._number: int | None = None
        self._settings: Any = None
        self._rest = b""

    @property
    def active(self) -> bool:
        """Whether keys are taken."""
        return self._settings is not None

    def commands(self) -> Iterable[Command]:
        """What was typed since the last call; never waits."""
        if not self.active or not self._in_foreground():
            return ()
        assert self._number is not None
        while select.select([self._number], [], [], 0)[0]:
            typed = os.read(self._number, 1024)
            if not typed:  # the terminal was closed
                break
            self._rest += typed
        found, self._rest = parse_keys(self._rest)
        return found

    def __enter__(self) -> Keyboard:
        try:
            import termios
            import tty

            number = self._stream.fileno()
            if not os.isatty(number):
                return self
            self._number = number
            if self._in_foreground():
                self._settings = termios.tcgetattr(number)
                tty.setcbreak(number)
        except (ImportError, AttributeError, OSError, ValueError):
            self._settings = None  # no terminals on this system, or no standard input
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.active:
            import termios

            assert self._number is not None
            if self._in_foreground():
                termios.tcsetattr(self._number, termios.TCSADRAIN, self._settings)
            self._settings = None

    def _in_foreground(self) -> bool:
        """A job in the background that touches its terminal would be stopped."""
        assert self._number is not None
        try:
            return os.tcgetpgrp(self._number) == os.getpgrp()
        except OSError:  # not the terminal of this session
            return False

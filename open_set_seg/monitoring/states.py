"""The three states of every monitor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

State = Literal["ok", "warn", "alarm"]
ORDER: tuple[State, ...] = ("ok", "warn", "alarm")


def worst_state(states: Iterable[State]) -> State:
    """The most severe of the states; ``ok`` where there are none."""
    return max(states, key=ORDER.index, default="ok")

"""Tentative or confirmed: the state of an obstacle from the frames in which it was seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from open_set_seg.tracking.config import TrackingConfig

State = Literal["tentative", "confirmed"]
# As messages carry it; 0 is an obstacle of one frame, without identity over time.
UNTRACKED = 0
STATE_CODES: Mapping[State, int] = MappingProxyType({"tentative": 1, "confirmed": 2})


def next_state(state: State, seen: Sequence[bool], config: TrackingConfig) -> State | None:
    """The state after a frame.

    - tentative -> confirmed: seen in ``confirm_hits`` of the last ``confirm_window`` frames;
    - confirmed -> tentative: not seen now, and missed in ``lose_misses`` of the last
      ``lose_window``;
    - tentative -> forgotten: not seen in any of the last ``confirm_window``.

    Args:
        state: before the frame; ``tentative`` for a new obstacle.
        seen: by frame since the obstacle appeared, the newest last; the first is True. Frames
            before it count neither as seen nor as missed.

    Returns:
        The new state; None: forgotten.
    """
    recent = seen[-config.confirm_window :]
    if state == "tentative":
        if sum(recent) >= config.confirm_hits:
            return "confirmed"
    else:
        missed = [not one for one in seen[-config.lose_window :]]
        if seen[-1] or sum(missed) < config.lose_misses:
            return "confirmed"
    forgotten = len(recent) == config.confirm_window and not any(recent)
    return None if forgotten else "tentative"

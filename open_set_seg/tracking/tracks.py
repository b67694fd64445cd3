"""An obstacle that is followed: what is published of it, and what is remembered."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

from open_set_seg.frame import Obstacle
from open_set_seg.tracking.config import TrackingConfig
from open_set_seg.tracking.places import Places, Z
from open_set_seg.tracking.states import State, next_state


@dataclass(frozen=True, eq=False)
class TrackedObstacle(Obstacle):
    """An obstacle that is known from frame to frame.

    ``id`` is stable here: counted from 1, the same as long as the obstacle is followed, and never
    given twice by one tracker. Everything else that an ``Obstacle`` has is as measured in this
    frame, not smoothed.

    Attributes:
        state: ``tentative`` or ``confirmed``.
        age: examined frames since it appeared, this one included.
        age_s: seconds since it appeared.
        seen, window: it was seen in ``seen`` of the last ``window`` examined frames.
    """

    state: State
    age: int
    age_s: float
    seen: int
    window: int


@dataclass
class Track:
    """What is remembered of an obstacle; where it is lies beside, in ``Places``."""

    id: int
    obstacle: Obstacle
    born_ns: int
    state: State
    history: list[bool]
    age: int = 1

    def mark(self, seen: bool, config: TrackingConfig) -> bool:
        """Take note of a frame; returns whether the obstacle is still remembered."""
        memory = max(config.confirm_window, config.lose_window)
        self.history = [*self.history, seen][-memory:]
        self.age += 1
        state = next_state(self.state, self.history, config)
        self.state = state or self.state
        return state is not None

    def publish(self, now_ns: int, config: TrackingConfig) -> TrackedObstacle:
        """The obstacle as measured last, with what is known of it over time."""
        measured = {one.name: getattr(self.obstacle, one.name) for one in fields(Obstacle)}
        return TrackedObstacle(
            **{**measured, "id": self.id},
            state=self.state,
            age=self.age,
            age_s=(now_ns - self.born_ns) * 1e-9,
            seen=sum(self.history[-config.confirm_window :]),
            window=config.confirm_window,
        )


def relocate(obstacle: TrackedObstacle, place: Places) -> TrackedObstacle:
    """The obstacle at its expected place (of one), as far as that is known."""
    x, y, z = (float(value) for value in place.position[0])
    if math.isnan(z):
        return obstacle
    return replace(
        obstacle,
        distance=obstacle.distance + z - obstacle.position[Z],
        distance_sigma=math.sqrt(float(place.variance[0, Z])),
        position=(x, y, z),
    )

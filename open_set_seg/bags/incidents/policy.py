"""When an incident begins and ends: logic alone, without a clock, threads or files.

Time is that of the images' stamps. What holds whatever arrives:

- an obstacle (a stable id) begins or lengthens at most one incident;
- while an incident lasts no other begins: a new obstacle lengthens it;
- between the end of one and the start of the next lie at least ``min_gap_s``, unless somebody asks;
  an obstacle that appears in between waits, and begins one if it is still there then;
- a scene that was recorded already (see ``scenes``) is not recorded again, whichever of its
  obstacles is asked about;
- a stamp that goes back ends the incident.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from open_set_seg.bags.incidents.config import RecorderConfig
from open_set_seg.bags.incidents.scenes import Scene, SceneMemory

IDS_REMEMBERED = 10_000


@dataclass(frozen=True)
class Sighting:
    """A confirmed obstacle in a frame.

    Attributes:
        id: stable from frame to frame.
        distance: metres; NaN where it is unknown.
        score: mean anomaly.
        box: (left, top, width, height) in pixels.
    """

    id: int
    distance: float
    score: float
    box: tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Decision:
    """What becomes of a frame.

    Attributes:
        action: ``begin``: it is the first of an incident, after the frames that are in memory;
            ``go_on``: it belongs to the incident; ``end``: the incident ended before it; ``none``.
        obstacle: the new one that began or lengthened the incident.
        scenes: of the incident that begins; those that lengthen it are added.
    """

    action: Literal["none", "begin", "go_on", "end"]
    obstacle: Sighting | None = None
    scenes: Sequence[Scene] = ()


class IncidentPolicy:
    """Decides frame by frame.

    Attributes:
        active: whether an incident lasts.
        counts: ``repeats``: obstacles of scenes that were recorded already; ``deferred``: frames
            with a new obstacle that had to wait.
    """

    def __init__(self, config: RecorderConfig) -> None:
        self.config = config
        self.active = False
        self.counts: Counter[str] = Counter()
        self._known: dict[int, None] = {}
        self._scenes = SceneMemory()
        self._recorded: list[Scene] = []  # of the newest incident
        self._until_ns = 0
        self._newest_ns: int | None = None
        self._since_end_ns: int | None = None

    def update(
        self,
        stamp_ns: int,
        sightings: Sequence[Sighting],
        look: Callable[[Sighting], Scene],
        ready: bool = True,
    ) -> Decision:
        """Decide about a frame.

        Args:
            stamp_ns: of its image.
            sightings: its confirmed obstacles.
            look: gives the scene around an obstacle; called only for new ones.
            ready: whether recording is possible now; new obstacles wait otherwise.
        """
        elapsed = 0 if self._newest_ns is None else stamp_ns - self._newest_ns
        self._newest_ns = stamp_ns
        if self._since_end_ns is not None:
            self._since_end_ns += max(0, elapsed)
        new = [one for one in sightings if one.id not in self._known and self._matters(one)]
        if self.active and (elapsed < 0 or stamp_ns > self._until_ns):
            self.end()
            return Decision("end")
        if self.active:
            return self._go_on(new, look)
        return self._choose(new, look, ready) if new else Decision("none")

    def request(self) -> Decision:
        """Somebody asks for a recording: begin one now, or lengthen the one that lasts."""
        if self.active:
            self._lengthen()
            return Decision("go_on")
        self._begin()
        return Decision("begin", scenes=self._recorded)

    def end(self) -> None:
        """The incident ends here."""
        if self.active:
            self.active, self._since_end_ns = False, 0

    def retract(self, decision: Decision) -> None:
        """What began could not be recorded: its obstacle and its scenes may begin again."""
        if decision.obstacle is not None:
            self._known.pop(decision.obstacle.id, None)
        for scene in decision.scenes:
            self._scenes.forget(scene)

    def _go_on(self, new: Sequence[Sighting], look: Callable[[Sighting], Scene]) -> Decision:
        self._remember(new)
        if not new:
            return Decision("go_on")
        self._record(map(look, new))
        self._lengthen()
        return Decision("go_on", min(new, key=_nearness))

    def _choose(
        self, new: Sequence[Sighting], look: Callable[[Sighting], Scene], ready: bool
    ) -> Decision:
        """Begin with the nearest obstacle whose scene was not recorded yet, if one may begin."""
        gap, since = _nanoseconds(self.config.min_gap_s), self._since_end_ns
        if not ready or (since is not None and since < gap):
            self.counts["deferred"] += 1
            return Decision("none")
        # Those of a scene that is known, too: the next frame shows them again.
        self._remember(new)
        nearest_first = sorted(new, key=_nearness)
        for place, one in enumerate(nearest_first):
            scene = look(one)
            if not self._scenes.contains(scene):
                self._begin()
                self._record([scene, *map(look, nearest_first[place + 1 :])])
                return Decision("begin", one, self._recorded)
            self.counts["repeats"] += 1
        return Decision("none")

    def _record(self, scenes: Iterable[Scene]) -> None:
        for scene in scenes:
            self._recorded.append(scene)
            self._scenes.add(scene)

    def _begin(self) -> None:
        self.active = True
        self._recorded = []
        self._until_ns = 0
        self._lengthen()

    def _lengthen(self) -> None:
        until = (self._newest_ns or 0) + _nanoseconds(self.config.after_s)
        self._until_ns = max(self._until_ns, until)

    def _matters(self, one: Sighting) -> bool:
        limit = self.config.max_distance
        return one.score >= self.config.min_score and not (limit and one.distance > limit)

    def _remember(self, sightings: Sequence[Sighting]) -> None:
        for one in sightings:
            self._known[one.id] = None
        while len(self._known) > IDS_REMEMBERED:
            del self._known[next(iter(self._known))]


def _nearness(one: Sighting) -> float:
    """Sorts by distance; an unknown one may be the nearest."""
    return -math.inf if math.isnan(one.distance) else one.distance


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)

"""Events: the lives of confirmed obstacles, from where they were first seen to where last."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from open_set_seg.processing.records import ObstacleRecord
from open_set_seg.processing.report.digest import Digest, Sighting


@dataclass(frozen=True)
class Event:
    """A confirmed obstacle.

    Attributes:
        id: of the obstacle; ``kind``: ``unknown``, or a class that is always an obstacle.
        begin, confirmed, end: places in the digest of the frames in which it was first seen, first
            confirmed and last seen.
        sightings: in how many frames it was seen.
        first: as it was first seen; ``nearest``: at its least known distance, else as it was
            confirmed first; ``nearest_place``: then.
        highest_score: highest mean score of its region in a frame.
        peak_score: highest score of a pixel.
    """

    id: int
    kind: str
    begin: int
    confirmed: int
    end: int
    sightings: int
    first: ObstacleRecord
    nearest: ObstacleRecord
    nearest_place: int
    highest_score: float
    peak_score: float

    @property
    def distance(self) -> float:
        """The least distance in metres; NaN where it was never known."""
        return self.nearest.distance


def find_events(digest: Digest) -> list[Event]:
    """All events, in the order in which they were confirmed."""
    events = [
        _event(number, sightings)
        for number, sightings in digest.sightings.items()
        if any(one.confirmed for one in sightings)
    ]
    return sorted(events, key=lambda event: (event.confirmed, event.id))


def choose_events(events: Sequence[Event], most: int) -> list[Event]:
    """The nearest events, and of those of unknown distance the longest; in their old order."""
    if len(events) <= most:
        return list(events)
    chosen = sorted(events, key=importance)[:most]
    kept = {event.id for event in chosen}
    return [event for event in events if event.id in kept]


def importance(event: Event) -> tuple[bool, float, int, int]:
    """Orders events: nearest first, unknown distances last, longer ones before shorter ones."""
    unknown = math.isnan(event.distance)
    return unknown, 0.0 if unknown else event.distance, event.begin - event.end, event.id


def _event(number: int, sightings: Sequence[Sighting]) -> Event:
    confirmed = next(one for one in sightings if one.confirmed)
    known = [one for one in sightings if one.confirmed and math.isfinite(one.obstacle.distance)]
    nearest = min(known, key=lambda one: (one.obstacle.distance, one.place), default=confirmed)
    return Event(
        id=number,
        kind=confirmed.obstacle.kind,
        begin=sightings[0].place,
        confirmed=confirmed.place,
        end=sightings[-1].place,
        sightings=len(sightings),
        first=sightings[0].obstacle,
        nearest=nearest.obstacle,
        nearest_place=nearest.place,
        highest_score=_highest([one.obstacle.mean_score for one in sightings]),
        peak_score=_highest([one.obstacle.peak_score for one in sightings]),
    )


def _highest(scores: Sequence[float]) -> float:
    return max((score for score in scores if not math.isnan(score)), default=math.nan)

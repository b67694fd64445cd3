"""One incident on its way to a recording."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Literal

from open_set_seg.bags.incidents.policy import Decision, Sighting
from open_set_seg.bags.incidents.ring import RecordedFrame
from open_set_seg.bags.incidents.summary import relative_s

Ending = Literal["over", "full", "silence", "jump", "shutdown"]
REASONS_KEPT = 100


class Incident:
    """Frames on their way to one recording; all of it is guarded by the writer's lock.

    Attributes:
        begun: what it began with.
        closed: why the writer takes no more frames, or nobody offers more; None while it lasts.
    """

    def __init__(self, begun: Decision, details: Mapping[str, Any]) -> None:
        self.begun = begun
        self.details = dict(details)
        self.utc = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        self.reasons: list[tuple[int, Sighting | None]] = []
        self.frames: deque[RecordedFrame] = deque()
        self.dropped = 0
        self.closed: Ending | Literal["failed"] | None = None

    def note(self, stamp_ns: int, sighting: Sighting | None) -> None:
        """Note why it is recorded: a new obstacle, or (None) somebody asked."""
        if len(self.reasons) < REASONS_KEPT:
            self.reasons.append((stamp_ns, sighting))

    @property
    def requested(self) -> bool:
        """Whether somebody asked for it."""
        return any(sighting is None for _, sighting in self.reasons)

    def summarise(self, first_ns: int, last_ns: int, frames: int) -> str:
        """JSON of ``read_summary``."""
        reasons = [
            {"time_s": relative_s(stamp, first_ns), **_describe(sighting)}
            for stamp, sighting in self.reasons
        ]
        return json.dumps(
            {
                "reasons": reasons,
                "requested": self.requested,
                "first_stamp_ns": first_ns,
                "last_stamp_ns": last_ns,
                "frames": frames,
                "dropped_frames": self.dropped,
                "ended": self.closed,
                **self.details,
            }
        )


def _describe(sighting: Sighting | None) -> dict[str, Any]:
    if sighting is None:
        return {"reason": "request"}
    # JSON knows no NaN.
    distance = sighting.distance if sighting.distance == sighting.distance else None
    return {
        "reason": "obstacle",
        "id": sighting.id,
        "distance": distance,
        "score": sighting.score,
        "box": list(sighting.box),
    }

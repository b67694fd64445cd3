"""The recording in a few sentences: what was found, what could be seen, what was wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from open_set_seg.processing.report.digest import Digest, Floats
from open_set_seg.processing.report.events import Event, importance
from open_set_seg.report import Block, Fact, Text
from open_set_seg.report.numbers import DASH, counted, decimal, duration, percent, thousands

_UNWATCHED = (
    "Whether scores left the domain of the threshold was not watched: no calibration says what "
    "scores were like."
)
MOST_PROBLEMS = 12
MOST_TEXT = 400  # characters of a sentence that comes from elsewhere
_DRIFT = "Scores left the domain that the threshold was calibrated in"


def facts(
    digest: Digest, events: Sequence[Event], run: Mapping[str, Any], truth: Mapping[str, Any] | None
) -> tuple[Fact, ...]:
    """What to know first."""
    found = [
        Fact("frames", thousands(digest.frames), duration_text(digest)),
        Fact("confirmed obstacles", thousands(len(events)), _tentative(digest, events)),
        Fact("nearest", *_nearest(digest, events)),
        Fact("frames examined", _share(digest.examined), _unexamined(digest)),
        Fact("frames with range", _share(digest.has_range)),
        Fact("threshold", decimal(_threshold(digest, run), 4), _text(run, "threshold_source")),
    ]
    pixels = (truth or {}).get("pixels") or {}
    if pixels.get("AP") is not None:
        found.append(Fact("AP", percent(pixels["AP"]), f"FPR95 {percent(pixels['FPR95'])}"))
    return (*found, Fact("model", _text(run, "model_sha256")[:10] or DASH, _text(run, "model")))


def sentences(digest: Digest, events: Sequence[Event], run: Mapping[str, Any]) -> list[Block]:
    """What was found and seen, and then, framed, what was wrong."""
    texts: list[Block] = [
        Text(" ".join(part for part in (_found(digest, events), _sight(digest)) if part)),
        Text(_promise(digest, run)),
    ]
    wrong = warnings(digest, run)
    texts += [Text(one, "warning") for one in wrong]
    if not wrong:
        watched = "inputs, camera or scores" if digest.drift else "inputs or camera"
        texts.append(Text(f"Nothing was wrong with {watched}."))
    if not digest.drift:
        texts.append(Text(_UNWATCHED))
    return texts


def warnings(digest: Digest, run: Mapping[str, Any]) -> list[str]:
    """What was wrong, a sentence or two each."""
    found = []
    undecodable = run.get("undecodable") or ()
    if undecodable:
        what = counted(len(undecodable), "image")
        found.append(f"{what} could not be decoded and became no frame.")
    if blind := int(np.count_nonzero(~digest.examined)):
        found.append(
            f"{_frames(blind, digest)} not searched for obstacles: there, an empty list does not "
            "mean a clear road."
        )
    found += [
        f"{one.problem.code} ({counted(one.frames, 'frame')}, first in frame {one.first}): "
        f"{_cut(one.problem.message)}"
        for one in digest.problems[:MOST_PROBLEMS]
    ]
    if (more := len(digest.problems) - MOST_PROBLEMS) > 0:
        found.append(f"And {counted(more, 'further kind')} of problems; see records.jsonl.")
    drifted = sum(number for state, number in digest.drift.items() if state != "ok")
    if drifted:
        alarms = digest.drift.get("alarm", 0)
        found.append(
            f"{_DRIFT} in {counted(drifted, 'frame')} ({counted(alarms, 'alarm')}): "
            f"{_cut(digest.drift_message)}."
        )
    if digest.faults:
        faults = ", ".join(f"{name} in {counted(n, 'frame')}" for name, n in digest.faults.items())
        found.append(f"The camera was not in order: {faults}.")
    return found


def duration_text(digest: Digest) -> str:
    """Length of the recording in words."""
    return duration(digest.seconds) if digest.timed else "no times"


def when(digest: Digest, place: int) -> str:
    """The time of a frame: seconds since the first, or its number."""
    if not digest.timed:
        return f"frame {digest.numbers[place]}"
    return f"{decimal(float(digest.clock[place]))} s"


def distance_text(distance: float, sigma: float) -> str:
    """``7.31 ± 0.05 m``; ``unknown`` where it is not known."""
    if math.isnan(distance):
        return "unknown"
    if math.isnan(sigma):
        return f"{decimal(distance)} m"
    return f"{decimal(distance)} ± {decimal(max(sigma, 0.01))} m"


def blind_share(digest: Digest) -> float:
    """Share of the frames in which some band of the corridor was blind; NaN without bands."""
    if not digest.blind:
        return math.nan
    return float(np.mean(np.any(np.stack(list(digest.blind.values())), axis=0)))


def _found(digest: Digest, events: Sequence[Event]) -> str:
    begin = f"In {counted(digest.frames, 'frame')}"
    if digest.timed:
        begin += f" ({duration(digest.seconds)})"
    if not digest.sightings and digest.loose:
        listed = counted(len(digest.loose), "obstacle")
        return f"{begin} {listed} were listed; they were not followed from frame to frame."
    if not events:
        return f"{begin} no obstacle was confirmed."
    first = min(events, key=importance)
    were = "was" if len(events) == 1 else "were"
    text = f"{begin} {counted(len(events), 'obstacle')} {were} confirmed"
    if math.isnan(first.distance):
        return f"{text}; their distances are not known."
    distance = distance_text(first.distance, first.nearest.sigma)
    place = when(digest, first.nearest_place)
    return f"{text}; the nearest, number {first.id}, at {distance} ({place})."


def _sight(digest: Digest) -> str:
    if not digest.frames:
        return "There is no frame."
    parts = []
    if not digest.has_range.all():
        missing = int(np.count_nonzero(~digest.has_range))
        parts.append(f"{_frames(missing, digest)} without range: distances there are unknown.")
    known = np.isfinite(digest.statistics["corridor_share"])
    if not known.any():
        parts.append("What an empty list is worth cannot be said: no ground plane was found.")
        return " ".join(parts)
    among = (
        "" if known.all() else f" of the {counted(int(known.sum()), 'frame')} with a ground plane"
    )
    parts.append(_describe_clear(digest.statistics["clear_until"][known], among))
    sizes = {size: _median(values) for size, values in digest.detectable.items()}
    reach = [(f"{100 * s:g} cm", f"up to {decimal(d, 1)} m") for s, d in sizes.items() if d > 0]
    if reach:
        (size, distance), *others = reach
        more = "".join(f", of {one} {where}" for one, where in others)
        parts.append(
            f"By geometry, an object of {size} would have been found {distance}{more} "
            f"(median{among})."
        )
    return " ".join(parts)


def _describe_clear(clear: Floats, among: str) -> str:
    """How far frames saw; one whose nearest band was not seen (NaN) saw nothing."""
    blind = int(np.count_nonzero(np.isnan(clear)))
    if blind == clear.size:
        return "In no frame was the nearest band of the corridor seen with range."
    middle = float(np.median(np.nan_to_num(clear, nan=0.0)))
    if middle == 0:
        frames = counted(clear.size, "frame")
        return f"In {blind} of {frames} not even the nearest band of the corridor was seen."
    return f"The corridor was seen with range up to {middle:g} m (median{among})."


def _promise(digest: Digest, run: Mapping[str, Any]) -> str:
    threshold = decimal(_threshold(digest, run), 4)
    source = {"given": "given by the user", "calibration": "from a calibration"}
    origin = source.get(_text(run, "threshold_source"), "the model's own")
    promise = _text(run, "promise") or "Nothing is known of its false alarms."
    return f"A pixel is unknown above {threshold} ({origin}). {promise}"


def _threshold(digest: Digest, run: Mapping[str, Any]) -> float:
    value = run.get("threshold")
    if isinstance(value, int | float):
        return float(value)
    return _median(digest.statistics["threshold"])


def _tentative(digest: Digest, events: Sequence[Event]) -> str:
    others = len(digest.sightings) - len(events)
    if digest.loose and not digest.sightings:
        return "not followed"
    return f"{thousands(others)} never confirmed" if others else ""


def _nearest(digest: Digest, events: Sequence[Event]) -> tuple[str, str]:
    known = [event for event in events if not math.isnan(event.distance)]
    if not known:
        return DASH, ""
    first = min(known, key=importance)
    return f"{decimal(first.distance)} m", f"{when(digest, first.nearest_place)}, no. {first.id}"


def _share(flags: Any) -> str:
    return percent(float(np.mean(flags))) if flags.size else DASH


def _unexamined(digest: Digest) -> str:
    blind = int(np.count_nonzero(~digest.examined))
    return f"{thousands(blind)} not" if blind else ""


def _frames(count: int, digest: Digest) -> str:
    return f"{thousands(count)} of {counted(digest.frames, 'frame')} were"


def _median(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else math.nan


def _text(run: Mapping[str, Any], name: str) -> str:
    value = run.get(name)
    return "" if value is None else _cut(str(value))


def _cut(text: str) -> str:
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}…"

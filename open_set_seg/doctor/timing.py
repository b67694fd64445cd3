"""Stamps, rates, and whether images and ranges of the same moment can be brought together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median

from open_set_seg.bags import match_stamps
from open_set_seg.doctor.findings import Finding, error, fine, note, warning
from open_set_seg.doctor.snapshot import NAMES, Role, Snapshot, Stream
from open_set_seg.messages import NANOSECONDS

# Later than its arrival by more than clocks of one network differ, and older than any camera is.
FUTURE_S, OLD_S, OTHER_CLOCK_S = 0.1, 1.0, 86400.0
LOWEST_RATE_HZ = 2.0
GAP = 1.8  # periods: from here on a message is missing
MUCH_LOST = 0.02
# Of the images that could have a partner: below is a warning, far below an error.
WELL_PAIRED, PAIRED = 0.95, 0.5
MOST_ALONE_OUTSIDE = 0.2


def check_stamps(snapshot: Snapshot) -> Iterator[Finding]:
    """Stamps are set, move on, and are of the clock that the node has."""
    good: list[str] = []
    for role, stream in snapshot.streams.items():
        found = list(_judge_stamps(snapshot, role, stream))
        yield from found
        if stream.stamps_ns and not found:
            good.append(NAMES[role])
    yield from _check_clock(snapshot)
    if good:
        yield fine(f"stamps of {', '.join(good)} move on and are of the right time")


def check_rates(snapshot: Snapshot) -> Iterator[Finding]:
    """How often messages come, and how many were lost on the way."""
    said = []
    for role, stream in snapshot.streams.items():
        times = _times(stream)
        if len(times) < 3 or role not in ("image", "disparity", "depth"):
            continue
        gaps = [after - before for before, after in pairwise(times) if after > before]
        period = median(gaps) if gaps else 0.0
        if not period:
            continue
        rate = NANOSECONDS / period
        said.append(f"{NAMES[role]} {rate:.3g} Hz")
        if rate < LOWEST_RATE_HZ:
            yield warning(
                f"{stream.topic} comes at {rate:.2g} Hz only: obstacles are seen late",
                "raise the camera's (or matcher's) frame rate",
            )
        lost = sum(round(gap / period) - 1 for gap in gaps if gap > GAP * period)
        if lost > MUCH_LOST * (lost + len(times)):
            yield warning(
                f"about {lost} of {lost + len(times)} messages are missing on {stream.topic} "
                f"(gaps of up to {max(gaps) / NANOSECONDS:.2g} s at {rate:.3g} Hz)",
                "where the publisher is best effort: the DDS profile on its side (check profile); "
                "else the driver or the recorder is too slow",
            )
    if said:
        yield fine(", ".join(said))


def check_pairing(snapshot: Snapshot) -> Iterator[Finding]:
    """How many images have a range of their own moment."""
    role, images = snapshot.range_role, snapshot.images
    if role is None or images is None:
        return
    ranges = snapshot.streams[role]
    if not images.stamps_ns or not ranges.stamps_ns:
        return
    tolerance = round(snapshot.tolerance_s * NANOSECONDS)
    # At both ends of what was seen, partners may lie outside of it. Stamps that come twice are what
    # check_stamps reports.
    first, last = min(ranges.stamps_ns) - tolerance, max(ranges.stamps_ns) + tolerance
    every, others = [*dict.fromkeys(images.stamps_ns)], [*dict.fromkeys(ranges.stamps_ns)]
    inside = [stamp for stamp in every if first <= stamp <= last]
    name = NAMES[role]
    if not inside:
        away = (ranges.stamps_ns[0] - images.stamps_ns[0]) / NANOSECONDS
        yield error(
            f"no image has a {name}: their stamps do not overlap, {name} is {away:+.3g} s away",
            "both must have one clock: let the matcher copy the image's stamp",
        )
        return
    yield from _judge_pairs(snapshot, name, inside, others)
    outside = len(every) - len(inside)
    if outside > max(2, MOST_ALONE_OUTSIDE * len(every)):
        yield warning(
            f"{outside} of {len(every)} images lie before the first or after the last {name}",
            f"does {ranges.topic} start later or end earlier? Those images have no distances",
        )


def _judge_pairs(
    snapshot: Snapshot, name: str, images: Sequence[int], ranges: Sequence[int]
) -> Iterator[Finding]:
    partners = match_stamps(images, ranges, round(snapshot.tolerance_s * NANOSECONDS))
    offsets = [ranges[p] - i for i, p in zip(images, partners, strict=True) if p is not None]
    exact = sum(offset == 0 for offset in offsets)
    near, alone = len(offsets) - exact, len(images) - len(offsets)
    text = (
        f"of {len(images)} images {exact} have a {name} of their own stamp, {near} one within "
        f"{1000 * snapshot.tolerance_s:.3g} ms, {alone} none"
    )
    share = len(offsets) / len(images)
    if share < WELL_PAIRED:
        make = warning if share >= PAIRED else error
        yield make(text, _advise_pairing(snapshot, name, images, ranges))
    elif near > exact:
        yield note(
            f"{text}: they are {1000 * median(offsets) / NANOSECONDS:+.3g} ms apart",
            "fine while it is under half a frame period; exact stamps are safer",
        )
    else:
        yield fine(text)


def _advise_pairing(
    snapshot: Snapshot, name: str, images: Sequence[int], ranges: Sequence[int]
) -> str:
    """Whether a wider tolerance would help, and which."""
    nearest = sorted(min(abs(r - i) for r in ranges) for i in images[:500])
    usual = nearest[math.ceil(0.95 * len(nearest)) - 1] / NANOSECONDS
    gaps = [b - a for a, b in pairwise(sorted(set(images)))]
    period = median(gaps) / NANOSECONDS if gaps else 0.0
    wanted = math.ceil(1250 * usual) / 1000
    if snapshot.tolerance_s < usual and wanted < period / 2:
        return (
            f"the nearest {name} is up to {1000 * usual:.3g} ms away: sync_tolerance_s:={wanted:g} "
            f"pairs them (half a period is {500 * period:.3g} ms); better, let it copy the image's "
            "stamp"
        )
    if len(ranges) < PAIRED * len(images):
        return (
            f"there are {len(ranges)} of {name} for {len(images)} images: it is computed more "
            "slowly, or lost on the way (check profile)"
        )
    return (
        f"the nearest {name} is up to {1000 * usual:.3g} ms away, which no tolerance bridges "
        f"without pairing wrong moments (half a period is {500 * period:.3g} ms): let the matcher "
        "copy the image's stamp"
    )


def _judge_stamps(snapshot: Snapshot, role: Role, stream: Stream) -> Iterator[Finding]:
    stamps, name = stream.stamps_ns, NAMES[role]
    if len(stamps) < 2:
        return
    moving = role in ("image", "disparity", "depth")
    zeros = sum(stamp == 0 for stamp in stamps)
    if zeros > 1:
        if moving:
            yield error(
                f"{zeros} of {len(stamps)} messages on {stream.topic} have no stamp (0)",
                f"the driver must stamp its messages: without, {name} is paired with nothing",
            )
        return
    if moving and len(set(stamps)) == 1:
        yield error(
            f"all {len(stamps)} messages on {stream.topic} have the same stamp",
            "the driver repeats one message, or never sets the stamp anew",
        )
        return
    if not moving:
        return
    yield from _judge_order(snapshot, stream)
    yield from _judge_age(snapshot, stream)


def _judge_order(snapshot: Snapshot, stream: Stream) -> Iterator[Finding]:
    back = [a - b for a, b in pairwise(stream.stamps_ns) if b < a]
    same = sum(a == b for a, b in pairwise(stream.stamps_ns))
    if back:
        several = len(stream.publishers) > 1
        yield warning(
            f"stamps on {stream.topic} go back ({len(back)}x), by up to "
            f"{max(back) / NANOSECONDS:.3g} s",
            "two publishers share the topic: stop one"
            if several
            else "a looped replay does so (the node begins anew each time); a driver must not",
        )
    if same > MUCH_LOST * len(stream.stamps_ns):
        yield warning(
            f"{same} messages on {stream.topic} repeat the stamp before them",
            "is it published or recorded twice (ros2 topic info -v)?",
        )


def _judge_age(snapshot: Snapshot, stream: Stream) -> Iterator[Finding]:
    """Stamps against the clock of who received them."""
    ages = [
        (arrival - stamp) / NANOSECONDS
        for stamp, arrival in zip(stream.stamps_ns, stream.arrivals_ns, strict=False)
    ]
    if not ages:
        return
    age = median(ages)
    if abs(age) > OTHER_CLOCK_S:
        yield from _judge_other_clock(snapshot, stream)
    elif age < -FUTURE_S:
        yield warning(
            f"stamps on {stream.topic} lie {-age:.3g} s in the future",
            "the clocks of the two machines differ: synchronise them (chrony, PTP); in simulation "
            "set use_sim_time:=true",
        )
    elif age > OLD_S:
        yield warning(
            f"messages on {stream.topic} are {age:.3g} s old when they come",
            "the clocks of the two machines differ (chrony, PTP), or the driver queues: queue "
            "depth 1 keeps it fresh; max_input_age_s drops what is too old",
        )


def _judge_other_clock(snapshot: Snapshot, stream: Stream) -> Iterator[Finding]:
    if snapshot.source == "recording":
        yield note(
            f"stamps on {stream.topic} are not of the clock that recorded them (simulation, or a "
            "converted data set)",
            "replay with --clock and use_sim_time:=true where ages matter",
        )
    elif not snapshot.sim_time:
        yield warning(
            f"stamps on {stream.topic} are of another time than this machine's: a simulation or a "
            "replay",
            "use_sim_time:=true for the node, and a publisher of /clock (ros2 bag play --clock)",
        )


def _check_clock(snapshot: Snapshot) -> Iterator[Finding]:
    if snapshot.source != "live":
        return
    if snapshot.sim_time and not snapshot.clock_publishers:
        yield error(
            f"{snapshot.node} has use_sim_time, but nobody publishes /clock: its time stands still",
            "start the simulation, ros2 bag play --clock, or set use_sim_time:=false",
        )


def _times(stream: Stream) -> Sequence[int]:
    """Stamps where they can be used for rates, else arrivals."""
    stamps = stream.stamps_ns
    usable = len(set(stamps)) > 1 and all(a <= b for a, b in pairwise(stamps))
    return stamps if usable else stream.arrivals_ns

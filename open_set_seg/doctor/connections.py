"""Topics and their publishers: are they there, do they fit, can their messages get through?"""

from __future__ import annotations

from collections.abc import Iterator

from open_set_seg.doctor.findings import Finding, error, fine, note, warning
from open_set_seg.doctor.snapshot import (
    COMPRESSED,
    DISPARITY,
    KINDS,
    NAMES,
    Endpoint,
    Role,
    Snapshot,
    Stream,
)
from open_set_seg.resources import find_resource

# Topics that nodes publish once: who comes later must still get them.
LATCHED = ("/tf_static", "label_info")
_SHOWN = 8
_SELF = ": detector"  # one status of every detector node has this name


def check_reading(snapshot: Snapshot) -> Iterator[Finding]:
    """The recording could be read to its end."""
    if snapshot.source != "recording":
        return
    if snapshot.broken:
        yield error(
            f"reading the recording broke off {snapshot.broken}",
            "it is damaged from there on: `ros2 bag reindex`, or `mcap recover` for MCAP files",
        )
        return
    if snapshot.seconds < snapshot.whole_seconds:
        yield note(
            f"the first {snapshot.seconds:.0f} s of {snapshot.whole_seconds:.0f} s were looked at",
            "--seconds 0 looks at all of it",
        )
    for stream in snapshot.streams.values():
        if stream.faults:
            yield error(
                f"{len(stream.faults)} kind(s) of unreadable message on {stream.topic}: "
                f"{stream.faults[0]}",
                "record it again with the message packages that its publisher uses",
            )


def check_topics(snapshot: Snapshot) -> Iterator[Finding]:
    """Every input is there, with the right type, from one publisher."""
    yield from _check_input(snapshot, "image")
    yield from _check_input(snapshot, "camera_info")
    if snapshot.range_role is None:
        yield warning(
            f"there is no disparity ({snapshot.wanted.get('disparity', 'disparity')}) and no depth "
            f"({snapshot.wanted.get('depth', 'depth')}): obstacles will have unknown distances",
            f"{_name_it(snapshot, 'disparity')}; with a depth camera range_source:=depth; without "
            f"either range_source:=none. {_candidates(snapshot, (DISPARITY,))}",
        )
    else:
        yield from _check_input(snapshot, snapshot.range_role)
    if snapshot.range_role == "disparity" and "right_camera_info" not in snapshot.streams:
        yield note(
            "there is no camera_info of the right camera: the disparity's baseline is believed "
            "unchecked",
            _name_it(snapshot, "right_camera_info"),
        )


def check_qos(snapshot: Snapshot) -> Iterator[Finding]:
    """Every subscription can hear every publisher of its topic."""
    compared = 0
    for stream in (*snapshot.streams.values(), *snapshot.others):
        for publisher in stream.publishers:
            for subscriber in stream.subscribers:
                compared += 1
                yield from _compare(stream.topic, publisher, subscriber)
        yield from _check_latched(stream)
    if snapshot.source == "live":
        yield fine(f"{compared} pairs of publisher and subscription compared")
        return
    images = snapshot.images
    if images and any(p.reliability == "best_effort" for p in images.publishers):
        yield note(
            f"{images.topic} was published best effort, and is replayed so: this node hears it, "
            "RViz and other reliable subscriptions do not",
            "ros2 bag play --qos-profile-overrides-path FILE, or best effort in the listener",
        )


def check_sizes(snapshot: Snapshot) -> Iterator[Finding]:
    """The largest messages fit into the middleware's shared memory."""
    largest = max(snapshot.streams.values(), key=lambda s: s.largest_bytes, default=None)
    if largest is None or not largest.largest_bytes or snapshot.segment_bytes is None:
        return
    size, segment = largest.largest_bytes, snapshot.segment_bytes
    text = f"messages on {largest.topic} have {size / 1e6:.3g} MB"
    if size <= segment:
        yield fine(f"{text}, shared memory {segment / 1e6:.3g} MB")
        return
    make = warning if snapshot.source == "live" else note
    yield make(
        f"{text}, but shared memory takes {segment / 1e6:.2g} MB at a time: best-effort "
        "subscriptions lose most of them, and nobody says so",
        f"export FASTRTPS_DEFAULT_PROFILES_FILE={find_resource('config/fastdds.xml')} where the "
        f"publisher of {largest.topic} (or the player) is started, and here",
    )


def check_diagnostics(snapshot: Snapshot) -> Iterator[Finding]:
    """What the detectors say about themselves; other nodes' statuses are not of interest here."""
    detectors = {s.name.removesuffix(_SELF) for s in snapshot.statuses if s.name.endswith(_SELF)}
    statuses = [s for s in snapshot.statuses if s.name.rpartition(": ")[0] in detectors]
    bad = [status for status in statuses if status.level > 0]
    for status in bad:
        make = error if status.level == 2 else warning
        yield make(
            f"{status.name} says: {status.message or 'nothing'}",
            "ros2 topic echo /diagnostics shows its numbers; docs/troubleshooting.md",
        )
    if statuses and not bad:
        yield fine(f"{len(statuses)} statuses in /diagnostics, all ok")
    if not statuses and snapshot.source == "live" and snapshot.node:
        yield warning(
            f"{snapshot.node} sent no diagnostics: it is not active, or busy loading its model",
            "look into its log; a managed node needs `ros2 lifecycle set NODE configure`, then "
            "activate",
        )


def _check_input(snapshot: Snapshot, role: Role) -> Iterator[Finding]:
    stream, name = snapshot.streams.get(role), NAMES[role]
    make = error if role == "image" else warning
    if stream is None:
        wanted = snapshot.wanted.get(role, name)
        yield make(
            f"there is no {name} ({wanted})",
            f"{_name_it(snapshot, role)}. {_candidates(snapshot, KINDS[role])}",
        )
        return
    if stream.kind not in KINDS[role]:
        yield make(
            f"{stream.topic} carries {stream.kind}, not {KINDS[role][0]}",
            f"{_name_it(snapshot, role)}. {_candidates(snapshot, KINDS[role])}",
        )
        return
    if snapshot.source == "live" and not stream.publishers:
        yield make(
            f"nobody publishes {stream.topic}",
            f"start the camera's driver, or {_name_it(snapshot, role)}. "
            f"{_candidates(snapshot, KINDS[role])}",
        )
        return
    if not stream.stamps_ns:
        yield make(f"nothing came on {stream.topic}", _explain_silence(snapshot, stream))
        return
    if len(stream.publishers) > 1 and snapshot.source == "live":
        who = ", ".join(sorted({p.node for p in stream.publishers}))
        yield warning(
            f"{len(stream.publishers)} publishers share {stream.topic} ({who}): their frames mix",
            "stop all but one (a player beside the camera?), or give each a namespace",
        )
    if stream.topic != snapshot.wanted.get(role, stream.topic):
        yield note(
            f"{stream.topic} was taken as {name}: there is no {snapshot.wanted[role]}",
            f"remap it for the node: {name}:={stream.topic}",
        )
    if stream.kind == COMPRESSED:
        yield note(
            f"{stream.topic} is compressed",
            "the node listens to it with image_transport:=compressed",
        )
    yield fine(f"{name}: {stream.topic}, {len(stream.stamps_ns)} messages")


def _name_it(snapshot: Snapshot, role: Role) -> str:
    if snapshot.source == "recording":
        return f"name its topic: --{role.replace('_', '-')} TOPIC"
    return f"remap the node: {NAMES[role]}:=TOPIC"


def _candidates(snapshot: Snapshot, kinds: tuple[str, ...]) -> str:
    found = sorted(topic for topic, kind in snapshot.topics.items() if kind in kinds)
    what = kinds[0].rpartition("/")[2]
    if not found:
        return f"No topic carries {what}; there are {len(snapshot.topics)} topics"
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f"Topics with {what}: {', '.join(found[:_SHOWN])}{more}"


def _explain_silence(snapshot: Snapshot, stream: Stream) -> str:
    if snapshot.source == "recording":
        held = "" if not stream.total else f"; the recording holds {stream.total}, later"
        return f"record the topic again while its publisher runs{held} (--seconds 0)"
    return (
        "is the driver really sending (ros2 topic hz)? Large messages need the DDS profile "
        f"{find_resource('config/fastdds.xml')} on the publisher's side"
    )


def _compare(topic: str, publisher: Endpoint, subscriber: Endpoint) -> Iterator[Finding]:
    who = f"{subscriber.node} hears nothing from {publisher.node} on {topic}"
    if subscriber.kind != publisher.kind:
        yield error(
            f"{who}: it expects {subscriber.kind}, which is published is {publisher.kind}",
            "remap one of the two",
        )
        return
    if (subscriber.reliability, publisher.reliability) == ("reliable", "best_effort"):
        yield error(
            f"{who}: it asks for reliable, offered is best effort",
            f"in {subscriber.node}: best effort, by the parameter "
            f"qos_overrides.{topic}.subscription.reliability:=best_effort where it has it",
        )
    if (subscriber.durability, publisher.durability) == ("transient_local", "volatile"):
        yield error(
            f"{who}: it asks for transient local, offered is volatile",
            f"in {subscriber.node}: volatile; or transient local in {publisher.node}",
        )


def _check_latched(stream: Stream) -> Iterator[Finding]:
    if not stream.topic.endswith(LATCHED):
        return
    for publisher in stream.publishers:
        if publisher.durability == "volatile":
            yield warning(
                f"{stream.topic} is offered volatile by {publisher.node}: who starts later never "
                "gets it",
                "publish it transient local; for a recording: ros2 bag play "
                "--qos-profile-overrides-path FILE",
            )

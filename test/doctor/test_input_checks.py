"""Checks of recordings: a healthy drive has nothing above ok, a fault is all that is found."""

from __future__ import annotations

import shutil
import warnings
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import made_recordings as made
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_recordings import FRAMES, PERIOD, START, on, shift_stamps, with_depth, with_disparity

from open_set_seg.bags import building
from open_set_seg.cli.doctor import _examine_recording
from open_set_seg.doctor import attempt
from open_set_seg.doctor.connections import (
    check_diagnostics,
    check_qos,
    check_sizes,
    check_topics,
)
from open_set_seg.doctor.inputs import INPUT_CHECKS, examine_inputs
from open_set_seg.doctor.recording import examine_recording
from open_set_seg.doctor.snapshot import (
    KINDS,
    Endpoint,
    Sampler,
    Snapshot,
    Status,
    Stream,
    choose_topics,
)
from open_set_seg.doctor.timing import check_stamps

WANTED = {
    "image": "/image", "camera_info": "/camera_info", "disparity": "/disparity",
    "depth": "/depth", "right_camera_info": "/right/camera_info",
}  # fmt: skip
SEGMENT = 32 * 2**20


@pytest.fixture(scope="module")
def moment():
    return made.scene()


def examine(path, **options):
    options.setdefault("segment_bytes", SEGMENT)
    return examine_inputs(examine_recording(path, WANTED, **options))


def examine_with(tmp_path, moment, spoil=None, policies=None, **options):
    records = made.drive_records(moment)
    records = spoil(records) if spoil else records
    return examine(made.write_recording(tmp_path / "bag", records, policies), **options)


def remarks(found):
    """What is more than ok."""
    return [finding for finding in found if finding.severity != "ok"]


def complaints(found):
    return [finding for finding in found if finding.severity in ("warning", "error")]


def test_a_healthy_drive_has_nothing_above_ok(tmp_path, moment):
    found = examine_with(tmp_path, moment)
    assert remarks(found) == []
    assert {f.check for f in found} == {
        "topics", "stamps", "rates", "pairing", "images", "camera", "range", "message size",
    }  # fmt: skip


def uncalibrated(message):
    message.k[:] = 0.0
    message.p[:] = 0.0


def set_p(index, value):
    def change(message):
        message.p[index] = value

    return change


def setting(**fields):
    def change(message):
        for name, value in fields.items():
            setattr(message, name, value)

    return change


def blacken(message):
    message.data = np.zeros_like(message.data)


def freeze(records):
    first = next(r.message for r in records if r.topic == "/image")
    return on("/image", setting(data=first.data))(records)


def distort(records):
    for record in records:
        if record.topic == "/image":
            record.topic = "/left/image_raw"
        if record.topic == "/camera_info":
            record.message.d[0] = -0.3
    return records


def crop(message):
    message.height, message.data = 64, message.data[: 64 * message.step]


def as_grey_label(message):
    message.encoding = "mono8"


def negative(seen):
    values = np.where(seen.values > 0, -seen.values, np.float32(-1000.0))
    return replace(seen, values=values, min_disparity=0.0, max_disparity=0.0)


def holes(seen):
    values = np.full_like(seen.values, -1.0)
    values[:, :8] = 20.0
    return replace(seen, values=values)


def ground_of_depth(encoding):
    return on("/disparity", lambda message: setattr(message.image, "encoding", encoding))


def drop_frames(records):
    gone = {START + n * PERIOD for n in (4, 5, 9, 13)}
    return [record for record in records if record.time_ns not in gone]


def slow_down(records):
    for record in records:
        time_ns = START + 10 * (record.time_ns - START)
        record.message.header = building.header(time_ns, record.message.header.frame_id)
        record.time_ns = time_ns
    return records


def halve_disparity(records):
    return [r for r in records if r.topic != "/disparity" or (r.time_ns - START) // PERIOD % 3 == 0]


def loop(records):
    again = made.drive_records(made.scene())
    for record in again:
        record.time_ns += FRAMES * PERIOD
    return records + again


def twice(records):
    again = [
        made.Record(r.topic, r.time_ns + 1000, r.message) for r in records if r.topic == "/image"
    ]
    return records + again


MS = 10**6
# name: (the fault, the check, the severity, a word of what is said, a word of the advice), and what
# else is found where a fault cannot be had alone.
FAULTS = {
    "no image": (made.without("/image"), "topics", "error", "no image", "--image"),
    "no camera_info": (
        made.without("/camera_info"), "topics", "warning", "no camera_info", "--camera-info"
    ),
    "no disparity": (
        made.without("/disparity"), "topics", "warning", "unknown distances", "range_source"
    ),
    "no stamps": (
        made.all_stamps(lambda time_ns: 0), "stamps", "error", "no stamp", "must stamp"
    ),
    "one stamp": (
        made.all_stamps(lambda time_ns: START), "stamps", "error", "the same stamp", "anew"
    ),
    "future": (
        made.all_stamps(lambda time_ns: time_ns + 5 * 10**9), "stamps", "warning",
        "5 s in the future", "chrony",
    ),
    "old": (
        made.all_stamps(lambda time_ns: time_ns - 3 * 10**9), "stamps", "warning", "3 s old",
        "queue",
    ),
    "a loop": (loop, "stamps", "warning", "go back (1x)", "replay"),
    "every image twice": (twice, "stamps", "warning", "repeat the stamp", "twice"),
    "slow": (slow_down, "rates", "warning", "at 1 Hz only", "frame rate"),
    "lost frames": (drop_frames, "rates", "warning", "4 of 20", "profile"),
    "disparity late by 20 ms": (
        shift_stamps("/disparity", lambda n: 20 * MS), "pairing", "error", "19 none",
        "sync_tolerance_s:=0.025",
    ),
    "disparity between the frames": (
        shift_stamps("/disparity", lambda n: 48 * MS), "pairing", "error", "19 none",
        "no tolerance",
    ),
    "disparity of another time": (
        shift_stamps("/disparity", lambda n: -500 * 10**9), "pairing", "error", "do not overlap",
        "one clock", ("stamps", "warning"),
    ),
    "few disparities": (halve_disparity, "pairing", "error", "none", "more slowly"),
    "unknown encoding": (
        on("/image", setting(encoding="nv12")), "images", "error", "nv12", "rgb8"
    ),
    "grey label on colours": (
        on("/image", as_grey_label), "images", "error", "3 bytes a pixel", "encoding"
    ),
    "colour label on grey rows": (
        on("/image", setting(encoding="rgba8")), "images", "error", "image.step", "step"
    ),
    "black": (on("/image", blacken), "images", "warning", "black", "lens cap"),
    "frozen": (freeze, "images", "warning", "single pixel", "restart"),
    "uncalibrated": (
        on("/camera_info", uncalibrated), "camera", "error", "uncalibrated", "cameracalibrator"
    ),
    "camera of another image": (
        on("/camera_info", setting(width=640, height=480)), "camera", "error", "640 x 480",
        "camera_info",
    ),
    "focal length of no camera": (
        on("/camera_info", set_p(0, 9000.0)), "camera", "warning", "9000", "calibrate",
        ("range", "error"),
    ),
    "left is right": (
        on("/camera_info", set_p(3, -60.0)), "camera", "warning", "P[3] = -60", "left camera"
    ),
    "right is left": (
        on("/right/camera_info", set_p(3, 0.0)), "camera", "error", "right camera", "/right"
    ),
    "not rectified": (distort, "camera", "warning", "not rectified", "image_rect"),
    "frames of two cameras": (
        on("/camera_info", lambda m: setattr(m.header, "frame_id", "other")), "camera", "warning",
        "other", "one camera",
    ),
    "no frame": (
        on("/image", lambda m: setattr(m.header, "frame_id", "")), "camera", "warning",
        "frame_id", "frame_id",
    ),
    "wrong baseline": (
        with_disparity(lambda seen: replace(seen, baseline=0.44)), "range", "error",
        "0.44", "range.baseline_override:=0.22",
    ),
    "no baseline": (
        with_disparity(lambda seen: replace(seen, baseline=0.0)), "range", "error",
        "baseline of 0 m", "range.baseline_override",
    ),
    "focal length of another size": (
        with_disparity(lambda seen: replace(seen, focal_length=2 * seen.focal_length)), "range",
        "error", "focal_length_mismatch", "range.focal_override",
    ),
    "other sign": (with_disparity(negative), "range", "error", "negative", "range.disparity_scale"),
    "fixed point": (
        with_disparity(made.scaled(256.0)), "range", "error", "", "range."
    ),
    "hardly any range": (with_disparity(holes), "range", "warning", "3 % of", "min_range"),
    "disparity of integers": (ground_of_depth("16SC1"), "range", "error", "16SC1", "32FC1"),
    "disparity of another size": (
        on("/disparity", lambda m: crop(m.image)), "range", "error", "size", "computed from"
    ),
    "depth in millimetres": (
        with_depth(0.001), "range", "error", "millimetres", "range.depth_scale:=0.001"
    ),
    "metres in an image of millimetres": (
        with_depth(1.0, "<u2", "16UC1"), "range", "error", "", "range.depth_scale:=1000"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_found_and_nothing_else(tmp_path, moment, name):
    spoil, check, severity, said, advised, *further = FAULTS[name]
    found = complaints(examine_with(tmp_path, moment, spoil))
    assert {(f.check, f.severity) for f in found} == {(check, severity), *further}, found
    assert any(said in f.what and advised in f.advice for f in found), found


@pytest.mark.parametrize("unit", [("<f4", "32FC1", 1.0), ("<u2", "16UC1", 0.001)])
def test_depth_in_its_units_is_fine(tmp_path, moment, unit):
    dtype, encoding, metres = unit
    assert remarks(examine_with(tmp_path, moment, with_depth(metres, dtype, encoding))) == []


def test_policies_that_a_replay_would_inherit_are_told(tmp_path, moment):
    transform = building.static_transforms([], START)
    records = [*made.drive_records(moment), made.Record("/tf_static", START, transform)]
    policies = {
        "/image": (made.BEST_EFFORT, made.VOLATILE),
        "/tf_static": (made.RELIABLE, made.VOLATILE),
    }
    found = remarks(examine(made.write_recording(tmp_path / "bag", records, policies)))
    assert [(f.check, f.severity) for f in found] == [("qos", "warning"), ("qos", "note")]
    assert "/tf_static is offered volatile" in found[0].what
    assert "RViz" in found[1].what
    policies["/tf_static"] = (made.RELIABLE, made.LATCHED)
    found = remarks(examine(made.write_recording(tmp_path / "good", records, policies)))
    assert [f.severity for f in found] == ["note"]


def endpoint(node="/camera", kind="K", reliability="reliable", durability="volatile"):
    return Endpoint(node, kind, reliability, durability)


@pytest.mark.parametrize("offered", ["reliable", "best_effort"])
@pytest.mark.parametrize("kept", ["volatile", "transient_local"])
@pytest.mark.parametrize("asked", ["reliable", "best_effort"])
@pytest.mark.parametrize("wanted", ["volatile", "transient_local"])
def test_who_hears_whom_is_what_dds_says(offered, kept, asked, wanted):
    # OMG DDS 1.4, 2.2.3: offered must be at least what is asked for.
    order = ["best_effort", "reliable"], ["volatile", "transient_local"]
    stream = Stream(
        "/cloud", "K", (endpoint(reliability=offered, durability=kept),),
        (endpoint("/rviz", reliability=asked, durability=wanted),),
    )  # fmt: skip
    found = [f for f in check_qos(Snapshot("live", others=(stream,))) if f.severity != "ok"]
    short = [
        order[0].index(offered) < order[0].index(asked),
        order[1].index(kept) < order[1].index(wanted),
    ]
    assert len(found) == sum(short)
    assert all(f.severity == "error" and "/rviz hears nothing" in f.what for f in found)


def live(**fields):
    camera = Stream("/image", "sensor_msgs/msg/Image", (endpoint(),), stamps_ns=(1, 2))
    return Snapshot(
        "live", {"image": camera}, WANTED, {"/image": "sensor_msgs/msg/Image"}, **fields
    )


def test_a_live_input_without_publisher_names_the_topics_that_there_are():
    silent = Stream("/image", "sensor_msgs/msg/Image")
    topics = {"/zed/left/image": "sensor_msgs/msg/Image", "/image": "sensor_msgs/msg/Image"}
    snapshot = Snapshot("live", {"image": silent}, WANTED, topics)
    first = next(iter(check_topics(snapshot)))
    assert (first.severity, "nobody publishes /image" in first.what) == ("error", True)
    assert "image:=TOPIC" in first.advice
    assert "/zed/left/image" in first.advice


def test_a_published_input_that_is_silent_points_at_the_profile():
    silent = Stream("/image", "sensor_msgs/msg/Image", (endpoint(),))
    first = next(iter(check_topics(Snapshot("live", {"image": silent}, WANTED))))
    assert (first.severity, "nothing came" in first.what) == ("error", True)
    assert "fastdds.xml" in first.advice


def test_two_cameras_on_one_topic_are_told():
    both = (endpoint("/one"), endpoint("/two"))
    stream = Stream("/image", "sensor_msgs/msg/Image", both, stamps_ns=(1, 2))
    found = list(check_topics(Snapshot("live", {"image": stream}, WANTED)))
    assert any("/one, /two" in f.what and f.severity == "warning" for f in found)


def test_a_node_on_simulated_time_needs_a_clock():
    found = complaints(check_stamps(live(sim_time=True, node="/detector")))
    assert [(f.severity, "/clock" in f.what) for f in found] == [("error", True)]
    assert complaints(check_stamps(live(sim_time=True, node="/d", clock_publishers=1))) == []


def test_a_simulations_stamps_on_wall_time_are_told():
    stamps = tuple(range(0, 10**9, 10**8))
    now = tuple(START + stamp for stamp in stamps)
    stream = Stream("/image", "sensor_msgs/msg/Image", stamps_ns=stamps[1:], arrivals_ns=now[1:])
    (found,) = complaints(check_stamps(Snapshot("live", {"image": stream}, sim_time=False)))
    assert (found.severity, "use_sim_time:=true" in found.advice) == ("warning", True)
    snapshot = Snapshot("live", {"image": stream}, sim_time=True, clock_publishers=1)
    assert complaints(check_stamps(snapshot)) == []


def test_messages_larger_than_shared_memory_are_told(tmp_path, moment):
    records = made.drive_records(moment)
    path = made.write_recording(tmp_path / "bag", records)
    (found,) = remarks(examine(path, segment_bytes=100_000))
    assert (found.check, found.severity) == ("message size", "note")
    stream = Stream("/image", "K", largest_bytes=6_300_000)
    (found,) = check_sizes(Snapshot("live", {"image": stream}, segment_bytes=512 * 1024))
    assert (found.severity, "6.3 MB" in found.what) == ("warning", True)
    assert remarks(examine(path, segment_bytes=None)) == []  # another middleware


def test_the_detectors_own_words_are_passed_on():
    statuses = (Status("/d: input image", 2, "nothing arrives"), Status("/d: detector", 0, "ok"))
    (found,) = check_diagnostics(live(statuses=statuses))
    assert (found.severity, "nothing arrives" in found.what) == ("error", True)
    assert complaints(check_diagnostics(live(statuses=statuses[1:]))) == []
    motor = Status("/motor: driver", 2, "overheated")
    assert complaints(check_diagnostics(live(statuses=(*statuses[1:], motor)))) == []
    (found,) = check_diagnostics(live(node="/d"))
    assert found.severity == "warning"


def test_a_part_of_a_long_recording_is_read_and_said(tmp_path, moment):
    found = examine_with(tmp_path, moment, seconds=1.0)
    (said,) = remarks(found)
    assert (said.check, said.severity) == ("reading", "note")
    assert "first 1 s of 2 s" in said.what
    assert any("/image, 10 messages" in f.what for f in found)
    assert remarks(examine(tmp_path / "bag", seconds=0)) == []


def test_a_recording_that_breaks_off_is_judged_up_to_there(tmp_path, moment):
    path = made.write_recording(tmp_path / "bag", made.drive_records(moment))
    snapshot = replace(examine_recording(path, WANTED), broken="after 12 messages: CRC")
    (found,) = remarks(examine_inputs(snapshot))
    assert (found.check, found.severity) == ("reading", "error")
    assert "after 12 messages" in found.what


def rename(mapping):
    def spoil(records):
        for record in records:
            record.topic = mapping.get(record.topic, record.topic)
        return records

    return spoil


def test_topics_of_other_names_are_found_and_their_remapping_is_said(tmp_path, moment):
    names = {
        "/image": "/zed/left/image_rect", "/camera_info": "/zed/left/camera_info",
        "/disparity": "/zed/disparity/map", "/right/camera_info": "/zed/right/camera_info",
    }  # fmt: skip
    found = examine_with(tmp_path, moment, rename(names))
    assert complaints(found) == []
    advices = [f.advice for f in remarks(found)]
    assert any("image:=/zed/left/image_rect" in advice for advice in advices)
    assert any("disparity:=/zed/disparity/map" in advice for advice in advices)


def test_topics_are_chosen_only_where_there_is_no_doubt():
    image, info = "sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo"
    topics = {"/a/image_raw": image, "/a/image_rect": image, "/a/camera_info": info}
    assert choose_topics(topics, WANTED) == {
        "image": "/a/image_rect", "camera_info": "/a/camera_info"
    }  # fmt: skip
    assert choose_topics({"/front/image": image, "/rear/image": image}, WANTED) == {}
    assert choose_topics({"/depth/image": image, "/right/image": image}, WANTED) == {}
    assert choose_topics({**topics, "/image": image}, WANTED)["image"] == "/image"


@given(st.integers(0, 500), st.integers(1, 8))
def test_samples_lie_evenly_between_the_first_and_the_last(number, wanted):
    sampler = Sampler(wanted)
    for message in range(number):
        sampler.add(message)
    kept = sampler.messages
    assert len(kept) == len(set(kept)) <= wanted + 1
    assert kept == sorted(kept)
    if number:
        assert (kept[0], kept[-1]) == (0, number - 1)
        gaps = {b - a for a, b in pairwise(kept[:-1])}
        assert len(gaps) <= 1
        assert number < wanted or len(kept) > wanted / 2


# --- Garbage: whatever comes, doctor answers. ---

NUMBERS = st.integers(-(2**31), 2**31 - 1) | st.sampled_from([0, 1, 3, 16, 255])
FLOATS = st.floats(allow_nan=True, allow_infinity=True)
TEXTS = st.text(max_size=8) | st.sampled_from(["rgb8", "mono8", "32FC1", "16UC1", "bgr8"])


def garbage_image(draw):
    if draw(st.booleans()):  # one that can be decoded
        return SimpleNamespace(
            header=garbage_header(draw), height=2, width=draw(st.integers(1, 4)), step=16,
            encoding=draw(TEXTS), is_bigendian=0, format="png",
            data=np.frombuffer(draw(st.binary(min_size=32, max_size=32)), np.uint8),
        )  # fmt: skip
    return SimpleNamespace(
        header=garbage_header(draw), height=draw(NUMBERS), width=draw(NUMBERS), step=draw(NUMBERS),
        encoding=draw(TEXTS), is_bigendian=draw(st.integers(0, 1)), format=draw(TEXTS),
        data=np.frombuffer(draw(st.binary(max_size=64)), np.uint8),
    )  # fmt: skip


def garbage_header(draw):
    stamp = SimpleNamespace(sec=draw(NUMBERS), nanosec=draw(st.integers(0, 2**32 - 1)))
    return SimpleNamespace(stamp=stamp, frame_id=draw(TEXTS))


def garbage_info(draw):
    numbers = st.lists(FLOATS, min_size=12, max_size=12)
    region = {
        n: draw(st.integers(0, 2**32 - 1)) for n in ("x_offset", "y_offset", "height", "width")
    }
    return SimpleNamespace(
        header=garbage_header(draw), width=draw(NUMBERS), height=draw(NUMBERS), k=draw(numbers),
        p=draw(numbers), d=draw(st.lists(FLOATS, max_size=5)), binning_x=draw(NUMBERS),
        binning_y=draw(NUMBERS), roi=SimpleNamespace(**region),
    )  # fmt: skip


def garbage_disparity(draw):
    return SimpleNamespace(
        header=garbage_header(draw), image=garbage_image(draw), f=draw(FLOATS), t=draw(FLOATS),
        min_disparity=draw(FLOATS), max_disparity=draw(FLOATS), delta_d=draw(FLOATS),
    )  # fmt: skip


MAKERS = {
    "image": garbage_image, "camera_info": garbage_info, "disparity": garbage_disparity,
    "depth": garbage_image, "right_camera_info": garbage_info,
}  # fmt: skip
TIMES = st.lists(st.integers(-(2**62), 2**62) | st.integers(0, 5), max_size=6).map(tuple)


@st.composite
def garbage_snapshots(draw):
    roles = draw(st.sets(st.sampled_from(sorted(MAKERS))))
    kinds = st.sampled_from([kind for kinds in KINDS.values() for kind in kinds] + ["", "x/y"])
    streams = {
        role: Stream(
            topic=draw(TEXTS),
            kind=draw(kinds),
            stamps_ns=draw(TIMES),
            arrivals_ns=draw(TIMES),
            samples=tuple(MAKERS[role](draw) for _ in range(draw(st.integers(0, 2)))),
            largest_bytes=draw(st.integers(0, 2**40)),
            publishers=tuple(endpoint(kind=draw(kinds)) for _ in range(draw(st.integers(0, 2)))),
            subscribers=(endpoint(durability="transient_local"),),
        )
        for role in roles
    }
    return Snapshot(
        draw(st.sampled_from(["live", "recording"])), streams, seconds=draw(st.floats(0, 9)),
        sim_time=draw(st.none() | st.booleans()), tolerance_s=draw(st.floats(0, 1)),
        segment_bytes=draw(st.none() | st.integers(0, 2**40)),
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(garbage_snapshots())
def test_no_check_breaks_over_garbage(snapshot):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = examine_inputs(snapshot)
    assert all(f.check in INPUT_CHECKS and f.what for f in found)
    broken = [f for f in found if "the check itself failed" in f.what]
    assert broken == []


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 10**9), st.binary(min_size=1, max_size=16))
def test_a_damaged_file_is_a_finding_or_refused(small_recording, tmp_path_factory, place, bytes_):
    folder = tmp_path_factory.mktemp("damaged") / "bag"
    shutil.copytree(small_recording, folder)
    (file,) = folder.glob("*.mcap")
    content = bytearray(file.read_bytes())
    start = place % len(content)
    content[start : start + len(bytes_)] = bytes_[: len(content) - start]
    file.write_bytes(content)
    assert doctor_recording(folder)


def doctor_recording(folder):
    """What the verb would say of a recording alone."""
    options = SimpleNamespace(bag=folder, seconds=None, **WANTED)
    return attempt("recording", lambda: _examine_recording(options))


@pytest.fixture(scope="module")
def small_recording(tmp_path_factory, moment):
    records = made.drive_records(moment)[:8]
    return made.write_recording(tmp_path_factory.mktemp("small") / "bag", records)

"""Checks of recordings: a healthy drive has nothing above ok, a fault is all that is found."""

from __future__ import annotations

from dataclasses import replace

import made_recordings as made
import numpy as np
import pytest
from made_recordings import FRAMES, PERIOD, START, on, shift_stamps, with_depth, with_disparity

from open_set_seg.bags import building
from open_set_seg.doctor.inputs import examine_inputs
from open_set_seg.doctor.recording import examine_recording

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
    "a loop": (loop, "stamps", "warning", "go back 1 times", "replay"),
    "every image twice": (twice, "stamps", "warning", "repeat the stamp", "twice"),
    "slow": (slow_down, "rates", "warning", "1 times a second", "frame rate"),
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
        "0.44", "range.baseline_override",
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

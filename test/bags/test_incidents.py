"""Recordings of incidents: what went in comes out, whole or not at all, within every bound."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from incident_frames import (
    SECOND,
    Recording,
    bags_in,
    configure,
    frame,
    part,
    picture,
    scene,
    sighting,
)

from open_set_seg.bags import BagError, BagWriter, building, open_bag, read_frames, read_messages
from open_set_seg.bags.incidents import IncidentRecorder, Part, RecordedFrame, read_summary
from open_set_seg.bags.incidents.shelf import Shelf

MB = 1_000_000


def folder_bytes(folder: Path) -> int:
    total = 0
    for where, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.stat(Path(where) / name).st_size
            except FileNotFoundError:
                continue  # renamed or deleted meanwhile
    return total


@pytest.mark.parametrize("compression", ["none", "message", "chunk"])
def test_what_goes_in_comes_out(tmp_path, compression):
    with Recording(configure(tmp_path, compression=compression), {"model_hash": "abc"}) as it:
        # Ten a second; the obstacle is confirmed at 2.0 s: 1.0 to 3.0 s is recorded.
        sent = it.drive([n / 10 for n in range(50)], dict.fromkeys(range(20, 50), (5,)))
        it.wait(lambda status: status.written == 1)
        status = it.recorder.status()
    (bag,) = bags_in(tmp_path)
    kept = sent[10:31]
    messages = list(read_messages(bag, ["/image", "/camera_info", "/disparity"]))
    assert [(topic, time_ns) for topic, time_ns, _ in messages] == [
        (part.topic, one.stamp_ns) for one in kept for part in one.parts
    ]
    with open_bag(bag) as reader:
        raw = [bytes(cdr) for _, _, cdr in reader.messages()]
    assert raw == [bytes(part.serialise()) for one in kept for part in one.parts]
    frames = list(read_frames(bag))
    assert [one.stamp_ns for one in frames] == [one.stamp_ns for one in kept]
    for number, one in enumerate(frames):
        np.testing.assert_array_equal(one.image, picture(10 + number))
        assert one.camera is not None
        assert one.range_input is not None
    summary = read_summary(bag)
    assert summary is not None
    assert summary["reasons"] == [
        {"time_s": 1.0, "reason": "obstacle", "id": 5, "distance": 12.0, "score": 0.8,
         "box": [4, 4, 6, 6]}
    ]  # fmt: skip
    assert (summary["frames"], summary["dropped_frames"]) == (21, 0)
    assert (summary["ended"], summary["requested"]) == ("over", False)
    assert summary["model_hash"] == "abc"
    assert (status.bags, status.written, status.failed, status.newest) == (1, 1, 0, bag.name)
    assert status.bytes == folder_bytes(bag)
    assert not list(tmp_path.glob("*partial*"))


def test_the_same_obstacle_never_makes_a_second_recording_and_new_ones_join(tmp_path):
    with Recording(configure(tmp_path)) as it:
        it.drive(
            [n / 10 for n in range(80)], {n: (5, 6) if n > 15 else (5,) for n in range(10, 80)}
        )
        it.wait(lambda status: status.written == 1)
    (bag,) = bags_in(tmp_path)
    summary = read_summary(bag)
    assert [one["id"] for one in summary["reasons"]] == [5, 6]
    assert summary["last_stamp_ns"] == round(2.6 * SECOND), "1 s after the second obstacle"


def test_a_loop_of_the_same_scene_makes_one_recording(tmp_path):
    with Recording(configure(tmp_path)) as it:
        for number in range(20):
            for n in range(20):
                ids = [sighting(100 + number)] if n >= 10 else []
                it.recorder.add(frame(n * SECOND // 10, n), ids, lambda one: scene(1))
        it.wait(lambda status: status.written == 1)
        status = it.recorder.status()
    assert len(bags_in(tmp_path)) == 1
    assert status.repeats == 19
    assert read_summary(bags_in(tmp_path)[0])["ended"] == "jump"


def test_a_request_records_what_is_in_memory_also_when_no_frame_comes_any_more(tmp_path):
    with Recording(configure(tmp_path, after_s=0.0)) as it:
        it.drive([n / 10 for n in range(8)])
        done, text = it.recorder.request()
        assert done
        assert "0.7 s ago" in text
        assert it.recorder.request()[1].startswith("the recording in progress goes on")
        time.sleep(1.1)
        it.recorder.tick()
        it.wait(lambda status: status.written == 1)
    summary = read_summary(bags_in(tmp_path)[0])
    assert (summary["requested"], summary["ended"], summary["frames"]) == (True, "silence", 8)
    assert summary["reasons"][0] == {"time_s": 0.7, "reason": "request"}


def test_closing_finishes_the_recording_in_progress(tmp_path):
    with Recording(configure(tmp_path)) as it:
        it.drive([0.0, 0.1, 0.2], {1: (1,)})
    (bag,) = bags_in(tmp_path)
    assert read_summary(bag)["ended"] == "shutdown"
    assert len(list(read_frames(bag))) == 3


def test_a_large_incident_ends_at_its_bound(tmp_path):
    big = tuple(
        part(f"/x{n}", building.image(np.zeros((300, 300, 3), np.uint8), 0, "x")) for n in range(2)
    )
    with Recording(configure(tmp_path, max_bag_mb=2.0, max_total_mb=2.0)) as it:
        for n in range(30):
            it.recorder.add(
                frame(n * SECOND // 100, n, big), [sighting(1)], lambda one: scene(one.id)
            )
        it.wait(lambda status: status.written == 1)
    (bag,) = bags_in(tmp_path)
    summary = read_summary(bag)
    assert (summary["ended"], summary["frames"]) == ("full", 3)
    assert folder_bytes(bag) <= 2 * MB


steps = st.lists(
    st.tuples(
        st.sampled_from([-5.0, 0.0, 0.1, 0.5, 3.0]),  # seconds to the next stamp
        st.integers(0, 400_000),  # bytes of noise in the frame
        st.booleans(),  # a new obstacle
        st.booleans(),  # a request
    ),
    max_size=40,
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps,
    st.integers(1, 4),
    st.sampled_from([1.0, 2.0, 3.0]),
    st.sampled_from([1.0, 2.0]),
    st.sampled_from(["none", "message", "chunk"]),
)
def test_bounds_hold_whatever_comes(tmp_path_factory, steps, bags, total, memory, compression):
    folder = tmp_path_factory.mktemp("shelf")
    config = configure(
        folder, max_bags=bags, max_total_mb=total, max_bag_mb=1.0, max_memory_mb=memory,
        compression=compression,
    )  # fmt: skip
    noise = np.random.default_rng(0).integers(0, 256, 400_000, dtype=np.uint8)
    worst = [0, 0]

    def look_around() -> None:
        worst[0] = max(worst[0], folder_bytes(folder))
        whole = [p for p in bags_in(folder) if (p / "metadata.yaml").exists()]
        worst[1] = max(worst[1], len(whole))

    with Recording(config) as it:
        stamp = 100.0
        for number, (step, size, new, ask) in enumerate(steps):
            stamp = max(0.0, stamp + step)
            now = round(stamp * SECOND)
            extra = part("/noise", building.compressed_image(noise[:size].tobytes(), "x", now, "x"))
            obstacles = [sighting(number)] if new else []
            it.recorder.add(frame(now, number, (extra,)), obstacles, lambda one: scene(one.id))
            if ask:
                it.recorder.request()
            status = it.recorder.status()
            assert status.buffered_bytes + status.waiting_bytes <= memory * MB
            assert status.buffered_s <= config.before_s + 1e-9
            look_around()
    look_around()
    assert worst[0] <= total * MB
    assert worst[1] <= bags
    for bag in bags_in(folder):
        assert folder_bytes(bag) <= MB
        assert len(list(read_frames(bag))) == read_summary(bag)["frames"]
    assert not list(folder.glob("*partial*"))


def test_room_is_made_before_it_is_needed(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, 600_000, dtype=np.uint8).tobytes()
    with Recording(configure(tmp_path, max_total_mb=1.0, max_bag_mb=1.0, before_s=0.0)) as it:
        for number in range(4):
            now = 10 * number * SECOND
            big = part("/noise", building.compressed_image(noise, "x", now, "x"))
            it.recorder.add(
                frame(now, number, (big,)), [sighting(number)], lambda one: scene(one.id)
            )
            it.drive([10 * number + 5.0])
            it.wait(lambda status, n=number: status.written == n + 1)
            assert 600_000 < folder_bytes(tmp_path) <= MB
            assert len(bags_in(tmp_path)) == 1


def test_the_oldest_make_room_and_those_that_were_asked_for_go_last(tmp_path):
    with Recording(configure(tmp_path, max_bags=3)) as it:
        for number in range(6):
            if number == 1:
                it.recorder.request()
            it.drive([10 * number, 10 * number + 0.5], {0: (number,)}, first_seed=number)
            it.drive([10 * number + 5.0])
            it.wait(lambda status, n=number: status.written == n + 1)
    summaries = [read_summary(bag) for bag in bags_in(tmp_path)]
    numbers = [[one.get("id") for one in each["reasons"]] for each in summaries]
    assert numbers == [[None], [4], [5]]


def test_foreign_files_are_neither_counted_nor_deleted(tmp_path):
    (tmp_path / "my-best-recording").mkdir()
    (tmp_path / "incident-notes").mkdir()
    (tmp_path / "incident-notes" / "text").write_bytes(b"x" * 5000)
    left = tmp_path / "incident-000007-20260101T000000Z.partial-abc"
    left.mkdir()
    with Recording(configure(tmp_path, max_bags=1)) as it:
        for number in range(3):
            it.drive([10 * number], {0: (number,)})
            it.drive([10 * number + 5.0])
            it.wait(lambda status, n=number: status.written == n + 1)
    assert not left.exists(), "what a killed recorder left behind is removed"
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} >= {
        "my-best-recording",
        "incident-notes",
    }
    assert (tmp_path / "incident-notes" / "text").stat().st_size == 5000
    assert len(bags_in(tmp_path)) == 2  # the notes and one recording


def test_two_recorders_do_not_share_a_folder(tmp_path):
    shelf = Shelf(configure(tmp_path))
    with Recording(configure(tmp_path, rest_s=0.2)) as it:
        it.wait(lambda status: status.state == "resting")
        assert "another recorder" in it.recorder.status().last_error
        shelf.close()
        it.wait(lambda status: status.state == "ready")
    assert [severity for severity, _, _ in it.said] == ["error", "info"]


class StuckWriter(BagWriter):
    """Its first message never returns."""

    release = threading.Event()

    def write_cdr(self, *_) -> None:
        self.release.wait(60.0)


def test_a_writer_that_hangs_holds_nothing_up(tmp_path, monkeypatch):
    monkeypatch.setattr("open_set_seg.bags.incidents.writing.BagWriter", StuckWriter)
    StuckWriter.release.clear()
    payload = Part("/image", "sensor_msgs/msg/Image", 100_000, lambda: bytes(100_000))
    recorder = IncidentRecorder(configure(tmp_path, max_memory_mb=3.0, before_s=2.0))
    took, sizes = [], []
    for n in range(400):
        one = RecordedFrame(n * SECOND // 20, (payload,))
        begin = time.perf_counter()
        recorder.add(one, [sighting(n // 10)], lambda seen: scene(seen.id))
        took.append(time.perf_counter() - begin)
        status = recorder.status()
        sizes.append(status.buffered_bytes + status.waiting_bytes)
    assert sorted(took)[len(took) * 98 // 100] < 0.005
    assert max(took) < 0.5, "a busy machine may take a thread's turn, a hanging disk never"
    assert max(sizes) <= 3 * MB
    assert recorder.status().dropped_frames >= 300
    begin = time.monotonic()
    recorder.close(timeout_s=0.2)
    assert time.monotonic() - begin < 3.0
    StuckWriter.release.set()
    deadline = time.monotonic() + 10
    while recorder._writer.is_alive():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert bags_in(tmp_path) == [], "what was given up is not kept"
    assert not list(tmp_path.glob("*partial*"))


@pytest.mark.parametrize("where", ["write", "close"])
def test_a_full_disk_gives_one_error_a_rest_and_a_recovery(tmp_path, monkeypatch, where):
    from rosbags.rosbag2.storage_mcap import McapWriter

    full, original = threading.Event(), getattr(McapWriter, where)
    full.set()

    def fail(self, *arguments, **options):
        if full.is_set():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(self, *arguments, **options)

    monkeypatch.setattr(McapWriter, where, fail)
    with Recording(configure(tmp_path, rest_s=0.3)) as it:
        it.drive([0.0, 0.1], {1: (1,)})
        it.drive([5.0])  # ends it
        it.wait(lambda status: status.failed == 1)
        assert bags_in(tmp_path) == []
        assert not list(tmp_path.glob("*partial*"))
        status = it.recorder.status()
        assert (status.state, status.waiting_bytes) == ("resting", 0)
        assert "No space left" in status.last_error
        assert not it.recorder.request()[0]
        it.drive([5.1], {0: (1,)})
        assert it.recorder.status().deferred == 1
        full.clear()
        it.wait(lambda status: status.state == "ready")
        it.drive([5.2], {0: (1,)})  # the obstacle is still there
        it.drive([9.0])
        it.wait(lambda status: status.written == 1)
    assert len(bags_in(tmp_path)) == 1
    assert [(severity, code) for severity, code, _ in it.said] == [
        ("error", "recorder.failed"),
        ("info", "recorder.recovered"),
    ]


def test_a_disk_that_would_get_too_full_is_left_alone(tmp_path):
    with Recording(configure(tmp_path, min_free_mb=1e9, rest_s=60.0)) as it:
        it.wait(lambda status: status.state == "resting")
    assert "min_free_mb" in it.said[0][2]
    assert bags_in(tmp_path) == []


def test_a_folder_that_vanishes_is_an_error_until_it_is_back(tmp_path):
    folder = tmp_path / "usb"
    with Recording(configure(folder, rest_s=0.2)) as it:
        it.wait(lambda _: folder.exists())
        folder.rename(tmp_path / "unplugged")
        it.drive([0.0, 0.1], {1: (1,)})
        it.drive([5.0])
        it.wait(lambda status: status.failed == 1)
        assert not folder.exists(), "a folder of a disk that is gone is not made anew"
        (tmp_path / "unplugged").rename(folder)
        it.wait(lambda status: status.state == "ready")
        it.drive([6.0], {0: (1,)})
        it.drive([9.0])
        it.wait(lambda status: status.written == 1)
    assert len(bags_in(folder)) == 1


def test_a_folder_that_cannot_be_made_is_one_error(tmp_path):
    (tmp_path / "file").write_text("")
    with Recording(configure(tmp_path / "file" / "folder", rest_s=0.05)) as it:
        it.wait(lambda status: status.state == "resting")
        it.drive([0.0, 0.1], {1: (1,)})
        time.sleep(0.3)
    assert [severity for severity, _, _ in it.said] == ["error"]


def test_a_folder_that_may_not_be_written_to_is_one_error(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(tmp_path))

    with Recording(configure(tmp_path, rest_s=60.0)) as it:
        it.wait(lambda _: (tmp_path / ".recorder.lock").exists())
        monkeypatch.setattr("open_set_seg.bags.writing.tempfile.mkdtemp", refuse)
        it.drive([0.0, 0.1], {1: (1,)})
        it.wait(lambda status: status.failed == 1)
    assert [severity for severity, _, _ in it.said] == ["error"]
    assert "Permission denied" in it.said[0][2]
    assert str(tmp_path) in it.said[0][2]


def test_a_file_size_limit_of_the_system_leaves_no_half_recording(tmp_path):
    """A real error of the kernel in the middle of a file: EFBIG, in a process of its own."""
    script = f"""
import signal, sys
sys.path[:0] = [{str(Path(__file__).parent.parent)!r}]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from pathlib import Path
from incident_frames import *
from open_set_seg.bags import building
folder = Path({str(tmp_path)!r})
with Recording(configure(folder)) as it:
    big = part("/big", building.image(np.ones((900, 900, 3), np.uint8), 0, "x"))
    for n in range(4):
        it.recorder.add(frame(n * SECOND // 10, n, (big,)), [sighting(1)], lambda one: scene(1))
    it.recorder.add(frame(9 * SECOND))
    it.wait(lambda status: status.failed == 1)
    print(it.recorder.status().last_error)
    print(sorted(path.name for path in folder.iterdir()))
"""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, preexec_fn=limit, timeout=60
    )
    assert done.returncode == 0, done.stderr
    error, names = done.stdout.splitlines()
    assert "File too large" in error
    assert names == "['.recorder.lock']"
    assert "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_process_that_ends_in_the_middle_leaves_nothing_that_looks_whole(tmp_path, number):
    script = f"""
import sys, time
sys.path[:0] = [{str(Path(__file__).parent.parent)!r}]
from pathlib import Path
from incident_frames import *
with Recording(configure(Path({str(tmp_path)!r}), after_s=1e6)) as it:
    n = 0
    while True:
        it.recorder.add(frame(n * SECOND // 10, n), [sighting(1)], lambda one: scene(1))
        n += 1
        if n == 20:
            print("writing", flush=True)
        time.sleep(0.005)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    process.send_signal(number)
    process.communicate(timeout=30)
    bags = bags_in(tmp_path)
    if number == signal.SIGINT:
        assert len(bags) == 1, "an interrupt finishes what there is"
        assert len(list(read_frames(bags[0]))) >= 19
        return
    assert bags == []
    for half in tmp_path.glob("*partial*/*"):
        with pytest.raises(BagError):
            list(read_frames(half))
    with Recording(configure(tmp_path)) as it:
        it.wait(lambda _: not list(tmp_path.glob("*partial*")))


def test_a_summary_is_only_read_from_recordings_of_incidents(tmp_path):
    with BagWriter(tmp_path / "other") as bag:
        bag.write("/text", 0, building.text("x"))
    assert read_summary(tmp_path / "other") is None
    assert read_summary(tmp_path / "nothing") is None
    with BagWriter(tmp_path / "broken") as bag:
        bag.write("/text", 0, building.text("x"))
        bag.describe("open_set_seg.incident", json.dumps([1]))
    assert read_summary(tmp_path / "broken") is None

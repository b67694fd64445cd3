"""What a replay plays and when, without ROS: its clock, its sections, its figures, its keys."""

from __future__ import annotations

import os
import pty
import shutil
import sys
import termios
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from open_set_seg.bags import TYPESTORE, BagError, BagWriter, open_bag
from open_set_seg.bags.replay import (
    Keyboard,
    Lateness,
    ReadAhead,
    Section,
    Timeline,
    latched_depth,
    parse_keys,
    rosbag2_command,
)

START, PERIOD, COUNT = 5 * 10**18 // 3, 10**8, 30


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


# Timeline


def test_a_moment_is_due_when_it_is_reached():
    clock = Clock()
    line = Timeline(START, rate=2.0, now=clock)
    due = line.due(START + 3 * 10**9)
    assert due == pytest.approx(101.5)
    clock.now = due
    assert line.position() == START + 3 * 10**9


def test_a_pause_takes_no_time_of_the_recording():
    clock = Clock()
    line = Timeline(START, now=clock)
    clock.now += 1.0
    line.pause(START + 2 * 10**9)
    clock.now += 50.0
    assert line.paused
    assert line.due(START) == float("inf")
    assert line.position() == START + 10**9
    line.resume()
    assert line.due(START + 2 * 10**9) == pytest.approx(152.0)


def test_a_late_replay_that_is_paused_goes_on_where_it_was():
    clock = Clock()
    line = Timeline(START, now=clock)
    clock.now += 10.0  # the message of second 3 has not gone out yet
    line.pause(START + 3 * 10**9)
    line.resume()
    assert line.due(START + 3 * 10**9) == pytest.approx(110.0)
    assert line.due(START + 4 * 10**9) == pytest.approx(111.0)


STEPS = st.lists(
    st.tuples(st.sampled_from(["wait", "pause", "resume", "rate", "step"]), st.floats(0.01, 20.0)),
    max_size=30,
)


@given(STEPS)
def test_the_position_never_goes_back_and_never_jumps(steps):
    clock, rate, expected, paused = Clock(), 1.0, 0.0, False
    line = Timeline(START, now=clock)
    far = START + 10**13
    for name, value in steps:
        if name == "wait":
            clock.now += value
            expected += 0.0 if paused else value * rate
        elif name == "pause":
            line.pause(far)
            paused = True
        elif name == "resume":
            line.resume()
            paused = False
        elif name == "rate":
            line.set_rate(value, far)
            rate = value
        elif name == "step" and paused:
            expected += value
            line.step_to(line.position() + round(value * 1e9))
        assert line.paused == paused
        assert (line.position() - START) * 1e-9 == pytest.approx(expected, abs=1e-5)


def test_the_next_round_keeps_the_pace_of_the_one_before():
    clock = Clock()
    line = Timeline(START, rate=2.0, now=clock)
    clock.now += 9.0  # late: 8 s of the recording were due after 4 s
    line.begin_again(START + 8 * 10**9, START)
    assert line.due(START) == pytest.approx(104.0)
    assert line.due(START + 2 * 10**9) == pytest.approx(105.0)


# Lateness


@given(st.lists(st.floats(0, 5000.0), min_size=1, max_size=300), st.sampled_from([0.5, 0.95, 1.0]))
def test_quantiles_are_those_of_all_values_within_a_bin(values, share):
    lateness = Lateness()
    for value in values:
        lateness.add(value)
    exact = float(np.quantile(values, share, method="inverted_cdf"))
    found = lateness.quantile(share)
    assert exact * (1 - 1e-9) <= found <= exact * 10 ** (1 / 50) * (1 + 1e-9) + 1e-6
    assert lateness.largest_s == max(values)
    assert lateness.count == len(values)


def test_nothing_late_is_no_lateness():
    assert Lateness().quantile(0.95) == 0.0


# Reading ahead


def test_items_come_in_order_and_the_reader_stays_within_its_bounds():
    largest = 0
    taken = [0]

    def items():
        nonlocal largest
        for n in range(200):
            largest = max(largest, n - taken[0])
            yield n

    with ReadAhead(items(), lambda _: 10, limit=50) as ahead:
        for n, item in enumerate(ahead):
            assert item == n
            taken[0] = n
            if n % 20 == 0:
                time.sleep(0.005)
    assert taken[0] == 199
    assert 2 <= largest <= 7  # five wait, one is being handed over at each end


def test_an_error_comes_after_what_was_read_before_it():
    def items():
        yield from (1, 2)
        raise BagError("damaged")

    with ReadAhead(items(), lambda _: 1, limit=100) as ahead:
        assert [next(ahead), next(ahead)] == [1, 2]
        with pytest.raises(BagError, match="damaged"):
            next(ahead)


def test_leaving_ends_the_thread_also_of_an_endless_source():
    def items():
        while True:
            yield 0

    before = threading.active_count()
    with ReadAhead(items(), lambda _: 1, limit=5) as ahead:
        next(ahead)
    assert threading.active_count() == before


# Keys


ARROWS = {"right": b"\x1b[C", "up": b"\x1b[A", "down": b"\x1bOB"}


@given(st.lists(st.sampled_from([b" ", *ARROWS.values(), b"x", b"\xc3\xa9"])), st.data())
def test_keys_are_found_however_they_are_cut(keys, data):
    meanings = {b" ": "toggle", b"\x1b[C": "next", b"\x1b[A": "faster", b"\x1bOB": "slower"}
    typed = b"".join(keys)
    cut = data.draw(st.integers(0, len(typed)))
    first, rest = parse_keys(typed[:cut])
    second, rest = parse_keys(rest + typed[cut:])
    assert first + second == [meanings[key] for key in keys if key in meanings]
    assert rest == b""


def test_without_a_terminal_there_are_no_keys(tmp_path):
    with (tmp_path / "text").open("w+") as stream, Keyboard(stream) as keyboard:
        assert not keyboard.active
        assert list(keyboard.commands()) == []


TYPING = """
import time
from open_set_seg.bags.replay import Keyboard

with Keyboard() as keyboard:
    print("ready", flush=True)
    found, deadline = [], time.monotonic() + 20
    while len(found) < 2 and time.monotonic() < deadline:
        found += keyboard.commands()
        time.sleep(0.01)
print("found", *found, flush=True)
"""


def test_keys_of_a_terminal_are_read_one_by_one():
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", TYPING])
    told = b""
    while b"ready" not in told:
        told += os.read(terminal, 100)
    before = termios.tcgetattr(terminal)
    os.write(terminal, b" \x1b[C")  # no return key
    while b"found" not in told or not told.endswith(b"\n"):
        told += os.read(terminal, 100)
    after = termios.tcgetattr(terminal)
    os.waitpid(child, 0)
    os.close(terminal)
    assert b"found toggle next" in told
    assert not before[3] & termios.ECHO
    assert after[3] & termios.ECHO, "the terminal must be left as it was"


# Sections


def text(value: str):
    return TYPESTORE.types["std_msgs/msg/String"](data=value)


@pytest.fixture
def bag(tmp_path):
    """A topic of ten a second, and a latched one with a message at second 0 and at second 2."""
    with BagWriter(tmp_path / "bag", latched=("/info",)) as writer:
        for n in range(COUNT):
            now = START + n * PERIOD
            if n in (0, 20):
                writer.write("/info", now, text(f"info {n}"))
            writer.write("/number", now, text(str(n)))
    return tmp_path / "bag"


def played(bag, **options) -> list[tuple[str, float, str]]:
    with open_bag(bag) as opened:
        return [
            (
                record.connection.topic,
                (record.stamp_ns - START) * 1e-9,
                opened.deserialize(record.cdr, record.connection.msgtype).data,
            )
            for record in Section(opened, **options).records()
        ]


def test_a_whole_recording_in_order(bag):
    found = played(bag)
    assert [text for topic, _, text in found if topic == "/number"] == [*map(str, range(COUNT))]
    assert [at for _, at, _ in found] == sorted(at for _, at, _ in found)
    assert len(found) == COUNT + 2


def test_a_part_begins_with_what_was_latched_before_it(bag):
    found = played(bag, start_offset=1.0, duration=0.5)
    assert found[0] == ("/info", 1.0, "info 0")
    assert [text for _, _, text in found[1:]] == ["10", "11", "12", "13", "14", "15"]
    assert played(bag, start_offset=2.5)[0] == ("/info", 2.5, "info 20")


def test_only_chosen_topics(bag):
    assert {topic for topic, _, _ in played(bag, topics=("/info", "/none"))} == {"/info"}
    with open_bag(bag) as opened:
        assert Section(opened, ("/info", "/none")).missing == ("/none",)
        with pytest.raises(BagError, match="none of the topics to play; it holds /info, /number"):
            Section(opened, ("/none",))
        with pytest.raises(BagError, match=r"2\.900 s long: nothing after 2\.95 s"):
            Section(opened, start_offset=2.95)


def test_rounds_keep_the_period_of_the_busiest_topic(bag):
    with open_bag(bag) as opened:
        section = Section(opened)
        rounds = section.rounds(loop=True)
        numbers = [next(rounds)[0] for _ in range(2 * (COUNT + 2) + 1)]
        assert numbers == [1] * (COUNT + 2) + [2] * (COUNT + 2) + [3]
        assert section.round_ns == COUNT * PERIOD
        assert [n for n, _ in section.rounds(loop=False)] == [1] * (COUNT + 2)


def test_a_round_lasts_until_its_last_message(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        for n in range(5):
            writer.write("/fast", START + n * PERIOD, text("fast"))
        writer.write("/slow", START + 9 * PERIOD, text("slow"))
    with open_bag(tmp_path / "bag") as opened:
        section = Section(opened)
        rounds = section.rounds(loop=True)
        for _ in range(7):
            next(rounds)
        assert section.round_ns == 9 * PERIOD + 10**6


def test_late_subscribers_get_as_many_messages_as_were_latched(bag, tmp_path):
    with open_bag(bag) as opened:
        depths = {c.topic: latched_depth(c) for c in opened.connections}
    assert depths == {"/info": 1, "/number": 0}
    tf = TYPESTORE.types["tf2_msgs/msg/TFMessage"](transforms=[])
    with BagWriter(tmp_path / "tf", latched=("/tf_static",)) as writer:
        for n in range(30):
            writer.write("/tf_static", START + n, tf)
    with open_bag(tmp_path / "tf") as opened:
        assert latched_depth(opened.connections[0]) == 30  # they add up


# Damage


def damage(path, begin: float, length: int) -> None:
    (data,) = [p for p in path.iterdir() if p.name != "metadata.yaml"]
    raw = bytearray(data.read_bytes())
    at = int(begin * len(raw))
    raw[at : at + length] = bytes(byte ^ 255 for byte in raw[at : at + length])
    data.write_bytes(raw)


@pytest.fixture(scope="module")
def large_bags(tmp_path_factory):
    root = tmp_path_factory.mktemp("large")
    random = np.random.default_rng(0)
    for name, storage, compression in (
        ("mcap", "mcap", "none"), ("chunk", "mcap", "chunk"), ("message", "mcap", "message"),
        ("file", "mcap", "file"), ("sqlite", "sqlite3", "none"), ("packed", "sqlite3", "message"),
    ):  # fmt: skip
        with BagWriter(root / name, storage, compression) as writer:
            for n in range(COUNT):
                noise = random.integers(33, 126, 8000).astype(np.uint8).tobytes().decode()
                writer.write("/text", START + n * PERIOD, text(noise))
    return root


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(["mcap", "chunk", "message", "file", "sqlite", "packed"]),
    begin=st.floats(0, 0.999),
    length=st.integers(1, 20_000),
    cut=st.booleans(),
)
def test_damage_is_one_clear_line_or_does_no_harm(large_bags, tmp_path_factory, name, begin,
                                                   length, cut):  # fmt: skip
    path = tmp_path_factory.mktemp("damaged") / name
    shutil.copytree(large_bags / name, path)
    if cut:
        (data,) = [p for p in path.iterdir() if p.name != "metadata.yaml"]
        os.truncate(data, int(begin * data.stat().st_size))
    else:
        damage(path, begin, length)
    read, told = 0, None
    try:
        with open_bag(path) as opened:
            for _ in Section(opened).records():
                read += 1
    except BagError as error:
        told = str(error)
    shutil.rmtree(path)
    if told is None:
        assert read == COUNT  # nothing is missing in silence
    else:
        assert str(path) in told
        assert "\n" not in told


# The other player


def test_the_command_of_rosbag2_says_what_our_player_is_asked():
    assert rosbag2_command("/b") == ["ros2", "bag", "play", "/b", "--rate", "1"]
    command = rosbag2_command(
        "/b", rate=0.5, loop=True, start_offset=1.25, duration=3.0, clock_hz=100.0,
        topics=["/image", "/disparity"], start_paused=True,
    )  # fmt: skip
    assert command[4:] == [
        "--rate", "0.5", "--loop", "--start-offset", "1.25", "--playback-duration", "3.0",
        "--clock", "100", "--start-paused", "--topics", "/image", "/disparity",
    ]  # fmt: skip

"""When incidents begin and end, and what is kept in memory: laws under whatever comes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from incident_frames import SECOND, configure, scene, sighting

from open_set_seg.bags.incidents import (
    IncidentPolicy,
    Part,
    RecordedFrame,
    RecorderConfig,
    RingBuffer,
    Viewer,
)


def plain(stamp_ns: int, size: int) -> RecordedFrame:
    return RecordedFrame(stamp_ns, (Part("/image", "sensor_msgs/msg/Image", size, bytes),))


def run(policy, stamps, seen, look=lambda one: scene(one.id)):
    """Actions, one a frame; ``seen`` maps a frame's number to ids."""
    return [
        policy.update(round(t * SECOND), [sighting(i) for i in seen.get(n, ())], look).action
        for n, t in enumerate(stamps)
    ]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-3, 20), st.integers(0, 50)), max_size=60),
    st.integers(0, 120),
    st.integers(0, 30),
)
def test_ring_is_bounded_and_holds_the_newest(steps, limit, seconds):
    ring, stamp, added = RingBuffer(), 0, []
    for step, size in steps:
        stamp += step
        one = plain(stamp * SECOND, size)
        if added and stamp * SECOND < added[-1].stamp_ns:
            added = []
        added.append(one)
        ring.add(one, float(seconds), limit)
        # Oracle: the longest tail of what came since the last jump that is new and small enough.
        tail: list[RecordedFrame] = []
        for each in reversed(added):
            total = sum(f.size for f in tail) + each.size
            if each.stamp_ns < one.stamp_ns - seconds * SECOND or total > limit:
                break
            tail.insert(0, each)
        assert ring.bytes == sum(f.size for f in tail) <= limit
        assert len(ring) == len(tail)
        assert ring.seconds <= seconds + 1e-9
    assert ring.take() == (tail if steps else [])
    assert (ring.bytes, len(ring)) == (0, 0)


def test_an_obstacle_begins_one_incident_however_long_it_stays():
    policy = IncidentPolicy(configure(Path("x")))
    actions = run(policy, range(10), dict.fromkeys(range(2, 10), (7,)))
    assert actions == ["none", "none", "begin", "go_on", "end"] + ["none"] * 5


def test_a_new_obstacle_lengthens_the_incident_that_lasts():
    policy = IncidentPolicy(configure(Path("x"), after_s=2.0))
    actions = run(policy, range(8), {0: (1,), 1: (1,), 2: (1, 2)})
    assert actions == ["begin", "go_on", "go_on", "go_on", "go_on", "end", "none", "none"]


def test_an_obstacle_in_the_gap_waits_and_begins_if_it_is_still_there():
    policy = IncidentPolicy(configure(Path("x"), min_gap_s=3.0))
    # Incident 0 to 1; noticed over at 2; 3 s more pass at 5.
    actions = run(policy, range(7), {0: (1,), 3: (2,), 4: (2, 3), 5: (3,), 6: (3,)})
    assert actions == ["begin", "go_on", "end", "none", "none", "begin", "go_on"]
    assert policy.counts["deferred"] == 2


def test_obstacles_of_no_interest_begin_nothing():
    policy = IncidentPolicy(configure(Path("x"), min_score=0.7, max_distance=20.0))
    look = lambda one: scene(one.id)  # noqa: E731
    for number, (distance, score) in enumerate([(10.0, 0.69), (20.1, 0.9)]):
        one = sighting(number, distance, score)
        assert policy.update(number * SECOND, [one], look).action == "none"
    nearer = policy.update(3 * SECOND, [sighting(1, 19.9, 0.9)], look)
    assert nearer.action == "begin", "it came into the distance of interest"
    policy.end()
    unknown = policy.update(4 * SECOND, [sighting(9, math.nan, 0.9)], look)
    assert unknown.action == "begin", "what is of unknown distance may be near"


def test_a_scene_in_a_loop_is_recorded_once_though_its_ids_are_new():
    policy = IncidentPolicy(configure(Path("x")))
    begun = 0
    for round_number in range(50):
        seen = {2: (1000 + round_number,), 6: (2000 + round_number,)}
        begun += run(policy, range(9), seen, lambda one: scene(one.id // 1000)).count("begin")
    assert begun == 2
    assert policy.counts["repeats"] == 98


def test_all_obstacles_of_an_incident_are_recorded_with_it():
    """A loop with two obstacles in a frame, and one that comes later, is one incident."""
    policy = IncidentPolicy(configure(Path("x")))
    begun = 0
    for turn in range(5):
        seen = {2: (1000 + turn, 2000 + turn), 3: (1000 + turn, 2000 + turn, 3000 + turn)}
        begun += run(policy, range(9), seen, lambda one: scene(one.id // 1000)).count("begin")
    assert begun == 1


def test_what_could_not_be_recorded_is_forgotten_with_all_its_obstacles():
    policy = IncidentPolicy(configure(Path("x")))
    look = lambda one: scene(one.id % 10)  # noqa: E731
    first = policy.update(0, [sighting(1), sighting(2)], look)
    policy.update(1, [sighting(3)], look)
    policy.end()
    later = policy.update(2, [sighting(4)], look)
    policy.end()
    assert (first.action, later.action) == ("begin", "begin")
    policy.retract(first)
    for number, again in enumerate((14, 12, 13, 11)):
        action = policy.update(3 + number, [sighting(again)], look).action
        assert action == ("none" if again == 14 else "begin")
        policy.end()


def test_a_request_begins_at_once_and_needs_no_gap():
    policy = IncidentPolicy(configure(Path("x"), min_gap_s=100.0))
    assert run(policy, [0, 5], {0: (1,)}) == ["begin", "end"]
    assert policy.request().action == "begin"
    assert policy.request().action == "go_on"
    assert run(policy, [5.5, 6, 6.1], {}) == ["go_on", "go_on", "end"]


def test_what_could_not_be_recorded_may_begin_again():
    policy = IncidentPolicy(configure(Path("x")))
    look = lambda one: scene(one.id)  # noqa: E731
    first = policy.update(0, [sighting(1)], look)
    policy.end()
    assert policy.update(1, [sighting(1)], look, ready=False).action == "none"
    policy.retract(first)
    assert policy.update(2, [sighting(1)], look, ready=False).action == "none"
    assert policy.update(3, [sighting(1)], look).action == "begin"


ids = st.lists(st.integers(1, 12), max_size=4).map(tuple)
events = st.lists(st.tuples(st.floats(-4.0, 4.0), ids, st.booleans()), min_size=1, max_size=80)


@settings(max_examples=100, deadline=None)
@given(events, st.sampled_from([0.0, 1.0, 5.0]), st.sampled_from([0.0, 2.0]))
def test_laws_of_incidents_whatever_comes(events, gap, after):
    policy = IncidentPolicy(configure(Path("x"), min_gap_s=gap, after_s=after))
    stamp, newest = 100.0, None
    causes: list[int] = []
    lasting, until, rested = False, 0, None
    for step, seen, ready in events:
        stamp = max(0.0, stamp + step)
        now = round(stamp * SECOND)
        jumped = newest is not None and now < newest
        if rested is not None and newest is not None:
            rested += max(0, now - newest)
        newest = now
        decision = policy.update(now, [sighting(i) for i in seen], lambda one: scene(one.id), ready)
        if decision.obstacle is not None:
            causes.append(decision.obstacle.id)
            assert decision.obstacle.id in seen
            until = max(until, now + round(after * SECOND)) if lasting else now + after * SECOND
        if decision.action == "begin":
            assert not lasting
            assert ready
            assert rested is None or rested >= gap * SECOND
            lasting = True
        elif decision.action == "go_on":
            assert lasting
            assert not jumped
            assert now <= until
        elif decision.action == "end":
            assert lasting
            assert jumped or now > until
            lasting, rested = False, 0
        else:
            assert not lasting
        assert policy.active == lasting
    assert len(causes) == len(set(causes)), "an obstacle caused two incidents"


def test_scenes_differ_by_picture_or_by_place():
    random = np.random.default_rng(0)
    street = np.kron(random.integers(0, 200, (8, 16, 3)), np.ones((32, 32, 1))).astype(np.uint8)
    noise = random.normal(0, 6, street.shape)
    same = np.clip(street + noise, 0, 255).astype(np.uint8)
    box = (100, 120, 40, 30)
    here = Viewer(street).look_at(box)
    assert here.resembles(Viewer(same).look_at((104, 118, 42, 30)))
    assert not here.resembles(Viewer(street).look_at((300, 120, 40, 30)))
    assert not here.resembles(Viewer(np.roll(street, 32, axis=1)).look_at(box))
    assert not here.resembles(Viewer((street * 0.8).astype(np.uint8)).look_at(box))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"before_s": -1.0}, "recorder.before_s"),
        ({"after_s": math.nan}, "recorder.after_s"),
        ({"max_bag_mb": 0.0}, "recorder.max_bag_mb"),
        ({"max_bags": 0}, "recorder.max_bags"),
        ({"max_bag_mb": 20.0, "max_total_mb": 10.0}, "more than"),
        ({"compression": "file"}, "none, message, chunk"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(options, text):
    with pytest.raises(ValueError, match=text):
        RecorderConfig(Path("x"), **options)

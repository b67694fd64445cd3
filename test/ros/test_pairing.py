"""Pairing against brute force and against its laws, on random sequences of events."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from open_set_seg.ros.pairing import FramePairing, PairingConfig

MS = 1_000_000
PERIOD = 50
CONFIG = PairingConfig(tolerance_ns=10 * MS, wait_s=0.2, absence_s=1.0, capacity=16)


@dataclass(frozen=True)
class Message:
    """What travels in these tests: which moment it shows, its stamp, and when it arrives."""

    kind: str
    moment: int
    stamp_ms: int
    arrival_ms: int


@dataclass(frozen=True)
class Outcome:
    image: Message
    range: Message | None
    released_ms: float


def play(messages, config=CONFIG, pairing=None):
    """Feed messages in order of arrival, polling at every deadline; returns what came out."""
    pairing = pairing or FramePairing(config)
    outcomes: list[Outcome] = []

    def note(pairs, now_s):
        for pair in pairs:
            outcomes.append(Outcome(pair.image, pair.range, now_s * 1000))
            assert pair.waited_s == pytest.approx(now_s - pair.image.arrival_ms / 1000)

    for message in sorted(messages, key=lambda m: m.arrival_ms):
        now = message.arrival_ms / 1000
        while (deadline := pairing.next_deadline) is not None and deadline <= now:
            note(pairing.poll(deadline), deadline)
        add = pairing.add_image if message.kind == "image" else pairing.add_range
        note(add(message.stamp_ms * MS, message, now), now)
    while (deadline := pairing.next_deadline) is not None:
        note(pairing.poll(deadline), deadline)
    return outcomes, pairing


def image(moment, arrival=None, stamp=None):
    stamp = moment * PERIOD if stamp is None else stamp
    return Message("image", moment, stamp, moment * PERIOD if arrival is None else arrival)


def disparity(moment, delay=80, stamp=None, arrival=None):
    stamp = moment * PERIOD if stamp is None else stamp
    return Message("range", moment, stamp, moment * PERIOD + delay if arrival is None else arrival)


def pairs_of(outcomes):
    return {o.image.moment: o.range.moment if o.range else None for o in outcomes}


def test_disparity_80_ms_late_at_20_hz_pairs_every_frame_as_soon_as_it_comes():
    outcomes, pairing = play([f(n) for n in range(40) for f in (image, disparity)])
    assert pairs_of(outcomes) == {n: n for n in range(40)}
    assert all(o.released_ms - o.image.arrival_ms == pytest.approx(80) for o in outcomes)
    assert pairing.counts["exact"] == 40


def test_a_disparity_that_comes_before_its_image_is_kept():
    outcomes, _ = play([f for n in range(10) for f in (image(n), disparity(n, delay=-7))])
    assert pairs_of(outcomes) == {n: n for n in range(10)}
    assert all(o.released_ms == pytest.approx(o.image.arrival_ms) for o in outcomes)


def test_one_lost_image_never_shifts_the_pairs_behind_it():
    messages = [image(n) for n in range(20) if n != 7] + [disparity(n) for n in range(20)]
    outcomes, pairing = play(messages)
    assert pairs_of(outcomes) == {n: n for n in range(20) if n != 7}
    assert pairing.counts["unused_ranges"] == 1


def test_one_lost_disparity_costs_only_its_own_frame():
    messages = [image(n) for n in range(20)] + [disparity(n) for n in range(20) if n != 7]
    outcomes, pairing = play(messages)
    assert pairs_of(outcomes) == {n: None if n == 7 else n for n in range(20)}
    assert pairing.counts["overtaken"] == 1


def test_images_pass_at_once_after_a_second_without_disparity_and_pair_again_when_it_returns():
    gone = range(20, 60)  # two seconds
    messages = [image(n) for n in range(80)]
    messages += [disparity(n) for n in range(80) if n not in gone]
    outcomes, pairing = play(messages)
    waited = {o.image.moment: o.released_ms - o.image.arrival_ms for o in outcomes}
    pairs = pairs_of(outcomes)
    assert len(outcomes) == 80
    assert max(waited.values()) <= 200 + 1e-6
    # The last disparity came at 19 * 50 + 80 ms; a second later nobody waits any more.
    assert all(waited[n] == 0 for n in range(42, 60))
    assert pairing.counts["passed"] > 10
    # Moments 60 and 61 pass while nothing is known of the return; then the first one arrives.
    assert [pairs[n] for n in range(62, 80)] == list(range(62, 80))


def test_images_pass_at_once_where_no_range_is_expected():
    outcomes, _ = play([image(n) for n in range(5)], replace(CONFIG, wait_s=0.0))
    assert all(o.range is None and o.released_ms == o.image.arrival_ms for o in outcomes)


@pytest.mark.parametrize("first", ["image", "range"])
@pytest.mark.parametrize("length", [3, 10])
def test_a_looped_recording_keeps_pairing(first, length):
    delay = 80 if first == "image" else -20
    messages = []
    for lap in range(4):
        offset = lap * length * PERIOD
        for n in range(length):
            moment = lap * length + n
            messages.append(Message("image", moment, n * PERIOD, offset + n * PERIOD + 100))
            messages.append(Message("range", moment, n * PERIOD, offset + n * PERIOD + 100 + delay))
    outcomes, pairing = play(messages)
    assert pairing.counts["jumps"] == 3
    assert [o.image.moment for o in outcomes] == list(range(4 * length))
    right = [o for o in outcomes if o.range and o.range.moment == o.image.moment]
    wrong = [o for o in outcomes if o.range and o.range.moment != o.image.moment]
    assert not wrong
    assert len(right) >= 4 * length - 3 * 2  # only frames that waited at a jump go without


def test_nothing_of_before_a_jump_is_paired_with_anything_after_it():
    pairing = FramePairing(CONFIG)
    pairing.add_range(1000 * MS, "old", 0.0)
    pairing.add_image(2000 * MS, "late", 0.01)
    assert [(p.image, p.range) for p in pairing.add_image(1000 * MS, "new", 0.02)] == [
        ("late", None)
    ]
    assert [(p.image, p.range) for p in pairing.poll(1.0)] == [("new", None)]


def test_a_range_stream_that_jumps_before_its_images_keeps_what_is_new_and_drops_what_is_old():
    pairing = FramePairing(CONFIG)
    pairing.add_image(1000 * MS, "a", 0.0)
    pairing.add_range(1050 * MS, "old", 0.01)
    assert pairing.add_range(0, "new", 0.02) == []
    assert [(p.image, p.range) for p in pairing.add_image(0, "b", 0.03)] == [
        ("a", None),
        ("b", "new"),
    ]
    assert pairing.add_image(1050 * MS, "c", 0.04) == []


def test_waiting_images_pass_in_the_moment_in_which_the_disparity_counts_as_absent():
    pairing = FramePairing(CONFIG)
    pairing.add_range(0, "last", 0.0)
    pairing.add_image(900 * MS, "a", 0.9)
    pairing.add_image(925 * MS, "b", 0.925)
    assert pairing.next_deadline == pytest.approx(1.1)  # two images may have lost theirs
    pairing.add_image(950 * MS, "c", 0.95)
    assert pairing.next_deadline == pytest.approx(1.0)
    assert [p.image for p in pairing.poll(1.0)] == ["a", "b", "c"]
    assert pairing.counts["passed"] == 3


@pytest.mark.parametrize("period_s", [1.5, 30.0])
def test_images_that_come_seldom_wait_for_their_disparity_all_the_same(period_s):
    """A recording that is played slowly or in single steps, the image before its disparity."""
    period, moments = round(period_s * 1000), range(12)
    lost = {5}
    messages = [image(n, n * period, n * 100) for n in moments]
    messages += [Message("range", n, n * 100, n * period + 60) for n in moments if n not in lost]
    outcomes, pairing = play(messages)
    assert pairs_of(outcomes) == {n: None if n in lost else n for n in moments}
    assert pairing.counts["passed"] == 0
    # Where none ever comes, only the first ones wait.
    outcomes, pairing = play([image(n, n * period, n * 100) for n in moments])
    assert (pairing.counts["alone"], pairing.counts["passed"]) == (2, 10)


def feed(*steps: tuple[str, int]):
    """Hand over (kind, stamp in ms) one millisecond apart; returns all pairs with a partner."""
    pairing, pairs = FramePairing(CONFIG), []
    for n, (kind, stamp) in enumerate(steps):
        add = pairing.add_image if kind == "image" else pairing.add_range
        pairs += [(p.image, p.range) for p in add(stamp * MS, stamp, n / 1000) if p.range]
    return pairs


def test_one_disparity_out_of_order_does_not_blind_the_next_jump():
    out_of_order = [("range", 100), ("range", 50)]
    agreeing = [("image", 150), ("range", 150)]
    jump = [("range", 1050), ("image", 10), ("image", 1050)]
    assert feed(*out_of_order, *agreeing, *jump) == [(150, 150)]


def test_old_disparities_do_not_survive_a_second_jump_of_streams_with_an_offset():
    first = [("image", 1000), ("range", 1004)]
    second = [("image", 500), ("range", 504), ("range", 1046)]
    third = [("image", 400), ("image", 1050)]
    assert feed(*first, *second, *third) == [(1000, 1004), (500, 504)]


def test_a_near_disparity_goes_to_the_image_that_is_nearest_to_it():
    offset = [("image", 0), ("range", 3)]
    close_together = [("image", 90), ("image", 100), ("range", 99)]
    assert feed(*offset, *close_together) == [(0, 3), (100, 99)]


def test_a_disparity_that_waited_for_longer_than_a_second_is_not_used():
    pairing = FramePairing(CONFIG)
    pairing.add_range(5000 * MS, "stale", 0.0)
    assert pairing.add_image(5000 * MS, "image", 2.0) == []
    assert [p.range for p in pairing.poll(2.2)] == [None]
    assert pairing.counts["unused_ranges"] == 1


def test_reset_forgets_everything_but_the_counts():
    pairing = FramePairing(CONFIG)
    pairing.add_image(0, "a", 0.0)
    pairing.reset()
    assert pairing.next_deadline is None
    assert pairing.poll(10.0) == []
    assert pairing.add_range(0, "r", 10.0) == []


def test_constant_offset_of_stamps_is_paired_within_the_tolerance_and_soon_without_waiting():
    messages = [image(n) for n in range(20)]
    messages += [disparity(n, stamp=n * PERIOD - 4, delay=30) for n in range(20)]
    outcomes, pairing = play(messages)
    assert pairs_of(outcomes) == {n: n for n in range(20)}
    assert pairing.counts["near"] == 20
    # The first may wait for something better; then it is known that stamps differ.
    assert all(o.released_ms - o.image.arrival_ms == pytest.approx(30) for o in outcomes[1:])


def test_an_exact_stamp_goes_before_a_nearer_arrival():
    pairing = FramePairing(CONFIG)
    pairing.add_image(100 * MS, "image", 0.0)
    assert pairing.add_range(95 * MS, "near", 0.01) == []
    assert [p.range for p in pairing.add_range(100 * MS, "exact", 0.02)] == ["exact"]


def test_a_near_partner_is_taken_when_the_wait_ends():
    pairing = FramePairing(CONFIG)
    pairing.add_image(100 * MS, "image", 0.0)
    assert pairing.add_range(95 * MS, "near", 0.01) == []
    assert [p.range for p in pairing.poll(0.2)] == ["near"]


def test_the_buffer_of_waiting_images_is_bounded():
    config = replace(CONFIG, capacity=3, wait_s=10.0, absence_s=100.0)
    pairing = FramePairing(config)
    released = [p.image for n in range(10) for p in pairing.add_image(n * MS, n, n * 0.001)]
    assert released == list(range(7))
    assert pairing.counts["evicted"] == 7


def test_a_burst_of_images_is_released_in_order_with_the_right_partners():
    messages = [image(n, arrival=500) for n in range(8)]
    messages += [disparity(n, arrival=520) for n in range(8)]
    outcomes, _ = play(messages)
    assert pairs_of(outcomes) == {n: n for n in range(8)}


events = st.lists(
    st.tuples(
        st.booleans(),  # image arrives
        st.booleans(),  # disparity arrives
        st.integers(-3, 3),  # difference of the stamps, ms
        st.integers(0, 30),  # transport delay of the image, ms
        st.integers(-20, 260),  # delay of the disparity behind the moment, ms
    ),
    min_size=1,
    max_size=40,
)


def scene(entries, exact=False):
    """Messages of moments; each stream stays in order, as one publisher's messages do."""
    messages, last = [], {"image": -1000, "range": -1000}
    for n, (has_image, has_range, offset, image_delay, range_delay) in enumerate(entries):
        now = n * PERIOD
        if has_image:
            last["image"] = max(last["image"], now + image_delay)
            messages.append(Message("image", n, now, last["image"]))
        if has_range:
            last["range"] = max(last["range"], now + range_delay)
            stamp = now if exact else now + offset
            messages.append(Message("range", n, stamp, last["range"]))
    return messages


@settings(max_examples=150, deadline=None)
@given(events)
def test_laws_hold_for_loss_delay_and_burst(entries):
    messages = scene(entries)
    outcomes, pairing = play(messages)
    images = [m for m in sorted(messages, key=lambda m: m.arrival_ms) if m.kind == "image"]
    assert [o.image for o in outcomes] == images, "every image comes out once, in order"
    used = [o.range for o in outcomes if o.range is not None]
    assert len(set(used)) == len(used), "a message is used at most once"
    for outcome in outcomes:
        assert outcome.released_ms <= outcome.image.arrival_ms + 200 + 1e-6
        if outcome.range is not None:
            assert outcome.range.moment == outcome.image.moment, "never a neighbour's disparity"
    ranges = sum(m.kind == "range" for m in messages)
    kept = ranges - len(used) - pairing.counts["unused_ranges"]
    assert 0 <= kept <= CONFIG.capacity
    released = ("exact", "near", "alone", "overtaken", "passed", "evicted")
    assert sum(pairing.counts[name] for name in released) == len(images)


def pair_by_brute_force(messages):
    """Exact stamps, both streams in order: an image gets its own disparity iff that is there
    before the wait ends, before a later image is complete, and not after a second and three
    images of silence."""
    images = [m for m in messages if m.kind == "image"]
    ranges = [m for m in messages if m.kind == "range"]
    arrivals = sorted(m.arrival_ms for m in ranges)
    first_image = min((m.arrival_ms for m in images), default=0)
    own = {i: next((r for r in ranges if r.moment == i.moment), None) for i in images}
    result = {}
    for shown in images:
        partner = own[shown]
        if partner is None:
            result[shown.moment] = None
            continue
        complete = max(shown.arrival_ms, partner.arrival_ms)
        in_time = complete < shown.arrival_ms + 200 or complete == shown.arrival_ms
        # Silence is counted from the last disparity, or from the first image.
        heard = [a for a in arrivals if a < complete]
        heard = [first_image, *heard] if not heard or first_image < heard[0] else heard
        gaps = zip(heard, [*heard[1:], complete], strict=True)
        silent = any(
            b - a >= 1000
            and b > shown.arrival_ms
            and sum(a <= image.arrival_ms < b for image in images) >= CONFIG.absence_images
            for a, b in gaps
        )
        patient = complete == shown.arrival_ms or not silent
        fresh = complete - partner.arrival_ms <= 1000
        result[shown.moment] = shown.moment if in_time and patient and fresh else None
    return result


@settings(max_examples=150, deadline=None)
@given(events)
def test_exact_streams_are_paired_as_brute_force_says(entries):
    # Arrivals are made distinct, and kept off the 200 ms deadline, so that ties cannot decide.
    messages = [
        replace(m, arrival_ms=m.arrival_ms * 4 + (m.kind == "range") * 2 + 1)
        for m in scene(entries, exact=True)
    ]
    messages = [replace(m, stamp_ms=m.stamp_ms * 4) for m in messages]
    outcomes, _ = play(messages, replace(CONFIG, wait_s=0.2, tolerance_ns=40 * MS))
    assert pairs_of(outcomes) == pair_by_brute_force(messages)


@settings(max_examples=100, deadline=None)
@given(events, st.integers(1, 39), st.integers(1, 39))
def test_laws_hold_across_a_jump_back(entries, length, lead):
    """The second half of the moments is stamped as a second lap of the recording."""
    length = min(length, len(entries))
    messages = [replace(m, stamp_ms=m.stamp_ms % (length * PERIOD)) for m in scene(entries, True)]
    outcomes, _ = play(messages)
    images = [m for m in sorted(messages, key=lambda m: m.arrival_ms) if m.kind == "image"]
    assert [o.image for o in outcomes] == images
    used = [o.range for o in outcomes if o.range is not None]
    assert len(set(used)) == len(used)
    assert all(o.image.stamp_ms == o.range.stamp_ms for o in outcomes if o.range)

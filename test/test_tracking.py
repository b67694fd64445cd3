"""Ids and states of obstacles over time."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from benchmarks.tracking import WAYS, Record, Sighting, drive_figures
from open_set_seg.frame import FrameResult, Obstacle, Prediction
from open_set_seg.tracking import (
    STATE_CODES,
    GroundPose,
    ObstacleTracker,
    TrackingConfig,
    assign,
    next_state,
)
from open_set_seg.tracking.motion import move_by_poses, weighted_median
from open_set_seg.tracking.places import Places, measure_overlaps

NAN = math.nan
SECOND = 1_000_000_000
STEP = SECOND // 10
FOCAL = 400.0
PREDICTION = Prediction(
    np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.float32), np.zeros((2, 2), np.uint8), 0.5
)


def obstacle(x=NAN, z=NAN, y=1.0, sigma=0.02, box=None, size=0.5, number=0, score=0.9):
    """An obstacle of ``size`` metres at (x, y, z); without z: of unknown range, only a box."""
    if box is None:
        pixels = max(round(size * FOCAL / z), 1)
        box = (round(256 + FOCAL * x / z), round(128 + FOCAL * y / z), pixels, pixels)
    unknown = math.isnan(z)
    return Obstacle(
        id=number,
        kind="unknown",
        distance=z,
        distance_sigma=NAN if unknown else sigma,
        valid_share=0.0 if unknown else 1.0,
        position=(NAN, NAN, NAN) if unknown else (x, y, z),
        width=NAN if unknown else size,
        height=NAN if unknown else size,
        mean_score=score,
        peak_score=score,
        nearest_classes=((6, 1.0),),
        box=box,
        area_px=box[2] * box[3],
        outline=np.zeros((1, 2), np.int32),
        mask=np.ones((2, 2), np.bool_),
    )


def frame(*obstacles, stamp=0, examined=True):
    return FrameResult(stamp, "camera", PREDICTION, obstacles, examined, None, None, None)


def follow(frames, config=None, poses=None, step=STEP):
    """Ids of each frame's obstacles, in their order."""
    tracker = ObstacleTracker(config)
    poses = poses or [None] * len(frames)
    return [
        [one.id for one in tracker.update(frame(*obstacles, stamp=n * step), pose)]
        for n, (obstacles, pose) in enumerate(zip(frames, poses, strict=True))
    ]


coordinates = st.floats(-8, 8), st.floats(4, 60)
scattered = st.lists(st.tuples(*coordinates), min_size=1, max_size=12).filter(
    lambda places: all(math.dist(a, b) > 3.0 for a, b in itertools.combinations(places, 2))
)


# Assignment


def best_gain(costs):
    """The most that any partial matching gains, by trying all of them."""
    rows, columns = costs.shape
    gains = np.where(costs < 1, 1 - costs, 0.0)
    padded = np.concatenate([gains, np.zeros((rows, rows))], axis=1)
    choices = itertools.permutations(range(columns + rows), rows)
    if rows > columns:
        return best_gain(costs.T)
    return max(sum(padded[r, c] for r, c in enumerate(choice)) for choice in choices)


cost_values = st.one_of(st.floats(0, 1.2), st.sampled_from([0.0, 0.25, 0.5, 1.0, math.inf, NAN]))


@st.composite
def cost_matrices(draw, most):
    rows, columns = draw(st.integers(0, most)), draw(st.integers(0, most))
    cells = draw(st.lists(cost_values, min_size=rows * columns, max_size=rows * columns))
    return np.array(cells, np.float64).reshape(rows, columns)


@settings(max_examples=60, deadline=None)
@given(cost_matrices(4))
def test_assignment_gains_as_much_as_the_best_of_all_matchings(costs):
    pairs = assign(costs)
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    assert all(costs[pair] < 1 for pair in pairs)
    assert sum(1 - costs[pair] for pair in pairs) == pytest.approx(best_gain(costs), abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("allowed", [0.4, 1.0])
def test_assignment_of_six_by_six_equals_brute_force(seed, allowed):
    random = np.random.default_rng(seed)
    costs = np.where(random.random((6, 6)) < allowed, random.random((6, 6)), np.inf)
    gains = np.where(costs < 1, 1 - costs, 0.0)
    orders = np.array(list(itertools.permutations(range(6))))
    best = gains[np.arange(6), orders].sum(axis=1).max()
    assert sum(gains[pair] for pair in assign(costs)) == pytest.approx(best)


@pytest.mark.parametrize(("rows", "columns"), [(50, 50), (50, 17), (23, 50)])
def test_assignment_of_fifty_agrees_with_scipy(rows, columns):
    costs = np.random.default_rng(rows + columns).random((rows, columns)) * 1.5
    gains = np.where(costs < 1, 1 - costs, 0.0)
    best = gains[linear_sum_assignment(gains, maximize=True)].sum()
    assert sum(gains[pair] for pair in assign(costs)) == pytest.approx(best)


# States


def states(seen, config):
    """t, c or - (forgotten) after each frame, of a tracker that sees one obstacle or nothing."""
    tracker, letters = ObstacleTracker(config), ""
    for number, hit in enumerate(seen):
        shown = tracker.update(frame(*[obstacle(0, 10)] * hit, stamp=number * STEP))
        held = shown or tracker.missing
        assert all(one.id == 1 for one in shown), f"a new id at frame {number} of {seen}"
        letters += held[0].state[0] if held else "-"
    return letters


# Seen (1) or missed (0) by frame; the state after each frame. A tentative obstacle that is not
# seen is nowhere to be found: "-".
TABLE = [
    ("11", "tc"),
    ("101", "t-c"),
    ("1001", "t--t"),
    ("10011", "t--tc"),
    ("11000", "tcccc"),
    ("110000", "tcccc-"),
    ("1100010", "tccccc-"),  # four of the last five were missed
    ("11000101", "tccccc-c"),  # and two of the last three were seen again
    ("1100100", "tccccc-"),  # four of the last five: it was seen once between
    ("11001000", "tccccc--"),
    ("1100101", "tcccccc"),
    ("11001010", "tccccccc"),
    ("10101010", "t-cccccc"),
]


@pytest.mark.parametrize(("seen", "expected"), TABLE)
def test_states_of_the_default_config(seen, expected):
    assert states([hit == "1" for hit in seen], TrackingConfig()) == expected


def test_other_counts_confirm_and_lose_as_they_say():
    strict = TrackingConfig(confirm_hits=3, confirm_window=4, lose_misses=1, lose_window=1)
    assert states([True, True, False, True, False, True], strict) == "tt-c-t"
    at_once = TrackingConfig(confirm_hits=1, confirm_window=1, lose_misses=2, lose_window=2)
    assert states([True, False, False], at_once) == "cc-"


def test_a_forgotten_obstacle_comes_back_under_another_id():
    ids = follow([[obstacle(0, 10)], [], [], [], [obstacle(0, 10)]])
    assert ids == [[1], [], [], [], [2]]
    kept = follow([[obstacle(0, 10)], [], [], [obstacle(0, 10)]])
    assert kept == [[1], [], [], [1]]


@settings(max_examples=50)
@given(st.lists(st.booleans(), max_size=20), st.integers(1, 5), st.integers(0, 4))
def test_confirmation_takes_k_of_n_hits_and_its_loss_m_of_n_misses(later, hits, extra):
    config = TrackingConfig(hits, hits + extra, 5 - hits + 1, 6)
    seen, state = [True], next_state("tentative", [True], config)
    for hit in later:
        before, seen = state, [*seen, hit]
        state = next_state(before, seen, config)
        enough = sum(seen[-config.confirm_window :]) >= config.confirm_hits
        lost = not hit and seen[-6:].count(False) >= config.lose_misses
        assert (state == "confirmed") == (not lost if before == "confirmed" else enough)
        if state is None:
            assert not any(seen[-config.confirm_window :])
            return


def test_states_have_the_codes_of_messages():
    assert dict(STATE_CODES) == {"tentative": 1, "confirmed": 2}


# Ids


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_identical_frames_keep_ids_and_measurements(data):
    places = data.draw(st.lists(st.tuples(*coordinates), max_size=20, unique=True))
    # Regions of one frame share no pixel, so those without range have boxes of their own.
    blind = data.draw(st.sets(st.integers(0, 10), max_size=4))
    shown = [obstacle(x, z) for x, z in places]
    shown += [obstacle(box=(20 * n, 50, 18, 10)) for n in blind]
    tracker = ObstacleTracker()
    first = tracker.update(frame(*shown))
    for number in range(1, 5):
        again = tracker.update(frame(*shown, stamp=number * STEP))
        assert [one.id for one in again] == [one.id for one in first]
        assert all(one.state == "confirmed" and one.age == number + 1 for one in again)
        assert [one.age_s for one in again] == pytest.approx([number * 0.1] * len(again))
        for one, measured in zip(again, shown, strict=True):
            for entry in dataclasses.fields(Obstacle):
                if entry.name != "id":
                    assert getattr(one, entry.name) is getattr(measured, entry.name)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_the_order_of_obstacles_changes_nothing(data):
    kinds = st.one_of(
        st.tuples(*coordinates).map(lambda place: obstacle(*place)),
        st.integers(0, 20).map(lambda left: obstacle(box=(9 * left, 40, 12, 9 + left))),
    )
    frames = data.draw(st.lists(st.lists(kinds, max_size=8), min_size=1, max_size=5))
    orders = [data.draw(st.permutations(range(len(shown)))) for shown in frames]
    straight = follow(frames)
    shuffled = follow(
        [[shown[n] for n in order] for shown, order in zip(frames, orders, strict=True)]
    )
    for shown, ids, order, others in zip(frames, straight, orders, shuffled, strict=True):
        # Equal obstacles may change places with each other.
        seen = {}
        for index, number in zip(order, others, strict=True):
            seen.setdefault(str(shown[index]), set()).add(number)
        for one, number in zip(shown, ids, strict=True):
            assert number in seen[str(one)]


@settings(max_examples=30, deadline=None)
@given(scattered, st.floats(-1, 1), st.floats(-14, 4), st.randoms(use_true_random=False))
def test_a_common_motion_keeps_ids(places, across, along, random):
    """Obstacles 3 m and more apart, and a camera that drives up to 14 m/s from the first frame."""
    frames = []
    for number in range(6):
        t = 0.1 * number
        moved = [(x + across * t, z + along * t) for x, z in places]
        frames.append([obstacle(x, z) for x, z in moved if z > 1.0])
    left = [len(shown) for shown in frames]
    if len(set(left)) > 1:  # some were passed: the law below counts by index
        frames = frames[: left.index(next(n for n in left if n != left[0]))]
    ids = follow(frames)
    assert all(each == ids[0] for each in ids)


def test_obstacles_that_come_and_go_do_not_take_the_ids_of_others():
    """A row of posts 4 m apart is passed at 16 m/s: by the nearest neighbour they would slip."""
    first, places = {}, [4.0 * n for n in range(1, 40)]
    tracker = ObstacleTracker()
    for number in range(40):
        gone = 1.6 * number
        visible = [p for p in places if 2.0 < p - gone < 30.0]
        shown = tracker.update(
            frame(*[obstacle(2.0, p - gone) for p in visible], stamp=number * STEP)
        )
        for place, one in zip(visible, shown, strict=True):
            assert first.setdefault(place, one.id) == one.id
    assert len(set(first.values())) == len(first)


@pytest.mark.parametrize("apart", [1.2, 3.0])
def test_two_that_cross_keep_their_ids(apart):
    """One walks right, another left, ``apart`` metres behind it; the camera stands."""
    frames = [
        [obstacle(-2 + 0.2 * n, 10.0, size=0.3), obstacle(2 - 0.2 * n, 10.0 + apart, size=0.3)]
        for n in range(21)
    ]
    assert follow(frames) == [[1, 2]] * 21


def test_one_that_moves_by_itself_does_not_mislead_the_others():
    standing = [(-3.0, 12.0), (2.0, 20.0), (4.0, 28.0)]
    frames = []
    for n in range(12):
        still = [obstacle(x, z - 0.8 * n) for x, z in standing]
        frames.append([*still, obstacle(0.0, 34.0 - 2.0 * n)])  # 12 m/s towards us
    assert follow(frames) == [follow(frames)[0]] * 12


def test_parts_above_each_other_stay_apart():
    """Which of the two measures nearer changes from frame to frame."""
    frames = []
    for n in range(8):
        z, jitter = 10 - 0.5 * n, 0.04 * (-1) ** n
        frames.append([obstacle(1, z + jitter, y=-2.0), obstacle(1, z - jitter, y=1.2)])
    ids = follow(frames)
    assert ids == [ids[0]] * 8


def test_a_wrong_first_guess_of_the_motion_heals():
    """A lone obstacle goes, another comes 3 m beside it: then it must be followed again."""
    ids = follow([[obstacle(0, 10)], *[[obstacle(0, 13)]] * 8])
    assert len({each[0] for each in ids[3:]}) == 1


def test_a_known_pose_takes_turning_out():
    """At 45 degrees a second the far obstacle moves by 2.4 m a frame; poses tell where to look."""
    world = [(-4.0, 20.0), (0.0, 30.0), (3.0, 31.0), (5.0, 28.0), (6.0, 12.0)]
    poses, frames = [], []
    for n in range(10):
        pose = GroundPose(0.3 * n, 0.8 * n, math.radians(4.5 * n))
        cos, sin = math.cos(pose.yaw), math.sin(pose.yaw)
        apart = [(x - pose.x, z - pose.z) for x, z in world]
        # Right is (cos, -sin) in the world, ahead is (sin, cos).
        frames.append([obstacle(cos * a - sin * b, sin * a + cos * b) for a, b in apart])
        poses.append(pose)
    still = TrackingConfig(own_speed=0.5)
    assert follow(frames, still, poses) == [follow(frames, still, poses)[0]] * 10
    backwards = [dataclasses.replace(pose, yaw=-pose.yaw) for pose in poses]
    assert follow(frames, still, backwards)[-1] != follow(frames, still, backwards)[0]
    unknown = [dataclasses.replace(pose, yaw=NAN) for pose in poses]
    assert follow(frames, still, unknown) == follow(frames, still)


poses = st.builds(GroundPose, *[st.floats(-20, 20)] * 2, st.floats(-4, 4))


@settings(max_examples=30)
@given(poses, poses, st.tuples(*coordinates))
def test_moving_by_poses_is_the_change_of_the_camera_frame(before, now, place):
    def to_fixed(pose):
        """Camera to fixed frame: a complex number z + ix turns by multiplication."""
        return lambda p: complex(pose.z, pose.x) + p * np.exp(1j * pose.yaw)

    seen = move_by_poses(Places.of([obstacle(*place)]), before, now).position[0]
    fixed = to_fixed(before)(complex(place[1], place[0]))
    assert to_fixed(now)(complex(seen[2], seen[0])) == pytest.approx(fixed)
    assert seen[1] == 1.0


def test_faster_than_the_largest_speed_is_another_obstacle():
    for speed, same in ((30.0, True), (60.0, False)):
        ids = follow([[obstacle(0, 30)], [obstacle(0, 30 - speed * 0.1)]])
        assert (ids[0] == ids[1]) == same


def test_what_is_uncertain_is_looked_for_in_a_wider_area():
    for sigma, same in ((0.1, False), (3.0, True)):
        config = TrackingConfig(largest_speed=1.0)
        ids = follow([[obstacle(0, 40, sigma=sigma)], [obstacle(0, 46, sigma=sigma)]], config)
        assert (ids[0] == ids[1]) == same


# Unknown range


def test_without_range_the_overlap_decides():
    boxes = [(100, 50, 20, 20), (105, 52, 20, 20), (140, 52, 20, 20)]
    ids = follow([[obstacle(box=box)] for box in boxes])
    assert ids == [[1], [1], [2]]


def test_a_range_that_comes_and_goes_keeps_the_id():
    measured = [obstacle(0, 10 - 0.1 * n) for n in range(6)]
    blind = [obstacle(box=one.box) for one in measured]
    frames = [[measured[0]], [blind[1]], [measured[2]], [measured[3]], [blind[4]], [measured[5]]]
    assert follow(frames) == [[1]] * 6


@settings(max_examples=40)
@given(st.tuples(*[st.integers(0, 30)] * 2, *[st.integers(1, 12)] * 2), st.data())
def test_overlap_is_that_of_the_pixels(first, data):
    second = data.draw(st.tuples(*[st.integers(0, 30)] * 2, *[st.integers(1, 12)] * 2))
    pixels = []
    for left, top, width, height in (first, second):
        mask = np.zeros((50, 50), np.bool_)
        mask[top : top + height, left : left + width] = True
        pixels.append(mask)
    expected = (pixels[0] & pixels[1]).sum() / (pixels[0] | pixels[1]).sum()
    both = measure_overlaps(np.array([first], float), np.array([second], float))
    assert both == pytest.approx(np.array([[expected]]))


# Time


@pytest.mark.parametrize(
    ("stamp", "same"), [(2 * SECOND, True), (3 * SECOND + 1, False), (SECOND - 1, False)]
)
def test_a_jump_of_time_resets_and_ids_go_on(stamp, same):
    tracker = ObstacleTracker()
    for number in (0, 1):
        (before,) = tracker.update(frame(obstacle(0, 10), stamp=number * SECOND))
    assert before.state == "confirmed"
    (after,) = tracker.update(frame(obstacle(0, 10), stamp=stamp))
    expected = (1, "confirmed", 3) if same else (2, "tentative", 1)
    assert (after.id, after.state, after.age) == expected


def test_a_frame_that_was_not_examined_tells_nothing():
    tracker = ObstacleTracker()
    for number in (0, 1):
        tracker.update(frame(obstacle(0, 10), stamp=number * STEP))
    for number in range(2, 12):
        assert tracker.update(frame(stamp=number * STEP, examined=False)) == ()
    (again,) = tracker.update(frame(obstacle(0, 10), stamp=12 * STEP))
    assert (again.id, again.state, again.age, again.seen) == (1, "confirmed", 3, 3)
    # But evidence grows old, and a loop is seen even where no frame was examined.
    tracker.update(frame(stamp=0, examined=False))
    (new,) = tracker.update(frame(obstacle(0, 10), stamp=13 * STEP))
    assert (new.id, new.state) == (2, "tentative")


def test_reset_forgets_everything_but_the_ids():
    tracker = ObstacleTracker()
    tracker.update(frame(obstacle(0, 10), obstacle(3, 20)))
    tracker.reset()
    assert tracker.missing == ()
    shown = tracker.update(frame(obstacle(0, 10), obstacle(3, 20)))
    assert [(one.id, one.state, one.age) for one in shown] == [(n, "tentative", 1) for n in (3, 4)]


def test_what_is_missing_moves_with_the_scene():
    tracker = ObstacleTracker()
    posts = [(-3.0, 20.0), (3.0, 26.0), (0.0, 15.0)]
    for n in range(4):
        tracker.update(frame(*[obstacle(x, z - n) for x, z in posts], stamp=n * STEP))
    for n in (4, 5):
        tracker.update(frame(*[obstacle(x, z - n) for x, z in posts[:2]], stamp=n * STEP))
    (held,) = tracker.missing
    assert held.state == "confirmed"
    assert held.position == pytest.approx((0.0, 1.0, 10.0), abs=0.05)
    assert held.distance == pytest.approx(10.0, abs=0.05)
    assert held.distance_sigma > 0.5
    assert (held.seen, held.window, held.age) == (1, 3, 6)


def test_nobody_waits_for_what_was_passed():
    """Seen last 2.5 m ahead at 10 m/s: expected 1.5 and 0.5 m ahead, then behind the camera."""
    tracker, held = ObstacleTracker(), []
    for n in range(7):
        passed = [] if n > 3 else [obstacle(0, 5.5 - n)]
        shown = [obstacle(x, 30 - n) for x in (-3.0, 3.0)]
        tracker.update(frame(*passed, *shown, stamp=n * STEP))
        held.append([one.distance for one in tracker.missing])
    assert held[:4] == [[]] * 4
    assert held[4:] == [[pytest.approx(1.5, abs=0.05)], [pytest.approx(0.5, abs=0.05)], []]


# Whatever comes

numbers = st.one_of(
    st.floats(-100, 100), st.sampled_from([NAN, math.inf, -math.inf, 0.0, -0.0, 1e300, -1e-300])
)


@st.composite
def any_obstacle(draw):
    x, y, z, sigma, width, height, score = (draw(numbers) for _ in range(7))
    box = draw(st.tuples(*[st.integers(0, 60)] * 2, *[st.integers(1, 40)] * 2))
    return dataclasses.replace(
        obstacle(box=box, score=score),
        distance=z,
        distance_sigma=sigma,
        position=(x, y, z),
        width=width,
        height=height,
    )


@st.composite
def many_obstacles(draw):
    """Up to 50: some drawn one by one, the others of a random seed."""
    drawn = draw(st.lists(any_obstacle(), max_size=6))
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    more = draw(st.sampled_from([0, 0, 3, 20, 44]))
    return drawn + [
        obstacle(random.uniform(-9, 9), random.uniform(2, 50), sigma=random.uniform(0, 2))
        for _ in range(more)
    ]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_no_stream_of_obstacles_breaks_the_rules(data):
    config = TrackingConfig(
        confirm_hits=data.draw(st.integers(1, 3)), confirm_window=data.draw(st.integers(3, 4))
    )
    tracker = ObstacleTracker(config)
    hits, ended, stamp, count = {}, set(), 0, 0
    for _ in range(data.draw(st.integers(1, 6))):
        stamp += data.draw(st.sampled_from([0, STEP, STEP, STEP, SECOND, 5 * SECOND, -SECOND]))
        pose = data.draw(st.sampled_from([None, GroundPose(0, 1, 0.1), GroundPose(NAN, 0, 0)]))
        examined = data.draw(st.sampled_from([True, True, True, False]))
        shown = data.draw(many_obstacles()) if examined else []
        result = frame(*shown, stamp=stamp, examined=examined)
        tracked = tracker.update(result, pose)
        count += examined
        assert len(tracked) == len(shown)
        ids = [one.id for one in tracked]
        assert len(set(ids)) == len(ids)
        assert not ended & set(ids)
        for one in tracked:
            hits.setdefault(one.id, []).append(count)
            recent = [n for n in hits[one.id] if n > count - config.confirm_window]
            assert len(recent) == one.seen <= min(one.age, one.window)
            ever = any(
                sum(first <= n < first + config.confirm_window for n in hits[one.id])
                >= config.confirm_hits
                for first in hits[one.id]
            )
            assert one.state == "tentative" or ever
        if examined:
            keep = max(config.lose_window, config.confirm_window)
            ended |= {number for number, when in hits.items() if when[-1] <= count - keep}
        for one in tracker.missing:
            assert one.state == "confirmed"
            assert one.id not in ids


def test_ids_of_hundreds_of_frames_are_never_given_twice():
    random, tracker = np.random.default_rng(3), ObstacleTracker()
    lives = {}
    for number in range(300):
        if number % 100 == 99:
            tracker.reset()
        shown = [obstacle(*random.uniform((-9, 4), (9, 40))) for _ in range(random.integers(0, 4))]
        for one in tracker.update(frame(*shown, stamp=number * STEP)):
            lives.setdefault(one.id, []).append((number, one.age))
    # One birth an id: the frame in which it appeared is the same for all of its frames.
    assert all(len({n - age for n, age in life}) == 1 for life in lives.values())
    assert sorted(lives) == list(range(1, len(lives) + 1))


# Small parts


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.floats(-50, 50), st.integers(1, 5)), min_size=1, max_size=12),
)
def test_the_weighted_median_is_the_median_of_repeated_values(pairs):
    values, weights = np.array(pairs, np.float64).T
    expected = np.median(np.repeat(values, weights.astype(int)))
    assert weighted_median(values, weights) == pytest.approx(expected)


def test_places_know_how_uncertain_a_position_is():
    near, far, blind = Places.of(
        [obstacle(0, 10), obstacle(20, 40, sigma=2.0), obstacle(box=(0, 0, 4, 4))]
    ).variance
    assert far[2] == pytest.approx(near[2] + 2.0**2, rel=0.01)
    assert far[0] == pytest.approx(near[0] + 1.0**2, rel=0.01)  # a bearing of 1/2
    assert np.isfinite(blind).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"confirm_hits": 4},
        {"confirm_hits": 0},
        {"lose_misses": 6},
        {"max_gap_s": 0.0},
        {"largest_speed": math.inf},
        {"own_speed": -1.0},
        {"turn_rate": NAN},
        {"gate_sigmas": 0.0},
        {"min_overlap": 0.0},
    ],
)
def test_a_config_out_of_range_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TrackingConfig(**wrong)


def test_the_benchmark_counts_returns_switches_and_distances():
    def seen(*reporters):
        return [Sighting(20.0 - n, one) for n, one in enumerate(reporters)]

    plain = Record({1: seen(1, None, 2, None, 2, None), 2: seen(None, None), 3: seen(None, 4)}, 9)
    confirmed = Record({1: seen(None, None, 5, 5, 5, None), 2: seen(None), 3: seen(None, None)}, 3)
    confirmed.verdicts = {5: True, 6: False, 7: False}
    records = dict(zip(WAYS, (plain, confirmed, confirmed), strict=True))
    without = drive_figures(records, WAYS[0], minutes=0.5)
    assert without["flicker_per_minute"] == 4  # object 1 came back twice in half a minute
    assert without["id_switches_per_minute"] == 2
    assert without["detection_distance_m"] == 19.5  # objects 1 at 20 m and 3 at 19 m
    assert without["distance_lost_m"] == 0
    assert without["false_per_minute"] == 18
    assert without["recall_by_frame"] == pytest.approx(4 / 10)
    tracked = drive_figures(records, WAYS[1], minutes=0.5)
    assert tracked["flicker_per_minute"] == tracked["id_switches_per_minute"] == 0
    assert (tracked["objects"], tracked["objects_reported"]) == (3, 1)
    assert (tracked["detection_distance_m"], tracked["distance_lost_m"]) == (18.0, 2.0)
    assert (tracked["false_per_minute"], tracked["false_alarms_per_minute"]) == (6, 4)

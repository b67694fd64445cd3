"""What a costmap may clear, against a walk pixel by pixel, and laws for obstacles."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from open_set_seg.frame import Camera, FrameResult, Obstacle, Prediction, RangeMap
from open_set_seg.free_ground import FreeGroundConfig, find_free_ground, thin_free_ground
from open_set_seg.label_spaces import STREETHAZARDS

H, W = 24, 16
ROAD, CAR = STREETHAZARDS.id_of("road"), STREETHAZARDS.id_of("car")
UNKNOWN = STREETHAZARDS.unknown_id
# Flat ground 1 m below the camera whose horizon is above the image.
GROUND_DEPTH = np.repeat((60.0 / (np.arange(H) + 2.0))[:, None], W, axis=1).astype(np.float32)


def make_obstacle(mask: np.ndarray) -> Obstacle:
    rows, columns = np.nonzero(mask)
    top, left = rows.min(), columns.min()
    inside = mask[top : rows.max() + 1, left : columns.max() + 1]
    return Obstacle(
        id=1, kind="unknown", distance=5.0, distance_sigma=0.1, valid_share=1.0,
        position=(0.0, 0.0, 5.0), width=1.0, height=1.0, mean_score=0.9, peak_score=0.9,
        nearest_classes=(), box=(int(left), int(top), inside.shape[1], inside.shape[0]),
        area_px=int(inside.sum()), outline=np.zeros((0, 2), np.int32), mask=inside,
    )  # fmt: skip


def make_result(labels, depth, masks=(), examined=True) -> FrameResult:
    labels = np.asarray(labels, np.uint8)
    depth = None if depth is None else np.asarray(depth, np.float32)
    return FrameResult(
        stamp_ns=0, frame_id="", examined=examined, ground=None,
        prediction=Prediction(labels, np.zeros(labels.shape, np.float32), labels, 0.5),
        obstacles=tuple(make_obstacle(mask) for mask in masks if mask.any()),
        range_map=None if depth is None else RangeMap(depth, depth * 0.01),
        camera=Camera(W, H, 20.0, 20.0, W / 2, 0.0),
    )  # fmt: skip


def walk(labels, depth, masks, robot_rows) -> np.ndarray:
    """The definition, pixel by pixel."""
    free = np.zeros(labels.shape, bool)
    inside = np.any(masks, axis=0) if len(masks) else np.zeros(labels.shape, bool)
    for column in range(labels.shape[1]):
        nearest = min(
            [d for d, hit in zip(depth[:, column], inside[:, column], strict=True)
             if hit and not math.isnan(d)],
            default=math.inf,
        )  # fmt: skip
        for row in range(labels.shape[0] - 1 - robot_rows, -1, -1):
            if inside[row, column] or labels[row, column] not in STREETHAZARDS.ground_ids:
                break
            if depth[row, column] > 0 and depth[row, column] < nearest:
                free[row, column] = True
    return free


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), robot_rows=st.integers(0, H + 1), number=st.integers(0, 3))
def test_free_ground_is_what_the_walk_says(seed, robot_rows, number):
    rng = np.random.default_rng(seed)
    choices = np.array([ROAD, *STREETHAZARDS.ground_ids, CAR, UNKNOWN])
    labels = rng.choice(choices, (H, W), p=[0.9, *[0.06 / 3] * 3, 0.02, 0.02])
    depth = np.where(rng.random((H, W)) < 0.1, np.nan, GROUND_DEPTH + rng.normal(0, 1, (H, W)))
    masks = []
    for _ in range(number):
        mask = np.zeros((H, W), bool)
        top, left = rng.integers(0, H - 3), rng.integers(0, W - 3)
        mask[top : top + 3, left : left + 3] = rng.random((3, 3)) < 0.7
        masks.append(mask)
    result = make_result(labels, depth, masks)
    found = find_free_ground(result, STREETHAZARDS, FreeGroundConfig(robot_rows=robot_rows))
    np.testing.assert_array_equal(found, walk(labels, depth.astype(np.float32), masks, robot_rows))


def road_with(top: int, bottom: int, left: int, right: int, label: int = UNKNOWN, depth=None):
    labels = np.full((H, W), ROAD, np.uint8)
    labels[top:bottom, left:right] = label
    mask = np.zeros((H, W), bool)
    mask[top:bottom, left:right] = True
    ranges = GROUND_DEPTH.copy()
    ranges[top:bottom, left:right] = GROUND_DEPTH[bottom - 1, 0] if depth is None else depth
    return labels, ranges, mask


def test_no_ray_reaches_an_obstacle_or_what_is_behind_it():
    labels, depth, mask = road_with(8, 12, 4, 9)
    free = find_free_ground(make_result(labels, depth, [mask]), STREETHAZARDS)
    assert not free[:12, 4:9].any()
    assert free[12:, 4:9].all(), "the ground before it is free"
    assert free[:, :4].all()
    assert free[:, 9:].all()


def test_an_obstacle_that_hangs_over_seen_ground_is_not_cleared_from_below():
    labels, depth, mask = road_with(2, 5, 6, 10, depth=6.0)
    free = find_free_ground(make_result(labels, depth, [mask]), STREETHAZARDS)
    assert depth[free[:, 6:10].nonzero()[0], 6].max() < 6.0
    assert (GROUND_DEPTH[5:, 6] >= 6.0).any(), "there is ground behind it to be refused"


@pytest.mark.parametrize("label", [CAR, UNKNOWN, STREETHAZARDS.id_of("sky")])
def test_what_is_no_obstacle_but_no_ground_either_ends_the_way(label):
    labels, depth, _ = road_with(10, 11, 3, 4, label)
    free = find_free_ground(make_result(labels, depth), STREETHAZARDS)
    assert not free[:11, 3].any()
    assert free[:, 2].all()


def test_ground_without_range_is_walked_over_and_not_given_out():
    labels, depth, _ = road_with(10, 14, 0, W, ROAD, depth=np.nan)
    free = find_free_ground(make_result(labels, depth), STREETHAZARDS)
    assert not free[10:14].any()
    assert free[:10].all()


def test_the_robot_s_own_rows_stand_in_nobody_s_way():
    labels, depth, _ = road_with(H - 3, H, 0, W, CAR)
    result = make_result(labels, depth)
    assert not find_free_ground(result, STREETHAZARDS).any()
    free = find_free_ground(result, STREETHAZARDS, FreeGroundConfig(robot_rows=3))
    assert free[: H - 3].all()
    assert not free[H - 3 :].any()


@pytest.mark.parametrize("lacking", ["examination", "range"])
def test_a_frame_that_proves_nothing_clears_nothing(lacking):
    labels, depth, _ = road_with(0, 1, 0, 1)
    result = make_result(
        labels, None if lacking == "range" else depth, examined=lacking != "examination"
    )
    assert not find_free_ground(result, STREETHAZARDS).any()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31), columns=st.integers(1, 2 * W), spacing=st.floats(1.05, 3.0)
)  # fmt: skip
def test_thinning_keeps_the_farthest_and_nothing_that_was_not_free(seed, columns, spacing):
    rng = np.random.default_rng(seed)
    config = FreeGroundConfig(columns, spacing)
    labels = np.where(rng.random((H, W)) < 0.05, CAR, ROAD)
    depth = np.where(rng.random((H, W)) < 0.4, np.nan, GROUND_DEPTH + rng.random((H, W)))
    depth = depth.astype(np.float32)
    result = make_result(labels, depth)
    free = find_free_ground(result, STREETHAZARDS)
    rows, chosen = thin_free_ground(result, STREETHAZARDS, config)
    assert free[rows, chosen].all()
    assert len(set(zip(rows, chosen, strict=True))) == rows.size
    assert np.unique(chosen).size <= columns
    step = -(-W // columns)
    offered = np.arange(W)[step // 2 :: step]
    np.testing.assert_array_equal(np.unique(chosen), offered[free[:, offered].any(axis=0)])
    for column in np.unique(chosen):
        of_column = np.sort(depth[rows[chosen == column], column])
        assert of_column[-1] == depth[free[:, column], column].max(), "the whole way is cleared"
        bands = np.floor(np.log(of_column.astype(float)) / math.log(spacing))
        assert np.unique(bands).size == of_column.size, "one a band of distances"


def test_impossible_settings_are_refused():
    for wrong in ({"max_columns": 0}, {"spacing": 1.0}, {"robot_rows": -1}, {"spacing": math.nan}):
        with pytest.raises(ValueError, match="are needed, not"):
            FreeGroundConfig(**wrong)

"""Steps after the score: brute force, what they may not do, and values without bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from open_set_seg.ground import GroundConfig, find_ground
from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.postprocessing import (
    POSTPROCESSING,
    BoundarySuppression,
    Erosion,
    GroundFocus,
)

STEPS = [GroundFocus(), Erosion(), Erosion(4), BoundarySuppression(), BoundarySuppression(1, 2)]
MODERATE = st.floats(-100.0, 100.0, width=32)
shapes = st.tuples(st.integers(1, 24), st.integers(1, 24))


def regions(random, shape, classes=12, size=5):
    """Classes in squares, so that there are borders and insides."""
    coarse = random.integers(0, classes, (shape[0] // size + 1, shape[1] // size + 1))
    full = np.kron(coarse, np.ones((size, size), int))[: shape[0], : shape[1]]
    return np.ascontiguousarray(full, np.uint8)


@st.composite
def cases(draw, elements=MODERATE):
    shape, seed = draw(shapes), draw(st.integers(0, 1000))
    anomaly = draw(arrays.arrays(np.float32, shape, elements=elements))
    size = draw(st.integers(1, 12))
    return anomaly, regions(np.random.default_rng(seed), shape, draw(st.integers(1, 12)), size)


def around(values, i, j, offsets):
    """Values at the offsets from a place that lie in the image."""
    height, width = values.shape
    places = ((i + y, j + x) for y, x in offsets)
    return [values[y, x] for y, x in places if 0 <= y < height and 0 <= x < width]


def square(radius):
    span = range(-radius, radius + 1)
    return [(y, x) for y in span for x in span]


def diamond(radius):
    return [(y, x) for y, x in square(radius) if abs(y) + abs(x) <= radius]


def brute_force_suppression(anomaly, nearest, step):
    """The definition, a pixel at a time in float64; infinite values stay and give nothing."""
    height, width = anomaly.shape
    places = list(np.ndindex(height, width))
    border = np.zeros((height, width), bool)
    for i, j in places:
        border[i, j] = max(around(nearest, i, j, diamond(1))) != min(
            around(nearest, i, j, square(1))
        )
    found = anomaly.astype(np.float64)
    for radius in range(step.width - 1, -1, -1):
        grown = np.array(
            [
                [any(around(border, i, j, diamond(radius))) for j in range(width)]
                for i in range(height)
            ]
        )
        before = found.copy()
        for i, j in places:
            if grown[i, j]:
                window = [
                    (min(max(i + y, 0), height - 1), min(max(j + x, 0), width - 1))
                    for y, x in square(1)
                ]
                outside = [before[place] for place in window if not grown[place]]
                outside = [value for value in outside if math.isfinite(value)]
                if outside and math.isfinite(before[i, j]):
                    found[i, j] = math.fsum(outside) / len(outside)
    if not step.dilation:
        return found
    smooth = found.copy()
    for i, j in places:
        weighted = []
        for y, x in square(3):
            row = min(max(i + step.dilation * y, 0), height - 1)
            column = min(max(j + step.dilation * x, 0), width - 1)
            if math.isfinite(found[row, column]):
                weighted.append((math.exp(-(y * y + x * x) / 2), found[row, column]))
        if math.isfinite(found[i, j]):
            total = math.fsum(weight for weight, _ in weighted)
            smooth[i, j] = math.fsum(weight * value for weight, value in weighted) / total
    return smooth


@settings(max_examples=40, deadline=None)
@given(
    cases(MODERATE | st.sampled_from([-math.inf, math.inf])), st.integers(0, 5), st.integers(0, 7)
)
def test_boundary_suppression_equals_its_definition(case, width, dilation):
    anomaly, nearest = case
    step = BoundarySuppression(width, dilation)
    found = step(anomaly, nearest, STREETHAZARDS, -math.inf)
    expected = brute_force_suppression(anomaly, nearest, step)
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-5)


def test_boundary_suppression_takes_an_anomalous_border_away():
    nearest = np.zeros((40, 60), np.uint8)
    nearest[:, 30:] = 3
    anomaly = np.full((40, 60), 0.1, np.float32)
    anomaly[:, 27:33] = 0.9
    assert BoundarySuppression()(anomaly, nearest, STREETHAZARDS, 0.0).max() < 0.1001
    assert BoundarySuppression(width=0)(anomaly, nearest, STREETHAZARDS, 0.0).max() > 0.3
    inside = np.zeros_like(nearest)
    kept = BoundarySuppression(dilation=0)(anomaly, inside, STREETHAZARDS, 0.0)
    np.testing.assert_array_equal(kept, anomaly)


@settings(max_examples=40, deadline=None)
@given(cases(st.floats(width=32, allow_nan=False)), st.integers(0, 6))
def test_erosion_of_the_confidence_is_the_largest_anomaly_around(case, radius):
    anomaly, nearest = case
    found = Erosion(radius)(anomaly, nearest, STREETHAZARDS, -math.inf)
    for i, j in np.ndindex(anomaly.shape):
        assert found[i, j] == max(around(anomaly, i, j, square(radius)))
    confidence = Erosion(radius)(-anomaly, nearest, STREETHAZARDS, -math.inf)
    assert (found >= anomaly).all()
    assert (-confidence <= anomaly).all()


def test_ground_focus_keeps_the_hull_of_the_ground():
    random = np.random.default_rng(0)
    anomaly = random.random((60, 80)).astype(np.float32)
    nearest = np.full((60, 80), STREETHAZARDS.classes.index("sky"), np.uint8)
    nearest[30:, 20:60] = STREETHAZARDS.classes.index("road")
    nearest[40:44, 30:34] = STREETHAZARDS.classes.index("car")
    ground = find_ground(nearest, STREETHAZARDS, GroundConfig())
    for lowest in (0.0, -math.inf):
        found = GroundFocus()(anomaly, nearest, STREETHAZARDS, lowest)
        np.testing.assert_array_equal(found[ground], anomaly[ground])
        assert (found[~ground] == lowest).all()
        assert found.dtype == np.float32
    assert ground[40:44, 30:34].all()
    assert not ground[:25].any()
    sky = np.full_like(nearest, STREETHAZARDS.classes.index("sky"))
    np.testing.assert_array_equal(GroundFocus()(anomaly, sky, STREETHAZARDS, 0.0), anomaly)


@pytest.mark.parametrize("step", STEPS, ids=str)
@settings(max_examples=30, deadline=None)
@given(case=cases(st.floats(0.0, 1.0, width=32)))
def test_a_step_keeps_shape_type_bounds_and_its_input(step, case):
    anomaly, nearest = case
    before = anomaly.copy(), nearest.copy()
    found = step(anomaly, nearest, STREETHAZARDS, 0.0)
    assert found is not anomaly
    assert not np.shares_memory(found, anomaly)
    assert found.shape == anomaly.shape
    assert found.dtype == np.float32
    assert ((found >= 0.0) & (found <= 1.0)).all()
    np.testing.assert_array_equal(anomaly, before[0])
    np.testing.assert_array_equal(nearest, before[1])


def test_the_largest_floats_are_smoothed_like_others():
    nearest = np.zeros((5, 8), np.uint8)
    nearest[:, 4:] = 1
    anomaly = np.full((5, 8), 3.0e38, np.float32)
    anomaly[0, 0] = -3.0e38
    step = BoundarySuppression(width=1, dilation=2)
    small = step(anomaly * np.float32(2.0**-40), nearest, STREETHAZARDS, -math.inf)
    found = step(anomaly, nearest, STREETHAZARDS, -math.inf)
    np.testing.assert_allclose(found * np.float32(2.0**-40), small, rtol=1e-6)


@pytest.mark.parametrize("step", STEPS, ids=str)
@settings(max_examples=30, deadline=None)
@given(case=cases(st.floats(width=32, allow_nan=False) | st.sampled_from([-math.inf, math.inf])))
def test_infinite_values_never_become_nan(step, case):
    anomaly, nearest = case
    found = step(anomaly, nearest, STREETHAZARDS, -math.inf)
    assert not np.isnan(found).any()
    if isinstance(step, BoundarySuppression):
        infinite = ~np.isfinite(anomaly)
        np.testing.assert_array_equal(found[infinite], anomaly[infinite])
        assert np.isfinite(found[~infinite]).all()


@pytest.mark.parametrize("step", STEPS[1:], ids=str)
def test_a_constant_map_stays_to_the_last_bit(step):
    random = np.random.default_rng(1)
    nearest = regions(random, (30, 40))
    for value in random.random(20).astype(np.float32):
        anomaly = np.full((30, 40), value)
        found = step(anomaly, nearest, STREETHAZARDS, 0.0)
        np.testing.assert_array_equal(found, anomaly)


@pytest.mark.parametrize("step", [Erosion(2), BoundarySuppression()], ids=str)
def test_steps_know_neither_left_nor_right_nor_a_common_shift(step):
    random = np.random.default_rng(3)
    anomaly = random.normal(size=(33, 47)).astype(np.float32)
    nearest = regions(random, (33, 47))
    found = step(anomaly, nearest, STREETHAZARDS, -math.inf)
    for turn in (np.fliplr, np.flipud, np.transpose):
        turned = step(
            *map(np.ascontiguousarray, (turn(anomaly), turn(nearest))), STREETHAZARDS, 0.0
        )
        np.testing.assert_allclose(turned, turn(found), atol=1e-5)
    shifted = step(anomaly + 8.0, nearest, STREETHAZARDS, -math.inf)
    np.testing.assert_allclose(shifted, found + 8.0, atol=1e-4)


def test_all_steps_are_registered():
    assert set(POSTPROCESSING.values()) == {type(step) for step in STEPS}

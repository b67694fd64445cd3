"""The near-face distance: noise must not pull it towards the camera, nor outliers decide it."""

import numpy as np
import pytest

from open_set_seg.obstacles import estimate_near_face
from open_set_seg.simulation import VALIDATION_SEEDS, render_still
from open_set_seg.stereo import RangeConfig, estimate_range

FOCAL_BASELINE = 563.2 * 0.22
SIGMA_PX = 0.2
REPETITIONS = 40


def plane(generator, near, count):
    return np.full(count, near)


def box(generator, near, count):
    """A front, and a side that recedes by a metre."""
    return np.where(generator.random(count) < 0.65, near, near + generator.random(count))


def slanted(generator, near, count):
    return near + 0.8 * generator.random(count)


def round_body(generator, near, count):
    return near + 0.4 * (1 - np.sqrt(1 - generator.random(count)))


def long_body(generator, near, count):
    return np.where(generator.random(count) < 0.4, near, near + 3 * generator.random(count))


SHAPES = [plane, box, slanted, round_body, long_body]
# Distance in metres and pixels of a body of about a square metre, as at 512 x 256.
VIEWS = [(6.0, 5000), (12.0, 1500), (25.0, 400), (45.0, 120)]


def sense(generator, depth, sigma_px=SIGMA_PX):
    disparity = FOCAL_BASELINE / depth + generator.normal(0, sigma_px, depth.size)
    disparity = np.round(disparity * 16) / 16
    disparity = disparity[disparity > 1]
    seen = (FOCAL_BASELINE / disparity).astype(np.float32)
    return seen, (seen**2 * sigma_px / FOCAL_BASELINE).astype(np.float32)


def errors(shape, near, count, contaminate=None):
    """(measured - true) / stated sigma, over repetitions."""
    generator = np.random.default_rng(0)
    found = []
    for _ in range(REPETITIONS):
        depth = shape(generator, near, count)
        truth = np.quantile(depth, 0.1)
        if contaminate is not None:
            depth = contaminate(generator, depth, near)
        distance, sigma = estimate_near_face(*sense(generator, depth))
        found.append((distance - truth) / sigma)
    return np.array(found)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("near", "count"), VIEWS)
def test_noise_does_not_bias_the_distance(shape, near, count):
    # The naive percentile is off by -1.2 here. What is left errs on the near, the safe side.
    assert -0.4 < np.mean(errors(shape, near, count)) < 0.2


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("near", "count"), VIEWS)
def test_the_stated_sigma_covers_the_error(shape, near, count):
    assert (np.abs(errors(shape, near, count)) < 2).mean() >= 0.95


def test_the_plain_percentile_would_fail_the_same_test():
    generator = np.random.default_rng(0)
    seen, sigma = sense(generator, np.full(400, 25.0))
    assert (np.quantile(seen, 0.1) - 25.0) / sigma[0] < -1


def far_border(generator, depth, near):
    return np.where(generator.random(depth.size) < 0.15, near + 25 * generator.random(), depth)


def ground_in_front(generator, depth, near):
    share = generator.random(depth.size)
    return np.where(share < 0.05, near * (1 - share), depth)


def speckle(generator, depth, near):
    return np.where(generator.random(depth.size) < 0.03, near / 2.5, depth)


@pytest.mark.parametrize("contaminate", [far_border, ground_in_front, speckle])
@pytest.mark.parametrize(("near", "count"), VIEWS)
def test_a_minority_of_foreign_ranges_shifts_the_distance_by_less_than_a_sigma(
    contaminate, near, count
):
    assert abs(np.median(errors(box, near, count, contaminate))) < 0.75


def test_a_stray_cluster_that_reaches_the_percentile_is_owned_up_to_in_sigma():
    generator = np.random.default_rng(0)
    depth = np.full(300, 20.0)
    _, clean_sigma = estimate_near_face(*sense(generator, depth))
    depth[:36] = 8.0
    distance, sigma = estimate_near_face(*sense(generator, depth))
    assert sigma > 3 * clean_sigma
    # In inverse depth, where the distribution is not skewed.
    assert abs(1 / distance - 1 / 20.0) < 3 * sigma / distance**2


@pytest.mark.parametrize("shape", SHAPES)
def test_exact_ranges_give_the_percentile_itself(shape):
    depth = shape(np.random.default_rng(0), 15.0, 2000).astype(np.float32)
    distance, _ = estimate_near_face(depth, np.full_like(depth, 1e-4))
    assert distance == pytest.approx(np.quantile(depth, 0.1), rel=0.002)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_and_identical_ranges_are_enough_for_an_estimate(count):
    depth = np.full(count, 15.0, np.float32)
    distance, sigma = estimate_near_face(depth, np.full(count, 0.3, np.float32))
    assert distance == pytest.approx(15.0, rel=1e-6)
    assert sigma == pytest.approx(0.3, rel=1e-3)


def test_the_estimate_lies_within_the_ranges():
    generator = np.random.default_rng(0)
    for _ in range(30):
        depth = generator.uniform(2, 60, generator.integers(1, 60)).astype(np.float32)
        distance, sigma = estimate_near_face(depth, (depth**2 * 0.002).astype(np.float32))
        assert depth.min() * 0.999 <= distance <= depth.max() * 1.001
        assert 0 < sigma < np.inf


def test_on_simulated_objects_exact_disparity_gives_their_distance_within_two_percent():
    relative = []
    for seed in VALIDATION_SEEDS[:8]:
        frame = render_still(seed, width=384, height=192)
        sent = frame.frame(exact=True)
        height, width = frame.labels.shape
        range_map, problems = estimate_range(
            sent.range_input, (height, width), sent.camera, RangeConfig()
        )
        assert problems == ()
        for thing in frame.obstacles:
            mask = thing.full_mask(width, height) & np.isfinite(range_map.depth)
            if mask.sum() >= 30 and 5 <= thing.visible_distance < 50:
                distance, _ = estimate_near_face(range_map.depth[mask], range_map.sigma[mask])
                relative.append(abs(distance / thing.visible_distance - 1))
    assert len(relative) >= 5
    assert np.median(relative) < 0.02

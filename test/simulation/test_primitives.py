"""Ray casting against oracles: closed forms, and brute force along the ray."""

import numpy as np
import pytest

from open_set_seg.simulation.rendering.primitives import (
    enter_ball,
    enter_box,
    enter_cylinder,
    enter_tapered_box,
)

STEPS = np.linspace(0.0, 8.0, 8001)


def random_rays(seed, count=400):
    """Rays from a shell around the unit solids towards points near them."""
    rng = np.random.default_rng(seed)
    start = rng.standard_normal((count, 3))
    start *= 4.0 / np.linalg.norm(start, axis=1, keepdims=True)
    direction = rng.uniform(-1.2, 1.2, (count, 3)) - start
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    as_columns = [tuple(np.float32(values).T) for values in (start, direction)]
    return as_columns[0], as_columns[1]


def first_inside(o, d, inside):
    """Brute force: the first of many small steps that lies inside; inf where there is none."""
    points = [o[axis][:, None] + d[axis][:, None] * STEPS for axis in range(3)]
    hits = inside(*points)
    return np.where(hits.any(axis=1), STEPS[hits.argmax(axis=1)], np.inf)


def in_box(x, y, z):
    return (np.abs(x) <= 1) & (np.abs(y) <= 1) & (np.abs(z) <= 1)


def in_cylinder(top):
    def inside(x, y, z):
        radius = 0.5 * (1 + top) + 0.5 * (1 - top) * y
        return (np.abs(y) <= 1) & (x * x + z * z <= radius * radius)

    return inside


def in_tapered(narrow_x, narrow_z, shift):
    def inside(x, y, z):
        rise = 0.5 * (1 + y)
        wide = narrow_x + (1 - narrow_x) * rise
        deep = narrow_z + (1 - narrow_z) * rise
        return (np.abs(y) <= 1) & (np.abs(x) <= wide) & (np.abs(z - shift * (1 - rise)) <= deep)

    return inside


def agree(found, expected):
    """Equal to a step, but for rays that graze an edge for less than a step."""
    both = np.isfinite(found) & np.isfinite(expected)
    assert np.abs(found[both] - expected[both]).max() < 2e-3
    assert (np.isfinite(found) == np.isfinite(expected)).mean() > 0.99
    assert 0.3 < both.mean() < 1.0


def test_box_against_brute_force():
    o, d = random_rays(0)
    agree(enter_box(o, d), first_inside(o, d, in_box))


@pytest.mark.parametrize("taper", [(0.8, 0.6, -0.1), (0.1, 0.9, 0.0), (1.0, 0.5, 0.4)])
def test_tapered_box_against_brute_force(taper):
    o, d = random_rays(1)
    columns = tuple(np.full(len(o[0]), value, np.float32) for value in taper)
    agree(enter_tapered_box(o, d, columns), first_inside(o, d, in_tapered(*taper)))


def test_untapered_tapered_box_is_the_box():
    o, d = random_rays(2)
    count = len(o[0])
    columns = (np.ones(count, np.float32), np.ones(count, np.float32), np.zeros(count, np.float32))
    np.testing.assert_allclose(enter_tapered_box(o, d, columns), enter_box(o, d), rtol=1e-4)


@pytest.mark.parametrize("top", [1.0, 0.6, 0.16, 0.0])
def test_cylinder_and_cone_against_brute_force(top):
    o, d = random_rays(3)
    found = enter_cylinder(o, d, np.full(len(o[0]), top, np.float32))
    agree(found, first_inside(o, d, in_cylinder(top)))


def test_ball_against_the_quadratic_formula():
    o, d = random_rays(4)
    entry, leave = enter_ball(o, d)
    start, way = np.float64(o).T, np.float64(d).T
    b = (start * way).sum(axis=1)
    root = b * b - (start * start).sum(axis=1) + 1.0
    hit = root >= 0.0
    assert (np.isfinite(entry) == hit).all()
    np.testing.assert_allclose(entry[hit], (-b - np.sqrt(np.maximum(root, 0.0)))[hit], atol=2e-3)
    np.testing.assert_allclose(leave[hit], (-b + np.sqrt(np.maximum(root, 0.0)))[hit], atol=2e-3)


def test_rays_along_the_axes_meet_faces_head_on():
    zero, three = np.float32([0.0]), np.float32([-3.0])
    one = np.float32([1.0])
    for axis in range(3):
        o = tuple(three if index == axis else zero for index in range(3))
        d = tuple(one if index == axis else zero for index in range(3))
        assert enter_box(o, d)[0] == pytest.approx(2.0)
        assert enter_ball(o, d)[0][0] == pytest.approx(2.0)
        assert enter_cylinder(o, d, one)[0] == pytest.approx(2.0)

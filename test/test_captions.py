"""What stands beside an obstacle: whoever it is, and no more digits than are known."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_drawing import followed, obstacle_at

from open_set_seg.captions import caption_obstacle, describe_distance

THING = obstacle_at(10, 10, 5, 5)


@pytest.mark.parametrize(
    ("distance", "sigma", "told"),
    [
        (12.34, 0.44, "12.3 ± 0.4 m"),
        (7.312, 0.052, "7.31 ± 0.05 m"),
        (7.312, 0.0, "7.31 ± 0.01 m"),
        (7.312, math.nan, "7.3 m"),
        (math.nan, 0.1, "? m"),
        (math.inf, math.nan, "? m"),
    ],
)
def test_a_distance_is_told_with_the_digits_that_it_has(distance, sigma, told):
    assert describe_distance(distance, sigma) == told


@given(st.floats(0.5, 500.0), st.floats(0.0, 100.0))
def test_what_is_told_is_the_distance_to_the_last_digit(distance, sigma):
    told, spread = describe_distance(distance, sigma).removesuffix(" m").split(" ± ")
    assert float(spread) > 0
    assert abs(float(told) - distance) <= 0.5 * 10.0 ** -len(told.partition(".")[2]) + 1e-9
    assert abs(float(told) - distance) <= max(sigma, 0.01)


def test_only_an_obstacle_that_is_followed_has_a_number():
    assert caption_obstacle(THING) == "12.3 ± 0.4 m"
    assert caption_obstacle(followed(THING, 7)) == "#7 12.3 ± 0.4 m"
    car = replace(THING, kind="car", distance=math.nan)
    assert caption_obstacle(car) == "car ? m"
    assert caption_obstacle(followed(car, 31)) == "#31 car ? m"

"""Pictures: colours mean what they say, and text is there, inside and legible."""

import math
import time
from dataclasses import fields

import cv2
import numpy as np
import pytest

from open_set_seg.drawing import colour_labels, draw_heatmap, draw_overlay
from open_set_seg.frame import FrameResult, Obstacle, Prediction
from open_set_seg.label_spaces import CITYSCAPES, STREETHAZARDS, UNKNOWN_COLOUR, UNLABELLED
from open_set_seg.tracking import TrackedObstacle


def obstacle_at(left, top, width, height, distance=12.3, sigma=0.4, kind="unknown"):
    nan = math.nan
    corners = [(0, 0), (width - 1, 0), (width - 1, height - 1), (0, height - 1)]
    return Obstacle(
        id=0, kind=kind, distance=distance, distance_sigma=sigma, valid_share=1.0,
        position=(nan, nan, nan), width=nan, height=nan, mean_score=0.9, peak_score=0.9,
        nearest_classes=(), box=(left, top, width, height), area_px=width * height,
        outline=np.array([(left + x, top + y) for x, y in corners], np.int32),
        mask=np.ones((height, width), np.bool_),
    )  # fmt: skip


def followed(obstacle: Obstacle, number: int) -> TrackedObstacle:
    values = {one.name: getattr(obstacle, one.name) for one in fields(Obstacle)}
    return TrackedObstacle(
        **{**values, "id": number}, state="tentative", age=1, age_s=0.0, seen=1, window=3
    )


def result_of(height, width, obstacles=(), examined=True):
    labels = np.zeros((height, width), np.uint8)
    labels[height // 2 :] = STREETHAZARDS.id_of("road")
    anomaly = np.zeros((height, width), np.float32)
    return FrameResult(
        0, "", Prediction(labels, anomaly, labels, 0.5), tuple(obstacles), examined,
        None, None, None,
    )  # fmt: skip


def overlay(height, width, obstacles=(), examined=True, grey=128):
    image = np.full((height, width, 3), grey, np.uint8)
    return draw_overlay(image, result_of(height, width, obstacles, examined), STREETHAZARDS)


@pytest.mark.parametrize("space", [STREETHAZARDS, CITYSCAPES])
def test_every_label_gets_its_own_colour(space):
    labels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    picture = colour_labels(labels, space).reshape(256, 3)
    for label, colour in enumerate(space.colours):
        assert tuple(picture[label]) == colour
    assert tuple(picture[space.unknown_id]) == UNKNOWN_COLOUR
    assert tuple(picture[UNLABELLED]) == (0, 0, 0)


def test_heatmap_colours_do_not_depend_on_the_rest_of_the_frame():
    low, high = np.full((4, 4), 0.3, np.float32), np.full((4, 4), 0.3, np.float32)
    low[0, 0], high[0, 0] = 0.0, 1.0
    np.testing.assert_array_equal(draw_heatmap(low)[2, 2], draw_heatmap(high)[2, 2])


def test_heatmap_grows_brighter_with_the_score_and_bounds_what_is_outside():
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[None]
    brightness = draw_heatmap(ramp)[0].astype(int) @ [299, 587, 114]
    assert (np.diff(brightness) >= 0).all()
    outside = draw_heatmap(np.array([[-1.0, 0.0, 1.0, 2.0]], np.float32))[0]
    np.testing.assert_array_equal(outside[0], outside[1])
    np.testing.assert_array_equal(outside[2], outside[3])
    # Inferno in RGB: the bright end is yellow, red above blue.
    assert outside[2][0] > outside[2][2]


def test_the_image_is_not_changed_and_the_overlay_blends_class_colours():
    image = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    before = image.copy()
    picture = draw_overlay(image, result_of(64, 96), STREETHAZARDS)
    np.testing.assert_array_equal(image, before)
    assert picture.shape == image.shape
    assert picture.dtype == np.uint8
    road = np.array(STREETHAZARDS.colours[STREETHAZARDS.id_of("road")])
    np.testing.assert_allclose(picture[-1], 0.6 * image[-1] + 0.4 * road, atol=1)


@pytest.mark.parametrize("width", [256, 512, 1280, 2048])
@pytest.mark.parametrize("grey", [0, 255])
def test_captions_contrast_with_any_background_at_any_size(width, grey):
    height = width // 2
    thing = obstacle_at(width // 2, height // 2, width // 10, height // 10)
    changed = overlay(height, width, [thing], grey=grey)
    plain = overlay(height, width, grey=grey)
    above = slice(0, height // 2 - 4)
    drawn = (changed[above] != plain[above]).any(axis=2)
    text = changed[above][drawn].astype(int).sum(axis=1)
    assert (text < 60).mean() > 0.3
    assert (text > 700).any()


@pytest.mark.parametrize("place", [(0, 0), (230, 0), (0, 100), (230, 100), (100, 0)])
def test_captions_stay_inside_the_image(place):
    left, top = place
    thing = obstacle_at(left, top, 26, 28)
    changed = (overlay(128, 256, [thing]) != overlay(128, 256)).any(axis=2)
    white = (overlay(128, 256, [thing]) > 240).all(axis=2) & changed
    rows, columns = np.nonzero(white)
    # The whole caption "12.3 +- 0.4 m": about a quarter of this image's width.
    assert np.ptp(columns) > 50
    assert rows.min() > 0
    assert rows.max() < 127


def test_captions_of_neighbours_do_not_cover_each_other():
    single = overlay(256, 512, [obstacle_at(200, 150, 20, 20)])
    both = overlay(256, 512, [obstacle_at(200, 150, 20, 20), obstacle_at(215, 150, 20, 20)])
    white_of_one = (single > 240).all(axis=2)
    white_of_both = (both > 240).all(axis=2)
    assert white_of_both[white_of_one].mean() > 0.95
    assert white_of_both.sum() > 1.8 * white_of_one.sum()


def test_captions_leave_the_obstacles_in_sight():
    lower, upper = obstacle_at(200, 150, 30, 20), obstacle_at(200, 125, 30, 20)
    both = overlay(256, 512, [lower, upper])
    for box in (lower, upper):
        left, top, width, height = box.box
        inside = both[top + 3 : top + height - 3, left + 3 : left + width - 3]
        # Neither plate nor text: the blended colours alone.
        assert (inside > 20).all()
        assert (inside < 200).all()


def test_unknown_distance_is_drawn_as_such():
    known = overlay(256, 512, [obstacle_at(200, 150, 20, 20)])
    unknown = overlay(256, 512, [obstacle_at(200, 150, 20, 20, math.nan, math.nan)])
    white = [(picture > 240).all(axis=2) for picture in (known, unknown)]
    assert 0 < white[1].sum() < 0.5 * white[0].sum()


def test_followed_obstacles_are_drawn_with_their_numbers(monkeypatch):
    written = []
    original = cv2.putText
    monkeypatch.setattr(
        cv2,
        "putText",
        lambda image, text, *rest: written.append(text) or original(image, text, *rest),
    )
    thing = obstacle_at(200, 150, 20, 20)
    plain, numbered = overlay(256, 512, [thing]), overlay(256, 512, [followed(thing, 17)])
    assert written == ["12.3 + 0.4 m", "#17 12.3 + 0.4 m"]  # the sign's lower line is drawn
    white = [(picture > 240).all(axis=2) for picture in (plain, numbered)]
    assert white[1].sum() > 1.1 * white[0].sum()


def test_a_frame_that_was_not_searched_does_not_look_clear():
    assert (overlay(256, 512, examined=False) != overlay(256, 512)).any()


def test_two_megapixels_are_drawn_fast():
    things = [obstacle_at(100 + 40 * k, 500 + 10 * k, 30, 40) for k in range(40)]
    image = np.zeros((1024, 2048, 3), np.uint8)
    result = result_of(1024, 2048, things)
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        draw_overlay(image, result, STREETHAZARDS)
        seconds.append(time.perf_counter() - begin)
    assert min(seconds) < 0.2

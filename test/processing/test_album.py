"""Thumbnails: the best moments of the nearest obstacles, small and bounded."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from open_set_seg.frame import FrameResult, Prediction
from open_set_seg.processing.album import (
    HEIGHT,
    SMALLEST,
    WIDTH,
    Album,
    AlbumError,
    _window,
    load_thumbnails,
)
from open_set_seg.tracking import TrackedObstacle

IMAGE = np.full((120, 200, 3), (40, 120, 200), np.uint8)


def seen(number, box, distance=10.0, state="confirmed", score=0.8):
    left, top, width, height = box
    corners = [(left, top), (left + width, top), (left + width, top + height), (left, top + height)]
    return TrackedObstacle(
        number, "unknown", distance, 0.1, 1.0, (0.0, 0.0, distance), 1.0, 1.0, score, score, (),
        box, width * height, np.array(corners, np.int32), np.ones((height, width), bool),
        state=state, age=1, age_s=0.0, seen=1, window=3,
    )  # fmt: skip


def result(*obstacles, anomaly=None):
    labels = np.zeros(IMAGE.shape[:2], np.uint8)
    anomaly = np.zeros(labels.shape, np.float32) if anomaly is None else anomaly
    prediction = Prediction(labels, anomaly, labels, 0.5)
    return FrameResult(0, "c", prediction, obstacles, True, None, None, None)


def moments(album):
    return {number: one.moment.frame for number, one in album.thumbnails.items()}


def test_the_largest_moment_is_kept_and_small_gains_are_not_worth_it():
    album = Album()
    for number, side in enumerate((10, 10, 20, 21, 40, 12)):
        album.add(number, IMAGE, result(seen(1, (50, 40, side, side))))
    assert moments(album) == {1: 4}


def test_an_obstacle_that_the_edge_cuts_says_less():
    album = Album()
    album.add(0, IMAGE, result(seen(1, (50, 40, 20, 20))))
    album.add(1, IMAGE, result(seen(1, (0, 40, 28, 20))))
    assert moments(album) == {1: 0}


def test_only_confirmed_obstacles_are_pictured():
    album = Album()
    album.add(0, IMAGE, result(seen(1, (5, 5, 9, 9), state="tentative"), seen(2, (9, 9, 9, 9))))
    assert list(album.thumbnails) == [2]


@given(st.lists(st.tuples(st.integers(1, 30), st.one_of(st.just(math.nan), st.floats(1, 80))),
    max_size=40), st.integers(1, 5))  # fmt: skip
def test_the_nearest_are_kept_and_never_more_than_allowed(rows, most):
    album = Album(most)
    for number, (one, distance) in enumerate(rows):
        album.add(number, IMAGE[:40, :40], result(seen(one, (5, 5, 4, 4), distance)))
    kept = set(album.thumbnails)
    assert len(kept) == min(most, len({one for one, _ in rows}))
    known = [distance for _, distance in rows if not math.isnan(distance)]
    if known:  # whatever else was let go, the nearest of all was not
        assert kept & {one for one, distance in rows if distance == min(known)}


def test_pictures_show_the_obstacle_in_the_middle_and_its_scores(tmp_path):
    anomaly = np.zeros(IMAGE.shape[:2], np.float32)
    anomaly[40:60, 90:110] = 1.0
    album = Album()
    album.add(7, IMAGE, result(seen(3, (90, 40, 20, 20)), anomaly=anomaly))
    album.save(tmp_path)
    one = load_thumbnails(tmp_path)[3]
    assert (one.moment.id, one.moment.frame, one.moment.distance) == (3, 7, 10.0)
    picture, heat = (
        cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        for data in (one.picture, one.heatmap)
    )
    assert picture.shape == heat.shape == (HEIGHT, WIDTH, 3)
    middle = heat[HEIGHT // 2, WIDTH // 2].astype(int)
    corner = heat[3, 3].astype(int)
    assert middle.sum() > 400  # yellow
    assert corner.sum() < 60  # dark violet
    inside = picture[HEIGHT // 2, WIDTH // 2, ::-1].astype(int)
    np.testing.assert_allclose(inside, IMAGE[0, 0], atol=12)
    outline = picture.astype(int)[:, :, 2].max()
    assert outline > 200  # of an orange that the image does not have


@given(st.integers(1, 300), st.integers(1, 300), st.data())
def test_a_window_lies_in_the_image_around_the_middle_of_the_box(width, height, data):
    left = data.draw(st.integers(0, width - 1))
    top = data.draw(st.integers(0, height - 1))
    box = (
        left,
        top,
        data.draw(st.integers(1, width - left)),
        data.draw(st.integers(1, height - top)),
    )
    x, y, columns, rows = _window(box, width, height)
    assert 0 <= x < x + columns <= width
    assert 0 <= y < y + rows <= height
    assert x <= left + box[2] // 2 < x + columns
    assert y <= top + box[3] // 2 < y + rows
    assert columns >= min(width, SMALLEST)


def test_a_folder_without_pictures_or_with_others_is_told_apart(tmp_path):
    assert load_thumbnails(tmp_path) == {}
    Album().save(tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "thumbnails").mkdir()
    (tmp_path / "thumbnails" / "thumbnails.json").write_text('{"format_version": 9}')
    with pytest.raises(AlbumError, match="format 9, expected 1"):
        load_thumbnails(tmp_path)


def test_a_picture_that_is_gone_is_left_out(tmp_path):
    album = Album()
    album.add(0, IMAGE, result(seen(1, (5, 5, 9, 9)), seen(2, (60, 60, 9, 9))))
    album.save(tmp_path)
    (tmp_path / "thumbnails" / "1_heatmap.jpg").unlink()
    assert list(load_thumbnails(tmp_path)) == [2]

"""The ground region: the convex hull of predicted ground."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from open_set_seg.ground import GroundConfig, find_ground
from open_set_seg.label_spaces import CITYSCAPES, STREETHAZARDS

BUILDING = STREETHAZARDS.id_of("building")
ROAD = STREETHAZARDS.id_of("road")
PAPER = GroundConfig(min_speck_share=0.0)


def labels_with(ground, shape=(40, 60)):
    labels = np.full(shape, BUILDING, np.uint8)
    labels[ground] = ROAD
    return labels


def distance_outside(points, hull_points):
    """How far each point lies outside the convex hull, by brute force over directions."""
    angles = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    directions = np.stack([np.cos(angles), np.sin(angles)])
    return ((points @ directions) - (hull_points @ directions).max(axis=0)).max(axis=1)


@settings(max_examples=40, deadline=None)
@given(hnp.arrays(np.bool_, (24, 31), elements=st.booleans(), fill=st.just(False)))
def test_the_region_is_the_convex_hull_of_the_ground_pixels(ground):
    region = find_ground(labels_with(ground, ground.shape), STREETHAZARDS, PAPER)
    if not ground.any():
        assert region is None
        return
    assert region.dtype == np.bool_
    assert region[ground].all()
    pixels = np.argwhere(np.ones_like(ground))
    outside = distance_outside(pixels, np.argwhere(ground)).reshape(ground.shape)
    # Half a pixel of freedom at the border: pixels are squares, the hull's edges are lines.
    assert region[outside < -0.75].all()
    assert not region[outside > 0.75].any()


def test_every_ground_class_counts_and_no_other():
    for space in (STREETHAZARDS, CITYSCAPES):
        for name in space.classes:
            labels = np.full((20, 20), space.id_of(name), np.uint8)
            region = find_ground(labels, space, GroundConfig())
            if name in space.ground:
                assert region.all()
            else:
                assert region is None


def test_a_hole_in_the_road_belongs_to_the_region():
    ground = np.zeros((40, 60), np.bool_)
    ground[20:] = True
    ground[25:32, 20:35] = False
    assert find_ground(labels_with(ground), STREETHAZARDS, GroundConfig())[20:].all()


def test_a_stray_pixel_in_the_sky_opens_the_gate_only_by_the_paper_definition():
    ground = np.zeros((200, 300), np.bool_)
    ground[120:] = True
    ground[2, 150] = True
    labels = labels_with(ground, ground.shape)
    assert find_ground(labels, STREETHAZARDS, PAPER)[60, 150]
    robust = find_ground(labels, STREETHAZARDS, GroundConfig())
    assert not robust[:120].any()
    assert robust[120:].all()


def test_specks_alone_are_no_ground():
    ground = np.zeros((200, 300), np.bool_)
    ground[150, ::20] = True
    assert find_ground(labels_with(ground, ground.shape), STREETHAZARDS, GroundConfig()) is None


def test_no_ground_is_none_and_off_is_the_whole_image():
    nothing = labels_with(np.zeros((40, 60), np.bool_))
    assert find_ground(nothing, STREETHAZARDS, GroundConfig()) is None
    assert find_ground(nothing, STREETHAZARDS, GroundConfig(mode="off")).all()


@pytest.mark.parametrize(
    "wrong", [{"mode": "cone"}, {"min_speck_share": 1.0}, {"min_speck_share": -0.1}]
)
def test_configuration_refuses_impossible_values(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        GroundConfig(**wrong)

"""WD-Pascal: what is pasted, where, and that it is always the same."""

from __future__ import annotations

from collections import Counter

import anomaly_trees as trees
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from training.datasets.frames import CorruptFileError, DatasetError
from training.datasets.registry import DATASETS, open_dataset
from training.datasets.wd_pascal import draw, list_cutouts

FRAMES = ("ar0001", "cn0002", "us0003")
CAT, COW, PERSON = 8, 10, 15
HEIGHT, WIDTH = 30, 50
# Instance masks of VOC: code and box (top, left, height, width) of every object with its class.
OBJECTS = {
    "000032": [(CAT, 1, (2, 3, 8, 10)), (PERSON, 2, (0, 20, 10, 10))],
    "000063": [(COW, 1, (5, 5, 12, 9)), (COW, 2, (1, 20, 3, 3))],
    "000121": [(PERSON, 1, (0, 0, 20, 30))],
    "000170": [(CAT, 1, (0, 0, 40, 6))],  # higher than the frames
}
USABLE = {("000032", 1), ("000063", 1)}


def write_palette(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values, mode="P")
    image.putpalette([value % 256 for value in range(0, 768 * 7, 7)])
    image.save(path)


def write_wd_pascal(root, frames=FRAMES, objects=OBJECTS):
    for name in frames:
        trees.save(root / "wd_val_01" / f"{name}_100000.png", trees.picture(name, HEIGHT, WIDTH))
        labels = trees.codes(name, range(34), HEIGHT, WIDTH)
        trees.save(root / "wd_val_01" / f"{name}_100000_labelIds.png", labels)
    voc = root / "VOCdevkit" / "VOC2007"
    for name, contents in objects.items():
        classes, instances = np.zeros((2, 40, 32), dtype=np.uint8)
        for class_code, instance, (top, left, height, width) in contents:
            window = (slice(top, top + height), slice(left, left + width))
            classes[window], instances[window] = class_code, instance
            # VOC draws a void outline; a corner of it makes the shape no rectangle.
            instances[top, left] = 255
        write_palette(voc / "SegmentationClass" / f"{name}.png", classes)
        write_palette(voc / "SegmentationObject" / f"{name}.png", instances)
        # A file called .jpg that is a PNG: pixels can then be compared without loss.
        trees.save(voc / "JPEGImages" / f"{name}.jpg", trees.picture(name, 40, 32), format="PNG")
    return root


@pytest.fixture
def root(tmp_path):
    return write_wd_pascal(tmp_path / "wd_pascal")


def find_pasted(frame, objects=OBJECTS):
    """The objects whose pixels lie under the mask, by comparing all of them."""
    rows, columns = np.nonzero(frame.outliers)
    found = []
    for name, contents in objects.items():
        source = trees.picture(name, 40, 32)
        for _, instance, (top, left, height, width) in contents:
            shape = np.ones((height, width), dtype=bool)
            shape[0, 0] = False
            own_rows, own_columns = np.nonzero(shape)
            if len(rows) != len(own_rows):
                continue
            pixels = source[own_rows + top, own_columns + left]
            if (frame.image[rows, columns] == pixels).all():
                found.append((name, instance))
    return found


def test_cutouts_are_the_instances_of_animals(root):
    voc = root / "VOCdevkit" / "VOC2007"
    found = {
        (each.id, each.instance, (each.top, each.left, each.height, each.width), each.area)
        for each in list_cutouts(voc)
    }
    assert found == {
        (name, instance, box, box[2] * box[3] - 1)
        for name, contents in OBJECTS.items()
        for class_code, instance, box in contents
        if class_code != PERSON
    }


def test_an_animal_of_enough_pixels_is_pasted_and_nothing_else_changes(root):
    for run in range(6):
        dataset = open_dataset("wd_pascal", root, run=run)
        assert list(dataset.ids) == [f"{name}_100000" for name in FRAMES]
        for index, name in enumerate(FRAMES):
            frame = dataset.load(index)
            assert frame.id == dataset.ids[index]
            (pasted,) = find_pasted(frame)
            assert pasted in USABLE
            assert (frame.outliers == 1).mean() >= 0.007
            assert set(np.unique(frame.outliers)) == {0, 1}
            untouched = frame.outliers == 0
            original = trees.picture(name, HEIGHT, WIDTH)
            np.testing.assert_array_equal(frame.image[untouched], original[untouched])


def test_every_usable_animal_and_position_comes_up(root):
    animals, corners = Counter(), set()
    for run in range(150):
        dataset = open_dataset("wd_pascal", root, run=run)
        frame = dataset.load(run % len(FRAMES))
        animals.update(find_pasted(frame))
        rows, columns = np.nonzero(frame.outliers)
        corners.add((rows.min() + frame.outliers.any(axis=1).sum(), columns.min()))
    # Binomial with p = 1/2: 150 draws stay within 75 +- 25 but for one case in 20,000.
    assert set(animals) == USABLE
    assert all(50 <= count <= 100 for count in animals.values())
    bottoms, lefts = ({corner[axis] for corner in corners} for axis in (0, 1))
    assert min(bottoms) <= 12
    assert max(bottoms) == HEIGHT
    assert min(lefts) == 0
    assert max(lefts) >= WIDTH - 10


def test_a_run_gives_the_same_frames_in_any_order_and_company(root, tmp_path):
    dataset = open_dataset("wd_pascal", root, run=3)
    alone = open_dataset("wd_pascal", write_wd_pascal(tmp_path / "other", FRAMES[2:]), run=3)
    first, again, elsewhere = dataset.load(2), open_dataset("wd_pascal", root, run=3), alone.load(0)
    again.load(0)
    for other in (again.load(2), elsewhere):
        np.testing.assert_array_equal(first.image, other.image)
        np.testing.assert_array_equal(first.outliers, other.outliers)


def test_frames_of_a_run_get_their_own_animals(root):
    runs = [open_dataset("wd_pascal", root, run=run) for run in range(4)]
    pasted = [{*find_pasted(dataset.load(0)), *find_pasted(dataset.load(1))} for dataset in runs]
    assert USABLE in pasted


def test_runs_and_frames_differ(root):
    masks = [
        open_dataset("wd_pascal", root, run=run).load(index).outliers.tobytes()
        for run in range(4)
        for index in range(len(FRAMES))
    ]
    assert len(set(masks)) == len(masks)


def test_a_frame_that_no_animal_suits_is_named(tmp_path):
    small = {"000063": [(COW, 1, (1, 20, 3, 3))]}  # 8 pixels of 1,500: 0.53 %
    dataset = open_dataset("wd_pascal", write_wd_pascal(tmp_path, objects=small))
    with pytest.raises(CorruptFileError, match="no animal suits a frame of 50 x 30"):
        dataset.load(0)
    enough = {"000063": [(COW, 1, (1, 20, 3, 4))]}  # 11 pixels: 0.73 %
    other = write_wd_pascal(tmp_path / "other", objects=enough)
    assert open_dataset("wd_pascal", other).load(0).outliers.sum() == 11


def test_without_animals_there_is_nothing_to_paste(tmp_path):
    root = write_wd_pascal(tmp_path, objects={"000121": OBJECTS["000121"]})
    with pytest.raises(DatasetError, match="no animal"):
        open_dataset("wd_pascal", root)


def test_masks_of_different_size_are_named(root):
    path = root / "VOCdevkit/VOC2007/SegmentationObject/000032.png"
    write_palette(path, np.ones((5, 5), dtype=np.uint8))
    with pytest.raises(CorruptFileError) as caught:
        open_dataset("wd_pascal", root)
    assert caught.value.path == path


def test_data_that_is_not_there_is_asked_for(tmp_path):
    with pytest.raises(DatasetError, match="wilddash") as caught:
        open_dataset("wd_pascal", tmp_path)
    assert "SegmentationObject/" in str(caught.value)
    assert DATASETS["wd_pascal"].source in str(caught.value)


@given(st.integers(1, 10**6), st.integers(0, 50), st.text(max_size=20))
def test_draws_are_in_range_and_repeatable(number, run, frame_id):
    drawn = draw(number, run, frame_id, "row")
    assert 0 <= drawn < number
    assert drawn == draw(number, run, frame_id, "row")


def test_draws_are_uniform():
    counts = np.bincount([draw(7, run, "frame", "row") for run in range(7000)], minlength=7)
    # Chi-squared with 6 degrees of freedom: above 22.5 in one case of a thousand.
    assert ((counts - 1000) ** 2 / 1000).sum() < 22.5

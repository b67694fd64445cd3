"""Training sets: data sets joined in one label space, corrupt files, class counts, crops."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
from anomaly_trees import codes, picture, save
from driving_trees import (
    VISTAS_1,
    WILDDASH,
    deep_picture,
    entries,
    write_ade20k,
    write_bsb,
    write_cityscapes,
    write_streethazards,
    write_vistas,
    write_wilddash,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from open_set_seg.label_spaces import BSB_OOD, CITYSCAPES, STREETHAZARDS
from training.datasets import open_dataset
from training.datasets.crop_sets import CropSet, open_crop_set
from training.datasets.frames import CorruptFileError, DatasetError, LabelledFrame
from training.datasets.training_sets import TrainingSet, load_or_count, open_training_set

CITY = ("train/aachen_000001_000019", "train/ulm_000002_000019", "train/ulm_000003_000019")
# The evaluated label ids of Cityscapes, in the order of the train ids.
CITY_IDS = (7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33)


@dataclass(frozen=True)
class Source:
    name: str
    root: str
    split: str | None = None


def sources(root, *names):
    return [Source(name, str(root)) for name in names]


def lookup(table):
    named = entries(table)
    return np.array([255 if n is None else CITYSCAPES.id_of(n) for _, n in named], np.uint8)


@pytest.fixture(scope="module")
def street_mix(tmp_path_factory):
    """Cityscapes, Vistas and WildDash 2 in one folder, with their labels by image content."""
    root = tmp_path_factory.mktemp("mix")
    write_cityscapes(root / "cityscapes", CITY, range(34))
    write_vistas(root / "vistas", VISTAS_1, "config.json", "labels")
    shown = write_wilddash(root / "wilddash2")
    city = np.full(34, 255, np.uint8)
    city[list(CITY_IDS)] = range(19)
    truth = [city[codes(frame.split("/")[1], range(34))] for frame in CITY]
    truth += [lookup(VISTAS_1)[codes(name, range(66))] for name in ("a", "b")]
    dash = np.append(lookup(WILDDASH), np.uint8(255))
    truth += [dash[shown[name]] for name in sorted(shown)]
    return root, truth


def test_the_street_mix_is_one_set_in_19_classes(street_mix):
    root, truth = street_mix
    mix = open_training_set(sources(root, "cityscapes", "vistas", "wilddash2"), CITYSCAPES)
    assert len(mix) == len(truth) == 7
    for index, expected in enumerate(truth):
        image, labels = mix.load(index)
        np.testing.assert_array_equal(labels, expected, strict=True)
        assert image.shape == (*labels.shape, 3)
        assert image.dtype == np.uint8
    np.testing.assert_array_equal(mix.load(0)[0], picture(CITY[0].split("/")[1]))
    for outside in (-1, 7):
        with pytest.raises(IndexError):
            mix.load(outside)


def test_threads_load_the_same_in_any_order(street_mix):
    mix = open_training_set(sources(street_mix[0], "wilddash2", "cityscapes"), CITYSCAPES)
    alone = [mix.load(index) for index in range(len(mix))]
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(len(mix)), 6))
    with ThreadPoolExecutor(8) as pool:
        for index, (image, labels) in zip(order, pool.map(mix.load, order), strict=True):
            np.testing.assert_array_equal(image, alone[index][0])
            np.testing.assert_array_equal(labels, alone[index][1])


@pytest.mark.parametrize("name", ["streethazards", "streethazards_13"])
def test_anomalies_and_other_are_unlabelled_in_streethazards(tmp_path, name):
    write_streethazards(tmp_path)
    tests = TrainingSet([open_dataset(name, tmp_path, "test")], STREETHAZARDS)
    table = np.array([255, 0, 1, 2, 255, 3, 4, 5, 6, 7, 8, 9, 10, 11, 255], np.uint8)
    for index, frame in enumerate(("t5/000001", "t5/000009", "t6/000001")):
        np.testing.assert_array_equal(tests.load(index)[1], table[codes(frame, range(1, 15))])


@pytest.mark.parametrize("name", ["bsb_ood", "bsb_aerial"])
def test_boats_and_harbors_are_never_taught(tmp_path, name):
    shown = {"1": range(1, 15), "2": (1, 5, 7)}
    truth = write_bsb(tmp_path, {"train": {"3": (1, 2)}, "val": {"4": (1,)}, "test": shown})
    tests = TrainingSet([open_dataset(name, tmp_path, "test")], BSB_OOD)
    # 5 is harbor, 7 is boat; -1 is a pixel of no segment.
    table = np.array([255, 0, 1, 2, 3, 255, 4, 255, 5, 6, 7, 8, 9, 10, 11, 255], np.uint8)
    for index, frame in enumerate(("test/1", "test/2")):
        np.testing.assert_array_equal(tests.load(index)[1], table[truth[frame]])


def test_what_the_truth_calls_an_outlier_is_unlabelled_whatever_its_class():
    class Overlaid:
        name, label_space, ids = "overlaid", CITYSCAPES, ("a",)

        def load(self, index):
            labels = np.arange(20, dtype=np.uint8).reshape(4, 5)
            outliers = np.where(labels % 3 == 0, 1, np.where(labels % 3 == 1, 255, 0))
            return LabelledFrame("a", np.zeros((4, 5, 3), np.uint8), labels, outliers)

    _, labels = TrainingSet([Overlaid()], CITYSCAPES).load(0)
    expected = np.arange(20, dtype=np.uint8)
    expected[::3] = 255
    expected[19] = 255  # the outlier's own id
    np.testing.assert_array_equal(labels.reshape(-1), expected)


def test_sets_that_cannot_teach_the_classes_are_refused(tmp_path):
    write_ade20k(tmp_path / "ade")
    write_cityscapes(tmp_path / "cityscapes", ("test/berlin_000000_000019",), range(34))
    with pytest.raises(DatasetError, match=r"ade20k: no frame of the class .*rider"):
        open_training_set(sources(tmp_path, "ade20k"), CITYSCAPES)
    with pytest.raises(DatasetError, match="no data set"):
        TrainingSet([], CITYSCAPES)
    with pytest.raises(DatasetError, match=r"'kityscapes': expected one of cityscapes, vistas"):
        open_training_set(sources(tmp_path, "kityscapes"), CITYSCAPES)
    with pytest.raises(DatasetError, match="has no split 'nights'"):
        open_training_set([Source("cityscapes", str(tmp_path), "nights")], CITYSCAPES)
    hidden = open_training_set([Source("cityscapes", str(tmp_path), "test")], CITYSCAPES)
    with pytest.raises(DatasetError, match=r"cityscapes: frame berlin_000000_000019 has no labels"):
        hidden.load(0)

    class Classless:
        name, label_space, ids = "masks", None, ("a",)

    with pytest.raises(DatasetError, match="masks: has no classes"):
        TrainingSet([Classless()], CITYSCAPES)


def test_missing_data_show_their_layout(tmp_path):
    with pytest.raises(DatasetError) as caught:
        open_training_set(sources(tmp_path, "wilddash2"), CITYSCAPES)
    assert "panoptic/*.png" in str(caught.value)
    assert "https://wilddash.cc" in str(caught.value)


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-40])
    return path


def city_image(root, frame):
    split, name = frame.split("/")
    return root / "leftImg8bit" / split / name.split("_")[0] / f"{name}_leftImg8bit.png"


@pytest.mark.parametrize("folder", ["training/images/b.jpg", "training/labels/b.png"])
def test_files_that_were_cut_short_are_named_before_training_begins(tmp_path, folder):
    write_vistas(tmp_path, VISTAS_1, "config.json", "labels")
    open_training_set(sources(tmp_path, "vistas"), CITYSCAPES)
    path = cut_short(tmp_path / folder)
    with pytest.raises(CorruptFileError) as caught:
        open_training_set(sources(tmp_path, "vistas"), CITYSCAPES)
    assert caught.value.path == path


def test_bytes_after_the_end_of_an_image_are_no_damage(tmp_path):
    write_vistas(tmp_path, VISTAS_1, "config.json", "labels")
    for path in (tmp_path / "training/images/b.jpg", tmp_path / "training/labels/a.png"):
        path.write_bytes(path.read_bytes() + bytes(300))
    assert len(open_training_set(sources(tmp_path, "vistas"), CITYSCAPES)) == 2


def test_files_cut_short_are_found_in_panoptic_sets_too(tmp_path):
    write_wilddash(tmp_path)
    path = cut_short(tmp_path / "panoptic" / "zz0001_100000.png")
    with pytest.raises(CorruptFileError) as caught:
        open_training_set(sources(tmp_path, "wilddash2"), CITYSCAPES)
    assert caught.value.path == path


def test_damage_inside_a_file_is_named_when_it_is_met(tmp_path):
    write_cityscapes(tmp_path, CITY, (*range(34), 99))
    frames = open_training_set(sources(tmp_path, "cityscapes"), CITYSCAPES)
    with pytest.raises(CorruptFileError, match=r"aachen_000001.*unexpected codes \[99\]"):
        frames.load(0)
    assert not frames.skipped


def test_skipped_frames_are_replaced_by_the_next_and_named_once(tmp_path, caplog):
    write_cityscapes(tmp_path, CITY, range(34))
    bad = [cut_short(city_image(tmp_path, frame)) for frame in CITY[1:]]
    frames = open_training_set(sources(tmp_path, "cityscapes"), CITYSCAPES, skip_corrupt=True)
    with caplog.at_level(logging.WARNING), ThreadPoolExecutor(8) as pool:
        loaded = list(pool.map(frames.load, [0, 1, 2] * 20))
    for image, _ in loaded:
        np.testing.assert_array_equal(image, picture(CITY[0].split("/")[1]))
    assert set(frames.skipped) == set(bad)
    assert len(caplog.records) == 2
    for path in bad:
        assert sum(str(path) in record.getMessage() for record in caplog.records) == 1


def test_a_set_of_corrupt_files_is_an_error_in_any_case(tmp_path):
    names = [f"train/ulm_{number:06}_000019" for number in range(24)]
    write_cityscapes(tmp_path, names, range(34))
    for name in names[:22]:
        cut_short(city_image(tmp_path, name))
    frames = open_training_set(sources(tmp_path, "cityscapes"), CITYSCAPES, skip_corrupt=True)
    np.testing.assert_array_equal(frames.load(2)[0], picture(names[22].split("/")[1]))
    with pytest.raises(CorruptFileError, match=names[0].split("/")[1]):
        frames.load(0)  # 22 corrupt frames in a row


def test_classes_are_counted_pixel_by_pixel(street_mix):
    root, truth = street_mix
    mix = open_training_set(sources(root, "cityscapes", "vistas", "wilddash2"), CITYSCAPES)
    for every, chosen in ((1, truth), (3, truth[::3])):
        expected = [sum(int((labels == k).sum()) for labels in chosen) for k in range(19)]
        assert mix.count_classes(19, every).tolist() == expected


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3000), st.integers(1, 9), st.integers(1, 200))
def test_large_sets_are_counted_on_an_even_sample(count, every, most):
    seen = []

    class Counted:
        name, label_space, ids = "counted", CITYSCAPES, range(count)

        def load(self, index):
            seen.append(index)
            return LabelledFrame(
                "", np.zeros((1, 1, 3), np.uint8), np.full((1, 1), index % 19, "u1")
            )

    TrainingSet([Counted()], CITYSCAPES).count_classes(19, every, most)
    seen.sort()
    assert len(seen) <= most
    gaps = set(np.diff(seen).tolist())
    assert len(gaps) <= 1
    assert seen[0] == 0
    gap = gaps.pop() if gaps else count
    assert gap >= min(every, count)
    assert seen[-1] + gap >= count
    # No further apart than the limit wants.
    assert gap in (every, count) or -(-count // (gap - 1)) > most


def test_counts_are_kept_until_the_frames_change(street_mix, tmp_path, monkeypatch):
    root, path = street_mix[0], tmp_path / "class_counts.json"
    mix = open_training_set(sources(root, "cityscapes", "vistas"), CITYSCAPES)
    counts = load_or_count(path, mix, every=1)
    np.testing.assert_array_equal(counts, mix.count_classes(19, every=1))
    with monkeypatch.context() as patch:
        patch.setattr(TrainingSet, "load", lambda *_: pytest.fail("frames are read again"))
        np.testing.assert_array_equal(load_or_count(path, mix, every=1), counts)
    np.testing.assert_array_equal(load_or_count(path, mix, every=2), mix.count_classes(19, 2))
    fewer = open_training_set(sources(root, "vistas"), CITYSCAPES)
    np.testing.assert_array_equal(load_or_count(path, fewer, every=1), fewer.count_classes(19, 1))
    for broken in ("{", "[]", json.dumps({"counted": None})):
        path.write_text(broken)
        np.testing.assert_array_equal(load_or_count(path, mix, every=1), counts)


class Scene:
    """One image whose colours are its coordinates; label 12 marks outliers."""

    def __init__(self, outliers):
        self.labels = np.where(outliers, 12, 255).astype(np.uint8)
        rows, columns = np.indices(outliers.shape)
        self.image = np.dstack([rows, columns, rows * 0]).astype(np.uint8)

    def __len__(self):
        return 1

    def load(self, index):
        return self.image, self.labels


@pytest.mark.parametrize("mirror", [0.0, 0.4])
def test_crops_are_everywhere_equally_often_but_never_on_outliers(mirror):
    outliers = np.zeros((9, 12), bool)
    outliers[3, 4] = outliers[8, 11] = True
    crops = CropSet(Scene(outliers), 4, outlier_id=12, mirror=mirror)
    free = {
        (top, left): 0
        for top in range(6)
        for left in range(9)
        if not outliers[top : top + 4, left : left + 4].any()
    }
    assert 20 < len(free) < 54
    turned, draws = 0, 4000
    for seed in range(draws):
        crop = crops.load(0, np.random.default_rng(seed))
        assert crop.shape == (4, 4, 3)
        mirrored = crop[0, 0, 1] > crop[0, -1, 1]
        turned += mirrored
        crop = crop[:, ::-1] if mirrored else crop
        top, left = crop[0, 0, :2].tolist()
        np.testing.assert_array_equal(crop, crops.images.image[top : top + 4, left : left + 4])
        free[top, left] += 1  # a KeyError is an outlier
    expected = draws / len(free)
    deviations = np.array([(count - expected) ** 2 / expected for count in free.values()])
    # Chi-square: mean = degrees of freedom, standard deviation = sqrt(2 dof).
    dof = len(free) - 1
    assert abs(deviations.sum() - dof) < 4 * np.sqrt(2 * dof)
    assert abs(turned / draws - mirror) < 0.03


def test_crops_fit_or_are_refused():
    with pytest.raises(DatasetError, match="image 0 of 12 x 9 is too small for 10"):
        CropSet(Scene(np.zeros((9, 12), bool)), 10, 12).load(0, np.random.default_rng(0))
    full = CropSet(Scene(np.zeros((9, 9), bool)), 9, 12, mirror=0.0)
    np.testing.assert_array_equal(full.load(0, np.random.default_rng(0)), full.images.image)
    with pytest.raises(DatasetError, match="no place of 5 x 5 without an outlier"):
        CropSet(Scene(np.indices((9, 12)).sum(0) % 4 == 0), 5, 12).load(0, np.random.default_rng(0))


@pytest.mark.parametrize("short_side", [50, 200, 400])
def test_crops_of_a_resized_image_see_as_much_of_it(short_side):
    crops = CropSet(Scene(np.zeros((200, 240), bool)), 24, 12, 0.0, short_side)
    crop = crops.load(0, np.random.default_rng(1)).astype(float)
    step = 200 / short_side  # image pixels a crop pixel
    for axis in (0, 1):
        slope = np.diff(crop[2:-2, 2:-2, axis], axis=axis).mean()
        assert slope == pytest.approx(step, rel=0.06)


def test_crops_of_street_scenes_need_no_labels(tmp_path):
    write_vistas(tmp_path, VISTAS_1, "config.json", "labels")
    for name in "ab":
        save(tmp_path / "training/labels" / f"{name}.png", np.full((3, 3), 200, np.uint8))
    crops = open_crop_set(sources(tmp_path, "vistas"), 8)
    assert len(crops) == 2
    assert crops.load(1, np.random.default_rng(0)).shape == (8, 8, 3)
    cut_short(tmp_path / "training/images/a.jpg")
    with pytest.raises(CorruptFileError, match=r"a\.jpg"):
        open_crop_set(sources(tmp_path, "vistas"), 8)
    skipping = open_crop_set(sources(tmp_path, "vistas"), 24, skip_corrupt=True)
    kept = open_dataset("vistas", tmp_path, "test")  # any picture of that size
    assert skipping.load(0, np.random.default_rng(0)).shape == kept.load(0).image[:, :24].shape


def test_crops_of_aerial_images_show_no_boat(tmp_path):
    truth = write_bsb(tmp_path, {"train": {"1": (1, 2)}, "val": {"2": (1,)}, "test": {"3": (1,)}})
    crops = open_crop_set(sources(tmp_path, "bsb_ood"), 8, mirror=0.0)
    assert len(crops) == 1
    # All 14 categories are scattered, so that only single pixels are free of boats and harbors.
    truth = write_bsb(tmp_path, {"test": {"3": range(1, 15)}})["test/3"]
    boats = open_crop_set([Source("bsb_ood", str(tmp_path), "test")], 2, mirror=0.0)
    shown = (np.minimum(deep_picture("3"), 300) * (255 / 300)).round()
    for seed in range(40):
        crop = boats.load(0, np.random.default_rng(seed))
        places = [
            (top, left)
            for top in range(23)
            for left in range(39)
            if np.array_equal(shown[top : top + 2, left : left + 2], crop)
        ]
        assert places
        for top, left in places:
            assert not np.isin(truth[top : top + 2, left : left + 2], (5, 7)).any()

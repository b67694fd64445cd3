"""The cache of rendered scenes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from open_set_seg.simulation import TRAINING_SEEDS, render_still
from training.datasets import simulation
from training.datasets.simulation import View, prepare_scenes, scene_path, view_digest

VIEW = View(width=96, height=48, supersampling=1, unknown_objects=False)
SEEDS = TRAINING_SEEDS[:3]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return cache, prepare_scenes(cache, SEEDS, VIEW, workers=2, progress=False)


def test_a_sample_is_the_rendered_scene(prepared):
    _, dataset = prepared
    assert len(dataset) == 3
    for index, seed in enumerate(SEEDS):
        image, labels = dataset.load(index)
        frame = render_still(seed, 96, 48, unknown_objects=False, supersampling=1)
        np.testing.assert_array_equal(image, frame.left)
        np.testing.assert_array_equal(labels, frame.labels)


def test_training_scenes_hold_no_unknown_object(prepared):
    _, dataset = prepared
    for index in range(len(dataset)):
        assert dataset.load(index)[1].max() < 12


def test_what_is_cached_is_not_rendered_again(prepared, monkeypatch):
    cache, dataset = prepared
    monkeypatch.setattr(simulation, "render_scene", None)
    again = prepare_scenes(cache, SEEDS, VIEW, progress=False)
    np.testing.assert_array_equal(again.load(1)[0], dataset.load(1)[0])


def test_only_what_is_missing_is_rendered(prepared):
    cache, _ = prepared
    folder = cache / view_digest(VIEW)
    kept = scene_path(folder, SEEDS[0]).stat().st_mtime_ns
    scene_path(folder, SEEDS[2]).unlink()
    prepare_scenes(cache, SEEDS, VIEW, workers=1, progress=False)
    assert scene_path(folder, SEEDS[0]).stat().st_mtime_ns == kept
    assert scene_path(folder, SEEDS[2]).is_file()
    assert sorted(p.name for p in folder.iterdir()) == sorted(f"{s}.npy" for s in SEEDS)


@pytest.mark.parametrize(
    "change", [{"width": 97}, {"height": 50}, {"supersampling": 2}, {"unknown_objects": True}]
)
def test_another_view_has_another_cache(change):
    assert view_digest(dataclasses.replace(VIEW, **change)) != view_digest(VIEW)


def test_another_renderer_has_another_cache(tmp_path, monkeypatch):
    before = view_digest(VIEW)
    (tmp_path / "__init__.py").write_text("render = 1\n")
    monkeypatch.setattr(simulation.simulation, "__file__", str(tmp_path / "__init__.py"))
    first = view_digest(VIEW)
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "car.py").write_text("wheels = 4\n")
    second = view_digest(VIEW)
    (tmp_path / "parts" / "car.py").write_text("wheels = 5\n")
    assert len({before, first, second, view_digest(VIEW)}) == 4


def test_classes_are_counted_over_all_pixels(prepared):
    _, dataset = prepared
    counts = dataset.count_classes(12, every=1)
    assert counts.sum() == 3 * 96 * 48
    labels = np.concatenate([dataset.load(i)[1].ravel() for i in range(3)])
    np.testing.assert_array_equal(counts, np.bincount(labels, minlength=12))

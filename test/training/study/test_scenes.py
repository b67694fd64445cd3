"""Test scenes of the study: what is true of them, their cache, and the seal."""

from __future__ import annotations

import dataclasses
import hashlib
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

import open_set_seg.simulation as simulation
from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.simulation import (
    DEVELOPMENT_FAMILIES,
    TEST_SEEDS,
    TRAINING_SEEDS,
    VALIDATION_SEEDS,
    render_still,
)
from training.datasets.simulation import View, view_digest
from training.study.measuring import scenes as module
from training.study.measuring.scenes import (
    DEVELOPMENT_SEEDS,
    SEALED_SEEDS,
    SceneView,
    SealedError,
    prepare_study_scenes,
    render_study_scene,
    study_scene_path,
)

VIEW = SceneView(96, 48, 1, "development")
NONE = dataclasses.replace(VIEW, families="none")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return prepare_study_scenes(cache, 3, VIEW, workers=1, progress=False)


@pytest.fixture(scope="module")
def empty_scenes(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return prepare_study_scenes(cache, 3, NONE, workers=0, progress=False)


def test_seeds_of_all_uses_are_disjoint():
    uses = [DEVELOPMENT_SEEDS, SEALED_SEEDS, TEST_SEEDS[:200], TRAINING_SEEDS, VALIDATION_SEEDS]
    for one, other in combinations(uses, 2):
        assert one[-1] < other[0] or other[-1] < one[0]
    for seeds in (DEVELOPMENT_SEEDS, SEALED_SEEDS):
        assert seeds[0] in TEST_SEEDS
        assert seeds[-1] in TEST_SEEDS


def test_a_scene_is_the_rendered_frame_with_its_truth(prepared):
    assert len(prepared) == 3
    assert prepared.families == "development"
    for seed, scene in zip(DEVELOPMENT_SEEDS, prepared, strict=False):
        frame = render_still(seed, 96, 48, supersampling=1)
        np.testing.assert_array_equal(scene.image, frame.left)
        np.testing.assert_array_equal(scene.labels, frame.labels)
        np.testing.assert_array_equal(scene.depth, frame.depth)
        assert scene.depth.dtype == np.float32
        assert np.isnan(scene.depth[scene.labels == STREETHAZARDS.id_of("sky")]).all()


def test_objects_are_what_their_pixels_say(prepared):
    assert sum(len(scene.objects) for scene in prepared) >= 3
    for scene in prepared:
        np.testing.assert_array_equal(scene.ids > 0, scene.labels == STREETHAZARDS.unknown_id)
        assert {each.id for each in scene.objects} == set(np.unique(scene.ids)) - {0}
        for each in scene.objects:
            mask = scene.ids == each.id
            assert each.visible_px == mask.sum()
            expected = np.percentile(scene.depth[mask].astype(np.float64), 10.0)
            assert each.visible_distance == pytest.approx(expected, rel=1e-5)
            assert each.family in DEVELOPMENT_FAMILIES
            assert isinstance(each.camouflaged, bool)


def test_without_objects_it_is_the_same_scene(prepared, empty_scenes):
    for scene, empty in zip(prepared, empty_scenes, strict=True):
        assert empty.labels.max() < STREETHAZARDS.num_classes
        assert not empty.objects
        assert not empty.ids.any()
        known = scene.ids == 0
        np.testing.assert_array_equal(scene.labels[known], empty.labels[known])
        np.testing.assert_array_equal(scene.depth[known], empty.depth[known])


def test_an_interrupted_rendering_is_continued(tmp_path, monkeypatch):
    save, calls = np.savez, []

    def interrupted(file, **arrays):
        calls.append(file)
        if len(calls) == 2:
            file.write(b"half a scene")
            raise KeyboardInterrupt
        save(file, **arrays)

    monkeypatch.setattr(np, "savez", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare_study_scenes(tmp_path, 3, NONE, workers=0, progress=False)
    folder = tmp_path / view_digest(NONE)
    first, second, third = (study_scene_path(folder, seed) for seed in DEVELOPMENT_SEEDS[:3])
    assert first.is_file()
    assert not second.exists()
    assert not third.exists()
    before = first.stat().st_mtime_ns
    scenes = prepare_study_scenes(tmp_path, 3, NONE, workers=0, progress=False)
    assert first.stat().st_mtime_ns == before
    assert len(calls) == 4  # the interrupted one and the third again, the first not
    assert [scene.image.shape for scene in scenes] == [(48, 96, 3)] * 3
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        path.name for path in (first, second, third)
    )


def test_digests_of_existing_caches_stay():
    text = "View(width=384, height=192, supersampling=2, unknown_objects=False)"
    digest = hashlib.sha256(text.encode())
    for source in sorted(Path(simulation.__file__).parent.rglob("*.py")):
        digest.update(source.name.encode() + source.read_bytes())
    assert view_digest(View(384, 192, 2, False)) == digest.hexdigest()[:16]


@pytest.mark.parametrize(
    "change", [{"width": 97}, {"height": 50}, {"supersampling": 2}, {"families": "none"}]
)
def test_another_view_has_another_cache(change):
    assert view_digest(dataclasses.replace(VIEW, **change)) != view_digest(VIEW)


@pytest.mark.parametrize("count", [0, len(DEVELOPMENT_SEEDS) + 1])
def test_scenes_beyond_the_seeds_are_refused(tmp_path, count):
    with pytest.raises(ValueError, match="scenes can be had"):
        prepare_study_scenes(tmp_path, count, VIEW, progress=False)


def test_sealed_families_cannot_be_rendered_without_saying_so(tmp_path):
    with pytest.raises(SealedError):
        SceneView(96, 48, 1, "sealed")
    with pytest.raises(SealedError):
        dataclasses.replace(VIEW, families="sealed")
    with pytest.raises(TypeError):
        SceneView(96, 48, 1)
    with pytest.raises(ValueError, match="nothing to unseal"):
        dataclasses.replace(VIEW, unsealed=True)
    with pytest.raises(ValueError, match="families are"):
        SceneView(96, 48, 1, "seled")
    assert not list(tmp_path.iterdir())


def test_who_unseals_gets_sealed_families_on_their_own_seeds(tmp_path, monkeypatch):
    asked = []

    def refuse(seed, config):
        asked.append((seed, config.families))
        raise NotImplementedError("nobody looks at them here")

    monkeypatch.setattr(module, "build_scene", refuse)
    view = SceneView(96, 48, 1, "sealed", unsealed=True)
    with pytest.raises(NotImplementedError):
        prepare_study_scenes(tmp_path, 2, view, workers=0, progress=False)
    assert asked == [(SEALED_SEEDS[0], "sealed")]
    with pytest.raises(ValueError, match="no seed of scenes"):
        render_study_scene(tmp_path, DEVELOPMENT_SEEDS[0], view)
    with pytest.raises(ValueError, match="no seed of scenes"):
        render_study_scene(tmp_path, SEALED_SEEDS[0], VIEW)


def test_objects_of_other_families_are_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(module.FAMILY_NAMES, "development", ("elephant",))
    with pytest.raises(ValueError, match="instead of families 'development'"):
        render_study_scene(tmp_path, DEVELOPMENT_SEEDS[0], VIEW)
    assert not list(tmp_path.iterdir())

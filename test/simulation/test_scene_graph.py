"""The scene graph: determinism, independence of its streams, and what it promises to hold."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.simulation import (
    DEVELOPMENT_FAMILIES,
    SEALED_FAMILIES,
    TEST_SEEDS,
    TRAINING_SEEDS,
    VALIDATION_SEEDS,
    DriveConfig,
    SceneConfig,
    build_scene,
)
from open_set_seg.simulation.objects.unknown_objects import place_unknown_objects
from open_set_seg.simulation.streams import open_stream

ROOT = Path(__file__).parents[2]


def test_same_seed_gives_same_digest_and_another_seed_another():
    assert build_scene(7).digest() == build_scene(7).digest()
    assert build_scene(7).digest() != build_scene(8).digest()
    assert build_scene(7).digest() != build_scene(7, SceneConfig(length=160.0)).digest()


@pytest.mark.parametrize("hash_seed", ["0", "12345"])
def test_digest_survives_another_process_and_hash_seed(hash_seed):
    code = "from open_set_seg.simulation import build_scene; print(build_scene(11).digest())"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == build_scene(11).digest()


def test_streams_are_independent_by_seed_and_key():
    draws = {
        (seed, key): open_stream(seed, key).random(4).tolist()
        for seed in (1, 2)
        for key in ("a", "b")
    }
    assert len({tuple(values) for values in draws.values()}) == 4
    assert open_stream(1, "a").random(4).tolist() == draws[1, "a"]


def test_unknown_objects_change_nothing_else():
    with_unknown, without = build_scene(5), build_scene(5, SceneConfig(unknown_objects=False))
    known = tuple(entry for entry in with_unknown.objects if not entry.unknown_id)
    assert known == without.objects
    assert len(with_unknown.objects) > len(known)
    assert with_unknown.decals == without.decals
    assert with_unknown.light == without.light


def test_a_longer_world_keeps_its_beginning():
    """Objects have streams of their own, so a longer drive starts in the same street."""
    short = build_scene(5, SceneConfig(length=100.0, unknown_objects=False))
    long = build_scene(5, SceneConfig(length=200.0, unknown_objects=False))
    by_key = {entry.key: entry for entry in long.objects}
    assert all(by_key[entry.key] == entry for entry in short.objects)


def test_keys_are_unique():
    graph = build_scene(9)
    keys = [entry.key for entry in graph.objects] + [decal.key for decal in graph.decals]
    assert len(keys) == len(set(keys))


def test_family_groups_are_disjoint_and_large_enough():
    assert len(DEVELOPMENT_FAMILIES) >= 6
    assert len(SEALED_FAMILIES) >= 4
    assert not set(DEVELOPMENT_FAMILIES) & set(SEALED_FAMILIES)


def test_sealed_families_appear_only_when_asked_for():
    road = build_scene(0).road
    for group, families in (("development", DEVELOPMENT_FAMILIES), ("sealed", SEALED_FAMILIES)):
        config = SceneConfig(families=group)
        seen = {
            entry.kind
            for seed in range(60)
            for entry in place_unknown_objects(seed, config, road, road.lanes - 1, ())
        }
        assert seen == set(families)
    assert SceneConfig().families == DriveConfig().families == "development"


def test_stills_hold_one_to_three_unknown_objects_on_the_road():
    distances = []
    road = build_scene(0).road
    for seed in range(200):
        unknown = place_unknown_objects(seed, SceneConfig(), road, road.lanes - 1, ())
        assert 1 <= len(unknown) <= 3
        assert [entry.unknown_id for entry in unknown] == list(range(1, len(unknown) + 1))
        for entry in unknown:
            assert abs(entry.lateral) < road.half_width
            assert all(part.label == STREETHAZARDS.unknown_id for part in entry.parts)
            distances.append(entry.distance)
    assert min(distances) >= 5.0
    assert max(distances) <= 50.0
    # Log-uniform: half of them nearer than the geometric mean of the limits.
    assert np.mean(np.array(distances) < np.sqrt(5.0 * 50.0)) == pytest.approx(0.5, abs=0.08)


def test_known_objects_never_carry_the_unknown_label():
    for seed in range(5):
        for entry in build_scene(seed).objects:
            if not entry.unknown_id:
                assert all(part.label < STREETHAZARDS.num_classes for part in entry.parts)


def test_camouflaged_share():
    road = build_scene(0).road
    unknown = [
        entry
        for seed in range(300)
        for entry in place_unknown_objects(seed, SceneConfig(), road, road.lanes - 1, ())
    ]
    assert np.mean([entry.camouflaged for entry in unknown]) == pytest.approx(0.35, abs=0.06)
    none = place_unknown_objects(4, SceneConfig(camouflaged_share=0.0), road, road.lanes - 1, ())
    assert none
    assert not any(entry.camouflaged for entry in none)


def test_a_drive_meets_an_unknown_object_every_spacing():
    graph = build_scene(2, DriveConfig(seed=2, frames=200).scene())
    places = [entry.distance for entry in graph.objects if entry.unknown_id]
    gaps = np.diff(places)
    assert len(places) > 10
    assert gaps.min() >= 12.0
    assert np.median(gaps) <= 20.0


def test_seed_ranges_are_disjoint():
    ranges = (TRAINING_SEEDS, VALIDATION_SEEDS, TEST_SEEDS)
    for index, first in enumerate(ranges):
        for second in ranges[index + 1 :]:
            assert first.stop <= second.start or second.stop <= first.start


@pytest.mark.parametrize(
    "settings",
    [
        {"length": 1.0},
        {"length": float("nan")},
        {"families": "secret"},
        {"camouflaged_share": 1.5},
        {"spacing": (20.0, 12.0)},
    ],
)
def test_scene_config_refuses(settings):
    with pytest.raises(ValueError):
        SceneConfig(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"frames": 0},
        {"rate_hz": 0.0},
        {"speed": -1.0},
        {"width": 8},
        {"supersampling": 0},
        {"families": "all"},
        {"spacing": (1.0, 2.0)},
    ],
)
def test_drive_config_refuses(settings):
    with pytest.raises(ValueError):
        DriveConfig(**settings)


def test_negative_seed_is_refused():
    with pytest.raises(ValueError, match="seed"):
        build_scene(-1)

"""Checkpoints: round trip, and every kind of file that is none."""

from __future__ import annotations

import dataclasses
import json
import pickle
import struct

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from open_set_seg.checkpoint import (
    DEMO_CHECKPOINT,
    CheckpointError,
    CheckpointMetadata,
    add_statistics,
    hash_weights,
    load_checkpoint,
    load_statistics,
    read_metadata,
    save_checkpoint,
)
from open_set_seg.label_spaces import CITYSCAPES, STREETHAZARDS, LabelSpace
from open_set_seg.models import build_model
from open_set_seg.scores import LogisticMap, ScoreStatistics

OWN_SPACE = LabelSpace("harbour", ("water", "quay"), ((0, 0, 200), (90, 90, 90)), ("quay",))
MAP = {"location": 0.0, "scale": 1.0}
# Of a network with 12 classes and 8 channels of features.
STATISTICS = ScoreStatistics(
    max_logit_mean=torch.arange(12.0),
    max_logit_deviation=torch.full((12,), 2.0),
    feature_mean=torch.randn(12, 8, generator=torch.Generator().manual_seed(0)),
    feature_precision=torch.eye(8),
    density_weight=torch.full((12,), 1 / 12),
    density_mean=torch.zeros(12, 8),
    density_cholesky=torch.eye(8).repeat(12, 1, 1),
    activation_levels=torch.tensor([0.9, 0.95, 0.99]),
    activation_quantiles=torch.tensor([0.5, 1.0, 2.0]),
)


def describe(space=STREETHAZARDS, **changes):
    fields = {
        "architecture": "swiftnet_rn18",
        "label_space": space,
        "package_version": "1.2.3",
        "width": 0.0625,
        "threshold": 0.37,
        "threshold_rule": "by hand",
        "recipe": {"name": "test", "data": {"scale": [0.5, 2.0]}},
        "seed": 7,
        "code_revision": "abc",
        "metrics": {"mIoU": 0.5},
    }
    return CheckpointMetadata(**(fields | changes))


def network(space=STREETHAZARDS, **options):
    torch.manual_seed(0)
    return build_model("swiftnet_rn18", space.num_classes, 0.0625, **options).eval()


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, network(), describe())
    return path


def edit(path, change):
    """Rewrite the metadata of a checkpoint; ``change`` gets the decoded JSON."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    content = json.loads(header["__metadata__"]["open_set_seg"])
    content = change(content) or content
    header["__metadata__"]["open_set_seg"] = json.dumps(content)
    encoded = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + data[8 + length :])


@pytest.mark.parametrize(
    "metadata",
    [
        describe(),
        describe(CITYSCAPES, seed=None, code_revision=None, metrics={}, recipe={}),
        describe(OWN_SPACE, outlier_head=True),
        describe(score="energy", temperature=1.0, score_map=LogisticMap(-4.0, 1.5)),
        describe(score_maps={"react+energy": LogisticMap(-4.0, 1.5)}, statistics_source="roads"),
    ],
    ids=["own package", "least", "own label space", "unbounded score", "fitted"],
)
def test_round_trip(tmp_path, metadata):
    path = tmp_path / "model.safetensors"
    model = network(metadata.label_space, outlier_head=metadata.outlier_head)
    digest = save_checkpoint(path, model, metadata)
    loaded, found = load_checkpoint(path)
    assert found == dataclasses.replace(metadata, weights_sha256=digest)
    assert read_metadata(path) == found
    assert not loaded.training
    expected = model.state_dict()
    state = loaded.state_dict()
    assert set(state) == set(expected)
    assert all(torch.equal(state[name], expected[name]) for name in expected)


def test_half_storage_rounds_the_convolutions_and_nothing_else(tmp_path):
    model = network()
    model.backbone.bn1.running_var.fill_(1e6)  # beyond float16
    plain, half = tmp_path / "plain.safetensors", tmp_path / "half.safetensors"
    first = save_checkpoint(plain, model, describe())
    second = save_checkpoint(half, model, describe(), half=True)
    assert first != second
    assert half.stat().st_size < 0.75 * plain.stat().st_size
    loaded, _ = load_checkpoint(half)
    convolutions = {n for n, p in model.named_parameters() if p.ndim > 1}
    for name, tensor in loaded.state_dict().items():
        original = model.state_dict()[name]
        expected = original.half().float() if name in convolutions else original
        assert torch.equal(tensor, expected), name
        assert tensor.dtype == original.dtype


def test_others_may_read_what_the_umask_allows(tmp_path, saved):
    (tmp_path / "plain").touch()
    assert saved.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_the_same_weights_have_the_same_hash(tmp_path):
    one = save_checkpoint(tmp_path / "a.safetensors", network(), describe())
    two = save_checkpoint(tmp_path / "b.safetensors", network(), describe(threshold=0.9))
    model = network()
    with torch.no_grad():
        model.backbone.conv1.weight[0, 0, 0, 0] += 1e-3
    three = save_checkpoint(tmp_path / "c.safetensors", model, describe())
    assert one == two != three


def test_what_does_not_fit_is_not_written(tmp_path):
    path = tmp_path / "model.safetensors"
    with pytest.raises(CheckpointError, match="shapes differ"):
        save_checkpoint(path, network(), describe(CITYSCAPES))
    with pytest.raises(CheckpointError, match="swiftnet_rn18"):
        save_checkpoint(path, network(), describe(architecture="unet"))
    model = network()
    with torch.no_grad():
        model.backbone.conv1.weight[0] = float("nan")
    with pytest.raises(CheckpointError, match=r"NaN or Inf in backbone\.conv1\.weight"):
        save_checkpoint(path, model, describe())
    with torch.no_grad():
        model.backbone.conv1.weight[0] = 1e6
    with pytest.raises(CheckpointError, match="finite"):
        save_checkpoint(path, model, describe(), half=True)
    assert list(tmp_path.iterdir()) == []


# Files that are no checkpoints


@pytest.mark.parametrize("load", [load_checkpoint, read_metadata])
def test_missing_directory_and_empty(tmp_path, load):
    with pytest.raises(CheckpointError, match=r"expected an open_set_seg.*nothing there"):
        load(tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError, match="found a directory"):
        load(tmp_path)
    (tmp_path / "empty.safetensors").touch()
    with pytest.raises(CheckpointError, match="found an empty file"):
        load(tmp_path / "empty.safetensors")


@pytest.mark.parametrize("share", [0.0001, 0.01, 0.1, 0.5, 0.9999])
def test_truncated(saved, share):
    data = saved.read_bytes()
    saved.write_bytes(data[: max(1, int(share * len(data)))])
    with pytest.raises(CheckpointError, match="expected an open_set_seg checkpoint"):
        load_checkpoint(saved)


@settings(max_examples=40, deadline=None)
@given(st.binary(min_size=1, max_size=200))
def test_random_bytes(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("random") / "model.safetensors"
    path.write_bytes(data)
    with pytest.raises(CheckpointError):
        load_checkpoint(path)


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("kind", ["pickle 2", "pickle 4", "torch", "torch legacy"])
def test_pickles_are_refused_and_never_run(tmp_path, kind):
    path, bomb = tmp_path / "model.safetensors", tmp_path / "exploded"
    if kind.startswith("pickle"):
        path.write_bytes(pickle.dumps(Bomb(bomb), protocol=int(kind[-1])))
    else:
        torch.save({"model": Bomb(bomb)}, path, _use_new_zipfile_serialization=kind == "torch")
    with pytest.raises(CheckpointError, match="never opened because they can run code"):
        load_checkpoint(path)
    assert not bomb.exists()
    if kind.startswith("pickle"):  # the bomb is real
        pickle.loads(path.read_bytes()).close()
        assert bomb.exists()


def test_safetensors_of_another_program(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="of another program"):
        load_checkpoint(path)
    save_file({"weight": torch.zeros(3)}, path, metadata={"open_set_seg": "{not json"})
    with pytest.raises(CheckpointError, match="expected JSON"):
        load_checkpoint(path)
    for content in ("[1, 2]", "[" * 100_000, "3"):
        save_file({"weight": torch.zeros(3)}, path, metadata={"open_set_seg": content})
        with pytest.raises(CheckpointError, match="expected"):
            load_checkpoint(path)


def test_changed_weights_are_noticed(saved):
    data = bytearray(saved.read_bytes())
    data[-5] ^= 1
    saved.write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match=r"expected weights with SHA-256 .* damaged"):
        load_checkpoint(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.pop("architecture"), "expected a string for 'architecture'.*found nothing"),
        (lambda m: m.update(architecture="unet"), "unknown network 'unet'"),
        (lambda m: m.update(architecture=3), "a string for 'architecture'.*found 3"),
        (lambda m: m.update(width="0.5"), "a finite number for 'width'.*found '0.5'"),
        (lambda m: m.update(width=0.125), "shapes differ"),
        (lambda m: m.update(width=-1), r"width in \(0, 4\], found -1"),
        (lambda m: m.update(width=1e999), "a finite number for 'width'"),
        (lambda m: m.update(width=10**400), "a finite number for 'width'"),
        (lambda m: m.update(num_classes=19), "expected 12 classes.*found 19"),
        (lambda m: m.update(num_classes=True), "an integer for 'num_classes'.*found True"),
        (lambda m: m.update(label_space="mars"), "expected a label space.*found 'mars'"),
        (lambda m: m.update(label_space=5), "a name or an object for 'label_space'"),
        (lambda m: m.update(label_space={"name": "x"}), "name, classes, colours and ground"),
        (lambda m: m.update(outlier_head=1), "true or false for 'outlier_head'"),
        (lambda m: m.update(outlier_head=True), "missing logits_ood"),
        (lambda m: m.update(score="magic"), "expected a score, found 'magic'"),
        (lambda m: m.update(score="energy"), "expected a score map"),
        (lambda m: m.update(score_map={"location": 0, "scale": 1}), "expected no score map"),
        (lambda m: m.update(score="energy", score_map={"location": 0, "scale": 0}), "positive"),
        (lambda m: m.update(score="energy", score_map={"location": 0}), "'scale'"),
        (lambda m: m.update(score_map=4), "an object for 'score_map'"),
        (lambda m: m.update(temperature=0), r"temperature in \(0, 1000\], found 0"),
        (lambda m: m.update(temperature=None), "a finite number for 'temperature'"),
        (lambda m: m.update(threshold=1.5), r"threshold in \[0, 1\], found 1.5"),
        (lambda m: m.update(preprocessing="bgr"), "expected preprocessing"),
        (lambda m: m.update(recipe=[]), "an object for 'recipe'"),
        (lambda m: m.update(metrics={"mIoU": "high"}), "a finite number for 'mIoU'"),
        (lambda m: m.update(seed=1.5), "an integer for 'seed'"),
        (lambda m: m.update(format_version=2), "expected format version 1.*found 2"),
        (lambda m: m.pop("format_version"), "expected format version 1.*found None"),
        (lambda m: m.update(weights_sha256="0" * 64), "changed or damaged"),
        (lambda m: m.update(score_maps=[]), "an object for 'score_maps'"),
        (lambda m: m.update(score_maps={"energy": 3}), "an object for 'energy'"),
        (lambda m: m.update(score_maps={"energy": {"location": 0, "scale": -1}}), "positive"),
        (lambda m: m.update(score_maps={"magic": MAP}), "scores in 'score_maps': unknown .*magic"),
        (lambda m: m.update(score_maps={"msp": MAP}), "no map of 'msp' .* bounded"),
        (lambda m: m.update(score_maps={"energy+coarse": MAP}), r"'coarse\+energy' .* found 'ene"),
        (
            lambda m: m.update(score="energy", score_map=MAP, score_maps={"energy": MAP}),
            "no map of 'energy' .* own",
        ),
        (lambda m: m.update(statistics_source=3), "a string for 'statistics_source'"),
        (lambda m: [m], "expected a JSON object"),
    ],
)
def test_contradicting_metadata(saved, change, message):
    edit(saved, lambda content: result if isinstance(result := change(content), list) else None)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(saved)
    assert str(saved) in str(caught.value)


# Statistics of inlier data


@pytest.fixture
def fitted(tmp_path):
    path = tmp_path / "fitted.safetensors"
    save_checkpoint(path, network(), describe(statistics_source="roads"), statistics=STATISTICS)
    return path


def test_statistics_come_back_and_the_network_keeps_its_identity(saved, fitted):
    found = load_statistics(fitted).tensors()
    assert set(found) == {field.name for field in dataclasses.fields(ScoreStatistics)}
    assert all(torch.equal(found[name], value) for name, value in STATISTICS.tensors().items())
    assert load_statistics(saved) is None
    plain, metadata = read_metadata(saved), read_metadata(fitted)
    assert metadata.weights_sha256 == plain.weights_sha256
    assert metadata.statistics_sha256
    assert plain.statistics_sha256 == ""
    state, expected = load_checkpoint(fitted)[0].state_dict(), network().state_dict()
    assert all(torch.equal(state[name], expected[name]) for name in expected)


def test_some_statistics_may_be_all(tmp_path):
    path = tmp_path / "model.safetensors"
    few = ScoreStatistics(
        activation_levels=torch.tensor([0.9]), activation_quantiles=torch.tensor([0.0])
    )
    save_checkpoint(path, network(), describe(), statistics=few)
    assert set(load_statistics(path).tensors()) == {"activation_levels", "activation_quantiles"}


@pytest.mark.parametrize("half", [False, True])
def test_adding_statistics_copies_the_weights_as_they_are_stored(tmp_path, half):
    path, output = tmp_path / "model.safetensors", tmp_path / "fitted.safetensors"
    digest = save_checkpoint(path, network(), describe(), half=half)
    maps = {"max_logit": LogisticMap(-3.0, 0.5)}
    written = add_statistics(path, output, STATISTICS, maps, "roads")
    before, metadata = read_metadata(path), read_metadata(output)
    assert metadata == written
    assert metadata == dataclasses.replace(
        before,
        score_maps=maps,
        statistics_source="roads",
        statistics_sha256=metadata.statistics_sha256,
    )
    assert metadata.weights_sha256 == digest
    old, new = load_file(path), load_file(output)
    assert all(torch.equal(new[name], old[name]) for name in old)
    assert len(new) == len(old) + len(STATISTICS.tensors())
    again = add_statistics(output, output, STATISTICS, {}, "elsewhere")
    assert again.statistics_sha256 == metadata.statistics_sha256
    assert again.score_maps == {}
    assert read_metadata(output) == again


def test_files_of_before_there_were_statistics_load(saved):
    def strip(content):
        for name in ("score_maps", "statistics_source", "statistics_sha256"):
            del content[name]

    edit(saved, strip)
    _, metadata = load_checkpoint(saved)
    assert metadata.score_maps == {}
    assert metadata.statistics_source == metadata.statistics_sha256 == ""
    assert load_statistics(saved) is None


def test_changed_statistics_are_noticed_and_leave_the_weights_usable(tmp_path, fitted):
    with safe_open(fitted, framework="pt") as file:
        header = file.metadata()
    state = load_file(fitted)
    state["score_statistics.max_logit_mean"] += 1.0
    save_file(state, fitted, metadata=header)
    load_checkpoint(fitted)
    with pytest.raises(CheckpointError, match=r"expected statistics with SHA-256 .* damaged"):
        load_statistics(fitted)
    edit(fitted, lambda content: content.update(statistics_sha256=""))
    with pytest.raises(CheckpointError, match=r"statistics with SHA-256 of nothing .* damaged"):
        load_statistics(fitted)
    for name in list(state):
        if name.startswith("score_statistics."):
            del state[name]
    save_file(state, fitted, metadata=header)
    with pytest.raises(CheckpointError, match=r"found of nothing: .* damaged"):
        load_statistics(fitted)


WRONG_STATISTICS = [
    ({"max_logit_mean": torch.zeros(11)}, r"shape \(12\) for max_logit_mean .* found \(11\)"),
    ({"feature_mean": torch.zeros(12, 7)}, r"shape \(12, 8\) for feature_mean"),
    ({"density_cholesky": torch.eye(8)}, r"shape \(12, 8, 8\) for density_cholesky"),
    ({"activation_levels": torch.tensor(0.5)}, r"shape \(Q\) .*activation_levels.* found \(\)"),
    ({"activation_quantiles": torch.zeros(2)}, r"shape \(3\) for activation_quantiles"),
    ({"max_logit_mean": torch.full((12,), float("nan"))}, "NaN or Inf in max_logit_mean"),
    ({"max_logit_mean": torch.zeros(12, dtype=torch.int64)}, "floating max_logit_mean"),
    ({"max_logit_deviation": torch.zeros(12)}, "positive numbers for max_logit_deviation"),
    ({"max_logit_deviation": None}, "expected max_logit_deviation among"),
    ({"density_weight": torch.full((12,), 0.5)}, "shares that sum to 1 for density_weight"),
    ({"density_cholesky": torch.ones(12, 8, 8)}, "lower triangles with positive diagonals"),
    ({"density_cholesky": -torch.eye(8).repeat(12, 1, 1)}, "positive diagonals"),
    ({"feature_precision": torch.ones(8, 8).triu()}, "a symmetric matrix"),
    ({"activation_levels": torch.tensor([0.9, 0.9, 0.95])}, "levels that increase"),
    ({"activation_levels": torch.tensor([0.9, 0.95, 1.0])}, "levels that increase"),
    ({"activation_quantiles": torch.tensor([1.0, 0.5, 2.0])}, "quantiles that do not decrease"),
]


@pytest.mark.parametrize(("change", "message"), WRONG_STATISTICS)
def test_statistics_that_cannot_be_computed_with_are_neither_written_nor_read(
    tmp_path, fitted, change, message
):
    wrong = dataclasses.replace(STATISTICS, **change)
    path = tmp_path / "wrong.safetensors"
    with pytest.raises(CheckpointError, match=message) as caught:
        save_checkpoint(path, network(), describe(), statistics=wrong)
    assert "\n" not in str(caught.value)
    assert not path.exists()
    weights = load_file(fitted)
    weights = {n: t for n, t in weights.items() if not n.startswith("score_statistics.")}
    extra = {f"score_statistics.{name}": value for name, value in wrong.tensors().items()}
    with safe_open(fitted, framework="pt") as file:
        content = json.loads(file.metadata()["open_set_seg"])
    content["statistics_sha256"] = hash_weights(extra)
    save_file(weights | extra, path, metadata={"open_set_seg": json.dumps(content)})
    with pytest.raises(CheckpointError, match=message) as caught:
        load_statistics(path)
    assert str(path) in str(caught.value)


def test_statistics_of_unknown_names_are_refused(fitted):
    with safe_open(fitted, framework="pt") as file:
        content = json.loads(file.metadata()["open_set_seg"])
    state = load_file(fitted) | {"score_statistics.mode": torch.zeros(12)}
    extra = {n: t for n, t in state.items() if n.startswith("score_statistics.")}
    content["statistics_sha256"] = hash_weights(extra)
    save_file(state, fitted, metadata={"open_set_seg": json.dumps(content)})
    with pytest.raises(CheckpointError, match=r"known names in .* found 'mode'"):
        load_statistics(fitted)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
FIELDS = [f.name for f in dataclasses.fields(CheckpointMetadata)] + ["num_classes"]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from(FIELDS), JSON)
def test_any_value_in_any_field_is_taken_or_refused_with_a_checkpoint_error(saved, field, value):
    original = saved.read_bytes()
    try:
        edit(saved, lambda content: content.update({field: value}))
        try:
            metadata = read_metadata(saved)
        except CheckpointError:
            return
        assert isinstance(metadata, CheckpointMetadata)
    finally:
        saved.write_bytes(original)


def test_fields_of_later_versions_are_ignored(saved):
    edit(saved, lambda content: content.update(invented_later={"a": 1}))
    assert load_checkpoint(saved)[1].threshold == 0.37


@pytest.mark.parametrize("change", ["missing", "unexpected", "shape"])
def test_tensors_that_do_not_fit_are_named(tmp_path, saved, change):
    with safe_open(saved, framework="pt") as file:
        header = file.metadata()
    state = load_file(saved)
    if change == "missing":
        del state["logits.conv.bias"]
    elif change == "unexpected":
        state["extra"] = torch.zeros(1)
    else:
        state["logits.conv.bias"] = torch.zeros(13)
    content = json.loads(header["open_set_seg"]) | {"weights_sha256": hash_weights(state)}
    path = tmp_path / "other.safetensors"
    save_file(state, path, metadata={"open_set_seg": json.dumps(content)})
    named = {
        "missing": "missing logits.conv.bias",
        "unexpected": "unexpected extra",
        "shape": r"logits.conv.bias expected \(12,\) found \(13,\)",
    }
    with pytest.raises(CheckpointError, match=named[change]):
        load_checkpoint(path)


def test_the_demo_checkpoint_is_small_and_says_how_it_was_made():
    assert DEMO_CHECKPOINT.stat().st_size < 8e6
    model, metadata = load_checkpoint(DEMO_CHECKPOINT)
    assert metadata.label_space == STREETHAZARDS
    assert metadata.recipe["name"] == "simulation_nflowjs"
    assert metadata.recipe["negatives"]["divergence"] == "js"
    assert metadata.seed == metadata.recipe["seed"]
    assert metadata.code_revision
    assert metadata.threshold_rule
    assert metadata.metrics["validation_mIoU"] > 0.5
    assert all(torch.isfinite(p).all() for p in model.parameters())

"""Files of flows: round trip, and every kind of file that is none."""

from __future__ import annotations

import json
import struct

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from open_set_seg.checkpoint import hash_weights
from training.flow import FlowFileError, FlowMetadata, build_flow, load_flow, save_flow
from training.randomness import make_generator

OPTIONS = {"levels": 2, "steps": 1, "hidden": 8, "end": "straight_through"}
METADATA = FlowMetadata(
    "glow_small", OPTIONS, seed=3, recipe={"name": "test"}, metrics={"bits_per_dim": 7.5}
)


def generators(count):
    return [make_generator(5, index) for index in range(count)]


@pytest.fixture
def flow():
    torch.manual_seed(1)
    flow = build_flow("glow_small", **OPTIONS)
    flow.initialise(torch.randint(0, 256, (2, 3, 16, 16)), generators(2))
    return flow


@pytest.fixture
def path(tmp_path, flow):
    path = tmp_path / "flow.safetensors"
    save_flow(path, flow, METADATA)
    return path


def test_a_loaded_flow_is_the_saved_one_to_the_last_bit(path, flow):
    random_state = torch.get_rng_state()
    loaded, metadata = load_flow(path)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert metadata == METADATA
    assert not loaded.training
    state = loaded.state_dict()
    assert state.keys() == flow.state_dict().keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in flow.state_dict().items())
    assert loaded.end == "straight_through"
    expected = flow.sample(8, 16, generators(3))
    assert torch.equal(loaded.sample(8, 16, generators(3)), expected)
    loaded.sample(8, 8, generators(1)).sum().backward()


def test_initialisation_is_remembered(path, flow):
    loaded = load_flow(path)[0].train()
    before = {name: tensor.clone() for name, tensor in loaded.state_dict().items()}
    loaded.log_prob(torch.randint(0, 100, (2, 3, 16, 16)), generators(2))
    assert all(torch.equal(before[name], tensor) for name, tensor in loaded.state_dict().items())


def edit(path, change):
    """Rewrite the header; ``change`` gets the flow's JSON object."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    content = json.loads(header["__metadata__"]["open_set_seg_flow"])
    change(content)
    header["__metadata__"]["open_set_seg_flow"] = json.dumps(content)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.update(name="unheard_of"), "unknown flow"),
        (lambda content: content.update(options={"width": 3}), "unknown option"),
        (lambda content: content.update(options={"steps": "many"}), "can be built"),
        (lambda content: content.update(options={"hidden": -1}), "can be built"),
        (lambda content: content["options"].update(hidden=9), "shape"),
        (lambda content: content.update(weights_sha256="0"), "damaged"),
        (lambda content: content.update(format_version=2), "version 1"),
        (lambda content: content.pop("recipe"), "recipe"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(path, change, message):
    edit(path, change)
    with pytest.raises(FlowFileError, match=message):
        load_flow(path)


def test_files_of_others_are_refused(tmp_path, path, flow):
    torch.save(flow.state_dict(), tmp_path / "pickle.pt")
    save_file(load_file(path), tmp_path / "foreign.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(path.read_bytes()[:-5])
    (tmp_path / "empty").write_bytes(b"")
    for name in ("pickle.pt", "foreign.safetensors", "cut.safetensors", "empty", "nothing", "."):
        with pytest.raises(FlowFileError, match="expected a flow's file"):
            load_flow(tmp_path / name)


def test_tensors_of_another_kind_are_refused(path):
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    whole = {name: tensor.int() for name, tensor in load_file(path).items()}
    content = json.loads(header["open_set_seg_flow"]) | {"weights_sha256": hash_weights(whole)}
    save_file(whole, path, {"open_set_seg_flow": json.dumps(content)})
    with pytest.raises(FlowFileError, match=r"expected torch\.float32"):
        load_flow(path)


def test_what_cannot_be_read_again_is_not_written(tmp_path, flow):
    path = tmp_path / "flow.safetensors"
    with pytest.raises(FlowFileError, match="shape"):
        save_flow(path, flow, FlowMetadata("glow_small", OPTIONS | {"hidden": 9}))
    with pytest.raises(FlowFileError, match="JSON"):
        save_flow(path, flow, FlowMetadata("glow_small", OPTIONS, metrics={"loss": float("nan")}))
    with torch.no_grad():
        flow.base.mean[0, 0] = float("inf")
    with pytest.raises(FlowFileError, match=r"base\.mean"):
        save_flow(path, flow, METADATA)
    assert not path.exists()

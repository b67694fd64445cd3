"""The artefact probe: what it pastes where, and what networks that see seams do."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from made_scenes import Linear, Pointwise, make_scene
from torch import nn
from torch.nn import functional

from open_set_seg.models import SegmentationOutput
from open_set_seg.scores import SCORES
from training.study.measuring.probe import ProbeSettings, probe_artefacts

SETTINGS = ProbeSettings(sizes=(8, 16), seed=5)


class SeamSeeing(nn.Module):
    """Unsure where the red channel changes from left to right, else sure."""

    def __init__(self) -> None:
        super().__init__()
        self.sureness = nn.Parameter(torch.tensor(50.0))

    def forward(self, image):
        red = image[:, :1]
        changes = (functional.pad(red, (1, 0, 0, 0), "replicate") - functional.pad(red, (0, 1)))[
            ..., :-1
        ]
        sure = (changes.abs() < 0.5).float() * self.sureness
        return SegmentationOutput(torch.cat([sure, torch.zeros_like(sure)], dim=1))


@pytest.fixture(scope="module")
def scenes():
    return [make_scene(seed, []) for seed in range(5)]


def plain(value):
    scene = make_scene(0, [])
    scene.image[...] = value
    return scene


def test_a_network_of_single_pixels_sees_no_paste(scenes):
    # It says of the piece what it said in the piece's own scene, wherever the piece is.
    found = probe_artefacts(Pointwise(), scenes, SETTINGS)
    assert found["images"]["before"] == pytest.approx(found["images"]["after"], abs=2e-4)
    assert found["jump"] == pytest.approx(0.0, abs=1e-5)
    assert len(set(found["images"]["before"])) > 2


def test_pieces_come_from_the_scene_before_at_the_same_place(scenes):
    model = Pointwise()
    probe_artefacts(model, scenes, SETTINGS)
    assert len(model.seen) == 2 * len(scenes)
    tall = set()
    for index, mixed in enumerate(model.seen[len(scenes) :]):
        own, donor = (scenes[at].image.transpose(2, 0, 1) for at in (index, index - 1))
        image = mixed[0].numpy()
        changed = (np.abs(image - own) > 1e-3).any(axis=0)
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        np.testing.assert_allclose(image[(..., *window)], donor[(..., *window)], atol=1e-3)
        for side in (np.ptp(rows) + 1, np.ptp(columns) + 1):
            assert side in (8, 16)
        tall.add((int(rows[0]), int(columns[0])))
    assert len(tall) > 1


def test_before_is_the_score_of_the_piece_in_its_own_scene(scenes):
    model = Pointwise()
    found = probe_artefacts(model, scenes, SETTINGS)
    donor = torch.from_numpy(scenes[-1].image).permute(2, 0, 1)[None].float()
    target = torch.from_numpy(scenes[0].image).permute(2, 0, 1)[None].float()
    pasted = (model.seen[len(scenes)] - target).abs().amax(dim=1)[0] > 1e-3
    with torch.no_grad():
        score = SCORES["jsd"](model(donor).logits)[0]
    assert found["images"]["before"][0] == pytest.approx(float(score[pasted].mean()), abs=1e-4)


def test_a_network_that_sees_seams_jumps_by_the_share_of_the_seam():
    # Scenes of one colour each: only the left column of a pasted piece differs from its left.
    scenes = [plain(40 * value) for value in range(4)]
    model = SeamSeeing()
    settings = ProbeSettings("msp", sizes=(8, 8), seed=2)
    found = probe_artefacts(model, scenes, settings)
    # Both logits are 0 on the seam: 1 - 1/2; else sure. A piece at the left border has no seam.
    shares = found["images"]["after"]
    assert found["before"] == pytest.approx(0.0, abs=1e-9)
    assert set(shares) <= {0.0, 0.0625}
    assert 0.0625 in shares
    assert found["jump"] == pytest.approx(np.mean(shares), abs=1e-9)


def test_all_networks_get_the_same_images(scenes):
    first, second = Pointwise(), Pointwise()
    with torch.no_grad():
        second.weight.mul_(-2.0)
    one = probe_artefacts(first, scenes, SETTINGS)
    torch.manual_seed(123)
    other = probe_artefacts(second, scenes, SETTINGS)
    for seen, again in zip(first.seen, second.seen, strict=True):
        assert torch.equal(seen, again)
    assert one != other
    third = Pointwise()
    probe_artefacts(third, scenes, ProbeSettings(sizes=(8, 16), seed=6))
    assert not all(torch.equal(*pair) for pair in zip(first.seen, third.seen, strict=True))


def test_means_are_those_of_the_images(scenes):
    model = Linear()
    model.train()
    found = probe_artefacts(model, scenes, SETTINGS)
    assert model.modes == {False}
    assert model.training
    for key in ("before", "after"):
        values = found["images"][key]
        assert len(values) == len(scenes)
        assert values == [round(value, 4) for value in values]
        assert found[key] == pytest.approx(np.mean(values), abs=5e-5)
    assert found["jump"] == pytest.approx(found["after"] - found["before"], abs=1e-12)
    json.dumps(found, allow_nan=False)


def test_scenes_that_cannot_be_probed_are_refused(scenes):
    with pytest.raises(ValueError, match="two are needed"):
        probe_artefacts(Linear(), scenes[:1], SETTINGS)
    holds = make_scene(0, [("ball", False, 4, 4, 5, 5)])
    with pytest.raises(ValueError, match="without unknown objects"):
        probe_artefacts(Linear(), [*scenes, holds], SETTINGS)
    small = make_scene(0, [])
    object.__setattr__(small, "labels", small.labels[:, :-8])
    with pytest.raises(ValueError, match="of one size"):
        probe_artefacts(Linear(), [*scenes, small], SETTINGS)


@pytest.mark.parametrize("score", ["sml", "odin+msp", "jsd+ground_focus", "op"])
def test_scores_that_read_more_than_logits_are_refused(score):
    with pytest.raises(ValueError):
        ProbeSettings(score)

"""Training of flows on crops by likelihood."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from made_runs import TINY_FLOW, read_rows, recipe_of
from small_trees import save, scene

from training import flow_training, loop
from training.data import TrainingData, TrainingImages, ValidationData
from training.datasets.crop_sets import CropSet
from training.datasets.frames import DatasetError
from training.flow import FlowFileError, load_flow
from training.flow.bijections import ActNorm
from training.flow_training import (
    Crops,
    FlowObjective,
    measure_bits,
    open_flow,
    open_images,
    rate_of,
    train_flow,
    write_flow,
)
from training.randomness import make_generator
from training.ranks import Ranks
from training.recipes import FlowOptimisationRecipe, FlowRecipe, RecipeError
from training.run_state import RunFolder
from training.segmentation import build_negatives

CPU = torch.device("cpu")


class Frames:
    """Images with a gradient, each in a colour of its own; which ones were read."""

    def __init__(self, count=60, height=24, width=40):
        rows, columns = np.indices((height, width))
        plane = (rows * width + columns) % 251
        self.images = [
            np.stack([np.full_like(plane, index), plane // 2, columns], 2).astype(np.uint8)
            for index in range(count)
        ]
        self.read = []

    def __len__(self):
        return len(self.images)

    def load(self, index):
        self.read.append(index)
        return self.images[index], np.zeros(self.images[index].shape[:2], np.uint8)


def crops_of(frames, **changes):
    recipe = recipe_of("flow", "unused", **{"crops__size": 8, **changes})
    images = CropSet(frames, recipe.crops.size, 12, recipe.crops.mirror)
    return Crops(images, recipe)


def test_crops_are_windows_of_the_images_or_of_their_mirrors():
    frames = Frames()
    crops = crops_of(frames)
    mirrored = 0
    for step in range(20):
        crop = crops.load(step, slot=step % 4)[0].permute(1, 2, 0).numpy()
        image = frames.images[int(crop[0, 0, 0])]
        assert crop.shape == (8, 8, 3)
        assert crop.dtype == np.uint8
        windows = np.lib.stride_tricks.sliding_window_view(image, (8, 8, 3))[:, :, 0]
        plain = (windows == crop).all(axis=(2, 3, 4)).any()
        turned = (windows == crop[:, ::-1]).all(axis=(2, 3, 4)).any()
        assert plain != turned
        mirrored += turned
    assert 3 < mirrored < 17


def test_an_epoch_takes_one_crop_of_every_image_and_none_of_those_held_out():
    frames = Frames(count=101)
    crops = crops_of(frames, optimisation__epochs=2)
    assert crops.training == 99  # 2 % of the images are held out
    assert crops.count_steps() == 2 * math.ceil(99 / 4)
    for step in range(99):
        for slot in range(4):
            crops.load(step, slot)
    for epoch in range(4):
        assert sorted(frames.read[99 * epoch : 99 * (epoch + 1)]) == list(range(99))
    assert frames.read[:99] != frames.read[99:198]
    frames.read.clear()
    crops.some(flow_training.HELD_OUT_USE, 20)
    assert set(frames.read) == {99, 100}
    frames.read.clear()
    crops.some(flow_training.START_USE, 20)
    assert max(frames.read) < 99


def test_a_single_image_is_trained_on_and_held_out():
    crops = crops_of(Frames(count=1))
    assert crops.training == 1
    assert crops.some(flow_training.HELD_OUT_USE, 2)[0].shape == (2, 3, 8, 8)


def test_images_that_are_too_small_are_named():
    crops = crops_of(Frames(), crops__size=32)
    with pytest.raises(DatasetError, match="40 x 24 is too small for 32"):
        crops.load(0, 0)


@pytest.mark.parametrize("source", ["sets", "scenes"])
def test_crops_see_as_much_as_those_of_resized_images(tmp_path, monkeypatch, source):
    """Ramps of one grey level a pixel: a crop of half the scale steps by two."""
    ramp = np.repeat(np.arange(96, dtype=np.uint8)[None, :, None], 48, 0).repeat(3, 2)
    data = {}
    if source == "sets":
        place = "training/t1/0.png"
        save(tmp_path / "train" / "images" / place, ramp)
        save(tmp_path / "train" / "annotations" / place, np.full((48, 96), 8, np.uint8))
        data = {"sets": [{"name": "streethazards", "root": str(tmp_path)}]}
    frames = Frames(count=1)
    frames.images = [ramp]
    scenes = TrainingData(frames, ValidationData())
    monkeypatch.setattr(flow_training, "prepare_data", lambda *arguments: scenes)
    for short_side, step in ((None, 1), (24, 2)):
        crops = {"size": 16, "mirror": 0.0, "short_side": short_side}
        recipe = recipe_of("flow", "unused", **({"data": data} if data else {}), crops=crops)
        crop = Crops(open_images(recipe, Ranks(), progress=False), recipe).load(0, 0)[0]
        assert set(np.diff(crop[0].numpy().astype(int), axis=1).ravel()) == {step}


def test_no_crop_of_a_data_set_shows_an_outlier(tmp_path):
    """Images whose outliers, and nothing else, are bright: BSB-OOD's flow sees inliers alone."""
    for number in range(3):
        image, blobs = scene(number)
        image = np.where(blobs[..., None] == 1, 255, image // 2).astype(np.uint8)
        place = f"training/t1/{number}.png"
        save(tmp_path / "train" / "images" / place, image)
        raw = np.where(blobs == 1, 14, 8).astype(np.uint8)
        save(tmp_path / "train" / "annotations" / place, raw)
    recipe = recipe_of("flow", "unused", crops__size=16, data={
        "sets": [{"name": "streethazards", "root": str(tmp_path)}]
    })  # fmt: skip
    images = open_images(recipe, Ranks(), progress=False)
    crops = Crops(images, recipe)
    assert len(images) == 3
    seen = [crops.load(step, slot)[0] for step in range(8) for slot in range(4)]
    assert max(int(crop.max()) for crop in seen) < 128
    assert len({crop.numpy().tobytes() for crop in seen}) > 16


def train_on(frames, folder, monkeypatch, **changes):
    recipe = recipe_of("flow", "unused", crops__size=8, **changes)
    data = TrainingData(frames, ValidationData())
    monkeypatch.setattr(flow_training, "prepare_data", lambda *arguments: data)
    return recipe, train_flow(recipe, RunFolder(folder, recipe, False), CPU, Ranks(), False)


def test_the_density_of_crops_rises_well_above_that_of_noise(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY", 5)
    _, path = train_on(
        Frames(), tmp_path, monkeypatch, optimisation__steps=60, optimisation__batch=8,
        optimisation__validate_every=20,
    )  # fmt: skip
    rows = read_rows(tmp_path)
    curve = [row["bits_per_dim"] for row in rows if "loss" in row]
    measured = [row["validation_bits_per_dim"] for row in rows if "loss" not in row]
    assert curve[-1] < curve[0] - 0.5
    assert measured == sorted(measured, reverse=True)
    assert measured[-1] < 7.0  # noise has 8
    flow, metadata = load_flow(path)
    assert metadata.metrics == {"validation_bits_per_dim": measured[-1]}
    crops = crops_of(Frames(), optimisation__batch=8)
    again = measure_bits(flow, *crops.some(flow_training.HELD_OUT_USE, 4))
    assert again["validation_bits_per_dim"] == pytest.approx(measured[-1], abs=2e-6)


def test_measuring_draws_the_same_noise_each_time_and_changes_nothing():
    crops = crops_of(Frames())
    held_out, generators = crops.some(flow_training.HELD_OUT_USE, 4)
    flow = open_flow(FlowRecipe(**TINY_FLOW))
    flow.initialise(held_out, generators)
    flow.train()
    state = torch.get_rng_state()
    first = measure_bits(flow, held_out, generators)
    assert measure_bits(flow, held_out, generators) == first
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in flow.modules())
    assert all(parameter.grad is None for parameter in flow.parameters())


def test_the_objective_is_the_mean_of_bits_with_noise_of_step_and_slot():
    recipe = recipe_of("flow", "unused", optimisation__batch=3)
    flow = open_flow(recipe.flow)
    crops = torch.randint(0, 256, (3, 3, 16, 16), generator=make_generator(1))
    flow.initialise(crops, [make_generator(2, index) for index in range(3)])
    objective = FlowObjective(flow, recipe, Ranks())
    losses = objective(crops, 7)
    keys = [(recipe.seed, flow_training.NOISE_USE, 7, slot) for slot in range(3)]
    nats = -flow.log_prob(crops, [make_generator(*key) for key in keys])
    expected = nats.mean() / (3 * 16 * 16 * math.log(2))
    torch.testing.assert_close(losses.total, expected)
    torch.testing.assert_close(losses.parts["bits_per_dim"], expected.detach())
    assert not torch.equal(objective(crops, 8).total, losses.total)
    # Two processes with the same rows have the same values: their mean is that of the batch.
    halves = dataclasses.replace(
        recipe, optimisation=dataclasses.replace(recipe.optimisation, batch=4)
    )
    crops = torch.cat([crops, crops[:1]])
    whole = FlowObjective(flow, halves, Ranks())(crops, 7).total
    parts = [
        FlowObjective(flow, halves, Ranks(rank, 2))(crops[2 * rank : 2 * rank + 2], 7).total
        for rank in (0, 1)
    ]
    torch.testing.assert_close(sum(parts) / 2, whole)


def test_the_rate_is_constant_or_falls_to_its_end():
    constant = rate_of(FlowOptimisationRecipe(learning_rate=0.2, warmup_steps=4), 50)
    assert [constant(step) for step in (0, 1, 3, 4, 49)] == pytest.approx(
        [0.05, 0.1, 0.2, 0.2, 0.2]
    )
    falling = rate_of(
        FlowOptimisationRecipe(learning_rate=0.2, final_learning_rate=0.1, warmup_steps=9), 50
    )
    assert [falling(step) for step in (0, 8, 9, 29, 49)] == pytest.approx(
        [0.2 / 9, 0.2, 0.2, 0.15, 0.1]
    )


def test_a_fresh_flow_is_built_as_the_recipe_says():
    recipe = FlowRecipe(
        options={"steps": 2, "hidden": 4}, end="straight_through", checkpointing=True
    )
    flow = open_flow(recipe)
    assert flow.end == "straight_through"
    assert flow.checkpointing
    assert sum(isinstance(module, ActNorm) for module in flow.modules()) == 6


def test_a_flow_goes_on_from_a_file(tmp_path):
    flow = open_flow(FlowRecipe(**TINY_FLOW))
    crops = torch.randint(0, 256, (4, 3, 16, 16), generator=make_generator(1))
    flow.initialise(crops, [make_generator(2, index) for index in range(4)])
    kind = FlowRecipe(**TINY_FLOW)
    write_flow(tmp_path / "one.safetensors", flow, kind, recipe_of("flow", "unused"))
    again = FlowRecipe(
        "glow_small", checkpoint=str(tmp_path / "one.safetensors"), end="straight_through"
    )
    found = open_flow(again)
    assert found.end == "straight_through"
    for name, tensor in flow.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor)
    # What is written then has the options of the first, and can be opened in its turn.
    write_flow(tmp_path / "two.safetensors", found, again, recipe_of("flow", "unused"))
    _, metadata = load_flow(tmp_path / "two.safetensors")
    assert metadata.options == TINY_FLOW["options"]


def test_flows_that_do_not_fit_are_named(tmp_path):
    with pytest.raises(RecipeError, match=r"flow\.options: .*unknown option 'magic'"):
        open_flow(FlowRecipe(options={"magic": 1}))
    with pytest.raises(FlowFileError, match="found no file there"):
        open_flow(FlowRecipe(checkpoint=str(tmp_path / "none.safetensors")))
    flow = open_flow(FlowRecipe(**TINY_FLOW))
    write_flow(tmp_path / "a.safetensors", flow, FlowRecipe(**TINY_FLOW), recipe_of("flow", "x"))
    with pytest.raises(
        RecipeError, match=r"flow\.checkpoint: expected 'realnvp', found 'glow_small'"
    ):
        open_flow(FlowRecipe("realnvp", checkpoint=str(tmp_path / "a.safetensors")))


def test_a_fresh_flow_of_a_joint_training_is_initialised_before_its_first_sample():
    """Else the first step would do it, with other crops in every process."""
    recipe = recipe_of("joint", "unused")
    sources = []
    for seed in (0, 1):
        torch.manual_seed(0)
        frames = Frames(height=48, width=96)
        source = build_negatives(
            dataclasses.replace(recipe, seed=seed), recipe.negatives,
            TrainingData(frames, ValidationData()),
        )  # fmt: skip
        sources.append(source)
        norms = [module for module in source.modules() if isinstance(module, ActNorm)]
        assert norms
        assert all(module.initialised for module in norms)
        assert set(frames.read) <= set(range(len(frames)))
    shifts = [
        next(m for m in source.modules() if isinstance(m, ActNorm)).shift for source in sources
    ]
    assert not torch.equal(*shifts)
    # The first normalisation sees squeezed images: what leaves it has mean 0 and deviation 1.
    flow = sources[1].flow
    image = torch.from_numpy(np.stack([Frames(height=48, width=96).images[i] for i in range(60)]))
    norm = next(module for module in flow.modules() if isinstance(module, ActNorm))
    points = image.permute(0, 3, 1, 2).float() / 256 - 0.5
    squeezed = torch.nn.functional.pixel_unshuffle(points, 2)
    out = (squeezed + norm.shift) * norm.log_scale.exp()
    assert out.mean(dim=(0, 2, 3)).abs().max() < 1.0  # of other crops and augmented
    assert 0.3 < out.std().item() < 3.0


def test_patches_of_images_are_of_the_training_images_unless_others_are_named(tmp_path):
    recipe = recipe_of("joint", "unused", negatives__source="image_patches")
    source = build_negatives(recipe, recipe.negatives, TrainingData(Frames(), ValidationData()))
    assert isinstance(source.images, TrainingImages)
    assert len(source.images) == 60
    wrong = recipe_of("joint", "unused", negatives__source="white_noise",
                      negatives__options={"magic": 1})  # fmt: skip
    with pytest.raises(RecipeError, match=r"negatives\.options: .*magic"):
        build_negatives(wrong, wrong.negatives, TrainingData(Frames(), ValidationData()))

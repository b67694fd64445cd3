"""Pictures of what a source of negatives invents and of what a network predicts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from open_set_seg.drawing import colour_labels, draw_heatmap
from open_set_seg.label_spaces import LABEL_SPACES
from open_set_seg.models import SegmentationOutput
from training.flow import build_flow
from training.negatives import Drawn, NegativeSource, build_source
from training.pictures import (
    GAP,
    PAPER,
    PICTURE_USE,
    SAMPLES,
    SHOWN_WIDTH,
    draw_predictions,
    draw_samples,
    picture_sizes,
)
from training.prediction import predict
from training.randomness import make_generator
from training.recipes import ScoreRecipe

SPACE = LABEL_SPACES["streethazards_12"]
SCORE = ScoreRecipe()


def test_sizes_double_inside_the_range():
    assert picture_sizes(16, 216) == [16, 32, 64, 128]
    assert picture_sizes(8, 64) == [8, 16, 32, 64]
    assert picture_sizes(24, 24) == [24]


class Striped(NegativeSource):
    """Colours that say the size, the generator and the pixel; the left half is not pasted."""

    def __init__(self, masked):
        super().__init__()
        self.masked = masked
        self.drop = nn.Dropout()
        self.modes = []

    def draw(self, crops, generators):
        self.modes.append(self.drop.training)
        count, _, size, _ = crops.shape
        patches = torch.empty(count, 3, size, size)
        for index, generator in enumerate(generators):
            patches[index] = torch.rand((3, size, size), generator=generator)
        masks = None
        if self.masked:
            masks = torch.ones(count, 1, size, size, dtype=torch.bool)
            masks[..., : size // 2] = False
        return Drawn(patches, {}, {}, masks)


@pytest.mark.parametrize("masked", [False, True])
def test_samples_stand_in_rows_of_one_size_each_pixel_by_pixel(masked):
    source = Striped(masked).train()
    picture = draw_samples(source, [8, 16, 32], seed=5)
    assert picture.shape == (GAP + 3 * (32 + GAP), GAP + SAMPLES * (32 + GAP), 3)
    assert source.modes == [False] * 3
    assert source.training
    assert source.drop.training
    for row, size in enumerate((8, 16, 32)):
        for column in range(SAMPLES):
            generator = make_generator(5, PICTURE_USE, size, column)
            sample = torch.rand((3, size, size), generator=generator)
            if masked:
                sample[..., : size // 2] = 0.5
            expected = np.rint(255 * sample.permute(1, 2, 0).numpy()).astype(np.uint8)
            factor = 32 // size
            top, left = GAP + row * (32 + GAP), GAP + column * (32 + GAP)
            for y, x in ((0, 0), (size - 1, size - 1), (size // 3, size // 2)):
                cell = picture[
                    top + y * factor : top + (y + 1) * factor,
                    left + x * factor : left + (x + 1) * factor,
                ]
                assert (cell == expected[y, x]).all()
    assert (picture[:GAP] == PAPER).all()
    assert (picture[:, :GAP] == PAPER).all()
    assert (picture[GAP + 32 : 2 * GAP + 32] == PAPER).all()


def tiny_flow():
    torch.manual_seed(0)
    flow = build_flow("glow_small", steps=1, hidden=4)
    crops = torch.randint(0, 256, (4, 3, 16, 16), generator=make_generator(1))
    flow.initialise(crops, [make_generator(2, index) for index in range(4)])
    return flow.train()


SOURCES = {
    "flow itself": tiny_flow,
    "flow": lambda: build_source("flow", flow=tiny_flow()),
    "gan": lambda: build_source("gan", latent_channels=4, width=4),
    "fractal_noise": lambda: build_source("fractal_noise"),
}


@pytest.mark.parametrize("name", SOURCES)
def test_pictures_change_with_the_weights_alone_and_change_nothing(name):
    torch.manual_seed(0)
    source = SOURCES[name]()
    before = {key: tensor.clone() for key, tensor in source.state_dict().items()}
    state = torch.get_rng_state()
    first = draw_samples(source, [8, 16], seed=5)
    assert np.array_equal(draw_samples(source, [8, 16], seed=5), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[key], tensor) for key, tensor in source.state_dict().items())
    assert all(p.grad is None for p in source.parameters())
    assert not np.array_equal(draw_samples(source, [8, 16], seed=6), first)
    parts = (
        first[GAP : GAP + 16, GAP : GAP + 16],
        first[GAP : GAP + 16, 2 * GAP + 16 : 2 * GAP + 32],
    )
    assert not np.array_equal(*parts)
    learned = list(source.parameters())
    if learned:
        with torch.no_grad():
            for parameter in learned:
                parameter += 0.1
        assert not np.array_equal(draw_samples(source, [8, 16], seed=5), first)


def test_samples_of_a_flow_are_those_that_it_pastes():
    flow = tiny_flow()
    source = build_source("flow", flow=flow, temperature=0.5)
    flow.eval()
    generators = [make_generator(5, PICTURE_USE, 8, index) for index in range(SAMPLES)]
    with torch.no_grad():
        expected = flow.sample(8, 8, generators, temperature=0.5)[0]
    cell = draw_samples(source, [8], seed=5)[GAP : GAP + 8, GAP : GAP + 8]
    np.testing.assert_array_equal(cell, (255 * expected).round().byte().permute(1, 2, 0))


class Painter(nn.Module):
    def __init__(self):
        super().__init__()
        random = torch.Generator().manual_seed(1)
        self.weight = nn.Parameter(0.05 * torch.randn(12, 3, 4, 4, generator=random))
        self.drop = nn.Dropout2d(0.9)

    def forward(self, images):
        return SegmentationOutput(
            self.drop(nn.functional.conv2d(images - 128, self.weight, stride=4))
        )


def test_predictions_stand_beside_their_images():
    random = np.random.default_rng(2)
    images = [random.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in ((16, 24), (32, 16))]
    network = Painter().train()
    picture = draw_predictions(network, images, SCORE, SPACE, None)
    assert network.drop.training
    assert picture.shape == (GAP + 2 * (32 + GAP), GAP + 3 * (24 + GAP), 3)
    for row, image in enumerate(images):
        nearest, anomaly = predict(network.eval(), image, SCORE, SPACE, None)
        parts = (image, colour_labels(nearest, SPACE), draw_heatmap(anomaly))
        for column, part in enumerate(parts):
            top, left = GAP + row * (32 + GAP), GAP + column * (24 + GAP)
            cell = picture[top : top + part.shape[0], left : left + part.shape[1]]
            np.testing.assert_array_equal(cell, part)
    assert (picture[GAP + 16 : GAP + 32, :] == PAPER).all()  # beside the lower image


def test_large_images_are_reduced():
    image = np.full((100, 2 * SHOWN_WIDTH, 3), 77, np.uint8)
    picture = draw_predictions(Painter(), [image], SCORE, SPACE, None)
    assert picture.shape == (GAP + 50 + GAP, GAP + 3 * (SHOWN_WIDTH + GAP), 3)
    assert (picture[GAP : GAP + 50, GAP : GAP + SHOWN_WIDTH] == 77).all()

"""Parameters and multiply-adds, counted and printed."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn
from torch.nn import functional

from open_set_seg import cli
from open_set_seg.checkpoint import CheckpointMetadata, save_checkpoint
from open_set_seg.label_spaces import CITYSCAPES, STREETHAZARDS
from open_set_seg.models import MODELS, build_model, count_multiply_adds, count_parameters

STEM = 512 * 1024 * 64 * 3 * 7 * 7  # multiply-adds of the first convolution at 1024 x 2048


def on_shapes(name, **options):
    with torch.device("meta"):
        return build_model(name, 19, **options).eval()


def test_multiply_adds_are_those_of_the_papers():
    swiftnet = count_multiply_adds(on_shapes("swiftnet_rn18"), 1024, 2048)
    assert round(swiftnet / 1e9, 1) == 103.6
    ladder = count_multiply_adds(on_shapes("ldn_121"), 1024, 2048)
    # Counters that hook the modules of the published code miss its stem and find 200.8 G.
    assert round((ladder - STEM) / 1e9, 1) == 200.8
    assert round(ladder / 1e9, 1) == 205.7


def test_the_outlier_head_adds_two_classes():
    for name in MODELS:
        one, two = (on_shapes(name, outlier_head=head) for head in (False, True))
        extra = count_multiply_adds(two, 1024, 2048) - count_multiply_adds(one, 1024, 2048)
        assert extra == 128 * 2 * 256 * 512


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("size", [(64, 128), (61, 90), (1, 1)])
def test_the_count_equals_that_of_every_convolution_that_runs(name, size):
    model = build_model(name, 5, 0.125, True).eval()
    counted = []

    def count(module, _, output):
        rows, columns = module.kernel_size
        counted.append(output.numel() * module.in_channels * rows * columns)

    hooks = [
        module.register_forward_hook(count)
        for module in model.modules()
        if isinstance(module, nn.Conv2d)
    ]
    with torch.inference_mode():
        model(torch.rand(1, 3, *size) * 255)
    for hook in hooks:
        hook.remove()
    assert count_multiply_adds(model, *size) == sum(counted) > 0


class Mixture(nn.Module):
    """What only a part of the counters see: groups, a transposed convolution, matrix products."""

    def __init__(self):
        super().__init__()
        self.grouped = nn.Conv2d(3, 6, 3, groups=3, padding=1)
        self.up = nn.ConvTranspose2d(6, 4, 2, stride=2)
        self.linear = nn.Linear(4, 7)
        self.register_buffer("matrix", torch.rand(7, 5))

    def forward(self, x):
        x = self.up(self.grouped(x)).flatten(2).transpose(1, 2)
        return functional.softmax(self.linear(x) @ self.matrix, dim=-1)


def test_groups_transposed_convolutions_and_matrix_products_count():
    grouped = 8 * 10 * 6 * 9
    transposed = 8 * 10 * 6 * 4 * 4
    pixels = 16 * 20
    expected = grouped + transposed + pixels * 4 * 7 + pixels * 7 * 5
    assert count_multiply_adds(Mixture().eval(), 8, 10) == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_model_stays_as_it_is(dtype):
    model = build_model("ldn_121", 5, 0.0625).to(dtype)
    before = {n: t.clone() for n, t in model.state_dict().items()}
    count_multiply_adds(model.eval(), 512, 1024)
    after = model.state_dict()
    assert all(torch.equal(after[n], t) and after[n].device == t.device for n, t in before.items())


def test_a_size_without_pixels_is_refused():
    with pytest.raises(ValueError, match="found 5 x 0"):
        count_multiply_adds(nn.Conv2d(3, 3, 1), 0, 5)


def test_frozen_parameters_are_parameters():
    model = nn.Conv2d(2, 3, 1)
    model.weight.requires_grad_(False)
    assert count_parameters(model) == 2 * 3 + 3


# The command


def info(tmp_path, capsys, name, space, *options, **choices):
    torch.manual_seed(0)
    path = tmp_path / f"{name}.safetensors"
    model = build_model(name, space.num_classes, **choices)
    save_checkpoint(path, model, CheckpointMetadata(name, space, "1.0", **choices))
    assert cli.main(["info", str(path), *options]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "network", "multiply_adds"),
    [
        ("swiftnet_rn18", "swiftnet_rn18, width 1, 11,797,071 parameters", "103.6 G"),
        ("ldn_121", "ldn_121, width 1, 11,067,414 parameters", "205.7 G"),
    ],
)
def test_info_prints_the_cost_of_the_published_networks(
    tmp_path, capsys, name, network, multiply_adds
):
    told = info(tmp_path, capsys, name, CITYSCAPES)
    assert re.search(rf"^network +{re.escape(network)}$", told, re.MULTILINE)
    assert re.search(
        rf"^multiply-adds +[\d,]+ \({multiply_adds}\) for an image of 2048 x 1024$",
        told,
        re.MULTILINE,
    )


def test_info_counts_for_the_size_that_is_asked_for(tmp_path, capsys):
    options = {"width": 0.0625, "outlier_head": True}
    told = info(tmp_path, capsys, "ldn_121", STREETHAZARDS, "--size", "90x61", **options)
    expected = count_multiply_adds(build_model("ldn_121", 12, **options).eval(), 61, 90)
    assert f" {expected:,} (" in told
    assert told.count("for an image of 90 x 61") == 1
    assert ", with an outlier head, " in told


@pytest.mark.parametrize("size", ["2048", "2048x", "0x512", "-1x5", "axb", "1x2x3", "2048 x 1024"])
def test_a_size_that_is_none_is_one_line_and_exit_code_2(capsys, size):
    assert cli.main(["info", f"--size={size}"]) == 2
    error = capsys.readouterr().err
    assert error == f"open-set-seg: expected --size as WIDTHxHEIGHT in pixels, found {size!r}\n"

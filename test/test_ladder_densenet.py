"""Ladder-DenseNet-121: sizes, names, arithmetic, checkpoints."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from open_set_seg.checkpoint import CheckpointMetadata, load_checkpoint, save_checkpoint
from open_set_seg.head import open_set_head
from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.models import LadderDenseNet, build_model, count_parameters
from open_set_seg.models.densenet import Transition
from open_set_seg.segmenter import OpenSetSegmenter

NORM = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
BLOCKS = {1: 6, 2: 12, 3: 24, 4: 16}


def on_shapes(*arguments, **options):
    """A network without memory behind its tensors."""
    with torch.device("meta"):
        return build_model("ldn_121", *arguments, **options)


@pytest.fixture(scope="module")
def small():
    """A narrow network with both heads whose normalisations do something."""
    torch.manual_seed(1)
    model = LadderDenseNet(5, width=0.125, outlier_head=True)
    randomise(model)
    return model.eval()


def randomise(model):
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.weight, module.running_var):
                    tensor.uniform_(0.5, 1.5)
                for tensor in (module.bias, module.running_mean):
                    tensor.uniform_(-0.5, 0.5)


# Sizes and names


@pytest.mark.parametrize(
    ("classes", "outlier_head", "parameters"),
    [(19, False, 11067414), (19, True, 11067928), (12, False, 11066511), (12, True, 11067025)],
)
def test_parameter_count_is_that_of_the_published_network(classes, outlier_head, parameters):
    assert count_parameters(on_shapes(classes, outlier_head=outlier_head)) == parameters


def test_the_parts_have_the_published_sizes():
    model = on_shapes(19)
    assert count_parameters(model.backbone) == 6_951_808
    assert count_parameters(model.spp) == 1_318_912
    assert count_parameters(model.upsample) == 2_793_987
    unused = [count_parameters(u.logits_aux) for u in model.upsample.upsample_layers.values()]
    assert unused == [1537, 769, 769]
    assert [model.backbone.out_channels, model.logits.conv.in_channels] == [
        [256, 512, 1024, 1024],
        128,
    ]


def unit_names(prefix, norm="norm", conv="conv", bias=False):
    names = {f"{prefix}.{norm}.{n}" for n in NORM} | {f"{prefix}.{conv}.weight"}
    return names | ({f"{prefix}.{conv}.bias"} if bias else set())


@pytest.mark.parametrize(("outlier_head", "entries"), [(False, 820), (True, 827)])
def test_state_dict_has_the_published_names(outlier_head, entries):
    expected = unit_names("backbone.features", "norm0", "conv0")
    for block, layers in BLOCKS.items():
        for layer in range(1, layers + 1):
            prefix = f"backbone.features.denseblock{block}.denselayer{layer}"
            expected |= unit_names(prefix, "norm1", "conv1") | unit_names(prefix, "norm2", "conv2")
        if block < 4:
            expected |= unit_names(f"backbone.features.transition{block}")
    for unit in ("spp_bn", "spp0", "spp1", "spp2", "spp3", "spp_fuse"):
        expected |= unit_names(f"spp.spp.spp.{unit}")
    for index in range(3):
        prefix = f"upsample.upsample_layers.upsample_{index}"
        expected |= unit_names(f"{prefix}.bottleneck") | unit_names(f"{prefix}.blend_conv")
        expected |= unit_names(f"{prefix}.logits_aux", bias=True)
    expected |= unit_names("logits", bias=True)
    if outlier_head:
        expected |= unit_names("logits_ood", bias=True)
    names = set(on_shapes(19, outlier_head=outlier_head).state_dict())
    assert names == expected
    assert len(names) == entries


def test_the_ladder_narrows_as_published():
    model = on_shapes(19)
    units = model.upsample.upsample_layers.values()
    lateral = [(u.bottleneck.conv.in_channels, u.bottleneck.conv.out_channels) for u in units]
    assert lateral == [(1024, 512), (512, 256), (256, 256)]
    assert [u.blend_conv.conv.out_channels for u in units] == [256, 256, 128]
    pyramid = model.spp.spp.spp
    assert [pyramid[f"spp{i}"].conv.out_channels for i in range(4)] == [128] * 4
    assert pyramid["spp_fuse"].conv.in_channels == 1024


def test_normalisation_statistics_move_at_the_published_speed():
    norms = [m for m in on_shapes(19, outlier_head=True).modules() if hasattr(m, "running_mean")]
    assert {(m.momentum, m.eps) for m in norms} == {(0.01, 1e-5)}


def test_width_scales_every_channel_count():
    model = on_shapes(12, width=0.25)
    features = model.backbone.features
    assert features["conv0"].out_channels == 16
    layer = features["denseblock1"]["denselayer2"]
    assert (layer.conv1.in_channels, layer.conv1.out_channels) == (16 + 8, 32)
    assert layer.conv2.out_channels == 8
    assert model.backbone.out_channels == [64, 128, 256, 256]
    assert model.spp.spp.spp["spp_bn"].conv.out_channels == 128
    assert [u.blend_conv.conv.out_channels for u in model.upsample.upsample_layers.values()] == [
        64,
        64,
        32,
    ]


@pytest.mark.parametrize("width", [0.001, 0.01, 0.3])
def test_every_width_can_be_run(width):
    model = build_model("ldn_121", 3, width=width).eval()
    assert torch.isfinite(model(torch.rand(1, 3, 32, 64) * 255).logits).all()


# Arithmetic


@pytest.mark.parametrize(
    "size", [(64, 128), (33, 61), (62, 90), (250, 331), (1, 1), (32, 32), (5, 200)]
)
def test_any_input_size_gives_logits_at_stride_four(small, size):
    image = torch.rand(2, 3, *size) * 255
    before = image.clone()
    with torch.inference_mode():
        output = small(image)
    rows, columns = -(-size[0] // 4), -(-size[1] // 4)
    assert output.logits.shape == (2, 5, rows, columns)
    assert output.outlier_logits.shape == (2, 2, rows, columns)
    assert output.features.shape == (2, 16, rows, columns)
    assert torch.isfinite(output.logits).all()
    assert torch.equal(image, before)


@pytest.mark.parametrize("size", [(64, 96), (129, 203)])
def test_encoder_strides(small, size):
    with torch.inference_mode():
        maps = small.backbone(torch.rand(1, 3, *size))
    for stride, channels, found in zip((4, 8, 16, 32), (32, 64, 128, 128), maps, strict=True):
        assert found.shape == (1, channels, -(-size[0] // stride), -(-size[1] // stride))


def test_there_is_no_outlier_head_unless_asked_for():
    model = build_model("ldn_121", 5, width=0.125).eval()
    assert model(torch.rand(1, 3, 32, 32)).outlier_logits is None


def normalise(norm, x):
    shape = (1, -1, 1, 1)
    deviation = (norm.running_var + 1e-5).sqrt().view(shape)
    scaled = (x - norm.running_mean.view(shape)) / deviation
    return scaled * norm.weight.view(shape) + norm.bias.view(shape)


def unit(norm, conv, x):
    x = normalise(norm, x).clamp(min=0)
    return functional.conv2d(x, conv.weight, conv.bias, padding=conv.kernel_size[0] // 2)


def mean_of_neighbours(x):
    """3x3 means at every second pixel, over what lies inside the image."""
    ones = torch.ones(x.shape[1], 1, 3, 3, dtype=x.dtype)
    sums = functional.conv2d(x, ones, padding=1, groups=x.shape[1])
    counts = functional.conv2d(torch.ones_like(x), ones, padding=1, groups=x.shape[1])
    return (sums / counts)[:, :, ::2, ::2]


def upsample(x, size):
    return functional.interpolate(x, size, mode="bilinear", align_corners=False)


@pytest.mark.parametrize("size", [(64, 160), (96, 100)])
def test_the_network_is_the_published_one(small, size):
    """All of it by hand, from 0..255 to both heads."""
    model = copy.deepcopy(small).double()
    image = torch.rand(1, 3, *size, dtype=torch.float64) * 255
    features = model.backbone.features
    x = functional.conv2d(image / 255, features["conv0"].weight, stride=2, padding=3)
    x = normalise(features["norm0"], x).clamp(min=0)
    x = x.unflatten(2, (-1, 2)).unflatten(4, (-1, 2)).amax(dim=(3, 5))
    skips = []
    for block, layers in BLOCKS.items():
        for number in range(1, layers + 1):
            layer = features[f"denseblock{block}"][f"denselayer{number}"]
            grown = unit(layer.norm2, layer.conv2, unit(layer.norm1, layer.conv1, x))
            x = torch.cat([x, grown], 1)
        skips.append(x)
        if block < 4:
            transition = features[f"transition{block}"]
            x = mean_of_neighbours(unit(transition.norm, transition.conv, x))
    pyramid = model.spp.spp.spp
    x = unit(pyramid["spp_bn"].norm, pyramid["spp_bn"].conv, skips.pop())
    levels = [x]
    for index, rows in enumerate((8, 4, 2, 1)):
        grid = (rows, max(1, round(x.shape[3] / x.shape[2] * rows)))
        level = functional.adaptive_avg_pool2d(x, grid)
        part = pyramid[f"spp{index}"]
        levels.append(upsample(unit(part.norm, part.conv, level), x.shape[2:]))
    x = unit(pyramid["spp_fuse"].norm, pyramid["spp_fuse"].conv, torch.cat(levels, 1))
    for index in range(3):
        part = model.upsample.upsample_layers[f"upsample_{index}"]
        skip = skips.pop()
        lateral = unit(part.bottleneck.norm, part.bottleneck.conv, skip)
        x = upsample(x, skip.shape[2:]) + lateral
        x = unit(part.blend_conv.norm, part.blend_conv.conv, x)
    output = model(image)
    exact = {"rtol": 1e-10, "atol": 1e-10}
    torch.testing.assert_close(output.features, x, **exact)
    logits = unit(model.logits.norm, model.logits.conv, x)
    torch.testing.assert_close(output.logits, logits, **exact)
    outlier_logits = unit(model.logits_ood.norm, model.logits_ood.conv, x)
    torch.testing.assert_close(output.outlier_logits, outlier_logits, **exact)


def test_a_transition_leaves_the_border_out_of_its_means():
    transition = Transition(4, 0.01).eval()
    x = torch.ones(1, 4, 7, 10)
    result = transition(x)
    assert result.shape == (1, 2, 4, 5)
    torch.testing.assert_close(result, result[:, :, :1, :1].expand_as(result))


def test_what_is_trained_gets_a_gradient_and_the_unused_classifiers_take_none():
    model = build_model("ldn_121", 5, width=0.0625, outlier_head=True).train()
    output = model(torch.rand(2, 3, 64, 96) * 255)
    (output.logits.square().mean() + output.outlier_logits.square().mean()).backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == ("logits_aux" in name), name
        assert parameter.requires_grad != ("logits_aux" in name), name
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name


# Checkpoints and the pipeline


def test_a_checkpoint_brings_it_back_and_the_segmenter_runs_it(tmp_path):
    torch.manual_seed(2)
    model = build_model("ldn_121", STREETHAZARDS.num_classes, 0.0625, outlier_head=True)
    randomise(model)
    metadata = CheckpointMetadata(
        "ldn_121", STREETHAZARDS, "1.0", width=0.0625, outlier_head=True, threshold=0.6
    )
    path = tmp_path / "model.safetensors"
    digest = save_checkpoint(path, model, metadata)
    loaded, found = load_checkpoint(path)
    assert isinstance(loaded, LadderDenseNet)
    assert found == dataclasses.replace(metadata, weights_sha256=digest)
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    image = np.random.default_rng(4).integers(0, 256, (61, 90, 3), dtype=np.uint8)
    prediction = OpenSetSegmenter.from_checkpoint(path, "cpu", backend="pytorch").segment(image)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        nearest, anomaly = open_set_head(model.eval()(tensor).logits, (61, 90))
    np.testing.assert_array_equal(prediction.nearest, nearest[0].numpy())
    np.testing.assert_allclose(prediction.anomaly, anomaly[0].numpy(), atol=1e-5)

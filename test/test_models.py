"""SwiftNet: sizes, names, importers; facts of the published network."""

from __future__ import annotations

import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from open_set_seg.models import (
    MODELS,
    SwiftNet,
    WeightsError,
    build_model,
    count_parameters,
    load_imagenet_resnet18,
    load_swiftnet_upstream,
)
from open_set_seg.models.resnet import BasicBlock
from open_set_seg.models.swiftnet import PYRAMID_MOMENTUM, PYRAMID_ROWS
from open_set_seg.models.units import NormReluConv, PyramidPooling, pyramid_grids


@pytest.mark.parametrize(
    ("classes", "parameters"), [(19, 11797071), (12, 11796168), (65, 11803005)]
)
def test_parameter_count_is_that_of_the_published_network(classes, parameters):
    assert count_parameters(build_model("swiftnet_rn18", classes)) == parameters


def test_the_parts_have_the_published_sizes():
    model = SwiftNet(19)
    assert count_parameters(model.backbone.spp) == 116_476
    assert count_parameters(model.backbone.upsample) == 501_376
    assert count_parameters(model.logits) == 2_707


def test_state_dict_has_the_published_names():
    names = set(SwiftNet(19).state_dict())
    assert len(names) == 195
    normalisation = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    expected = {"backbone.img_mean", "backbone.img_std", "backbone.conv1.weight"}
    expected |= {f"backbone.bn1.{n}" for n in normalisation}
    for stage in (1, 2, 3, 4):
        for block in (0, 1):
            for unit in (1, 2):
                expected.add(f"backbone.layer{stage}.{block}.conv{unit}.weight")
                expected |= {f"backbone.layer{stage}.{block}.bn{unit}.{n}" for n in normalisation}
        if stage > 1:
            expected.add(f"backbone.layer{stage}.0.downsample.0.weight")
            expected |= {f"backbone.layer{stage}.0.downsample.1.{n}" for n in normalisation}
    units = [f"backbone.spp.spp.{u}" for u in ("spp_bn", "spp0", "spp1", "spp2", "spp_fuse")]
    units += [f"backbone.upsample.{i}.{u}" for i in range(3) for u in ("bottleneck", "blend_conv")]
    for unit in [*units, "logits"]:
        expected.add(f"{unit}.conv.weight")
        expected |= {f"{unit}.norm.{n}" for n in normalisation}
    expected.add("logits.conv.bias")
    assert names == expected


def test_normalisation_statistics_move_at_the_published_speeds():
    model = SwiftNet(19)
    pyramid, decoder, everything = (
        [m for m in part.modules() if isinstance(m, nn.BatchNorm2d)]
        for part in (model.backbone.spp, model.backbone.upsample, model)
    )
    assert {m.momentum for m in pyramid} == {0.005}
    assert {m.momentum for m in decoder} == {0.1}
    assert {m.eps for m in everything} == {1e-5}


@pytest.mark.parametrize(
    ("size", "grids"),
    [
        ((32, 64), [(8, 16), (4, 8), (2, 4)]),  # 1024 x 2048
        ((23, 40), [(8, 14), (4, 7), (2, 3)]),  # 720 x 1280 at stride 32, rounded up
        ((8, 10), [(8, 10), (4, 5), (2, 2)]),  # 2.5 columns round to the even 2
        ((8, 14), [(8, 14), (4, 7), (2, 4)]),  # 3.5 columns round to the even 4
        ((40, 1), [(8, 1), (4, 1), (2, 1)]),  # never less than one column
    ],
)
def test_pyramid_grid_follows_the_aspect_ratio(size, grids):
    assert pyramid_grids(*size, PYRAMID_ROWS) == grids


@pytest.mark.parametrize("size", [(64, 128), (33, 61), (250, 331), (1, 1), (32, 32), (5, 200)])
def test_any_input_size_gives_logits_at_stride_four(size):
    model = build_model("swiftnet_rn18", 12, width=0.125).eval()
    with torch.inference_mode():
        output = model(torch.rand(2, 3, *size) * 255)
    assert output.logits.shape == (2, 12, -(-size[0] // 4), -(-size[1] // 4))
    assert output.outlier_logits is None
    assert output.features.shape[1] == 16
    assert torch.isfinite(output.logits).all()


def test_the_input_is_not_changed():
    model = build_model("swiftnet_rn18", 4, width=0.125).eval()
    image = torch.rand(1, 3, 32, 64) * 255
    before = image.clone()
    model(image)
    assert torch.equal(image, before)


def test_normalisation_comes_from_the_buffers():
    model = build_model("swiftnet_rn18", 4, width=0.125).eval()
    image = torch.rand(1, 3, 32, 64) * 255
    plain = model(image).logits
    model.backbone.img_mean.fill_(10.0)
    model.backbone.img_std.fill_(5.0)
    mean = torch.tensor([73.15, 82.90, 72.3]).view(1, 3, 1, 1)
    std = torch.tensor([47.67, 48.49, 47.73]).view(1, 3, 1, 1)
    same = model((image - mean) / std * 5.0 + 10.0).logits
    torch.testing.assert_close(same, plain, rtol=1e-4, atol=1e-4)


def test_blocks_return_the_sum_before_its_relu():
    block = BasicBlock(4, 8, stride=2).eval()
    x = torch.randn(2, 4, 10, 12)
    after, before = block(x)
    inner = torch.relu(block.bn1(block.conv1(x)))
    expected = block.bn2(block.conv2(inner)) + block.downsample(x)
    torch.testing.assert_close(before, expected)
    assert (before < 0).any()
    assert torch.equal(after, before.clamp(min=0))


def test_skips_and_pyramid_read_the_sums_before_the_relu():
    """The logits from the parts, put together by hand."""
    model = SwiftNet(5, width=0.125).eval()
    net = model.backbone
    image = torch.rand(1, 3, 96, 160) * 255
    x = torch.relu(net.bn1(net.conv1((image - net.img_mean) / net.img_std)))
    x = functional.max_pool2d(x, 3, 2, 1)
    skips = []
    for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
        x, _ = stage[0](x)
        x, before = stage[1](x)
        skips.append(before)
    x = net.spp(skips[3])
    for unit, skip in zip(net.upsample, (skips[2], skips[1], skips[0]), strict=True):
        x = functional.interpolate(x, skip.shape[2:], mode="bilinear", align_corners=False)
        x = unit.blend_conv(x + unit.bottleneck(skip))
    torch.testing.assert_close(model(image).logits, model.logits(x))


def test_pyramid_keeps_a_constant_map_constant():
    pool = PyramidPooling(8, 12, PYRAMID_ROWS, PYRAMID_MOMENTUM).eval()
    x = torch.randn(1, 8, 1, 1).expand(1, 8, 7, 11)
    result = pool(x)
    torch.testing.assert_close(result, result[:, :, :1, :1].expand_as(result))


def test_units_normalise_before_they_convolve():
    unit = NormReluConv(3, 5, 3)
    assert [type(m).__name__ for m in unit] == ["BatchNorm2d", "ReLU", "Conv2d"]
    assert unit.conv.bias is None


def test_width_scales_every_channel_count():
    model = build_model("swiftnet_rn18", 12, width=0.25)
    channels = [model.backbone.conv1.out_channels]
    channels += [getattr(model.backbone, f"layer{i}")[1].conv2.out_channels for i in (1, 2, 3, 4)]
    assert channels == [16, 16, 32, 64, 128]
    assert model.logits.conv.in_channels == 32
    assert 0.70e6 < count_parameters(model) < 0.78e6


def test_outlier_head_adds_two_channels_on_the_same_features():
    model = build_model("swiftnet_rn18", 12, width=0.125, outlier_head=True).eval()
    output = model(torch.rand(1, 3, 64, 64) * 255)
    assert output.outlier_logits.shape == (1, 2, 16, 16)
    torch.testing.assert_close(output.outlier_logits, model.logits_ood(output.features))


def test_every_parameter_gets_a_gradient():
    model = build_model("swiftnet_rn18", 5, width=0.125, outlier_head=True).train()
    output = model(torch.rand(2, 3, 64, 96) * 255)
    (output.logits.square().mean() + output.outlier_logits.square().mean()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resnet", 19), "swiftnet_rn18"),
        (("swiftnet_rn18", 1), "num_classes"),
        (("swiftnet_rn18", 255), "num_classes"),
        (("swiftnet_rn18", 19, 0.0), "width"),
    ],
)
def test_what_cannot_be_built_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_model(*arguments)
    assert "swiftnet_rn18" in MODELS


# Importers


@pytest.fixture(scope="module")
def published():
    torch.manual_seed(3)
    model = SwiftNet(7)
    model.backbone.img_mean.fill_(80.0)
    return model.eval()


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_published_state_dict_loads_strictly(tmp_path, published, suffix):
    path = tmp_path / f"swiftnet{suffix}"
    state = published.state_dict()
    if suffix == ".pt":
        torch.save(state, path)
    else:
        save_file(state, path)
    model = load_swiftnet_upstream(path)
    assert model.logits.conv.out_channels == 7
    assert not model.training
    image = torch.rand(1, 3, 64, 96) * 255
    with torch.inference_mode():
        assert torch.equal(model(image).logits, published(image).logits)


@pytest.mark.parametrize("change", ["missing", "unexpected", "shape", "foreign", "empty"])
def test_a_state_dict_that_does_not_fit_is_refused_by_name(tmp_path, published, change):
    state = dict(published.state_dict())
    if change == "missing":
        del state["backbone.img_std"]
    elif change == "unexpected":
        state["backbone.img_scale"] = torch.ones(1)
    elif change == "shape":
        state["backbone.conv1.weight"] = torch.zeros(64, 3, 3, 3)
    elif change == "foreign":
        state = {"epoch": torch.tensor(3)}
    else:
        state = {}
    path = tmp_path / "swiftnet.pt"
    torch.save(state, path)
    named = {
        "missing": "missing backbone.img_std",
        "unexpected": "unexpected backbone.img_scale",
        "shape": r"backbone.conv1.weight expected \(64, 3, 7, 7\) found \(64, 3, 3, 3\)",
        "foreign": "found epoch",
        "empty": "found nothing",
    }[change]
    with pytest.raises(WeightsError, match=named):
        load_swiftnet_upstream(path)


class _Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("legacy", [False, True])
def test_weights_that_carry_code_are_refused_and_the_code_does_not_run(tmp_path, legacy):
    bomb, path = tmp_path / "exploded", tmp_path / "weights.pt"
    if legacy:
        path.write_bytes(pickle.dumps(_Bomb(bomb)))
    else:
        torch.save({"logits.conv.weight": _Bomb(bomb)}, path)
    with pytest.raises(WeightsError):
        load_swiftnet_upstream(path)
    assert not bomb.exists()


def test_unreadable_weights_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="nothing there"):
        load_swiftnet_upstream(tmp_path / "none.pt")
    for name, content in [("a.pt", b""), ("b.pt", b"hello"), ("c.safetensors", b"hello world")]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match="not a readable file"):
            load_swiftnet_upstream(tmp_path / name)
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(WeightsError, match="mapping"):
        load_swiftnet_upstream(tmp_path / "list.pt")


def _imagenet_state():
    """A state dict with the names and shapes of torchvision's resnet18, filled with noise."""
    encoder = SwiftNet(19).backbone.state_dict()
    state = {n: t for n, t in encoder.items() if n.startswith(("conv1.", "bn1.", "layer"))}
    generator = torch.Generator().manual_seed(5)
    state = {
        n: torch.rand(t.shape, generator=generator) if t.is_floating_point() else t + 1
        for n, t in state.items()
    }
    return state | {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}


def test_imagenet_weights_fill_the_whole_encoder(tmp_path):
    state = _imagenet_state()
    assert len(state) == 122  # torchvision's resnet18
    torch.save(state, tmp_path / "resnet18.pth")
    model = SwiftNet(12)
    decoder = {n: t.clone() for n, t in model.state_dict().items()}
    load_imagenet_resnet18(model, tmp_path / "resnet18.pth")
    changed = {n for n, t in model.state_dict().items() if not torch.equal(t, decoder[n])}
    assert changed == {f"backbone.{n}" for n in state if not n.startswith("fc.")}
    for name, tensor in state.items():
        if not name.startswith("fc."):
            assert torch.equal(model.backbone.state_dict()[name], tensor)


@pytest.mark.parametrize("change", ["missing", "unexpected", "narrow"])
def test_imagenet_weights_that_do_not_fit_are_refused(tmp_path, change):
    state = _imagenet_state()
    model = SwiftNet(12, width=0.5 if change == "narrow" else 1.0)
    if change == "missing":
        del state["layer4.1.bn2.running_var"]
    elif change == "unexpected":
        state["layer5.weight"] = torch.zeros(1)
    torch.save(state, tmp_path / "resnet18.pth")
    match = {"missing": "layer4.1.bn2.running_var", "unexpected": "layer5", "narrow": "shapes"}
    with pytest.raises(WeightsError, match=match[change]):
        load_imagenet_resnet18(model, tmp_path / "resnet18.pth")

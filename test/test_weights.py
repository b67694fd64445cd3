"""Importers of Ladder-DenseNet-121, of two heads, and of ImageNet's DenseNet-121."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from open_set_seg.models import (
    LadderDenseNet,
    SwiftNet,
    WeightsError,
    load_imagenet,
    load_imagenet_densenet121,
    load_ldn_upstream,
    load_swiftnet_upstream,
)

NORM = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
BLOCKS = {1: 6, 2: 12, 3: 24, 4: 16}


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("outlier_head", [False, True], ids=["820", "827"])
def test_a_published_state_dict_loads_strictly(tmp_path, suffix, outlier_head):
    torch.manual_seed(3)
    published = LadderDenseNet(7, outlier_head=outlier_head).eval()
    path = tmp_path / f"ldn{suffix}"
    if suffix == ".pt":
        torch.save(published.state_dict(), path)
    else:
        save_file(published.state_dict(), path)
    model = load_ldn_upstream(path)
    assert model.logits.conv.out_channels == 7
    assert (model.logits_ood is not None) == outlier_head
    assert not model.training
    image = torch.rand(1, 3, 64, 96) * 255
    with torch.inference_mode():
        found, expected = model(image), published(image)
    assert torch.equal(found.logits, expected.logits)
    assert not outlier_head or torch.equal(found.outlier_logits, expected.outlier_logits)


@pytest.mark.parametrize("change", ["missing", "unexpected", "shape", "foreign"])
def test_a_state_dict_that_does_not_fit_is_refused_by_name(tmp_path, change):
    state = LadderDenseNet(7).state_dict()
    if change == "missing":
        del state["upsample.upsample_layers.upsample_1.logits_aux.conv.bias"]
    elif change == "unexpected":
        state["backbone.features.norm5.weight"] = torch.ones(1024)
    elif change == "shape":
        state["backbone.features.conv0.weight"] = torch.zeros(96, 3, 7, 7)
    else:
        state = {"epoch": torch.tensor(3)}
    torch.save(state, tmp_path / "ldn.pt")
    named = {
        "missing": r"missing upsample\.upsample_layers\.upsample_1\.logits_aux\.conv\.bias",
        "unexpected": r"unexpected backbone\.features\.norm5\.weight",
        "shape": r"conv0\.weight expected \(64, 3, 7, 7\) found \(96, 3, 7, 7\)",
        "foreign": "expected a Ladder-DenseNet-121 state dict with .* found epoch",
    }[change]
    with pytest.raises(WeightsError, match=named):
        load_ldn_upstream(tmp_path / "ldn.pt")


def test_the_other_networks_state_dict_is_refused(tmp_path):
    torch.save(SwiftNet(7).state_dict(), tmp_path / "swiftnet.pt")
    with pytest.raises(WeightsError, match=r"missing backbone\.features"):
        load_ldn_upstream(tmp_path / "swiftnet.pt")


def test_a_swiftnet_with_two_heads_loads_strictly(tmp_path):
    published = SwiftNet(7, outlier_head=True).eval()
    assert len(published.state_dict()) == 202
    torch.save(published.state_dict(), tmp_path / "swiftnet.pt")
    model = load_swiftnet_upstream(tmp_path / "swiftnet.pt")
    for name, tensor in published.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name


def torchvision_state(old=False):
    """Names and shapes of torchvision's densenet121 by its definition, filled with noise.

    Its published file is ``old``: a dot before the number, and no counters.
    """
    shapes = {}

    def add_norm(name, channels):
        shapes.update({f"{name}.{n}": (channels,) for n in NORM[:4]})
        if not old:
            shapes[f"{name}.num_batches_tracked"] = ()

    dot = "." if old else ""
    shapes["features.conv0.weight"] = (64, 3, 7, 7)
    add_norm("features.norm0", 64)
    channels = 64
    for block, layers in BLOCKS.items():
        for layer in range(1, layers + 1):
            prefix = f"features.denseblock{block}.denselayer{layer}"
            add_norm(f"{prefix}.norm{dot}1", channels)
            shapes[f"{prefix}.conv{dot}1.weight"] = (128, channels, 1, 1)
            add_norm(f"{prefix}.norm{dot}2", 128)
            shapes[f"{prefix}.conv{dot}2.weight"] = (32, 128, 3, 3)
            channels += 32
        if block < 4:
            add_norm(f"features.transition{block}.norm", channels)
            shapes[f"features.transition{block}.conv.weight"] = (channels // 2, channels, 1, 1)
            channels //= 2
    add_norm("features.norm5", channels)
    shapes |= {"classifier.weight": (1000, channels), "classifier.bias": (1000,)}
    generator = torch.Generator().manual_seed(5)
    return {
        name: torch.rand(shape, generator=generator) if shape else torch.tensor(41)
        for name, shape in shapes.items()
    }


@pytest.mark.parametrize("old", [False, True], ids=["the code's names", "the file's names"])
def test_imagenet_weights_fill_the_whole_encoder_and_nothing_else(tmp_path, old):
    state = torchvision_state(old)
    assert len(state) == (606 if old else 727)
    learned = [n for n in state if n.endswith(("weight", "bias"))]
    assert sum(state[n].numel() for n in learned) == 7_978_856  # torchvision's densenet121
    torch.save(state, tmp_path / "densenet121.pth")
    torch.manual_seed(6)
    model = LadderDenseNet(12)
    before = {n: t.clone() for n, t in model.state_dict().items()}
    load_imagenet(model, tmp_path / "densenet121.pth")
    after = model.state_dict()
    filled = {}
    for name, tensor in state.items():
        for kind in ("norm", "conv"):
            for number in ("1", "2"):
                name = name.replace(f"{kind}.{number}.", f"{kind}{number}.")
        filled[f"backbone.{name}"] = tensor
    left_over = {n for n in filled if n not in after}
    assert left_over == {n for n in filled if ".norm5." in n or ".classifier." in n}
    assert len(left_over) == (6 if old else 7)
    for name, tensor in after.items():
        if name in filled:
            assert torch.equal(tensor, filled[name]), name
        else:
            in_encoder = name.startswith("backbone.")
            assert not in_encoder or (old and name.endswith("num_batches_tracked")), name
            assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize("change", ["missing", "unexpected", "narrow"])
def test_imagenet_weights_that_do_not_fit_are_refused(tmp_path, change):
    state = torchvision_state()
    model = LadderDenseNet(12, width=0.5 if change == "narrow" else 1.0)
    if change == "missing":
        del state["features.denseblock4.denselayer16.norm2.num_batches_tracked"]
    elif change == "unexpected":  # DenseNet-169 has more layers
        state["features.denseblock3.denselayer25.conv1.weight"] = torch.zeros(1)
    torch.save(state, tmp_path / "densenet121.pth")
    match = {
        "missing": r"missing features\.denseblock4\.denselayer16\.norm2\.num_batches_tracked",
        "unexpected": r"unexpected features\.denseblock3\.denselayer25",
        "narrow": "shapes differ",
    }[change]
    with pytest.raises(WeightsError, match=match):
        load_imagenet_densenet121(model, tmp_path / "densenet121.pth")


def test_imagenet_weights_are_for_networks_of_this_package(tmp_path):
    with pytest.raises(WeightsError, match="no ImageNet weights are known for a Conv2d"):
        load_imagenet(nn.Conv2d(3, 3, 1), tmp_path / "any.pth")


def test_files_from_before_batches_were_counted_fill_a_swiftnet_too(tmp_path):
    torch.manual_seed(7)
    source = SwiftNet(3).backbone.state_dict()
    encoder = {n: t for n, t in source.items() if n.startswith(("conv1.", "bn1.", "layer"))}
    old = {n: t for n, t in encoder.items() if not n.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "resnet18.pth")
    model = SwiftNet(3)
    load_imagenet(model, tmp_path / "resnet18.pth")
    assert len(old) == 100
    assert all(torch.equal(model.backbone.state_dict()[n], t) for n, t in encoder.items())

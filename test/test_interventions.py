"""Interventions on a tiny network: finite differences, enumeration, and what they leave alone."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from open_set_seg.interventions import INTERVENTIONS, MCDropout, Odin, ReAct
from open_set_seg.models import PixelClassifier, SegmentationOutput, build_model
from open_set_seg.models.units import NormReluConv
from open_set_seg.scores import ScoreStatistics, energy, mutual_information

STATISTICS = ScoreStatistics(
    activation_levels=torch.tensor([0.9, 0.99]), activation_quantiles=torch.tensor([0.4, 0.9])
)


class TinyNetwork(PixelClassifier):
    """A convolution of stride 2 and two heads of 1 x 1, on images in 0..255."""

    def __init__(self, outlier_head=True, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.logits = NormReluConv(4, 5, 1, bias=True)
        self.logits_ood = NormReluConv(4, 2, 1, bias=True) if outlier_head else None
        for head in (self.logits, self.logits_ood):
            if head is not None:
                nn.init.normal_(head.get_submodule("norm").running_mean, std=0.3)
                nn.init.normal_(head.get_submodule("conv").weight, std=3.0)
        self.double().eval()

    def forward(self, image):
        return self.classify(torch.tanh(self.stem(image / 255.0 - 0.5)))


@pytest.fixture
def network():
    return TinyNetwork()


@pytest.fixture
def image():
    return torch.randint(0, 256, (1, 3, 6, 8), generator=torch.Generator().manual_seed(1)).double()


def certainty(network, image, temperature=1.0):
    """Sum of ln max softmax over pixels, of logits that are upsampled."""
    logits = network(image).logits
    full = nn.functional.interpolate(logits, size=image.shape[2:], mode="bilinear")
    return torch.log_softmax(full / temperature, dim=1).amax(dim=1).sum()


class Watched(nn.Module):
    """Remembers the images that a network is asked about; its parameters never need gradients."""

    def __init__(self, network):
        super().__init__()
        self.network, self.images = network, []

    def forward(self, image):
        self.images.append(image.detach().clone())
        assert not (image.requires_grad and any(p.requires_grad for p in self.parameters()))
        return self.network(image)


@pytest.mark.parametrize("temperature", [1.0, 10.0])
@torch.no_grad()
def test_odin_steps_along_the_sign_of_finite_differences(network, image, temperature):
    watched, epsilon = Watched(network), 1e-3
    found = Odin(epsilon, temperature).apply(watched, image, network(image), None)
    step = watched.images[-1] - image
    for index in itertools.product((0,), range(3), range(6), range(8)):
        nudge = torch.zeros_like(image)
        nudge[index] = 1e-4
        rise = certainty(network, image + nudge, temperature) - certainty(
            network, image - nudge, temperature
        )
        # Up where certainty rises, by epsilon on the scale of 0..1.
        assert step[index].item() == pytest.approx(math.copysign(255 * epsilon, rise), rel=1e-9)
    assert torch.equal(found.logits, network(image + step).logits)
    assert torch.equal(found.features, network(image + step).features)


@pytest.mark.parametrize("seed", range(4))
@torch.no_grad()
def test_odin_makes_the_prediction_more_certain(seed, image):
    network = TinyNetwork(seed=seed)
    before = certainty(network, image)
    for epsilon in (1e-5, 1e-4, 1e-3):
        watched = Watched(network)
        Odin(epsilon).apply(watched, image, network(image), None)
        after = certainty(network, watched.images[-1])
        assert after > before
        before = after


def test_odin_without_a_step_changes_no_bit(network, image):
    with torch.inference_mode():
        plain = network(image)
        found = Odin(0.0).apply(network, image, plain, None)
    assert torch.equal(found.logits, plain.logits)
    assert torch.equal(found.outlier_logits, plain.outlier_logits)


def test_odin_leaves_parameters_and_callers_modes_alone(network, image):
    network.stem.bias.requires_grad_(False)
    wanted = {name: p.requires_grad for name, p in network.named_parameters()}
    network.stem.weight.grad = torch.ones_like(network.stem.weight)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    results = []
    for mode in (torch.inference_mode, torch.no_grad, torch.enable_grad):
        with mode():
            given = image + 0.0  # an inference tensor inside inference mode
            results.append(Odin(0.01).apply(network, given, network(given), None))
            assert torch.is_grad_enabled() == (mode is torch.enable_grad)
    assert all(torch.equal(one.logits, results[0].logits) for one in results)
    assert {name: p.requires_grad for name, p in network.named_parameters()} == wanted
    assert torch.equal(network.stem.weight.grad, torch.ones_like(network.stem.weight))
    assert all(p.grad is None for n, p in network.named_parameters() if n != "stem.weight")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_odin_gives_requires_grad_back_after_an_error(network, image):
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, image):
            raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        Odin(0.01).apply(Broken(), image, network(image), None)
    assert all(p.requires_grad for p in network.parameters())


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_odin_refuses_a_step_that_the_precision_loses(kind):
    network = TinyNetwork().to(kind)
    image = torch.full((1, 3, 6, 8), 200.0, dtype=kind)
    lost, kept = (5e-4, 4e-3) if kind == torch.bfloat16 else (4e-4, 5e-4)
    with pytest.raises(ValueError, match=rf"ODIN's step of {lost:g} is lost in b?float16"):
        Odin(lost).apply(network, image, network(image), None)
    watched = Watched(network)
    Odin(kept).apply(watched, image, network(image), None)
    assert (watched.images[-1] != image).float().mean() > 0.9


def test_react_clips_activations_of_the_class_head(network, image):
    with torch.inference_mode():
        plain = network(image)
        found = ReAct(0.9).apply(network, image, plain, STATISTICS)
        activations = network.logits.activations(plain.features).clamp(max=0.4)
        convolution = network.logits.get_submodule("conv")
        weight, bias = convolution.weight[:, :, 0, 0], convolution.bias.view(-1, 1, 1)
        expected = torch.einsum("kc,bchw->bkhw", weight, activations) + bias
        assert (network.logits.activations(plain.features) > 0.4).any()
    # The statistics were fitted in float32.
    torch.testing.assert_close(found.logits, expected, rtol=0, atol=1e-6)
    assert not torch.equal(found.logits, plain.logits)
    assert found.outlier_logits is plain.outlier_logits
    assert found.features is plain.features
    assert found.samples is None


def test_react_at_its_ends(network, image):
    plain = network(image)
    same = ReAct(1.0).apply(network, image, plain, None)
    torch.testing.assert_close(same.logits, plain.logits, rtol=0, atol=1e-12)
    nothing = ScoreStatistics(
        activation_levels=torch.tensor([0.5]), activation_quantiles=torch.tensor([0.0])
    )
    bias = network.logits.get_submodule("conv").bias.view(1, -1, 1, 1)
    found = ReAct(0.5).apply(network, image, plain, nothing).logits
    torch.testing.assert_close(found, bias.expand_as(found), rtol=0, atol=1e-12)


def test_react_asks_for_fitted_levels(network, image):
    plain = network(image)
    assert ReAct(0.99).cap(STATISTICS) == pytest.approx(0.9)
    with pytest.raises(ValueError, match=r"quantile 0.95 was not fitted; known: 0.9, 0.99"):
        ReAct(0.95).apply(network, image, plain, STATISTICS)
    for statistics in (None, ScoreStatistics()):
        with pytest.raises(ValueError, match="needs fitted statistics"):
            ReAct(0.9).apply(network, image, plain, statistics)


def every_pass(head, features, rate):
    """Probability and logits of every mask of the channels, the same at every pixel."""
    activations = head.activations(features)
    channels = activations.shape[1]
    for mask in itertools.product((0.0, 1.0), repeat=channels):
        kept = torch.tensor(mask, dtype=features.dtype)
        share = (1 - rate) ** float(kept.sum()) * rate ** float(channels - kept.sum())
        dropped = activations * kept.view(-1, 1, 1) / (1 - rate)
        yield share, head.get_submodule("conv")(dropped)


@torch.no_grad()
def test_many_passes_of_mc_dropout_tend_to_the_expectation(network, image):
    """A pixel's 4 channels have 16 masks: all of them can be added up."""
    plain, rate = network(image), 0.3
    found = MCDropout(rate, samples=1000).apply(network, image, plain, None)
    deviation = found.samples.std(dim=0) / math.sqrt(1000)
    assert ((found.samples.mean(dim=0) - plain.logits).abs() <= 4.5 * deviation + 1e-12).all()
    for head, before, after in (
        (network.logits, plain.logits, found.logits),
        (network.logits_ood, plain.outlier_logits, found.outlier_logits),
    ):
        passes = list(every_pass(head, plain.features, rate))
        assert math.fsum(share for share, _ in passes) == pytest.approx(1.0)
        softmax = sum(share * torch.softmax(z, dim=1) for share, z in passes)
        energies = sum(share * energy(z) for share, z in passes)

        def errors(values, softmax=softmax, energies=energies):
            distance = (torch.softmax(values, dim=1) - softmax).abs().mean()
            return float(distance), float((energy(values) - energies).abs().mean())

        # What remains is chance; without dropout the error is of another order.
        for error, of_plain in zip(errors(after), errors(before), strict=True):
            assert error < 0.25 * of_plain


@torch.no_grad()
def test_mc_dropout_averages_its_own_samples(network, image):
    found = MCDropout(0.4, samples=5).apply(network, image, network(image), None)
    assert found.samples.shape == (5, 1, 5, 3, 4)
    mean = torch.softmax(found.samples, dim=2).mean(dim=0)
    torch.testing.assert_close(torch.softmax(found.logits, dim=1), mean)
    energies = torch.stack([energy(z) for z in found.samples]).mean(dim=0)
    torch.testing.assert_close(energy(found.logits), energies)


@torch.no_grad()
def test_the_seed_decides_and_a_small_rate_changes_little(network, image):
    plain, rate = network(image), 0.2
    torch.manual_seed(0)
    first = MCDropout(rate).apply(network, image, plain, None)
    torch.manual_seed(1)
    again = MCDropout(rate).apply(network, image, plain, None)
    other = MCDropout(rate, seed=1).apply(network, image, plain, None)
    assert torch.equal(first.samples, again.samples)
    assert torch.equal(first.outlier_logits, again.outlier_logits)
    assert not torch.equal(first.samples, other.samples)
    assert len({tuple(z.flatten().tolist()) for z in first.samples}) == 8
    rare = MCDropout(1e-9).apply(network, image, plain, None)
    torch.testing.assert_close(rare.logits, plain.logits, rtol=0, atol=1e-6)
    assert mutual_information(rare.samples).max() < 1e-6 < mutual_information(first.samples).max()


def test_a_network_without_an_outlier_head_gets_none(image):
    network = TinyNetwork(outlier_head=False)
    with torch.no_grad():
        plain = network(image)
        for one in (Odin(), ReAct(), MCDropout()):
            assert one.apply(network, image, plain, STATISTICS).outlier_logits is None


@pytest.mark.parametrize("intervention", [ReAct(0.9), MCDropout()], ids=str)
def test_others_need_a_network_with_its_classifier(network, image, intervention):
    plain = network(image)
    bare = SegmentationOutput(plain.logits)
    for given, output in ((nn.Identity(), plain), (network, bare)):
        with pytest.raises(ValueError, match="needs a network that gives its features"):
            intervention.apply(given, image, output, STATISTICS)


@pytest.mark.parametrize("intervention", [Odin(0.01), ReAct(0.9), MCDropout()], ids=str)
def test_what_an_intervention_does_not_name_stays(network, image, intervention):
    with torch.inference_mode():
        plain = network(image)
        found = intervention.apply(network, image, plain, STATISTICS)
    assert (found.samples is not None) == intervention.gives_samples
    for name in ("logits", "outlier_logits", "features"):
        same = torch.equal(getattr(found, name), getattr(plain, name))
        assert same == (name not in intervention.changes), name


def test_dropout_is_off_unless_asked_for_and_no_parameter():
    torch.manual_seed(0)
    network = build_model("swiftnet_rn18", 5, 0.125, outlier_head=True)
    assert network.dropout == 0.0
    assert not any("dropout" in name for name in network.state_dict())
    features = torch.randn(1, network.logits.get_submodule("norm").num_features, 4, 4)
    for training in (True, False):
        network.train(training)
        for dropout in (0.0, 0.5):
            network.dropout = dropout
            first, second = (network.classify(features) for _ in range(2))
            for one, two in zip(first[:2], second[:2], strict=True):
                assert torch.equal(one, two) == (not training or dropout == 0.0)


def test_all_interventions_are_registered():
    assert {"odin": Odin, "react": ReAct, "mc_dropout": MCDropout} == INTERVENTIONS

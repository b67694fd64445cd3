"""Laws of single bijections: exact inverses, contributions as autograd's Jacobian has them."""

from __future__ import annotations

import pytest
import torch
from made_flows import GivenNoise, disturb, generators
from torch.distributions import Normal
from torch.nn import functional

from training.flow.bijections import (
    ActNorm,
    AffineCoupling,
    Chain,
    FactorOut,
    InvertibleConv1x1,
    Squeeze,
    glow_step,
)
from training.flow.coupling_networks import (
    ConvolutionalNetwork,
    LinearNetwork,
    ResidualNetwork,
    split_log_scale,
)
from training.flow.dense_network import DenseNetwork
from training.flow.denseflow import DenseBlock
from training.flow.noise import NoiseSource
from training.flow.realnvp import CheckerboardCoupling


def step(channels):
    ruled = channels // 2
    return glow_step(channels, DenseNetwork(channels - ruled, 2 * ruled, 4, 2, 3))


BIJECTIONS = {
    "squeeze": Squeeze,
    "act_norm": lambda: ActNorm(4),
    "conv": lambda: InvertibleConv1x1(4),
    "coupling": lambda: AffineCoupling(4, ConvolutionalNetwork(2, 4, 5)),
    "coupling_of_dense_network": lambda: AffineCoupling(4, DenseNetwork(2, 4, 4, 2, 3)),
    "checkerboard": lambda: CheckerboardCoupling(ResidualNetwork(4, 8, 5, 1), 0),
    "checkerboard_of_other_colour": lambda: CheckerboardCoupling(ResidualNetwork(4, 8, 5, 1), 1),
    "factor_out": FactorOut,
    "factor_out_given_the_rest": lambda: FactorOut(LinearNetwork(2, 4)),
    "chain": lambda: Chain(step(4), Squeeze(), step(16)),
    "dense_block": lambda: DenseBlock(4, 3, 2, step),
}


@pytest.fixture(params=BIJECTIONS)
def bijection(request):
    torch.manual_seed(2)
    made = BIJECTIONS[request.param]().double().eval()
    disturb(made, 0.3)
    return made


def points(count, *shape):
    return torch.randn(
        count, *shape, generator=torch.Generator().manual_seed(8), dtype=torch.float64
    )


@pytest.mark.parametrize("shape", [(4, 2, 2), (4, 6, 10), (4, 16, 2)])
def test_the_inverse_is_exact_when_what_was_dropped_is_kept(bijection, shape):
    x = points(3, *shape)
    noise = NoiseSource(generators(3), keeps_dropped=True)
    z, contribution = bijection(x, noise)
    assert contribution.shape == (3,)
    assert not torch.equal(z.flatten()[:8], x.flatten()[:8]) or isinstance(
        bijection, Squeeze | FactorOut
    )
    torch.testing.assert_close(bijection.inverse(z, noise), x, rtol=0, atol=1e-11)
    assert noise.kept == []


def test_the_contribution_is_the_log_determinant_with_densities_of_what_comes_and_goes(bijection):
    x = points(1, 4, 2, 4)
    appended = points(1, 4 * 8).flatten() if isinstance(bijection, DenseBlock) else x.new_zeros(0)

    def flat(values):
        noise = GivenNoise(values[x.numel() :], keeps_dropped=True)
        z, _ = bijection(values[: x.numel()].view_as(x), noise)
        assert noise.used == len(appended)
        return torch.cat([part.flatten() for part in (z, *noise.kept)])

    everything = torch.cat((x.flatten(), appended))
    jacobian = torch.autograd.functional.jacobian(flat, everything)
    expected = torch.linalg.slogdet(jacobian)[1] - Normal(0.0, 1.0).log_prob(appended).sum()
    if isinstance(bijection, FactorOut):
        kept, dropped = x.chunk(2, dim=1)
        log_scale, mean = torch.zeros(()), torch.zeros(())
        if bijection.network is not None:
            log_scale, mean = split_log_scale(bijection.network(kept))
        expected = expected + Normal(mean, log_scale.exp()).log_prob(dropped).sum()
    _, contribution = bijection(x, GivenNoise(appended))
    torch.testing.assert_close(contribution, expected[None], rtol=1e-11, atol=1e-11)


def test_inverses_are_differentiable_in_parameters_and_latents(bijection):
    z = points(1, 16, 2, 2)[:, : 16 if isinstance(bijection, Squeeze) else 4]
    if isinstance(bijection, Chain):
        z = points(1, 16, 2, 2)
    if isinstance(bijection, DenseBlock):
        z = points(1, 8, 2, 2)
    parameters = [p for name, p in bijection.named_parameters() if "noises" not in name]
    if isinstance(bijection, FactorOut):
        z = z[:, :2]

    def decode(z, *_):
        return bijection.inverse(z, NoiseSource(generators(1)))

    assert torch.autograd.gradcheck(decode, (z.requires_grad_(), *parameters), fast_mode=True)


def test_squeeze_puts_the_four_pixels_of_a_channel_side_by_side_row_by_row():
    x = points(2, 3, 4, 6)
    z, _ = Squeeze()(x, NoiseSource([]))
    for channel in range(3):
        for row in range(2):
            for column in range(2):
                expected = x[:, channel, row::2, column::2]
                assert torch.equal(z[:, 4 * channel + 2 * row + column], expected)


@pytest.mark.parametrize("channels", [2, 5, 6])
def test_coupling_number_by_number(channels):
    first, second = channels - channels // 2, channels // 2
    torch.manual_seed(3)
    coupling = AffineCoupling(channels, LinearNetwork(first, 2 * second)).double()
    x = points(1, channels, 2, 3)
    fresh, nothing = coupling(x, NoiseSource([]))
    assert torch.equal(fresh, torch.cat((x[:, first:], x[:, :first]), dim=1))
    assert nothing == 0
    disturb(coupling, 2.0)
    z, log_det = coupling(x, NoiseSource([]))
    outputs = coupling.network(x[:, :first])
    total = 0.0
    for channel in range(second):
        for row in range(2):
            for column in range(3):
                s, shift = outputs[0, 2 * channel : 2 * channel + 2, row, column]
                log_scale = 2 * torch.tanh(s / 2)
                total = total + log_scale
                expected = shift + torch.exp(log_scale) * x[0, first + channel, row, column]
                torch.testing.assert_close(z[0, channel, row, column], expected)
    torch.testing.assert_close(log_det[0], total)
    assert torch.equal(z[:, second:], x[:, :first])


def test_dense_network_layer_by_layer():
    torch.manual_seed(5)
    network = DenseNetwork(2, 4, width=3, layers=2, growth=5).double()
    disturb(network, 0.5)
    shapes = [2, 3, 3, 3, 3, 5, 8, 8, 8, 5, 13, 9, 3, 4]  # in and out of each convolution
    weights = list(network.parameters())
    assert [n for w in weights[::2] for n in w.shape[1::-1]] == shapes

    def convolve(x, index):
        weight, bias = weights[2 * index : 2 * index + 2]
        return functional.conv2d(x, weight, bias, padding=weight.shape[2] // 2)

    x = points(2, 2, 4, 5)
    first = grown = convolve(x, 0)
    for layer in range(2):
        inner = convolve(grown, 1 + 2 * layer).clamp(min=0)
        grown = torch.cat((grown, convolve(inner, 2 + 2 * layer).clamp(min=0)), dim=1)
    a, b, c = convolve(grown, 5).split(3, dim=1)
    expected = convolve(first + a + b / (1 + torch.exp(-c)), 6)
    torch.testing.assert_close(network(x), expected)


@pytest.mark.parametrize("parity", [0, 1])
def test_checkerboard_changes_one_colour_by_what_the_other_says(parity):
    torch.manual_seed(3)
    coupling = CheckerboardCoupling(ResidualNetwork(2, 4, 4, 1), parity).double()
    disturb(coupling, 0.5)
    x = points(1, 2, 4, 5)
    ruling = (torch.arange(4)[:, None] + torch.arange(5)) % 2 == parity
    z, _ = coupling(x, NoiseSource([]))
    assert torch.equal(z[:, :, ruling], x[:, :, ruling])
    assert (z[:, :, ~ruling] != x[:, :, ~ruling]).all()
    moved = x.clone()
    moved[:, :, ~ruling] += 1.0  # an affine map whose scale does not depend on what it maps
    scale = (coupling(moved, NoiseSource([]))[0] - z)[:, :, ~ruling]
    _, log_det = coupling(x, NoiseSource([]))
    torch.testing.assert_close(scale.log().sum()[None], log_det)


def test_conv_1x1_is_orthogonal_at_first_and_mixes_channels_of_a_pixel():
    torch.manual_seed(0)
    conv = InvertibleConv1x1(6).double()
    weight = conv.weight.detach()
    torch.testing.assert_close(
        weight @ weight.T, torch.eye(6, dtype=weight.dtype), atol=1e-6, rtol=0
    )
    x = points(2, 6, 3, 2)
    z, log_det = conv(x, NoiseSource([]))
    torch.testing.assert_close(z, torch.einsum("ij,bjhw->bihw", weight, x))
    torch.testing.assert_close(log_det, x.new_zeros(2), atol=1e-5, rtol=0)


def test_act_norm_refuses_to_learn_a_variance_from_one_value():
    with pytest.raises(ValueError, match="two values"):
        ActNorm(3).train()(torch.ones(1, 3, 1, 1), NoiseSource([]))

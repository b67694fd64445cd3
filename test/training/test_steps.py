"""The joint step in float64 against the same step written plainly, and what each option changes."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from made_runs import recipe_of
from torch import nn

from open_set_seg.models import SegmentationOutput
from training.flow import build_flow
from training.mixed_content import choose_places, patch_generators
from training.negatives import build_source
from training.randomness import make_generator
from training.ranks import Ranks
from training.steps import SegmentationObjective

BATCH, HEIGHT, WIDTH, CLASSES = 3, 32, 48, 12
PATCHES = {"sizes": [8, 16], "one_size": "image", "per_image": 2, "shape": "ellipse"}


class TinyNetwork(nn.Module):
    """Stride 4, smooth, with a normalisation that couples the images of a batch."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 4, stride=4)
        self.norm = nn.BatchNorm2d(6)
        self.second = nn.Conv2d(6, CLASSES, 3, padding=1)

    def forward(self, images):
        return SegmentationOutput(self.second(torch.tanh(self.norm(self.first(images / 64.0)))))


def make_network():
    torch.manual_seed(2)
    return TinyNetwork().double()


def make_flow():
    """Couplings that do something, and samples some of whose values are clamped."""
    torch.manual_seed(4)
    flow = build_flow("glow_small", steps=1, hidden=4).double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    random = torch.Generator().manual_seed(5)
    images = torch.randint(0, 256, (8, 3, 16, 16), generator=random)
    flow.initialise(images, [make_generator(1, index) for index in range(8)])
    return flow


def batch(seed=6):
    random = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (BATCH, HEIGHT, WIDTH, 3), generator=random, dtype=torch.uint8)
    labels = torch.randint(0, CLASSES, (BATCH, HEIGHT, WIDTH), generator=random).to(torch.uint8)
    labels[0, :, 30:] = 255
    return images, labels


def class_weights():
    return torch.linspace(0.5, 2.0, CLASSES, dtype=torch.float64)


def joint_recipe(**negatives):
    patches = {**PATCHES, **negatives.pop("patches", {})}
    changes = {f"negatives__{name}": value for name, value in negatives.items()}
    return recipe_of(
        "joint", "unused", optimisation__batch=BATCH, negatives__patches=patches, **changes
    )


def make_objective(recipe, source=None):
    return SegmentationObjective(make_network(), source, recipe, class_weights(), Ranks()).train()


def flow_source(**options):
    return build_source("flow", flow=make_flow(), **options)


def gradients(module, loss=None):
    """By name; of a loss, or those that lie there."""
    named = {name: p for name, p in module.named_parameters() if p.requires_grad}
    if loss is None:
        return {name: p.grad for name, p in named.items()}
    found = torch.autograd.grad(loss, named.values(), retain_graph=True, allow_unused=True)
    return dict(zip(named, found, strict=True))


def assert_same_gradients(found, expected, factor=1.0):
    assert set(found) == set(expected)
    for name, gradient in expected.items():
        if gradient is None:
            assert found[name] is None or not found[name].any(), name
        else:
            torch.testing.assert_close(found[name], factor * gradient, rtol=1e-9, atol=1e-12,
                                       msg=name)  # fmt: skip


def upsampling(size, full):
    """The matrix (full, size) of bilinear interpolation between the centres of pixels."""
    matrix = torch.zeros(full, size, dtype=torch.float64)
    for row in range(full):
        place = min(max((row + 0.5) * size / full - 0.5, 0.0), size - 1.0)
        low = min(int(place), size - 2)
        matrix[row, low] += 1.0 - (place - low)
        matrix[row, low + 1] += place - low
    return matrix


def plain_step(network, flow, recipe, images, labels, step):
    """Cross-entropy, divergence, bits per dimension, pixel by pixel and patch by patch."""
    patches = recipe.negatives.patches
    places = choose_places(
        HEIGHT, WIDTH, range(BATCH), seed=recipe.seed, step=step, sizes=patches.sizes,
        one_size=patches.one_size, per_image=patches.per_image, shape=patches.shape,
    )  # fmt: skip
    original = images.permute(0, 3, 1, 2).double()
    mixed, labels = list(original), labels.clone()
    pasted = torch.zeros(BATCH, HEIGHT, WIDTH, dtype=torch.bool)
    bits = []
    for index, row in enumerate(places):
        for place in sorted(row, key=lambda one: (one.height, one.width), reverse=True):
            generators = patch_generators([[place]])
            sample = flow.sample(place.height, place.width, generators)[0]
            crop = original[index, :, place.rows, place.columns]
            nats = -flow.log_prob(crop.unsqueeze(0), generators)[0]
            bits.append(nats / math.log(2.0) / crop.numel())
            image = mixed[index].clone()
            for y in range(place.height):
                for x in range(place.width):
                    if place.mask()[y, x]:
                        image[:, place.top + y, place.left + x] = 255.0 * sample[:, y, x]
                        pasted[index, place.top + y, place.left + x] = True
            mixed[index] = image
    border = patches.ignore_border
    for index, y, x in pasted.nonzero().tolist():
        labels[index, max(0, y - border) : y + border + 1, max(0, x - border) : x + border + 1] = (
            255
        )
    logits = network(torch.stack(mixed)).logits
    rows, columns = upsampling(logits.shape[2], HEIGHT), upsampling(logits.shape[3], WIDTH)
    probabilities = torch.softmax(rows @ logits @ columns.T, dim=1)
    known = labels != 255
    chosen = probabilities.permute(0, 2, 3, 1)[known]
    ids = labels[known].long()
    weights = class_weights()[ids]
    inliers = -torch.log(chosen[torch.arange(len(ids)), ids])
    cross_entropy = (weights * inliers).sum() / weights.sum()
    p = probabilities.permute(0, 2, 3, 1)[pasted]
    u = torch.full_like(p, 1.0 / CLASSES)
    m = (p + u) / 2
    spread = 0.5 * (p * (p / m).log()).sum(1) + 0.5 * (u * (u / m).log()).sum(1)
    return cross_entropy, spread.mean(), torch.stack(bits).mean()


@pytest.mark.parametrize(
    "patches",
    [{}, {"ignore_border": 2, "shape": "blob"}, {"one_size": "batch", "per_image": 1}],
    ids=["several_sizes", "border", "one_size"],
)
def test_a_joint_step_is_the_one_that_is_written_plainly(patches):
    recipe = joint_recipe(weight=0.3, patches=patches)
    images, labels = batch()
    objective = make_objective(recipe, flow_source())
    losses = objective(images, labels, step=5)
    losses.total.backward()
    network, flow = make_network().train(), make_flow().train()
    cross_entropy, negative, bits = plain_step(network, flow, recipe, images, labels, step=5)
    (cross_entropy + 0.3 * negative + bits).backward()
    found = torch.stack([losses.parts[n] for n in ("cross_entropy", "negative", "bits_per_dim")])
    expected = torch.stack([cross_entropy, negative, bits]).detach()
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=0)
    total = expected[0] + 0.3 * expected[1] + expected[2]
    torch.testing.assert_close(losses.total.detach(), total, rtol=1e-10, atol=0)
    assert_same_gradients(gradients(objective.network), gradients(network))
    assert_same_gradients(gradients(objective.source.flow), gradients(flow))
    # Every parameter takes part, so that none is compared at nothing.
    assert all(gradient.abs().max() > 0 for gradient in gradients(network).values())
    assert all(gradient.abs().max() > 0 for gradient in gradients(flow).values())


def test_without_joint_the_flow_learns_the_likelihood_alone():
    recipe, (images, labels) = joint_recipe(weight=0.3), batch()
    objective = make_objective(recipe, flow_source(joint=False))
    objective(images, labels, step=5).total.backward()
    network, flow = make_network().train(), make_flow().train()
    cross_entropy, negative, bits = plain_step(network, flow, recipe, images, labels, step=5)
    assert_same_gradients(gradients(objective.source.flow), gradients(flow, bits))
    expected = gradients(network, cross_entropy + 0.3 * negative)
    assert_same_gradients(gradients(objective.network), expected)


def test_without_likelihood_the_flow_learns_from_the_network_alone():
    recipe, (images, labels) = joint_recipe(weight=0.3), batch()
    objective = make_objective(recipe, flow_source(likelihood=False))
    objective(images, labels, step=5).total.backward()
    network, flow = make_network().train(), make_flow().train()
    cross_entropy, negative, _ = plain_step(network, flow, recipe, images, labels, step=5)
    expected = gradients(flow, cross_entropy + 0.3 * negative)
    assert_same_gradients(gradients(objective.source.flow), expected)


def test_a_frozen_flow_has_no_gradient_and_the_network_the_same():
    recipe, (images, labels) = joint_recipe(weight=0.3), batch()
    frozen = make_objective(recipe, flow_source(joint=False, likelihood=False))
    joint = make_objective(recipe, flow_source())
    for objective in (frozen, joint):
        objective(images, labels, step=5).total.backward()
    assert all(p.grad is None and not p.requires_grad for p in frozen.source.parameters())
    assert_same_gradients(gradients(frozen.network), gradients(joint.network))


@pytest.mark.parametrize("part", ["network", "source"])
def test_lambda_weighs_the_divergence_and_nothing_else(part):
    images, labels = batch()
    losses, found = {}, {}
    for weight in (0.0, 0.25, 1.0):
        objective = make_objective(joint_recipe(weight=weight), flow_source())
        losses[weight] = objective(images, labels, step=5)
        losses[weight].total.backward()
        found[weight] = gradients(getattr(objective, part))
    for name in ("cross_entropy", "negative", "bits_per_dim"):
        values = [float(each.parts[name]) for each in losses.values()]
        assert values[0] == values[1] == values[2] > 0
    negative = float(losses[0.0].parts["negative"])
    for weight in (0.25, 1.0):
        more = float((losses[weight].total - losses[0.0].total).detach())
        assert more == pytest.approx(weight * negative, rel=1e-9)
    # The gradient is linear in lambda.
    for name, start in found[0.0].items():
        quarter = found[0.25][name] - start
        torch.testing.assert_close(4.0 * quarter, found[1.0][name] - start, rtol=1e-7, atol=1e-12)
        assert quarter.abs().max() > 0


def test_lambda_rises_over_its_warm_up():
    images, labels = batch()
    recipe = joint_recipe(weight=0.8, weight_warmup_steps=4)
    for step, weight in ((0, 0.2), (2, 0.6), (3, 0.8), (9, 0.8)):
        losses = make_objective(recipe, flow_source())(images, labels, step)
        parts = losses.parts
        expected = parts["cross_entropy"] + weight * parts["negative"] + parts["bits_per_dim"]
        torch.testing.assert_close(losses.total.detach(), expected, rtol=1e-12, atol=0)


def test_without_negatives_the_step_is_that_of_known_classes():
    recipe = recipe_of("closed_set", "unused", optimisation__batch=BATCH)
    images, labels = batch()
    objective = make_objective(recipe)
    losses = objective(images, labels, step=5)
    losses.total.backward()
    network = make_network().train()
    logits = network(images.permute(0, 3, 1, 2).double()).logits
    full = upsampling(logits.shape[2], HEIGHT) @ logits @ upsampling(logits.shape[3], WIDTH).T
    flat, ids = full.permute(0, 2, 3, 1)[labels != 255], labels[labels != 255].long()
    nats = flat.logsumexp(1) - flat[torch.arange(len(ids)), ids]
    expected = (class_weights()[ids] * nats).sum() / class_weights()[ids].sum()
    expected.backward()
    torch.testing.assert_close(losses.total, expected, rtol=1e-12, atol=0)
    assert set(losses.parts) == {"cross_entropy"}
    assert_same_gradients(gradients(objective.network), gradients(network))


@pytest.mark.parametrize("name", ["white_noise", "fractal_noise", "gan"])
def test_a_source_adds_its_own_losses_unweighed(name):
    options = {"latent_channels": 4, "width": 4} if name == "gan" else {}
    torch.manual_seed(1)
    source = build_source(name, **options).double()
    images, labels = batch()
    recipe = joint_recipe(weight=0.3, source=name, patches={"one_size": "batch"})
    losses = make_objective(recipe, source)(images, labels, step=5)
    own = [losses.parts[n] for n in ("generator", "discriminator") if n in losses.parts]
    assert len(own) == (2 if name == "gan" else 0)
    expected = losses.parts["cross_entropy"] + 0.3 * losses.parts["negative"] + sum(own)
    torch.testing.assert_close(losses.total.detach(), expected, rtol=1e-12, atol=0)
    losses.total.backward()
    assert all(p.grad is not None for p in source.parameters())


def test_what_is_pasted_depends_on_the_places_in_the_batch_alone():
    """Two halves of a batch, as two processes have them, are the halves of the whole."""
    images, labels = batch()
    recipe = dataclasses.replace(
        joint_recipe(), optimisation=dataclasses.replace(joint_recipe().optimisation, batch=2)
    )
    images, labels = images[:2].permute(0, 3, 1, 2).double(), labels[:2]

    class Rank(Ranks):
        def add_up(self, values):
            raise AssertionError("not here")

    source = flow_source()
    whole = make_objective(recipe).mix(images, labels, source, recipe.negatives, 5)
    for rank in (0, 1):
        objective = SegmentationObjective(
            make_network(), source, recipe, class_weights(), Rank(rank, 2)
        )
        part = slice(rank, rank + 1)
        half = objective.mix(images[part], labels[part], source, recipe.negatives, 5)
        torch.testing.assert_close(half.images, whole.images[part], rtol=1e-12, atol=1e-10)
        assert torch.equal(half.pasted, whole.pasted[part])
        assert torch.equal(half.labels, whole.labels[part])


def test_half_precision_is_for_the_network_and_not_for_the_flow():
    recipe = joint_recipe(weight=0.3)
    recipe = dataclasses.replace(
        recipe, optimisation=dataclasses.replace(recipe.optimisation, precision="bf16")
    )
    network, flow = make_network().float(), make_flow().float()
    source = build_source("flow", flow=flow)
    objective = SegmentationObjective(network, source, recipe, class_weights().float(), Ranks())
    seen = {"network": set(), "flow": set()}

    def watch(name):
        return lambda module, inputs, output: seen[name].add(output.dtype)

    network.second.register_forward_hook(watch("network"))
    for module in flow.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(watch("flow"))
    images, labels = batch()
    losses = objective.train()(images, labels, step=5)
    losses.total.backward()
    assert seen == {"network": {torch.bfloat16}, "flow": {torch.float32}}
    assert all(p.grad.dtype == p.dtype == torch.float32 for p in objective.parameters())
    exact = make_objective(joint_recipe(weight=0.3), flow_source())
    expected = exact(images, labels, step=5)
    for name in ("cross_entropy", "negative"):  # 8 bits of mantissa
        assert float(losses.parts[name]) == pytest.approx(float(expected.parts[name]), rel=0.03)
    found = losses.parts["bits_per_dim"].double()
    torch.testing.assert_close(found, expected.parts["bits_per_dim"], rtol=1e-5, atol=0)

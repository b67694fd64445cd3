"""The plane: what joint training does to samples and to confidence, on a smaller version."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from training.figures.plane import (
    CENTRES,
    DEVIATION,
    PlaneNetworks,
    PlaneSettings,
    draw_inliers,
    train_before,
    train_with_negatives,
)
from training.figures.plane_measures import BORDER, GRID, measure_plane, to_image
from training.flow.noise import NoiseSource
from training.randomness import make_generator

SMALL = PlaneSettings(
    batch=128, couplings=4, hidden=16, frequencies=32, units=32, steps_before=100, steps=180
)


@pytest.fixture(scope="module")
def before():
    return train_before(SMALL)


@pytest.fixture(scope="module")
def measured(before):
    trained = {joint: train_with_negatives(before, SMALL, joint) for joint in (False, True)}
    networks = {"before": before, "likelihood": trained[False], "joint": trained[True]}
    return networks, {name: measure_plane(one) for name, one in networks.items()}


def js_over_maximum(logits):
    """(n, K) -> (n,), from the definition."""
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    u = np.full_like(p, 1 / p.shape[1])

    def js(p, u):
        m = (p + u) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            parts = np.where(p > 0, p * np.log(p / m), 0) + u * np.log(u / m)
        return parts.sum(axis=1) / 2

    return js(p, u) / js(np.eye(p.shape[1])[:1], u[:1])


def ring_points():
    """Points on circles around the centres that are not in another cluster."""
    angles = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    circle = 4.0 * DEVIATION * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = (np.array(CENTRES)[:, None] + circle).reshape(-1, 2)
    away = np.linalg.norm(points[:, None] - np.array(CENTRES), axis=2).min(axis=1)
    return points[away > 3.9 * DEVIATION]


def classify(networks, points):
    with torch.no_grad():
        logits = networks.classify(to_image(torch.from_numpy(points).float()))
    return logits[0, :, :, 0].T.double().numpy()


def test_joint_training_moves_samples_to_the_border_and_takes_confidence_from_a_ring(measured):
    networks, found = measured
    # Twice as many as the flow that learns by likelihood alone, and a tenth of all at least.
    assert found["joint"].border > 2 * found["likelihood"].border
    assert found["joint"].border > found["likelihood"].border + 0.1
    rings = {
        name: js_over_maximum(classify(one, ring_points())).mean() for name, one in networks.items()
    }
    assert rings["before"] > 0.3
    assert rings["joint"] < 0.4 * rings["before"]
    assert found["joint"].ring < 0.4 * found["before"].ring
    # The clusters are still told apart.
    assert found["joint"].accuracy > 0.97


def test_measures_are_those_of_a_search_tree_and_of_the_definition(measured):
    networks, found = measured
    low, high = (limit * DEVIATION for limit in BORDER)
    ticks = np.linspace(0, 1, GRID)
    grid = np.stack(np.meshgrid(ticks, ticks), axis=2).reshape(-1, 2)  # x runs fastest
    for name, one in found.items():
        tree = cKDTree(one.inliers.numpy())
        place, _ = tree.query(one.samples.numpy())
        assert one.border == pytest.approx(((place >= low) & (place <= high)).mean(), abs=2e-3)
        assert one.beyond == pytest.approx((place > high).mean(), abs=2e-3)
        field = js_over_maximum(classify(networks[name], grid))
        np.testing.assert_allclose(one.field.numpy().ravel(), field, atol=2e-5)
        around, _ = tree.query(grid)
        ring = field[(around >= low) & (around <= high)].mean()
        assert one.ring == pytest.approx(ring, abs=2e-3)
        labels = classify(networks[name], one.inliers.double().numpy()).argmax(axis=1)
        assert one.accuracy == pytest.approx((labels == one.labels.numpy()).mean(), abs=1e-6)
    assert torch.equal(found["before"].inliers, found["joint"].inliers)


def test_points_do_not_see_each_other_and_bits_are_a_density(before):
    points, _ = draw_inliers(50, make_generator(8, 1))
    alone = points[0].permute(1, 0, 2).unsqueeze(-1).reshape(50, 2, 1, 1)
    with torch.no_grad():
        latents, contribution = before.flow.encode(alone, NoiseSource(()))
        log_prob = contribution + before.flow.base.log_prob(latents)
        bits = before.bits_per_dim(points)
        torch.testing.assert_close(bits, -log_prob.mean() / (2 * math.log(2)))
        logits = before.classify(points)[0, :, :, 0].T
        torch.testing.assert_close(logits, before.classify(alone)[:, :, 0, 0])
        # The density sums to 1 over a fine grid that holds nearly all of it.
        ticks = (torch.arange(300) + 0.5) / 150 - 0.5
        y, x = torch.meshgrid(ticks, ticks, indexing="ij")
        grid = torch.stack([x.flatten(), y.flatten()], dim=1)[:, :, None, None]
        latents, contribution = before.flow.encode(grid, NoiseSource(()))
        density = (contribution + before.flow.base.log_prob(latents)).exp()
    assert float(density.sum()) / 150**2 == pytest.approx(1.0, abs=0.02)


def test_inliers_are_the_clusters_that_they_say():
    points, labels = draw_inliers(6000, make_generator(5, 1))
    for number, centre in enumerate(CENTRES):
        cluster = points[0, :, :, 0].T[labels[0, :, 0] == number]
        assert len(cluster) > 1700
        torch.testing.assert_close(cluster.mean(dim=0), torch.tensor(centre), atol=0.004, rtol=0)
        torch.testing.assert_close(
            cluster.std(dim=0), torch.full((2,), DEVIATION), atol=0.002, rtol=0
        )


@pytest.mark.parametrize("joint", [False, True])
def test_js_reaches_the_flow_in_joint_training_alone(joint):
    settings = dataclasses.replace(SMALL, steps=3)
    start = PlaneNetworks(settings)
    start.flow.train()
    start.bits_per_dim(draw_inliers(64, make_generator(1, 1))[0])  # initialises
    before = {name: value.clone() for name, value in start.state_dict().items()}
    flows = []
    for weight in (0.0, 3.0):
        changed = dataclasses.replace(settings, weight=weight)
        trained = train_with_negatives(start, changed, joint)
        flows.append(torch.cat([one.flatten() for one in trained.flow.parameters()]))
    assert torch.equal(*flows) != joint
    for name, value in start.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_seed_gives_the_same_networks_whatever_was_drawn_before():
    torch.manual_seed(1)
    one = PlaneNetworks(SMALL).state_dict()
    torch.manual_seed(2)
    state = torch.get_rng_state()
    other = PlaneNetworks(SMALL).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, other[name]) for name, value in one.items())

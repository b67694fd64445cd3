"""The open-set head: tiles against the definition, ties, and what is not a number."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from score_inputs import apply_score, make_inputs, make_statistics

from open_set_seg.head import (
    ScoreChannel,
    compute_channels,
    fused,
    open_set_head,
    reference_head,
    tiles,
)
from open_set_seg.scores import SCORES, LogisticMap, ScoreInputs, jsd

MAP = LogisticMap(-3.0, 2.0)
OF_LOGITS = sorted(name for name, score in SCORES.items() if score.needs == ("logits",))
OF_GRID = sorted(name for name, score in SCORES.items() if "features" in score.needs)


def brute_force_upsample(logits, size):
    """Bilinear interpolation with half-pixel centres, one output pixel at a time."""
    _, _, height, width = logits.shape
    result = np.empty((*logits.shape[:2], *size))
    for i in range(size[0]):
        y = max((i + 0.5) * height / size[0] - 0.5, 0.0)
        y0 = min(int(y), height - 1)
        y1 = min(y0 + 1, height - 1)
        for j in range(size[1]):
            x = max((j + 0.5) * width / size[1] - 0.5, 0.0)
            x0 = min(int(x), width - 1)
            x1 = min(x0 + 1, width - 1)
            fy, fx = y - y0, x - x0
            top = logits[:, :, y0, x0] * (1 - fx) + logits[:, :, y0, x1] * fx
            bottom = logits[:, :, y1, x0] * (1 - fx) + logits[:, :, y1, x1] * fx
            result[:, :, i, j] = top * (1 - fy) + bottom * fy
    return result


@pytest.mark.parametrize("compute", [open_set_head, reference_head])
def test_score_and_class_come_from_the_upsampled_logits(compute):
    logits = np.random.default_rng(0).normal(scale=3, size=(2, 5, 4, 6))
    full = brute_force_upsample(logits, (13, 23))
    nearest, anomaly = compute(torch.from_numpy(logits), (13, 23))
    assert nearest.dtype == torch.uint8
    np.testing.assert_array_equal(nearest.numpy(), full.argmax(axis=1))
    np.testing.assert_allclose(anomaly.numpy(), jsd(torch.from_numpy(full)).numpy(), atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 80), st.integers(1, 50)),
    st.integers(2, 20),
    st.sampled_from(OF_LOGITS),
    st.integers(0, 1000),
)
def test_tiles_equal_the_definition_at_any_size(source, size, classes, score, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, classes, *source, generator=generator, dtype=torch.float64) * 5
    score_map = None if SCORES[score].bounded else MAP
    nearest, anomaly = open_set_head(logits, size, score, None, score_map)
    expected_nearest, expected_anomaly = reference_head(logits, size, score, None, score_map)
    torch.testing.assert_close(anomaly, expected_anomaly, rtol=0, atol=1e-12)
    assert (nearest != expected_nearest).sum() == 0


@pytest.mark.parametrize("rows", [1, 3, 7, 32, 1000])
def test_the_tile_height_does_not_matter(rows, monkeypatch):
    logits = torch.randn(1, 12, 17, 23) * 4
    nearest, anomaly = open_set_head(logits, (67, 91))
    monkeypatch.setattr(tiles, "TILE_ROWS", rows)
    again, same = open_set_head(logits, (67, 91))
    assert torch.equal(again, nearest)
    torch.testing.assert_close(same, anomaly, rtol=0, atol=2e-6)


def test_memory_layout_does_not_change_a_bit():
    logits = torch.randn(1, 12, 16, 16) * 4
    plain = open_set_head(logits, (64, 64))
    last = open_set_head(logits.to(memory_format=torch.channels_last), (64, 64))
    assert all(torch.equal(a, b) for a, b in zip(plain, last, strict=True))


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
def test_low_precision_logits_are_scored_in_float32(kind):
    logits = (torch.randn(1, 12, 8, 8) * 4).to(kind)
    _, anomaly = open_set_head(logits, (32, 32))
    assert anomaly.dtype == torch.float32
    _, expected = reference_head(logits.double(), (32, 32))
    torch.testing.assert_close(anomaly.double(), expected, rtol=0, atol=3e-6)


def test_same_size_changes_no_logit():
    logits = torch.randn(1, 6, 9, 11)
    nearest, anomaly = open_set_head(logits, (9, 11))
    assert torch.equal(nearest, logits.argmax(1).to(torch.uint8))
    torch.testing.assert_close(anomaly, jsd(logits), rtol=0, atol=3e-6)


@pytest.mark.parametrize("compute", [open_set_head, reference_head])
def test_ties_go_to_the_lower_class_and_are_fully_anomalous(compute):
    nearest, anomaly = compute(torch.full((1, 12, 3, 5), 7.25), (12, 20))
    assert (nearest == 0).all()
    torch.testing.assert_close(anomaly, torch.ones(1, 12, 20), atol=2e-6, rtol=0)
    logits = torch.zeros(1, 4, 2, 2)
    logits[:, 1] = logits[:, 3] = 5.0
    assert (compute(logits, (8, 8))[0] == 1).all()


def test_where_all_corners_agree_the_class_is_theirs():
    logits = torch.randn(1, 12, 20, 30) * 6
    nearest, _ = open_set_head(logits, (80, 120))
    corners = logits.argmax(1)[0]
    for i in range(19):
        for j in range(29):
            if len(corners[i : i + 2, j : j + 2].unique()) == 1:
                cell = nearest[0, 4 * i + 2 : 4 * i + 6, 4 * j + 2 : 4 * j + 6]
                assert (cell == corners[i, j]).all()


@pytest.mark.parametrize("compute", [open_set_head, reference_head])
@pytest.mark.parametrize("score", OF_LOGITS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_logits_that_are_no_numbers_make_their_pixels_unknown(compute, score, value):
    logits = torch.randn(1, 12, 8, 8)
    # Sure of itself elsewhere: not unknown by chance.
    logits[0, 5] += 40.0
    clean_nearest, clean = compute(logits, (32, 32), score, None, _map_of(score))
    logits[0, 2, 3, 4] = value
    nearest, anomaly = compute(logits, (32, 32), score, None, _map_of(score))
    assert torch.isfinite(anomaly).all()
    reached = torch.zeros(32, 32, dtype=torch.bool)
    reached[3 * 4 - 2 : 3 * 4 + 6, 4 * 4 - 2 : 4 * 4 + 6] = True
    assert (anomaly[0][reached] == 1.0).all()
    assert (nearest[0][reached] == 0).all()
    assert torch.equal(anomaly[0][~reached], clean[0][~reached])
    assert torch.equal(nearest[0][~reached], clean_nearest[0][~reached])


@pytest.mark.parametrize("score", OF_LOGITS)
def test_an_image_of_nan_is_unknown_everywhere(score):
    nearest, anomaly = open_set_head(
        torch.full((1, 12, 4, 4), math.nan), (16, 16), score, None, _map_of(score)
    )
    assert (anomaly == 1.0).all()
    assert (nearest < 12).all()


@pytest.mark.parametrize("score", OF_LOGITS)
def test_huge_logits_stay_in_range(score):
    logits = torch.randn(1, 12, 4, 4) * 1e37
    _, anomaly = open_set_head(logits, (16, 16), score, None, _map_of(score))
    assert ((anomaly >= 0) & (anomaly <= 1)).all()


def test_the_head_leaves_its_input_alone_and_is_differentiable_by_its_definition():
    logits = torch.randn(1, 5, 4, 4)
    before = logits.clone()
    open_set_head(logits, (16, 16))
    assert torch.equal(logits, before)
    logits.requires_grad_()
    reference_head(logits, (16, 16))[1].sum().backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("score", "score_map", "message"),
    [("none", None, "jsd"), ("jsd", MAP, "takes no"), ("energy", None, "needs a")],
)
def test_a_score_without_its_map_is_refused(score, score_map, message):
    with pytest.raises(ValueError, match=message):
        open_set_head(torch.zeros(1, 3, 2, 2), (8, 8), score, None, score_map)


def test_all_channels_come_from_one_upsampling_and_unpublished_ones_keep_their_scale():
    logits = torch.randn(2, 6, 5, 7, dtype=torch.float64) * 4
    full = torch.nn.functional.interpolate(logits, size=(19, 26), mode="bilinear")
    names = [name for name in OF_LOGITS if SCORES[name].temperature is not None]
    channels = [ScoreChannel(name, 1.5) for name in names]
    channels += [ScoreChannel("energy", 1.5, MAP), ScoreChannel("jsd")]
    nearest, maps = compute_channels(ScoreInputs(logits), (19, 26), channels)
    assert torch.equal(nearest, full.argmax(1).to(torch.uint8))
    for channel, values in zip(channels, maps, strict=True):
        expected = SCORES[channel.score](full, channel.temperature)
        expected = MAP(expected) if channel.score_map else expected
        torch.testing.assert_close(values, expected, rtol=0, atol=1e-12)
    alone = open_set_head(logits, (19, 26), "energy", 1.5, MAP)[1]
    assert torch.equal(maps[len(names)], alone)


@pytest.mark.parametrize("score", OF_LOGITS)
def test_what_is_no_number_is_the_most_anomalous_also_where_scores_have_no_bounds(score):
    logits = torch.randn(1, 12, 8, 8)
    logits[0, 2, 3, 4] = math.nan
    _, (values,) = compute_channels(ScoreInputs(logits), (8, 8), [ScoreChannel(score)])
    assert values[0, 3, 4] == (1.0 if SCORES[score].bounded else math.inf)
    values[0, 3, 4] = 0.0
    assert torch.isfinite(values).all()


def upsampled(inputs, size):
    """All inputs at full size, one plane at a time."""

    def enlarge(planes):
        flat = planes.reshape(-1, 1, *planes.shape[-2:])
        full = torch.nn.functional.interpolate(flat, size=size, mode="bilinear")
        return full.reshape(*planes.shape[:-2], *size)

    return ScoreInputs(*map(enlarge, inputs))


@pytest.mark.parametrize("name", sorted(SCORES))
@pytest.mark.parametrize("size", [(3, 4), (13, 17), (70, 9)])
def test_every_score_comes_from_upsampled_inputs_or_from_the_grid(name, size):
    inputs, statistics = make_inputs(), make_statistics()
    channels = [ScoreChannel(name), ScoreChannel(name, coarse=True)]
    nearest, (found, coarse) = compute_channels(inputs, size, channels, statistics)
    full = upsampled(inputs, size)
    assert torch.equal(nearest, full.logits.argmax(1).to(torch.uint8))
    on_grid = apply_score(name, inputs, statistics).unsqueeze(1)
    expected = torch.nn.functional.interpolate(on_grid, size=size, mode="bilinear").squeeze(1)
    torch.testing.assert_close(coarse, expected, rtol=1e-12, atol=1e-12)
    if name not in OF_GRID:
        expected = apply_score(name, full, statistics)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_all_scores_together_are_what_each_is_alone():
    inputs = ScoreInputs(*(one.float() for one in make_inputs(grid=(9, 11))))
    statistics = make_statistics()
    channels = [ScoreChannel(name) for name in SCORES] + [ScoreChannel("sml", score_map=MAP)]
    nearest, maps = compute_channels(inputs, (37, 40), channels, statistics)
    for channel, values in zip(channels, maps, strict=True):
        needed = {need: None for need in inputs._fields if need not in SCORES[channel.score].needs}
        needed.pop("logits", None)
        again, (alone,) = compute_channels(
            inputs._replace(**needed), (37, 40), [channel], statistics
        )
        assert torch.equal(again, nearest)
        torch.testing.assert_close(values, alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kernel", [True, False])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", sorted(SCORES))
def test_an_input_that_is_no_number_makes_the_pixels_of_its_readers_unknown(
    name, value, kernel, monkeypatch
):
    """Whatever computes it, and only those of its readers."""
    if not kernel:
        monkeypatch.setattr(fused, "choose_head_kernel", lambda: (None, "taken away"))
    statistics, size = make_statistics(kind=torch.float32), (24, 32)
    channels = [ScoreChannel(name), ScoreChannel(name, score_map=MAP), ScoreChannel("jsd")]
    maxima = (1.0 if SCORES[name].bounded else math.inf, 1.0, 1.0)
    inputs = make_inputs(grid=(6, 8), batch=1, kind=torch.float32)
    _, clean = compute_channels(inputs, size, channels, statistics)
    reached = torch.zeros(24, 32, dtype=torch.bool)
    reached[2 * 4 - 2 : 2 * 4 + 6, 5 * 4 - 2 : 5 * 4 + 6] = True
    for field in inputs._fields:
        spoilt = getattr(inputs, field).clone()
        spoilt[..., 2, 5].view(-1)[-1] = value
        given = inputs._replace(**{field: spoilt})
        nearest, maps = compute_channels(given, size, channels, statistics)
        assert (nearest[0, reached] == 0).all() or field != "logits"
        for one, values, before, maximum in zip(channels, maps, clean, maxima, strict=True):
            reads = field == "logits" or field in SCORES[one.score].needs
            assert not reads or (values[0, reached] == maximum).all(), (field, one)
            same = ~reached if reads else torch.ones_like(reached)
            torch.testing.assert_close(values[0, same], before[0, same], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", sorted(SCORES))
def test_a_channel_that_lacks_an_input_or_has_a_temperature_too_many_is_refused(name):
    score, inputs, statistics = SCORES[name], make_inputs(), make_statistics()
    for need in {*score.needs} - {"logits"}:
        lacking = inputs._replace(**{need: None}) if need != "statistics" else inputs
        with pytest.raises(ValueError, match=f"needs {need}"):
            compute_channels(
                lacking, (6, 8), [ScoreChannel(name)], None if need == "statistics" else statistics
            )
    if score.temperature is None:
        with pytest.raises(ValueError, match="no temperature"):
            compute_channels(inputs, (6, 8), [ScoreChannel(name, 2.0)], statistics)


def _map_of(score):
    return None if SCORES[score].bounded else MAP

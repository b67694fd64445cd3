"""The C kernel of the open-set head against the definition, and what happens without it.

Stated accuracy, against the scores in float64, with z the largest logit in magnitude, of classes or
of the outlier head: 3e-6 + 3e-8 K + 1e-7 z / T for scores in [0, 1], and 3e-6 + 3e-7 z for those
without bounds. The terms with z are the roundings of float32 logits; PyTorch's own float32 has
larger ones.
"""

from __future__ import annotations

import logging
import math
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from open_set_seg.head import (
    ScoreChannel,
    compute_channels,
    fused,
    head_backend,
    label_channels,
    open_set_head,
)
from open_set_seg.head import reference_head as define
from open_set_seg.kernels import (
    HeadInputs,
    HeadKernel,
    KernelChannel,
    NotBuiltError,
    UnknownRule,
    cpu_head,
)
from open_set_seg.kernels.requests import FORMULAS
from open_set_seg.scores import SCORES, LogisticMap, ScoreInputs, ScoreStatistics

ROOT = Path(__file__).resolve().parent.parent
# What the kernel computes; all other scores are PyTorch's.
SCORED = sorted(FORMULAS)
OF_LOGITS = [name for name in SCORED if SCORES[name].needs == ("logits",)]
needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="needs a C compiler"
)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The kernel as its source is now, which an earlier installation need not have."""
    folder = tmp_path_factory.mktemp("kernel")
    options = ["--build-lib", str(folder), "--build-temp", str(folder / "objects")]
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", *options],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    return folder / "open_set_seg" / "kernels" / "head.so"


@pytest.fixture(scope="module")
def kernel(library):
    return HeadKernel(library)


@pytest.fixture(scope="module")
def levels(library, kernel):
    """One kernel for every instruction set of this processor."""
    return [HeadKernel(library, level) for level in range(kernel.best_level + 1)]


@pytest.fixture
def fresh_choice():
    """Forget which backend was chosen, before and after."""
    cpu_head.choose_head_kernel.cache_clear()
    yield
    cpu_head.choose_head_kernel.cache_clear()


@pytest.fixture
def chosen(kernel, monkeypatch):
    """``open_set_head`` runs the kernel, whatever is installed."""
    monkeypatch.setattr(fused, "choose_head_kernel", lambda: (kernel, ""))
    return kernel


@pytest.fixture
def without_kernel(monkeypatch):
    monkeypatch.setattr(fused, "choose_head_kernel", lambda: (None, "taken away"))


def make_logits(kind: str, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    logits = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    if kind == "tied":
        return logits.round()
    return logits * {"small": 0.01, "usual": 4.0, "large": 60.0, "extreme": 1e4, "huge": 1e30}[kind]


def make_inputs(kind: str, shape: tuple[int, ...], seed: int) -> HeadInputs:
    """Everything that a kernel reads."""
    batch, classes, *grid = shape
    generator = torch.Generator().manual_seed(seed + 1000)
    return HeadInputs(
        make_logits(kind, shape, seed),
        make_logits(kind, (batch, 2, *grid), seed + 2000),
        torch.randn(classes, generator=generator),
        torch.rand(classes, generator=generator) + 1.0,
    )


def statistics_of(inputs: HeadInputs) -> ScoreStatistics:
    return ScoreStatistics(
        max_logit_mean=inputs.class_mean, max_logit_deviation=inputs.class_deviation
    )


def map_of(score: str, logits: torch.Tensor) -> LogisticMap | None:
    spread = max(1.0, float(logits.abs().max()))
    return None if SCORES[score].bounded else LogisticMap(-0.5 * spread, 0.3 * spread)


def tolerance(inputs: HeadInputs, score: str, temperature: float) -> float:
    largest = max(float(one.abs().max()) for one in inputs[:2] if one is not None)
    if SCORES[score].bounded:
        return 3e-6 + 3e-8 * inputs.logits.shape[1] + 1e-7 * largest / temperature
    return 3e-6 + 3e-7 * largest / min(temperature, 1.0)


def define_score(inputs, size, score, temperature, nearest):
    """Upsampled logits, and the score of them, in float64.

    Where classes tie but for rounding, ``sml`` depends on which is taken: it is the kernel's.
    """
    full, outlier = (
        torch.nn.functional.interpolate(one.double(), size=size, mode="bilinear")
        for one in inputs[:2]
    )
    if score == "sml":
        mean, deviation = inputs.class_mean[nearest.long()], inputs.class_deviation[nearest.long()]
        return full, (mean - full.amax(1)) / deviation
    temperature = None if SCORES[score].temperature is None else temperature
    statistics = statistics_of(inputs)
    return full, SCORES[score](full, temperature, outlier_logits=outlier, statistics=statistics)


def check_against_definition(kernel, inputs, size, score, temperature=None, threads=2):
    """Nearest class, raw values and published values of one call."""
    default = SCORES[score].temperature
    temperature = default if temperature is None or default is None else temperature
    temperature = 1.0 if temperature is None else temperature
    score_map = map_of(score, inputs.logits)
    logistic = None if score_map is None else (score_map.location, score_map.scale)
    (nearest, (raw, published), _), finite = kernel(
        inputs,
        size,
        [
            KernelChannel(score, temperature, math.inf),
            KernelChannel(score, temperature, 1.0, logistic),
        ],
        threads,
    )
    assert finite
    full, expected = define_score(inputs, size, score, temperature, nearest)
    allowed = tolerance(inputs, score, temperature)
    torch.testing.assert_close(raw.double(), expected, rtol=0, atol=allowed)
    assert float(published.min()) >= 0.0
    assert float(published.max()) <= 1.0
    known = expected if score_map is None else score_map(expected)
    slope = 1.0 if score_map is None else 0.25 / score_map.scale
    torch.testing.assert_close(published.double(), known, rtol=0, atol=allowed * slope + 1e-6)
    check_nearest(nearest, full, 2e-7 * float(inputs.logits.abs().max()))


def check_nearest(nearest, full, allowed):
    """Every chosen class has the maximum, and is its first where classes are alike to the bit."""
    values = full.gather(1, nearest.long().unsqueeze(1)).squeeze(1)
    assert float((full.amax(1) - values).max()) <= allowed


@needs_compiler
@settings(max_examples=200, deadline=None)
@given(
    batch=st.integers(1, 3),
    classes=st.one_of(st.sampled_from([2, 3, 19, 32, 33, 254]), st.integers(2, 254)),
    source=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    size=st.tuples(st.integers(1, 70), st.integers(1, 50)),
    four_times=st.booleans(),
    score=st.sampled_from(SCORED),
    kind=st.sampled_from(["small", "usual", "large", "extreme", "tied"]),
    temperature=st.sampled_from([None, 0.5, 1.7]),
    seed=st.integers(0, 1000),
    level=st.integers(0, 2),
)
def test_any_logits_at_any_size_equal_the_definition(
    levels, batch, classes, source, size, four_times, score, kind, temperature, seed, level
):
    size = (4 * source[0], 4 * source[1]) if four_times else size
    inputs = make_inputs(kind, (batch, classes, *source), seed)
    one = levels[min(level, len(levels) - 1)]
    check_against_definition(one, inputs, size, score, temperature)


@needs_compiler
@pytest.mark.parametrize("score", SCORED)
@pytest.mark.parametrize(
    ("source", "size"),
    [((20, 150), (80, 600)), ((20, 150), (79, 601)), ((37, 65), (148, 260)), ((90, 300), (45, 90))],
)
def test_tiles_and_bands_join_without_a_seam(kernel, score, source, size):
    for classes in (2, 19):
        inputs = make_inputs("usual", (2, classes, *source), classes)
        check_against_definition(kernel, inputs, size, score)


@needs_compiler
def test_every_instruction_set_of_this_processor_keeps_the_tolerance(library, kernel):
    inputs = make_inputs("usual", (1, 19, 12, 70), 0)
    for level in range(kernel.best_level + 1):
        one = HeadKernel(library, level)
        assert one.instructions
        for score in SCORED:
            check_against_definition(one, inputs, (48, 280), score)
            check_against_definition(one, inputs, (49, 277), score)
    for level in (-1, kernel.best_level + 1):
        with pytest.raises(ValueError, match="is not one of 0 to"):
            HeadKernel(library, level)


@needs_compiler
@pytest.mark.parametrize("classes", [2, 19, 127])
def test_of_classes_that_are_alike_the_lower_one_is_nearest(kernel, classes):
    logits = make_logits("usual", (1, classes, 11, 13), 3)
    for size in ((44, 52), (41, 57)):
        alone, _ = kernel(HeadInputs(logits), size, [], 1)
        twice, _ = kernel(HeadInputs(logits.repeat(1, 2, 1, 1)), size, [], 1)
        assert torch.equal(alone.nearest, twice.nearest)
        flat = HeadInputs(torch.full((1, classes, 3, 5), 7.3))
        (same, (score,), _), _ = kernel(flat, size, [KernelChannel("jsd", 2.0, 1.0)], 1)
        assert (same == 0).all()
        torch.testing.assert_close(score, torch.ones_like(score), rtol=0, atol=3e-6)


@needs_compiler
@pytest.mark.parametrize("score", OF_LOGITS)
def test_huge_logits_are_scored_as_in_double_precision(chosen, score):
    logits = make_logits("huge", (1, 19, 6, 9), 1)
    logits[0, :, 2, 3] = 3.4e38 * torch.linspace(-1.0, 1.0, 19)
    score_map = map_of(score, logits)
    nearest, anomaly = open_set_head(logits, (24, 36), score, None, score_map)
    expected_nearest, expected = define(logits.double(), (24, 36), score, None, score_map)
    torch.testing.assert_close(anomaly.double(), expected, rtol=0, atol=3e-6)
    assert torch.equal(nearest, expected_nearest)


@needs_compiler
@settings(max_examples=40, deadline=None)
@given(
    score=st.sampled_from(OF_LOGITS),
    value=st.sampled_from([math.nan, math.inf, -math.inf]),
    place=st.tuples(st.integers(0, 1), st.integers(0, 18), st.integers(0, 6), st.integers(0, 8)),
    size=st.sampled_from([(28, 36), (7, 9), (33, 41), (3, 4), (1, 1)]),
)
def test_what_a_logit_that_is_no_number_reaches_is_unknown(kernel, score, value, place, size):
    logits = make_logits("usual", (2, 19, 7, 9), 5)
    score_map = map_of(score, logits)
    channel = ScoreChannel(score, None, score_map)
    (clean_nearest, (clean,), _), finite = kernel(
        HeadInputs(logits), size, [fused.kernel_channel(channel)], 2
    )
    assert finite
    logits[place] = value
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fused, "choose_head_kernel", lambda: (kernel, ""))
        nearest, (anomaly,) = compute_channels(ScoreInputs(logits), size, [channel])
    expected_nearest, expected = define(logits, size, score, None, score_map)
    torch.testing.assert_close(anomaly, expected, rtol=0, atol=6e-5)
    reach = torch.zeros(2, 1, 7, 9)
    reach[place[0], 0, place[2], place[3]] = 1.0
    reached = torch.nn.functional.interpolate(reach, size=size, mode="bilinear")[:, 0] > 0
    assert (anomaly[reached] == 1.0).all()
    assert (nearest[reached] == 0).all()
    assert torch.equal(nearest[reached], expected_nearest[reached])
    assert torch.equal(anomaly[~reached], clean[~reached])
    assert torch.equal(nearest[~reached], clean_nearest[~reached])


@needs_compiler
def test_an_unpublished_score_of_no_number_is_infinite_and_an_image_of_nan_unknown(chosen):
    logits = torch.full((1, 19, 4, 4), math.nan)
    channels = [ScoreChannel("energy"), ScoreChannel("jsd")]
    nearest, (energy, jsd) = compute_channels(ScoreInputs(logits), (16, 16), channels)
    assert (nearest == 0).all()
    assert (energy == math.inf).all()
    assert (jsd == 1.0).all()


@needs_compiler
def test_threads_layouts_and_company_do_not_change_a_bit(kernel):
    inputs = make_inputs("usual", (2, 19, 40, 70), 7)
    channels = [KernelChannel(name, 1.0, math.inf) for name in SCORED]
    channels.insert(3, KernelChannel("jsd", 2.0, 1.0))
    rule = UnknownRule(0.3, 19)
    maps, _ = kernel(inputs, (157, 280), channels, 1, rule)
    wide = torch.zeros(2, 21, 41, 90)
    wide[:, :19, 1:, 5:75], wide[:, 19:, 1:, 5:75] = inputs.logits, inputs.outlier_logits
    parts = [wide[:, :19, 1:, 5:75], wide[:, 19:, 1:, 5:75]]
    last = [one.to(memory_format=torch.channels_last) for one in inputs[:2]]
    for threads in (2, 3, 8, 10_000):
        for same in (inputs, HeadInputs(*last, *inputs[2:]), HeadInputs(*parts, *inputs[2:])):
            again, _ = kernel(same, (157, 280), channels, threads, rule)
            assert torch.equal(again.nearest, maps.nearest)
            assert torch.equal(again.labels, maps.labels)
            assert all(map(torch.equal, again.values, maps.values))
    for channel, values in zip(channels, maps.values, strict=True):
        (_, (alone,), _), _ = kernel(inputs, (157, 280), [channel], 2)
        assert torch.equal(alone, values)


@needs_compiler
@pytest.mark.parametrize("score", ["jsd", "op_ms", "energy"])
def test_labels_are_unknown_above_the_threshold_and_only_there(levels, score):
    """Also where values equal it: as numpy compares them, in single precision."""
    inputs = make_inputs("tied", (2, 5, 9, 70), 3)
    logistic = None if SCORES[score].bounded else (-2.0, 1.0)
    channels = [KernelChannel(score, 1.0, 1.0, logistic), KernelChannel("msp", 1.0, 1.0)]
    for kernel in levels:
        for size in ((36, 280), (37, 270)):
            (nearest, (values, _), none), _ = kernel(inputs, size, channels, 2)
            assert none is None
            known = values.flatten().sort().values
            for threshold in (0.0, 0.1, 0.5, 1.0, *known[:: len(known) // 9].tolist()):
                rule = UnknownRule(threshold, 200)
                maps, _ = kernel(inputs, size, channels, 2, rule)
                expected = np.where(values.numpy() > threshold, np.uint8(200), nearest.numpy())
                np.testing.assert_array_equal(maps.labels.numpy(), expected)
                assert torch.equal(maps.nearest, nearest)


@needs_compiler
def test_labels_come_with_every_way_to_compute(chosen):
    """Kernel, tiles and both, with a number that is not finite and without."""
    inputs = make_inputs("usual", (1, 5, 6, 9), 4)
    logits = inputs.logits.clone()
    logits[0, 1, 2, 3] = math.nan
    first = [ScoreChannel("jsd"), ScoreChannel("jsd", coarse=True), ScoreChannel("op", 3.0)]
    for one in (inputs.logits, logits, inputs.logits.double()):
        read = ScoreInputs(one, inputs.outlier_logits.to(one.dtype))
        for channel in first:
            for channels in ([channel], [channel, ScoreChannel("msp"), first[1]]):
                found = label_channels(read, (24, 36), channels, UnknownRule(0.4, 5))
                nearest, maps = compute_channels(read, (24, 36), channels)
                assert torch.equal(found.nearest, nearest)
                assert all(map(torch.equal, found.maps, maps))
                values = maps[0].numpy()
                expected = np.where(values > 0.4, np.uint8(5), nearest.numpy())
                np.testing.assert_array_equal(found.labels.numpy(), expected)
                assert 0 < (expected == 5).sum() < expected.size
    assert label_channels(read, (24, 36), first, None).labels is None


@needs_compiler
@settings(max_examples=40, deadline=None)
@given(
    score=st.sampled_from(SCORED),
    value=st.sampled_from([math.nan, math.inf, -math.inf]),
    plane=st.integers(0, 1),
    size=st.sampled_from([(28, 36), (7, 9), (33, 41), (3, 4), (1, 1)]),
)
def test_an_outlier_logit_that_is_no_number_spoils_its_readers_alone(
    kernel, score, value, plane, size
):
    inputs = make_inputs("usual", (2, 5, 7, 9), 6)
    channels = [ScoreChannel(score, score_map=map_of(score, inputs.logits)), ScoreChannel("jsd")]
    statistics = statistics_of(inputs)
    outlier = inputs.outlier_logits.clone()
    outlier[1, plane, 3, 4] = value
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fused, "choose_head_kernel", lambda: (kernel, ""))
        clean = compute_channels(ScoreInputs(*inputs[:2]), size, channels, statistics)
        spoilt = compute_channels(ScoreInputs(inputs.logits, outlier), size, channels, statistics)
    reach = torch.zeros(2, 1, 7, 9)
    reach[1, 0, 3, 4] = 1.0
    reached = torch.nn.functional.interpolate(reach, size=size, mode="bilinear")[:, 0] > 0
    if "outlier_logits" not in SCORES[score].needs:
        reached = torch.zeros_like(reached)
    assert torch.equal(spoilt[0], clean[0])
    assert torch.equal(spoilt[1][1], clean[1][1])
    assert (spoilt[1][0][reached] == 1.0).all()
    assert torch.equal(spoilt[1][0][~reached], clean[1][0][~reached])


@needs_compiler
def test_several_python_threads_may_call_at_once(kernel):
    batches = [make_logits("usual", (1, 19, 20, 30), seed) for seed in range(12)]
    channels = [KernelChannel("jsd", 2.0, 1.0)]

    def run(logits):
        return kernel(HeadInputs(logits), (80, 120), channels, 2)[0].values[0]

    expected = list(map(run, batches))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(run, batches))
    assert all(map(torch.equal, found, expected))


@needs_compiler
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_widened(chosen, kind):
    logits = make_logits("usual", (1, 19, 6, 9), 2).to(kind)
    found = open_set_head(logits, (24, 36))
    assert all(map(torch.equal, found, open_set_head(logits.float(), (24, 36))))


@needs_compiler
def test_what_the_kernel_cannot_do_goes_to_pytorch(chosen, monkeypatch):
    monkeypatch.setattr(HeadKernel, "__call__", lambda *_: pytest.fail("the kernel was called"))
    logits = make_logits("usual", (1, 5, 4, 6), 0)
    with pytest.raises(pytest.fail.Exception):
        open_set_head(logits, (16, 24))
    nearest, anomaly = open_set_head(logits.double(), (16, 24))
    assert anomaly.dtype == torch.float64
    assert torch.equal(nearest, define(logits.double(), (16, 24))[0])
    open_set_head(logits, (16, 24), temperature=1e-20)
    one_class, _ = open_set_head(logits[:, :1], (16, 24), "msp")
    assert (one_class == 0).all()
    logits.requires_grad_()
    assert open_set_head(logits, (16, 24))[1].requires_grad
    with torch.no_grad(), pytest.raises(pytest.fail.Exception):
        open_set_head(logits, (16, 24))


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from([2, 19, 254]),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 70), st.integers(1, 50)),
    st.sampled_from(OF_LOGITS),
    st.integers(0, 1000),
)
def test_without_the_kernel_pytorch_keeps_to_the_definition(classes, source, size, score, seed):
    logits = make_logits("usual", (2, classes, *source), seed)
    logits[0, 0, 0, 0] = math.nan
    score_map = map_of(score, logits.nan_to_num())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fused, "choose_head_kernel", lambda: (None, "taken away"))
        _, anomaly = open_set_head(logits, size, score, None, score_map)
    _, expected = define(logits, size, score, None, score_map)
    torch.testing.assert_close(anomaly, expected, rtol=0, atol=6e-5)


def test_the_environment_can_keep_the_kernel_out(fresh_choice, monkeypatch, caplog):
    monkeypatch.setenv("OPEN_SET_SEG_HEAD", "pytorch")
    monkeypatch.setattr(HeadKernel, "__init__", lambda *_: pytest.fail("the kernel was loaded"))
    with caplog.at_level(logging.INFO, "open_set_seg"):
        for _ in range(3):
            _, anomaly = open_set_head(torch.zeros(1, 4, 2, 2), (8, 8))
    assert (anomaly > 0.999).all()
    assert head_backend() == "tiled PyTorch (as OPEN_SET_SEG_HEAD says)"
    assert [r.levelname for r in caplog.records] == ["INFO"]


def test_an_unknown_wish_is_named_and_not_followed(fresh_choice, monkeypatch, caplog):
    monkeypatch.setenv("OPEN_SET_SEG_HEAD", "fast")
    head_backend()
    assert "OPEN_SET_SEG_HEAD is 'fast': expected auto or pytorch" in caplog.text


@needs_compiler
def test_which_backend_runs_is_said_once(library, fresh_choice, monkeypatch, caplog):
    monkeypatch.delenv("OPEN_SET_SEG_HEAD", raising=False)
    monkeypatch.setattr(cpu_head, "LIBRARY", library)
    with caplog.at_level(logging.INFO, "open_set_seg"):
        for _ in range(3):
            open_set_head(torch.zeros(1, 4, 2, 2), (8, 8))
    assert [r.getMessage().startswith("head on CPUs: C kernel (") for r in caplog.records] == [True]
    assert head_backend().startswith("C kernel (")
    assert head_backend("cuda") == "tiled PyTorch"


@needs_compiler
def test_a_library_of_other_sources_is_not_called(library, monkeypatch):
    monkeypatch.setattr(cpu_head, "_LAYOUT", (*cpu_head._LAYOUT[:2], cpu_head._LAYOUT[2] + 1))
    with pytest.raises(NotBuiltError, match="of another version"):
        HeadKernel(library)


@pytest.mark.parametrize("content", [None, b"no shared object"])
def test_a_kernel_that_is_missing_or_broken_is_said_and_replaced(
    content, fresh_choice, monkeypatch, caplog, tmp_path
):
    path = tmp_path / "head.so"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(NotBuiltError, match="was not built" if content is None else "not load"):
        HeadKernel(path)
    monkeypatch.delenv("OPEN_SET_SEG_HEAD", raising=False)
    monkeypatch.setattr(cpu_head, "LIBRARY", path)
    for _ in range(2):
        nearest, _ = open_set_head(torch.zeros(1, 4, 2, 2), (8, 8))
    assert (nearest == 0).all()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert head_backend().startswith("tiled PyTorch (the C kernel ")

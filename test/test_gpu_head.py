"""The Triton kernel of the open-set head against the definition, and what happens without it.

On a machine without a CUDA device Triton's interpreter runs the program on the CPU: that proves the
arithmetic and the addresses, not what a compiler makes of them. The same tests run compiled where a
device is. Stated accuracy, against the definition in float64, with z the largest logit in
magnitude: 3e-6 + 3e-8 K + 1e-7 z / T for scores in [0, 1] and 3e-6 + 3e-7 z for those without
bounds; on a device, whose exp2 and log2 are right to 2^-22, twice that.
"""

from __future__ import annotations

import logging
import math
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from open_set_seg.head import (
    ScoreChannel,
    computation,
    compute_channels,
    fused,
    head_backend,
)
from open_set_seg.head.tiles import compute_by_tiles
from open_set_seg.kernels import (
    GpuHeadKernel,
    HeadInputs,
    KernelChannel,
    NotBuiltError,
    UnknownRule,
    choose_gpu_head_kernel,
    gpu_head,
)
from open_set_seg.kernels.gpu_head import Blocks
from open_set_seg.kernels.requests import FORMULAS
from open_set_seg.scores import SCORES, LogisticMap, ScoreInputs, ScoreStatistics

triton = pytest.importorskip("triton")
ON_DEVICE = torch.cuda.is_available()

ROOT = Path(__file__).resolve().parent.parent
SCORED = sorted(FORMULAS)
DTYPES = [torch.float32, torch.bfloat16, torch.float16]
# The interpreter takes its time for every row of a block, whatever its columns.
WIDE = Blocks(columns=64, rows=2, warps=4)
# NumPy, which interprets the program, speaks of every overflow and every NaN that is meant.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("cpu", marks=pytest.mark.skipif(ON_DEVICE, reason="compiled instead")),
        pytest.param("cuda", marks=pytest.mark.gpu),
    ],
    ids=["interpreted", "compiled"],
)
def device(request):
    return torch.device(request.param)


@pytest.fixture(scope="module")
def kernel(device):
    interpreted = not isinstance(triton.language.sum, triton.JITFunction)
    assert ON_DEVICE or interpreted, "conftest.py came too late for Triton"
    return GpuHeadKernel(None if device.type == "cuda" else WIDE)


@pytest.fixture
def chosen(kernel, device, monkeypatch):
    """``compute_channels`` runs this kernel, also on a CPU."""
    monkeypatch.setattr(fused, "choose_gpu_head_kernel", lambda _: (kernel, ""))
    monkeypatch.setattr(fused, "compute_on_cpu", fused.compute_on_gpu)
    return kernel


def make_inputs(kind, batch, classes, source, seed, device, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    scale = {"small": 0.01, "usual": 4.0, "large": 60.0, "huge": 1e30, "tied": 1.0}[kind]
    logits = torch.randn(batch, classes, *source, generator=generator) * scale
    outlier = torch.randn(batch, 2, *source, generator=generator) * min(scale, 60.0)
    mean = torch.randn(classes, generator=generator)
    deviation = 1.0 + torch.rand(classes, generator=generator)
    logits = (logits.round() if kind == "tied" else logits).to(device, dtype)
    return HeadInputs(logits, outlier.to(device, dtype), mean.to(device), deviation.to(device))


def map_of(score, logits):
    spread = max(1.0, float(logits.float().abs().max()))
    return None if SCORES[score].bounded else LogisticMap(-0.5 * spread, 0.3 * spread)


def channels_of(score, temperature, logits):
    """The score as its formula gives it, and as it is published."""
    score_map = map_of(score, logits)
    temperature = temperature if SCORES[score].temperature else 1.0
    temperature = temperature or SCORES[score].temperature
    logistic = None if score_map is None else (score_map.location, score_map.scale)
    return [
        KernelChannel(score, temperature, 1.0 if SCORES[score].bounded else math.inf),
        KernelChannel(score, temperature, 1.0, logistic),
    ]


def define(inputs, size, score, temperature):
    """Upsampled logits and the score of them, in float64."""

    def upsample(values):
        return torch.nn.functional.interpolate(values.double(), size=size, mode="bilinear")

    full = upsample(inputs.logits)
    statistics = ScoreStatistics(
        max_logit_mean=inputs.class_mean, max_logit_deviation=inputs.class_deviation
    )
    return full, SCORES[score](
        full,
        temperature if SCORES[score].temperature else None,
        outlier_logits=upsample(inputs.outlier_logits),
        statistics=statistics,
    )


def tolerance(inputs, score, temperature):
    largest = max(float(one.float().abs().max()) for one in inputs[:2])
    if SCORES[score].bounded:
        allowed = 3e-6 + 3e-8 * inputs.logits.shape[1] + 1e-7 * largest / temperature
    else:
        allowed = 3e-6 + 3e-7 * largest
    return 2.0 * allowed if inputs.logits.is_cuda else allowed


def check_against_definition(kernel, inputs, size, score, temperature=None):
    """Nearest class, raw values and published values of one call."""
    channels = channels_of(score, temperature, inputs.logits)
    temperature = channels[0].temperature
    nearest, (raw, published), _ = kernel(inputs, size, channels)
    full, expected = define(inputs, size, score, temperature)
    if score == "sml":
        # Where two classes tie up to rounding, either one's mean and deviation are right.
        expected = torch.where(nearest == full.argmax(1), expected, raw.double())
    allowed = tolerance(inputs, score, temperature)
    torch.testing.assert_close(raw.double(), expected, rtol=0, atol=allowed)
    logistic = channels[1].logistic
    known = expected if logistic is None else LogisticMap(*logistic)(expected)
    slope = 1.0 if logistic is None else 0.25 / logistic[1]
    assert 0.0 <= float(published.min()) <= float(published.max()) <= 1.0
    torch.testing.assert_close(published.double(), known, rtol=0, atol=allowed * slope + 1e-6)
    chosen = full.gather(1, nearest.long().unsqueeze(1)).squeeze(1)
    largest = float(inputs.logits.float().abs().max())
    assert float((full.amax(1) - chosen).max()) <= 4e-7 * largest


def reached_by(place, source, size):
    """(H, W): what an input at ``place`` reaches, in exact fractions."""

    def along(axis):
        n, target, reached = source[axis], size[axis], []
        for i in range(target):
            position = max(Fraction((2 * i + 1) * n - target, 2 * target), Fraction(0))
            first = int(position)
            second = min(first + 1, n - 1) if position > first else first
            reached.append(place[axis] in (first, second))
        return torch.tensor(reached)

    return along(0).unsqueeze(1) & along(1).unsqueeze(0)


@settings(max_examples=30, deadline=None)
@given(
    batch=st.integers(1, 2),
    classes=st.sampled_from([2, 3, 16, 19, 33, 254]),
    source=st.tuples(st.integers(1, 5), st.integers(1, 20)),
    size=st.tuples(st.integers(1, 11), st.integers(1, 63)),
    four_times=st.booleans(),
    score=st.sampled_from(SCORED),
    kind=st.sampled_from(["small", "usual", "large", "tied"]),
    temperature=st.sampled_from([None, 0.5, 1.7]),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 1000),
)
def test_any_logits_at_any_size_equal_the_definition(
    device, kernel, batch, classes, source, size, four_times, score, kind, temperature, dtype, seed
):
    size = (min(4 * source[0], 12), min(4 * source[1], 64)) if four_times else size
    inputs = make_inputs(kind, batch, classes, source, seed, device, dtype)
    check_against_definition(kernel, inputs, size, score, temperature)


@pytest.mark.parametrize("score", ["jsd", "entropy", "dense_hybrid", "sml"])
def test_blocks_join_without_a_seam(device, score):
    inputs = make_inputs("usual", 1, 19, (3, 40), 0, device)
    for blocks in (Blocks(32, 3, 1), Blocks(128, 4, 4)):
        check_against_definition(GpuHeadKernel(blocks), inputs, (7, 150), score)


@pytest.mark.gpu
@pytest.mark.parametrize("score", SCORED)
@pytest.mark.parametrize("classes", [2, 12, 19, 64, 65, 254])
def test_a_device_s_images_equal_the_definition(score, classes):
    inputs = make_inputs("usual", 2, classes, (64, 96), 1, torch.device("cuda"), torch.float16)
    for size in ((256, 384), (255, 383), (511, 33)):
        check_against_definition(GpuHeadKernel(), inputs, size, score)


@pytest.mark.parametrize("classes", [2, 16, 19])
def test_of_classes_that_are_alike_the_lower_one_is_nearest(device, kernel, classes):
    logits = make_inputs("usual", 1, classes, (3, 13), 3, device).logits
    for size in ((6, 52), (7, 41)):
        alone = kernel(HeadInputs(logits), size, []).nearest
        twice = kernel(HeadInputs(logits.repeat(1, 2, 1, 1)), size, []).nearest
        assert torch.equal(alone, twice)
    same = torch.full((1, classes, 3, 5), 7.3, device=device)
    nearest, (score,), _ = kernel(HeadInputs(same), (5, 9), [KernelChannel("jsd", 2.0, 1.0)])
    assert (nearest == 0).all()
    torch.testing.assert_close(score, torch.ones_like(score), rtol=0, atol=6e-6)


def test_the_same_size_changes_no_logit(device, kernel):
    inputs = make_inputs("usual", 2, 19, (5, 33), 4, device)
    channel = KernelChannel("max_logit", 1.0, math.inf)
    nearest, (values,), _ = kernel(inputs, (5, 33), [channel])
    assert torch.equal(values, -inputs.logits.amax(1))
    assert torch.equal(nearest, inputs.logits.argmax(1).to(torch.uint8))


@pytest.mark.parametrize("score", SCORED)
def test_huge_logits_are_scored_as_in_double_precision(device, kernel, score):
    inputs = make_inputs("huge", 1, 19, (2, 9), 1, device)
    inputs.logits[0, :, 1, 3] = 3.4e38 * torch.linspace(-1.0, 1.0, 19, device=device)
    channel = channels_of(score, None, inputs.logits)[1]
    nearest, (values,), _ = kernel(inputs, (8, 36), [channel])
    full, expected = define(inputs, (8, 36), score, channel.temperature)
    if channel.logistic:
        expected = LogisticMap(*channel.logistic)(expected)
    torch.testing.assert_close(values.double(), expected, rtol=0, atol=1.2e-5)
    assert torch.equal(nearest, full.argmax(1).to(torch.uint8))


@settings(max_examples=20, deadline=None)
@given(
    score=st.sampled_from(SCORED),
    value=st.sampled_from([math.nan, math.inf, -math.inf]),
    place=st.tuples(st.integers(0, 18), st.integers(0, 1), st.integers(0, 8)),
    of_outliers=st.booleans(),
    published=st.integers(0, 1),
    size=st.sampled_from([(8, 36), (2, 9), (7, 41), (6, 27), (1, 4)]),
    dtype=st.sampled_from(DTYPES),
)
def test_what_an_input_that_is_no_number_reaches_is_unknown(
    device, kernel, score, value, place, of_outliers, published, size, dtype
):
    inputs = make_inputs("usual", 1, 19, (2, 9), 5, device, dtype)
    channel = channels_of(score, None, inputs.logits)[published]
    clean_nearest, (clean,), _ = kernel(inputs, size, [channel])
    broken = inputs.outlier_logits if of_outliers else inputs.logits
    broken[0, place[0] % broken.shape[1], place[1], place[2]] = value
    nearest, (values,), _ = kernel(inputs, size, [channel])
    reached = torch.zeros_like(nearest, dtype=torch.bool)
    if "outlier_logits" in SCORES[score].needs or not of_outliers:
        reached[0] = reached_by(place[1:], (2, 9), size)
    assert (nearest[reached] == 0).all()
    assert (values[reached] == channel.maximum).all()
    assert torch.equal(nearest[~reached], clean_nearest[~reached])
    assert torch.equal(values[~reached], clean[~reached])


def test_what_reaches_a_pixel_is_what_pytorch_says_too(device, kernel):
    logits = torch.zeros(1, 2, 4, 7, device=device)
    for place in ((0, 0), (2, 3), (3, 6)):
        logits[0, 1].zero_()[place] = math.nan
        channel = ScoreChannel("jsd")
        for size in ((16, 28), (4, 7), (2, 14)):
            _, (values,), _ = kernel(HeadInputs(logits), size, channels_of("jsd", None, logits)[:1])
            known = compute_by_tiles(ScoreInputs(logits), size, [channel])[1][0]
            assert torch.equal(values == 1.0, known == 1.0)


def test_layouts_and_company_do_not_change_a_bit(device, kernel):
    inputs = make_inputs("usual", 2, 19, (3, 17), 7, device)
    names = ["jsd", "max_logit", "op_ms", "sml"]
    channels = [KernelChannel(name, 1.0 + i, math.inf) for i, name in enumerate(names)]
    nearest, maps, _ = kernel(inputs, (5, 60), channels)
    wide = torch.zeros(2, 21, 4, 30, device=device)
    wide[:, 1:20, 1:, 5:22] = inputs.logits
    last = inputs.logits.to(memory_format=torch.channels_last)
    for same in (last, wide[:, 1:20, 1:, 5:22]):
        again = kernel(inputs._replace(logits=same), (5, 60), channels)
        assert torch.equal(again.nearest, nearest)
        assert all(map(torch.equal, again.values, maps))
    for i in range(len(names)):
        alone = kernel(inputs, (5, 60), channels[i : i + 1])
        assert torch.equal(alone.values[0], maps[i])
        assert torch.equal(alone.nearest, nearest)


def test_classes_further_apart_than_32_bits_are_found(device, kernel):
    apart = 2**30 + 8
    if device.type == "cuda" and torch.cuda.mem_get_info()[0] < 5 * apart:
        pytest.skip("too little memory on the device")
    # Hardly written, so that it takes addresses and no memory on a CPU. The third class lies
    # beyond 2^31 elements, and its stride does not say so.
    flat = torch.empty(2 * apart + 8, dtype=torch.float16, device=device)
    logits = flat.as_strided((1, 3, 2, 2), (1, apart, 2, 1))
    values = [[1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0], [0.0, 5.0, 5.0, 0.0]]
    logits.copy_(torch.tensor(values).view(1, 3, 2, 2))
    near = kernel(HeadInputs(logits.contiguous()), (6, 6), [KernelChannel("jsd", 1.0, 1.0)])
    far = kernel(HeadInputs(logits), (6, 6), [KernelChannel("jsd", 1.0, 1.0)])
    assert torch.equal(far.values[0], near.values[0])
    assert torch.equal(far.nearest, near.nearest)


def test_labels_and_half_precision_come_from_the_same_walk(device, kernel):
    inputs = make_inputs("usual", 2, 12, (3, 13), 8, device, torch.float16)
    channels = channels_of("dense_hybrid", None, inputs.logits)[1:]
    nearest, (values,), none = kernel(inputs, (9, 50), channels)
    assert none is None
    threshold = float(values.median())
    labelled = kernel(inputs, (9, 50), channels, UnknownRule(threshold, 12), torch.float16)
    expected = torch.where(values > threshold, torch.tensor(12).to(nearest), nearest)
    assert torch.equal(labelled.labels, expected)
    assert torch.equal(labelled.nearest, nearest)
    assert labelled.values[0].dtype == torch.float16
    assert torch.equal(labelled.values[0], values.half())
    assert 0.4 < float((labelled.labels == 12).float().mean()) < 0.6


def test_it_says_what_it_cannot_do(device, kernel):
    logits = torch.zeros(1, 3, 2, 2, device=device)
    outlier = torch.zeros(1, 2, 2, 2, device=device)
    assert kernel.supports(HeadInputs(logits, outlier), (8, 8))
    for wrong in (logits.double(), logits[:, :1], logits.expand(1, 3, 2, 2).repeat(1, 85, 1, 1)):
        assert not kernel.supports(HeadInputs(wrong), (8, 8))
    for inputs in (HeadInputs(logits, outlier.double()), HeadInputs(logits, outlier.to("meta"))):
        assert not kernel.supports(inputs, (8, 8))
    for size in ((70_000, 8), (8, 2**30), (0, 8)):
        assert not kernel.supports(HeadInputs(logits), size)
    assert not kernel.supports(HeadInputs(logits.clone().requires_grad_()), (8, 8))
    for name, temperature in (("op", 2.0), ("sml", 1.0), ("mahalanobis", 1.0), ("jsd", 1e-20)):
        assert not HeadInputs(logits).suffice(KernelChannel(name, temperature, 1.0))
    assert HeadInputs(logits, outlier).suffice(KernelChannel("op", 2.0, 1.0))


def test_the_head_takes_the_kernel_and_pytorch_for_the_rest(chosen, device, monkeypatch):
    inputs = make_inputs("usual", 1, 5, (3, 7), 9, device)
    features = torch.randn(1, 4, 3, 7, device=device)
    statistics = ScoreStatistics(
        max_logit_mean=inputs.class_mean.cpu(),
        max_logit_deviation=inputs.class_deviation.cpu(),
        feature_mean=torch.zeros(5, 4),
        feature_precision=torch.eye(4),
    )
    read = ScoreInputs(*inputs[:2], features)
    channels = [ScoreChannel(name, score_map=map_of(name, inputs.logits)) for name in SCORED]
    rest = [ScoreChannel("jsd", coarse=True), ScoreChannel("mahalanobis")]
    nearest, maps = compute_channels(read, (7, 28), [*rest, *channels], statistics)
    expected_nearest, expected = compute_by_tiles(read, (7, 28), [*rest, *channels], statistics)
    assert torch.equal(nearest, expected_nearest)
    for values, known in zip(maps, expected, strict=True):
        torch.testing.assert_close(values, known, rtol=0, atol=2e-5)
    monkeypatch.setattr(
        computation, "compute_by_tiles", lambda *_: pytest.fail("PyTorch was asked")
    )
    compute_channels(read, (7, 28), channels, statistics)
    with pytest.raises(pytest.fail.Exception):
        compute_channels(read, (7, 28), rest, statistics)
    with pytest.raises(pytest.fail.Exception):
        compute_channels(ScoreInputs(inputs.logits.double()), (7, 28), [ScoreChannel("jsd")])


def test_what_is_missing_is_said_as_without_the_kernel(chosen, device):
    read = ScoreInputs(torch.zeros(1, 3, 2, 2, device=device), torch.zeros(1, 2, 2, 2).to(device))
    with pytest.raises(ValueError, match="needs statistics"):
        compute_channels(read, (4, 4), [ScoreChannel("sml")])
    with pytest.raises(ValueError, match="needs outlier_logits"):
        compute_channels(ScoreInputs(read.logits), (4, 4), [ScoreChannel("op")])
    with pytest.raises(ValueError, match="no temperature"):
        compute_channels(read, (4, 4), [ScoreChannel("dense_hybrid", 2.0)])


@pytest.fixture
def fresh_choice(monkeypatch):
    """Forget which kernel was chosen, before and after."""
    monkeypatch.delenv("OPEN_SET_SEG_HEAD", raising=False)
    choose_gpu_head_kernel.cache_clear()
    yield
    choose_gpu_head_kernel.cache_clear()


def test_a_kernel_that_runs_is_chosen_and_said_once(device, fresh_choice, caplog):
    with caplog.at_level(logging.INFO, "open_set_seg"):
        for _ in range(2):
            kernel, reason = choose_gpu_head_kernel(device)
    assert isinstance(kernel, GpuHeadKernel)
    assert reason == ""
    assert [r.getMessage() for r in caplog.records] == [f"head on {device}: Triton kernel"]


def test_the_environment_keeps_the_kernel_out(device, fresh_choice, monkeypatch, caplog):
    monkeypatch.setenv("OPEN_SET_SEG_HEAD", "pytorch")
    monkeypatch.setattr(GpuHeadKernel, "__init__", lambda *_: pytest.fail("it was loaded"))
    with caplog.at_level(logging.INFO, "open_set_seg"):
        assert choose_gpu_head_kernel(device) == (None, "as OPEN_SET_SEG_HEAD says")
    assert [r.levelname for r in caplog.records] == ["INFO"]


def test_a_machine_without_triton_is_said(device, fresh_choice, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.delitem(sys.modules, "open_set_seg.kernels.gpu_program", raising=False)
    with pytest.raises(NotBuiltError, match="triton cannot be imported"):
        GpuHeadKernel()
    kernel, reason = choose_gpu_head_kernel(device)
    assert kernel is None
    assert "triton cannot be imported" in reason
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "many times slower" in caplog.text


def test_a_kernel_that_gives_a_wrong_answer_is_not_taken(device, fresh_choice, monkeypatch, caplog):
    right = gpu_head._find_coefficients
    monkeypatch.setattr(
        gpu_head, "_find_coefficients", lambda *a: tuple(1.5 * x for x in right(*a))
    )
    kernel, reason = choose_gpu_head_kernel(device)
    assert kernel is None
    assert "expected class 1" in reason
    assert "\n" not in reason
    assert [r.levelname for r in caplog.records] == ["WARNING"]


@pytest.mark.gpu
def test_the_device_says_what_computes_the_head(fresh_choice):
    assert head_backend("cuda") == "Triton kernel"
    assert head_backend("cpu") != head_backend("cuda")


COMPILE = """
import sys
import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import MockTensor

class Device:
    get_current_target = staticmethod(lambda: GPUTarget("cuda", int(sys.argv[1]), 32))
    get_current_device = staticmethod(lambda: 0)
    get_current_stream = staticmethod(lambda device: 0)

driver.set_active(Device())
from open_set_seg.kernels import KernelChannel, gpu_head, gpu_program

class Walk:
    def __getitem__(self, grid):
        return lambda *given, **options: print(sorted(
            gpu_program.walk_image.warmup(*map(mock, given), grid=grid, **options).asm
        ))

def mock(given):
    return MockTensor(given.dtype) if isinstance(given, torch.Tensor) else given

kernel = gpu_head.GpuHeadKernel()
kernel._program = type("Program", (), {"walk_image": Walk(), "FOR_CUDA": gpu_program.FOR_CUDA})
GROUPS = (
    (19, torch.float16, ("jsd", "kl", "dense_hybrid", "op_ms", "sml")),
    (2, torch.bfloat16, ("max_logit", "op")),
    (254, torch.float32, ("jsd",)),
)
for classes, kind, names in GROUPS[: int(sys.argv[2])]:
    z, fitted = torch.zeros(1, classes, 2, 4, dtype=kind), torch.ones(classes)
    inputs = gpu_head.HeadInputs(z, torch.zeros(1, 2, 2, 4, dtype=kind), fitted, fitted)
    kernel(inputs, (8, 16), [], None)
    for name in names:
        logistic = (0.0, 1.0) if name in ("dense_hybrid", "sml") else None
        channel = KernelChannel(name, 1.0, 1.0, logistic)
        kernel(inputs, (8, 16), [channel], gpu_head.UnknownRule(0.5, 19), torch.float16)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Triton's compiler is for Linux")
@pytest.mark.parametrize(("capability", "groups", "programs"), [(75, 1, 6), (90, 3, 11)])
def test_the_program_compiles_for_devices_that_are_not_here(capability, groups, programs, tmp_path):
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path)}
    environment.pop("TRITON_INTERPRET", None)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COMPILE, str(capability), str(groups)],
        cwd=ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("cubin") == programs


def test_triton_is_not_imported_before_a_device_needs_it():
    script = (
        "import sys, open_set_seg.cli, open_set_seg.segmenter; sys.exit('triton' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT).returncode == 0


@pytest.mark.skipif(ON_DEVICE, reason="there is one")
def test_the_benchmark_of_gpus_says_that_there_is_none():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines() == [
        f"needs a CUDA device: torch {torch.__version__} sees none here"
    ]

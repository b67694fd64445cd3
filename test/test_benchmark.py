"""The benchmark: its arithmetic against hand-made numbers, and a tiny run from end to end."""

from __future__ import annotations

import itertools
import json
import math
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from untrained import save_untrained

from open_set_seg import cli
from open_set_seg.benchmark import PARTS, BenchmarkConfig
from open_set_seg.benchmark import turns as turns_module
from open_set_seg.benchmark.busy import measure_busy
from open_set_seg.benchmark.cases import Case, describe_cases, make_cases, missing
from open_set_seg.benchmark.engines import BASELINE, EngineSpec, open_engine, plan_engines
from open_set_seg.benchmark.floors import Floor, Rates, best_rates
from open_set_seg.benchmark.frames import TextbookSegmenter
from open_set_seg.benchmark.heads import CLOSED_SET, HEADS, NETWORK, TEXTBOOK, moved_bytes
from open_set_seg.benchmark.networks import NetworkSource
from open_set_seg.benchmark.published import PUBLISHED
from open_set_seg.benchmark.turns import (
    Turns,
    median_difference,
    median_ratio,
    spread,
    take_turns,
)
from open_set_seg.scoring import Scoring
from open_set_seg.segmenter import OpenSetSegmenter
from open_set_seg.simulation import render_still

CPU = torch.device("cpu")
RATES = Rates(20e9, {"fp32": 100e9, "bf16": 400e9, "int8": None})


def test_ratios_and_differences_are_medians_of_those_of_the_rounds():
    # The medians are 4 and 2, but what disturbed a round disturbed both of its variants.
    slow, fast = [4.0, 40.0, 3.0], [2.0, 8.0, 1.0]
    assert median_ratio(slow, fast) == 3.0
    assert median_difference(slow, fast) == 2.0


def test_spread_is_median_and_the_tenth_and_ninetieth_percentile():
    assert spread([5.0, 1.0, 4.0, 2.0, 3.0]) == {"p10": 1.4, "p50": 3.0, "p90": 4.6}


def test_turns_drop_the_warm_up_and_give_every_variant_its_own_time(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(turns_module.time, "perf_counter", lambda: clock.now)
    monkeypatch.setattr(turns_module.time, "process_time", lambda: 2 * clock.now)
    ran: list[str] = []
    cost = {"first": itertools.count(100), "second": itertools.count(7)}

    def run(name: str) -> None:
        ran.append(name)
        clock.now += next(cost[name]) * 1e-3

    times, cpu = take_turns({name: lambda name=name: run(name) for name in cost}, rounds=9)
    assert np.allclose(times["first"], range(101, 110))
    assert np.allclose(times["second"], range(8, 17))
    assert np.allclose(cpu["first"], range(202, 220, 2))
    rounds = [tuple(ran[place : place + 2]) for place in range(0, len(ran), 2)]
    assert all(set(one) == set(cost) for one in rounds)
    assert len(set(rounds)) == 2, "one order in every round favours whoever follows whom"


@pytest.mark.parametrize(
    ("arithmetic", "moved", "operations", "ms", "by"),
    [
        ("fp32", 40_000_000, 1_000_000_000, 10.0, "arithmetic"),
        ("bf16", 40_000_000, 1_000_000_000, 2.5, "arithmetic"),
        ("bf16", 80_000_000, 1_000_000_000, 4.0, "bytes"),
        ("int8", 40_000_000, 1_000_000_000, 2.0, "bytes"),
    ],
)
def test_the_floor_is_the_larger_of_two_bounds(arithmetic, moved, operations, ms, by):
    floor = Floor.of(moved, operations, arithmetic, RATES)
    assert math.isclose(floor.ms, ms)
    found = floor.describe(5 * ms)
    assert found == {
        "ms": pytest.approx(ms), "by": by, "bytes": moved, "operations": operations, "times": 5.0,
    }  # fmt: skip


def test_of_two_measurements_of_a_rate_the_higher_one_counts():
    found = best_rates(RATES, Rates(30e9, {"fp32": 90e9, "bf16": 500e9, "int8": None}))
    assert found == Rates(30e9, {"fp32": 100e9, "bf16": 500e9, "int8": None})


def test_bytes_that_must_move():
    # RGB in, a byte of label and four of score out, 1000 parameters of two bytes.
    assert moved_bytes((4, 8), 1000, 2, anomaly=True) == 32 * 3 + 32 + 32 * 4 + 2000
    assert moved_bytes((4, 8), 1000, 2, anomaly=False) == 32 * 3 + 32 + 2000


def case(name: str, head: str, outlier_head: bool = False) -> Case:
    spec = EngineSpec(name, "pytorch", "fp32", outlier_head=outlier_head)
    return Case(SimpleNamespace(spec=spec), head, lambda: None)


def test_rows_compare_an_engine_with_itself_and_with_the_baseline():
    cases = [
        case(BASELINE, TEXTBOOK),
        case("pytorch fp32", NETWORK),
        case("pytorch fp32", CLOSED_SET),
        case("pytorch fp32", "jsd"),
        case("pytorch fp32 + outlier head", "op", outlier_head=True),
    ]
    times = {
        f"{BASELINE}: {TEXTBOOK}": [80.0, 800.0],
        f"pytorch fp32: {NETWORK}": [10.0, 100.0],
        f"pytorch fp32: {CLOSED_SET}": [40.0, 400.0],
        "pytorch fp32: jsd": [20.0, 200.0],
        "pytorch fp32 + outlier head: op": [30.0, 300.0],
    }
    cpu = {name: [1.5 * value for value in values] for name, values in times.items()}
    cpu["pytorch fp32: jsd"] = [15.0, 30.0]
    found = describe_cases(cases, Turns(times, cpu), RATES, (4, 8), 10, 10**9)
    rows = {row["head"]: row for row in found}
    assert rows["jsd"]["cpu_ms"]["p50"] == 22.5
    assert rows["jsd"]["cpu_over_closed_set"] == 0.15
    assert rows["jsd"]["over_closed_set"] == 0.5
    assert rows["jsd"]["overhead_ms"] == -110.0
    assert rows["jsd"]["after_network_ms"] == 55.0
    assert rows["jsd"]["times_faster_than_baseline"] == 4.0
    assert rows["jsd"]["ms"]["p50"] == 110.0
    assert rows["jsd"]["fps"] == pytest.approx(1000 / 110, abs=1e-3)
    assert rows["jsd"]["floor"]["ms"] == 10.0
    assert rows["jsd"]["floor"]["times"] == 11.0
    assert rows["op"]["over_closed_set"] == 0.75
    assert "after_network_ms" not in rows["op"]
    assert "over_closed_set" not in rows[TEXTBOOK]
    assert rows["jsd"]["floor"]["bytes"] - rows[NETWORK]["floor"]["bytes"] == 4 * 32


def test_every_backend_and_file_comes_in_every_precision_after_the_baseline(tmp_path):
    files = tmp_path / "small.xml", tmp_path / "small.onnx"
    files[0].write_text('<net><layer type="FakeQuantize"/></net>')
    config = BenchmarkConfig(network="ldn_121", model_files=files)
    engines = {spec.name: spec for spec in plan_engines(config)}
    assert list(engines) == [
        BASELINE, "pytorch fp32", "pytorch bf16", "openvino fp32", "openvino bf16",
        "small.xml fp32", "small.xml bf16", "small.onnx",
    ]  # fmt: skip
    assert engines["small.xml bf16"].floor_arithmetic == "int8"
    assert engines["openvino bf16"].floor_arithmetic == "bf16"


@pytest.fixture(scope="module")
def scene():
    return render_still(seed=1_000_003, width=128, height=64).frame()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, scene):
    return save_untrained(tmp_path_factory.mktemp("model") / "model.safetensors", scene.image)


def test_the_baseline_says_what_the_segmenter_says(checkpoint, scene):
    source = NetworkSource(checkpoint)
    engine = open_engine(EngineSpec(BASELINE, "baseline", "fp32"), source, CPU, scene.image)
    found = TextbookSegmenter(engine, engine.model.metadata).segment(scene.image)
    expected = OpenSetSegmenter.from_checkpoint(checkpoint, "cpu", backend="pytorch")
    wanted = expected.segment(scene.image)
    assert np.abs(found.anomaly - wanted.anomaly).max() < 1e-4
    assert (found.labels != wanted.labels).mean() < 0.01
    assert found.labels.dtype == wanted.labels.dtype == np.uint8


def test_what_a_network_cannot_give_is_absent_with_the_reason(checkpoint, scene):
    spec = EngineSpec("pytorch bf16", "pytorch", "bf16")
    engine = open_engine(spec, NetworkSource(checkpoint), CPU, scene.image)
    cases, absent = make_cases([engine], ["op", "sml", "odin:epsilon=1e-9+msp"], scene.image)
    assert [one.head for one in cases] == list(HEADS)
    reasons = {one.what: one.reason for one in absent}
    assert "outlier head" in reasons["pytorch bf16: op"]
    assert "max_logit_mean" in reasons["pytorch bf16: sml"]
    assert "bfloat16" in reasons["pytorch bf16: odin:epsilon=1e-9+msp"]
    assert missing(engine, Scoring.parse("mc_dropout+jsd")) == ""
    logits_alone = SimpleNamespace(pytorch=None, model=engine.model)
    assert "PyTorch" in missing(logits_alone, Scoring.parse("mc_dropout+jsd"))


def test_an_engine_that_is_not_there_is_absent_with_the_reason(tmp_path, checkpoint, scene):
    file = tmp_path / "none.onnx"
    spec = EngineSpec("none.onnx", "file", "fp32", file)
    absent = open_engine(spec, NetworkSource(checkpoint), CPU, scene.image)
    assert absent.what == "none.onnx"
    assert absent.reason
    assert "\n" not in absent.reason


def test_busy_processes_run_only_in_their_half_and_end():
    running = []

    def run() -> None:
        running.append(busy_children())

    (row,) = measure_busy({"one": run}, processes=2, rounds=2, device=CPU)
    assert running == [0, 0, 2, 2] * 2
    assert busy_children() == 0
    assert row["processes"] == 2
    assert row["ratio"] > 0


def busy_children() -> int:
    """Children of this process that are not stopped."""
    states = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            command = (stat.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == os.getpid() and b"while True: pass" in command:
            states.append(fields[0])
    return sum(state != "T" for state in states)


def test_published_times_agree_with_themselves():
    for table in PUBLISHED:
        base = table.rows[0].ms
        for row in table.rows:
            assert row.fps == pytest.approx(1000 / row.ms, rel=0.01)
            assert row.overhead_ms is None or row.overhead_ms == pytest.approx(row.ms - base)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--scores", "jds"], "unknown score 'jds'"),
        (["--scores", "msp+ground_focus"], "steps after a score"),
        (["--backend", "tensorflow"], "unknown backend 'tensorflow'"),
        (["--precision", "fp8"], "unknown precision 'fp8'"),
        (["--parts", "everything"], "unknown part 'everything'"),
        (["--network", "resnet"], "unknown network 'resnet'"),
        (["--rounds", "0"], "1 to 1000 rounds"),
        (["--size", "16x16"], "32 to 16384 pixels"),
        (["--size", "big"], "WIDTHxHEIGHT"),
        (["--classes", "5"], "--network"),
        (["model.safetensors", "--network", "ldn_121"], "found both"),
        (["none.safetensors"], "none.safetensors"),
    ],
)
def test_a_mistake_costs_one_line(capsys, options, expected):
    assert cli.main(["benchmark", *options]) == 2
    said = capsys.readouterr().err.strip()
    assert expected in said
    assert "\n" not in said


def test_one_command_measures_everything_and_stores_it(tmp_path, capsys):
    output = tmp_path / "folder" / "result.json"
    arguments = [
        "--network", "swiftnet_rn18", "--width", "0.125", "--size", "128x64", "--rounds", "2",
        "--backend", "pytorch", "--precision", "fp32", "--device", "cpu", "--busy", "1",
    ]  # fmt: skip
    assert cli.main(["benchmark", *arguments, "-o", str(output)]) == 0
    result = json.loads(output.read_text())
    for key in ("command", "network", "engines", "rates", "environment", "threads", "rounds"):
        assert result[key], key
    assert result["size"] == [128, 64]
    assert {"processor", "cores", "commit", "versions"} <= set(result["machine"])
    assert all(result[part] for part in PARTS)
    engine = {row["head"]: row for row in result["heads"] if row["engine"] == "pytorch fp32"}
    scores = set(result["scores"]) - {"op", "op_ms", "dense_hybrid"}
    assert set(engine) == {*HEADS, *scores}
    twin = {
        row["head"] for row in result["heads"] if row["engine"] == "pytorch fp32 + outlier head"
    }
    assert twin == {"op", "op_ms", "dense_hybrid"}
    assert result["absent"] == []
    for row in result["frame"]:
        stages = {name: spread["p50"] for name, spread in row["stages_ms"].items()}
        assert stages["segmentation"] < row["ms"]["p90"]
        assert row["obstacles"] >= 0
    for row in result["memory"]:
        assert row["resident_MiB"] >= row["before_MiB"] > 50
    said = capsys.readouterr().out
    for row in result["heads"]:
        assert row["head"] in said

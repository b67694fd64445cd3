"""The page of speed: what its generator makes of the committed results, and of nothing else."""

import json

from benchmarks.speed_page import PAGE, RESULTS, overview, speed_page
from open_set_seg.benchmark.tables import engine_table, fastest_engine

MACHINE = {
    "processor": "a processor", "cores": 2, "load_average": [0.0, 0.0, 0.0], "commit": "0" * 40,
    "uncommitted_changes": False, "versions": {"torch": "2", "openvino": "3", "onnxruntime": "1"},
}  # fmt: skip


def head_row(engine, head, ms, **ratios):
    floor = {"ms": 1.0, "by": "bytes", "bytes": 10**6, "operations": 10**9, "times": ms}
    spread = {"p10": ms, "p50": ms, "p90": ms}
    times = {"ms": spread, "cpu_ms": spread, "fps": 1e3 / ms, "cpu_over_closed_set": 0.5}
    return {"engine": engine, "head": head, "floor": floor} | times | ratios


def run():
    compared = {"overhead_ms": -60.0, "after_network_ms": 12.0, "times_faster_than_baseline": 8.0}
    return {
        "what": "benchmark",
        "command": "open-set-seg benchmark",
        "network": {
            "architecture": "ldn_121", "width": 1.0, "classes": 19, "parameters": 11_000_000,
            "weights": "random: speed only",
        },
        "size": [1024, 512],
        "rounds": 3,
        "threads": 2,
        "head": "C kernel",
        "scores": ["jsd"],
        "environment": {},
        "load_average_before": 0.1,
        "rates": {"copy_GB_per_s": 30.0, "matrix_GFLOP_per_s": {"fp32": 200.0, "int8": None}},
        "heads": [
            head_row("slow", "upsample + argmax", 400.0, over_closed_set=1.0),
            head_row("slow", "jsd", 350.0, over_closed_set=0.9, **compared),
            head_row("fast", "upsample + argmax", 123.0, over_closed_set=1.0),
            head_row("fast", "jsd", 61.0, over_closed_set=0.47, **compared),
        ],
        "absent": [{"what": "fast: odin+jsd", "reason": "needs the network in PyTorch"}],
        "machine": MACHINE,
    }  # fmt: skip


def test_the_committed_page_is_what_the_command_writes():
    text = PAGE.read_text(encoding="utf-8")
    assert text == speed_page(RESULTS), "run: python -m benchmarks.speed_page"


def test_a_result_fills_the_page(tmp_path):
    (tmp_path / "speed.json").write_text(json.dumps(run()))
    (tmp_path / "other.json").write_text(json.dumps({"what": "transport"}))
    text = speed_page(tmp_path)
    assert "## LDN-121, 1024 x 512" in text
    assert "0.47" in text
    assert "needs the network in PyTorch" in text
    # The papers' rows stand beside ours, under the device that they were measured on.
    published = text.split("published, on another device")[1]
    assert "RTX 3090" in published
    assert "NFlowJS" in published
    assert "A4000" not in text
    assert "int8" not in text.split("Copy 30 GB/s")[1].splitlines()[0]


def test_the_overview_takes_the_fastest_engine():
    assert fastest_engine(run()) == "fast"
    (row,) = overview([run()]).rows
    assert row.cells[:4] == ("LDN-121, 1024 x 512", "fast", "61", "0.47")


def test_an_engine_without_the_score_has_no_row():
    result = run()
    result["heads"] = [row for row in result["heads"] if row["ms"]["p50"] != 350.0]
    assert [row.cells[0] for row in engine_table(result).rows] == ["fast, jsd"]


def test_runs_were_made_of_a_commit():
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in RESULTS.glob("speed_*.json")]
    for run_ in runs:
        assert run_["what"] == "benchmark"
        assert run_["machine"]["commit"]
        assert not run_["machine"]["uncommitted_changes"]

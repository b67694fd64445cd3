"""The interleaved run of every engine with every head, and what its times say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from open_set_seg.benchmark.engines import (
    BASELINE,
    OUTLIER_SUFFIX,
    Absent,
    Engine,
)
from open_set_seg.benchmark.floors import ELEMENT_BYTES, Floor, Rates
from open_set_seg.benchmark.heads import (
    CLOSED_SET,
    HEADS,
    NETWORK,
    TEXTBOOK,
    Head,
    moved_bytes,
    score_channel,
    score_head,
)
from open_set_seg.benchmark.turns import Turns, median_difference, median_ratio, spread
from open_set_seg.frame import ImageRGB
from open_set_seg.head import compute_channels
from open_set_seg.scoring import Scoring


@dataclass(frozen=True, eq=False)
class Case:
    """One engine with one head.

    Attributes:
        engine: runs the network.
        head: name of what follows: a key of ``HEADS`` or a score.
        run: all of it, for the image.
    """

    engine: Engine
    head: str
    run: Callable[[], Any]

    @property
    def name(self) -> str:
        """Key in times and results."""
        return f"{self.engine.spec.name}: {self.head}"


def make_cases(
    engines: Sequence[Engine], scores: Sequence[str], rgb: ImageRGB
) -> tuple[list[Case], list[Absent]]:
    """Every pair that can be run, and the others with the reason.

    The baseline has only the closed-set head and the textbook's. What needs an outlier head runs on
    the engine that has one.
    """
    cases, absent = [], []
    for engine in engines:
        name = engine.spec.name
        heads = [] if engine.spec.outlier_head else list(HEADS)
        if name == BASELINE:
            heads = [NETWORK, CLOSED_SET, TEXTBOOK]
        cases += [Case(engine, head, _follow(engine, HEADS[head], rgb)) for head in heads]
        for score in scores if name != BASELINE else ():
            scoring = Scoring.parse(score)
            if engine.spec.outlier_head and "outlier_logits" not in scoring.entry.needs:
                continue
            case = Case(engine, score, _score(engine, scoring, rgb))
            reason = missing(engine, scoring) or _try(case)
            if not reason:
                cases.append(case)
            elif "outlier_logits" not in scoring.entry.needs or not _has_twin(engine, engines):
                absent.append(Absent(case.name, reason))
    return cases, absent


def missing(engine: Engine, scoring: Scoring) -> str:
    """Why an engine cannot give a score; empty where it can."""
    statistics = engine.model.statistics
    fitted = {} if statistics is None else statistics.tensors()
    unfitted = [field for field in scoring.statistics if field not in fitted]
    if "outlier_logits" in scoring.entry.needs and not engine.model.metadata.outlier_head:
        return "the network has no outlier head"
    if scoring.needs_network and engine.pytorch is None:
        return "needs the network in PyTorch"
    if unfitted:
        return f"the checkpoint carries no statistics of inlier data ({', '.join(unfitted)})"
    return ""


def describe_cases(
    cases: Sequence[Case],
    turns: Turns,
    rates: Rates,
    size: tuple[int, int],
    parameters: int,
    operations: int,
) -> list[dict[str, Any]]:
    """Rows of a result: medians, ratios of the rounds, and floors.

    ``over_closed_set`` is time over that of the same engine with upsampling and arg-max,
    ``overhead_ms`` the difference to it, ``after_network_ms`` that to the network alone, and
    ``times_faster_than_baseline`` the baseline with the textbook's head over this. ``cpu_ms`` is
    time of the processor, ``cpu_over_closed_set`` its ratio.

    Args:
        size: (H, W); parameters and operations: of the network for such an image.
    """
    times, cpu = turns
    rows = []
    for case in cases:
        values, engine = times[case.name], case.engine.spec
        plain = engine.name.removesuffix(OUTLIER_SUFFIX)
        arithmetic = engine.floor_arithmetic
        scored = case.head == TEXTBOOK or case.head not in HEADS
        moved = moved_bytes(size, parameters, ELEMENT_BYTES[arithmetic], scored)
        middle = spread(values)
        row: dict[str, Any] = {
            "engine": engine.name,
            "backend": engine.backend,
            "arithmetic": arithmetic,
            "head": case.head,
            "ms": middle,
            "cpu_ms": spread(cpu[case.name]),
            "fps": round(1e3 / middle["p50"], 3),
        }
        if (closed := times.get(f"{plain}: {CLOSED_SET}")) is not None:
            row["over_closed_set"] = median_ratio(values, closed)
            row["cpu_over_closed_set"] = median_ratio(cpu[case.name], cpu[f"{plain}: {CLOSED_SET}"])
            row["overhead_ms"] = median_difference(values, closed)
        if (network := times.get(f"{engine.name}: {NETWORK}")) is not None:
            row["after_network_ms"] = median_difference(values, network)
        if (baseline := times.get(f"{BASELINE}: {TEXTBOOK}")) is not None:
            row["times_faster_than_baseline"] = median_ratio(baseline, values)
        row["floor"] = Floor.of(moved, operations, arithmetic, rates).describe(middle["p50"])
        rows.append(row)
    return rows


def _follow(engine: Engine, head: Head, rgb: ImageRGB) -> Callable[[], Any]:
    size = rgb.shape[0], rgb.shape[1]

    def run() -> Any:
        with torch.inference_mode():
            return head(engine.backend(rgb), size)

    return run


def _score(engine: Engine, scoring: Scoring, rgb: ImageRGB) -> Callable[[], Any]:
    intervention, pytorch = scoring.intervention, engine.pytorch
    if intervention is None or pytorch is None:
        return _follow(engine, score_head(scoring, engine.model.statistics), rgb)
    statistics, channel = engine.model.statistics, score_channel(scoring)
    size = rgb.shape[0], rgb.shape[1]

    def run() -> Any:
        with torch.inference_mode():
            # As the segmenter does it: the classes are those of the plain pass.
            plain = pytorch(rgb)
            image = pytorch.image_tensor(rgb)
            inputs = intervention.apply(pytorch.network, image, plain, statistics)
            return compute_channels(inputs, size, [channel], statistics)

    return run


def _try(case: Case) -> str:
    try:
        case.run()
    except ValueError as error:
        return str(error)
    return ""


def _has_twin(engine: Engine, engines: Sequence[Engine]) -> bool:
    twin = engine.spec.name + OUTLIER_SUFFIX
    return any(other.spec.name == twin for other in engines)

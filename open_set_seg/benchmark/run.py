"""One run of the benchmark, from a configuration to a result."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import torch

from open_set_seg.backends import choose_device
from open_set_seg.benchmark.busy import measure_busy
from open_set_seg.benchmark.cases import describe_cases, make_cases
from open_set_seg.benchmark.config import BenchmarkConfig
from open_set_seg.benchmark.engines import (
    BASELINE,
    Absent,
    Engine,
    EngineSpec,
    open_engine,
    plan_engines,
)
from open_set_seg.benchmark.floors import best_rates, measure_rates
from open_set_seg.benchmark.frames import make_detectors, make_frame, measure_frames
from open_set_seg.benchmark.memory import measure_memory
from open_set_seg.benchmark.networks import NetworkSource
from open_set_seg.benchmark.turns import Progress, take_turns
from open_set_seg.frame import Frame
from open_set_seg.head import head_backend
from open_set_seg.machine import describe_machine
from open_set_seg.models import count_multiply_adds
from open_set_seg.scoring import Scoring

# Of the environment, what changes times.
VARIABLES = (
    "OMP_WAIT_POLICY", "OMP_NUM_THREADS", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_",
    "OPEN_SET_SEG_HEAD",
)  # fmt: skip
Rows = list[dict[str, Any]]


def run_benchmark(config: BenchmarkConfig, progress: Progress | None = None) -> dict[str, Any]:
    """Measure everything that a configuration asks for.

    Args:
        config: what to measure.
        progress: told what is running.

    Returns:
        what JSON can hold: device, versions, commit and load beside the rows of every part, and
        under ``absent`` what was asked for and could not be had, with the reason.

    Raises:
        ValueError: a network, device or score that is not there.
    """
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    load = os.getloadavg()[0]
    device = choose_device(config.device)
    say = progress or (lambda text: None)
    source = choose_source(config)
    network = source.describe()
    say("rendering the scene")
    session = _Session(config, source, device, make_frame(config.size), network, say)
    session.open_engines()
    result: dict[str, Any] = {
        "what": "benchmark",
        "network": network,
        "size": [config.size[1], config.size[0]],
        "rounds": config.rounds,
        "scores": list(config.scores),
        **_describe_device(device),
        "environment": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "load_average_before": round(load, 2),
        "engines": {one.spec.name: one.backend.description for one in session.engines},
    }
    parts = {
        "heads": session.heads,
        "frame": session.frame,
        "busy": session.busy,
        "memory": session.memory,
    }
    for name in config.parts:
        result[name] = parts[name]()
    result["rates"] = session.rates
    result["absent"] = [asdict(one) for one in session.absent]
    result["machine"] = describe_machine()
    return result


def choose_source(config: BenchmarkConfig) -> NetworkSource:
    """The network of a configuration: the checkpoint's, or a random one."""
    if config.checkpoint is not None:
        return NetworkSource(config.checkpoint)
    name = config.network or "swiftnet_rn18"
    return NetworkSource(None, name, config.width, config.classes)


@dataclass
class _Session:
    """What the parts of a run share; a method of every part's name gives its rows."""

    config: BenchmarkConfig
    source: NetworkSource
    device: torch.device
    image: Frame
    network: dict[str, Any]
    say: Progress
    engines: list[Engine] = field(default_factory=list)
    absent: list[Absent] = field(default_factory=list)
    rates: dict[str, Any] = field(default_factory=dict)

    @property
    def plain(self) -> list[Engine]:
        """The engines without an outlier head of their own."""
        return [one for one in self.engines if not one.spec.outlier_head]

    def open_engines(self) -> None:
        for spec in self._plan():
            self.say(f"opening {spec.name}")
            found = open_engine(spec, self.source, self.device, self.image.image)
            if isinstance(found, Absent):
                self.absent.append(found)
            else:
                self.engines.append(found)

    def heads(self) -> Rows:
        config = self.config
        arithmetics = {one.spec.floor_arithmetic for one in self.engines}
        self.say("measuring the rates of the hardware")
        before = measure_rates(arithmetics, self.device)
        cases, absent = make_cases(self.engines, config.scores, self.image.image)
        self.absent += absent
        variants = {one.name: one.run for one in cases}
        turns = take_turns(variants, config.rounds, self.device, self.say)
        rates = best_rates(before, measure_rates(arithmetics, self.device))
        self.rates = rates.describe()
        operations = 2 * count_multiply_adds(self.source.open().network, *config.size)
        parameters = self.network["parameters"]
        return describe_cases(cases, turns, rates, config.size, parameters, operations)

    def frame(self) -> Rows:
        detectors = make_detectors(self.plain, self.image, self.config.checkpoint is not None)
        rounds = self.config.rounds
        return measure_frames(self.plain, detectors, self.image, rounds, self.device, self.say)

    def busy(self) -> Rows:
        engines = [one for one in self.plain if one.spec.name != BASELINE]
        detectors = make_detectors(engines, self.image, self.config.checkpoint is not None)
        variants = {name: partial(one.process, self.image) for name, one in detectors.items()}
        processes, rounds = self.config.busy, self.config.rounds
        return measure_busy(variants, processes, rounds, self.device, self.say)

    def memory(self) -> Rows:
        rows: Rows = []
        threads = torch.get_num_threads()
        for engine in self.plain:
            self.say(f"memory of {engine.spec.name}")
            found = measure_memory(
                engine.spec, self.source, self.config.scores[0], self.image.image, self.device,
                threads,
            )  # fmt: skip
            if isinstance(found, Absent):
                self.absent.append(found)
            else:
                rows.append(found)
        return rows

    def _plan(self) -> Sequence[EngineSpec]:
        wanted = plan_engines(self.config)
        needs = {need for name in self.config.scores for need in Scoring.parse(name).entry.needs}
        random = self.source.checkpoint is None
        if not (random and "heads" in self.config.parts and "outlier_logits" in needs):
            return wanted
        plain = [spec for spec in wanted if spec.name != BASELINE and spec.file is None]
        return [*wanted, *(spec.with_outlier_head() for spec in plain)]


def _describe_device(device: torch.device) -> dict[str, Any]:
    found: dict[str, Any] = {
        "device": str(device),
        "threads": torch.get_num_threads(),
        "head": head_backend(device),
    }
    if device.type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
    return found

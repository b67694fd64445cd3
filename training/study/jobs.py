"""The work of the study: train what an arm needs, measure it, keep one JSON an arm and seed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch

from open_set_seg import __version__
from open_set_seg.checkpoint import load_checkpoint
from open_set_seg.machine import describe_machine
from training.data import prepare_data
from training.ranks import Ranks
from training.recipes import Recipe
from training.run_state import code_revision
from training.study.config import Stage, Study
from training.study.measuring.network import (
    RESAMPLED_SCORES,
    MeasuringSettings,
    fit_on_scenes,
    measure,
)
from training.study.measuring.probe import ProbeSettings, probe_artefacts
from training.study.measuring.scenes import SceneView, StudyScenes, prepare_study_scenes
from training.study.results.files import Result, result_path, write_result
from training.study.results.measurements import Families
from training.study.results.reading import read_mapping
from training.task_pool import run_tasks
from training.train import train

FINAL_ROWS = 3  # of the log, whose means are the final values
RESAMPLES = 200  # kept in every result: about 50 kB


@dataclass(frozen=True)
class Work:
    """Where and how the study is run.

    Attributes:
        config: path of the configuration.
        runs: folder of the training runs.
        results: folder of the results.
        families: group of the unknown objects that are met.
        workers: processes, one thread each; 0: this process.
    """

    config: Path
    runs: Path
    results: Path
    families: Families
    workers: int = 2


def run_study(work: Work, arms: Sequence[str], seeds: int | None, progress: bool) -> None:
    """Make the results that are missing; what is there is kept, and half a training goes on.

    Args:
        work: where and how.
        arms: keys; empty for all.
        seeds: at most so many of each arm; None for all.
        progress: whether to draw a bar.
    """
    study = Study(work.config)
    wanted = [
        (arm, seed)
        for arm in (arms or study.arms)
        for seed in study.seeds(arm)[:seeds]
        if not result_path(work.results, work.families, arm, seed).exists()
    ]
    wanted.sort(key=lambda one: one[1])  # a study that is stopped has all arms of some seeds
    prepare_scenes(work, study, progress)
    before: dict[tuple[str, int], tuple[Stage, int]] = {}
    for arm, seed in wanted:
        for stage in study.stages[arm].all_needs():
            before[stage.digest, seed] = (stage, seed)
    missing = [
        (stage, seed)
        for stage, seed in before.values()
        if not (stage.place(work.runs, seed) / stage.file).exists()
    ]
    for title, function, tasks in (
        ("before", _train_stage, [(work, *one) for one in missing]),
        ("arms", _make_result, [(work, *one) for one in wanted]),
    ):
        run_tasks(function, tasks, work.workers, title, progress, begin=_use_one_thread)


def prepare_scenes(work: Work, study: Study, progress: bool) -> tuple[StudyScenes, StudyScenes]:
    """The scenes with unknown objects, and those of the artefact probe; rendered unless cached."""
    size = study.config.scenes
    count = size.sealed if work.families == "sealed" else size.development

    def prepare(families: Any, count: int) -> StudyScenes:
        view = SceneView(
            size.width, size.height, size.supersampling, families, families == "sealed"
        )
        return prepare_study_scenes(study.cache, count, view, work.workers, progress)

    return prepare(work.families, count), prepare("none", size.probe)


def _train_stage(work: Work, stage: Stage, seed: int) -> None:
    """Train a stage of one seed, from where an interrupted run stopped."""
    recipe = stage.recipe(work.runs, seed)
    train(recipe, stage.place(work.runs, seed), resume=True, progress=False, device="auto")


def _make_result(work: Work, arm: str, seed: int) -> None:
    """Train the arm of one seed unless it is trained, measure it and write its result."""
    study = Study(work.config)
    stage = study.stages[arm]
    place = stage.place(work.runs, seed)
    if not (place / stage.file).exists():
        _train_stage(work, stage, seed)
    model, _ = load_checkpoint(place / stage.file)
    recipe = stage.recipe(work.runs, seed)
    assert isinstance(recipe, Recipe)
    scenes, probed = prepare_scenes(work, study, progress=False)
    statistics = None
    if study.config.fitted_scenes:
        known = prepare_data(recipe, Ranks(), progress=False).training
        statistics = fit_on_scenes(model, known, study.config.fitted_scenes)
    resampled = RESAMPLED_SCORES if statistics is None else (*RESAMPLED_SCORES, "sml")
    settings = MeasuringSettings(resampled=resampled, resamples=RESAMPLES, statistics=statistics)
    measured = measure(model, scenes, settings)
    probe = probe_artefacts(model, probed, ProbeSettings(score=study.config.score))
    machine = describe_machine()
    result = read_mapping(
        Result,
        {
            "study": study.config.name,
            "arm": arm,
            "title": study.arms[arm].title,
            "seed": seed,
            "families": work.families,
            "config_sha256": study.digest,
            "code_revision": code_revision() or "unknown",
            "package_version": __version__,
            "versions": machine["versions"],
            "device": {"processor": machine["processor"], "cores": machine["cores"]},
            "made": datetime.now(timezone.utc).date().isoformat(),
            "training": None if stage is study.closed_set else describe_training(place),
            "measured": measured,
            "probe": probe,
        },
    )
    write_result(work.results, result)


def describe_training(place: Path) -> dict[str, Any]:
    """Steps, seconds, the losses by step and their last means, from a run's log."""
    rows = [json.loads(line) for line in (place / "metrics.jsonl").read_text().splitlines()]
    curve = [row for row in rows if "loss" in row]
    last = curve[-FINAL_ROWS:]

    def mean(name: str) -> float | None:
        values = [row[name] for row in last if name in row]
        return float(np.mean(values)) if values else None

    colour = [mean(name) for name in ("red", "green", "blue")]
    final = {
        "cross_entropy": mean("cross_entropy"),
        "negative": mean("negative"),
        "bits_per_dim": mean("bits_per_dim"),
        "clamped": mean("clamped"),
        "mean_colour": None if None in colour else colour,
    }
    shown = [{key: _short(value) for key, value in row.items()} for row in curve]
    seconds = curve[-1]["seconds"] if curve else 0.0
    return {"steps": rows[-1]["step"], "seconds": seconds, "final": final, "curve": shown}


def _short(value: Any) -> Any:
    return float(f"{value:.5g}") if isinstance(value, float) else value


def _use_one_thread() -> None:
    torch.set_num_threads(1)

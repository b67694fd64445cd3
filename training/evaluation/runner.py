"""One evaluation from its first frame to its report, in a folder that survives being killed."""

from __future__ import annotations

import json
import math
import platform
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from tqdm import tqdm

from open_set_seg import __version__
from open_set_seg.files import write_whole
from training.datasets.frames import Dataset, LabelledFrame
from training.evaluation.confusions import ClosedSet
from training.evaluation.measures import FramePixels, ResampledPixels, empty_score
from training.evaluation.passes import SKIPPING, Pace, run_pass
from training.evaluation.plans import (
    Measurable,
    Plan,
    first_measures,
    has_second_look,
    second_measures,
)
from training.evaluation.report import draw_frames
from training.evaluation.second_look import Components
from training.evaluation.seen import SeenFrame
from training.evaluation.work_folder import (
    Chunks,
    FrameNote,
    MapStore,
    Measure,
    claim,
    only_user,
)
from training.ranks import Ranks
from training.run_state import code_revision
from training.sources import Answer, EvaluationError, Source

RESULT_FILE = "result.json"


class Evaluation:
    """A source under a plan.

    Args:
        source: gives the scores.
        plan: what is measured.
        folder: for everything that is written; made if it is not there.
        ranks: the processes that share the work.
        pace: how it is spread out.
        pictures: how many of the worst and of the best frames are drawn.
    """

    def __init__(
        self,
        source: Source,
        plan: Plan,
        folder: Path,
        ranks: Ranks,
        pace: Pace,
        pictures: int = 3,
    ) -> None:
        self._source, self._plan, self._folder = source, plan, folder
        self._ranks, self._pace, self._pictures = ranks, pace, pictures

    def run(self) -> dict[str, Any] | None:
        """Measure what is not measured yet; the result, which is written as ``result.json`` too.

        Ranks above 0 return None.

        Raises:
            EvaluationError: the folder holds another evaluation, a frame or score cannot be used.
        """
        if self._ranks.rank:
            self._ranks.wait()
            if not (self._folder / RESULT_FILE).exists():
                self._measure()
            self._ranks.wait()
            return None
        with only_user(self._folder):
            dataset = self._plan.open(0)
            claim(self._folder, self._settings(dataset))
            self._ranks.wait()
            path = self._folder / RESULT_FILE
            if not path.exists():
                started = time.monotonic()
                result = self._finish(self._measure(), dataset)
                result["seconds"] = round(time.monotonic() - started, 1)
                write_whole(path, json.dumps(plain(result), indent=2, allow_nan=False) + "\n")
            for leftover in ("parts", "maps", "looks"):
                shutil.rmtree(self._folder / leftover, ignore_errors=True)
            self._ranks.wait()
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if content["dataset"]["skipped"] and not self._pace.skip_corrupt:
                reason = content["dataset"]["skipped"][0]["reason"]
                raise EvaluationError(f"{path} leaves corrupt frames out: {reason} ({SKIPPING})")
            return content

    def _settings(self, dataset: Dataset) -> dict[str, Any]:
        return {
            "format": 1,
            **self._plan.settings(dataset),
            "model": self._model(),
            "scores": list(self._source.scores),
            "device": self._source.device,
            "package": __version__,
            "torch": torch.__version__,
        }

    def _model(self) -> dict[str, Any]:
        source = self._source
        return {"name": source.name, "kind": source.kind, **source.identity}

    def _measure(self) -> list[dict[str, Any]]:
        """The results of all runs."""
        return [self._measure_run(run) for run in range(self._plan.repeats)]

    def _measure_run(self, run: int) -> dict[str, Any]:
        plan, source = self._plan, self._source
        dataset = plan.open(run)
        truth, name = dataset.label_space, f"run-{run}"
        twice = has_second_look(plan, source, truth)
        store = MapStore(self._folder / "maps" / name) if twice and not source.remembered else None

        def look(frame: LabelledFrame) -> SeenFrame:
            answer = source.answer(frame)
            if store is not None:
                store.save(frame.id, _packed(answer))
            return SeenFrame(frame, answer, truth, source.label_space)

        def look_again(frame: LabelledFrame) -> SeenFrame:
            answer = source.answer(frame) if store is None else _unpacked(store.load(frame.id))
            return SeenFrame(frame, answer, truth, source.label_space)

        first = self._look(name, dataset, look, {})
        return self._look(f"{name}-again", dataset, look_again, first) if twice else first

    def _look(
        self,
        name: str,
        dataset: Dataset,
        look: Any,
        first: Mapping[str, Any],
    ) -> dict[str, Any]:
        """One pass over the frames; its result, added to that of the ``first`` look."""
        path = self._folder / "looks" / f"{name}.json"
        if not path.exists():
            plan, source, truth = self._plan, self._source, dataset.label_space
            measures = (
                second_measures(plan, source, truth, first)
                if first
                else first_measures(plan, source, truth)
            )
            pace = self._pace
            place = self._folder / "parts" / name
            limits = pace.save_frames, pace.save_seconds
            chunks = Chunks(place, measures, self._ranks.rank, *limits)
            title = source.name if not first else f"{source.name}, second look"
            run_pass(chunks, dataset, look, self._ranks, pace, title)
            if self._ranks.rank == 0:
                result = dict(first) or self._empty(chunks.done())
                quiet = not pace.progress
                for measure in tqdm(measures, desc="adding up", unit="measure", disable=quiet):
                    counts = chunks.merged(measure)
                    measure.report(counts, result)
                    self._keep(measure, counts)
                path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(path, json.dumps(result))
            self._ranks.wait()
        # Always from the file: what an uninterrupted run sees is what a resumed one sees.
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return content

    def _empty(self, notes: Mapping[int, FrameNote]) -> dict[str, Any]:
        skipped = [{"id": one.id, "reason": one.skipped} for one in notes.values() if one.skipped]
        if len(skipped) == len(notes):
            reason = skipped[0]["reason"] if skipped else "the data set is empty"
            raise EvaluationError(f"no frame could be used: {reason}")
        return {
            "dataset": {"frames": len(notes) - len(skipped), "skipped": skipped},
            "resized": sum(one.resized for one in notes.values()),
            "thresholds": {},
            "left_out": [],
            "closed_set": None,
            "scores": {name: empty_score() for name in self._source.scores},
            "objects": None,
        }

    def _keep(self, measure: Measure, counts: Any) -> None:
        """Keep counts by image: what paired comparisons of two results are made of."""
        by_image = isinstance(measure, ResampledPixels | Components | ClosedSet) or (
            isinstance(measure, FramePixels) and measure.figures
        )
        if by_image and self._plan.bootstrap and self._plan.repeats == 1:
            place = self._folder / "counts" / measure.key
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            counts.save(place)

    def _finish(self, runs: Sequence[dict[str, Any]], dataset: Dataset) -> dict[str, Any]:
        plan, found = self._plan, combine(runs)
        can = Measurable.of(plan.protocol, self._source, dataset.label_space)
        notes = [*can.left_out, *found["left_out"]]
        if found["resized"]:
            notes.append(f"{found['resized']} score maps were resized bilinearly to their images")
        protocol = {"name": plan.protocol_name, "title": plan.protocol.title}
        named = {"name": plan.dataset_name, "title": plan.title, "split": plan.split}
        return {
            "format": 1,
            "protocol": {**protocol, "source": plan.protocol.source},
            "dataset": {**named, **found["dataset"], **plan.options},
            "model": self._model(),
            "closed_set": found["closed_set"],
            "scores": found["scores"],
            "objects": found["objects"],
            "pictures": self._draw(found, dataset) if self._pictures else [],
            "notes": notes,
            "environment": {
                "device": self._source.device,
                "package": __version__,
                "commit": code_revision(),
                "python": platform.python_version(),
                "torch": torch.__version__,
                "numpy": np.__version__,
                "opencv": cv2.__version__,
            },
        }

    def _draw(self, found: Mapping[str, Any], dataset: Dataset) -> list[dict[str, Any]]:
        score = self._source.scores[0]
        pace, content = self._pace, found["scores"][score]
        return draw_frames(
            self._source, score, content, dataset, self._folder, self._pictures, pace.workers
        )


def combine(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The result of one run; of several, means and deviations beside all else of the first.

    The deviation is that of a sample, with n - 1 in its denominator.
    """
    found = dict(runs[0])
    if len(runs) == 1:
        return found
    for score, content in found["scores"].items():
        columns = [run["scores"][score]["pixels"] for run in runs]
        means: dict[str, dict[str, float]] = {}
        spreads: dict[str, dict[str, float]] = {}
        for region, figures in columns[0].items():
            values = {name: [run[region][name] for run in columns] for name in figures}
            means[region] = {n: math.fsum(v) / len(v) for n, v in values.items()}
            spreads[region] = {n: float(np.std(v, ddof=1)) for n, v in values.items()}
        content |= {"pixels": means, "deviation": spreads, "runs": columns}
    return found


def plain(value: Any) -> Any:
    """The same as JSON values; numbers that are not finite become null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _packed(answer: Answer) -> dict[str, Any]:
    maps = {f"score {name}": values for name, values in answer.scores.items()}
    return maps if answer.nearest is None else {**maps, "nearest": answer.nearest}


def _unpacked(maps: Mapping[str, Any]) -> Answer:
    scores = {
        name.removeprefix("score "): values for name, values in maps.items() if name != "nearest"
    }
    return Answer(scores, maps.get("nearest"))

"""Results of evaluations as runs to compare: one run is one model under one score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from training.presentation.wording import METRICS, score_title

Result: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Number:
    """A measured fraction with what is known about its uncertainty.

    Attributes:
        value: the fraction; None where it could not be measured.
        deviation: standard deviation over repeats.
        low, high: of the interval at ``level``.
    """

    value: float | None
    deviation: float | None = None
    low: float | None = None
    high: float | None = None
    level: float | None = None


@dataclass(frozen=True, eq=False)
class Run:
    """One model under one score on one data set.

    Attributes:
        name: what tells it from the other runs beside it.
        score: key of the score.
        slot: of its colour.
        result: the whole result that it is part of.
        folder: of the result, where its pictures are.
    """

    name: str
    score: str
    slot: int
    result: Result
    folder: Path | None = None

    @property
    def content(self) -> Mapping[str, Any]:
        """What was measured with the score."""
        content: Mapping[str, Any] = self.result["scores"][self.score]
        return content

    @property
    def regions(self) -> tuple[str, ...]:
        """Parts of the image that were measured, the main one first."""
        return tuple(self.content["pixels"])

    def numbers(self, region: str | None = None) -> dict[str, Number]:
        """Figures by key of ``METRICS`` in one region; those of the whole run with the first."""
        content = self.content
        first = next(iter(self.regions), None)
        region = first if region is None else region
        numbers: dict[str, Number] = {}
        if region is not None and region in content["pixels"]:
            deviations = ((content.get("deviation") or {}).get(region)) or {}
            intervals = ((content.get("intervals") or {}).get(region)) or {}
            for key, value in content["pixels"][region].items():
                numbers[key] = _number(value, deviations.get(key), intervals.get(key))
        if region == first:
            numbers |= self._whole()
        return {key: number for key, number in numbers.items() if key in METRICS}

    def _whole(self) -> dict[str, Number]:
        numbers: dict[str, Number] = {}
        components = self.content.get("components") or {}
        for key in ("sIoU_gt", "PPV", "mean_F1"):
            if key in components:
                intervals = components.get("intervals") or {}
                numbers[key] = _number(components[key], None, intervals.get(key))
        closed = self.result.get("closed_set") or {}
        if "mIoU" in closed:
            interval = (closed.get("intervals") or {}).get("mIoU")
            numbers["closed_mIoU"] = _number(closed["mIoU"], None, interval)
        open_set = self.content.get("open_set") or {}
        for key in ("closed_mIoU", "open_mIoU", "mIoU_K_plus_1"):
            if open_set.get(key) is not None:
                interval = (open_set.get("intervals") or {}).get(key)
                numbers[key] = _number(open_set[key], None, interval)
        for fold in open_set.get("folds", ()):
            for key in ("closed_mIoU", "open_mIoU"):
                numbers[f"{key}_{fold['group']}"] = Number(fold.get(key))
        return numbers


@dataclass(frozen=True, eq=False)
class Group:
    """Runs that may be compared: the same protocol on the same frames.

    Attributes:
        protocol, dataset: as the results state them.
        runs: at least one.
        note: what tells it from another group of the same title.
    """

    protocol: Mapping[str, Any]
    dataset: Mapping[str, Any]
    runs: tuple[Run, ...]
    note: str = ""

    @property
    def title(self) -> str:
        """Protocol, data set and split."""
        names = [self.protocol["title"], self.dataset["title"]]
        shown = names if names[0].lower() not in names[1].lower() else names[1:]
        split = self.dataset.get("split")
        title = f"{', '.join(shown)}{f' ({split})' if split else ''}"
        return f"{title}, {self.note}" if self.note else title

    @property
    def results(self) -> list[Result]:
        """Each result once, in order."""
        return list({id(run.result): run.result for run in self.runs}.values())

    @property
    def regions(self) -> tuple[str, ...]:
        """Regions that any run has, in order."""
        return tuple(dict.fromkeys(region for run in self.runs for region in run.regions))


def groups_of(
    results: Sequence[Result], folders: Sequence[Path | None] | None = None
) -> list[Group]:
    """Runs sorted into groups that may be compared, in the order of the results.

    Results under one protocol on one split are still apart where their frames differ.

    Raises:
        ValueError: no result, one of another format, or not as many folders as results.
    """
    if not results:
        raise ValueError("there is no result to show")
    places = [None] * len(results) if folders is None else list(folders)
    if len(places) != len(results):
        raise ValueError(f"{len(results)} results but {len(places)} folders")
    for result in results:
        if result.get("format") != 1:
            raise ValueError(f"results of format 1 can be shown, not {result.get('format')!r}")
    buckets: dict[tuple[Any, ...], list[tuple[Result, Path | None]]] = {}
    for result, place in zip(results, places, strict=True):
        buckets.setdefault(_measured_on(result), []).append((result, place))
    groups = [_group(members) for members in buckets.values()]
    titles = [group.title for group in groups]
    return [
        replace(group, note=f"{group.dataset['frames']} frames")
        if titles.count(group.title) > 1
        else group
        for group in groups
    ]


def _measured_on(result: Result) -> tuple[Any, ...]:
    """What two results must share to be compared: rules, data set, split and frames."""
    dataset = result["dataset"]
    scores = result["scores"].values()
    frames = next((one["frames"] for one in scores if one.get("frames")), ())
    ids = tuple(frame["id"] for frame in frames)
    named = (dataset["name"], dataset.get("split"), dataset["frames"])
    return (result["protocol"]["name"], *named, ids)


def _number(value: float | None, deviation: float | None, interval: Any) -> Number:
    interval = interval or {}
    return Number(
        value, deviation, interval.get("low"), interval.get("high"), interval.get("level")
    )


def _group(members: list[tuple[Result, Path | None]]) -> Group:
    pairs = [(result, place, score) for result, place in members for score in result["scores"]]
    names = _names([(result["model"]["name"], score) for result, _, score in pairs])
    runs = tuple(
        Run(name, score, slot, result, place)
        for slot, (name, (result, place, score)) in enumerate(zip(names, pairs, strict=True))
    )
    first = members[0][0]
    return Group(first["protocol"], first["dataset"], runs)


def _names(pairs: list[tuple[str, str]]) -> list[str]:
    """The shortest names that tell runs apart; numbered where model and score are the same."""
    models, scores = {model for model, _ in pairs}, {score for _, score in pairs}
    if len(pairs) == 1 or (len(models) > 1 and len(scores) > 1):
        names = [f"{model}, {score_title(score)}" for model, score in pairs]
    elif len(models) > 1:
        names = [model for model, _ in pairs]
    else:
        names = [score_title(score) for _, score in pairs]
    return numbered(names)


def numbered(names: Sequence[str]) -> list[str]:
    """The same names, those that occur more than once with a number behind."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if names.count(name) == 1 else f"{name} ({seen[name]})")
    return result

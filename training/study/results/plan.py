"""What is asked of the study's results: fixed before the sealed families are measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from open_set_seg.files import write_whole
from training.study.results.reading import ResultError, json_text, read_file

FULL_SEEDS = 8  # with fewer than six no sign-flip test can reach 0.05; see CLAIMS


@dataclass(frozen=True)
class PlannedArm:
    """An arm that the study is to have.

    Attributes:
        key: of its results.
        title: what it is called.
        seeds: how many; fewer than ``FULL_SEEDS`` make it exploratory.
    """

    key: str
    title: str
    seeds: int


@dataclass(frozen=True)
class Ordering:
    """Two arms, or two scores of one arm, that a paper puts in an order.

    Attributes:
        better, worse: keys of arms.
        source: paper and table.
        better_score, worse_score: empty for the study's score.
    """

    better: str
    worse: str
    source: str
    better_score: str = ""
    worse_score: str = ""


@dataclass(frozen=True)
class Aims:
    """What the study was hoped to show, against the control's best score.

    Attributes:
        whole_AP_factor: AP on the whole image is at least so many times the control's.
        whole_FPR95_factor: FPR95 on the whole image is at most this times the control's ("nearly
            halved").
        road_FPR95_points: FPR95 on the road is lower by this fraction at least.
    """

    whole_AP_factor: float = 3.0
    whole_FPR95_factor: float = 0.55
    road_FPR95_points: float = 0.05


@dataclass(frozen=True)
class Plan:
    """How the results are judged.

    Attributes:
        ours: the arm that claims are made about.
        control: the arm with the same steps and no negatives.
        likelihood_only: the arm whose flow gets no gradient from the detector.
        noise: the arm with fractal noise instead of a flow.
        score: of our arm and of all others but the control.
        arms: that the finished study has, in the order of the tables.
        level: of tests, and 1 - level of intervals.
        margin: of non-inferiority in mIoU, a fraction.
        aims: see ``Aims``.
        orderings: of published papers, compared in direction only.
        frozen: what was frozen before sealed families were met, by name: ``config_sha256``, without
            which there are no claims, commit and date.
    """

    ours: str = "nflowjs"
    control: str = "control"
    likelihood_only: str = "likelihood_only"
    noise: str = "fractal_noise"
    score: str = "jsd"
    arms: tuple[PlannedArm, ...] = ()
    level: float = 0.05
    margin: float = 0.005
    aims: Aims = Aims()
    orderings: tuple[Ordering, ...] = ()
    frozen: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.level < 0.5:
            raise ResultError(f"level: a number between 0 and 0.5, not {self.level}")
        if not 0 < self.margin < 1:
            raise ResultError(f"margin: a fraction between 0 and 1, not {self.margin}")
        keys = [arm.key for arm in self.arms]
        if len(set(keys)) < len(keys):
            raise ResultError("arms: a key occurs twice")

    @property
    def compared(self) -> tuple[str, str, str]:
        """The arms that ours is tested against."""
        return self.control, self.likelihood_only, self.noise

    def is_frozen(self, config_sha256: str) -> bool:
        """Whether this is the configuration that was frozen."""
        return self.frozen.get("config_sha256") == config_sha256

    @property
    def main(self) -> tuple[str, ...]:
        """Ours and those that it is tested against."""
        return self.ours, *self.compared


def plan_path(folder: Path) -> Path:
    """Where the plan lies among the results."""
    return folder / "plan.json"


def read_plan(folder: Path) -> Plan:
    """The plan of a folder of results; the default plan where none lies there.

    Raises:
        ResultError: see ``read_file``.
    """
    path = plan_path(folder)
    return read_file(Plan, path) if path.exists() else Plan()


def write_plan(folder: Path, plan: Plan) -> None:
    """Write the plan into a folder of results."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(plan_path(folder), json_text(plan))

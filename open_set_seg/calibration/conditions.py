"""Under which network, score and configuration a calibration holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace

from open_set_seg.calibration.bounds import CalibrationError
from open_set_seg.checkpoint import CheckpointMetadata
from open_set_seg.ground import GroundConfig
from open_set_seg.obstacles import ObstacleConfig
from open_set_seg.scoring import Scoring
from open_set_seg.stereo import RangeConfig

Settings = Mapping[str, float | int | bool | str | None]
# Of ObstacleConfig: what decides whether a frame alarms. The rest is about known classes, about
# how many are listed, and about their distances.
DECIDING = ("min_area_px", "min_area_m2", "min_blind_area_px", "opening")

_NOTHING = object()


@dataclass(frozen=True)
class Conditions:
    """Everything that the statistic of a frame depends on, the frame aside.

    Attributes:
        weights_sha256: of the network.
        statistics_sha256: of inlier statistics, where the score reads them; else empty.
        score: name of the ``Scoring`` without its temperature.
        temperature: of the score; None for scores without one.
        score_map: location and scale of the map to [0, 1]; None for bounded scores.
        obstacles: the deciding settings of ``ObstacleConfig``.
        ground: those of ``GroundConfig``.
        range: those of ``RangeConfig``.
    """

    weights_sha256: str
    statistics_sha256: str
    score: str
    temperature: float | None
    score_map: Mapping[str, float] | None
    obstacles: Settings
    ground: Settings
    range: Settings

    @classmethod
    def of(
        cls,
        metadata: CheckpointMetadata,
        scoring: Scoring,
        obstacles: ObstacleConfig,
        ground: GroundConfig,
        range_config: RangeConfig,
    ) -> Conditions:
        """Those of a model that publishes ``scoring`` (with its temperature)."""
        name = str(replace(scoring, temperature=None))
        maps = metadata.score_maps
        score_map = maps.get(str(scoring), maps.get(name))
        if name == metadata.score and scoring.temperature in (None, metadata.temperature):
            score_map = metadata.score_map
        return cls(
            weights_sha256=metadata.weights_sha256,
            statistics_sha256=metadata.statistics_sha256 if scoring.statistics else "",
            score=name,
            temperature=scoring.temperature,
            score_map=None if score_map is None else asdict(score_map),
            obstacles={name: getattr(obstacles, name) for name in DECIDING},
            ground=asdict(ground),
            range=asdict(range_config),
        )

    def require(self, found: Conditions) -> None:
        """Refuse other conditions.

        Raises:
            CalibrationError: names the first thing that differs, and both values.
        """
        for one in fields(self):
            mine, other = getattr(self, one.name), getattr(found, one.name)
            if mine == other:
                continue
            name = one.name
            if isinstance(mine, Mapping) and isinstance(other, Mapping):
                pairs = {
                    key: (mine.get(key, _NOTHING), other.get(key, _NOTHING))
                    for key in {**mine, **other}
                }
                key, (mine, other) = next(
                    (k, pair) for k, pair in pairs.items() if pair[0] != pair[1]
                )
                name = f"{name}.{key}"
            raise CalibrationError(
                f"the calibration was made with {name} {_short(mine)}, but in use is "
                f"{_short(other)}: its promise does not hold here; calibrate again"
            )


def _short(value: object) -> str:
    if value is _NOTHING:
        return "nothing"
    return f"{value[:16]}..." if isinstance(value, str) and len(value) > 40 else repr(value)

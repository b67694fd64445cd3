"""Ids and states of obstacles over time: the only temporal state of the pipeline."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from open_set_seg.frame import FrameResult, Mask, Obstacle
from open_set_seg.tracking.assignment import assign
from open_set_seg.tracking.config import TrackingConfig
from open_set_seg.tracking.motion import (
    GroundPose,
    estimate_common_motion,
    find_consensus,
    move_by_poses,
)
from open_set_seg.tracking.places import (
    GROUND,
    Floats,
    Places,
    Z,
    find_reachable,
    measure_costs,
)
from open_set_seg.tracking.states import next_state
from open_set_seg.tracking.tracks import Track, TrackedObstacle, relocate


class ObstacleTracker:
    """Gives obstacles ids and states; one frame after the other, in one thread.

    An obstacle of the last frame is looked for where it is expected now. Without poses all
    obstacles are expected to have moved alike: by what most of them agree on where nothing is
    known yet, by the last velocity afterwards, corrected by the weighted median of those that
    were matched. With poses the camera's motion is taken out exactly. What is as near as its
    uncertainty allows is matched by optimal assignment, in the image where a range is missing.

    A frame that was not examined tells nothing: it is neither a hit nor a miss.

    Args:
        config: when two obstacles are one, and when to believe in it.
    """

    def __init__(self, config: TrackingConfig | None = None) -> None:
        self._config = config or TrackingConfig()
        self._next_id = 1
        self.reset()

    @property
    def config(self) -> TrackingConfig:
        """The configuration in use."""
        return self._config

    def reconfigure(self, config: TrackingConfig) -> None:
        """Use another configuration from the next frame on; obstacles and their ids go on."""
        self._config = config

    def reset(self) -> None:
        """Forget all obstacles and motion; ids go on where they are."""
        self._tracks: list[Track] = []
        self._places = Places.of(())
        self._velocity: Floats | None = None
        self._velocity_age = 0.0
        self._pose: GroundPose | None = None
        self._stamp: int | None = None
        self._examined: int | None = None

    @property
    def missing(self) -> tuple[TrackedObstacle, ...]:
        """Confirmed obstacles that the last frame did not show, where they are expected.

        Distance and position are moved with the scene and their uncertainty has grown; box, mask
        and outline are those of the frame that showed them last. For whoever wants to hold on to
        an obstacle as long as it is confirmed.
        """
        held = []
        for index, track in enumerate(self._tracks):
            if track.state == "confirmed" and not track.history[-1]:
                shown = track.publish(self._examined or 0, self._config)
                held.append(relocate(shown, self._places.select([index])))
        return tuple(held)

    def update(
        self, result: FrameResult, pose: GroundPose | None = None
    ) -> tuple[TrackedObstacle, ...]:
        """All obstacles of the frame, in their order, with ids and states.

        Resets by itself when time jumps back, or forward by more than ``max_gap_s``.

        Args:
            result: of the next frame.
            pose: of the camera at the frame's stamp; used where this frame and the last examined
                one have a finite one.
        """
        self._check_time(result.stamp_ns)
        if not result.examined and not result.obstacles:
            return ()
        now = result.stamp_ns
        elapsed = 0.0 if self._examined is None else (now - self._examined) * 1e-9
        pose = pose if pose is not None and pose.known else None
        # Sorted, so that the order in which obstacles come changes nothing.
        order = sorted(range(len(result.obstacles)), key=lambda n: _sort_key(result.obstacles[n]))
        obstacles = [result.obstacles[n] for n in order]
        after = Places.of(obstacles)
        found = dict(self._match(after, elapsed, pose))
        self._examined, self._pose = now, pose
        tracks = self._advance(obstacles, after, found)
        shown = {
            n: track.publish(now, self._config) for n, track in zip(order, tracks, strict=True)
        }
        return tuple(shown[n] for n in range(len(order)))

    def _check_time(self, stamp: int) -> None:
        late = self._examined is not None and (
            stamp - self._examined > self._config.max_gap_s * 1_000_000_000
        )
        if late or (self._stamp is not None and stamp < self._stamp):
            self.reset()
        self._stamp = stamp

    def _match(
        self, after: Places, elapsed: float, pose: GroundPose | None
    ) -> list[tuple[int, int]]:
        """Pairs (track, obstacle); the tracks' places become those expected now."""
        config, before = self._config, self._places
        moved_by_pose = pose is not None and self._pose is not None
        if pose is not None and self._pose is not None:
            before = move_by_poses(before, self._pose, pose)
        reachable = find_reachable(before, after, elapsed, config)
        before = before.waited(elapsed, config, turning=not moved_by_pose)
        if moved_by_pose:
            self._places = before
        else:
            self._places = before.moved(self._common_motion(before, after, reachable, elapsed))
        return assign(measure_costs(self._places, after, reachable, config))

    def _common_motion(
        self, before: Places, after: Places, reachable: Mask, elapsed: float
    ) -> Floats:
        """Displacement (x, z) of the scene since the last frame; keeps the velocity."""
        expected = None if self._velocity is None else self._velocity * elapsed
        start = find_consensus(before, after, reachable) if expected is None else expected
        if start is None:
            return np.zeros(2)
        pairs = assign(measure_costs(before.moved(start), after, reachable, self._config))
        measured = np.array([pair for pair in pairs if reachable[pair]], np.intp).reshape(-1, 2)
        if not measured.size:
            self._doubt_velocity(bool(reachable.any()), elapsed)
            return start
        old, new = measured.T
        shift = estimate_common_motion(
            (after.position[new] - before.position[old])[:, GROUND],
            (after.variance[new] + before.variance[old])[:, GROUND],
            expected,
        )
        if elapsed > 0:
            self._velocity, self._velocity_age = shift / elapsed, 0.0
        return shift

    def _doubt_velocity(self, contradicted: bool, elapsed: float) -> None:
        """Forget a velocity that is old, or that explains nothing although it could.

        Without this, one wrong match of a lone obstacle would mislead all frames to come.
        """
        self._velocity_age += elapsed
        if contradicted or self._velocity_age > self._config.max_gap_s:
            self._velocity = None

    def _advance(
        self, obstacles: Sequence[Obstacle], after: Places, found: dict[int, int]
    ) -> list[Track]:
        """Update, forget and begin tracks; returns the track of each obstacle."""
        kept: list[Track] = []
        rows: list[int] = []
        of_obstacle: dict[int, Track] = {}
        for index, track in enumerate(self._tracks):
            seen = found.get(index)
            # Behind the camera there is nothing to wait for.
            passed = seen is None and self._places.position[index, Z] <= 0
            if not track.mark(seen is not None, self._config) or passed:
                continue
            if seen is not None:
                track.obstacle, of_obstacle[seen] = obstacles[seen], track
            kept.append(track)
            rows.append(index if seen is None else len(self._tracks) + seen)
        for number in range(len(obstacles)):
            if number not in of_obstacle:
                of_obstacle[number] = self._begin(obstacles[number])
                kept.append(of_obstacle[number])
                rows.append(len(self._tracks) + number)
        self._places = self._places.joined(after).select(rows)
        self._tracks = kept
        return [of_obstacle[number] for number in range(len(obstacles))]

    def _begin(self, obstacle: Obstacle) -> Track:
        state = next_state("tentative", [True], self._config) or "tentative"
        track = Track(self._next_id, obstacle, self._examined or 0, state, [True])
        self._next_id += 1
        return track


def _sort_key(obstacle: Obstacle) -> tuple[object, ...]:
    """Orders obstacles by what they are, never by where they stand in the list."""
    numbers = (
        obstacle.distance,
        *obstacle.position,
        obstacle.mean_score,
        obstacle.peak_score,
        obstacle.distance_sigma,
    )
    ordered = [(math.isnan(number), 0.0 if math.isnan(number) else number) for number in numbers]
    return *ordered, obstacle.box, obstacle.area_px, obstacle.kind

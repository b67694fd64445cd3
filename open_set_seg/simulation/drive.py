"""A drive: the frames of a car that moves along its road, rendered ahead by several processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache

import cv2

from open_set_seg.simulation.config import DriveConfig
from open_set_seg.simulation.layout import build_scene
from open_set_seg.simulation.rendering.compiled import CompiledScene, compile_scene
from open_set_seg.simulation.stereo import StereoFrame, render_stereo

Progress = Callable[[int, int], None]


def render_drive(
    config: DriveConfig, workers: int = 2, progress: Progress | None = None
) -> list[StereoFrame]:
    """Render all frames of a drive; the result does not depend on ``workers``.

    Args:
        workers: processes; 1 renders in this process.
        progress: called as ``progress(done, total)`` after every frame.

    Raises:
        ValueError: fewer than one worker.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    numbers = range(config.frames)
    if workers == 1 or config.frames == 1:
        return _collect((render_frame(config, number) for number in numbers), config, progress)
    # Fresh interpreters: a forked child of a process with threads may hang.
    context = multiprocessing.get_context("spawn")
    count = min(workers, config.frames)
    # One thread each: the processes already fill the cores.
    with ProcessPoolExecutor(
        count, mp_context=context, initializer=cv2.setNumThreads, initargs=(1,)
    ) as pool:
        return _collect(pool.map(render_frame, [config] * config.frames, numbers), config, progress)


def render_frame(config: DriveConfig, number: int) -> StereoFrame:
    """Frame ``number`` of a drive, counted from 0."""
    time = number / config.rate_hz
    return render_stereo(
        _compiled(config),
        config.width,
        config.height,
        time=time,
        travelled=config.speed * time,
        index=number,
        stamp_ns=config.start_ns + round(number * 1e9 / config.rate_hz),
        right=config.right,
        supersampling=config.supersampling,
    )


@lru_cache(maxsize=2)
def _compiled(config: DriveConfig) -> CompiledScene:
    return compile_scene(build_scene(config.seed, config.scene()))


def _collect(
    frames: Iterable[StereoFrame], config: DriveConfig, progress: Progress | None
) -> list[StereoFrame]:
    collected = []
    for frame in frames:
        collected.append(frame)
        if progress is not None:
            progress(len(collected), config.frames)
    return collected

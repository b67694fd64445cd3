"""Simulated stills as a data set: rendered once by parallel workers, kept in a cache folder.

A cached scene is one ``.npy`` file of (H, W, 4) uint8: RGB and the label, so that a crop reads only
its own rows. The folder's name is a digest of everything that the pictures depend on: size,
supersampling, unknown objects and the source of the renderer. A changed renderer thus never meets
old pictures.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

import open_set_seg.simulation as simulation
from open_set_seg.label_spaces import UNLABELLED
from training.task_pool import run_tasks

Bytes = NDArray[np.uint8]
AnyView = TypeVar("AnyView")


@dataclass(frozen=True)
class View:
    """How scenes are rendered.

    Attributes:
        width, height: pixels.
        supersampling: samples along each side of a pixel that lies on an edge.
        unknown_objects: whether development families of unknown objects stand on the road.
    """

    width: int
    height: int
    supersampling: int
    unknown_objects: bool


class SimulationDataset:
    """Rendered scenes by index.

    Args:
        folder: of the cached scenes, as ``prepare_scenes`` returns it.
        seeds: of the scenes, in the order of the indices.
    """

    def __init__(self, folder: Path, seeds: Sequence[int]) -> None:
        self.seeds = tuple(seeds)
        self._paths = [scene_path(folder, seed) for seed in self.seeds]

    def __len__(self) -> int:
        return len(self._paths)

    def load(self, index: int) -> tuple[Bytes, Bytes]:
        """Image (H, W, 3) and labels (H, W), both views into a file."""
        scene = np.load(self._paths[index], mmap_mode="r")
        return scene[..., :3], scene[..., 3]

    def count_classes(self, num_classes: int, every: int = 4) -> NDArray[np.int64]:
        """Pixels of every class (K,), counted on every ``every``-th scene."""
        counts = np.zeros(UNLABELLED + 1, dtype=np.int64)
        for index in range(0, len(self), every):
            _, labels = self.load(index)
            counts += np.bincount(labels.reshape(-1), minlength=UNLABELLED + 1)
        return counts[:num_classes]


def prepare_scenes(
    cache: str | Path, seeds: Sequence[int], view: View, workers: int = 2, progress: bool = True
) -> SimulationDataset:
    """Render what is not in the cache yet, and return the data set.

    Args:
        cache: folder for all caches.
        seeds: of the scenes.
        view: how to render.
        workers: processes.
        progress: whether to draw a progress bar.
    """
    folder = render_missing(cache, seeds, view, render_scene, scene_path, workers, progress)
    return SimulationDataset(folder, seeds)


def render_missing(
    cache: str | Path,
    seeds: Sequence[int],
    view: AnyView,
    render: Callable[[Path, int, AnyView], None],
    path_of: Callable[[Path, int], Path],
    workers: int = 2,
    progress: bool = True,
) -> Path:
    """Fill the cache of a view with what it lacks; an interrupted call is continued by the next.

    Args:
        cache: folder for all caches.
        seeds: of the scenes.
        view: how to render; its ``repr`` names everything that the files depend on, but for the
            renderer's source.
        render: writes the scene of a seed into a folder, whole or not at all; importable by name.
        path_of: which file that is.
        workers: processes; 0: this one.
        progress: whether to draw a progress bar.

    Returns:
        The folder of this view's scenes.
    """
    folder = Path(cache) / view_digest(view)
    folder.mkdir(parents=True, exist_ok=True)
    missing = [seed for seed in seeds if not path_of(folder, seed).is_file()]
    tasks = [(folder, seed, view) for seed in missing]
    run_tasks(render, tasks, workers, "rendering", progress, unit="scene")
    return folder


def render_scene(folder: Path, seed: int, view: View) -> None:
    """Render one scene into the cache; the file appears whole or not at all."""
    cv2.setNumThreads(1)  # the workers are the parallelism
    frame = simulation.render_still(seed, **asdict(view))
    scene = np.dstack([frame.left, frame.labels])
    write_scene(scene_path(folder, seed), lambda file: np.save(file, scene))


def write_scene(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Write a file that appears whole or not at all, though other processes write the same."""
    partial = path.with_name(f"{path.stem}.{os.getpid()}.partial")
    with partial.open("wb") as file:
        write(file)
    partial.replace(path)


def scene_path(folder: Path, seed: int) -> Path:
    """Where the scene of ``seed`` lies."""
    return folder / f"{seed}.npy"


def view_digest(view: object) -> str:
    """Name of the cache of ``view``: it changes with the view and with the renderer's source."""
    digest = hashlib.sha256(repr(view).encode())
    sources = Path(simulation.__file__).parent.rglob("*.py")
    for source in sorted(sources):
        digest.update(source.name.encode() + source.read_bytes())
    return digest.hexdigest()[:16]

"""Test scenes with everything that is true of them, rendered once and kept in a cache folder.

Unknown objects come from a group of families. *Sealed* families are for one final run: until then
nobody looks at them, so a view of them cannot even be made without saying so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from open_set_seg.frame import FloatImage, ImageRGB, LabelImage
from open_set_seg.simulation import (
    DEVELOPMENT_FAMILIES,
    SEALED_FAMILIES,
    TEST_SEEDS,
    SceneConfig,
    StereoFrame,
    build_scene,
    compile_scene,
    render_stereo,
)
from training.datasets.simulation import render_missing, write_scene

Families = Literal["none", "development", "sealed"]

FAMILY_NAMES: dict[Families, tuple[str, ...]] = {
    "none": (),
    "development": DEVELOPMENT_FAMILIES,
    "sealed": SEALED_FAMILIES,
}
# The first thousand test seeds are left to ``training.evaluate``, which takes 200 of them. Scenes
# without unknown objects are development scenes before the objects came.
DEVELOPMENT_SEEDS = TEST_SEEDS[1_000:10_000]
SEALED_SEEDS = TEST_SEEDS[10_000:20_000]
SEEDS: dict[Families, range] = {
    "none": DEVELOPMENT_SEEDS,
    "development": DEVELOPMENT_SEEDS,
    "sealed": SEALED_SEEDS,
}
FORMAT = 1  # of a cached scene; a part of the folder's name


class SealedError(ValueError):
    """Sealed families were asked for without saying that this is the final run."""


@dataclass(frozen=True)
class SceneView:
    """How scenes are rendered.

    Attributes:
        width, height: pixels.
        supersampling: samples along each side of a pixel that lies on an edge.
        families: group of the unknown objects; ``none``: the same scenes without any.
        unsealed: must be true for sealed families, and for those only.
        format: of the files.

    Raises:
        SealedError: sealed families that are not said to be unsealed.
        ValueError: an unknown group, or ``unsealed`` with another one.
    """

    width: int
    height: int
    supersampling: int
    families: Families
    unsealed: bool = False
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.families not in SEEDS:
            raise ValueError(f"families are {', '.join(SEEDS)}, not {self.families!r}")
        if self.families == "sealed" and not self.unsealed:
            raise SealedError("sealed families are for the final run: say unsealed=True there")
        if self.unsealed and self.families != "sealed":
            raise ValueError(f"there is nothing to unseal in families {self.families!r}")


@dataclass(frozen=True)
class StudyObject:
    """An unknown object of which at least one pixel shows.

    Attributes:
        id: its number in ``StudyScene.ids``.
        family: what it is.
        camouflaged: whether it has colours of the known world.
        visible_distance: 10th percentile of the depth of its visible pixels, metres.
        visible_px: number of its visible pixels.
    """

    id: int
    family: str
    camouflaged: bool
    visible_distance: float
    visible_px: int


@dataclass(frozen=True, eq=False)
class StudyScene:
    """A test image with its truth.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        labels: (H, W) uint8 StreetHazards ids; 12 unknown, 255 unlabelled.
        ids: (H, W) uint8, number of the unknown object, 0 where there is none.
        depth: (H, W) float32 exact Z in metres, NaN for the sky. (Half the bits would move the
            limits of distance bands by up to 16 mm.)
        objects: the unknown objects, nearest first.
    """

    image: ImageRGB
    labels: LabelImage
    ids: LabelImage
    depth: FloatImage
    objects: tuple[StudyObject, ...]


@dataclass(frozen=True)
class StudyScenes(Sequence[StudyScene]):
    """Rendered scenes; each is read when it is asked for.

    Attributes:
        folder: of the cached scenes.
        seeds: of the scenes, in the order of the indices.
        families: group of their unknown objects.
    """

    folder: Path
    seeds: Sequence[int]
    families: Families

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, index: int) -> StudyScene:  # type: ignore[override]
        return load_study_scene(study_scene_path(self.folder, self.seeds[index]))

    def __iter__(self) -> Iterator[StudyScene]:
        return (self[index] for index in range(len(self)))


def prepare_study_scenes(
    cache: str | Path, count: int, view: SceneView, workers: int = 2, progress: bool = True
) -> StudyScenes:
    """Render what is not in the cache yet of the first ``count`` scenes of the view's families.

    Args:
        cache: folder for all caches.
        count: number of scenes.
        view: how to render.
        workers: processes; 0: this one.
        progress: whether to draw a progress bar.

    Raises:
        ValueError: more scenes than there are seeds, or none.
    """
    available = SEEDS[view.families]
    if not 1 <= count <= len(available):
        raise ValueError(f"between 1 and {len(available)} scenes can be had, not {count}")
    seeds = available[:count]
    folder = render_missing(
        cache, seeds, view, render_study_scene, study_scene_path, workers, progress
    )
    return StudyScenes(folder, seeds, view.families)


def render_study_scene(folder: Path, seed: int, view: SceneView) -> None:
    """Render one scene into the cache; the file appears whole or not at all.

    Raises:
        ValueError: a seed that is not one of the view's families, or a scene that holds an object
            of another family.
    """
    cv2.setNumThreads(1)  # the workers are the parallelism
    if seed not in SEEDS[view.families]:
        raise ValueError(f"{seed} is no seed of scenes with families {view.families!r}")
    scene = describe_frame(_render(seed, view))
    strange = {each.family for each in scene.objects} - set(FAMILY_NAMES[view.families])
    if strange:
        raise ValueError(f"scene {seed} holds {strange} instead of families {view.families!r}")
    write_scene(study_scene_path(folder, seed), lambda file: save_study_scene(file, scene))


def _render(seed: int, view: SceneView) -> StereoFrame:
    if view.families == "none":
        config = SceneConfig(unknown_objects=False)
    else:
        config = SceneConfig(families=view.families)
    compiled = compile_scene(build_scene(seed, config))
    return render_stereo(compiled, view.width, view.height, supersampling=view.supersampling)


def describe_frame(frame: StereoFrame) -> StudyScene:
    """What the study keeps of a frame."""
    height, width = frame.labels.shape
    ids = np.zeros((height, width), np.uint8)
    for each in frame.obstacles:
        ids[each.full_mask(width, height)] = each.id
    objects = tuple(
        StudyObject(each.id, each.family, each.camouflaged, each.visible_distance, each.visible_px)
        for each in frame.obstacles
    )
    return StudyScene(frame.left, frame.labels, ids, frame.depth, objects)


def save_study_scene(file: BinaryIO, scene: StudyScene) -> None:
    """Write a scene; not compressed, for noise does not compress and reading takes part in runs."""
    text = json.dumps([asdict(each) for each in scene.objects])
    objects: NDArray[np.uint8] = np.frombuffer(text.encode(), np.uint8)
    np.savez(
        file,
        image=scene.image,
        labels=scene.labels,
        ids=scene.ids,
        depth=scene.depth,
        objects=objects,
    )


def load_study_scene(path: Path) -> StudyScene:
    """Read what ``save_study_scene`` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        entries = json.loads(arrays["objects"].tobytes())
        return StudyScene(
            image=arrays["image"],
            labels=arrays["labels"],
            ids=arrays["ids"],
            depth=arrays["depth"],
            objects=tuple(StudyObject(**entry) for entry in entries),
        )


def study_scene_path(folder: Path, seed: int) -> Path:
    """Where the scene of ``seed`` lies."""
    return folder / f"{seed}.npz"

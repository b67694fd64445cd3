"""What ``open-set-seg calibrate`` looks at: rendered scenes, pictures, or recordings."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from open_set_seg.cli.files import list_images, read_file_frames
from open_set_seg.cli.frame_options import TOLERANCE_S, read_range_source, read_topics
from open_set_seg.cli.sizes import read_size
from open_set_seg.frame import Frame, LabelImage
from open_set_seg.simulation import VALIDATION_SEEDS, render_still

MOST_SCENES = 10_000
# Training chooses its threshold on the first validation scenes, `fit` takes the last ones.
FIRST_SCENE = 50_000
BAG_SUFFIXES = (".mcap", ".db3", ".bag")


@dataclass(frozen=True)
class SourceFrame:
    """A frame, where it comes from, and its labels if they are known.

    Attributes:
        recording: number of its source.
        labels: (H, W) 0 known, 1 unknown, 255 not labelled; None without labels.
    """

    frame: Frame
    recording: int = 0
    labels: LabelImage | None = None


@dataclass(frozen=True)
class FrameSource:
    """Frames that are made or read when they are gone through.

    Attributes:
        description: which they are, in words.
        count: how many.
        video: whether neighbours belong together, and stamps say when they were.
        open: begins to go through them.
    """

    description: str
    count: int
    video: bool
    open: Callable[[], Iterator[SourceFrame]]

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[SourceFrame]:
        return self.open()


def open_source(options: argparse.Namespace, labelled: bool) -> FrameSource:
    """The source that the options name; ``ValueError`` says why there is none."""
    if (not options.sources) == (options.simulation is None):
        raise ValueError("expected pictures, recordings, or --simulation N, one of the three")
    if options.simulation is not None:
        return render_scenes(options.simulation, *read_size(options.size), labelled)
    for source in options.sources:
        if not source.exists():
            raise ValueError(f"{source} does not exist")
    bags = [is_recording(source) for source in options.sources]
    if all(bags):
        if labelled:
            raise ValueError("labels go with pictures or with --simulation, not with recordings")
        return _read_recordings(options)
    if any(bags):
        raise ValueError("expected pictures or recordings, found both")
    if labelled and options.labels is None:
        raise ValueError("a threshold from labels needs --labels, or --simulation")
    return _read_pictures(options)


def is_recording(path: Path) -> bool:
    """Whether a path is taken for a rosbag2 recording."""
    return (path / "metadata.yaml").is_file() or path.suffix in BAG_SUFFIXES


def render_scenes(count: int, width: int, height: int, unknown_objects: bool) -> FrameSource:
    """Independent scenes with a matcher's disparity; ``ValueError`` for too many or none."""
    if not 1 <= count <= MOST_SCENES:
        raise ValueError(f"expected 1 to {MOST_SCENES} rendered scenes, found {count}")
    seeds = VALIDATION_SEEDS[FIRST_SCENE : FIRST_SCENE + count]

    def render() -> Iterator[SourceFrame]:
        for seed in seeds:
            scene = render_still(seed, width, height, unknown_objects=unknown_objects)
            yield SourceFrame(scene.frame(), labels=scene.outlier_mask)

    objects = "with" if unknown_objects else "without"
    return FrameSource(
        f"{count} rendered scenes of {width}x{height} {objects} unknown objects, seeds "
        f"{seeds[0]} to {seeds[-1]}",
        count,
        False,
        render,
    )


def _read_pictures(options: argparse.Namespace) -> FrameSource:
    second, known = read_range_source(options)
    count = sum(len(list_images(source)) for source in options.sources)

    def read() -> Iterator[SourceFrame]:
        for source in options.sources:
            for name, frame in read_file_frames(source, second, known):
                labels = None
                if options.labels is not None:
                    labels = _read_labels(options.labels, name, frame.image.shape[:2])
                yield SourceFrame(frame, labels=labels)

    return FrameSource(_name(count, "pictures", options.sources), count, False, read)


def _read_recordings(options: argparse.Namespace) -> FrameSource:
    from open_set_seg.bags import count_messages, read_frames

    topics = read_topics(options)
    count = sum(count_messages(bag, topics.image) for bag in options.sources)

    def read() -> Iterator[SourceFrame]:
        for number, bag in enumerate(options.sources):
            for frame in read_frames(bag, topics, TOLERANCE_S):
                yield SourceFrame(frame, number)

    return FrameSource(_name(count, "recorded frames", options.sources), count, True, read)


def _read_labels(folder: Path, name: str, shape: tuple[int, ...]) -> LabelImage:
    """Labels as Fishyscapes and SegmentMeIfYouCan have them: 0 known, 1 unknown, 255 neither."""
    path = folder / f"{name}.png"
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.is_file() else None
    if found is None or found.dtype != np.uint8 or found.shape != shape:
        raise ValueError(f"expected {path} as 8-bit PNG of {shape[1]}x{shape[0]} with one channel")
    if not np.isin(found, (0, 1, 255)).all():
        raise ValueError(f"{path} holds labels that are none of 0 (known), 1 (unknown) and 255")
    return np.asarray(found, np.uint8)


def _name(count: int, what: str, places: Sequence[Path]) -> str:
    return f"{count} {what} of {', '.join(map(str, places))}"

"""A stored stereo data set becomes recordings that look like those of a stereo camera."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from open_set_seg import __version__
from open_set_seg.bags import building, topics
from open_set_seg.bags.conversion.config import (
    START_NS,
    ConversionConfig,
    ConversionSummary,
    WrittenBag,
    assign_stamps,
)
from open_set_seg.bags.conversion.frames import (
    ConversionError,
    Fault,
    Picture,
    RecordedSequence,
    StereoCamera,
    StereoSource,
    StoredFrame,
)
from open_set_seg.bags.conversion.mounting import LEFT_FRAME, RIGHT_FRAME, link_cameras
from open_set_seg.bags.conversion.pictures import encode_picture
from open_set_seg.bags.writing import BagError, BagWriter
from open_set_seg.messages import NANOSECONDS

Watch = Callable[[Sequence[Any]], Iterable[Any]]


def convert(
    source: StereoSource,
    output: Path,
    config: ConversionConfig,
    report: Callable[[Fault], None] = lambda fault: None,
    watch: Watch = iter,
) -> ConversionSummary:
    """Write every frame of a data set that can be read.

    A recording appears only when it is whole. Sequences that give no frame give no recording.

    Args:
        output: the recording; with ``bag_of`` other than ``all`` the folder of recordings named
            after their scenes or sequences.
        report: called with every fault as it is met.
        watch: wraps the sequence of all frames, for a progress bar.

    Raises:
        BagError: something is at the output already.
        ConversionError: not one frame could be converted.
    """
    groups = _group(source.sequences, output, config)
    for path in groups:
        if path.exists():
            raise BagError(f"{path} exists already and is not overwritten")
    steps = iter(watch([frame for group in groups.values() for s in group for frame in s.frames]))
    left_out: Counter[str] = Counter()

    def note(fault: Fault) -> None:
        left_out[fault.kind] += 1
        report(fault)

    written, found, converted = [], 0, 0
    for path, sequences in groups.items():
        try:
            with BagWriter(path, config.storage, config.compression, topics.LATCHED) as bag:
                recording = _Recording(bag, source, config)
                for sequence in sequences:
                    recording.add(sequence, steps, note)
                if not recording.frames:
                    raise _NothingWritten
        except _NothingWritten:
            pass
        else:
            written.append(WrittenBag(path, dict(sorted(recording.messages.items()))))
        found += sum(len(sequence.frames) for sequence in sequences)
        converted += recording.frames
    next(steps, None)  # let a progress bar see the end
    if not written:
        raise ConversionError(f"none of {found} frames could be converted")
    return ConversionSummary(tuple(written), found, converted, left_out)


class _NothingWritten(Exception):
    """A recording without a frame is no recording."""


def _group(
    sequences: Sequence[RecordedSequence], output: Path, config: ConversionConfig
) -> dict[Path, list[RecordedSequence]]:
    groups: dict[Path, list[RecordedSequence]] = {}
    for sequence in sequences:
        name = {"all": "", "scene": sequence.scene or sequence.name, "sequence": sequence.name}
        groups.setdefault(output / name[config.bag_of], []).append(sequence)
    return groups


class _Recording:
    """One recording while it is written."""

    def __init__(self, bag: BagWriter, source: StereoSource, config: ConversionConfig) -> None:
        self._bag, self._source, self._config = bag, source, config
        self._next_ns = START_NS
        self._linked: StereoCamera | None = None
        self.messages: Counter[str] = Counter()
        self.frames = 0

    def add(
        self, sequence: RecordedSequence, steps: Iterable[Any], note: Callable[[Fault], None]
    ) -> None:
        """Write a sequence after those before it."""
        stamps = assign_stamps(sequence.frames, self._next_ns, self._config)
        self._next_ns = stamps[-1] + round(self._config.gap_s * NANOSECONDS)
        introduced = False
        for stamp_ns, files, _ in zip(stamps, sequence.frames, steps, strict=False):
            frame = self._source.load(files)
            for fault in frame.faults:
                note(fault)
            if frame.left is None:
                continue
            if not introduced:
                introduced = True
                info = _describe(self._source, sequence, stamps[0], self._config)
                self._write(topics.DATASET_INFO, stamp_ns, building.text(info))
            self._write(topics.DATASET_FRAME, stamp_ns, building.text(files.id))
            self._write_frame(frame, frame.left, stamp_ns)
            self.frames += 1

    def _write_frame(self, frame: StoredFrame, left: Picture, stamp_ns: int) -> None:
        camera = frame.camera
        if camera is not None:
            self._write_camera(camera, stamp_ns)
        self._write_picture(topics.IMAGE, left, stamp_ns, LEFT_FRAME)
        if frame.right is not None:
            self._write_picture(topics.RIGHT_IMAGE, frame.right, stamp_ns, RIGHT_FRAME)
        if frame.disparity is not None:
            message = building.disparity_image(frame.disparity, stamp_ns, LEFT_FRAME)
            self._write(topics.DISPARITY, stamp_ns, message)
        if frame.labels is not None:
            message = building.image(frame.labels, stamp_ns, LEFT_FRAME)
            self._write(topics.GROUND_TRUTH, stamp_ns, message)

    def _write_camera(self, camera: StereoCamera, stamp_ns: int) -> None:
        last = self._linked
        if last is None or (last.baseline, last.mount) != (camera.baseline, camera.mount):
            self._linked = camera
            links = link_cameras(camera)
            self._write(topics.TF_STATIC, stamp_ns, building.static_transforms(links, stamp_ns))
        left = building.camera_info(camera.left, stamp_ns, LEFT_FRAME)
        right = building.camera_info(camera.right, stamp_ns, RIGHT_FRAME, camera.baseline)
        self._write(topics.CAMERA_INFO, stamp_ns, left)
        self._write(topics.RIGHT_CAMERA_INFO, stamp_ns, right)

    def _write_picture(self, topic: str, picture: Picture, stamp_ns: int, frame_id: str) -> None:
        if self._config.images == "raw":
            self._write(topic, stamp_ns, building.image(picture.pixels, stamp_ns, frame_id))
            return
        quality = self._config.jpeg_quality if self._config.images == "jpeg" else None
        data, kind = encode_picture(picture, quality)
        message = building.compressed_image(data, kind, stamp_ns, frame_id)
        self._write(f"{topic}/compressed", stamp_ns, message)

    def _write(self, topic: str, stamp_ns: int, message: Any) -> None:
        self._bag.write(topic, stamp_ns, message)
        self.messages[topic] += 1


def _describe(
    source: StereoSource, sequence: RecordedSequence, start_ns: int, config: ConversionConfig
) -> str:
    """JSON of what is known about a sequence beside its messages."""
    codes = source.label_codes
    content = {
        **source.description,
        "scene": sequence.scene,
        "sequence": sequence.name,
        "frames": len(sequence.frames),
        "start_ns": start_ns,
        "frame_rate_hz": config.frame_rate,
        "frame_rate_is": "assumed",
        "timing": config.timing,
        "ground_truth": codes.describe() if codes else None,
        "converted_by": f"open_set_seg {__version__}",
    }
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False)

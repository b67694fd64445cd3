"""Images and camera calibrations: can they be decoded, and do they belong together?"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from open_set_seg.doctor.findings import Finding, error, fine, note, warning
from open_set_seg.doctor.snapshot import COMPRESSED, Snapshot, Stream
from open_set_seg.frame import Camera, ImageRGB
from open_set_seg.messages import (
    ENCODINGS,
    MessageError,
    decode_camera,
    decode_compressed_image,
    decode_image,
    decode_right_camera,
    decode_stamp,
    fit_camera,
)

GREY = ("mono8", "8UC1", "mono16", "16UC1", "32FC1")
# Topic names of pictures as the lens made them.
UNRECTIFIED = ("image_raw", "image_color", "image_mono")
FLAT, DARK, BRIGHT = 2.0, 10.0, 245.0
# Focal length by image width: 160 degrees of view to 4.
FOCAL_SHARES = (0.09, 14.0)


def check_images(snapshot: Snapshot) -> Iterator[Finding]:
    """Images decode, and show something that changes."""
    stream = snapshot.images
    if stream is None or not stream.samples:
        return
    images: list[tuple[int, ImageRGB]] = []
    faults: dict[str, str] = {}
    for message in stream.samples:
        try:
            images.append((decode_stamp(message), _decode(stream, message)))
        except MessageError as failure:
            faults.setdefault(failure.code, str(failure))
    for code, text in faults.items():
        yield error(f"images on {stream.topic} cannot be used ({code}): {text}", _ADVICE[code])
    if not images:
        return
    height, width = images[-1][1].shape[:2]
    encoding = getattr(stream.samples[-1], "encoding", "compressed")
    yield from _check_layout(stream)
    yield from _check_content(stream, images)
    if encoding in GREY:
        yield note(
            f"images on {stream.topic} are grey ({encoding}), while networks learn from colours",
            "take the colour camera's topic where there is one",
        )
    yield fine(f"images of {width}x{height}, {encoding}")


def check_camera(snapshot: Snapshot) -> Iterator[Finding]:
    """The camera is calibrated, for this image, and the right one belongs to the left one."""
    stream, images = snapshot.streams.get("camera_info"), snapshot.images
    if stream is None or not stream.samples:
        return
    message = stream.samples[-1]
    try:
        camera = decode_camera(message)
    except MessageError as failure:
        yield error(str(failure), "calibrate: ros2 run camera_calibration cameracalibrator")
        return
    size = image_size(images)
    if size is not None:
        try:
            camera = fit_camera(camera, *size)
        except MessageError as failure:
            yield error(str(failure), "use the camera_info that the image's own node publishes")
            return
        if (int(message.width), int(message.height)) != size:
            yield note(
                f"camera_info is for {int(message.width)}x{int(message.height)} pixels and is "
                f"scaled to the image's {size[0]}x{size[1]}"
            )
    yield from _check_numbers(stream, message, camera, images)
    yield from _check_right(snapshot, camera)
    yield from _check_frames(stream, images, message)
    yield fine(
        f"camera of {camera.width}x{camera.height}, f {camera.fx:.5g} px, centre "
        f"{camera.cx:.5g}, {camera.cy:.5g}"
    )


_RECORD = "send whole frames: the driver or the bridge in between cuts them off"
_ADVICE = {
    "image.encoding": "let the driver send rgb8 or bgr8, or install cv_bridge for rare encodings",
    "image.step": "the driver states a wrong step or width: mend or update it",
    "image.truncated": _RECORD,
    "image.empty": _RECORD,
    "image.compressed": "set the driver's compression to jpeg or png",
}


def _decode(stream: Stream, message: Any) -> ImageRGB:
    return decode_compressed_image(message) if stream.kind == COMPRESSED else decode_image(message)


def image_size(images: Stream | None) -> tuple[int, int] | None:
    """Width and height of the last image; None without one that decodes."""
    if images is None or not images.samples:
        return None
    try:
        height, width = _decode(images, images.samples[-1]).shape[:2]
    except MessageError:
        return None
    return width, height


def _check_layout(stream: Stream) -> Iterator[Finding]:
    """Rows that are as long as another number of channels would make them."""
    message = stream.samples[-1]
    encoding = ENCODINGS.get(getattr(message, "encoding", ""))
    if encoding is None or int(message.width) <= 0:
        return
    pixel = encoding.channels * np.dtype(encoding.dtype).itemsize
    found, rest = divmod(int(message.step), int(message.width))
    if rest == 0 and found in (2, 3, 4) and found != pixel and found > pixel:
        yield error(
            f"images on {stream.topic} say {message.encoding} ({pixel} bytes a pixel), but their "
            f"rows are as long as {found} bytes a pixel take: the encoding is not theirs",
            "mend the driver's encoding (rgb8 and bgr8 have 3 bytes, mono8 has 1)",
        )


def _check_content(stream: Stream, images: list[tuple[int, ImageRGB]]) -> Iterator[Finding]:
    newest = images[-1][1]
    if float(newest.std()) < FLAT:
        level = float(newest.mean())
        which = "black" if level < DARK else "white" if level > BRIGHT else "of one colour"
        yield warning(
            f"the newest image on {stream.topic} is {which}",
            "lens cap, exposure, or a driver without a camera?",
        )
        return
    pairs = list(pairwise(images))
    frozen = sum(
        a[0] != b[0] and a[1].shape == b[1].shape and np.array_equal(a[1], b[1]) for a, b in pairs
    )
    if pairs and frozen == len(pairs):
        yield warning(
            f"images on {stream.topic} have new stamps but do not change by a single pixel",
            "the camera or its driver is frozen: restart it (a still picture on purpose is fine)",
        )


def _check_numbers(
    stream: Stream, message: Any, camera: Camera, images: Stream | None
) -> Iterator[Finding]:
    share = camera.fx / camera.width
    if not FOCAL_SHARES[0] <= share <= FOCAL_SHARES[1]:
        yield warning(
            f"a focal length of {camera.fx:.4g} px for {camera.width} px of width is that of no "
            "camera",
            "calibrate again, in pixels of this image size",
        )
    if not (0 < camera.cx < camera.width and 0 < camera.cy < camera.height):
        yield warning(
            f"the principal point ({camera.cx:.5g}, {camera.cy:.5g}) lies outside of the image",
            "calibrate again, or mend roi and binning in camera_info",
        )
    if float(message.p[3]) != 0.0:
        yield warning(
            f"{stream.topic} has P[3] = {float(message.p[3]):.4g}: it is of a right camera, or the "
            "two are swapped",
            "take image and camera_info of the left camera, for which the disparity is",
        )
    raw = images is not None and any(word in images.topic for word in UNRECTIFIED)
    if raw and any(float(number) != 0.0 for number in message.d):
        assert images is not None
        yield warning(
            f"{images.topic} is by its name not rectified, and the lens distorts (D is not 0): "
            "positions will be wrong towards the borders",
            "take the rectified topic (image_rect), from the driver or image_proc",
        )


def _check_right(snapshot: Snapshot, left: Camera) -> Iterator[Finding]:
    stream = snapshot.streams.get("right_camera_info")
    if stream is None or not stream.samples:
        return
    try:
        right, baseline = decode_right_camera(stream.samples[-1])
    except MessageError as failure:
        yield error(str(failure), f"take the right camera's camera_info in place of {stream.topic}")
        return
    if (right.width, right.height) == (left.width, left.height):
        if abs(right.fx - left.fx) > 1e-3 * left.fx:
            yield warning(
                f"the cameras have different focal lengths, {left.fx:.5g} and {right.fx:.5g} px: "
                "they are not rectified to each other",
                "calibrate them as a stereo pair (cameracalibrator with two cameras)",
            )
    else:
        yield warning(
            f"the right camera is for {right.width}x{right.height} pixels, the left one for "
            f"{left.width}x{left.height}",
            "let both drivers publish one size",
        )
    yield fine(f"baseline {baseline:.4g} m by the right camera's camera_info")


def _check_frames(stream: Stream, images: Stream | None, message: Any) -> Iterator[Finding]:
    if images is None or not images.samples:
        return
    picture, camera = images.samples[-1].header.frame_id, message.header.frame_id
    if not picture:
        yield warning(
            f"images on {images.topic} name no frame_id: RViz and Nav2 cannot place obstacles",
            "set the driver's frame_id to the camera's optical frame",
        )
    elif camera and camera != picture:
        yield warning(
            f"image and camera_info name different frames, {picture} and {camera}",
            f"are they of one camera? Take the camera_info beside {images.topic}",
        )

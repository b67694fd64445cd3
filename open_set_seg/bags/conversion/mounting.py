"""Where the cameras are: the static transforms of a stereo pair."""

from __future__ import annotations

import math

from open_set_seg.bags.building import Link
from open_set_seg.bags.conversion.frames import StereoCamera
from open_set_seg.stereo.stored import Mount

BASE_FRAME = "base_link"
CAMERA_FRAME = "left_camera_link"
LEFT_FRAME = "left_camera_optical_frame"
RIGHT_FRAME = "right_camera_optical_frame"
# REP 103: x forward, y left, z up -> x right, y down, z forward.
_OPTICAL = (-0.5, 0.5, -0.5, 0.5)


def link_cameras(camera: StereoCamera) -> tuple[Link, ...]:
    """The right camera in the left one and, where the mount is known, the left in the vehicle."""
    pair = Link(LEFT_FRAME, RIGHT_FRAME, (camera.baseline, 0.0, 0.0))
    mount = camera.mount
    if mount is None:
        return (pair,)
    place = (mount.x, mount.y, mount.z)
    return (
        Link(BASE_FRAME, CAMERA_FRAME, place, turn_to_quaternion(mount)),
        Link(CAMERA_FRAME, LEFT_FRAME, (0.0, 0.0, 0.0), _OPTICAL),
        pair,
    )


def turn_to_quaternion(mount: Mount) -> tuple[float, float, float, float]:
    """(x, y, z, w) of R = Rz(yaw) Ry(pitch) Rx(roll)."""
    (sr, cr), (sp, cp), (sy, cy) = (
        (math.sin(angle / 2), math.cos(angle / 2)) for angle in (mount.roll, mount.pitch, mount.yaw)
    )
    return (
        sr * cp * cy - cr * sp * sy,
        cr * sp * cy + sr * cp * sy,
        cr * cp * sy - sr * sp * cy,
        cr * cp * cy + sr * sp * sy,
    )

"""Where outputs are placed: rigid transforms, their lookup in tf, and what happens without one.

A transform is looked up at the image's stamp and never waited for: inference does not stand still
for a late /tf, and the newest transform that there is would belong to another moment. Where none
is known at that stamp, the frame's outputs stay in the optical frame, and a problem says why.

tf2_ros is part of a ROS installation and on no registry, so it may be missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from open_set_seg.frame import Problem

Quaternion = NDArray[np.float64]  # (4,) x, y, z, w
_CHUNK = 1 << 14  # points at a time, which the caches hold: the organised cloud has millions


@dataclass(frozen=True, eq=False)
class RigidTransform:
    """p_target = R p_source + t, in float64.

    Args:
        rotation: quaternion (x, y, z, w) of R; normalised here.
        translation: (3,) t, the source's origin in the target frame, metres.

    Raises:
        ValueError: numbers that are not finite, or a quaternion of length 0.
    """

    rotation: Quaternion
    translation: NDArray[np.float64]

    def __post_init__(self) -> None:
        rotation = np.asarray(self.rotation, np.float64)
        translation = np.asarray(self.translation, np.float64)
        length = float(np.linalg.norm(rotation))
        if not (np.isfinite(length) and np.isfinite(translation).all() and length > 1e-9):
            raise ValueError(
                f"no rigid transform: rotation {rotation.tolist()}, translation "
                f"{translation.tolist()}"
            )
        object.__setattr__(self, "rotation", rotation / length)
        object.__setattr__(self, "translation", translation)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(3, 3) R."""
        x, y, z, w = self.rotation
        return np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
        )

    def apply(self, points: ArrayLike) -> NDArray[np.float64]:
        """(..., 3) points in the target frame; a point with a NaN is NaN altogether."""
        return np.asarray(np.asarray(points, np.float64) @ self.matrix.T + self.translation)

    def turn(self, orientation: ArrayLike) -> Quaternion:
        """An orientation (x, y, z, w) in the target frame: the product of both quaternions."""
        return multiply_quaternions(self.rotation, np.asarray(orientation, np.float64))

    def rotate_covariance(self, covariance: ArrayLike) -> NDArray[np.float64]:
        """(6, 6) covariance of position and rotation: J S J^T, J with R on both blocks."""
        both = np.kron(np.eye(2), self.matrix)
        return np.asarray(both @ np.asarray(covariance, np.float64).reshape(6, 6) @ both.T)

    def after(self, first: RigidTransform) -> RigidTransform:
        """``first``, then this one."""
        return RigidTransform(
            multiply_quaternions(self.rotation, first.rotation), self.apply(first.translation)
        )

    def inverse(self) -> RigidTransform:
        """From target to source: R^T, -R^T t."""
        back = self.rotation * (-1.0, -1.0, -1.0, 1.0)
        return RigidTransform(back, -self.matrix.T @ self.translation)


def multiply_quaternions(left: Quaternion, right: Quaternion) -> Quaternion:
    """Hamilton product, (x, y, z, w): the rotation ``right``, then ``left``."""
    a, b = left[3], right[3]
    vector = a * right[:3] + b * left[:3] + np.cross(left[:3], right[:3])
    return np.array([*vector, a * b - left[:3] @ right[:3]])


def transform_columns(
    transform: RigidTransform, x: NDArray[Any], y: NDArray[Any], z: NDArray[Any]
) -> None:
    """Transform (N,) coordinates where they stand; arithmetic in float64, whatever their type."""
    matrix, move = transform.matrix, transform.translation[:, None]
    for begin in range(0, x.size, _CHUNK):
        part = slice(begin, begin + _CHUNK)
        x[part], y[part], z[part] = (
            matrix @ np.stack([x[part], y[part], z[part]], dtype=np.float64) + move
        )


class TransformSource(Protocol):
    """Knows transforms."""

    def lookup(self, target: str, source: str, stamp_ns: int) -> RigidTransform | str:
        """From ``source`` to ``target`` at that moment, without waiting, or why there is none."""

    def forget(self) -> None:
        """Time went back: what was heard of moving frames is of another time."""

    def close(self) -> None:
        """Stop listening."""


class TfBuffer:
    """The transforms that arrive on /tf and /tf_static, by tf2_ros.

    Raises:
        ImportError: tf2_ros is not installed.
    """

    def __init__(self, node: Any) -> None:
        import tf2_ros

        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node, spin_thread=False)

    def lookup(self, target: str, source: str, stamp_ns: int) -> RigidTransform | str:
        """See ``TransformSource``."""
        import tf2_ros
        from rclpy.clock import ClockType
        from rclpy.time import Time

        stamp = Time(nanoseconds=stamp_ns, clock_type=ClockType.ROS_TIME)
        try:
            found = self._buffer.lookup_transform(target, source, stamp).transform
            rotation, move = found.rotation, found.translation
            return RigidTransform(
                np.array([rotation.x, rotation.y, rotation.z, rotation.w]),
                np.array([move.x, move.y, move.z]),
            )
        except (tf2_ros.TransformException, ValueError) as error:
            return f"{type(error).__name__}: {' '.join(str(error).split())}"

    def forget(self) -> None:
        """See ``TransformSource``; static transforms stay."""
        self._buffer.clear()

    def close(self) -> None:
        """See ``TransformSource``."""
        self._listener.unregister()


class OutputFrame:
    """The frame in which geometry is published.

    Args:
        target: name of the frame; empty: the image's own, whatever it is.
        source: None where tf2_ros is missing.
    """

    def __init__(self, target: str = "", source: TransformSource | None = None) -> None:
        self.target, self._source = target, source
        self.reason: str | None = None
        self._newest_ns = 0

    def find(self, frame_id: str, stamp_ns: int) -> RigidTransform | Problem | None:
        """The transform of one frame's outputs; None: they are where they shall be.

        ``reason`` keeps why the newest frame was not placed, None where it was.
        """
        back, self._newest_ns = stamp_ns < self._newest_ns, stamp_ns
        if back and self._source is not None:
            # Until the old data run out, tf would refuse the new ones as too old.
            self._source.forget()
        self.reason = None
        if not self.target or self.target == frame_id:
            return None
        found = self._look_up(frame_id, stamp_ns)
        if isinstance(found, RigidTransform):
            return found
        self.reason = found
        return Problem(
            "transform.missing",
            f"no transform from {frame_id!r} to target_frame {self.target!r} at the image's stamp "
            f"{stamp_ns / 1e9:.3f}, so outputs stay in {frame_id!r} ({found})",
        )

    def close(self) -> None:
        """Stop listening to /tf."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def _look_up(self, frame_id: str, stamp_ns: int) -> RigidTransform | str:
        if self._source is None:
            return "tf2_ros is not installed"
        if not frame_id:
            return "the image's header names no frame"
        return self._source.lookup(self.target, frame_id, stamp_ns)


def open_output_frame(node: Any, target: str) -> tuple[OutputFrame, Problem | None]:
    """The output frame of a node, with what is wrong if tf cannot be asked."""
    if not target:
        return OutputFrame(), None
    try:
        return OutputFrame(target, TfBuffer(node)), None
    except ImportError as error:
        return OutputFrame(target), Problem(
            "transform.unavailable",
            f"target_frame = {target!r} needs tf2_ros, which is not installed ({error}): outputs "
            "stay in the image's optical frame; install ros-$ROS_DISTRO-tf2-ros-py, or leave "
            "target_frame empty",
            "error",
        )

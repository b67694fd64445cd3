"""Obstacles -> visualization_msgs/MarkerArray: a box and a text for each."""

from __future__ import annotations

import math
from typing import Any

from builtin_interfaces.msg import Duration
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from open_set_seg.captions import caption_obstacle
from open_set_seg.frame import Obstacle
from open_set_seg.tracking import TrackedObstacle

_LIFETIME_S = 1.0  # outlives a few missed frames, and nothing stays when the node stops
_THICKNESS = 0.2  # metres: only the near face is known, so the box is drawn thin
_MIN_EXTENT = 0.05
_TEXT_HEIGHT = 0.35
_BOX_COLOUR = ColorRGBA(r=1.0, g=0.25, b=0.0, a=0.55)
_TENTATIVE_COLOUR = ColorRGBA(r=1.0, g=0.8, b=0.0, a=0.25)
_TEXT_COLOUR = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)


def build_markers(header: Any, obstacles: tuple[Obstacle, ...]) -> Any:
    """A leading DELETEALL, then box and text of every obstacle whose position is known.

    Marker ids are the obstacle ids, in the namespaces ``box`` and ``distance``; what is no more
    there is gone with the first message that does not have it. Tentative obstacles are pale
    yellow, the others orange.
    """
    markers = [Marker(header=header, action=Marker.DELETEALL)]
    for obstacle in obstacles:
        if all(map(math.isfinite, obstacle.position)):
            markers += [_build_box(header, obstacle), _build_text(header, obstacle)]
    return MarkerArray(markers=markers)


def _is_tentative(obstacle: Obstacle) -> bool:
    return isinstance(obstacle, TrackedObstacle) and obstacle.state == "tentative"


def _build_box(header: Any, obstacle: Obstacle) -> Any:
    colour = _TENTATIVE_COLOUR if _is_tentative(obstacle) else _BOX_COLOUR
    marker = _build_marker(header, obstacle, "box", Marker.CUBE, colour)
    marker.pose.position.z += _THICKNESS / 2
    marker.scale.x = _extent(obstacle.width)
    marker.scale.y = _extent(obstacle.height)
    marker.scale.z = _THICKNESS
    return marker


def _build_text(header: Any, obstacle: Obstacle) -> Any:
    marker = _build_marker(header, obstacle, "distance", Marker.TEXT_VIEW_FACING, _TEXT_COLOUR)
    marker.pose.position.y -= _extent(obstacle.height) / 2 + _TEXT_HEIGHT
    marker.scale.z = _TEXT_HEIGHT
    marker.text = caption_obstacle(obstacle)
    return marker


def _build_marker(header: Any, obstacle: Obstacle, space: str, kind: int, colour: Any) -> Any:
    marker = Marker(header=header, ns=space, id=int(obstacle.id), type=kind, action=Marker.ADD)
    position = marker.pose.position
    position.x, position.y, position.z = (float(value) for value in obstacle.position)
    marker.pose.orientation.w = 1.0
    marker.color = colour
    marker.lifetime = Duration(sec=int(_LIFETIME_S), nanosec=int(_LIFETIME_S % 1 * 1e9))
    return marker


def _extent(metres: float) -> float:
    return max(_MIN_EXTENT, float(metres)) if math.isfinite(metres) else _MIN_EXTENT

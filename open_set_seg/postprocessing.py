"""Steps that change a finished anomaly map: each a small object that is called with the map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from open_set_seg.frame import FloatImage, LabelImage
from open_set_seg.ground import GroundConfig, find_ground
from open_set_seg.label_spaces import LabelSpace


class Step(Protocol):
    """See the module."""

    def __call__(
        self, anomaly: FloatImage, nearest: LabelImage, space: LabelSpace, lowest: float
    ) -> FloatImage:
        """The changed map; the given one is left as it was.

        Args:
            anomaly: (H, W), higher is more anomalous, without NaN.
            nearest: (H, W), nearest known class.
            space: of ``nearest``.
            lowest: the least anomalous value that there is.
        """


@dataclass(frozen=True)
class GroundFocus:
    """Nothing off the ground is anomalous: the convex hull of predicted road and sidewalk stays.

    Source: NFlowJS, section 5.2. A frame without any ground keeps its whole map: there an obstacle
    may hide the road.
    """

    def __call__(
        self, anomaly: FloatImage, nearest: LabelImage, space: LabelSpace, lowest: float
    ) -> FloatImage:
        """See ``Step``."""
        ground = find_ground(nearest, space, GroundConfig())
        if ground is None:
            return np.copy(anomaly)
        focused: FloatImage = np.where(ground, anomaly, np.float32(lowest))
        return focused


POSTPROCESSING: dict[str, type[GroundFocus]] = {
    "ground_focus": GroundFocus,
}

"""What a recording says about its incident, in the custom data of its ``metadata.yaml``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from open_set_seg.messages import NANOSECONDS

KEY = "open_set_seg.incident"


def read_summary(bag: Path | str) -> dict[str, Any] | None:
    """What the recorder says about the incident that a recording holds; None where it is no such.

    Keys: ``reasons`` (a list: ``time_s`` after the first frame, ``reason``, and for an obstacle
    ``id``, ``distance``, ``score``, ``box``), ``requested``, ``first_stamp_ns``, ``last_stamp_ns``,
    ``frames``, ``dropped_frames``, ``ended`` (``over``, ``full``, ``silence``, ``jump`` or
    ``shutdown``) and what the node adds: model, hash, threshold, topics.
    """
    try:
        content = yaml.safe_load((Path(bag) / "metadata.yaml").read_text(encoding="utf-8"))
        summary = json.loads(content["rosbag2_bagfile_information"]["custom_data"][KEY])
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return None
    return summary if isinstance(summary, dict) else None


def relative_s(stamp_ns: int, first_ns: int) -> float:
    """Seconds from one stamp to another, to the microsecond."""
    return round((stamp_ns - first_ns) / NANOSECONDS, 6)

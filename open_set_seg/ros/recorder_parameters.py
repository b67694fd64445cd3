"""Parameters of the recorder of incidents; ``recorder.x`` are fields of RecorderConfig.

Nothing of the recorder is imported before a folder is named: it needs the extra ``bags``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from open_set_seg.ros.parameters import Parameter, ParameterError

if TYPE_CHECKING:
    from open_set_seg.bags.incidents import RecorderConfig

_PREFIX = "recorder."
_MEGABYTES = 1e7

RECORDER_PARAMETERS: tuple[Parameter, ...] = (
    Parameter(
        "recorder.folder", "",
        "Folder for recordings of incidents (docs/recordings.md); empty: none are made.",
        live=False,
    ),
    Parameter(
        "recorder.before_s", 3.0, "Recorded from before an incident, kept in memory, s.", 0.0, 600.0
    ),
    Parameter(
        "recorder.after_s", 2.0, "Recorded after an incident's last new obstacle, s.", 0.0, 600.0
    ),
    Parameter("recorder.min_gap_s", 5.0, "Least time between two incidents, s.", 0.0, 1e6),
    Parameter(
        "recorder.max_memory_mb", 512.0,
        "Most that frames take in memory, those that wait to be written included, MB.",
        1.0, _MEGABYTES,
    ),
    Parameter(
        "recorder.max_bag_mb", 512.0, "Largest recording; an incident ends there, MB.",
        1.0, _MEGABYTES,
    ),
    Parameter(
        "recorder.max_total_mb", 8192.0,
        "Most that all recordings in the folder take; the oldest make room, MB.", 1.0, _MEGABYTES,
    ),
    Parameter(
        "recorder.max_bags", 100, "Most recordings in the folder; the oldest make room.", 1, 10**6
    ),
    Parameter(
        "recorder.min_free_mb", 1024.0, "Nothing is recorded that leaves less free on disk, MB.",
        0.0, _MEGABYTES,
    ),
    Parameter("recorder.min_score", 0.0, "Obstacles of a lower score are no incident.", 0.0, 1.0),
    Parameter(
        "recorder.max_distance", 0.0, "Obstacles farther away are no incident, m; 0: any are.",
        0.0, 10000.0,
    ),
    Parameter(
        "recorder.compression", "none", "Of recordings, by Zstandard: each message, or chunks.",
        choices=("none", "message", "chunk"), live=False,
    ),
)  # fmt: skip


def build_recorder(values: Mapping[str, Any]) -> RecorderConfig | None:
    """Of converted values of all ``RECORDER_PARAMETERS``; None where no folder is named.

    Raises:
        ParameterError: rosbags is not installed.
        ValueError: values that contradict each other.
    """
    given = {
        name.removeprefix(_PREFIX): value
        for name, value in values.items()
        if name.startswith(_PREFIX)
    }
    folder = given.pop("folder")
    if not folder:
        return None
    try:
        from open_set_seg.bags.incidents import RecorderConfig
    except ModuleNotFoundError as error:
        raise ParameterError(
            f"recorder.folder = {folder!r} needs {error.name}, which is not installed: "
            "pip install 'open_set_seg[bags]'"
        ) from None
    return RecorderConfig(Path(folder).expanduser(), **given)

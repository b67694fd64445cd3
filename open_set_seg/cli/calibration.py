"""Options of the verbs that compare networks: on which frames, and how much may change."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from open_set_seg.certificates import CalibrationSet, Limits

DEFAULT_CALIBRATION = "simulation:20"


def add_comparison_arguments(parser: argparse.ArgumentParser) -> None:
    """``--calibration`` and ``--limit``."""
    parser.add_argument(
        "--calibration",
        default=DEFAULT_CALIBRATION,
        metavar="SET",
        help="frames to compare on: simulation:N, or a folder of pictures of that size, for which "
        f"AP, FPR95 and mIoU cannot be given ({DEFAULT_CALIBRATION})",
    )
    parser.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="instead of the precision's: max_score_difference, mean_score_difference, "
        "classes_changed, decisions_changed, ap_change, fpr95_change or miou_change, each in "
        "[0, 1] (0.01 is a point or a percent) or none; may be repeated",
    )


def read_limits(settings: list[str], *precisions: str) -> Limits:
    """The limits of the widest of these precisions, but for what is set."""
    from open_set_seg.certificates import LIMITS

    reduced = [precision for precision in precisions if precision != "fp32"]
    return LIMITS[reduced[0] if reduced else "fp32"].changed(settings)


def read_calibration(
    text: str, width: int, height: int, split: bool
) -> tuple[CalibrationSet, CalibrationSet]:
    """The frames to compare on, and those that choose ranges of integers.

    Args:
        text: of ``--calibration``.
        width, height: pixels.
        split: whether the two must share no frame; else they may be the same.

    Raises:
        ValueError: no such set, or too few pictures to split.
    """
    from open_set_seg.certificates import SimulatedScenes

    simulated = re.fullmatch(r"simulation:(\d+)", text)
    if simulated is None:
        return _read_folder(Path(text), width, height, split)
    sets = (SimulatedScenes.first, SimulatedScenes.last)
    first, last = (choose(int(simulated[1]), width, height) for choose in sets)
    return first, last


def _read_folder(
    folder: Path, width: int, height: int, split: bool
) -> tuple[CalibrationSet, CalibrationSet]:
    from open_set_seg.certificates import Pictures
    from open_set_seg.cli.files import list_images, read_image

    if not folder.is_dir():
        raise ValueError(
            f"expected --calibration as simulation:N or a folder of pictures, found {folder}"
        )
    paths = list_images(folder)

    def choose(start: int, step: int, where: str) -> Pictures:
        return Pictures(paths[start::step], width, height, read_image, where)

    if not split:
        everything = choose(0, 1, f"all of {folder}")
        return everything, everything
    if len(paths) < 2:
        raise ValueError(
            f"expected two or more pictures in {folder}: one half chooses the ranges of the "
            "integers, the other is compared on"
        )
    return choose(1, 2, f"every second one of {folder}"), choose(0, 2, f"the others of {folder}")

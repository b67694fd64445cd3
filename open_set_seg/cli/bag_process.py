"""``open-set-seg bag process``: recordings through the pipeline, without ROS."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from open_set_seg.cli.frame_options import (
    TOLERANCE_S,
    add_network_arguments,
    add_topic_arguments,
    read_topics,
)

if TYPE_CHECKING:
    from open_set_seg.processing import Outcome, Plan, ProcessConfig

EXIT_INCOMPLETE = 1
HELP = "find obstacles in recordings: tables, a recording, a video and a report of each"
DESCRIPTION = (
    "Runs every frame of recordings through the detector node's pipeline, in order, and writes a "
    "folder for each: obstacles.csv, frames.csv, records.jsonl, Parquet tables, a "
    "recording of what was found, a video, and report.html. A folder appears when it is whole; "
    "recordings that are done already are kept, so an interrupted command goes on where it is "
    "started again. A "
    "recording that cannot be read is named, and the others are processed (exit code 1)."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("bags", type=Path, nargs="+", metavar="BAG", help="rosbag2 folder or file")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUT",
        help="folder that gets a folder for each recording",
    )  # fmt: skip
    parser.add_argument(
        "--again", action="store_true", help="replace what was made of these recordings before"
    )
    _add_work(parser.add_argument_group("where the work is done"))
    _add_pipeline(parser.add_argument_group("pipeline"))
    _add_results(parser.add_argument_group("results"))
    add_topic_arguments(parser)


def _add_work(group: argparse._ArgumentGroup) -> None:
    places = group.add_mutually_exclusive_group()
    places.add_argument(
        "-j", "--jobs", type=int, default=1, metavar="N",
        help="recordings at a time, each in a process of its own; default: 1, in this process",
    )  # fmt: skip
    places.add_argument(
        "--workers", type=int, metavar="N", help="start a Dask cluster of N processes here"
    )
    places.add_argument(
        "--scheduler", metavar="ADDRESS",
        help="use a Dask cluster, such as tcp://10.0.0.1:8786, whose workers see the same files",
    )  # fmt: skip
    group.add_argument(
        "--threads", type=int, metavar="N",
        help="that each process computes with; default: the cores divided by the processes",
    )  # fmt: skip


def _add_pipeline(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--model", type=Path, metavar="FILE", help="another model (docs/models.md)")
    add_network_arguments(group, "; needs a threshold (unbounded ones: fitted before)")
    group.add_argument("--threshold", type=float, help="anomaly above which a pixel is unknown")
    group.add_argument(
        "--calibration", default="auto", metavar="FILE",
        help="auto: the file beside the model where there is one (default); off; or a file",
    )  # fmt: skip
    group.add_argument("--no-ground", action="store_true", help="list what is off the road as well")
    group.add_argument(
        "--no-tracking", action="store_true", help="number obstacles anew in every frame"
    )


def _add_results(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--record", nargs="*", default=["obstacles", "segmentation"], metavar="NAME",
        help="what the recording holds: obstacles, segmentation, anomaly, overlay; default: the "
        "first two; without a name: no recording",
    )  # fmt: skip
    group.add_argument(
        "--with-inputs", action="store_true", help="the recording holds its inputs, too"
    )
    group.add_argument("--storage", default="mcap", choices=("mcap", "sqlite3"))
    group.add_argument("--no-video", action="store_true")
    group.add_argument(
        "--video-codec", default="mp4v", choices=("mp4v", "vp09"),
        help="MPEG-4 (default), or VP9, which browsers play and which takes 50 times as long",
    )  # fmt: skip
    group.add_argument(
        "--video-scale", type=float, default=1.0, metavar="X", help="size of the video; default: 1"
    )
    group.add_argument(
        "--report", action=argparse.BooleanOptionalAction, default=None,
        help="a page to read for each, and index.html over all; default: where matplotlib and "
        "Jinja2 are installed",
    )  # fmt: skip
    group.add_argument(
        "--parquet", action=argparse.BooleanOptionalAction, default=None,
        help="tables as Parquet, too; default: where pyarrow is installed",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Process what is not done yet, and say what became of it."""
    from open_set_seg.processing import plan_tasks, watch_folder

    with watch_folder(options.output):
        config = _config(options)
        plan = plan_tasks(options.bags, options.output, config.describe(), options.again)
        for folder in plan.done:
            print(f"{folder}: done before")
        failed = [outcome for outcome in _process(options, plan, config) if outcome.error]
    print(f"results: {_index(options, config)}")
    if failed:
        print(f"{len(failed)} of {len(plan.tasks)} recordings failed (named above)")
    return EXIT_INCOMPLETE if failed else 0


def _index(options: argparse.Namespace, config: ProcessConfig) -> Path:
    """What to look at first."""
    if not config.makes_report:
        if options.report is None:
            from open_set_seg.processing.config import REPORT_EXTRA

            print(f"no report: {REPORT_EXTRA}")
        return Path(options.output)
    from open_set_seg.processing.report import write_index

    return write_index(options.output)


def _process(options: argparse.Namespace, plan: Plan, config: ProcessConfig) -> Iterator[Outcome]:
    from tqdm import tqdm

    from open_set_seg.processing import count_images

    if not plan.tasks:
        return
    total = sum(count_images(task.source, config.topics) for task in plan.tasks)
    with (
        tqdm(total=total, desc="processing", unit="frame", disable=None) as bar,
        _engine(options) as engine,
    ):
        for outcome in engine(plan, config, bar.update):
            bar.clear()
            _report(outcome)
            yield outcome


def _report(outcome: Outcome) -> None:
    if outcome.error:
        print(f"{outcome.source}: {outcome.error}", file=sys.stderr)
        return
    rate = outcome.frames / outcome.seconds if outcome.seconds else 0.0
    text = f"{outcome.frames} frames, {outcome.obstacles} obstacles, {rate:.1f} frames/s"
    if outcome.undecodable:
        text += f", {outcome.undecodable} images could not be decoded"
    print(f"{outcome.folder}: {text}")


Engine = Callable[["Plan", "ProcessConfig", Callable[[int], None]], "Iterator[Outcome]"]


@contextmanager
def _engine(options: argparse.Namespace) -> Iterator[Engine]:
    """What does the work; its processes end with the block."""
    from open_set_seg.processing.cluster import local_cluster, run_on_cluster
    from open_set_seg.processing.processes import run_here, run_in_jobs

    if options.scheduler:
        yield lambda p, c, progress: run_on_cluster(p.tasks, c, progress, options.scheduler)
    elif options.workers is not None:
        with local_cluster(options.workers) as address:
            yield lambda p, c, progress: run_on_cluster(p.tasks, c, progress, address)
    elif options.jobs == 1:
        yield lambda p, c, progress: run_here(p.tasks, c, progress)
    else:
        yield lambda p, c, progress: run_in_jobs(p.tasks, c, progress, options.jobs)


def _config(options: argparse.Namespace) -> ProcessConfig:
    from open_set_seg.checkpoint import DEMO_CHECKPOINT
    from open_set_seg.detector import DetectorConfig
    from open_set_seg.ground import GroundConfig
    from open_set_seg.observer import ObserverConfig
    from open_set_seg.processing import ProcessConfig
    from open_set_seg.tracking import TrackingConfig

    for name in ("jobs", "workers"):
        count = getattr(options, name)
        if count is not None and count < 1:
            raise ValueError(f"expected --{name} of at least 1, found {count}")
    detector = DetectorConfig(
        threshold=options.threshold,
        ground=GroundConfig(mode="off" if options.no_ground else "hull"),
    )
    return ProcessConfig(
        model=(options.model or DEMO_CHECKPOINT).absolute(),
        observer=ObserverConfig(
            detector=detector, tracking=None if options.no_tracking else TrackingConfig()
        ),
        device=options.device,
        precision=options.precision,
        backend=options.backend,
        score=options.score,
        calibration=_calibration(options.calibration),
        threads=options.threads or _share_of_cores(options),
        topics=read_topics(options),
        tolerance_s=TOLERANCE_S,
        outputs=tuple(dict.fromkeys(options.record)),
        with_inputs=options.with_inputs,
        storage=options.storage,
        codec=None if options.no_video else options.video_codec,
        video_scale=options.video_scale,
        parquet=options.parquet,
        report=options.report,
    )


def _calibration(choice: str) -> str | Path | None:
    if choice == "off":
        return None
    return choice if choice == "auto" else Path(choice).absolute()


def _share_of_cores(options: argparse.Namespace) -> int | None:
    """None: the library's choice. A cluster elsewhere knows its own cores."""
    import os

    processes = options.workers or options.jobs
    return max(1, len(os.sched_getaffinity(0)) // processes) if processes > 1 else None

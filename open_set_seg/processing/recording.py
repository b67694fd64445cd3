"""One recording through the pipeline: every frame, in order, into a folder of its own."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from open_set_seg.bags import BagError, open_frames
from open_set_seg.files import write_whole
from open_set_seg.machine import describe_software
from open_set_seg.processing.describing import ProcessedFrame, describe_frame
from open_set_seg.processing.evidence import Judge
from open_set_seg.processing.network import Network
from open_set_seg.processing.run_file import RUN
from open_set_seg.processing.sinks import Run, Sink, open_sinks

FORMAT_VERSION = 1
PARTIAL = ".partial-"
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Task:
    """A recording to process.

    Attributes:
        source: the recording; ``folder``: where its results go, which must not exist.
        settings: of ``ProcessConfig.describe``.
        fingerprint: of ``fingerprint_recording``.
    """

    source: Path
    folder: Path
    settings: dict[str, Any]
    fingerprint: str


def process_recording(task: Task, network: Network, progress: Progress) -> dict[str, Any]:
    """Process every frame of a recording; its folder appears when it is whole, never before.

    Where the very same task is done already, that is the result: the answer of a worker that was
    killed after its work may be lost.

    Args:
        progress: called with the number of images done since the last call.

    Returns:
        What ``run.json`` says.

    Raises:
        BagError: not a whole recording, no image topic, or no image in it that can be decoded.
        FileExistsError: the folder is there already.
    """
    held = _finished_run(task)
    if held is not None:
        return held
    if task.folder.exists():
        raise FileExistsError(f"{task.folder} exists already and is not overwritten")
    with _scratch_folder(task.folder) as scratch:
        begin = time.perf_counter()
        counts, details = _process_frames(task, network, scratch, progress)
        seconds = time.perf_counter() - begin
        content = {
            "format_version": FORMAT_VERSION,
            "source": str(task.source),
            "fingerprint": task.fingerprint,
            **counts,
            "seconds": round(seconds, 3),
            "frames_per_second": round(counts["frames"] / seconds, 3),
            "device": network.device,
            "model": network.config.model.name,
            "model_sha256": network.model_hash,
            "score": network.score,
            "threshold": network.threshold,
            "threshold_source": network.threshold_source,
            "promise": network.promise,
            "classes": list(network.label_space.classes),
            "results": details,
            "settings": task.settings,
            "versions": describe_software(),
        }
        write_whole(scratch / RUN, json.dumps(content, indent=2, allow_nan=False) + "\n")
        if network.config.makes_report:
            # Draws: imported only where something is drawn.
            from open_set_seg.processing.report import write_report

            write_report(scratch)
        # A folder that came into being meanwhile and holds something makes this fail.
        scratch.rename(task.folder)
    return content


def _process_frames(
    task: Task, network: Network, scratch: Path, progress: Progress
) -> tuple[dict[str, Any], dict[str, Any]]:
    config, space = network.config, network.label_space
    observer = network.observer()
    undecodable: list[int] = []
    frames = obstacles = examined = 0
    with (
        open_frames(task.source, config.topics, config.tolerance_s) as (stamps, items),
        Judge(task.source) as judge,
    ):
        run = Run(task.source, scratch, config, space, tuple(stamps))
        with _opened(run) as sinks:
            for item in items:
                progress(1)
                if item.frame is None:
                    undecodable.append(item.number)
                    continue
                observation = observer.observe(item.frame)
                truth = judge.judge(item.number, observation.result)
                record = describe_frame(item, observation, space, truth)
                processed = ProcessedFrame(item.frame, observation, record, space)
                for sink in sinks.values():
                    sink.add(processed)
                frames += 1
                examined += record.examined
                obstacles += len(record.obstacles)
            if not frames:
                raise BagError(f"{task.source} holds no image that can be decoded")
            details = {name: sink.finish() for name, sink in sinks.items()}
            details["ground truth"] = judge.finish(scratch)
    counts = {
        "frames": frames,
        "undecodable": undecodable,
        "examined": examined,
        "obstacles": obstacles,
        "first_stamp_ns": min(stamps),
        "last_stamp_ns": max(stamps),
    }
    return counts, details


def _finished_run(task: Task) -> dict[str, Any] | None:
    try:
        run: dict[str, Any] = json.loads((task.folder / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    mine = (str(task.source), task.fingerprint, task.settings)
    return run if (run.get("source"), run.get("fingerprint"), run.get("settings")) == mine else None


@contextmanager
def _opened(run: Run) -> Iterator[dict[str, Sink]]:
    sinks = open_sinks(run)
    try:
        yield sinks
    except BaseException:
        for sink in sinks.values():
            with suppress(Exception):  # the first error is the one to tell
                sink.discard()
        raise


@contextmanager
def _scratch_folder(folder: Path) -> Iterator[Path]:
    """A folder beside the one that it becomes; removed where it does not."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}{PARTIAL}", dir=folder.parent))
    try:
        scratch.chmod(0o755)
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)

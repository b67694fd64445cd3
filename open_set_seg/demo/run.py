"""The demo from beginning to end: render, play, and make results of what was recorded."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from open_set_seg.bags import count_messages, topics
from open_set_seg.checkpoint import DEMO_CHECKPOINT, CheckpointMetadata, read_metadata
from open_set_seg.demo.in_process import play_in_process
from open_set_seg.demo.pictures import draw_panels
from open_set_seg.demo.recorded import RecordedFrame, read_recorded
from open_set_seg.demo.tables import format_summary, save_obstacles, summarise
from open_set_seg.drawing import save_picture
from open_set_seg.machine import describe_software
from open_set_seg.simulation import DriveConfig, StereoFrame, render_drive, save_drive
from open_set_seg.video import Video

MARK = ".open_set_seg_demo"
BAG, VIDEO, TABLE, SUMMARY, LOGS = "bag", "overlay.mp4", "obstacles.csv", "summary.json", "logs"
RENDER_WORKERS = 2


class DemoError(ValueError):
    """The demo cannot run, or gave nothing to show; the message says why."""


@dataclass(frozen=True)
class DemoConfig:
    """What to show.

    Args:
        output: folder for the results; must not exist, be empty, or hold those of an earlier run.
        frames, seed, width, height: of the simulated drive.
        rate_hz: frames a second.
        right: whether the right camera is rendered too.
        model: checkpoint of the detector.
        device: ``auto``, ``cpu``, ``cuda``.
        backend: what runs the network.
        pictures: number of frames shown as pictures.
    """

    output: Path = Path("demo_output")
    frames: int = 32
    seed: int = 2_050_008  # of the validation range, but neither trained nor tuned on
    width: int = 1024
    height: int = 512
    rate_hz: float = 5.0
    right: bool = True
    model: Path = DEMO_CHECKPOINT
    device: str = "auto"
    backend: str = "auto"
    pictures: int = 6


class Report(Protocol):
    """What a player reports; see ``in_process.Report``."""

    @property
    def device(self) -> str:
        """Device and network in words."""

    @property
    def interrupted(self) -> bool:
        """Whether the user stopped it."""

    @property
    def details(self) -> Mapping[str, Any]:
        """Whatever else is known."""


class LivePlayer(Protocol):
    """Plays a saved drive into the detector over ROS; ``ros.live.play_live`` is one."""

    def __call__(
        self,
        drive: Path,
        bag: Path,
        model: Path,
        device: str,
        rate_hz: float,
        logs: Path,
        progress: Callable[[int], None],
        backend: str,
        size: tuple[int, int],
    ) -> Report: ...


@dataclass
class Stopwatch:
    """Seconds by phase."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time the block under a name."""
        begin = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - begin, 2)


def run_demo(config: DemoConfig, live: LivePlayer | None = None) -> dict[str, Any]:
    """Run the demo and return its summary, which ``summary.json`` holds too.

    Args:
        live: plays over ROS; None: the pipeline runs in this process.

    Raises:
        DemoError: the folder is in use for something else, or no frame was processed.
        CheckpointError: no usable model.
    """
    metadata = read_metadata(config.model)
    drive_config = DriveConfig(
        seed=config.seed,
        frames=config.frames,
        rate_hz=config.rate_hz,
        width=config.width,
        height=config.height,
        right=config.right,
    )
    output = _prepare(config.output)
    watch = Stopwatch()
    with watch.phase("rendering"):
        drive = _render(drive_config)
    with watch.phase("playing"), _bar("driving", config.frames) as bar:
        play = partial(_play_live, config, drive, live) if live else partial(_play, config, drive)
        report = play(lambda done: _advance(bar, done))
    if report.interrupted:
        print("interrupted: showing what was recorded until then")
    with watch.phase("results"):
        summary, frames = _make_results(config, drive, metadata)
    summary = {
        "mode": "in process" if live is None else "ROS 2",
        "device": report.device,
        "interrupted": report.interrupted,
        **summary,
        "seconds": watch.seconds,
        "settings": {key: _plain(value) for key, value in asdict(config).items()},
        "model_sha256": metadata.weights_sha256,
        "versions": describe_software(),
        "detector": dict(report.details),
    }
    save_obstacles(output / TABLE, frames, metadata.label_space)
    (output / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    print(f"\n{format_summary(summary)}\n\nresults: {output}/")
    return summary


def _prepare(output: Path) -> Path:
    """An empty folder; results of an earlier run are removed, anything else is left alone."""
    if output.exists():
        if not output.is_dir() or (any(output.iterdir()) and not (output / MARK).exists()):
            raise DemoError(f"{output} holds something else: name another --output")
        for entry in output.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    output.mkdir(parents=True, exist_ok=True)
    (output / MARK).touch()
    return output


def _render(config: DriveConfig) -> list[StereoFrame]:
    with _bar("rendering the drive", config.frames) as bar:
        return render_drive(
            config, workers=RENDER_WORKERS, progress=lambda done, _: _advance(bar, done)
        )


def _play(
    config: DemoConfig, drive: Sequence[StereoFrame], progress: Callable[[int], None]
) -> Report:
    return play_in_process(
        drive, config.output / BAG, config.model, config.device, progress, config.backend
    )


def _play_live(
    config: DemoConfig,
    drive: Sequence[StereoFrame],
    live: LivePlayer,
    progress: Callable[[int], None],
) -> Report:
    # Beside the results and not in /tmp, which may be small or in memory.
    with tempfile.TemporaryDirectory(prefix=".drive-", dir=config.output) as folder:
        save_drive(list(drive), Path(folder))
        return live(
            drive=Path(folder),
            bag=config.output / BAG,
            model=config.model,
            device=config.device,
            rate_hz=config.rate_hz,
            logs=config.output / LOGS,
            progress=progress,
            backend=config.backend,
            size=(config.width, config.height),
        )


def _make_results(
    config: DemoConfig, drive: Sequence[StereoFrame], metadata: CheckpointMetadata
) -> tuple[dict[str, Any], list[RecordedFrame]]:
    """Pictures and video from the recording; the summary and the frames without pictures."""
    output, space = config.output, metadata.label_space
    images = count_messages(output / BAG, topics.IMAGE)
    if not images:
        raise DemoError("no image was recorded: there is nothing to show")
    wanted = _spread(images, config.pictures)
    frames: list[RecordedFrame] = []
    with (
        _bar("pictures and video", images) as bar,
        Video(output / VIDEO, (config.width, config.height), config.rate_hz) as video,
    ):
        for frame in read_recorded(output / BAG, drive, space):
            video.write(frame.overlay)
            if wanted and frame.number >= wanted[0]:
                wanted = [number for number in wanted if number > frame.number]
                save_picture(output / f"frame_{frame.number:04d}.png", draw_panels(frame, space))
            frames.append(frame.without_pictures())
            _advance(bar, len(frames))
    if not frames:
        raise DemoError("no frame was processed: there is nothing to show")
    return {**summarise(frames, images), "video_codec": video.codec}, frames


def _spread(count: int, wanted: int) -> list[int]:
    """Up to ``wanted`` numbers spread evenly over 0 .. count - 1."""
    wanted = min(count, wanted)
    return [round((2 * n + 1) * count / (2 * wanted) - 0.5) for n in range(wanted)]


def _bar(text: str, total: int) -> Any:
    return tqdm(total=total, desc=f"{text:<20}", unit="frame", dynamic_ncols=True)


def _advance(bar: Any, done: int) -> None:
    bar.update(done - bar.n)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value

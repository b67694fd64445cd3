"""Recordings of short simulated drives, and a small untrained network that sees something."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from untrained import save_untrained

from open_set_seg.bags import BagWriter
from open_set_seg.demo.in_process import input_messages
from open_set_seg.processing import ProcessConfig
from open_set_seg.simulation import DriveConfig, StereoFrame, render_drive

WIDTH, HEIGHT, RATE_HZ = 160, 96, 5.0


def render(frames: int, seed: int = 1_000_000) -> list[StereoFrame]:
    config = DriveConfig(seed=seed, frames=frames, rate_hz=RATE_HZ, width=WIDTH, height=HEIGHT)
    return list(render_drive(config, workers=1))


def write_bag(path: Path, drive: list[StereoFrame], storage: str = "mcap") -> Path:
    with BagWriter(path, storage) as bag:
        for moment in drive:
            for topic, message in input_messages(moment).items():
                bag.write(topic, moment.stamp_ns, message)
    return path


def config_of(model: Path, **changes) -> ProcessConfig:
    given = {"device": "cpu", "backend": "pytorch", "threads": 1, **changes}
    return ProcessConfig(model=model, **given)


def save_model(folder: Path, drive: list[StereoFrame]) -> Path:
    return save_untrained(folder / "model.safetensors", drive[0].left)


def silent(_: int) -> None:
    """Progress that nobody watches."""


def write_long_bag(path: Path, drive: list[StereoFrame], rounds: int) -> Path:
    """The drive again and again, in time that goes on."""
    length = len(drive) * round(1e9 / RATE_HZ)
    long = [
        replace(moment, stamp_ns=moment.stamp_ns + turn * length)
        for turn in range(rounds)
        for moment in drive
    ]
    return write_bag(path, long)


def results(folder: Path) -> dict[str, bytes]:
    """The bytes of the results that must be equal wherever they are made."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("obstacles.*"))
    }

"""What papers print about the time of anomaly detection: measured by others, on other devices."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedTime:
    """One row.

    Attributes:
        method: as the paper names it.
        ms: time of an image; overhead_ms: above the paper's network alone; None: not printed.
        fps: images a second as printed, or 1000 / ms.
    """

    method: str
    ms: float
    overhead_ms: float | None
    fps: float


@dataclass(frozen=True)
class PublishedTimes:
    """A table.

    Attributes:
        source: paper and table.
        network: key in ``MODELS``.
        size: (H, W).
        device: that it was measured on.
        rows: in the paper's order.
    """

    source: str
    network: str
    size: tuple[int, int]
    device: str
    rows: tuple[PublishedTime, ...]


PUBLISHED: tuple[PublishedTimes, ...] = (
    PublishedTimes(
        "NFlowJS (arXiv 2112.12833), table 6",
        "ldn_121",
        (1024, 2048),
        "NVIDIA RTX 3090",
        (
            PublishedTime("LDN-121", 46.5, None, 21.5),
            PublishedTime("LDN-121 + ODIN", 195.6, 149.1, 5.11),
            PublishedTime("LDN-121 + MC dropout, 2 passes", 92.3, 45.8, 10.83),
            PublishedTime("LDN-121 + NFlowJS", 54.3, 7.8, 18.4),
        ),
    ),
    PublishedTimes(
        "DenseHybrid (ECCV 2022), table 5",
        "ldn_121",
        (1024, 2048),
        "NVIDIA RTX 3090",
        (
            PublishedTime("LDN-121", 60.9, None, 16.4),
            PublishedTime("LDN-121 + SML", 75.4, 14.5, 13.3),
            PublishedTime("LDN-121 + DenseHybrid", 63.7, 2.8, 15.7),
        ),
    ),
    PublishedTimes(
        "Delić, Grcić, Šegvić: Real time dense anomaly detection, table II",
        "swiftnet_rn18",
        (720, 1280),
        "NVIDIA RTX A4000",
        (
            PublishedTime("OH (outlier head)", 13.44, None, 74.43),
            PublishedTime("OP x MS", 13.95, None, 71.69),
            PublishedTime("DH (DenseHybrid)", 14.31, None, 69.86),
            PublishedTime("JSD", 19.08, None, 52.41),
        ),
    ),
)

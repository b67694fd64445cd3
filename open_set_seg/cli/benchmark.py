"""``open-set-seg benchmark``."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

ABSENT = argparse.SUPPRESS
# Options whose fields have other names.
FIELDS = {"backend": "backends", "precision": "precisions", "model_file": "model_files"}
HELP = "how fast a network and everything around it is here"
DESCRIPTION = (
    "Measures network, open-set head, every score, the whole frame and its stages, by every "
    "backend and precision, in runs in which all variants take turns; prints tables and stores "
    "them with device, versions and commit. Without a checkpoint or --network it takes the demo's."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb; those that are not given keep the defaults of ``BenchmarkConfig``."""
    parser.add_argument("checkpoint", type=Path, nargs="?", help="default: the demo checkpoint")
    parser.add_argument(
        "--network", default=ABSENT, metavar="NAME",
        help="a network with random weights instead, for speed only: swiftnet_rn18 or ldn_121",
    )  # fmt: skip
    parser.add_argument("--width", type=float, default=ABSENT, help="of the random network (1)")
    parser.add_argument(
        "--classes", type=int, default=ABSENT, metavar="K", help="of the random network (19)"
    )
    parser.add_argument("--size", default="2048x1024", metavar="WxH", help="of the image")
    parser.add_argument("--device", default=ABSENT, help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=int, default=ABSENT, metavar="N", help="of the processor")
    for name, text in (
        ("backend", "pytorch, openvino"),
        ("precision", "fp32, bf16, fp16; of every backend"),
        ("scores", "names as in evaluation, such as jsd or odin+msp"),
        ("parts", "heads, frame, busy, memory"),
    ):
        parser.add_argument(f"--{name}", nargs="+", default=ABSENT, metavar="NAME", help=text)
    parser.add_argument(
        "--model-file", type=Path, nargs="+", default=ABSENT, metavar="FILE",
        help="an exported model of the same network (.xml or .onnx)",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=ABSENT, metavar="N", help="11")
    parser.add_argument(
        "--busy", type=int, default=ABSENT, metavar="N", help="processes of the part busy (2)"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="JSON file to write")


def run(options: argparse.Namespace) -> int:
    """Measure, print the tables and write the result."""
    from open_set_seg.benchmark import BenchmarkConfig, run_benchmark
    from open_set_seg.benchmark.tables import result_tables
    from open_set_seg.checkpoint import DEMO_CHECKPOINT
    from open_set_seg.cli.sizes import read_size
    from open_set_seg.report.text import plain

    given = {FIELDS.get(key, key): value for key, value in vars(options).items()}
    chosen: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in given.items()
        if name in BenchmarkConfig.__dataclass_fields__ and value is not None
    }
    if "network" not in chosen:
        chosen.setdefault("checkpoint", DEMO_CHECKPOINT)
        unused = [name for name in ("width", "classes") if name in chosen]
        if unused:
            raise ValueError(f"--{unused[0]} is for a random network: expected --network as well")
    width, height = read_size(options.size)
    config = BenchmarkConfig(**{**chosen, "size": (height, width)})
    with _Progress() as progress:
        result = run_benchmark(config, progress.say)
    result = {"command": _command(), **result}
    for table in result_tables(result):
        print(plain(table))
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(result, indent=2, ensure_ascii=False)
        options.output.write_text(text + "\n", encoding="utf-8")
        print(f"written to {options.output}")
    return 0


class _Progress:
    """One line on a terminal that says what is running; nothing elsewhere."""

    def __enter__(self) -> _Progress:
        self._shown = sys.stderr.isatty()
        return self

    def say(self, text: str) -> None:
        """Show a line instead of the one before."""
        if self._shown:
            print(f"\r{text[:100]:<100}", end="", file=sys.stderr, flush=True)

    def __exit__(self, *_: object) -> None:
        self.say("")
        if self._shown:
            print("\r", end="", file=sys.stderr)


def _command() -> str:
    return shlex.join(["open-set-seg", *sys.argv[1:]])

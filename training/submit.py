"""Write score maps as SegmentMeIfYouCan wants them: ``python -m training.submit MODEL ...``.

The scores of every frame, its truth known or hidden, go to
``DIR/anomaly_p/METHOD/DATASET/FRAME.hdf5``: HDF5 with one dataset ``value``, float16, gzip 9,
higher is more anomalous. What is there already stays, if it is of the same model and score.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from training.command_line import add_model_options, count, source_options
from training.datasets import DATASETS, open_dataset
from training.datasets.frames import Dataset
from training.datasets.loading import CorruptFrame, load_ahead
from training.evaluation.work_folder import claim, only_user
from training.presentation.wording import file_problem
from training.ranks import Ranks
from training.sources import EvaluationError, ScoreMap, Source, open_source

# What the benchmark's code calls the folders of its data sets, whatever the split.
FOLDERS = {
    "smiyc_anomaly": "AnomalyTrack-all",
    "smiyc_obstacle": "ObstacleTrack-all",
    "smiyc_lost_and_found": "LostAndFound-test",
}


def submit(source: Source, dataset: Dataset, method: str, output: Path, workers: int = 2) -> Path:
    """Write the score maps of all frames; the folder in which they lie.

    Raises:
        EvaluationError: a source of several scores, a corrupt frame, or a folder that holds the
            maps of another model or score.
    """
    if len(source.scores) != 1:
        raise EvaluationError(f"a submission has one score, not {', '.join(source.scores)}")
    name = FOLDERS.get(dataset.name, dataset.name)
    folder = output / "anomaly_p" / method / name
    about = output / "about" / f"{method}-{name}"
    with only_user(about):
        settings = {"kind": source.kind, "scores": list(source.scores), **source.identity}
        # Maps outlive their settings: to delete these alone would mix the maps of two models.
        claim(about, settings, f"give another --method or --output, or delete {about} and {folder}")
        paths = [folder / f"{frame_id}.hdf5" for frame_id in dataset.ids]
        missing = [index for index, path in enumerate(paths) if not path.exists()]
        frames = load_ahead(dataset, missing, workers)
        bar = tqdm(frames, desc=method, unit="frame", total=len(paths))
        bar.update(len(paths) - len(missing))
        for index, frame in bar:
            if isinstance(frame, CorruptFrame):
                raise EvaluationError(frame.reason)
            write_map(paths[index], source.answer(frame).scores[source.scores[0]])
    return folder


def write_map(path: Path, scores: ScoreMap) -> None:
    """Write one score map; the file appears whole or not at all."""
    try:
        import h5py
    except ImportError as error:
        raise EvaluationError("for HDF5 files: pip install h5py") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    with h5py.File(partial, "w") as file:
        file.create_dataset("value", data=to_half(scores), compression="gzip", compression_opts=9)
    partial.replace(path)


def to_half(scores: ScoreMap) -> NDArray[np.float16]:
    """Scores (H, W) as float16; what lies beyond its range becomes its largest number."""
    limit = float(np.finfo(np.float16).max)
    return np.clip(scores, -limit, limit).astype(np.float16)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; exit code 0, or 2 with what is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m training.submit",
        usage="%(prog)s MODEL --dataset NAME --data ROOT --output DIR [options]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help="as for training.evaluate")
    parser.add_argument("--dataset", required=True, choices=DATASETS, metavar="NAME",
                        help=f"one of {', '.join(DATASETS)}")  # fmt: skip
    parser.add_argument("--data", type=Path, required=True, metavar="ROOT",
                        help="folder of the data set, or one that holds it")  # fmt: skip
    parser.add_argument("--split", metavar="NAME",
                        help="default: the one that is evaluated; for the benchmark's server: "
                             "test, or all")  # fmt: skip
    parser.add_argument("--method", metavar="NAME",
                        help="name of the folder; default: that of the model")  # fmt: skip
    parser.add_argument("--output", type=Path, required=True, metavar="DIR",
                        help="the maps go to DIR/anomaly_p")  # fmt: skip
    parser.add_argument("--workers", type=count(0), default=2, metavar="N",
                        help="processes that load frames; default: 2")  # fmt: skip
    add_model_options(parser)
    options = parser.parse_args(arguments)
    try:
        source = open_source(options.model, source_options(options, Ranks()))
        dataset = open_dataset(options.dataset, options.data, options.split)
        method = options.method or source.name
        folder = submit(source, dataset, method, options.output, options.workers)
    except ValueError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    except OSError as error:
        parser.exit(2, f"{parser.prog}: {file_problem(error)}\n")
    except KeyboardInterrupt:
        parser.exit(130, f"{parser.prog}: stopped; the same command goes on from here\n")
    print(f"{len(dataset.ids)} score maps in {folder}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

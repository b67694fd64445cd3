"""The synthetic benchmark: ``python -m training.study config/study.yaml``.

Trains every arm with every seed and measures it, keeps one JSON each, and writes the page. What is
there is kept, and an interrupted training goes on. Development families are for choosing; sealed
families are met once, after ``--freeze`` has put the configuration's hash among the results.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# One process a worker is the parallelism.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from training.run_state import code_revision
from training.study.config import Study
from training.study.jobs import Work, run_study
from training.study.page.page import PAGE, RESULTS, write_page
from training.study.results.plan import plan_path, read_plan, write_plan


class FrozenError(ValueError):
    """Sealed families with a configuration that was not frozen, or was changed since."""


def freeze(study: Study, results: Path) -> None:
    """Put the configuration's hash, the commit and the day among the results.

    Raises:
        FrozenError: it was frozen before, with another hash.
    """
    if plan_path(results).exists():
        check_frozen(study, results)
        return
    frozen = {
        "config_sha256": study.digest,
        "commit": code_revision() or "unknown",
        "date": datetime.now(timezone.utc).date().isoformat(),
    }
    write_plan(results, study.plan(frozen))


def check_frozen(study: Study, results: Path) -> None:
    """FrozenError unless the configuration is the one that was frozen among the results."""
    if not plan_path(results).exists():
        raise FrozenError("sealed families are met with a frozen configuration: --freeze first")
    found = read_plan(results).frozen.get("config_sha256")
    if found != study.digest:
        raise FrozenError(f"{results} was frozen as {found}, the configuration is {study.digest}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; exit code 0, or 2 with one line on what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m training.study", description=__doc__)
    parser.add_argument("config", type=Path, nargs="?", default=Path("config/study.yaml"))
    parser.add_argument("--families", choices=("development", "sealed"), default="development")
    parser.add_argument("--arms", nargs="+", default=[], help="keys; default: all")
    parser.add_argument("--seeds", type=int, help="at most so many of each arm; default: all")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--runs", type=Path, default=Path("runs/study"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--freeze", action="store_true", help="freeze the configuration and end")
    options = parser.parse_args(arguments)
    try:
        study = Study(options.config)
        unknown = [arm for arm in options.arms if arm not in study.arms]
        if unknown:
            raise ValueError(f"unknown arms {', '.join(unknown)}; known: {', '.join(study.arms)}")
        if options.freeze:
            freeze(study, options.results)
            return 0
        if options.families == "sealed":
            check_frozen(study, options.results)
        work = Work(
            options.config,
            options.runs,
            options.results,
            options.families,
            options.workers,
        )
        run_study(work, options.arms, options.seeds, progress=True)
        write_page(options.results, options.page, study.plan(read_plan(options.results).frozen))
    except ValueError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

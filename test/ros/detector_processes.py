"""The executable ``detector`` as a process whose output is collected."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from node_harness import wait_until

ROOT = Path(__file__).parents[2]
# The process entry with a detector that needs no network. What it prints marks how far it is.
STAND_IN = """
import faulthandler, signal, sys, time
faulthandler.register(signal.SIGUSR1, all_threads=True)
import open_set_seg.ros.node as node
run = node._run
def run_with_a_fake(args, stop):
    print("started", flush=True)
    sys.path.insert(0, {harness!r})
    import open_set_seg.ros.loading as loading
    loading.load_detector = load
    return run(args, stop)
def load(settings):
    print("loading", flush=True)
    from node_harness import FakeDetector
    from open_set_seg.label_spaces import STREETHAZARDS
    from open_set_seg.ros.loading import LoadedDetector
    time.sleep({load_s})
    fake = FakeDetector()
    process = fake.process
    def announce(frame):
        print("processing", flush=True)
        return process(frame)
    fake.process, fake.delay_s = announce, {process_s}
    return LoadedDetector(fake, STREETHAZARDS, lambda: "a fake", "fake", "0", 0.5, "jsd")
node._run = run_with_a_fake
sys.exit(node.main(sys.argv[1:]))
"""


class Process:
    """A detector process whose output is collected in files."""

    def __init__(self, folder: Path, command: list[str]) -> None:
        self.out, self.err = folder / "out", folder / "err"
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "ROS_LOG_DIR": str(folder)}
        with self.out.open("w") as out, self.err.open("w") as err:
            self.child = subprocess.Popen(
                [sys.executable, *command], stdout=out, stderr=err, env=environment
            )

    def printed(self, text: str) -> bool:
        return text in self.out.read_text() + self.err.read_text()

    def wait_for(self, text: str) -> None:
        wait_until(lambda: self.printed(text) or self.child.poll() is not None, f"{text!r}", 30.0)
        assert self.printed(text), self.err.read_text()

    def finish(self) -> tuple[int, str]:
        try:
            return self.child.wait(30.0), self.err.read_text()
        except subprocess.TimeoutExpired:
            self.child.send_signal(signal.SIGUSR1)  # where it hangs
            time.sleep(1.0)
            raise AssertionError(f"it does not end:\n{self.err.read_text()}") from None


def assert_clean_end(process: Process) -> None:
    code, errors = process.finish()
    assert code == 0, errors
    assert "Traceback" not in errors, errors
    assert "Error" not in errors
    assert "terminate called" not in errors

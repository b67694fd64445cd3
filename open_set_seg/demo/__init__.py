"""The demo: a simulated drive past things that no network was taught, and what was found."""

from open_set_seg.demo.run import DemoConfig, DemoError, LivePlayer, run_demo

__all__ = ["DemoConfig", "DemoError", "LivePlayer", "run_demo"]

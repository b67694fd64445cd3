"""Offline training and evaluation, run from the source tree; never installed on a robot."""

"""Figures of what NFlowJS does, made of finished runs: ``python -m training.figures``."""

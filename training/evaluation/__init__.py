"""Checkpoints, foreign networks and stored score maps, measured under a named protocol."""

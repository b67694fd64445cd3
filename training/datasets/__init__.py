"""Data sets: samples are (image, labels) pairs of uint8 arrays."""

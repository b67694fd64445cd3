"""Files as such: what they hash to, and writing them whole."""

from __future__ import annotations

import hashlib
from pathlib import Path

_CHUNK = 2**20


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in bounded memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file that appears whole or not at all; text in UTF-8."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(content.encode() if isinstance(content, str) else content)
    partial.replace(path)

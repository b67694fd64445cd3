"""Where the package's own files lie: configuration, launch files, the demo checkpoint's folder.

The same lookup serves a source tree, ``pip install`` and a colcon workspace.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

PACKAGE = "open_set_seg"


def find_resource(relative: str) -> Path:
    """Path of a file that the package installs under ``share/open_set_seg``.

    Looked for beside the package first (a source tree), then in every prefix of
    ``AMENT_PREFIX_PATH``, then in the interpreter's prefix.

    Args:
        relative: such as ``config/fastdds.xml``.

    Raises:
        FileNotFoundError: with the places that were searched.
    """
    source = Path(__file__).resolve().parent.parent
    roots = [source] if (source / "package.xml").is_file() else []
    prefixes = [p for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    roots += [Path(prefix) / "share" / PACKAGE for prefix in [*prefixes, sys.prefix]]
    for root in roots:
        if (root / relative).is_file():
            return root / relative
    places = ", ".join(str(root) for root in roots)
    raise FileNotFoundError(f"{relative} of {PACKAGE} was found in none of: {places}")

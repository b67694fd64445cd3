"""``python -m open_set_seg.cli``."""

import sys

from open_set_seg.cli import main

if __name__ == "__main__":
    sys.exit(main())

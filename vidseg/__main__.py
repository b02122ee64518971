"""`python -m vidseg`: the same as the `vidseg` command."""

import sys

from vidseg.cli import main

if __name__ == "__main__":
    sys.exit(main())

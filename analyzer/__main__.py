"""`python -m analyzer` is `cranalyze`."""

from __future__ import annotations

import sys

from cranalyze import main

if __name__ == "__main__":
    sys.exit(main())

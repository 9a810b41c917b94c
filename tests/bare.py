"""cranalyze as the core alone has it: the packages of the extra [all] are not there.

    python -m tests.bare WORDS

as `cranalyze WORDS`. An import of one of them fails as that of a package that is not installed.
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING

from analyzer.cli import main
from analyzer.core.extras import GIVES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType


class _Absent(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> None:
        del path, target
        if name.partition(".")[0] in GIVES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def without_extras() -> None:
    """From now on nothing of them can be imported."""
    sys.meta_path.insert(0, _Absent())


if __name__ == "__main__":
    without_extras()
    sys.exit(main())

"""What is not in every installation: the packages that pictures, graphs and files need.

`check`, `who`, `namespaces`, `census`, `doctor`, `procdump` and `demo` need numpy and typer alone.
The rest is in the extra `[all]`; whoever lacks a part of it is told which, and how to get it.
"""

from __future__ import annotations

import sys
from typing import Final

from analyzer.core.errors import BadInputError

GIVES: Final = {
    "matplotlib": "pictures",
    "networkx": "graphs",
    "pandas": "frames",
    "pyarrow": "snapshot files and regular expressions",
}
"""The packages of the extra [all], and what each is for."""


class MissingExtraError(BadInputError):
    """A package is not installed that only some commands need; the message says how to get it."""


def need(what: str, *packages: str) -> None:
    """Raise MissingExtraError where a package that `what` needs is not installed."""
    lacking = [name for name in packages if not _there(name)]
    if lacking:
        raise MissingExtraError(missing(what, *lacking))


def missing(what: str, *packages: str) -> str:
    """Return the line that says what is not installed, and how it will be."""
    import shlex

    verb = "is" if len(packages) == 1 else "are"
    return (
        f"{what} needs {' and '.join(packages)}, which {verb} not installed here: "
        f"{shlex.join([*_installer(), *packages])}"
    )


# The environments that uv makes have no pip, and those of pipx have none that a PATH leads to.
def _installer() -> list[str]:
    if _there("pip"):
        return [sys.executable, "-m", "pip", "install"]
    return ["uv", "pip", "install", "--python", sys.executable]


def _there(name: str) -> bool:
    from importlib.util import find_spec

    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # a part of it, or one that hides itself
        return False

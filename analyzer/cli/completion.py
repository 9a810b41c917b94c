"""What the shell offers after TAB, where typer cannot know it: kinds, columns, plots, snapshots.

It runs at every press of a key, so it imports nothing that is slow: the names of the kinds and of
the plots are the names of their files.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import analyzer

if TYPE_CHECKING:
    from collections.abc import Iterable

_NO_KIND: Final = "base"
_CONTAINER_INIT: Final = "CONTAINER_INIT"  # as analyzer.report.value has it
_PICTURES: Final = ("pdf", "png", "svg")  # as analyzer.plots.base has them


def kinds(incomplete: str) -> list[str]:
    """Return the comma lists that `incomplete` can become, by one more kind; in its case."""
    return _lists(incomplete, _kinds())


def words(incomplete: str) -> list[str]:
    """Return the same by one more kind, impact or relation."""
    from analyzer.core.model import Impact

    impacts = [impact.word for impact in Impact]
    named = [name.replace("_", "-") for name in _modules("relations")]
    return _lists(incomplete, [*_kinds(), *impacts, *named])


def columns(incomplete: str) -> list[str]:
    """Return the comma lists of columns that `incomplete` can become, by one more."""
    from analyzer.report.columns import names_of_columns

    return _columns(incomplete, names_of_columns())


def columns_of_namespaces(incomplete: str) -> list[str]:
    """Return the same of the columns of namespaces."""
    from analyzer.lookup.namespaces import FIELDS

    return _columns(incomplete, FIELDS)


def columns_of_things(incomplete: str) -> list[str]:
    """Return the same of the columns of things of a kind."""
    from analyzer.lookup.things import FIELDS

    return _columns(incomplete, FIELDS)


def _columns(incomplete: str, names: Iterable[str]) -> list[str]:
    more = "+" if incomplete.startswith("+") else ""
    return [f"{more}{text}" for text in _lists(incomplete[len(more) :], names)]


def namespaces(incomplete: str) -> list[str]:
    """Return the comma lists that `incomplete` can become, by one more type of namespace."""
    types = [name.removesuffix("_ns") for name in _modules("kinds") if name.endswith("_ns")]
    return _lists(incomplete, types)


def sorts(incomplete: str) -> list[str]:
    """Return the kinds and types of open files that start with `incomplete`."""
    from analyzer.lookup.sorts import names_of_types

    kinds_ = [name.replace("_", "-") for name in _modules("kinds")]
    plain = incomplete.lower().replace("_", "-")
    return sorted({name for name in (*kinds_, *names_of_types()) if name.startswith(plain)})


def plots(incomplete: str) -> list[str]:
    """Return the names of plots that start with `incomplete`."""
    return [name for name in _modules("plots") if name.startswith(incomplete)]


def fleet_plots(incomplete: str) -> list[str]:
    """Return the names of plots of a fleet that start with `incomplete`."""
    return [name for name in _modules("fleet/plots") if name.startswith(incomplete)]


def profiles(incomplete: str) -> list[str]:
    """Return the names of profiles that start with `incomplete`."""
    names = ["auto", "none", *_modules("report/profiles")]
    known = ["cri-o" if name == "crio" else name for name in names]
    return [name for name in known if name.startswith(incomplete)]


def pictures(incomplete: str) -> list[str]:
    """Return the formats of pictures that start with `incomplete`."""
    return [form for form in _PICTURES if form.startswith(incomplete)]


def snapshots(incomplete: str) -> list[str]:
    """Return the ``*.crz`` files whose path starts with `incomplete`, or else the folders."""
    folder, start = os.path.split(incomplete)
    try:
        entries = sorted(os.scandir(folder or "."), key=lambda entry: entry.name)
    except OSError:
        return []
    fit = [e for e in entries if e.name.startswith(start) and e.name.isprintable()]
    fit = [e for e in fit if start or not e.name.startswith(".")]
    found = [e.name for e in fit if e.name.endswith(".crz") and not e.is_dir()]
    return [
        os.path.join(folder, name) for name in found or [f"{e.name}/" for e in fit if e.is_dir()]
    ]


def _kinds() -> list[str]:
    return sorted([*(name.upper() for name in _modules("kinds")), _CONTAINER_INIT])


def _lists(incomplete: str, names: Iterable[str]) -> list[str]:
    before, comma, word = incomplete.rpartition(",")
    said = {name.upper() for name in before.split(",")}
    found = [n for n in names if n.upper().startswith(word.upper()) and n.upper() not in said]
    return [f"{before}{comma}{name.lower() if word.islower() else name}" for name in found]


def _modules(package: str) -> list[str]:
    import pkgutil

    folder = os.path.join(os.path.dirname(analyzer.__file__), package)
    names = sorted(module.name for module in pkgutil.iter_modules([folder]))
    return [name for name in names if name != _NO_KIND and not name.startswith("_")]

"""The page of the profiles: what each runtime does by design, from their rules."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from analyzer.report.profiles import profiles
from scripts.docs import markdown as md

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.report.rules import Rule


_NOT_ASKED: Final = frozenset({"says", "owner", "expires", "allow_all"})


def profiles_page() -> str:
    """Return docs/profiles.md."""
    return md.page(_parts())


def _parts() -> Iterator[str]:
    yield "# Profiles: what a runtime does by design"
    yield md.NOTE
    yield (
        "A container's standard streams lead to its monitor, its network is kept by a file, and "
        "its /etc/hosts is a file of the host's: every container of that runtime is so. The "
        "runtime is recognised, by the cgroup or the monitor of the container's first process, or "
        "named (`--profile podman`; `--profile none` is nobody). What it does by design is told in "
        "a line for each reason, and does not gate; a container with nothing else exits with 0, "
        '"contained, apart from what podman does by design". No verdict and no number changes, '
        "and `--all` and `--json` (`waived`) have all of it."
    )
    yield (
        "A rule covers a finding only if all of it is as the rule says: every part inside, every "
        "holder outside. A second reader of the same pipe, a reference that nobody is named for, a "
        "volume, or a descriptor beside the standard three is told as ever."
    )
    yield (
        "A podman container with a folder of the host's (`-v /srv/data:/data`): the folder, a FIFO "
        "and a log in it that processes of the host have open too are told, and what leads to "
        "podman's monitor is by design. `check --html` and `plot --kind border`:"
    )
    yield "![The page of a leaking podman container](pictures/podman-page.png)"
    yield "![Its border: what it holds, and who holds that outside](pictures/podman-border.png)"
    for profile in profiles().values():
        if not profile.rules:
            continue
        yield f"## `--profile {profile.name}`"
        module = next(
            found
            for name in ("crio", profile.name)
            if (found := _module(name)) is not None and found.PROFILE is profile
        )
        about = inspect.getdoc(module) or ""
        yield md.docstring(about.partition(": ")[2])
        rows = [(rule.says, md.cell(_conditions(rule))) for rule in profile.rules]
        yield md.table(("by design", "of what"), rows)


def _module(name: str) -> Any:  # noqa: ANN401 - a module with a PROFILE
    try:
        return importlib.import_module(f"analyzer.report.profiles.{name}")
    except ImportError:
        return None


def _conditions(rule: Rule) -> str:
    told = []
    for one in fields(rule):
        value = getattr(rule, one.name)
        if one.name in _NOT_ASKED or value in (None, "", (), frozenset()):
            continue
        if one.name == "fd":
            words = ", ".join(f"{low} to {high}" for low, high in value)
        elif isinstance(value, tuple | frozenset):
            words = ", ".join(sorted(value))
        else:
            words = str(value)
        told.append(f"{one.name.replace('_', ' ')}: {words}")
    return "; ".join(told)

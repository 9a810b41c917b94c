"""The JSON Schemas (2020-12) of what commands write with `--json`: files of the package."""

from __future__ import annotations

from importlib.resources import files


def render(command: str) -> str:
    """Return the schema of a command that has one."""
    return (files("analyzer") / "assets" / "schemas" / f"{command}.json").read_text("utf-8")

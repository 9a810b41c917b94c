"""What starting costs: nothing is imported before it is needed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from tests.build import Machine
from tests.imports import HEAVY, ROOMS, loaded, unneeded

if TYPE_CHECKING:
    from pathlib import Path


def test_nothing_is_imported_before_it_is_needed(tmp_path: Path) -> None:
    """Importing the package, help, and a report."""
    Machine().snapshot().save(tmp_path / "a.crz")
    package, _, _, reported = loaded(["--help"], ["report", f"{tmp_path}/a.crz"])
    assert not package & (HEAVY | {"typer"})
    assert reported & HEAVY == {"numpy", "pyarrow"}


@pytest.mark.skipif(
    find_spec("typer._adapters") is not None, reason="a newer typer than pyproject.toml allows"
)
@pytest.mark.parametrize("line", [["--help"], ["check", "--help"]])
def test_help_imports_no_more_than_its_command(line: list[str]) -> None:
    assert not unneeded(line, ROOMS)


def test_what_a_line_imports_beside_what_it_needs_is_told() -> None:
    assert unneeded(["check", "--help"], {"cli"}) == {"core"}

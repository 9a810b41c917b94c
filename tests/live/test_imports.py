"""What a reading of this machine imports: what its command needs, and nothing slow."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.imports import READING, unneeded

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.live, pytest.mark.bpf]


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_check_imports_what_it_needs(more: list[str]) -> None:
    assert not unneeded(["check", str(os.getpid()), *more], READING)


def test_who_imports_what_it_needs(tmp_path: Path) -> None:
    with (tmp_path / "held").open("w") as file:
        # What may hang is looked at by a process of its own.
        assert unneeded(["who", file.name], READING | {"lookup"}) <= {
            "signal",
            "subprocess",
            "threading",
        }

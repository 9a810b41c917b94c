"""What a unit test sees of this machine: itself. Whoever else runs here is not read."""

from __future__ import annotations

import os

import pytest

from analyzer.procfs import places


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look into no other process: there may be a thousand, with 300,000 descriptors."""
    monkeypatch.setattr(places, "processes", lambda: [os.getpid()])

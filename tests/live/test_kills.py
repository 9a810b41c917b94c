"""Every command, ended at random moments in every way, leaves nothing behind.

`CRANALYZE_KILLS` says how often each; `python -m tests.hostile.kill` does it by hand.
"""

from __future__ import annotations

import os

import pytest

from tests.hostile.kill import COMMANDS, Driver

pytestmark = [pytest.mark.needs("root"), pytest.mark.bpf]


@pytest.mark.parametrize("command", COMMANDS)
def test_whatever_ends_it_nothing_is_left(command: str) -> None:
    with Driver(seed=1) as driver:
        found = list(driver.kills(command, int(os.environ.get("CRANALYZE_KILLS", "20"))))
    assert not found, "\n".join(map(str, found))

"""What strangers may give us, mutated: a few here, in CI as many as CRANALYZE_MUTATIONS says."""

from __future__ import annotations

import os

import pytest

from tests.hostile import mutate

COUNT = int(os.environ.get("CRANALYZE_MUTATIONS", "500"))
# What has to be taken, for one that is refused: a mutation that is always refused reaches nothing.
_TAKEN = {"snapshot": 0.05, "dump": 0.2, "config": 0, "filter": 0.1, "btf": 0.5, "cache": 0.5}


@pytest.mark.slow
@pytest.mark.parametrize("only", mutate.TARGETS)
def test_what_is_mutated_is_taken_or_refused(only: str) -> None:
    share = mutate.TARGETS[only][1] / sum(weight for _, weight in mutate.TARGETS.values())
    outcome = mutate.run(max(int(COUNT * share), 10), 8, (only,))
    assert outcome.wrong == []
    assert outcome.taken[only] + outcome.refused[only] >= 10
    assert outcome.taken[only] >= outcome.refused[only] * _TAKEN[only]


def test_the_driver_sees_a_raw_control_character() -> None:
    with pytest.raises(AssertionError, match="raw"):
        mutate.look_at("a\x1b[2J")
    mutate.look_at("a\n\tb")

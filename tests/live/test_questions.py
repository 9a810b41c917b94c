"""What is really asked of the BTF is what the tables of other kernels were asked."""

from __future__ import annotations

import pytest

from tests import questions
from tests.recording import recorded

pytestmark = [pytest.mark.live, pytest.mark.bpf]


def test_nothing_else_is_asked() -> None:
    asked = {key for question in recorded() for key in question.keys}
    assert len(asked) > 100
    assert asked - set(questions.every_key()) == set(), "run scripts/kernel_btf.py --record"

"""The suite's own words mean what they say."""

from __future__ import annotations

import pytest

from tests.each import each


def test_each_refuses_an_empty_list() -> None:
    assert each(number > 0 for number in (1, 2))
    assert not each(number > 0 for number in (1, 0))
    with pytest.raises(AssertionError, match="empty"):
        each([])

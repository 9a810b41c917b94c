"""Rows of a table by the value of a column: the same, sorted or not."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.core.model import SCHEMAS
from analyzer.snapshot.tables import Table, build

INODES = [7, 0, 7, 2**64 - 1, 9]


@pytest.fixture
def table() -> Table:
    return build(
        SCHEMAS["objects"],
        {
            "objref": [1, 2, 3, 4, 5],
            "kind": ["FILE", "MM", "FILE", "FILE", "MM"],
            "initial": [False] * 5,
            "stable": [True] * 5,
            "ino": np.array(INODES, np.uint64),
            "name": ["a", None, "b", "a", "\udcff"],
        },
    )


@pytest.mark.parametrize(
    ("wanted", "rows"),
    [([7], [0, 2]), ([9, 7], [0, 2, 4]), ([8], []), ([], []), ([np.uint64(2**64 - 1)], [3])],
)
def test_rows_are_found_in_their_order_however_often_they_are_asked_for(
    table: Table, wanted: list[int], rows: list[int]
) -> None:
    for _ in range(20):
        assert table.where("ino", wanted).tolist() == rows


def test_texts_and_categories_are_found_too(table: Table) -> None:
    assert table.where("name", {"a", "b", "not there"}).tolist() == [0, 2, 3]
    assert table.where("name", ["\udcff"]).tolist() == [4]
    assert table.where("kind", [table.code("kind", "MM")]).tolist() == [1, 4]
    assert table.where("kind", [table.code("kind", "PIPE")]).tolist() == []


@pytest.mark.parametrize("long", [1, 100])
def test_rows_of_kinds_are_found_in_their_order_in_runs_or_mixed(long: int) -> None:
    kinds = np.repeat(["MM", "FILE", "PIPE", None, "FILE"], long).astype(object)
    columns = {"objref": np.arange(len(kinds)) + 1, "kind": kinds}
    flags = {name: np.zeros(len(kinds), np.bool_) for name in ("initial", "stable")}
    table = build(SCHEMAS["objects"], {**columns, **flags})
    for words in (("FILE",), ("MM", "FILE"), ("FILE", "MM"), ("SHM",), ("SHM", "PIPE"), ()):
        expected = [row for row, kind in enumerate(kinds.tolist()) if kind in words]
        assert table.rows("kind", *words).tolist() == expected
    assert build(SCHEMAS["objects"], {}).rows("kind", "FILE").tolist() == []
    assert table.words_of("kind", kinds == None) == set()  # noqa: E711 - each of them
    assert table.words_of("kind", np.arange(2 * long)) == {"MM", "FILE"}

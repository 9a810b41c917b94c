"""The columns that are named as lsfd's say what lsfd says, of the same process."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

import fixtures

pytestmark = [pytest.mark.live, pytest.mark.bpf, pytest.mark.needs("tool:lsfd")]

# lsfd 2.38 calls the raw type TYPE, later ones STTYPE.
SAME = ("COMMAND", "PID", "ASSOC", "FD", "MODE", "DEV", "MNTID", "POS", "DELETED", "INODE")
FILTER = "FD >= 0"


def ran(*command: str) -> Any:  # noqa: ANN401 - JSON
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def lsfd(pid: int) -> list[dict[str, Any]]:
    said = ran("lsfd", "-J", "-p", str(pid), "-o", ",".join((*SAME, "TYPE", "FLAGS")), "-Q", FILTER)
    return [{key.upper(): value for key, value in row.items()} for row in said["lsfd"]]


def ours(pid: int, path: str, *more: str) -> list[dict[str, Any]]:
    asked = ("-o", ",".join((*SAME, "STTYPE", "FLAGS")), "-Q", f"{FILTER} and PID == {pid}")
    command = (sys.executable, "-m", "analyzer", "report", path, "--all", "--json", *asked, *more)
    return list(ran(*command)["rows"])


def test_columns_are_those_of_lsfd(tmp_path: Any) -> None:  # noqa: ANN401 - a path
    path = str(tmp_path / "a.crz")
    with fixtures.start("kinds") as running:
        pid = running.info["root"]
        collect = ("collect", str(pid), "-o", path)
        subprocess.run([sys.executable, "-m", "analyzer", *collect], check=True, timeout=60)
        theirs = {row["FD"]: row for row in lsfd(pid)}
        found = {row["FD"]: row for row in ours(pid, path)}
    assert len(theirs) > 5
    assert set(found) == set(theirs)
    for slot, row in theirs.items():
        told = found[slot]
        assert {name: told[name] for name in SAME} == {name: row[name] for name in SAME}
        flags = {*(row["FLAGS"] or "").split(",")} - {"largefile", "cloexec", ""}
        assert {*(told["FLAGS"] or "").split(",")} - {""} == flags
        assert told["STTYPE"] == row["TYPE"] or told["STTYPE"] == "SOCK"

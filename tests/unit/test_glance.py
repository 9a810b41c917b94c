"""A path is looked at by a child, which may be left behind."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from analyzer.procfs import glance, glancing

if TYPE_CHECKING:
    import pytest


def test_paths_lead_where_stat_says(tmp_path: Path) -> None:
    (tmp_path / "new\nline").touch()
    os.symlink("new\nline", tmp_path / "link")
    found = glance.look([str(tmp_path / "link"), str(tmp_path / "absent"), "/proc/self/mem/x"])
    status = os.stat(tmp_path / "new\nline")
    is_a = 0o100000  # S_IFREG
    assert not isinstance(found[0], int)
    alike = found[0]._replace(mnt_id=-1)
    assert alike == glance.Inode(status.st_dev, status.st_ino, mounted=False, mode=is_a)
    mounts = Path("/proc/self/mountinfo").read_bytes().splitlines()
    assert found[0].mnt_id in {-1, *(int(line.split()[0]) for line in mounts)}
    assert found[1:] == [errno.ENOENT, errno.ENOTDIR]
    assert glance.look([]) == []


def test_a_path_that_does_not_answer_is_left_and_the_next_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # A child that hangs at one path as it does on a dead filesystem.
    program = tmp_path / "child.py"
    hangs = "def _statx(ask, path):\n    path != b'/dead' or __import__('time').sleep(99)\n"
    real = f"{hangs}    return _real(ask, path)\n\n\ndef _real("
    program.write_text(Path(glancing.__file__).read_text("utf-8").replace("def _statx(", real))
    monkeypatch.setattr(glance, "_CHILD", str(program))
    start = time.monotonic()
    found = glance.look(["/", "/dead", "/"], patience=0.5)
    assert [type(at) for at in found] == [glance.Inode, int, glance.Inode]
    assert found[1] == errno.ETIMEDOUT
    assert time.monotonic() - start < 30

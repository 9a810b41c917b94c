"""The memory of a command: kept, so that the next array is not made of new pages."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_TELLS = """
import resource
from analyzer.core import heap
heap.keep()

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

bytearray(b"1") * (8 << 20)
before = faults()
for _ in range(8):
    bytearray(b"1") * (8 << 20)
print(faults() - before)
"""
_PAGES = 8 * (8 << 20) // 4096


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is about glibc's malloc")
def test_what_a_command_had_it_has_again_without_new_pages() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _TELLS], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(ran.stdout) < _PAGES / 8

"""The memory of a command: kept, and the first of it in huge pages where there are any."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

_FAULTS = """
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
        [sys.executable, "-c", _FAULTS], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(ran.stdout) < _PAGES / 8


_TELLS = """
from analyzer.core import heap
heap.keep()
parts = open("/proc/self/smaps").read().split("[heap]")[1:]
print(*(part.split("VmFlags:")[1].splitlines()[0] for part in parts), sep="\\n")
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is about glibc's malloc")
@pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage").is_dir(), reason="there are no huge pages"
)
def test_what_a_command_has_is_in_huge_pages() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _TELLS], capture_output=True, text=True, check=True, timeout=60
    )
    assert any("hg" in flags.split() for flags in ran.stdout.splitlines())

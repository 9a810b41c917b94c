"""`python -m scripts.kernels.core FILE`: the core of a guest's memory, and what it said itself.

The guest starts fixtures, checks each with its own kernel source, and keeps still; then the
emulator writes its memory to FILE (ELF), and what the guest said goes to FILE.json.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import socket
import sys
import tempfile
from pathlib import Path
from typing import IO, Any, Final

from scripts.kernels import debian, machine
from scripts.kernels.__main__ import base_of, kernel_of, pack, tell

HELD: Final = ("fork-file", "pin-net", "two-inside", "pipe-outside", "unix-peer", "kinds")
_LIMIT: Final = 900.0
_MEMORY: Final = 1024  # MiB: so large is the core


def main() -> int:
    """Return 1 where the guest did not come to be dumped, 3 where there was no such kernel."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="where to write the core")
    parser.add_argument("--kernel", default="6.12", help="as of python -m scripts.kernels")
    parser.add_argument("--only", default=",".join(HELD), help="these fixtures, between commas")
    parser.add_argument("--scratch", type=Path, help="keep kernels, images and logs in this folder")
    asked = parser.parse_args()
    core = asked.file.absolute()
    with tempfile.TemporaryDirectory() as own:
        scratch = asked.scratch or Path(own)
        scratch.mkdir(parents=True, exist_ok=True)
        try:
            kernel = kernel_of(asked.kernel, platform.machine(), scratch)
        except debian.NoKernelError as error:
            tell(f"{asked.kernel}: not tried: {error}")
            return 3
        said = _dumped(kernel, asked.only, scratch, core, f"{own}/qmp")
    core.with_name(f"{core.name}.json").write_text(json.dumps(said, indent=1))
    return 0 if said and "held" in said[-1] else 1


def _dumped(
    kernel: debian.Kernel, only: str, scratch: Path, core: Path, control: str
) -> list[dict[str, Any]]:
    packed = scratch / "image.cpio"
    pack(kernel, base_of(platform.machine(), scratch), packed)
    # By this device the guest says where what describes its kernel is (its driver: qemu_fw_cfg).
    devices = ("-device", "vmcoreinfo", "-qmp", f"unix:{control},server=on,wait=off")
    guest = machine.boot(
        kernel.image, packed, platform.machine(), [f"cranalyze.hold={only}"],
        log=scratch / "core.log", limit=_LIMIT, devices=devices, memory=_MEMORY,
    )  # fmt: skip
    said = []
    with contextlib.closing(guest):
        for answer in guest:
            said.append(answer)
            tell(answer.get("name", " ".join(answer)))
            if "held" in answer:
                _dump(control, core)
                break
    return said


def _dump(control: str, core: Path) -> None:
    """Have the emulator write the memory (docs/interop/qmp-spec: a JSON object a line)."""
    core.unlink(missing_ok=True)  # it is made for its owner to read only
    with socket.socket(socket.AF_UNIX) as wire:
        wire.connect(control)
        with wire.makefile("rw", encoding="utf-8") as lines:
            lines.readline()
            _ask(lines, "qmp_capabilities")
            _ask(lines, "dump-guest-memory", paging=False, protocol=f"file:{core}")


def _ask(lines: IO[str], command: str, **arguments: object) -> None:
    lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
    lines.flush()
    while True:
        answer = json.loads(lines.readline())
        if "error" in answer:
            raise RuntimeError(answer["error"]["desc"])
        if "return" in answer:
            return


if __name__ == "__main__":
    sys.exit(main())

"""The emulator: qemu boots a kernel with an image, what the guest says of itself comes back."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from scripts.kernels.guest import MARK

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path


class Emulator(NamedTuple):
    """How one architecture is emulated: without the help of a processor (TCG), on any machine."""

    program: str
    words: tuple[str, ...]
    console: str


# numpy sorts by AVX2 where that is, and qemu 7.2 emulates it wrongly: argsort() is out of order.
EMULATORS: Final = {
    "x86_64": Emulator("qemu-system-x86_64", ("-cpu", "max,avx2=off"), "ttyS0"),
    "aarch64": Emulator("qemu-system-aarch64", ("-M", "virt", "-cpu", "cortex-a57"), "ttyAMA0"),
}


def boot(
    kernel: Path,
    image: Path,
    machine: str,
    options: Sequence[str],
    *,
    log: Path,
    limit: float,
    devices: Sequence[str | Path] = (),
    memory: int = 2048,
) -> Generator[dict[str, Any], None, None]:
    """Boot, and yield what the guest says, until it switches off or `limit` (seconds) is over.

    All that the console shows goes to `log`. `memory` is the guest's, in MiB.
    """
    emulator = EMULATORS[machine]
    line = f"console={emulator.console} quiet loglevel=3 panic=-1 {' '.join(options)}"
    command = ["timeout", "--kill-after=5", str(limit), emulator.program, *emulator.words,
               "-accel", "tcg,thread=multi", "-smp", "2", "-m", str(memory), "-nographic",
               "-no-reboot", "-net", "none", *devices,
               "-kernel", kernel, "-initrd", image, "-append", line]  # fmt: skip
    with (
        log.open("w", encoding="utf-8") as kept,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process,
    ):
        try:
            for raw in process.stdout or ():
                text = raw.decode("utf-8", "replace").rstrip("\r\n")
                print(text, file=kept, flush=True)
                if text.startswith(MARK):
                    yield json.loads(text.removeprefix(MARK))
        finally:
            process.terminate()

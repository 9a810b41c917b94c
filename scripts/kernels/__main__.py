"""`python -m scripts.kernels`: boot kernels, judge the fixtures there, write docs/kernels.md."""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any, Final

from scripts.kernels import debian, image, machine, page

_HERE: Final = platform.machine()
_MACHINES: Final = tuple(f":{name}" for name in machine.EMULATORS)
_LIMIT: Final = 7200.0  # seconds a guest may take: its processor is emulated


def main() -> int:
    """Return 1 when something is not as promised on some kernel, 3 when one was not to be had."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "kernels", nargs="*", metavar="KERNEL", default=list(debian.SUITES),
        help=f"{', '.join(debian.SUITES)}, or the folder of a package that was unpacked; for "
        f"another machine than this with :{' or :'.join(machine.EMULATORS)}",
    )  # fmt: skip
    parser.add_argument("--only", metavar="FIXTURES", default="", help="these, between commas")
    parser.add_argument("--scratch", type=Path, help="keep kernels, images and logs in this folder")
    parser.add_argument("--limit", type=float, default=_LIMIT, help="seconds for each kernel")
    parser.add_argument("--page", type=Path, help="write the table of results to this file")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as own:
        scratch = asked.scratch or Path(own)
        scratch.mkdir(parents=True, exist_ok=True)
        said = [_tried(name, asked, scratch) for name in asked.kernels]
    results = [result for result in said if result is not None]
    if asked.page:
        asked.page.write_text(page.page(results))
    if any(page.wrong(result, all_of_them=bool(asked.only)) for result in results):
        return 1
    return 0 if len(results) == len(said) else 3


def _tried(name: str, asked: argparse.Namespace, scratch: Path) -> page.Result | None:
    """Boot one kernel; None when it was not to be had, or did not come up."""
    release, _, of = name.rpartition(":") if name.endswith(_MACHINES) else (name, "", _HERE)
    try:
        kernel, base = kernel_of(release, of, scratch), base_of(of, scratch)
    except debian.NoKernelError as error:
        tell(f"{name}: not tried: {error}")
        return None
    options = [f"cranalyze.only={asked.only}"] if asked.only else []
    packed, log = scratch / "image.cpio", scratch / f"{Path(name).name}.log"
    pack(kernel, base, packed)
    before = time.monotonic()
    result: page.Result = []
    for answer in machine.boot(kernel.image, packed, of, options, log=log, limit=asked.limit):
        tell(_line(name, answer))
        result.append(answer)
    if not result or "done" not in result[-1]:
        tell(f"{name}: ended after {time.monotonic() - before:.0f} seconds, before it was done")
        sys.stdout.writelines(f"  {line}\n" for line in log.read_text().splitlines()[-20:])
    return result or None


def kernel_of(name: str, of: str, scratch: Path) -> debian.Kernel:
    """Return the kernel of a name, for the machine `of`, or of a folder; raises NoKernelError."""
    if name in debian.SUITES:
        return debian.fetch(name, of, scratch)
    return debian.unpacked(Path(name))


@cache
def base_of(of: str, scratch: Path) -> Path:
    """Return the part of an image that all kernels of a machine share."""
    path = scratch / f"base-{of}.cpio"
    image.base(path, None if of == _HERE else debian.userland(of, scratch))
    return path


def pack(kernel: debian.Kernel, base: Path, into: Path) -> None:
    """Write the image of a kernel: what all share, and its own modules."""
    modules = base.with_name("modules.cpio")
    image.modules(kernel.folder, modules)
    with into.open("wb") as out:
        for part in (base, modules):
            with part.open("rb") as file:
                shutil.copyfileobj(file, out)


def _line(name: str, answer: dict[str, Any]) -> str:
    if "what" not in answer:
        return f"{name}: {json.dumps(answer)}"
    faults = "; ".join(page.faults(answer)) or answer.get("absent", "as promised")
    return f"{name}: {answer.get('name', answer['what'])}: {faults} ({answer['seconds']} s)"


def tell(line: str) -> None:
    """Say how far we are."""
    print(line, flush=True)  # noqa: T201 - progress


if __name__ == "__main__":
    sys.exit(main())

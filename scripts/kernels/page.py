"""docs/kernels.md: what was tried on which kernel, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from analyzer.memory.features import FEATURES
from scripts.docs.markdown import table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Answer = dict[str, Any]
Result = list[Answer]

_HEAD: Final = """# Kernels

Each kernel below was booted in an emulator (qemu, without help of the processor), and every
fixture was started and judged there by the kernel source: users, refcount, verdict and outside
holders of each object that the fixture knows. The census reads the whole guest: every reference
that a kernel counts has to be named. `make kernels` does it again and writes this page, of another
processor with `ARGS=6.12:aarch64`; it needs qemu-system, cpio, apt and dpkg-deb, and takes some
minutes a kernel.
"""
_NOT_TOLD: Final = """
## What they do not tell

What a kernel's types do not show (`cranalyze doctor` says so there):
"""


def wrong(result: Result, *, all_of_them: bool) -> bool:
    """Tell whether something is not as promised, or the guest was not done.

    A fixture that could not be made there is no fault, but where `all_of_them` were asked for.
    """
    absent = all_of_them and any("absent" in answer for answer in result)
    return absent or any(list(faults(answer)) for answer in result) or "done" not in result[-1]


def faults(answer: Answer) -> Iterator[str]:
    """Yield what is not as it should be of one answer of a guest."""
    if "failed" in answer:
        yield answer["failed"]
    yield from answer.get("wrong", ())
    yield from answer.get("uneven", ())
    yield from answer.get("gaps", ())


def page(results: Sequence[Result]) -> str:
    """Return the page."""
    rows = [_row(result) for result in results]
    head = ["Kernel", "Machine", "Fixtures", "Expected objects", "Census"]
    missing = {row[0]: list(_missing(result)) for row, result in zip(rows, results, strict=True)}
    lines = [_HEAD, table(head, rows), *_lists(results), _NOT_TOLD, _told(missing)]
    return "\n".join(lines) + "\n"


def _row(result: Result) -> list[str]:
    about = result[0]
    made = [answer for answer in result if answer.get("what") == "fixture"]
    fixtures = [answer for answer in made if "absent" not in answer]
    good = [answer for answer in fixtures if not list(faults(answer))]
    objects = sum(answer.get("expected", 0) for answer in good)
    return [
        about["kernel"],
        about["machine"],
        f"{len(good)} of {len(fixtures)} as promised",
        str(objects),
        _census(next((answer for answer in result if answer.get("what") == "census"), {})),
    ]


def _census(answer: Answer) -> str:
    if "references" not in answer:
        return answer.get("failed", "not taken")
    return f"{answer['references']} references, {len(answer['uneven'])} objects uneven"


def _lists(results: Sequence[Result]) -> Iterator[str]:
    def no_fixture(answer: Answer) -> Iterator[str]:
        if "absent" in answer:
            yield "the kernel has no such thing"

    for title, tell in (("Not as promised", faults), ("Could not be made there", no_fixture)):
        said = [
            f"- {result[0]['kernel']}, {answer.get('name', answer.get('what'))}: {text}"
            for result in results
            for answer in result
            for text in tell(answer)
        ]
        if said:
            yield "\n".join((f"\n{title}:\n", *said))


def _missing(result: Result) -> Iterator[str]:
    answer = next((answer for answer in result if answer.get("what") == "doctor"), {})
    yield from (text.partition(":")[0] for text in answer.get("refused", ()))


def _told(missing: Mapping[str, list[str]]) -> str:
    effects = {feature.name: feature.effect for feature in FEATURES}
    names = [name for name in effects if any(name in found for found in missing.values())]
    rows = [
        [
            name,
            effects[name],
            ", ".join(kernel for kernel, found in missing.items() if name in found),
        ]
        for name in names
    ]
    return table(["Feature", "What is lost", "Not on"], rows)

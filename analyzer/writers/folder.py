"""A tree of files, all of it or nothing: where `cranalyze export` writes.

Each file is complete when it appears (`analyzer.core.files`). When one cannot be written, or what
comes next cannot be made, the files and folders that this run made are taken away again.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from analyzer.core.errors import BadInputError
from analyzer.core.files import printable_path, uninterrupted, write_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def write(folder: str, files: Iterable[tuple[str, bytes]], *, force: bool) -> list[str]:
    """Write `files` (a path in `folder`, and the content), and return their paths.

    Folders are made as they are needed; a file that is there already, and the same, stays. Raises
    BadInputError when something cannot be written, or another file is there and `force` is not
    given; whatever is raised, the files made are gone then (one that was replaced stays replaced).
    """
    written: list[str] = []
    with _undone_on_failure() as made:
        for path, content in files:
            target = os.path.join(folder, path)
            _make_folders(os.path.dirname(target), made)
            written.append(target)
            new = not os.path.lexists(target)
            if _is(target, content):
                continue
            if not new and not force:
                raise BadInputError(
                    f"{printable_path(target)} exists, and was written otherwise: "
                    "--force replaces it"
                )
            with uninterrupted():
                write_file(target, content, force=force)
                if new:
                    made.append(target)
    return written


def _is(path: str, content: bytes) -> bool:
    try:
        if not os.path.isfile(path) or os.path.getsize(path) != len(content):
            return False
        with open(path, "rb") as file:
            return file.read() == content
    except OSError:
        return False


@contextlib.contextmanager
def _undone_on_failure() -> Iterator[list[str]]:
    made: list[str] = []
    try:
        yield made
    except BaseException:
        with uninterrupted():
            for path in reversed(made):
                with contextlib.suppress(OSError):  # others may have put something there meanwhile
                    (os.rmdir if os.path.isdir(path) else os.unlink)(path)
        raise


def _make_folders(folder: str, made: list[str]) -> None:
    if not folder or os.path.isdir(folder):
        return
    _make_folders(os.path.dirname(folder), made)
    try:
        with uninterrupted():
            os.mkdir(folder)
            made.append(folder)
    except OSError as error:
        raise BadInputError(
            f"cannot make the folder {printable_path(folder)}: {os.strerror(error.errno or 0)}"
        ) from error

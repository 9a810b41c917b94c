"""The command line.

`main` is the only place that prints an error, and that chooses what it exits with: every failure is
one line on stderr (with --json the envelope on stdout as well), an interrupt is 130, a reader that
went away 141 and no word, an error of our own 70 and never 1.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAME: Final = "cranalyze"
_EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT
_EXIT_PIPE: Final = 141  # 128 + SIGPIPE
_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}  # what stdout may say


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    gc.disable()  # one short run, of columns: what there is of cycles is not worth looking for
    # numpy starts a pool of threads for linear algebra, of which there is none here.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        return _guarded(given)
    except BrokenPipeError:
        _discard()
        return _EXIT_PIPE
    except KeyboardInterrupt:
        return _interrupted()
    finally:
        _settle()


def _guarded(given: list[str]) -> int:
    try:
        code = _run(given)
        if sys.stdout is not None:
            sys.stdout.flush()
    except (BrokenPipeError, KeyboardInterrupt):
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it gets one line and a code
        return _failed(given, error)
    return code


def _run(given: list[str]) -> int:
    import typer

    from analyzer.cli.app import app

    if "_CRANALYZE_COMPLETE" in os.environ:
        app(prog_name=_NAME)
    command = typer.main.get_command(app)
    try:
        # Not main(), which turns a closed pipe into 1 and prints errors in its own way.
        with command.make_context(_NAME, given) as context:
            command.invoke(context)
    except typer.Exit as done:
        return done.exit_code
    except typer.Abort:
        raise KeyboardInterrupt from None
    return 0


def _failed(given: list[str], error: Exception) -> int:
    from analyzer.errors import EXIT_INTERNAL, CranalyzeError

    if os.environ.get("CRANALYZE_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    code, said = EXIT_INTERNAL, ""
    if isinstance(error, CranalyzeError):
        code, said = error.exit_code, str(error)
    elif hasattr(error, "format_message"):  # a usage error of click's, vendored by typer or not
        code, said = _usage(error)
    elif isinstance(error, OSError) and error.errno in _FULL and error.filename is None:
        code, said = 2, f"cannot write to stdout: {error.strerror}"
    else:
        said = (
            f"internal error, please report it: {type(error).__name__}: {error} "
            "(CRANALYZE_DEBUG=1 shows where)"
        )
    _say(given, said, code)
    return code


def _usage(error: Any) -> tuple[int, str]:  # noqa: ANN401 - click's class has no fixed home
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else _NAME
    said = str(error.format_message()).rstrip(".")
    return int(getattr(error, "exit_code", 2)), f"{said}; see {path} --help"


def _say(given: list[str], said: str, code: int) -> None:
    from analyzer.cli.output import emit, note

    note(f"{_NAME}: {said}")
    if "--json" not in given:
        return
    from analyzer.errors import BadInputError
    from analyzer.writers.json import render_error

    command = next((word for word in given if not word.startswith("-")), "")
    try:
        emit(render_error(command, said, code))
    except BadInputError:
        _discard()


def _interrupted() -> int:
    from analyzer.cli.output import note

    note(f"{_NAME}: interrupted")
    _discard()
    return _EXIT_INTERRUPTED


def _settle() -> None:
    """Leave nothing for the interpreter to write at its exit: it would say so, and exit with 120.

    What stdout refuses now it refused before, and that was said.
    """
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        _discard()


def _discard() -> None:
    from analyzer.cli.output import discard_stdout

    discard_stdout()

"""The command line.

`main` is the only place that prints an error, and that chooses what it exits with: every failure is
one line on stderr (with --json the envelope on stdout as well), an interrupt is 130, SIGTERM 143,
SIGHUP 129 (all three clean up first), a reader that went away 141 and no word, an error of our own
70 and never 1.
"""

from __future__ import annotations

import _signal as signal  # what `signal` is made of: that would import a good deal more
import contextlib
import gc
import importlib
import os
import sys
from functools import cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_NAME: Final = "cranalyze"
_EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT
_EXIT_PIPE: Final = 141  # 128 + SIGPIPE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    gc.disable()  # one short run, of columns: what there is of cycles is not worth looking for
    # numpy starts a pool of threads for linear algebra, of which there is none here.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # What huge pages save is little, and in a virtual machine they cost (core/heap.py).
    os.environ.setdefault("NUMPY_MADVISE_HUGEPAGE", "0")
    # Arrow's own allocator keeps 20 MB for the few tables of a snapshot.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    try:
        with _cleaning_up():
            from analyzer.cli import desk

            desk.OURS["process"] = arguments is None
            return _streaming(given)
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED
    except EndedError as ended:
        return 128 + ended.signal


def _streaming(given: list[str]) -> int:
    from analyzer.cli.output import counted_streams, note, say_the_end

    with counted_streams():
        done = False
        try:
            code, done = _guarded(given)
        except BrokenPipeError:
            return _EXIT_PIPE
        except KeyboardInterrupt:
            note(f"{_NAME}: interrupted")
            raise
        finally:
            say_the_end(done=done)
        return code


class EndedError(BaseException):
    """SIGTERM or SIGHUP: no failure, as KeyboardInterrupt is none."""

    def __init__(self, number: int) -> None:
        """Be of the signal of this number, and called so."""
        from signal import Signals

        super().__init__(Signals(number).name)
        self.signal = number


@contextlib.contextmanager
def _cleaning_up() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block as SIGINT does; what is ignored (nohup) stays so."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    ours = [number for number, handler in before.items() if handler == signal.SIG_DFL]
    try:
        with contextlib.suppress(ValueError):  # not the main thread: signals are not ours
            for number in ours:
                signal.signal(number, _end)
        yield
    finally:
        with contextlib.suppress(ValueError):
            for number in ours:
                signal.signal(number, signal.SIG_DFL)


def _end(number: int, _: object) -> None:
    raise EndedError(number)


def _guarded(given: list[str]) -> tuple[int, bool]:
    """Return the exit code, and whether the work was done."""
    try:
        code = _run(given)
        if sys.stdout is not None:
            sys.stdout.flush()
    except (BrokenPipeError, KeyboardInterrupt):
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it gets one line and a code
        if isinstance(error.__cause__, KeyboardInterrupt | EndedError):
            # Before 3.12 a signal while a class is made is the cause of an error of type.__new__.
            raise error.__cause__ from None
        return _failed(given, error), False
    return code, True


def _run(given: list[str]) -> int:
    from analyzer.cli.parameters import Exit

    try:
        _called(given)
    except Exit as done:
        return done.code
    return 0


def _called(given: list[str]) -> None:
    from analyzer.cli.commands import COMMANDS
    from analyzer.cli.parameters import UnclearError, read

    if not given or given[0] not in COMMANDS or "_CRANALYZE_COMPLETE" in os.environ:
        _by_typer(given)
        return
    run = importlib.import_module(f"analyzer.cli.commands.{given[0]}").run
    try:
        takes = read(run, given[1:])
    except UnclearError:
        _by_typer(given)
    else:
        run(**takes)


def _by_typer(given: list[str]) -> None:
    import typer

    from analyzer.cli.app import app
    from analyzer.cli.parameters import Exit

    if "_CRANALYZE_COMPLETE" in os.environ:
        app()(prog_name=_NAME)
    # The first word that is no option: the program's own options take none.
    asked = next((word for word in given if not word.startswith("-")), "")
    try:
        # Not main(), which turns a closed pipe into 1 and prints errors in its own way.
        with _command(asked).make_context(_NAME, given) as context:
            context.command.invoke(context)
    except typer.Exit as done:
        raise Exit(done.exit_code) from None
    except typer.Abort:
        raise KeyboardInterrupt from None


@cache
def _command(asked: str) -> Any:  # noqa: ANN401 - click's class has no fixed home
    """Return the program, of which the command that is asked for can be run."""
    import typer

    from analyzer.cli.app import app

    return typer.main.get_command(app({asked}))


def _failed(given: list[str], error: Exception) -> int:
    from analyzer.core.errors import EXIT_INTERNAL, EXIT_UNDECIDED, CranalyzeError

    if os.environ.get("CRANALYZE_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    code, said = EXIT_INTERNAL, ""
    if isinstance(error, CranalyzeError):
        code, said = error.exit_code, str(error)
    elif isinstance(error, MemoryError):
        code, said = EXIT_UNDECIDED, f"out of memory{_of_limits()}"
    elif hasattr(error, "format_message"):  # a usage error of click's, vendored by typer or not
        code, said = _usage(error)
    else:
        said = (
            f"internal error, please report it: {type(error).__name__}: {error} "
            "(CRANALYZE_DEBUG=1 shows where)"
        )
    _say(given, said, code)
    return code


def _of_limits() -> str:
    import resource

    said = [
        f"ulimit -{option} is {most >> 10}"
        for option, kind in (("v", resource.RLIMIT_AS), ("d", resource.RLIMIT_DATA))
        if (most := resource.getrlimit(kind)[0]) != resource.RLIM_INFINITY
    ]
    return f": {' and '.join(said)}, raise it" if said else ""


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
    from analyzer.core.errors import BadInputError
    from analyzer.writers.json import render_error

    command = next((word for word in given if not word.startswith("-")), "")
    with contextlib.suppress(BadInputError):
        emit(render_error(command, said, code))

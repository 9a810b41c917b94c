"""What several commands do alike: collect, load and check, choose a form, write it out."""

from __future__ import annotations

import importlib
import os
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from analyzer.cli import options as opt
from analyzer.cli.arguments import parse_words, split_output
from analyzer.cli.desk import Desk
from analyzer.cli.output import Progress, coloured, columns, emit, note, speak_utf8
from analyzer.cli.parameters import Exit
from analyzer.cli.selection import Selection, chosen_selection, encoding, narrowed, table
from analyzer.core.errors import BadInputError
from analyzer.core.values import NamedTuple, replace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from analyzer.check.leaks import Verdicts
    from analyzer.cli.target import Target
    from analyzer.report.rules import Rule
    from analyzer.report.value import Report, ReportOptions
    from analyzer.snapshot.value import Snapshot
    from analyzer.sources.privacy import Redaction
    from analyzer.sources.request import Request


def collected(  # noqa: PLR0913 - what each command was asked for
    target: Target,
    source: opt.Source,
    scope: opt.Scope,
    desk: Desk,
    progress: Progress,
    *,
    raw: bool,
    freeze: bool,
    related: bool = True,
    thorough: bool = False,
    listed: Callable[[Snapshot], npt.NDArray[np.bool_]] | None = None,
    proc: str | None = None,
    core: Core | None = None,
) -> Snapshot:
    """Return the snapshot that the options ask for: of what is on the desk, or of this machine.

    `proc` is a /proc that runs (see `strangers`).
    """
    from analyzer import sources
    from analyzer.sources.request import Request

    request = Request(
        target.pid,
        scope.value,
        label=target.label,
        freeze=freeze,
        related=None if related else (),
        thorough=thorough,
        wanted=listed,
        progress=progress,
    )
    if core is not None:
        return _of_core(core, request, desk, raw=raw)
    proc = next(iter(desk.inputs), proc)
    return sources.collect(
        target.requested(request) if proc is None else target.in_dump(request),
        source=source.value,
        proc=None if proc is None else _path(proc),
        opened=None if proc is None else desk.dump(proc),
        raw_addresses=raw,
        drop_privileges=True,
    )


class Core(NamedTuple):
    """A core to read in the place of this machine, and what has the symbols of its kernel."""

    file: str
    vmlinux: str | None

    @property
    def files(self) -> list[str]:
        """Return what is to be on the desk."""
        return [name for name in self if name is not None]


def chosen_core(
    file: str | None, vmlinux: str | None, target: Target, proc: str | None, *, freeze: bool
) -> Core | None:
    """Return the core that --vmcore names, if it does; BadInputError for what goes with none."""
    if file is None:
        if vmlinux is not None:
            raise BadInputError("--vmlinux is of a core: name that with --vmcore")
        return None
    from analyzer.core import extras

    extras.need("--vmcore", "drgn")
    if proc is not None:
        raise BadInputError("--vmcore and --proc: say one of them")
    if freeze:
        raise BadInputError("--freeze stops what runs: of a core nothing does")
    if target.names:
        raise BadInputError(f"{target.label}: in a core, a subject is a process, by its pid")
    return Core(file, vmlinux)


def _of_core(core: Core, request: Request, desk: Desk, *, raw: bool) -> Snapshot:
    from analyzer import sources
    from analyzer.memory.vmcore import open_core

    with open_core(core.file, core.vmlinux, desk.dump) as memory:
        return sources.collect(request, source="kernel", memory=memory, raw_addresses=raw)


def kept(desk: Desk, file: str | None, proc: str | None, progress: Progress) -> Snapshot | None:
    """Return the snapshot in a file, or of a dump of /proc; None where neither is named."""
    if file is not None and proc is not None:
        raise BadInputError("--from and --proc: say one of them")
    if file is not None:
        from analyzer.core import extras

        extras.need("--from", "pyarrow")
        return _of_then(desk.load(file))
    if proc is None:
        return None
    from analyzer import sources
    from analyzer.sources.request import Request

    asked = Request(None, "host", progress=progress)
    return _of_then(sources.collect(asked, proc=_path(proc), opened=desk.dump(proc)))


def machine(file: str | None, proc: str | None, request: Request, *, quiet: bool) -> Snapshot:
    """Return the whole machine as it is kept (see `kept`), or as a request finds it now."""
    inputs = strangers(proc, file)
    with Desk(inputs, foreign=bool(inputs)) as desk, Progress(quiet=quiet) as progress:
        found = kept(desk, file, proc, progress)
        if found is not None:
            return found
        from analyzer import sources

        asked = replace(request, progress=progress)
        return sources.collect(asked, source="kernel", drop_privileges=True)


def _of_then(snapshot: Snapshot) -> Snapshot:
    # The processes of this boot are others by now, perhaps.
    return replace(snapshot, meta={**snapshot.meta, "kept": True})


def strangers(proc: str | None, file: str | None = None) -> list[str]:
    """Return what is to be on the desk for --proc and --from: not a /proc that runs."""
    files = [] if file is None else [file]
    if proc is None:
        return files
    from analyzer.procfs.mounted import mounted

    return files if mounted(_path(proc)) else [*files, proc]


def _path(name: str) -> Path:
    from pathlib import Path  # most lines name none

    return Path(name)


def judged(
    desk: Desk,
    file: str,
    target: Target,
    rules: str = "modern",
    *,
    redacted: Callable[[str], Redaction] | None = None,
) -> tuple[Snapshot, Verdicts]:
    """Return the snapshot of `file`, and the verdicts on what is asked of it."""
    from analyzer.check.leaks import check as judge
    from analyzer.core.model import Rules

    snapshot = target.of(desk.load(file))
    if redacted is not None:
        snapshot = redacted(snapshot.meta["boot_id"]).snapshot(snapshot)
    return snapshot, judge(snapshot, rules=Rules(rules))


def either(desk: Desk, name: str, target: Target, progress: Progress) -> Snapshot:
    """Return the snapshot in the file `name` (*.crz, - for stdin), or of the dump of that name."""
    if name == "-" or name.endswith(".crz"):
        return target.of(desk.load(name))
    if target.unnamed:
        raise BadInputError(f"{name} is a dump: say whose with --pid (a snapshot is called *.crz)")
    from analyzer import sources
    from analyzer.sources.request import Request

    request = target.in_dump(Request(target.pid, label=target.label, progress=progress))
    return sources.collect(request, proc=_path(name), opened=desk.dump(name))


def whole_report(desk: Desk, file: str, target: Target, rules: str = "modern") -> Report:
    """Return the report of `file` that lists every object: what pictures are made of."""
    from analyzer.report.make import make
    from analyzer.report.value import ReportOptions

    return make(*judged(desk, file, target, rules), ReportOptions("report", all=True))


class Form(StrEnum):
    """The form in which a report is written; all but TEXT are options of that name."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"
    JUNIT = "junit"
    TREE = "tree"
    HTML = "html"
    SARIF = "sarif"
    GITHUB = "github"


def known_before(path: str | None, target: Target, rules: str) -> frozenset[str]:
    """Return what was found before, in the file of --baseline; BadInputError for another one."""
    if path is None:
        return frozenset()
    from analyzer.report import baseline as before

    if not path.endswith(".crz"):
        return before.of_json(path)
    return before.of_text(_reported(path, target, rules), path)


def _reported(path: str, target: Target, rules: str) -> bytes:
    """Return the report of a snapshot as JSON, made by a process that gives up its privileges.

    We still need ours, to read a machine.
    """
    import subprocess

    command = [sys.executable, "-P", "-m", "analyzer", "report", path, "--json", "--rules", rules]
    ran = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - our own
    if ran.returncode:  # of a whole machine
        more = [*command, "--pid", target.label]
        ran = subprocess.run(more, capture_output=True, check=False)  # noqa: S603 - our own
    if not ran.returncode:
        return ran.stdout
    said = os.fsdecode(ran.stderr).strip().splitlines() or [f"exit {ran.returncode}"]
    raise BadInputError(f"the baseline {path}: {said[-1].removeprefix('cranalyze: ')}")


def _rules(policy: str | None) -> tuple[Rule, ...]:
    if policy is None:
        return ()
    from analyzer.report.policy import load

    return load(policy)


def keep_policy(path: str | None, report: Report, *, force: bool) -> None:
    """Write the policy that --write-policy asks for; BadInputError where it cannot be."""
    if path is None:
        return
    from analyzer.core.files import write_file
    from analyzer.report.policy import written

    text = written(report)
    if path == "-":
        emit(text)
        return
    write_file(path, text.encode(), force=force)
    note(f"cranalyze: wrote {path}: a policy; its reasons are yours to give")


def chosen_form(**asked: bool) -> Form:
    """Return the form of those asked for, by name; BadInputError for two."""
    said = [name for name, wanted in asked.items() if wanted]
    if len(said) > 1:
        raise BadInputError(f"--{said[0]} and --{said[1]}: say one of them")
    return Form(said[0]) if said else Form.TEXT


class Asked(NamedTuple):
    """How a report is to be written: in which form, where to, and what of it."""

    form: Form
    output: str | None
    selection: Selection
    everything: bool
    force: bool
    by_o: bool = False  # the file was named by -o, which is for columns

    def options(  # noqa: PLR0913 - an option each
        self,
        command: str,
        fail_on: str | None,
        ignore: str | None,
        *,
        subtree: bool,
        gate: bool,
        strict: bool,
        references_only: bool,
        accept: opt.Accepted = opt.Accepted.PROVEN,
        profile: str,
        policy: str | None = None,
        baseline: frozenset[str] = frozenset(),
    ) -> ReportOptions:
        """Return what is asked of the report itself, in its own terms."""
        from analyzer.report.profiles import RECOGNISED, named
        from analyzer.report.value import ReportOptions

        return ReportOptions(
            command=command,
            all=self.everything,
            brief=not self.everything,
            subtree=subtree,
            gate=gate,
            fail_on=parse_words(fail_on, "--fail-on"),
            ignore=parse_words(ignore, "--ignore"),
            strict=strict,
            references_only=references_only,
            accept_consistent=accept is opt.Accepted.CONSISTENT,
            policy=_rules(policy),
            baseline=baseline,
            profile=profile if profile == RECOGNISED else named(profile).name,
        )


def asked(
    form: Form,
    html: str | None,
    outputs: tuple[list[str] | None, str | None, str | None],
    filter_: str | None,
    *,
    noheadings: bool,
    everything: bool,
    force: bool,
) -> Asked:
    """Return what the options ask for; `outputs` are those of -o, --columns and --output.

    BadInputError for what does not go together, or could not be written.
    """
    short, columns, file = outputs
    listed, output = split_output(short or (), columns, file)
    by_o = output is not None and output in (short or ())
    output = target(output, html, force=force)
    whole = form not in {Form.TEXT, Form.JSON}
    selection = chosen_selection(listed, filter_, noheadings=noheadings, whole=whole)
    return Asked(form, output, selection, everything or form is Form.HTML, force, by_o)


def target(output: str | None, html: str | None, *, force: bool) -> str | None:
    """Return where to write; BadInputError for two places, or a page that could not be written."""
    if html is None:
        return output
    if output is not None:
        raise BadInputError(
            f"the option that {html} is of names its file already: leave --output out"
        )
    if html != "-":
        from analyzer.core import files

        files.refuse_target(html, force=force)
    return html


def finish(result: Report, asked: Asked, desk: Desk, *, quiet: bool = False) -> None:
    """Write a report in the form that was asked for, and exit with its code.

    If it is to be `quiet`, nothing is said on stdout; a file is written all the same.
    """
    stdout = asked.output in {None, "-"}
    if quiet and stdout:
        raise Exit(result.exit_code)
    if asked.selection.columns:
        text = table(result, asked.selection, json=asked.form is Form.JSON, stdout=stdout)
    else:
        shown = narrowed(result, asked.selection)
        text = _written(shown, asked.form, everything=asked.everything, stdout=stdout)
    if asked.form not in {Form.TEXT, Form.TREE}:
        speak_utf8()
    write(text, asked.output, _told(asked), desk)
    raise Exit(result.exit_code)


def _told(asked: Asked) -> str:
    what = _FORMS[asked.form]
    if asked.selection.columns:
        what = "the columns" if asked.form is Form.TEXT else "the columns as JSON"
    return f"{what} (-o is for columns: a file is --output)" if asked.by_o else what


_FORMS: Final = {
    Form.TEXT: "the report",
    Form.JSON: "the report as JSON",
    Form.MARKDOWN: "the report as Markdown",
    Form.JUNIT: "the report as JUnit XML",
    Form.TREE: "the process tree",
    Form.HTML: "the page",
    Form.SARIF: "the report as SARIF",
    Form.GITHUB: "the annotations",
}


def _written(result: Report, form: Form, *, everything: bool, stdout: bool) -> str:
    match form:
        case Form.MARKDOWN:
            from analyzer.writers import markdown

            return markdown.render(result, everything=everything)
        case Form.JUNIT:
            from analyzer.writers import junit

            return junit.render(result, everything=everything)
        case Form.TREE | Form.TEXT:
            return _lines(result, form, everything=everything, stdout=stdout)
        case _:
            module = importlib.import_module(f"analyzer.writers.{_WRITERS[form]}")
            text: str = module.render(result)
            return text


_WRITERS: Final = {
    Form.JSON: "json",
    Form.HTML: "page",
    Form.SARIF: "sarif",
    Form.GITHUB: "github",
}


def _lines(result: Report, form: Form, *, everything: bool, stdout: bool) -> str:
    from analyzer.writers import terminal

    width = columns(stdout=stdout)
    if form is Form.TREE:
        from analyzer.writers import tree

        form_of = encoding(stdout=stdout)
        lines = tree.render(result, width, everything=everything, encoding=form_of)
    else:
        lines = terminal.render(result, width, everything=everything)
    return terminal.to_text(lines, colour=stdout and coloured())


def write(text: str, output: str | None, what: str, desk: Desk) -> None:
    """Write text to stdout (None, "-") or to a file that is then whole; BadInputError if not.

    Of a file it is said that it is there, and `what` is in it.
    """
    if output in {None, "-"}:
        emit(text)
        return
    desk.deliver([(str(output), text.encode("utf-8", "backslashreplace"))])
    note(f"cranalyze: wrote {output}: {what}")

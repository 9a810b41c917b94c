"""The options, each written once; the commands put them together."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from analyzer.cli import completion, listed, selection
from analyzer.cli.parameters import Argument, Option


class Source(StrEnum):
    """Where a snapshot is read from."""

    AUTO = "auto"
    KERNEL = "kernel"
    PROCFS = "procfs"


class Described(StrEnum):
    """The commands whose JSON has a schema."""

    CHECK = "check"
    REPORT = "report"
    WHO = "who"
    CENSUS = "census"
    NAMESPACES = "namespaces"
    DIFF = "diff"
    WATCH = "watch"
    FLEET = "fleet"


class Membership(StrEnum):
    """Who belongs to a subject; the values of `analyzer.core.model.MEMBERS`."""

    DESCENT = "descent"
    CGROUP = "cgroup"
    PIDNS = "pidns"


class Tool(StrEnum):
    """What a checkpoint is to be made with."""

    NONE = "none"
    CRIU = "criu"


class Accepted(StrEnum):
    """What is as good as *contained* to the exit code."""

    PROVEN = "proven"
    CONSISTENT = "consistent"


class Scope(StrEnum):
    """How much of the machine a snapshot keeps."""

    BORDER = "border"
    HOST = "host"


class RuleSet(StrEnum):
    """Whose check; the values of `analyzer.core.model.Rules`."""

    MODERN = "modern"
    LINUX_CR = "linux-cr"
    SEED = "seed"


_SUBJECT: str = "The root of a subtree, or a container, a pod, a unit; several are one."
Subjects = Annotated[
    list[str] | None, Argument(metavar="SUBJECT...", help=_SUBJECT, show_default=False)
]
Members = Annotated[
    Membership,
    Option("--members", help="Who belongs to it: descendants, its cgroup, its pid namespace."),
]
SnapshotFile = Annotated[
    str | None,
    Argument(
        metavar="FILE",
        help="A snapshot; - is stdin. [default: the newest *.crz here]",
        show_default=False,
        autocompletion=completion.snapshots,
    ),
]
SnapshotFiles = Annotated[
    list[str] | None,
    Argument(
        metavar="FILE...",
        help="Snapshots; - is stdin. [default: the newest *.crz here]",
        show_default=False,
        autocompletion=completion.snapshots,
    ),
]
Before = Annotated[
    str,
    Argument(
        metavar="A",
        help="The first: a snapshot (*.crz, - for stdin), or a dump of /proc.",
        autocompletion=completion.snapshots,
    ),
]
After = Annotated[
    str,
    Argument(metavar="B", help="The second one.", autocompletion=completion.snapshots),
]
What = Annotated[
    list[str] | None,
    Argument(
        metavar="OBJECT...",
        help="PID:FD, a path, net:[N], pipe:[N], ...; - reads them from stdin.",
        show_default=False,
    ),
]
SchemaOf = Annotated[
    Described | None,
    Argument(
        metavar="COMMAND",
        help="check, report, who, census, namespaces, diff, watch, fleet.",
        show_default=False,
    ),
]
AllContainers = Annotated[
    bool, Option("--all-containers", help="Check every container, in one reading.")
]
Quiet = Annotated[bool, Option("--quiet", help="Print nothing: the exit code is the answer.")]
Redact = Annotated[
    bool,
    Option("--redact", help="Hash names, paths and cgroups; equal ones stay equal."),
]
RedactKey = Annotated[
    str | None,
    Option(
        "--redact-key",
        metavar="FILE",
        help="Hash them under the key in FILE: equal on all hosts that have it.",
    ),
]
Freeze = Annotated[
    bool,
    Option(
        "--freeze/--no-freeze",
        help="Stop the subtree while it is read (some of its system calls then return EINTR, "
        "see signal(7)).",
    ),
]
InBoth = Annotated[
    str | None,
    Option("--pid", metavar="SUBJECT", help="Compare this one: of host snapshots, dumps."),
]
OtherPid = Annotated[
    str | None,
    Option("--pid", metavar="SUBJECT", help="Check this one (of a host snapshot)."),
]
Rules = Annotated[
    RuleSet, Option("--rules", help="Whose check: a 6.x kernel's, linux-cr's, or of 2009.")
]
From = Annotated[
    Source, Option("--source", help="What to read; auto: the kernel's memory, else /proc.")
]
HowMuch = Annotated[
    Scope, Option("--scope", help="Keep the subtree and what holds it, or everything.")
]
ProcRoot = Annotated[
    str | None,
    Option(
        "--proc",
        "--criu",
        metavar="DUMP",
        help="Read a dump of /proc, or images of CRIU: a folder, an archive, - for stdin.",
    ),
]
Vmcore = Annotated[
    str | None,
    Option("--vmcore", metavar="FILE", help="Read the core that a crashed kernel left."),
]
Vmlinux = Annotated[
    str | None,
    Option(
        "--vmlinux",
        metavar="FILE",
        help="Of --vmcore: the vmlinux or System.map of that kernel (before Linux 6.0).",
    ),
]
FromFile = Annotated[
    str | None,
    Option(
        "--from",
        metavar="FILE",
        help="Ask a snapshot instead of this machine; - is stdin.",
        autocompletion=completion.snapshots,
    ),
]
AsJson = Annotated[bool, Option("--json", help="Write JSON.")]
AsMarkdown = Annotated[bool, Option("--markdown", help="Write Markdown, to paste into an issue.")]
AsJUnit = Annotated[bool, Option("--junit", help="Write JUnit XML, for a CI server.")]
All = Annotated[bool, Option("--all", help="List every object, the contained ones too.")]
Output = Annotated[
    str | None, Option("-o", "--output", metavar="FILE", help="Write there; - is stdout.")
]
PictureForm = Annotated[
    str | None,
    Option(
        "--format",
        metavar="FORM",
        help="png, svg or pdf. [default: what FILE ends with]",
        autocompletion=completion.pictures,
    ),
]
Results = Annotated[
    str,
    Argument(
        metavar="URL", help="The folder that fleet check keeps results in.", show_default=False
    ),
]
NewSince = Annotated[
    str | None,
    Option("--since", metavar="DATE", help="Tell only what is new since that day (UTC)."),
]
ColumnsOrOutput = Annotated[
    list[str] | None,
    Option(
        "-o",
        metavar="COLS",
        show_default=False,
        autocompletion=completion.columns,
        help="List these columns: KIND,PID,NAME and so on (+COLS: after the usual ones).",
    ),
]
OutputFile = Annotated[
    str | None, Option("--output", metavar="FILE", help="Write there; - is stdout.")
]
Columns = Annotated[
    str | None,
    Option(
        "--columns",
        metavar="COLS",
        help="The same as -o.",
        autocompletion=completion.columns,
    ),
]
NoHeadings = Annotated[
    bool, Option("-n", "--noheadings", help="Leave out the line of column names.")
]
ListColumns = Annotated[
    bool,
    Option(
        "-H",
        "--list-columns",
        help="List all columns of -o and -Q, and what they say.",
        is_eager=True,
        callback=selection.list_columns,
    ),
]
Filter = Annotated[
    str | None,
    Option(
        "-Q",
        "--filter",
        metavar="EXPR",
        help="List only what this holds for: 'NAME =~ \"log$\" and OUTSIDE > 0'.",
    ),
]
Html = Annotated[
    str | None,
    Option("--html", metavar="FILE", help="Write a page to look at; - is stdout."),
]
AsTree = Annotated[bool, Option("--tree", help="Show the processes, and what each shares outward.")]
Force = Annotated[bool, Option("--force", help="Replace FILE if it exists.")]
Raw = Annotated[
    bool,
    Option("--raw-addresses", help="Give kernel addresses as they are, not hashed."),
]
Subtree = Annotated[
    bool,
    Option("--subtree", help="The root need be no container; leaks are advisory."),
]
Strict = Annotated[
    bool,
    Option("--strict", help="Of the host's, time, user and cgroup namespaces are leaks too."),
]
Accept = Annotated[
    Accepted,
    Option(
        "--accept",
        help="Of a source without refcounts: exit with 0 where nothing speaks against containment.",
    ),
]
FailOn = Annotated[
    str | None,
    Option(
        "--fail-on",
        metavar="WORD,...",
        help="Only these decide: kinds (FILE, UTS_NS), impacts (reaches-out), relations.",
        autocompletion=completion.words,
    ),
]
Ignore = Annotated[
    str | None,
    Option(
        "--ignore",
        metavar="WORD,...",
        help="These do not decide: kinds, impacts, relations.",
        autocompletion=completion.words,
    ),
]
IgnoreKinds = Annotated[
    str | None,
    Option(
        "--ignore",
        metavar="KIND,...",
        help="These bring nothing into the border.",
        autocompletion=completion.kinds,
    ),
]
ProfileName = Annotated[
    str,
    Option(
        "--profile",
        metavar="NAME",
        help="What this runtime does by design does not decide; none: nobody's. [default: auto]",
        show_default=False,
        autocompletion=completion.profiles,
    ),
]
Policy = Annotated[
    str | None,
    Option("--policy", metavar="FILE", help="What is known and why, which does not decide."),
]
WritePolicy = Annotated[
    str | None,
    Option(
        "--write-policy", metavar="FILE", help="Write a policy that covers what is found today."
    ),
]
Baseline = Annotated[
    str | None,
    Option(
        "--baseline", metavar="FILE", help="Only what is new decides: a report's JSON, or *.crz."
    ),
]
Prometheus = Annotated[
    str | None,
    Option(
        "--prometheus",
        metavar="FILE",
        help="Write numbers for node_exporter's textfile collector there, over those before.",
    ),
]
Sarif = Annotated[
    str | None,
    Option("--sarif", metavar="FILE", help="Write SARIF, for code scanning; - is stdout."),
]
AsGithub = Annotated[bool, Option("--github", help="Write annotations for a workflow of GitHub's.")]
ReferencesOnly = Annotated[
    bool,
    Option("--references-only", help="Leave out what crosses the border uncounted."),
]
For = Annotated[
    Tool,
    Option("--for", help="Say what this would refuse, and the options that it takes."),
]
Verify = Annotated[
    bool,
    Option(
        "--verify",
        help="Run criu dump --leave-running with what --for criu proposes, and compare.",
    ),
]
Gate = Annotated[bool, Option("--check", help="Exit as cranalyze check does.")]
Config = Annotated[
    str | None,
    Option("--config", metavar="FILE", help="Settings. [default: $XDG_CONFIG_HOME/cranalyze.toml]"),
]
ParquetFolder = Annotated[
    str | None, Option("--parquet", metavar="DIR", help="Write Parquet files in there.")
]
CsvFolder = Annotated[str | None, Option("--csv", metavar="DIR", help="Write CSV files in there.")]
AsScript = Annotated[
    bool,
    Option("--script", help="Print a shell script that dumps /proc anywhere, to stdout."),
]
NamespaceTypes = Annotated[
    str | None,
    Option(
        "-t",
        "--type",
        metavar="TYPE,...",
        help="Only these: net, mnt, pid, user, uts, ipc, cgroup, time.",
        autocompletion=completion.namespaces,
    ),
]
OwnerTree = Annotated[bool, Option("--tree", help="Each below the user namespace that owns it.")]
ParentTree = Annotated[
    bool, Option("--parents", help="Each below its parent: pid and user namespaces have one.")
]
NamespaceColumns = Annotated[
    str | None,
    Option(
        "-o",
        "--columns",
        metavar="COLS",
        help="List these columns (+COLS: after the usual ones); -H lists all.",
        autocompletion=completion.columns_of_namespaces,
    ),
]
ThingColumns = Annotated[
    str | None,
    Option(
        "-o",
        "--columns",
        metavar="COLS",
        help="List these columns (+COLS: after the usual ones); -H lists all.",
        autocompletion=completion.columns_of_things,
    ),
]
ColumnsOfNamespaces = Annotated[
    bool,
    Option(
        "-H",
        "--list-columns",
        help="List all columns of -o and -Q, and what they say.",
        is_eager=True,
        callback=listed.of_namespaces,
    ),
]
OfKind = Annotated[
    str | None,
    Option(
        "--kind",
        metavar="KIND",
        help="List all of a kind or type of file, with the limits: inotify, pty, memfd, userns.",
        autocompletion=completion.sorts,
    ),
]
Deleted = Annotated[
    bool, Option("--deleted", help="List the deleted files that are still held, by size.")
]
Larger = Annotated[
    str | None,
    Option("--larger", metavar="SIZE", help="Of --deleted only those from this size: 10M."),
]
ColumnsOfThings = Annotated[
    bool,
    Option(
        "-H",
        "--list-columns",
        help="List all columns of -o and -Q, and what they say.",
        is_eager=True,
        callback=listed.of_things,
    ),
]
FilterThings = Annotated[
    str | None,
    Option("-Q", "--filter", metavar="EXPR", help="List only what this holds for."),
]

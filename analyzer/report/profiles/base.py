"""What a profile is: what a runtime does to every container of its own accord, as rules.

It is one file a runtime, with a `PROFILE`. A rule of a profile says what it covers in words
(`Rule.says`); in its paths ``{container}`` is the id or the name of the container. It covers what
*this* runtime does and nothing that its user asked for: no volume, no descriptor beside the
standard ones, no socket. What is not certain is left to be told.
"""

from __future__ import annotations

from typing import Final

from analyzer.core.values import dataclass
from analyzer.report.rules import Rule


@dataclass(frozen=True)
class Profile:
    """One runtime: its name, what people call it, and what it does by design.

    It is recognised by the `runtimes` that cgroup paths tell, or else by what the parent of the
    first process is called (`monitors`). `starts` is whether its subjects are the first processes
    of pid namespaces.
    """

    name: str
    title: str
    rules: tuple[Rule, ...]
    runtimes: tuple[str, ...] = ()
    monitors: tuple[str, ...] = ()
    starts: bool = True


STDIO: Final = ((0, 2),)
POD: Final = (
    Rule(
        "the namespaces of its pod",
        kinds=frozenset(
            {"NET_NS", "IPC_NS", "UTS_NS", "PID_NS", "USER_NS", "CGROUP_NS", "TIME_NS"}
        ),
        holder_is="pod",
        pinned_at=("/run/netns/*", "/var/run/netns/*", "/run/utsns/*", "/run/ipcns/*"),
    ),
    Rule("the namespaces of its pod", relations=frozenset({"joined"}), holder_is="pod"),
)


NULL: Final = Rule(
    "standard streams on /dev/null",
    kinds=frozenset({"FILE"}),
    impacts=frozenset({"by-design"}),
    fd=STDIO,
    path=("/dev/null",),
)


def stdio(*monitors: str, terminal: str) -> tuple[Rule, ...]:
    """Return the rules for standard streams that lead to a monitor: pipes, or a terminal."""
    return (
        NULL,
        Rule(
            f"stdin, stdout and stderr to {terminal}",
            kinds=frozenset({"PIPE"}),
            fd=STDIO,
            holder_command=monitors,
        ),
        Rule(
            f"stdin, stdout and stderr to {terminal}",
            relations=frozenset({"same-file"}),
            kinds=frozenset({"FILE"}),
            fd=STDIO,
            holder_command=monitors,
        ),
        Rule(
            f"its terminal, which {terminal} has",
            kinds=frozenset({"TTY"}),
            fd=STDIO,
            holder_command=monitors,
        ),
        Rule(
            f"its terminal, which {terminal} has",
            relations=frozenset({"terminal"}),
            fd=STDIO,
            holder_command=monitors,
        ),
    )


def files(*paths: str, says: str = "its own files mounted") -> tuple[Rule, ...]:
    """Return the rules for mounts of what the runtime made for this container."""
    mounts = frozenset({"bind-mount", "shared-filesystem", "on-mount"})
    return (Rule(says, relations=mounts, kinds=frozenset({"MOUNT"}), path=paths),)


def pinned(*places: str, by: tuple[str, ...] = ()) -> tuple[Rule, ...]:
    """Return the rules for namespaces that files keep, and that those who made them look into."""
    return (
        Rule(
            "its namespaces kept by files",
            kinds=frozenset({"NET_NS", "IPC_NS", "UTS_NS", "USER_NS", "PID_NS"}),
            pinned_at=places,
            holder_command=by,
        ),
    )


SLAVE: Final = Rule(
    "what is mounted in its folder outside appears in its root",
    relations=frozenset({"mount-propagation"}),
    kinds=frozenset({"MOUNT"}),
    point="/",
    propagation="slave",
)


def watched(*monitors: str) -> tuple[Rule, ...]:
    """Return the rules for what a monitor has of the container to know of its end."""
    says = f"watched by {monitors[0].strip('*[]')}"
    return (
        Rule(says, relations=frozenset({"pidfd"}), holder_command=monitors, holder_is="parent"),
        Rule(says, kinds=frozenset({"PID"}), holder_command=monitors, holder_is="parent"),
    )

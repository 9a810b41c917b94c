"""The page of dumps of /proc: how one is made, what is read of it, and what it can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core import program
from analyzer.procfs import captures, tarball, tasks
from analyzer.report.consistency import AMONG, ANSWER, HANDED, UNSEEN
from analyzer.report.inventory import COSTS
from scripts.docs import markdown as md

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def dumps_page() -> str:
    """Return docs/dumps.md."""
    return md.page(_parts())


def _parts() -> Iterator[str]:
    yield "# Dumps of /proc"
    yield md.NOTE
    yield (
        "Where cranalyze cannot be, a dump of `/proc` can be taken, and read elsewhere: "
        "`check`, `collect`, `who` and `census` take one as `--proc DUMP`. `report`, `graph`, "
        "`plot` and `export` read the file that `collect --proc` makes of it."
    )
    yield "## How to get one"
    yield (
        "`cranalyze procdump --script > procdump.sh` prints a shell script. It writes one stream "
        "to stdout (or to `-o FILE`), and nothing else anywhere; it needs a POSIX shell, `grep`, "
        "`ls` and `tar`, of BusyBox too; `stat` and `timeout`, where they are, tell the types and "
        "devices of what is open, `ss` and `nsenter` which unix sockets are connected to each "
        "other, in each network namespace, and which segments of System V there are in each IPC "
        "namespace. 20,000 descriptors in 500 processes take a second. "
        "With `-p PID` it copies of other processes only those mappings that are shared. "
        "Command lines, environments and memory are never copied."
    )
    yield md.table(("situation", "command"), _commands(_SITUATIONS))
    yield (
        "Compress what is far: `... | gzip` on that side; what is compressed is recognised. Take "
        "`-i` without `-t` with kubectl, podman and docker: a terminal changes bytes. A shell "
        "cannot compare descriptors: where there is `perl` or `python3`, the script asks kcmp(2) "
        "by it, and the dump says by which. It is tried with dash, bash and BusyBox, with mksh "
        "where that is installed, and with the tools of toybox 0.8 in mksh, which Android has; on "
        "a device it is not tried yet."
    )
    yield (
        "A dump has what its maker sees: root in the host's pid namespace sees all, a container "
        "itself alone (whoever shares with it from outside is not in the dump then, and no leak "
        "is seen), and a user his own processes; what was refused is a gap."
    )
    yield "## What is read"
    yield md.table(("form", "remarks"), _FORMS)
    yield (
        "Nothing of an archive is written to disk. What it has besides files, links and folders "
        "is passed over and counted. One that is cut short or damaged is read as far as it goes, "
        "and its report says how far that was. Two dumps in one are refused, with their names, "
        "and so is an archive of archives, as `sos collect` makes one with a report for each "
        "host: one of them is read as "
        "`tar xOf COLLECTED.tar.xz sosreport-HOST.tar.xz | cranalyze check --proc - PID`."
    )
    yield (
        "Time and memory grow with what is in it: `collect --scope host` takes a second and 140 MB "
        "for 20,000 descriptors, under a minute and 3.3 GB for a million; for a subtree less. What "
        f"unpacks to more than {tarball.MAX_TOTAL >> 30} GiB is refused, and so is what has more "
        f"than {tasks.MOST:,} processes and threads."
    )
    yield "## What tools have printed, and sos reports"
    yield (
        "What is at hand after an incident is often no dump: then a file with what one of these "
        "tools printed is read as one, plain or compressed, recognised by its content. Several of "
        "them are put together: a folder, or an archive, with the files in it. "
        "`sudo lsof -n > c/lsof.txt; ps -ef > c/ps.txt; cranalyze check --proc c PID` tells whom "
        "pipes and sockets are shared with."
    )
    yield md.table(
        ("printed by", "how", "what it lacks"),
        [(f"`{one.name}`", one.remarks, one.lacks) for one in captures.registry()],
    )
    yield (
        "Where nothing tells who is whose child, only the process itself is known to be inside, "
        "and nobody to be outside: no leak is witnessed then. How a file was opened (to read, to "
        "write) is known from `lsof`, `lsfd` and `ls`, and so which end of a pipe it is; which "
        "descriptors are one open file nobody tells. A line that is not as it should be is passed "
        "over, and a gap with its number. A descriptor that two of them tell differently, or one "
        "twice, is not known: a file's name may have newlines in it that `ls` prints as they are. "
        "Nothing of it ever proves containment. Where one tool told of a process in two folders, "
        "or `uname` of two kernels, they are of two machines: refused."
    )
    yield (
        "Of a **sos report** these are used: `proc/PID/status` and `mountinfo` (newer versions "
        "have them), `proc/sys`, and in `sos_commands/*/` what `lsof`, `lsfd`, `lsns`, `ps` "
        "and `uname` printed. Without `-k process.lsof=on` (the default of newer versions) "
        "nothing is known of what is open. Its logs are passed over."
    )
    yield "## Checkpoints of CRIU"
    yield (
        "`cranalyze collect --criu DIR PID` (and `check`, `who`, `census`; `--proc` is the same "
        "option) reads the images that `criu dump` wrote, or an archive with them. They have the "
        "answers of kcmp(2): which processes share an address space, a descriptor table, root and "
        "working directory or signal handlers, and which descriptors are one open file, with its "
        "name, flags, offset and mount, and what an epoll or an inotify watches; which files are "
        "in flight to which unix socket, be they open as well or not; mounts; sockets with their "
        "addresses, and which unix sockets are connected; segments of System V, with how often "
        "they are attached; sessions and process groups. Which files are mapped where is in them "
        "too, but not as which open file, and which namespaces a process is in or has open: by "
        "numbers of CRIU's own (`net:[9]`). What is in a checkpoint is all inside: who shared "
        "with it from outside, reference counts, inodes but of shared memory, and when processes "
        "started, are not in it. What reaches out of it leaves its object *unknown*, for that "
        "reason: a namespace that CRIU was in itself, what was *external* to the checkpoint "
        "(`--external`, `--ext-unix-sk`, a terminal of others), a socket that was connected to "
        "such a one; mounts, interfaces, leaders of sessions, and whom open files signal "
        "(F_SETOWN), that were external are noted. Pids are those of its own pid namespace. Not "
        "used is the memory (`pages-*.img`), nor what holds nothing of others: bytes in pipes, "
        "message queues and semaphores, which are their namespace's, timers, which signal their "
        "own process, and locks, which are the processes' and files' that have them; on which "
        "inode one is, the images do not tell. Written by CRIU 4.2 in our tests; without "
        "`files.img` (before 3.0) only the numbers of open files are known."
    )
    yield "## What it has, and what each missing kind of file costs"
    yield (
        "The report begins with an inventory: how many processes there are, and how many have "
        "each kind of file. What a dump lacks is never taken for what was not there: each "
        "process that lacks a file, or has a malformed one, is a gap that names both, and what "
        "there is of it is read. `status` alone is enough for the tree of processes; one that "
        "has neither that nor `stat` stays, with what else there is. A process whose parent is not "
        "in the dump may be inside or outside (*unplaced*): it is shown, and is no witness of a "
        "leak."
    )
    yield md.table(("missing", "what it costs"), [(f"`{n}`", c) for n, c in COSTS.items()])
    yield "## What can be told, and how certainly"
    yield md.table(("what", "with answers of kcmp(2)", "without"), _CERTAIN)
    yield (
        "Where nobody could ask kcmp(2), what never changes of a thing excludes others: the inode, "
        "the mount and the access mode of an open file, where execve(2) laid out memory, the "
        "namespaces of a root directory. What may change (offsets, lists of what is watched, "
        "locks, masks of signals) excludes them only where it was read twice and was the same. "
        "(`procdump.sh` reads twice where there is neither perl nor python3.) "
        "What is equal in all makes a leak *possible* (*perhaps referenced from outside*): who it "
        "may be is named, with the evidence (`candidates` in JSON). That decides nothing: only "
        "what is witnessed exits with 16. `analyzer/procfs/evidence.py` has each rule, and where "
        "the kernel says so."
    )
    yield "## What is concluded"
    yield (
        "There are no reference counts in `/proc`: that nobody else holds an object is never "
        "proven, and `check` of a dump does not say *contained*. Of each object it says one of "
        "these (`conclusion` in JSON):"
    )
    yield md.table(("conclusion", "what it means"), _CONCLUDED)
    yield (
        "It exits with 16 for a leak that is witnessed, and otherwise with 3. Where all objects "
        "are consistent the answer is *" + ANSWER + "*; that is 3 too, and 0 with "
        "`--accept consistent`. Nothing is consistent unless all of this holds of the dump, and "
        "the report says which of it does (`consistency` in JSON):"
    )
    yield md.table(("precondition", "why"), _PRECONDITIONS)
    yield (
        "What may hold an object and does not tell leaves it *unknown*, with the reason: an open "
        "file of `/proc/PID/mounts` or `/proc/PID/net`, a pidfd or a file in `/proc` of a process "
        "that ended, a cgroup's open file, a proc filesystem mounted elsewhere, more sockets in a "
        "network namespace than its tables show (`net/sockstat`), an attached System V segment "
        "of which nothing tells the namespace (`procdump`, and its script by `nsenter`, list the "
        "segments of each, with how often they are attached), "
        "an automount's pipe, files in flight (`scm_fds`: how many, and not which), one of the "
        "same name that is registered with an io_uring, an io_uring whose requests wait, a unix "
        "socket or a terminal of which the other end is not told (no copy of `/proc` has those of "
        "unix sockets: `procdump` asks sock_diag(7), and its script does by `ss`). So are the "
        "open files of who is connected to others by unix sockets and ran while it was read (its "
        "context switches were counted twice): it may have sent them (SCM_RIGHTS). And so is a "
        "pid namespace of which a member ended: see below. Even so this is not seen:"
    )
    yield "\n".join(f"- {one}" for one in (*UNSEEN, HANDED, AMONG))
    yield (
        "The last is left out where none of the others that have a socket or an io_uring ran "
        "meanwhile (who gives something away, and has it no more, runs: `procdump` counts their "
        "context switches twice); else they are named. They decide nothing: on most hosts somebody "
        "runs."
    )
    yield (
        "Of a whole dump, refcounts are *reconstructed* (`refcount_source`): so many references "
        "to it are in the dump, as OpenVZ counted the tasks that have an address space. Each term "
        "has to be exact; where one is not, there is no count:"
    )
    yield md.table(("of", "what is counted", "and when it is not"), _COUNTED)
    yield (
        "`python -m benchmarks.truth` compares what dumps say of all fixtures with the kernel's "
        "counts: one that differs is an error."
    )
    yield (
        "`cranalyze who --proc DUMP /mnt/x` tells why a mount was busy: what is open on it, whose "
        "working directory or root is there, and in which namespaces of mounts it is mounted. Of "
        "a file it says which loop device it backs, where the dump was made by `procdump.sh`. Swap "
        "files and locks are not told of a dump."
    )
    yield "## Pid namespaces of which a member ended"
    yield (
        "A number of a process keeps the pid namespace that it was made in, and whoever remembers "
        "it keeps the number, when that process is long gone. So a container whose shell has run "
        "a command is never consistent as a whole: that a member ended shows (a number is "
        "missing, a process has waited for children or ignores SIGCHLD), and who remembers it "
        "does not:"
    )
    yield md.table(("who may remember it", "what `/proc` shows of that"), _REMEMBER)
    yield (
        "Any process of the host may have made it the owner of any file that it has open, even a "
        "regular one that can signal nobody; fdinfo has no line for that, and even fcntl(2), "
        "asked by the process itself, answers 0 where the owner has ended (f_getown(), "
        "fs/fcntl.c). Counts of the kernel's own do not help: those of `/proc/slabinfo` are of "
        "whole caches, free numbers among them. So the namespace stays *unknown*, with those "
        "named of whom there is evidence, and all else is decided without it: `--ignore PID_NS` "
        "leaves it out, and the report says so. The kernel source tells it."
    )
    yield "## A /proc that runs"
    yield (
        "`--proc /host/proc` (or `/host`) of a container that has the host's `/proc` mounted "
        "there reads it as it is, with one's own privileges. kcmp(2) is asked where the "
        "container is in the pid namespace of that `/proc` (`hostPID: true`, `--pid=host`), and "
        "not otherwise."
    )


def _commands(rows: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(what, f"`{md.cell(command)}`") for what, command in rows]


_SITUATIONS: Final = (
    ("a host by ssh", "ssh HOST sudo sh -s -- -p PID < procdump.sh > DUMP"),
    (
        "the same, and nothing kept",
        "ssh HOST sudo sh -s -- -p PID < procdump.sh | cranalyze check --proc - PID",
    ),
    ("a host, in a shell there", "sudo sh procdump.sh -o DUMP"),
    ("a host that has cranalyze", program.anywhere("sudo cranalyze procdump PID -o DUMP.tar")),
    (
        "a node of Kubernetes",
        "kubectl debug node/N -i --image=busybox --profile=sysadmin -- sh -s < procdump.sh > DUMP",
    ),
    (
        "a pod (its own processes only)",
        "kubectl exec -i POD -- sh -s < procdump.sh > DUMP",
    ),
    (
        "the host, from a container's runtime",
        "podman run --rm -i --privileged --pid=host busybox sh -s < procdump.sh > DUMP",
    ),
    (
        "a container (its own processes only)",
        "podman exec -i CONTAINER sh -s < procdump.sh > DUMP",
    ),
    ("a rescue shell, an initramfs", "busybox sh procdump.sh -o /mnt/usb/DUMP"),
    ("Android, rooted", "adb exec-out su 0 sh /data/local/tmp/procdump.sh > DUMP"),
    ("without privilege (one's own processes only)", "sh procdump.sh > DUMP"),
)
_FORMS: Final = (
    ("the stream of `procdump.sh`", "as it is, or compressed"),
    ("a folder", "of processes, or with one up to three levels down: `bundle/host/proc`"),
    ("`.tar`, plain or `.gz`, `.xz`, `.bz2`, `.zst`", "`.zst` needs pyarrow"),
    ("`.zip`", ""),
    ("ttar, and the texts of our own tests", ""),
    ("a sos report", "a folder or a `.tar.xz`, as it comes: see below"),
    ("what `lsof`, `lsfd`, `lsns`, `ls` and `ps` print", "each alone, or several: see below"),
    ("images of CRIU", "`--criu DIR`, or an archive of them, as podman exports it: see below"),
    ("`-`, which is stdin", "any of these but a folder"),
    (
        "`tar cf X.tar /proc/PID`",
        "refused: `/proc` calls each of its files 0 bytes long, and tar believes it",
    ),
    (
        "`kubectl cp`, `docker cp`, `podman cp` of `/proc`",
        "refused: the first is tar, and the others copy nothing of it; use `exec`, as above",
    ),
    ("`cp -r` of processes", "it copies each `pagemap` too, which fills a disk: use the script"),
    ("`cp -rL`", "follows links: descriptors and namespaces are files then, and a gap"),
)
_CONCLUDED: Final = (
    ("witnessed", "a leak: who holds it outside is named, and it is the same object for certain"),
    ("possible", "somebody outside has what looks like it, and is named with the evidence"),
    (
        "consistent",
        "with containment: the dump is whole, and all others in it are known to have others",
    ),
    ("unknown", "a gap touches it, or what may hold it does not tell"),
)
_PRECONDITIONS: Final = (
    ("initial pid namespace", "kthreadd is in it: a container's own `/proc` lacks all others"),
    ("nothing refused", "who could not be read may hold anything"),
    ("nothing missing", "so may who has lost files on the way"),
    ("complete", "it has the marker of its end: a plain copy has none"),
    ("all parents", "no process is a child of one that is not in it"),
    ("nobody came meanwhile", "who did was not read (`procdump` reads up to four times)"),
)
_REMEMBER: Final = (
    ("a pidfd, an open file or folder of `/proc/PID`", "all of it: who has one is named"),
    ("an automount of which it was the daemon", "its number (`pgrp=`): where it is, is named"),
    (
        "a unix socket, of who was at its other end (SO_PEERCRED)",
        "who is connected with members that live is named; not who was with those that ended",
    ),
    ("a System V object, of who made or used it", "its number, and not of which namespace that is"),
    ("a session, a process group", "its number, as long as a process is in it"),
    ("a terminal, of its process group", "nothing but to those whose terminal it is"),
    ("a file, of its owner (F_SETOWN, a lease)", "nothing"),
    ("a message of a unix socket, an event of a fanotify, that nobody has read", "nothing"),
)
_COUNTED: Final = (
    ("descriptor tables, memory, root directories, handlers of signals", "tasks", ""),
    (
        "open files",
        "descriptors",
        (
            "it is mapped as well, perhaps by another opening; somebody who has it may hold it by "
            "a system call (`/proc/PID/syscall`), or by a request that is under way"
        ),
    ),
    ("pipes", "open files", "as for these"),
    ("sets of namespaces", "tasks", "another task has the same namespaces"),
    (
        "namespaces",
        (
            "sets of namespaces, by the links in `/proc/PID/ns`; its file, if that is open or "
            "mounted; of a network the sockets that hold it (`net/sockstat`)"
        ),
        (
            "two tasks have the same namespaces: they may have one set (nsproxy), or one each; of "
            "IPC, if a segment of it is attached; of processes and of users, which process numbers "
            "and credentials hold"
        ),
    ),
    (
        "files that are only mapped",
        "one mapping",
        (
            "it is mapped twice, or its program runs, or another file has its inode or its name: "
            "mappings do not tell by which opening they are; of devices, and of what the kernel "
            "makes"
        ),
    ),
    (
        "unix sockets",
        "its file twice (the table of its network namespace has it too), who is connected to it",
        (
            "it listens, or takes datagrams by its name: who sends holds it while he waits; so "
            "may who is connected and is in a system call"
        ),
    ),
    (
        "pseudo-terminals",
        "open files, and the other end",
        "that is not told, or somebody has `/dev/tty` open",
    ),
    ("other sockets, other terminals, segments of System V", "", "always"),
)
_CERTAIN: Final = (
    ("namespaces: who is in them, who has one open", "witnessed", "witnessed"),
    (
        "pipes and sockets, by their numbers",
        "witnessed, both ends told",
        "witnessed, both ends told",
    ),
    (
        "unix sockets, by who is connected to them",
        "witnessed where sock_diag(7) was asked, else unknown",
        "witnessed where sock_diag(7) was asked, else unknown",
    ),
    ("eventfds, userfaultfds and io_urings, by their numbers", "witnessed", "witnessed"),
    (
        "other open files",
        "witnessed",
        "possible: candidates are named; others excluded by inode, mount, flags",
    ),
    (
        "descriptor tables, address spaces, handlers of signals",
        "witnessed",
        "possible: those whose memory is laid out alike, as fork(2) leaves it; others excluded",
    ),
    (
        "sets of namespaces (nsproxy)",
        "possible: in the same namespaces; others excluded",
        "possible: in the same namespaces; others excluded",
    ),
    (
        "roots and working directories",
        "witnessed",
        "possible: in the same namespaces of mounts and users; others excluded",
    ),
    (
        "mapped files",
        "possible: of a forked process, at the same address",
        "possible: of a forked process, at the same address; or open, with the same inode",
    ),
    (
        "files that back loop devices",
        "possible: the path is the same",
        "possible: the path is the same",
    ),
    ("shared writable mappings of a file", "told as ties", "told as ties"),
    ("sessions, tracers, locks, terminals, mounts", "told as ties", "told as ties"),
)

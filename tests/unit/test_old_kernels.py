"""What cranalyze reads, on kernels that are not at hand: held against tables of their offsets.

The tables in tests/data/btf were made from Debian's kernel packages by scripts/kernel_btf.py. They
tell that a field is there and what it is, not what the kernel does with it: for that, `make
kernels` runs every fixture on them, on x86-64; of arm64 there are only the offsets.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from analyzer.kinds import registry
from analyzer.memory.btf import Field
from analyzer.memory.features import FEATURES, missing
from analyzer.memory.fields import Layout
from tests import questions
from tests.questions import Question, field

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analyzer.memory.btf import Btf

TABLES = sorted((Path(__file__).parents[1] / "data" / "btf").glob("linux-*.json"))
Answers = dict[str, Any]

# Code that asks for one of several: the first that the kernel has.
EITHER: dict[str, tuple[list[str], ...]] = {
    "the type of a namespace": (["ns_common:ns_type"], ["proc_ns_operations:type"]),
    "the tree of an mm's mappings": (
        [
            "mm_struct:mm_mt",
            *(f"enum:maple_type:maple_{name}_64" for name in ("leaf", "range", "arange")),
            *(f"maple_{n}_64:{f}" for n in ("range", "arange") for f in ("pivot", "slot")),
            *(f"maple_{n}_64:meta.end" for n in ("range", "arange")),
        ],
        ["vm_area_struct:vm_rb"],
    ),
    "the mounts of a namespace": (
        ["mnt_namespace:mounts.rb_node", "mount:mnt_node"],
        ["mnt_namespace:list", "mount:mnt_list"],
    ),
    "what watches a file": (["file:f_ep"], ["file:f_ep_links", "file:f_ep_links.next"]),
    "the marks of a filesystem": (
        ["super_block:s_fsnotify_info", "fsnotify_sb_info:sb_marks"],
        ["super_block:s_fsnotify_marks"],
    ),
    "the files registered with an io_uring": (
        [
            "io_ring_ctx:file_table.data.nodes",
            "io_ring_ctx:file_table.data.nr",
            "io_rsrc_node:file_ptr",
        ],
        ["io_ring_ctx:file_table.files", "io_ring_ctx:nr_user_files"],
    ),
    "the requests of an io_uring that wait for a poll": (
        [
            "io_ring_ctx:cancel_table.hbs",
            "io_ring_ctx:cancel_table.hash_bits",
            "io_hash_bucket:list",
            "sizeof:io_hash_bucket",
        ],
        ["io_ring_ctx:cancel_hash", "io_ring_ctx:cancel_hash_bits"],
    ),
    "the requests of an io_uring that polls its device": (
        ["io_ring_ctx:iopoll_list.first"],
        ["io_kiocb:iopoll_node", "io_ring_ctx:iopoll_list"],
    ),
    "which user namespace decides whether a process may be traced": (
        ["mm_struct:user_ns"],
        ["task_struct:exec_state", "task_exec_state:user_ns", "task_exec_state:count.refs.counter"],
    ),
    "who submitted a request": (["io_kiocb:tctx"], ["io_kiocb:task", "task_struct:io_uring"]),
    "the workers of an io_uring": (["io_wq_acct:all_list"], ["io_wq:all_list"]),
}
UNLESS_LACKING = {
    "the requests of an io_uring that polls its device": "io-polled",
    "the workers of an io_uring": "io-workers",
}

# What such a kernel does not do, or does without a reference: nothing is lost.
NOTHING_LOST = {
    "backing_file:file.f_mode": "mappings on overlayfs have no such file before 6.5",
    "backing_file:user_path.dentry": "mappings on overlayfs have no such file before 6.5",
    "backing_file:user_path.mnt": "mappings on overlayfs have no such file before 6.5",
    "cred:ucounts": "credentials hold no ucounts before 5.14",
    "enum:tty_driver_type:TTY_DRIVER_TYPE_PTY": "a macro, of the same value, before 6.18",
    "fuse_chan:conn": "the connection itself is there before 7.2",
    "fuse_dev:chan": "the connection itself is there before 7.2",
    "fuse_dev:fc": "behind a channel in 7.2",
    "io_ring_ctx:cancel_table_locked.hbs": "there from 6.0 to 6.9",
    "io_ring_ctx:cancel_table_locked.hash_bits": "there from 6.0 to 6.9",
    "io_ring_ctx:cancelable_uring_cmd": "no such requests before 6.7",
    "sizeof:ovl_layer": "no module tells it before 5.11, nor its fields",
    "net_device:priv": "right behind the structure before 6.10",
    "pid_namespace:pid_max": "one limit for all, kernel.pid_max, before 6.14",
    "ucounts:rlimit": "what users have of RLIMIT_MSGQUEUE is counted elsewhere before 5.14",
    "super_block:s_bdev_file": "holds the device, and no file, before 6.9",
}

# What each kernel cannot give (see analyzer.memory.features for what that costs).
LACKS: dict[str, set[str]] = {
    "5.10": {
        "all-namespaces", "unix-tables", "io-workers", "io-polled", "borrowed-files",
        "loop-devices", "overlay-directories", "overlay-layers", "autofs-pipes", "tun-interfaces",
        "vsock-addresses", "binary-formats",
        "fuse-daemons",
    },
    "6.1": {"all-namespaces", "io-workers", "borrowed-files", "binary-formats"},
    "6.12": {"all-namespaces"},
    "6.18": set(),
    "7.2": set(),
}  # fmt: skip
NOT_ON_ARM64 = {"system-calls"}
IN_A_MODULE = {"linux-5.10-amd64": {"kvm-eventfds"}}  # which tells nothing of itself before 5.11

# Which of its places the count of an object is in.
COUNTERS = {
    "FILE": {"5.10": "f_count.counter", "6.12": "f_count.counter", "6.18": "f_ref.refcnt.counter"},
    "NSPROXY": {"5.10": "count.counter", "6.1": "count.counter", "6.12": "count.refs.counter"},
    "CRED": {"5.10": "usage.counter", "6.18": "usage.counter"},
    "MM": {"5.10": "mm_users.counter", "6.18": "mm_users.counter"},
    "UTS_NS": {"5.10": "kref.refcount.refs.counter", "6.1": "ns.count.refs.counter"},
    "USER_NS": {"5.10": "count.counter", "6.1": "ns.count.refs.counter"},
    "MNT_NS": {"5.10": "count.counter", "6.12": "ns.count.refs.counter"},
    "NET_NS": {
        "5.10": "count.refs.counter",
        "6.12": "ns.count.refs.counter",
        "6.18": "ns.__ns_ref.refs.counter",
    },
}


class Table:
    """Answers like a Btf, from a table; what it was never asked is a KeyError."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def field(self, struct: str, path: str) -> Field | None:
        answer = self._answers[f"{struct}:{path}"]
        return None if answer is None else Field(*answer)


@cache
def read(path: Path) -> Answers:
    answers: Answers = json.loads(path.read_text())["answers"]
    return answers


def version(path: Path) -> str:
    return path.stem.split("-")[1]


def layout(answers: Answers) -> Layout:
    return Layout(lambda: cast("Btf", Table(answers)))


def unanswered(answers: Answers, wanted: Iterable[Question]) -> set[Question]:
    return {q for q in wanted if not q.optional and all(answers[key] is None for key in q.keys)}


def lacks(answers: Answers) -> set[str]:
    """Return what is missing if every module is loaded."""
    return {one.name for one in missing(layout(answers), lambda _: True)}


def excused(answers: Answers) -> set[str]:
    lacking = lacks(answers)
    lost = [feature for feature in FEATURES if feature.name in lacking]
    return {
        *(f"{struct}:{path}" for one in lost for struct, paths in one.places for path in paths),
        *(key for sides in EITHER.values() for side in sides for key in side),
        *NOTHING_LOST,
    }


@pytest.fixture(params=TABLES, ids=lambda path: path.stem)
def table(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_the_kernels_that_we_know() -> None:
    assert {version(path) for path in TABLES} == set(LACKS)
    assert {path.stem.split("-")[2] for path in TABLES} == {"amd64", "arm64"}


@pytest.mark.parametrize("module", list(questions.sources()), ids=lambda path: path.stem)
def test_no_question_hides_in_a_variable(module: Path) -> None:
    assert list(questions.hidden(module.read_text())) == []


def test_a_question_in_a_variable_is_found() -> None:
    text = "def f(m):\n    names = {'x': 'y'}\n    m.gather(1, 'file', names)\n"
    assert list(questions.hidden(text)) == ["line 3: names"]


def test_every_question_was_put_to_every_kernel(table: Path) -> None:
    new = set(questions.every_key()) - set(read(table))
    assert not new, "run scripts/kernel_btf.py again (its docstring says how)"


def test_every_field_is_there_or_known_to_be_missing(table: Path) -> None:
    answers = read(table)
    known = excused(answers)
    lost = {q for q in unanswered(answers, questions.asked()) if not known.issuperset(q.keys)}
    assert not lost, (
        "give its place on this kernel, or make it a feature (analyzer.memory.features)"
    )


@pytest.mark.parametrize("name", EITHER)
def test_where_one_is_not_there_the_other_is(name: str, table: Path) -> None:
    answers = read(table)
    there = [side for side in EITHER[name] if all(answers[key] is not None for key in side)]
    assert there or UNLESS_LACKING.get(name) in lacks(answers)


@pytest.mark.parametrize("side", [side for sides in EITHER.values() for side in sides])
def test_no_alternative_is_idle(side: list[str]) -> None:
    there = {all(read(path)[key] is not None for key in side) for path in TABLES}
    assert there == {True, False}


@pytest.mark.parametrize("key", NOTHING_LOST)
def test_no_excuse_is_idle(key: str) -> None:
    assert {read(path)[key] is None for path in TABLES} == {True, False}


def test_what_a_kernel_cannot_give_is_told(table: Path) -> None:
    expected = LACKS[version(table)] | (NOT_ON_ARM64 if table.stem.endswith("arm64") else set())
    assert lacks(read(table)) == expected | IN_A_MODULE.get(table.stem, set())


def test_a_pointer_is_a_pointer_and_a_count_a_number(table: Path) -> None:
    answers = read(table)
    for question in (q for q in questions.asked() if q.pointer or q.counter):
        found = [Field(*answers[key]) for key in question.keys if answers[key] is not None]
        if question.pointer:
            assert all(one.pointer and one.size == 8 for one in found), str(question)
        if question.counter:
            assert all(one.size in (4, 8) and not one.elements for one in found), str(question)


@pytest.mark.parametrize(
    ("kind", "at", "path"),
    [(kind, at, path) for kind, places in COUNTERS.items() for at, path in places.items()],
)
def test_the_count_is_read_where_this_kernel_has_it(kind: str, at: str, path: str) -> None:
    one = registry()[kind]
    for where in TABLES:
        if version(where) == at:
            found = layout(read(where)).first(one.struct, [c.path for c in one.counters])
            assert found is not None
            assert found[0] == path


def test_a_field_that_is_gone_everywhere_is_noticed() -> None:
    answers = {"file:f_ref": None, "file:f_count": [0, 8], "mm_struct:gone": None, "rq:x": None}
    wanted = [
        field("file", ("f_ref", "f_count")),
        field("mm_struct", "gone"),
        field("rq", "x", optional=True),
    ]
    assert unanswered(answers, wanted) == {field("mm_struct", "gone")}


def test_a_feature_needs_all_of_its_fields() -> None:
    places = [place for feature in FEATURES for place in feature.places]
    everything = {f"{struct}:{path}": [0, 8] for struct, paths in places for path in paths}
    assert missing(layout(everything), lambda _: True) == ()
    for feature in FEATURES:
        for struct, paths in feature.places:
            without = {**everything, **{f"{struct}:{path}": None for path in paths}}
            lost = missing(layout(without), lambda _: True)
            assert feature.name in [one.name for one in lost]
            assert all(one.effect and one.needs for one in lost)


def test_what_a_module_brings_is_not_missed_without_the_module() -> None:
    answers = read(next(path for path in TABLES if version(path) == "5.10"))
    of_modules = {feature.name for feature in FEATURES if feature.module}
    assert of_modules <= lacks(answers)
    lost = {one.name for one in missing(layout(answers), "loop".__eq__)}
    assert lost & of_modules == {"loop-devices"}


class TestQuestions:
    """How the questions are found in the source."""

    @pytest.mark.parametrize(
        ("call", "expected"),
        [
            ('m.gather(a, "task", {"x": "pid"})', [field("task", "pid")]),
            ('m.gather(a, "task", {"x": ("__state", "state")})',
             [field("task", ("__state", "state"))]),
            ('m.gather(a, "net", {}, optional={"x": "list"})',
             [field("net", "list", optional=True)]),
            ('memory.layout.sizeof("upid")', [Question(("sizeof:upid",))]),
            ('memory.offset("task", "tasks")', [field("task", "tasks")]),
            ('memory.has("rq", "idle")', [field("rq", "idle", optional=True)]),
            ('layout.enumerator("maple", "leaf")', [Question(("enum:maple:leaf",))]),
            ('m.gather(a, "task", _FIELDS)', [field("task", "comm")]),
            ("m.gather(a, struct, fields)", []),
            ('print("task", "tasks")', []),
        ],
    )  # fmt: skip
    def test_a_call_is_understood(self, call: str, expected: list[Question]) -> None:
        text = f'_FIELDS: Final = {{"x": "comm"}}\ndef f():\n    return {call}\n'
        assert list(questions.in_source(text)) == expected

    def test_the_source_is_read(self) -> None:
        asked = {str(question) for question in questions.asked()}
        assert {
            "file:f_ref.refcnt.counter or file:f_count.counter",  # a kind's counter
            "nsproxy:uts_ns",  # a kind's pointer
            "vm_area_struct:vm_flags or vm_area_struct:__vm_flags",  # a walk
            "task_struct:__state or task_struct:state",  # a constant of a module
            "net:ns",
        } <= asked

"""Plots as a picky reader sees them: true titles, nothing that overlaps or is cut, equal bytes.

Rewrite the golden texts with CRANALYZE_GOLDEN=write, then read the difference, and look at the
pictures (`cranalyze plot`).
"""

from __future__ import annotations

import math
import os
import re
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.text import Text

import analyzer
from analyzer import cli, plots
from analyzer.changes.identity import By
from analyzer.check.leaks import check
from analyzer.core import model
from analyzer.core.errors import BadInputError
from analyzer.core.model import PlotName
from analyzer.plots import _style, base, border, life
from analyzer.report.make import make
from analyzer.report.value import ReportOptions
from analyzer.snapshot.tables import build
from analyzer.snapshot.value import Snapshot
from analyzer.writers.terminal import headline
from tests.build import Machine, Obj

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt
    from matplotlib.axes import Axes

    from analyzer.report.value import Report

GOLDEN = Path(__file__).parents[1] / "golden" / "plots"
NASTY = "a\udcff\n\x1b[2J$x_{1}^$ 中文 \U0001fae0\u202eevil/" + "long/" * 60
ANSWERS = ("contained", "leaks", "undecided")
KINDS = ("border", "diff", "dumbbell", "heatmap", "life", "namespaces", "sets")
SMALLEST = 7.0  # points
FEW = (*ANSWERS, "hostile", "empty", "crowd")
READ = {
    "border": (*FEW, "many"), "dumbbell": (*FEW, "many"), "heatmap": FEW, "sets": FEW,
    "life": ("empty", "many", "hostile"), "namespaces": ("empty", "hostile", "namespaces"),
    "diff": ("empty", "crowd", "hostile"),
}  # fmt: skip
RECORD = {"source": {"name": "procfs", "notes": []}}


def contained() -> Machine:
    made = Machine()
    made.task(1, 0, comm="init")
    made.task(100, 1, comm="app", nspid=1)
    made.task(101, 100, comm="worker", nspid=2)
    tables = [made.object("FILE_TABLE", 1, holders=[(tid, "files")]) for tid in (100, 101)]
    made.object("FILE", 1, name="/srv/data.db", holders=[(tables[0], "fd", 3)])
    made.object("FILE", 2, name="pipe:[9]", holders=[(table, "fd", 4) for table in tables])
    made.object("MM", 1, holders=[(100, "mm")])
    return made


def leaking() -> Machine:
    made = contained()
    made.task(77, 1, comm="logger")
    outside = made.object("FILE_TABLE", 1, holders=[(77, "files")])
    made.rows["objects"][2]["refcount"] = 4
    made.rows["references"] += [
        {
            "holder_kind": "FILE_TABLE",
            "holder": outside.objref,
            "target": 3,
            "association": "fd",
            "slot": 7,
            "weight": 2,
            "detail": None,
        }
    ]
    made.object("SIGHAND", 9, holders=[(100, "sighand"), (77, "sighand")])
    return made


def undecided() -> Machine:
    made = contained()
    for row in made.rows["objects"]:
        row["refcount"] = None
    return made


def housed() -> Machine:
    """Namespaces of the host's and of a container's own, one of them kept by a bind mount."""
    made = contained()
    root = made.object("USER_NS", 9, name="user:[1]", initial=True)
    own = made.object("USER_NS", 9, name="user:[2]", holders=[])
    made.reference(root, own, "parent")
    for tid, user in ((1, root), (100, own)):
        cred = made.object("CRED", 1, holders=[(tid, "cred")])
        made.reference(user, cred, "cred.user_ns")
    nets = []
    for name, user, tid in (("net:[3]", root, 1), ("net:[4]", own, 100), ("net:[5]", own, 0)):
        nets.append(made.object("NET_NS", 1, name=name, initial=user is root))
        made.reference(user, nets[-1], "owner")
        if tid:
            used = made.object("NSPROXY", 1, holders=[(tid, "nsproxy")])
            made.reference(nets[-1], used, "nsproxy.net")
    nsfs = made.object("NSFS", 1)
    made.reference(nets[-1], nsfs, "nsfs")
    made.reference(nsfs, made.object("MOUNT", None, name="/run/netns/blue"), "bind")
    return made


def hostile() -> Machine:
    made = Machine()
    made.task(77, 1, comm=NASTY)
    made.task(100, 77, comm=NASTY)
    fds = [made.object("FILE_TABLE", 1, holders=[(task, "files")]) for task in (100, 77)]
    for number in range(60):
        held = [(fds[0], "fd", number), (fds[1], "fd", number)]
        made.object("FILE", 2, name=f"/srv/{number}{NASTY}", holders=held)
    return made


def empty() -> Machine:
    made = Machine()
    made.task(100, 1, comm="app", nspid=1)
    return made


def crowd(objects: int, processes: int = 60) -> Machine:
    """Many inside and many outside, who hold as many objects in ever other sets."""
    made = Machine()
    made.task(100, 1, comm="root", nspid=1)
    inside = [made.task(1000 + n, 100, comm=f"inside-{n}") for n in range(processes)]
    outside = [made.task(9000 + n, 1, comm=f"outside-{n}") for n in range(processes)]
    tables = [made.object("FILE_TABLE", 1, holders=[(tid, "files")]) for tid in inside + outside]
    for number in range(objects):
        mine = tables[number % processes]
        other = tables[processes + number * 7 % (processes - 1)]
        holders = [(mine, "fd", number), (other, "fd", number + 5, 1 + number % 400)]
        name = f"/srv/{'deep/' * (number % 30)}{number}.db"
        made.object("FILE", 2 + number % 403, name=name, holders=holders)
    return made


def many(leaks: int) -> Snapshot:
    """As many leaks, made by the column."""
    snapshot = leaking().snapshot(100)
    own, slots = np.arange(3, leaks + 3), np.arange(leaks)
    kinds = ["FILE_TABLE"] * 2 + ["FILE"] * leaks
    flags = np.zeros(leaks + 2, np.bool_)
    objects = {
        "objref": np.arange(1, leaks + 3),
        "kind": kinds,
        "initial": flags,
        "stable": ~flags,
        "refcount": np.r_[1, 1, np.full(leaks, 2)],
        "address": np.arange(leaks + 2) * 64,
        "name": [None, None, *(f"/srv/{number}" for number in range(leaks))],
    }
    references = {
        "holder_kind": ["TASK"] * 2 + ["FILE_TABLE"] * (2 * leaks),
        "holder": np.r_[100, 77, np.full(leaks, 1), np.full(leaks, 2)],
        "target": np.r_[1, 2, own, own],
        "association": ["files"] * 2 + ["fd"] * (2 * leaks),
        "slot": np.r_[0, 0, slots, slots],
        "weight": np.ones(2 * leaks + 2, np.int64),
    }
    changed = {"objects": build(model.OBJECTS, objects)}
    changed["references"] = build(model.REFERENCES, references)
    return Snapshot(snapshot.meta, {**snapshot.tables, **changed})


def reported(snapshot: Snapshot) -> Report:
    return make(snapshot, check(snapshot), ReportOptions("report", all=True))


MACHINES: dict[str, Callable[[], Snapshot]] = {
    "contained": lambda: contained().snapshot(100),
    "leaks": lambda: leaking().snapshot(100),
    "undecided": lambda: undecided().snapshot(100, **RECORD),
    "namespaces": lambda: housed().snapshot(100),
    "hostile": lambda: hostile().snapshot(100),
    "empty": lambda: empty().snapshot(100),
    "crowd": lambda: crowd(200).snapshot(100),
    "many": lambda: many(2000),
}


@cache
def report(name: str) -> Report:
    return reported(MACHINES[name]())


@cache
def drawn(kind: str, name: str) -> Figure:
    return laid_out(kind, report(name))


def laid_out(kind: str, *reports: Report) -> Figure:
    """The figure, laid out as it is drawn."""
    figure = base.figure(plots.named(kind), reports)
    with _style.styled():
        figure.draw_without_rendering()
    return figure


@cache
def rendered(kind: str, form: str = "svg") -> bytes:
    """The plot of the leaks as a file."""
    return base.render(plots.named(kind), [report("leaks")], form)


def shown(figure: Figure) -> list[Text]:
    """The texts that a reader sees: ticks out of range have labels, and are not drawn."""
    unseen = set()
    for ax in (child for top in figure.axes for child in (top, *top.child_axes)):
        hidden = not ax.axison
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            for place, tick in zip(axis.get_majorticklocs(), axis.get_major_ticks(), strict=True):
                if hidden or not low <= place <= high:
                    unseen |= {tick.label1, tick.label2}
            if hidden:
                unseen.add(axis.label)
    texts = figure.findobj(Text)
    return [t for t in texts if t.get_visible() and t.get_text().strip() and t not in unseen]


def boxes(texts: list[Text]) -> npt.NDArray[np.float64]:
    """Where the letters of each are (x0, y0, x1, y1), a little less than all of it."""
    found = [Text.get_window_extent(text).padded(-1).extents for text in texts]
    return np.array(found).reshape(len(texts), 4)


def overlapping(extents: npt.NDArray[np.float64]) -> list[list[int]]:
    """Which of them lie on each other, in pairs."""
    low, high = extents[:, None, :2], extents[:, None, 2:]
    meet = ((low < extents[None, :, 2:]) & (extents[None, :, :2] < high)).all(axis=2)
    found: list[list[int]] = np.argwhere(np.triu(meet, 1)).tolist()
    return found


def slanted_apart(texts: list[Text]) -> None:
    """Slanted labels beside each other are further apart than a line is high."""
    for one, other in pairwise(texts):
        angle = math.radians(one.get_rotation())
        start, end = (t.get_transform().transform(t.get_position()) for t in (one, other))
        distance = abs((end - start) @ (-math.sin(angle), math.cos(angle)))
        assert distance > float(one.get_fontsize()) * 100 / 72


def read(figure: Figure) -> None:
    """Read a picture as somebody picky does."""
    texts = shown(figure)
    assert min(float(text.get_fontsize()) for text in texts) >= SMALLEST
    extents = boxes(texts)
    cut = (extents[:, :2] < figure.bbox.min) | (extents[:, 2:] > figure.bbox.max)
    assert not [texts[at].get_text() for at in np.flatnonzero(cut.any(axis=1))]
    slanted = [text for text in texts if text.get_rotation() not in {0, 90}]
    slanted_apart(slanted)
    straight = [text for text in texts if text not in slanted]
    lying = overlapping(boxes(straight))
    assert not [[straight[at].get_text() for at in pair] for pair in lying]
    for ax in figure.axes:
        if legend := ax.get_legend():
            assert not legend.get_window_extent().padded(-1).overlaps(ax.bbox)
    width, height = figure.get_size_inches()
    assert 4 <= width <= 14
    assert 0.9 <= height <= 16


def title(figure: Figure) -> str:
    return figure.axes[0].get_title(loc="left").replace("\n", " ")


def states(kind: str, name: str) -> str:
    """The title, without drawing it."""
    return plots.named(kind).picture([report(name)], None).title


def said(figure: Figure) -> str:
    return "".join(f"{text.get_text()}\n" for text in shown(figure))


@pytest.mark.parametrize(
    ("kind", "name"),
    [(k, n) for k, names in READ.items() for n in names],
)
def test_a_picky_reader_finds_nothing(kind: str, name: str) -> None:
    read(drawn(kind, name))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *((k, n) for k in ("border", "dumbbell", "heatmap", "sets") for n in ANSWERS),
        *(("namespaces", "namespaces"), ("life", "leaks")),
    ],
)
def test_what_is_written_is_golden(kind: str, name: str) -> None:
    path = GOLDEN / f"{kind}-{name}.txt"
    found = said(drawn(kind, name))
    if os.environ.get("CRANALYZE_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(found)
    assert found == path.read_text()


@pytest.mark.parametrize("name", MACHINES)
def test_no_title_disagrees_with_the_check(name: str) -> None:
    summary = report(name).summary
    for kind in ("border", "dumbbell"):
        assert states(kind, name) == headline(report(name))
    if name in {"leaks", "crowd", "many", "hostile"}:
        shared = f"{summary.usage_leak:,}"
        assert f" {shared} of the subtree's" in states("heatmap", name)
        assert f" {shared} also from outside" in states("sets", name)
    if name == "undecided":
        assert states("heatmap", name).startswith("undecided: ")


def test_what_has_no_room_is_counted() -> None:
    assert "1 outside, each" in said(drawn("dumbbell", "many"))
    assert "2,000 open files\n" in said(drawn("border", "many"))
    assert "… and 41 more\n" in said(drawn("heatmap", "crowd"))
    assert "… and 45 more: " in said(drawn("sets", "crowd"))
    assert "1,962 that were always there\n" in said(drawn("life", "many"))


@pytest.mark.parametrize("name", ["leaks", "crowd"])
def test_no_line_of_the_border_runs_through_words(name: str) -> None:
    ax = drawn("border", name).axes[0]
    words = [t.get_window_extent() for t in ax.texts if re.match(r"fd|uses", t.get_text())]
    lines = [p for p in ax.patches if isinstance(p, PathPatch)]
    assert words
    assert lines
    for line in lines:
        way = line.get_transform().transform_path(line.get_path())
        assert not any(way.intersects_bbox(box.padded(-0.5), filled=False) for box in words)


def test_the_words_of_the_border_are_the_essential_ones() -> None:
    said = border._said([*dict.fromkeys(map(border._short, ["fd 4: is open", "fd 4 (cloexec)"]))])
    assert said == "fd 4"
    assert border._said(["maps it", "fd 1", "fd 2"]) == "maps it, +2 more"
    cut = border._said(["is held by what has a very long name indeed", "fd 1"])
    assert re.fullmatch(r"is held by .*…, \+1 more", cut)


def test_a_process_is_one_whichever_thread_holds() -> None:
    made = contained()
    made.task(102, 1, comm="io-thread", tgid=100)
    made.object("FS", 1, holders=[(102, "fs")])
    for kind in ("heatmap", "sets"):
        words = said(laid_out(kind, reported(made.snapshot(100))))
        assert words.count("\napp (100)") == 1
        assert "io-thread" not in words


def test_who_holds_a_namespace_outside_is_said_beside_it() -> None:
    made = housed()
    made.task(77, 1, comm="backup")
    table = made.object("FILE_TABLE", 1, holders=[(77, "files")])
    objects = made.rows["objects"]
    net = next(row["objref"] for row in objects if row.get("name") == "net:[4]")
    nsfs = made.object("NSFS", 1)
    made.reference(Obj(net, "NET_NS"), nsfs, "nsfs")
    made.reference(nsfs, made.object("FILE", 1, holders=[(table, "fd", 4)]), "nsfs.file")
    objects[net - 1]["refcount"] = 2
    words = said(base.figure(plots.named("namespaces"), [reported(made.snapshot(100))]))
    assert "app (100); outside: fd 4 of backup (77)\n" in words


def test_names_are_shown_and_harm_nobody() -> None:
    """As they are where the font has them, and else as escapes: no warning, no formula."""
    drawable = _style.drawable(NASTY)
    assert drawable.startswith(r"a\xff\n\e[2J$x_{1}^$ \u4e2d\u6587 \U0001fae0\u202eevil/long/")
    assert _style.drawable("Größe/日") == r"Größe/\u65e5"
    for kind in KINDS:
        assert "\x1b" not in said(drawn(kind, "hostile"))
    assert b"\x1b" not in base.render(plots.named("border"), [report("hostile")], "svg")


def test_text_is_never_wider_than_measured() -> None:
    figure = Figure()
    with _style.styled():
        for text in (
            "/usr/lib/x86_64-linux-gnu/libWWW.so",
            "iiii llll iiii llll",
            "Größe ÄÖÜ",
            "AVAVAV To",
        ):
            drawn_text = figure.text(0, 0, text, fontsize=8)
            assert drawn_text.get_window_extent().width / 100 <= _style.inches(text, 8)
            short = _style.fitting(text, 8, 0.3)
            assert "…" in short
            assert _style.inches(short, 8) <= 0.3
    assert _style.fitting("anything", 8, 0.0) == "…"


@pytest.mark.parametrize(
    ("form", "start"), [("svg", b"<?xml"), ("pdf", b"%PDF"), ("png", b"\x89P")]
)
def test_a_picture_is_of_the_form_it_says(form: str, start: bytes) -> None:
    assert rendered("sets", form).startswith(start)
    assert base.render(plots.named("sets"), [report("leaks")], form) == rendered("sets", form)


def test_the_users_settings_are_neither_changed_nor_obeyed() -> None:
    plain = rendered("sets")
    with mpl.rc_context({"font.size": 40, "font.family": "cursive", "axes.grid": True,
                         "savefig.bbox": "tight", "svg.fonttype": "none"}):  # fmt: skip
        before = dict(mpl.rcParams)
        assert base.render(plots.named("sets"), [report("leaks")], "svg") == plain
        assert dict(mpl.rcParams) == before


def test_axes_of_ones_own_are_drawn_on() -> None:
    figure = Figure(figsize=(16, 8))
    kinds = get_args(PlotName)
    for ax, kind in zip(figure.subplots(2, 4).flat, kinds, strict=False):
        given: Axes = ax
        assert analyzer.plot(report("crowd"), kind, given) is given
        assert given.get_title(loc="left")
    figure.draw_without_rendering()
    rows = figure.axes[kinds.index("dumbbell")].get_yticklabels()
    assert 4 <= len(rows) <= 16, "as many rows as there is room for"


def test_without_axes_pyplot_has_a_figure_of_the_right_size() -> None:
    from matplotlib import pyplot as plt

    with mpl.rc_context({"backend": "agg"}):
        ax = analyzer.plot(leaking().snapshot(100), "dumbbell")
        try:
            assert ax.figure is plt.gcf()
            assert title(plt.gcf()) == headline(report("leaks"))
        finally:
            plt.close()


def test_an_unknown_plot_lists_the_known_ones() -> None:
    with pytest.raises(BadInputError, match=r"no plot pie\\n; .*dumbbell.*sets"):
        analyzer.plot(report("leaks"), "pie\n")  # type: ignore[arg-type]
    with pytest.raises(BadInputError, match="of one report, not of 2"):
        analyzer.plot([report("leaks"), report("contained")], "sets")
    with pytest.raises(BadInputError, match="not of 0"):
        analyzer.plot([], "life")


def test_every_plot_is_documented() -> None:
    assert set(plots.registry()) == set(KINDS)
    for plot in plots.registry().values():
        assert plot.summary
        words = plot.draw.__doc__ or ""
        assert "Returns the axes" in words
        assert "Raises" in words


def snapshots(**changes: Any) -> Iterator[Snapshot]:  # noqa: ANN401 - of meta
    """Three: a file comes, one goes, one is shared late; the memory of one is used again."""
    for index in range(3):
        made = contained()
        table, rows = made.object("FILE_TABLE", 1, holders=[(1, "files")]), made.rows["objects"]
        rows[2] |= {"ino": 7, "dev": 1, "flags": 2}
        rows[3] |= {"ino": (8, 8, 9)[index], "name": ("/a", "/a", "/b")[index]}
        if index:
            made.object("FILE", 1, name="/new", ino=5, holders=[(Obj(1, "FILE_TABLE"), "fd", 20)])
        if index == 2:
            made.reference(Obj(3, "FILE"), table, "fd", 1)
            rows[2]["refcount"] = 2
        yield made.snapshot(100, monotonic_ns=int(index * 90e9), **changes)


LATER = {"addresses": "hashed", "address_key": "0a1b2c3d"}


def test_life_tells_what_came_what_went_and_what_is_shared_late() -> None:
    taken = [reported(snapshot) for snapshot in snapshots(**LATER)]
    figure = laid_out("life", taken[2], taken[0], taken[1])
    read(figure)
    words = said(figure)
    assert "from 5 to 6 objects in 3 snapshots: 2 new, 1 gone, 1 shared late" in title(figure)
    assert By.ADDRESS.words in words.replace("\n", " ")
    assert "\n0 s\n90 s\n3 min\n" in words
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert rows[0] == "/srv/data.db", "what is shared late comes first"
    assert {"/new", "open file /b", "/b"} & set(rows[1:5])


@pytest.mark.parametrize(
    "other", [{"address_key": "ffffffff"}, {"addresses": "none", "address_key": None}]
)
def test_life_without_comparable_addresses_goes_by_process_and_descriptor(
    other: dict[str, Any],
) -> None:
    first, *_, last = snapshots(**LATER)
    changed = Snapshot({**last.meta, **other}, last.tables)
    figure = base.figure(plots.named("life"), [reported(first), reported(changed)])
    assert By.HOLDER.words in said(figure).replace("\n", " ")
    assert title(figure).startswith("from 5 to 6 objects in 2 snapshots: 2 new, 1 gone")


def test_life_refuses_what_cannot_be_compared() -> None:
    one, two, _ = snapshots(**LATER)
    boot = Snapshot({**two.meta, "boot_id": "other"}, two.tables)
    with pytest.raises(BadInputError, match="different boots"):
        analyzer.plot([one, boot], "life", Figure().subplots())
    with pytest.raises(BadInputError, match="different processes"):
        analyzer.plot(
            [reported(one), make(two, check(two, 101), ReportOptions())],
            "life",
            Figure().subplots(),
        )


def test_a_diff_tells_what_there_is_more_and_less_of() -> None:
    taken = [reported(snapshot) for snapshot in snapshots(**LATER)]
    figure = laid_out("diff", taken[0], taken[2])
    read(figure)
    words = said(figure)
    path = GOLDEN / "diff-two.txt"
    if os.environ.get("CRANALYZE_GOLDEN") == "write":
        path.write_text(words)
    assert words == path.read_text()
    assert title(figure) == "something is new: 1 leak new"
    assert "leaks: open files\n" in words
    assert "fd of app (100): files\n" in words
    assert "1 new\n" in words
    assert "how many\n" in words
    assert By.ADDRESS.words in words.replace("\n", " ")
    with pytest.raises(BadInputError, match="of two snapshots, not of 3"):
        analyzer.plot(taken, "diff", Figure().subplots())
    same = laid_out("diff", taken[0], taken[0])
    read(same)
    assert title(same).startswith("nothing new")
    assert title(laid_out("diff", taken[0])) == "only one snapshot to compare"


def command(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = cli.main(["plot", *words])
    out, err = capsys.readouterr()
    return code, out + err


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the snapshots of one process, and one of another boot."""
    for number, snapshot in enumerate(snapshots(**LATER)):
        snapshot.save(tmp_path / f"{number}.crz")
    leaking().snapshot(100, boot_id="another").save(tmp_path / "other.crz")
    os.utime(tmp_path / "other.crz", (1, 1))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_writes_pictures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(capsys, "other.crz", "-o", "a.svg") == (
        0,
        "cranalyze: wrote a.svg: the plot border\n",
    )
    assert (folder / "a.svg").read_bytes() == rendered("border")
    assert command(capsys, "--kind", "life", "-o", "life.PNG")[0] == 0
    taken = [reported(snapshot) for snapshot in snapshots(**LATER)]
    expected = base.render(plots.named("life"), taken, "png")
    assert (folder / "life.PNG").read_bytes() == expected, "all here but that of another boot"
    code, listed = command(capsys, "--list")
    assert code == 0
    assert [line.split()[0] for line in listed.splitlines()] == list(KINDS)


REFUSED = [
    (["-o", "a.gif"], "a.gif ends with none of .png, .svg, .pdf"),
    (["-o", "a.svg", "--format", "bmp"], "--format bmp: a picture is one of png, svg and pdf"),
    (["-o", "-"], "say --format"),
    ([], "name the picture"),
    (["-o", "0.crz", "--format", "png"], "0.crz exists"),
    (["-o", "no/a.png"], "there is no folder no"),
    (
        ["--kind", "pie", "-o", "a.png"],
        "no plot pie; there are: border, diff, dumbbell, heatmap,",
    ),
    (["0.crz", "1.crz", "-o", "a.png"], "--kind border is of one snapshot, not of 2"),
    (["0.crz", "other.crz", "--kind", "life", "-o", "a.png"], "different boots"),
]


@pytest.mark.parametrize(("words", "line"), REFUSED, ids=[line for _, line in REFUSED])
def test_the_command_refuses_in_one_line(
    words: list[str], line: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(folder.iterdir())
    code, said_so = command(capsys, *words)
    assert code == 2
    assert line in said_so
    assert said_so.count("\n") == 1
    assert sorted(folder.iterdir()) == before


def test_one_snapshot_has_no_history_and_says_so() -> None:
    assert title(drawn("life", "leaks")) == "only one snapshot: 6 objects"


def test_the_headline_of_life_says_what_its_rows_show() -> None:
    leak, calm = model.Verdict.USAGE_LEAK, model.Verdict.CONTAINED
    doubt = model.Verdict.UNSTABLE
    lives = [
        life._Life("freed", (leak, leak, calm)),
        life._Life("late", (calm, calm, leak)),
        life._Life("between", (None, leak, None)),
        life._Life("away", (calm, None, calm)),
        life._Life("wavered", (calm, doubt, calm)),
        life._Life("new", (None, calm, calm)),
    ]
    said = life._title(lives, 3)
    assert said.endswith(
        ": 1 new, 1 there in between, 1 away for a while, 1 shared late, 1 no longer shared, "
        "1 undecided at times"
    )
    assert life._title([life._Life("same", (leak, leak))], 2).endswith(": all the same")

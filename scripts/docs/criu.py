"""docs/criu.md: the rules of the CRIU pre-flight, as the code has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.criu import QUIET, RULES, Outcome
from analyzer.criu.base import VERSION
from scripts.docs.markdown import NOTE, cell, page, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.criu import Rule

_INTRO: Final = f"""\
`cranalyze check SUBJECT --for criu` says what [CRIU](https://criu.org) would do with a subtree,
before anything is frozen: **everything** that `criu dump` would refuse, not the first of it; what
it dumps without a word and does not restore as it was; and the commands with the options that it
takes, or what has to go first. It exits with 16 where CRIU would refuse something without options,
or could not restore it; the check itself, its numbers and its verdicts, are what they are without.

The rules are tables, measured with CRIU {VERSION} on Linux 6.18 (its own test programs, and some
130 things that cross a border); a rule that holds for other versions says so. They know CRIU's
defaults and no plugins, and CRIU run on the host, outside of the subtree. Where a runtime stands
beside a container (conmon, containerd-shim, lxc-start, ...), it calls CRIU with options of its own:
what it is known to see to is told as that.

What is not known of is said to be: an open file of an anonymous inode of a type that CRIU
{VERSION} does not list is refused, and of a relation or a kind that came after this table
nothing is known. From `/proc` alone less is seen than from the kernel's memory, and the list is
shorter than what CRIU would find.

`cranalyze report FILE --for criu` says it of a snapshot, on any machine and later: `collect` keeps
what it takes, the mounts of the subtree too. It is told as text, and with `--json`, `--markdown`,
`--html`, `--junit` (a failure for each rule by which CRIU stops), `--sarif` and `--github`.
"""
_MEANS: Final = {
    Outcome.REFUSES: "`criu dump` fails with this message, unless the option is there",
    Outcome.FAILS: "the dump is made, and the restore fails or hangs",
    Outcome.UNKNOWN: "nothing is known of it",
    Outcome.SILENT: "the dump is made, and afterwards something is not the same",
    Outcome.RUNTIME: "a container's runtime does what it takes",
}


def criu_page() -> str:
    """Return docs/criu.md."""
    means = [(outcome.value, _MEANS[outcome]) for outcome in Outcome]
    parts = [NOTE, "# Will it checkpoint? The CRIU pre-flight", _INTRO,
             table(("outcome", "means"), means)]  # fmt: skip
    for outcome in Outcome:
        rules = [rule for rule in RULES.values() if rule.outcome is outcome]
        if rules:
            parts += [f"## {outcome.value}", _MEANS[outcome] + ".", _rules(rules)]
    kinds = [(f"`{kind}`", why) for kind, why in QUIET.items()]
    parts += ["## What is told as something else", table(("kind", "why"), kinds)]
    return page(parts)


def _rules(rules: list[Rule]) -> str:
    head = ("rule", "what", "CRIU says", "option", "afterwards, or how it goes away")
    return table(head, [tuple(map(cell, _row(rule))) for rule in rules])


def _row(rule: Rule) -> Iterator[str]:
    yield f"`{rule.name}`" + (f" ({rule.versions})" if rule.versions != VERSION else "")
    yield rule.at + (" (a runtime sees to it)" if rule.by_runtime else "")
    where = f" ({rule.where})" if rule.where else ""
    yield f"{rule.message}{where}".strip()
    options = [f"`{rule.option}`"] if rule.option else []
    if rule.restore and rule.restore != rule.option:
        options.append(f"restore: `{rule.restore}`")
    yield "; ".join(options)
    yield "; ".join(filter(None, (rule.then, rule.remove)))

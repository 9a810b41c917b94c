"""The page of policies and of checks in CI, and the JSON Schema of a policy, from its keys."""

from __future__ import annotations

import inspect
import json
import re
from typing import TYPE_CHECKING, Any, Final

from analyzer.report import policy
from scripts.docs import markdown as md

if TYPE_CHECKING:
    from collections.abc import Iterator

_TEXT: Final = {"type": "string", "minLength": 1, "maxLength": 1000}
_TYPES: Final = {
    "text": "a text",
    "pattern": "a pattern",
    "patterns": "a pattern, or a list",
    "word": "a word",
    "words": "a word, or a list",
    "flag": "true or false",
    "count": "a number",
    "date": "a date",
    "slots": "descriptors",
}
_GITHUB: Final = """```yaml
- name: The container is on its own
  run: |
    pid=$(docker container inspect --format '{{.State.Pid}}' web)
    sudo env "PATH=$PATH" cranalyze check "$pid" \\
      --policy cranalyze-policy.toml --sarif cranalyze.sarif --force ||
      sudo env "PATH=$PATH" cranalyze check "$pid" --policy cranalyze-policy.toml --github
- uses: github/codeql-action/upload-sarif@v3
  if: always()
  with:
    sarif_file: cranalyze.sarif
```"""
_GITLAB: Final = """```yaml
contained:
  script:
    - cranalyze check docker:web --policy cranalyze-policy.toml --junit --output cranalyze.xml
  artifacts:
    when: always
    reports:
      junit: cranalyze.xml
```"""
_PYTEST: Final = """```python
from analyzer.testing import assert_contained

def test_the_container_is_on_its_own(web):
    assert_contained("podman:web", policy="cranalyze-policy.toml")
```"""
_BATS: Final = """```bash
@test "the container is on its own" {
    run cranalyze check podman:web --policy cranalyze-policy.toml
    [ "$status" -eq 0 ]
}
```"""


def policy_page() -> str:
    """Return docs/policy.md."""
    return md.page(_parts())


def _parts() -> Iterator[str]:
    yield "# Policies, baselines, CI"
    yield md.NOTE
    about = inspect.getdoc(policy) or ""
    example = re.search(r"\n\n((?:    .*\n|\n)+)", about)
    first, _, rest = about.partition("\n\n")
    yield first
    if example is not None:
        lines = [line.removeprefix("    ") for line in example[1].strip("\n").splitlines()]
        yield "```toml\n" + "\n".join(lines).strip() + "\n```"
        rest = about[example.end() :]
    yield md.docstring(rest.strip())
    yield (
        "`cranalyze check SUBJECT --policy FILE` uses one, `--write-policy FILE` makes one of "
        "what gates today, a rule for each sort of finding, with its reasons to be filled in. "
        "What a policy covers is one line of the report, `waived` in `--json`, skipped in "
        "`--junit`, and suppressed in `--sarif`. The schema, for editors, is "
        "[schemas/policy.json](schemas/policy.json)."
    )
    rows = [
        (f"`{key}`", _TYPES[one.type], md.cell(one.meaning)) for key, one in policy.KEYS.items()
    ]
    yield md.table(("key of a rule", "is", "what it means"), rows)
    yield (
        "In a pattern `*` stands for anything, slashes too, `?` for one character, `[ab]` for "
        "one of some (fnmatch(3)). `holder.` keys are asked of every holder outside: one "
        "stranger more, or a reference that nobody is named for, and the rule does not hold."
    )
    yield "## Baselines"
    yield (
        "`--baseline FILE` takes a report of `--json`, or a snapshot (`*.crz`): what was "
        "found there does not gate, and only what is new does. Findings are the same by kind, "
        "relation, path, descriptors and programs outside (`identities` in the JSON), never "
        "by pid, inode or address."
    )
    yield "## What the owner of a machine decides"
    yield (
        "`[policy] subtree_allowed` in `$XDG_CONFIG_HOME/cranalyze.toml` (or `--config FILE`) "
        "is linux-cr's sysctl `ckpt_subtree_allowed`: when it is false, `--subtree` may not "
        "be used, and a check needs CAP_SYS_ADMIN."
    )
    yield "## In GitHub Actions"
    yield _GITHUB
    yield "## In GitLab"
    yield _GITLAB
    yield "## In pytest, and in bats"
    yield _PYTEST
    yield _BATS


def policy_schema() -> str:
    """Return docs/schemas/policy.json."""
    rule: dict[str, Any] = {}
    holder: dict[str, Any] = {}
    for key, one in policy.KEYS.items():
        where, name = (holder, key.removeprefix("holder.")) if "." in key else (rule, key)
        where[name] = {**_shape(one), "description": one.meaning}
    rule["holder"] = {"type": "object", "additionalProperties": False, "properties": holder}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A policy of cranalyze",
        "type": "object",
        "required": ["version"],
        "additionalProperties": False,
        "properties": {
            "version": {"const": policy.VERSION},
            "allow": {
                "type": "array",
                "maxItems": policy.MOST_RULES,
                "items": {
                    "type": "object",
                    "required": ["reason"],
                    "additionalProperties": False,
                    "properties": rule,
                },
            },
        },
    }
    return json.dumps(schema, indent=1) + "\n"


def _shape(one: policy.Key) -> dict[str, Any]:
    # Kinds and relations are many, and come and go: the file that is read is held to them.
    few = one.words is not None and one.field not in {"kinds", "relations"}
    word: dict[str, Any] = {"enum": list(one.words())} if few and one.words else _TEXT
    shapes: dict[str, dict[str, Any]] = {
        "flag": {"type": "boolean"},
        "count": {"type": "integer", "minimum": 1},
        "date": {"type": "string", "format": "date"},
        "slots": {"type": ["string", "integer"]},
        "text": _TEXT,
        "pattern": _TEXT,
        "word": word,
    }
    several = {"anyOf": [word, {"type": "array", "minItems": 1, "items": word}]}
    return shapes.get(one.type, several)

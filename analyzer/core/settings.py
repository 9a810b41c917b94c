"""What the owner of a machine decides.

In `$XDG_CONFIG_HOME/cranalyze.toml`, or the file that `--config` names::

    [policy]
    subtree_allowed = true

`subtree_allowed` is linux-cr's sysctl `ckpt_subtree_allowed`: when it is false, `--subtree` may not
be used, and every check needs CAP_SYS_ADMIN. A key that is not known is an error, so that a
misspelt policy is not a policy that silently does nothing.
"""

from __future__ import annotations

import os
from typing import Any, Final

from analyzer.core.errors import BadInputError
from analyzer.core.files import open_own
from analyzer.core.values import dataclass

FILE_NAME: Final = "cranalyze.toml"
_MAX_BYTES: Final = 16 << 10  # tomllib takes a minute for a dotted key of 100,000 parts
_SAID: Final = 200  # characters of what a stranger wrote that an error repeats
_KEYS: Final = {"policy": {"subtree_allowed": bool}}


@dataclass(frozen=True)
class Settings:
    """What a machine's owner decided."""

    subtree_allowed: bool = True
    ignored: str = ""  # why the default file was not read, though there is one


def default_path() -> str:
    """Return where the settings are looked for: the file need not be there."""
    home = os.environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(home):  # the XDG base directory specification ignores relative ones
        home = os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(home, FILE_NAME)


def load(path: str | None = None) -> Settings:
    """Read the settings from `path`, by default from `default_path()` where that exists.

    A default file that cannot be read, or that root finds to be another user's, is ignored, which
    the settings say. Raises BadInputError for a named file that is not there, and for one that is
    not right.
    """
    where = default_path() if path is None else path
    # As root nothing is taken from another user (sudo -E), whose settings are not the machine's.
    strict = path is None and os.geteuid() == 0
    try:
        with os.fdopen(open_own(where), "rb") if strict else open(where, "rb") as file:
            text = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        if path is None:
            there = "\0" not in where and os.path.lexists(where)
            return Settings(ignored=f"{where} is not read: {_why(error)}" if there else "")
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            raise BadInputError(f"there is no settings file {where}") from error
        raise BadInputError(f"cannot read the settings {where}: {error}") from error
    if len(text) > _MAX_BYTES:
        raise BadInputError(f"the settings {where} are larger than {_MAX_BYTES} bytes: refused")
    return _parsed(text, where)


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _parsed(text: bytes, where: str) -> Settings:
    import tomllib

    try:
        found = tomllib.loads(text.decode())
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits is a ValueError too
        said = " ".join(str(error).split())[:_SAID]
        raise BadInputError(f"the settings {where} are not TOML: {said}") from error
    for section, values in found.items():
        if section not in _KEYS or not isinstance(values, dict):
            raise BadInputError(f"{where}: unknown section {section[:_SAID]!r}; known is: [policy]")
        for key, value in values.items():
            _check_key(section, key, value, where)
    return Settings(**found.get("policy", {}))


def _brief(value: Any) -> str:  # noqa: ANN401 - TOML
    """Return a value as an error shows it, whatever it is and however deep."""
    if isinstance(value, str | float):
        return f"{value!r:.{_SAID}}"
    return "a number" if isinstance(value, int) else "a list, a table or a time"


def _check_key(section: str, key: str, value: Any, where: str) -> None:  # noqa: ANN401 - TOML
    wanted = _KEYS[section].get(key)
    if wanted is None:
        known = ", ".join(_KEYS[section])
        raise BadInputError(f"{where}: [{section}] has no key {key[:_SAID]!r}; known are: {known}")
    if type(value) is not wanted:
        raise BadInputError(f"{where}: [{section}] {key} must be true or false, is {_brief(value)}")

"""Where snapshots are and where results go: folders and object stores, by their URLs.

fsspec reads both; what it needs for a store (s3fs, gcsfs, adlfs) it names. A file is written whole
or not at all: on a local disk without a name until it is, in a store in one put.
"""

from __future__ import annotations

import contextlib
import os
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from analyzer.core.errors import BadInputError, CranalyzeError, NotPermittedError
from analyzer.core.files import why_not_written, write_file
from analyzer.core.text import printable
from analyzer.core.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

_VERSIONS: Final = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "created")
_WILD: Final = frozenset("*?[")
_SUFFIX: Final = ".crz"
UNKNOWN: Final = "__HIVE_DEFAULT_PARTITION__"
"""What a partition is called, in a path, that is not known."""


@dataclass(frozen=True)
class Found:
    """A file in a place: its URL, its size, and a mark that changes when its content does."""

    url: str
    size: int
    mark: str


def absolute(url: str) -> str:
    """Return a URL as it is, and a path as one that means the same in every process."""
    return url if "://" in url or "::" in url else os.path.abspath(url)


def find(pattern: str) -> tuple[list[Found], list[str]]:
    """Return the snapshots that a URL, a pattern or a folder (and all below it) names, by URL.

    With them come the folders that may not be looked into; raises NotPermittedError if there is
    nothing else.
    """
    refused: list[str] = []
    with explained(pattern, "look into"):
        fs, path = _store(pattern)
        told = _told(fs, path, refused)
        if refused and not told:
            raise PermissionError
    found = [_found(fs, name, info) for name, info in told.items() if info["type"] == "file"]
    return sorted(found, key=lambda one: one.url), refused


def _told(fs: Any, path: str, refused: list[str]) -> dict[str, dict[str, Any]]:  # noqa: ANN401 - of any store
    if not _WILD & set(path):
        if not fs.isdir(path):
            with contextlib.suppress(FileNotFoundError):
                return {path: fs.info(path)}
            return {}
        path = f"{path.rstrip('/')}/**/*{_SUFFIX}"
    looked = _noticing(refused) if _local(fs) else fs
    told: dict[str, dict[str, Any]] = looked.glob(path, detail=True)
    return told


def _noticing(refused: list[str]) -> Any:  # noqa: ANN401 - a store
    """Return the local files; of folders that may not be looked into fsspec's own says nothing."""
    from fsspec.implementations.local import LocalFileSystem

    class Noticing(LocalFileSystem):  # type: ignore[misc]
        def ls(self, path: str, *args: Any, **more: Any) -> Any:  # noqa: ANN401 - as theirs
            try:
                return super().ls(path, *args, **more)
            except PermissionError:
                refused.append(path)
                raise

    return Noticing(skip_instance_cache=True)


def _found(fs: Any, name: str, info: dict[str, Any]) -> Found:  # noqa: ANN401 - of any store
    url = name if _local(fs) else fs.unstrip_protocol(name)
    version = next((info[key] for key in _VERSIONS if info.get(key)), "")
    data = f"{url}\x1f{info['size']}\x1f{version}".encode("utf-8", "surrogateescape")
    return Found(url, int(info["size"] or 0), blake2b(data, digest_size=16).hexdigest())


def read(url: str) -> bytes:
    """Return what is in a file."""
    with explained(url, "read"):
        fs, path = _store(url)
        data: bytes = fs.cat_file(path)
    return data


class Folder:
    """A folder that results are kept in."""

    def __init__(self, url: str) -> None:
        """Be the folder at `url`, which need not be there."""
        self.url = url
        with explained(url, "open"):
            self._fs, path = _store(url)
        self._path: str = path.rstrip("/")

    def names(self, below: str) -> set[str]:
        """Return the paths of the files in a folder in it and below that."""
        with explained(self.url, "look into"):
            self._fs.invalidate_cache()
            try:
                found: list[str] = self._fs.find(f"{self._path}/{below}")
            except FileNotFoundError:
                return set()
        return {name[len(self._path) + 1 :] for name in found}

    def table(self, schema: Any, where: Any) -> Any:  # noqa: ANN401 - pyarrow has no types
        """Return the rows of all results in it that an expression holds of, None without any.

        A column of the schema that is not in a file (of an older version) is null there.
        """
        import pyarrow.dataset as ds

        with explained(self.url, "read"):
            names = [name for name in self.names("") if not name.startswith(("_", "."))]
            paths = sorted(f"{self._path}/{name}" for name in names if name.endswith(".parquet"))
            if not paths:
                return None
            hive = ds.HivePartitioning(schema, null_fallback=UNKNOWN)
            told = ds.dataset(
                paths, schema, "parquet", self._fs, hive, partition_base_dir=self._path
            )
            return told.to_table(filter=where)

    def put(self, name: str, data: bytes) -> None:
        """Write a file in it, whole; one that is there is replaced."""
        path = f"{self._path}/{name}"
        with explained(f"{self.url}/{name}", "write"):
            if not _local(self._fs):
                self._fs.pipe_file(path, data)
                return
            os.makedirs(os.path.dirname(path), exist_ok=True)
            write_file(path, data, force=True)

    def remove(self, name: str) -> None:
        """Take a file away, if it is there."""
        with explained(f"{self.url}/{name}", "write"), contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(f"{self._path}/{name}")


def _store(url: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    fs, path = url_to_fs(url)
    return fs, path


def _local(fs: Any) -> bool:  # noqa: ANN401 - of any store
    return "file" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)


@contextlib.contextmanager
def explained(url: str, to: str) -> Iterator[None]:
    """Turn what a store raises into one line: without rights it is NotPermittedError."""
    shown = printable(url)
    try:
        yield
    except CranalyzeError:
        raise
    except PermissionError as error:
        raise NotPermittedError(f"cannot {to} {shown}: no permission") from error
    except ImportError as error:  # a store whose package is not there: it says which
        raise BadInputError(f"cannot {to} {shown}: {error}") from error
    except OSError as error:
        if to == "write":
            raise BadInputError(why_not_written(url, error)) from error
        reason = os.strerror(error.errno) if error.errno else _first_line(error)
        raise BadInputError(f"cannot {to} {shown}: {reason}") from error
    except Exception as error:  # every store has errors of its own
        reason = _first_line(error)
        raise BadInputError(f"cannot {to} {shown}: {type(error).__name__}: {reason}") from error


def _first_line(error: Exception) -> str:
    return printable(str(error).strip().partition("\n")[0])

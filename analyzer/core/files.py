"""How anything is written: every byte of it or an error, and a file whole or not at all.

`write_all` is how bytes get to a descriptor: what write(2) took is counted, so that neither a full
disk, a limit (RLIMIT_FSIZE), a pipe nor a non-blocking descriptor can swallow the rest. `whole` is
the one way to make a file: it has no name (open(2), O_TMPFILE) until it is complete and synced, so
that not even SIGKILL leaves half of it, where the filesystem can do that and /proc is there to name
it by; elsewhere a hidden
temporary file beside it goes away unless it was renamed. What came into being meanwhile is never
replaced without `force`.
"""

from __future__ import annotations

import _signal as signal  # what `signal` is made of: that would import a good deal more
import contextlib
import errno
import os
import select
import stat
from typing import IO, TYPE_CHECKING, Final

from analyzer.core.errors import BadInputError
from analyzer.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENDINGS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # after these we still clean up
_FOLDER: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CLOEXEC
_BY_NUMBER: Final = "/proc/self/fd/{}"  # there may be no /proc
_OTHERS_WRITE: Final = 0o022
_FOR_ALL: Final = 0o644
_NO_LINKS: Final = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data` to a descriptor, waiting for one that does not block; raises OSError."""
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(fd, left) :]
        except BlockingIOError:
            waiting = select.poll()
            waiting.register(fd, select.POLLOUT)
            waiting.poll()


def write_file(path: str, data: bytes, *, force: bool, shared: bool = False) -> None:
    """Write `data` to `path` as `whole` does; raises BadInputError.

    It is its owner's alone to read, unless it is to be `shared` with everybody.
    """
    with whole(path, force=force) as file:
        file.write(data)
        if shared:
            os.fchmod(file.fileno(), _FOR_ALL)


@contextlib.contextmanager
def whole(path: str, *, force: bool) -> Iterator[IO[bytes]]:
    """Give a file to write; it is `path` when the block ends, and nothing is left when it raises.

    Under sudo the file belongs to who called sudo. Raises BadInputError where it cannot be written,
    or exists and `force` is not given.
    """
    refuse_target(path, force=force)
    try:
        folder = os.open(os.path.dirname(path) or ".", _FOLDER)
        try:
            with whole_in(folder, os.path.basename(path), force=force) as file:
                yield file
                file.flush()
                _give_to_caller(file.fileno())
                os.fsync(file.fileno())
            _sync(folder)
        finally:
            os.close(folder)
    except FileExistsError:
        raise BadInputError(
            f"{printable_path(path)} exists: --force replaces it, --output writes elsewhere"
        ) from None
    except OSError as error:
        raise BadInputError(why_not_written(path, error)) from error


@contextlib.contextmanager
def whole_in(folder: int, name: str, *, force: bool) -> Iterator[IO[bytes]]:
    """Do as `whole`, for the entry `name` of an open folder; raises OSError."""
    # Shorter than the target's own name has to be, so that one that just fits leaves room for it.
    temporary = f".cranalyze-{os.urandom(4).hex()}"
    try:
        fd = _without_name(folder)
        nameless = fd is not None
        if fd is None:
            fd = os.open(temporary, _NEW | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
        with os.fdopen(fd, "wb") as file:
            yield file
            file.flush()
            with uninterrupted():
                if nameless:
                    _name(fd, folder, temporary if force else name)
                if force or not nameless:
                    _put_in_place(folder, temporary, name, force=force)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)


def _without_name(folder: int) -> int | None:
    """Make a file without a name; None where there is none, or nothing to name it by later."""
    try:
        fd = os.open(".", _NEW | os.O_TMPFILE, 0o600, dir_fd=folder)
    except OSError:
        return None
    if os.path.lexists(_BY_NUMBER.format(fd)):
        return fd
    os.close(fd)
    return None


def _sync(folder: int) -> None:
    with contextlib.suppress(OSError):  # some filesystems cannot sync a folder
        fd = os.open(".", os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _name(fd: int, folder: int, name: str) -> None:
    """Give a file without a name one, as open(2) has it; FileExistsError where there is another."""
    # With a dir_fd os.link() follows the link of /proc; without one it would link to that.
    os.link(_BY_NUMBER.format(fd), name, dst_dir_fd=folder, follow_symlinks=True)


def _put_in_place(folder: int, temporary: str, name: str, *, force: bool) -> None:
    if force:
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        return
    try:
        # Unlike rename, never replaces what came into being meanwhile.
        os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        with contextlib.suppress(FileNotFoundError):
            os.stat(name, dir_fd=folder, follow_symlinks=False)
            raise FileExistsError from None
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Let no signal that ends a run come between the steps of the block: it arrives after it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDINGS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def open_own(path: str) -> int:
    """Open a file for reading that nobody but ourselves can have put there; raises OSError.

    PermissionError for a file, or a folder on the way to it, that is neither root's nor ours or
    that others can write (a sticky one they can), and for a symbolic link. With the environment of
    another user (sudo -E) a path leads into what is theirs.
    """
    folder = own_folder(os.path.dirname(path))
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(os.path.basename(path), flags, dir_fd=folder)
    finally:
        os.close(folder)
    status = os.fstat(fd)
    mine = status.st_uid in {0, os.geteuid()} and not status.st_mode & _OTHERS_WRITE
    if not mine or not stat.S_ISREG(status.st_mode):
        os.close(fd)
        raise _not_ours(path)
    return fd


def own_folder(path: str, *, make: bool = False) -> int:
    """Open a folder as `open_own` does a file; with `make` those that are not there are made."""
    fd = os.open("/" if path.startswith("/") else ".", _FOLDER)
    try:
        for name in [part for part in path.split("/") if part not in {"", "."}]:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, 0o700, dir_fd=fd)
            inner = _inner(fd, name, path)
            os.close(fd)
            fd = inner
            status = os.fstat(fd)
            open_to_others = status.st_mode & _OTHERS_WRITE and not status.st_mode & stat.S_ISVTX
            if status.st_uid not in {0, os.geteuid()} or open_to_others:
                raise _not_ours(path)  # noqa: TRY301 - the descriptor is closed below
    except BaseException:
        os.close(fd)
        raise
    return fd


def _inner(folder: int, name: str, path: str) -> int:
    try:
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
    except NotADirectoryError:
        if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise _not_ours(path) from None
        raise


def _not_ours(path: str) -> PermissionError:
    return PermissionError(
        errno.EPERM, "it is a link, or another user's, or others can write it", path
    )


def refuse_target(path: str, *, force: bool) -> None:
    """Raise BadInputError when `path` may not be written: it exists, or is no regular file.

    Called before the work as well, so that nobody waits for a result that cannot be kept.
    """
    shown = printable_path(path)
    if os.path.isdir(path):
        raise BadInputError(f"{shown} is a folder: name a file in it (-o)")
    if os.path.lexists(path):
        if os.path.exists(path) and not os.path.isfile(path):
            raise BadInputError(f"{shown} is no regular file: use -o - and redirect stdout")
        if not force:
            raise BadInputError(f"{shown} exists: --force replaces it, --output writes elsewhere")
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise BadInputError(f"cannot write {shown}: there is no folder {printable_path(folder)}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BadInputError(f"cannot write {shown}: no permission to write in its folder")


def printable_path(path: str) -> str:
    """Return a path as an error line may show it."""
    return printable(path)


def why_not_written(path: str, error: OSError) -> str:
    """Return the line that says why `path` could not be written."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    hint = ": free some space, or write elsewhere"
    full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    return f"cannot write {printable_path(path)}: {reason}{hint if full else ''}"


def _give_to_caller(fd: int) -> None:
    """Hand a file that root makes under sudo to who called sudo; it stays private to them."""
    uid, gid = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    if os.geteuid() == 0 and uid.isdecimal() and gid.isdecimal():
        with contextlib.suppress(OSError):  # a filesystem without owners
            os.fchown(fd, int(uid), int(gid))

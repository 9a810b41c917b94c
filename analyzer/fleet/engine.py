"""Who does the work: this process, workers of its own, or those of a Dask scheduler.

Dask maps one function over the snapshots, a few small ones at a time. What a worker that ended was
at is done again by another; what ends every worker that touches it is told as unread, and the rest
goes on. No more tasks are handed out than keep the workers busy, so that a fleet of any size needs
the same memory.

The workers of our own are processes on this machine that speak TLS on the loopback address under a
key that nobody else has: whoever can speak to a worker can let it do anything.
"""

from __future__ import annotations

import contextlib
import gc
import logging
from typing import TYPE_CHECKING, Any, Final

from analyzer.core.errors import BadInputError
from analyzer.core.text import printable
from analyzer.fleet.check import check, lost

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from analyzer.fleet.check import Came
    from analyzer.fleet.places import Found

    Batch = list[Found]

_AHEAD: Final = 4  # tasks for each thread of a worker
_TOGETHER: Final = 16  # snapshots of a task
_MUCH: Final = 1 << 20  # bytes of one
_PATIENCE: Final = 10  # seconds
_CONFIG: Final = {"distributed.worker.profile.enabled": False}  # which costs a third of the time
_KILLED: Final = "every worker that read it was killed (too little memory?)"


def serial(found: Sequence[Found], folder: str) -> Iterator[Came]:
    """Check snapshots one after the other, in this process."""
    gc.enable()  # the program needs it for nothing shorter
    for one in found:
        yield check(one, folder)


def spread(found: Sequence[Found], folder: str, client: Any) -> Iterator[Came]:  # noqa: ANN401 - Dask's
    """Check snapshots by the workers of a client of Dask, in any order."""
    from distributed import KilledWorker, as_completed

    ahead = _AHEAD * max(sum(client.nthreads().values()), 1)
    left = _batches(found, min(_TOGETHER, len(found) // ahead))
    alone: list[Batch] = []
    running: dict[str, Batch] = {}

    def some(most: int) -> list[Any]:
        made: list[Any] = []
        while len(made) < most and (batch := alone.pop() if alone else next(left, None)):
            made.append(client.submit(_checked, batch, folder, pure=False))
            running[made[-1].key] = batch
        return made

    done = as_completed(some(ahead))
    for future in done:
        batch = running.pop(future.key)
        try:
            yield from future.result()
        except KilledWorker:
            if len(batch) == 1:
                yield lost(batch[0], folder, _KILLED)
            else:  # by one of them
                alone += [[one] for one in batch]
        future.release()
        for more in some(1):
            done.add(more)


def _checked(batch: Batch, folder: str) -> list[Came]:
    return [check(one, folder) for one in batch]


def _batches(found: Sequence[Found], most: int) -> Iterator[Batch]:
    """Yield what is done as one task: several if they are small, since each task costs."""
    batch: Batch = []
    for one in found:
        if batch and (len(batch) >= most or sum(each.size for each in batch) > _MUCH):
            yield batch
            batch = []
        batch.append(one)
    if batch:
        yield batch


@contextlib.contextmanager
def own(workers: int) -> Iterator[Any]:
    """Give a client of worker processes on this machine, which end with the block."""
    import dask
    from distributed import LocalCluster

    with (
        _quietly(),
        dask.config.set(_CONFIG),
        LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, host="127.0.0.1",
            dashboard_address=None, security=True, silence_logs=logging.CRITICAL,
        ) as cluster,
        cluster.get_client() as client,
    ):  # fmt: skip
        yield client


@contextlib.contextmanager
def at(address: str) -> Iterator[Any]:
    """Give a client of the scheduler at an address; raises BadInputError if none is there."""
    from distributed import Client

    with _quietly():
        try:
            client = Client(address, timeout=_PATIENCE)
        except (OSError, ValueError) as error:
            raise BadInputError(f"no scheduler answers at {printable(address)}") from error
        with client:
            try:
                client.wait_for_workers(1, timeout=_PATIENCE)
            except TimeoutError as error:
                raise BadInputError(
                    f"the scheduler at {printable(address)} has no workers"
                ) from error
            yield client


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Let Dask say nothing of its own, and let there be no end of what it leaves behind."""
    gc.enable()
    log = logging.getLogger("distributed")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)

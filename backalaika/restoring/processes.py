"""Processes: a pool that reads volumes; it is started in two milliseconds, and ends with the command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..run.pool import Pool, SerialExecutor, process_context, start_tracker
from ..run.stopping import signals_held
from .worker import warm_up

if TYPE_CHECKING:
    from multiprocessing.synchronize import Lock


def make_turn() -> Lock:
    """What one process of a pool has at a time, and is given to all of them when they start."""
    return process_context().Lock()


@contextmanager
def processes(workers: int, start: Callable[..., None], arguments: tuple[Any, ...] = ()) -> Iterator[Executor]:
    """A pool of this many processes; 0 does all work in this one.

    Args:
        workers: how many.
        start: called first in each, or here, with ``arguments``; it leaves signals to this process.
        arguments: plain values, and what `make_turn` gives.
    """
    if workers == 0:
        start(*arguments)
        yield SerialExecutor()
        return
    start_tracker()
    pool = Pool(workers, start, arguments)
    with signals_held():
        for _ in range(workers):  # each task starts one process more while none is idle
            pool.submit(warm_up)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)

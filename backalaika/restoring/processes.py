"""Processes: a pool that reads volumes; it is started in two milliseconds, and ends with the command."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

from ..run.pool import SerialExecutor, process_context, start_tracker
from ..run.stopping import signals_held
from .worker import warm_up

P = ParamSpec("P")
T = TypeVar("T")


@contextmanager
def processes(workers: int, start: Callable[..., None], arguments: tuple[Any, ...] = ()) -> Iterator[Executor]:
    """A pool of this many processes; 0 does all work in this one.

    Args:
        workers: how many.
        start: called first in each, or here, with ``arguments``; it leaves signals to this process.
        arguments: plain values.
    """
    if workers == 0:
        start(*arguments)
        yield SerialExecutor()
        return
    pool = ReplaceablePool(workers, start, arguments)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class ReplaceablePool(Executor):
    """A pool whose processes may be lost to a drive that hangs: then others take their place."""

    def __init__(self, workers: int, start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self._workers, self._initializer, self._arguments = workers, start, arguments
        self._pool = self._start()

    def _start(self) -> ProcessPoolExecutor:
        start_tracker()
        pool = ProcessPoolExecutor(self._workers, process_context(), self._initializer, self._arguments)
        with signals_held():
            for _ in range(self._workers):  # each task starts one process more while none is idle
                pool.submit(warm_up)
        return pool

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As that of any executor."""
        return self._pool.submit(fn, *args, **kwargs)

    def replace(self) -> None:
        """Kill all processes, whatever they are at, and start others. No future of before is done after that.

        A process that waits for a drive ends when that has given up, and nobody waits for it here.
        """
        for process in multiprocessing.active_children():
            process.kill()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool = self._start()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As that of any executor."""
        self._pool.shutdown(wait=wait, cancel_futures=cancel_futures)

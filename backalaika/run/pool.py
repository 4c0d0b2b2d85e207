"""Pool: the processes that compress, behind `concurrent.futures.Executor`.

On Linux processes are forked, which takes 2 milliseconds where a fresh interpreter takes 80, but only while this
process has no other thread (a job file may start one): a fork in the midst of threads may hang. Else they are spawned;
no process relies on what it inherits. ``forkserver`` would be a third way, and fails where the name of the folder for
temporary files is long.
No process but this one hears CTRL-C, from its first instruction on: `stopping` tells what it means.

What a pool's processes are to do goes through a pipe, into which a thread of the pool writes. When they end while it is
full, the write waits for ever, and until Python 3.11.4 so does the pool, which waits for that thread
(https://github.com/python/cpython/issues/94777); later ones do if yet another process has the pipe. `Pool` does not.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from .memory import attach_block
from .stopping import leave_to_parent, signals_held

if TYPE_CHECKING:
    from ..job.config import Config
    from .turns import Turns

P = ParamSpec("P")
T = TypeVar("T")

# How long a process that was killed may take to end, unless a drive keeps it.
_DEATH_S = 2.0
# The thread that writes ends within a millisecond, unless its pipe is full and nobody reads.
_LAST_WRITE_S = 0.2


def process_context() -> BaseContext:
    """How processes of a run are started."""
    if sys.platform == "linux" and threading.active_count() == 1:
        return multiprocessing.get_context("fork")
    return multiprocessing.get_context("spawn")


def start_tracker() -> None:
    """Start the process with which `multiprocessing` keeps track of what has names, if one will be needed.

    Starting it lets signals through again. So it must be there before a process is started with signals held.
    """
    if process_context().get_start_method() == "spawn" and sys.platform != "win32":
        resource_tracker.ensure_running()


class SerialExecutor(Executor):
    """Does each task at once, in this process: for debugging, and for one who wants no processes."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Do the task; the future is done when this returns."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # what a pool's process would send back
            future.set_exception(error)
        return future


class Pool(ProcessPoolExecutor):
    """A pool that ends with its processes, however these do.

    Args:
        workers: how many processes, which `process_context` starts.
        start: called first in each, with ``arguments``.
    """

    def __init__(self, workers: int, start: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        super().__init__(workers, process_context(), start, arguments)
        self._calls: Any = self._call_queue  # type: ignore[attr-defined] # its base forgets it in the end
        # Nothing is lost by that: in an orderly end the processes are waited for, and take all that is written.
        self._calls.cancel_join_thread()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As that of its base; with ``wait``, the thread that writes has ended too, unless somebody keeps its pipe."""
        super().shutdown(wait, cancel_futures=cancel_futures)
        writing = self._calls._thread
        if not wait or writing is None:
            return
        writing.join(_LAST_WRITE_S)
        if writing.is_alive():
            self._calls._reader.close()  # as a rule nobody else reads any more, and the write fails
            writing.join(_LAST_WRITE_S)


def start_pool(workers: int, memory_name: str, slot_bytes: int, turns: Turns | None = None) -> Executor:
    """A pool whose processes are starting already.

    Args:
        workers: how many processes; 0 does all work in this one.
        memory_name: of the shared memory with the slots.
        slot_bytes: size of one slot.
        turns: when each of them may read; None: always.
    """
    if workers == 0:
        from .worker import attach_slots

        attach_slots(attach_block(memory_name), slot_bytes)
        return SerialExecutor()
    from .worker import start_worker, warm_up

    pool = Pool(workers, leave_to_parent, (start_worker, memory_name, slot_bytes, turns))
    with signals_held():
        for _ in range(workers):  # each task starts one process more while none is idle
            pool.submit(warm_up)
    return pool


def stop_pool(pool: Executor, at_once: bool) -> None:
    """End the pool's processes; ``at_once`` does not wait for the tasks they are at."""
    if at_once and isinstance(pool, Pool):
        for process in multiprocessing.active_children():
            if process.name != WRITER_NAME:
                process.terminate()
    pool.shutdown(wait=True, cancel_futures=True)


def kill_pool(pool: Executor) -> bool:
    """End the pool's processes, whatever they are at; whether they have ended.

    One that a drive keeps ends when that gives up, which may be never. Then the pool's thread stays too, for it waits
    for them: the program is to leave without waiting for its threads and processes.
    """
    processes = multiprocessing.active_children()
    for process in processes:
        process.kill()
    left = {process.sentinel for process in processes}
    end = time.monotonic() + _DEATH_S
    while left and (remaining_s := end - time.monotonic()) > 0:
        left.difference_update(wait(left, remaining_s))
    pool.shutdown(wait=not left, cancel_futures=True)
    return not left


WRITER_NAME = "backalaika-writer"


def worker_count(asked: int | None, config: Config) -> int:
    """Processes that a run has: what was asked for, else what the configuration says, else one for each CPU."""
    if asked is not None:
        return asked
    # Those who wait for the disk leave their processors to others.
    return config.workers if config.workers is not None else available_cpus() + (config.readers or 0)


def available_cpus() -> int:
    """CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def start_process(target: Callable[..., Any], args: tuple[Any, ...], name: str) -> multiprocessing.Process:
    """A process of the run beside the pool's."""
    process: multiprocessing.Process = process_context().Process(  # type: ignore[attr-defined]
        target=leave_to_parent, args=(target, *args), name=name, daemon=True
    )
    with signals_held():
        process.start()
    return process

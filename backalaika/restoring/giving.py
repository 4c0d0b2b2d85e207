"""Giving: tasks to the processes of a restore, and what has become of them; also whether a medium hangs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from typing import Any, NamedTuple

from ..run.pool import kill_pool
from .asking import HangsError
from .signs import Signs
from .worker import JoinTask, Outcome, Task

_POLL_S = 0.2


class Patience(NamedTuple):
    """For how many seconds a medium is waited for; where it is noted how long it has been; and titles by numbers."""

    timeout_s: float
    signs: Signs
    title_of: Callable[[int], str]


class _Given(NamedTuple):
    """A task that a process has, or will have."""

    volume: int
    task: Task | JoinTask


class Giving:
    """All tasks that are at work.

    Args:
        pool: the processes.
        stop: called often; raises KeyboardInterrupt if the user wants to stop.
        patience: None waits for ever.
    """

    def __init__(self, pool: Executor, stop: Callable[[], None], patience: Patience | None) -> None:
        self._pool, self._stop, self._patience = pool, stop, patience
        self._given: dict[Future[Outcome], _Given] = {}

    @property
    def has_work(self) -> bool:
        """Whether tasks are still at work."""
        return any(not future.done() for future in self._given)

    def give(self, volume: int, work: Callable[[Any], Outcome], task: Task | JoinTask) -> None:
        """Give a task; no more than twice as many as there are processes, and one, may read a medium at a time."""
        if self._patience is not None and isinstance(task, Task):
            task = task._replace(slot=self._patience.signs.take())
        self._given[self._pool.submit(work, task)] = _Given(volume, task)

    def results(self, most: int) -> Iterator[tuple[int, Outcome]]:
        """Wait until no more than so many tasks are at work; each that is done, with the number of its volume.

        Raises:
            HangsError: a process has waited too long for its medium.
            KeyboardInterrupt: the user wants to stop.
        """
        while len(self._given) > most:
            done, _ = wait(self._given, _POLL_S, FIRST_COMPLETED)
            hangs = self._hanging()
            for future in done:
                outcome = future.result()  # raises what the task did; then it counts as never heard of
                volume, task = self._given.pop(future)
                if self._patience is not None and isinstance(task, Task) and task.slot is not None:
                    self._patience.signs.give_back(task.slot)
                yield volume, outcome
            self._stop()
            if hangs is not None:
                raise hangs

    def cancel(self) -> None:
        """What has not begun need not be done."""
        for future in self._given:
            future.cancel()

    def kill(self) -> bool:
        """End all processes, whatever they are at; whether they have ended."""
        return kill_pool(self._pool)

    def unheard(self) -> list[Task | JoinTask]:
        """Tasks that may have begun, and of which nobody knows how far they came."""
        return [given.task for given in self._given.values()]

    def _hanging(self) -> HangsError | None:
        """What to raise if a process has waited too long for its medium."""
        if self._patience is None:
            return None
        timeout_s, waited = self._patience.timeout_s, self._patience.signs.waited()
        for given in self._given.values():
            task = given.task
            if isinstance(task, Task) and task.slot is not None and waited[task.slot] > timeout_s:
                hangs = HangsError(task.folder, timeout_s)
                hangs.medium = self._patience.title_of(given.volume)
                return hangs
        return None

"""Giving: tasks to the processes of a restore, and what has become of them; also whether a medium hangs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
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


@dataclass(slots=True)
class _Given:
    """A task that a process has, or will have; ``shown`` are files and bytes of it that were shown as done."""

    volume: int
    task: Task | JoinTask
    shown: tuple[int, int] = (0, 0)


class Giving:
    """All tasks that are at work.

    Args:
        pool: the processes.
        stop: called often; raises KeyboardInterrupt if the user wants to stop.
        patience: None waits for ever.
        show: is told files and bytes that are done more, and a name, while a task that says so is at work.
    """

    def __init__(
        self,
        pool: Executor,
        stop: Callable[[], None],
        patience: Patience | None,
        show: Callable[[int, int, str], None],
    ) -> None:
        self._pool, self._stop, self._patience, self._show = pool, stop, patience, show
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
            self._show_how_far()
            for future in done:
                outcome = future.result()  # raises what the task did; then it counts as never heard of
                given = self._given.pop(future)
                volume, task, outcome.shown = given.volume, given.task, given.shown
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

    def _show_how_far(self) -> None:
        """Of tasks that take long, and say how far they are."""
        if self._patience is None:
            return
        for given in self._given.values():
            if not isinstance(given.task, Task) or given.task.slot is None:
                continue
            files, size = self._patience.signs.done(given.task.slot)
            if (files, size) > given.shown:
                self._show(files - given.shown[0], size - given.shown[1], os.fsdecode(given.task.archive))
                given.shown = files, size

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

"""Giving: tasks to the processes of a restore, and what has become of them; also where a medium hangs.

When a process has waited too long for its medium, the others come to the end of what they are at, and nobody begins
anything new. Then all are replaced: those that hang cannot be ended in any other way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from typing import Any, NamedTuple

from ..errors import BackalaikaError
from .processes import ReplaceablePool
from .signs import Signs
from .worker import JoinTask, Outcome, Task

_POLL_S = 0.2


class HangsError(BackalaikaError):
    """A medium gives nothing any more."""


class Patience(NamedTuple):
    """For how many seconds a medium is waited for; and where it is noted how long it has been."""

    timeout_s: float
    signs: Signs


class _Given(NamedTuple):
    """A task that a process has, or will have."""

    volume: int
    work: Callable[[Any], Outcome]
    task: Task | JoinTask

    @property
    def slot(self) -> int | None:
        """Where it is noted that it waits for a medium, if it reads one."""
        return self.task.slot if isinstance(self.task, Task) else None


class Giving:
    """All tasks that are at work.

    Args:
        pool: the processes.
        workers: how many.
        stop: called often; raises KeyboardInterrupt if the user wants to stop.
        patience: None waits for ever.
    """

    def __init__(self, pool: Executor, workers: int, stop: Callable[[], None], patience: Patience | None) -> None:
        self._pool, self._workers, self._stop, self._patience = pool, workers, stop, patience
        self._given: dict[Future[Outcome], _Given] = {}
        # Some tasks will not be done, whatever the medium does now.
        self._is_given_up = False

    @property
    def has_work(self) -> bool:
        """Whether tasks are still at work."""
        return any(not future.done() for future in self._given)

    def give(self, volume: int, work: Callable[[Any], Outcome], task: Task | JoinTask) -> None:
        """Give a task; no more than twice as many as there are processes, and one, may read a medium at a time."""
        if self._patience is not None and isinstance(task, Task):
            task = task._replace(slot=self._patience.signs.take())
        self._given[self._pool.submit(work, task)] = _Given(volume, work, task)

    def results(self, most: int) -> Iterator[tuple[int, Outcome]]:
        """Wait until no more than so many tasks are at work; each that is done, with the number of its volume.

        Raises:
            HangsError: a process waits for its medium, and all that could be done meanwhile is done.
            KeyboardInterrupt: the user wants to stop.
        """
        while len(self._given) > most or self._is_given_up:
            done, _ = wait(self._given, _POLL_S, FIRST_COMPLETED)
            for future in done:
                yield self._taken_back(future).volume, future.result()
            self._stop()
            if not done and self._hangs():
                timeout_s = self._patience.timeout_s if self._patience is not None else 0
                raise HangsError(f"hangs, and is given up: nothing could be read of it for {timeout_s:g} seconds")

    def cancel(self) -> None:
        """What has not begun need not be done."""
        for future in self._given:
            future.cancel()

    def _taken_back(self, future: Future[Outcome]) -> _Given:
        given = self._given.pop(future)
        if self._patience is not None and given.slot is not None:
            self._patience.signs.give_back(given.slot)
        return given

    def _hangs(self) -> bool:
        """Whether a process has waited too long for its medium, and no other has anything to do."""
        if self._patience is None:
            return False
        signs, timeout_s = self._patience.signs, self._patience.timeout_s
        seen = {future: signs.look(given.slot) for future, given in self._given.items() if given.slot is not None}
        hung = {future for future, (_, waited_s) in seen.items() if waited_s > timeout_s}
        self._is_given_up = self._is_given_up or bool(hung)
        if not self._is_given_up:
            return False
        for future in [future for future in seen if future not in hung and future.cancel()]:
            self._taken_back(future)
        can_begin = len(hung) < self._workers
        if any(can_begin or seen.get(future, (0, 0.0))[0] for future in self._given if future not in hung):
            return False
        self._is_given_up = False
        return True

    def replace(self) -> list[tuple[Task, int]]:
        """Replace all processes; returns the tasks that these were at, and which process was at each."""
        assert self._patience is not None
        assert isinstance(self._pool, ReplaceablePool)
        look = self._patience.signs.look
        lost = [
            (given.task, look(given.slot)[0])
            for given in self._given.values()
            if isinstance(given.task, Task) and given.slot is not None
        ]
        self._pool.replace()
        joining = [given for future in list(self._given) if (given := self._taken_back(future)).slot is None]
        for given in joining:
            self.give(*given)
        return lost

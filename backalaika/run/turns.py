"""Turns: with ``readers``, so many processes read at a time and no more, in the order of the tasks.

A disk with a moving head, or a share of another computer, gives most when it is asked for one file after another in the
order of the tree; while one process waits for it, all others compress. Each task that reads has a number. It begins
when the one before it has begun and fewer than ``readers`` are reading. Numbers are given in the order in which the
pool gets its tasks, and it starts them in that order; so each turn comes, and nobody waits for one who waits for him.

Who reads also says what comes next (`posix_fadvise(2)`), so that the disk need not wait for the reader either.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from ..walk import FILE, Entry, open_file
from .pool import process_context

_LOOK_S = 0.2
# Files of a directory that are open before they are read: 32 of them keep any disk busy.
_FILES_AHEAD = 32
HAS_ADVICE = hasattr(os, "posix_fadvise")


class Turns:
    """The turns of one run; goes to each process of the pool as it starts.

    Args:
        readers: how many may read at a time, at least 1.
    """

    def __init__(self, readers: int) -> None:
        context = process_context()
        self._readers = readers
        self._changed = context.Condition()
        # The turn that may begin next, and how many are under way.
        self._state = context.RawArray("q", 2)
        self._given = 0

    def give(self) -> int:
        """The next number; the main process's to call, when it gives the pool a task or reads itself."""
        self._given += 1
        return self._given - 1

    @contextmanager
    def reading(self, turn: int, while_waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Wait for one's turn; read in here.

        Args:
            turn: the number.
            while_waiting: called now and then; it may raise.
        """
        self._begin(turn, while_waiting)
        try:
            yield
        finally:
            with self._changed:
                self._state[1] -= 1
                self._changed.notify_all()

    def _begin(self, turn: int, while_waiting: Callable[[], None]) -> None:
        while True:
            # One who is killed in here keeps the lock; the run ends by that.
            if self._changed.acquire(timeout=_LOOK_S):
                try:
                    if self._changed.wait_for(lambda: self._comes(turn), _LOOK_S):
                        self._state[0] += 1
                        self._state[1] += 1
                        self._changed.notify_all()
                        return
                finally:
                    self._changed.release()
            while_waiting()

    def _comes(self, turn: int) -> bool:
        return bool(self._state[0] == turn and self._state[1] < self._readers)


class Ahead:
    """The next files of a directory, open already; the system is reading them.

    Args:
        directory: its path.
        descriptor: as `open_file` wants it.
        entries: all of it that will be read, in order.
    """

    def __init__(self, directory: str, descriptor: int | None, entries: Sequence[Entry]) -> None:
        self._directory = directory
        self._descriptor = descriptor
        self._coming = iter([entry for entry in entries if entry.kind == FILE])
        self._open: dict[str, int] = {}
        for _ in range(_FILES_AHEAD):
            self._open_next()

    def _open_next(self) -> None:
        entry = next(self._coming, None)
        if entry is None:
            return
        with suppress(OSError):  # who reads it will meet the same, and tell
            opened = open_file(self._directory, self._descriptor, entry.name)
            self._open[entry.name] = opened
            os.posix_fadvise(opened, 0, entry.size, os.POSIX_FADV_WILLNEED)

    def take(self, name: str) -> int | None:
        """The descriptor of a file, which is the caller's from now on; None if it could not be opened."""
        self._open_next()
        return self._open.pop(name, None)

    def close(self) -> None:
        """Close what was not taken."""
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()


def advise_sequential(descriptor: int) -> None:
    """Say that a file will be read from its start to its end."""
    if HAS_ADVICE:
        with suppress(OSError):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)


def advise_next(descriptor: int, offset: int, size: int) -> None:
    """Say what of a file will be read next."""
    if HAS_ADVICE:
        with suppress(OSError):
            os.posix_fadvise(descriptor, offset, size, os.POSIX_FADV_WILLNEED)

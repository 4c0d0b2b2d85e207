"""Patience: the writer's process waits where a disk is full, and goes on with the very same write.

What needs room on the disk goes through `patiently`. In the writer's process `Inbox` is asked: it tells the main
process, which may ask the user, and reads on until there is room. Orders that come meanwhile are kept, so that nobody
waits for the other in a circle. Elsewhere, in tests, a full disk is an error as any other.

A sync that finds no room is not tried again: what the system could not write may be lost to it by then. And a file
that is too large for its file system is not helped by room.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, TypeVar

T = TypeVar("T")
ROOM_MADE = ("room_made",)
"""What the main process sends when the write shall be tried again."""
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


@dataclass(frozen=True, slots=True)
class DiskFull:
    """An order waits for room on the disk; ``message`` is the system's."""

    message: str


class StopWaitingError(Exception):
    """The run has ended before there was room."""


def _nobody_to_ask(error: OSError) -> None:
    raise error


_ask: Callable[[OSError], None] = _nobody_to_ask


def is_full(error: OSError) -> bool:
    """Whether room on the disk, or a larger quota, would help."""
    return error.errno in _FULL


def patiently(action: Callable[[], T]) -> T:
    """Do what needs room on the disk, again and again until there is; it must have done nothing when it fails.

    Raises:
        OSError: it failed for another reason, or nobody is there to ask.
        StopWaitingError: the run ended meanwhile.
    """
    while True:
        try:
            return action()
        except OSError as error:
            if not is_full(error):
                raise
            _ask(error)


class Inbox:
    """The orders of the writer's process, in their order; ``answer`` tells the main process something."""

    def __init__(self, connection: Connection, answer: Callable[[DiskFull], None]) -> None:
        global _ask
        self._connection = connection
        self._answer = answer
        self._kept: deque[tuple[Any, ...]] = deque()
        _ask = self._wait_for_room

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """All orders until the end, or until the main process is gone."""
        while (order := self._kept.popleft() if self._kept else self._receive()) is not None:
            yield order

    def _receive(self) -> tuple[Any, ...] | None:
        try:
            order: tuple[Any, ...] | None = self._connection.recv()
        except EOFError:
            return None
        return order

    def _wait_for_room(self, error: OSError) -> None:
        self._answer(DiskFull(error.strerror or str(error)))
        while (order := self._receive()) != ROOM_MADE:
            if order is None:
                raise StopWaitingError
            self._kept.append(order)

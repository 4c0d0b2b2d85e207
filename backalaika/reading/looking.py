"""Looking: what must be known of a medium before its files are read, asked of a process that may be lost.

A drive that cannot read a folder or the header of an image keeps who asks for it, and no signal ends that. So another
process looks, and is given up when it has told nothing for a while; the next question starts another.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, TypeVar

from ..errors import ArchiveError, SourceError
from ..run.pool import start_process

_SECONDS_BETWEEN_SIGNS = 0.25
_POLL_S = 0.2
# What a look counts at most, for this process may have been stopped since the one before.
_MOST_S = 1.0

T = TypeVar("T")


class SilenceError(Exception):
    """Nothing was told for so long that the process was given up; the message goes behind a name."""


class KilledError(SourceError):
    """The process that looks was killed, and so was the one that took its place; the message is whole."""


class _DiedError(Exception):
    """The process is no more."""


class _Failed(NamedTuple):
    error: Exception


class _End(NamedTuple):
    """All is told."""


class _Sign(NamedTuple):
    """It lives."""


def _answer(connection: Connection) -> None:
    """What the process does until its pipe is closed."""
    told = 0.0

    def sign() -> None:
        nonlocal told
        now = time.monotonic()
        if now - told > _SECONDS_BETWEEN_SIGNS:
            told = now
            connection.send(_Sign())

    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # nobody wants to know any more
        while True:
            question, arguments = connection.recv()
            try:
                for item in question(sign, *arguments):
                    connection.send(item)
            except (BrokenPipeError, ConnectionResetError):
                return
            except (SourceError, ArchiveError, OSError) as error:
                connection.send(_Failed(error))
            else:
                connection.send(_End())


class Looker:
    """Asks a process of its own. A context manager.

    Args:
        path: of the medium, for messages.
        timeout_s: seconds of silence after which the process is given up; None asks this process itself.
        stop: called often while it is waited for; may raise to end it.

    Attributes:
        is_stuck: whether a process that was given up has not ended, for a drive keeps it.
    """

    def __init__(self, path: str, timeout_s: float | None, stop: Callable[[], None]) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._stop = stop
        self._process: Process | None = None
        self._connection: Connection | None = None
        self._has_died = False
        self.is_stuck = False

    def __enter__(self) -> Looker:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._give_up()

    def ask(self, question: Callable[..., Iterator[T]], *arguments: Any) -> Iterator[T]:
        """What a generator yields there: a function of a module, whose first argument it calls where it goes on.

        Raises:
            SilenceError: it told nothing for so long.
            SourceError, ArchiveError, OSError: it did.
            KilledError: it died, and so did the one that took its place; or when it had told a part of its answer.
        """
        if self._timeout_s is None:
            yield from question(self._stop, *arguments)
            return
        is_done = has_told = False
        try:
            connection = None
            while True:
                try:
                    connection = connection or self._put(question, arguments)
                    message = self._hear(connection, self._timeout_s)
                except _DiedError:
                    self._give_up()
                    connection = None
                    if has_told or self._has_died:
                        raise KilledError(
                            f"{self._path}: the process that looks at the medium was killed; it may need much memory"
                        ) from None
                    self._has_died = True
                    continue
                if isinstance(message, _End | _Failed):
                    is_done = True
                    break
                if not isinstance(message, _Sign):
                    has_told = True
                    yield message
        finally:
            if not is_done:  # it may be in the midst of an answer that nobody wants any more
                self._give_up()
        if isinstance(message, _Failed):
            raise message.error

    def ask_one(self, question: Callable[..., Iterator[T]], *arguments: Any) -> T:
        """The one thing that a generator yields there; raises as `ask` does."""
        [answer] = self.ask(question, *arguments)
        return answer

    def _hear(self, connection: Connection, timeout_s: float) -> Any:
        waited_s, looked = 0.0, time.monotonic()
        while not connection.poll(_POLL_S):
            self._stop()
            now = time.monotonic()
            waited_s, looked = waited_s + min(now - looked, _MOST_S), now
            if waited_s > timeout_s and not connection.poll():
                raise SilenceError(f"given up: nothing could be read of it for {timeout_s:g} seconds")
        self._stop()
        try:
            return connection.recv()
        except (EOFError, OSError):
            raise _DiedError from None

    def _put(self, question: Callable[..., Any], arguments: tuple[Any, ...]) -> Connection:
        connection = self._start()
        try:
            connection.send((question, arguments))
        except (BrokenPipeError, ConnectionResetError):
            raise _DiedError from None
        return connection

    def _start(self) -> Connection:
        if self._connection is None:
            self._connection, theirs = Pipe()
            self._process = start_process(_answer, (theirs,), "backalaika-looker")
            theirs.close()
        return self._connection

    def _give_up(self) -> None:
        if self._process is not None and self._connection is not None:
            self._connection.close()
            self._process.kill()
            self._process.join(1)  # one that hangs in a drive ends when that gives up
            self.is_stuck = self.is_stuck or self._process.is_alive()
        self._process = self._connection = None

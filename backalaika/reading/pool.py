"""Pool: processes that read files, each of which may be lost.

A drive that cannot read a sector may keep a process for minutes, and no signal ends it; a decoder may crash on what
nobody has seen before. So each process has a pipe of its own, and is given up when it has told nothing for a while or
is gone. The files that it had to read and told nothing of are then read one by one, and the one that costs a process
again is left out. A pipe that is full makes its process wait, which bounds memory.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection, wait
from typing import NamedTuple

from ..errors import RunError
from ..run.pool import start_process
from .entering import Entering
from .members import joined
from .memory import Memory, share_of
from .messages import LooseFile, Message, Moved, Rows, Settings
from .trees import Tree

# Told so often, whatever the number of pieces read.
_SECONDS_BETWEEN_SIGNS = 0.25
_POLL_S = 0.2
# Processes that end, one after another, without a word from any.
_MOST_LOST = 20


class Task(NamedTuple):
    """Files for one process, and how many threads it may take for a large one."""

    files: list[LooseFile]
    threads: int


class _Done(NamedTuple):
    """A process wants its next task."""


class Again(NamedTuple):
    """A file is read once more, and all that was told of it told again: what is there goes first."""

    path: bytes


class GivenUp(NamedTuple):
    """A file that cost its process; what was told of it as an archive stands."""

    file: LooseFile
    message: str


Heard = Message | Again | GivenUp


class _WantsTurn(NamedTuple):
    """A process wants to take more memory than its share; it waits for `_Turn`."""


class _Turn(NamedTuple):
    """It may."""


class _ReturnsTurn(NamedTuple):
    """It does not any more."""


class _Signs:
    """Sends messages on; of progress only now and then, but often enough to show that the process lives.

    Threads of the process may read, or want memory, of which it sends too.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._moved = 0
        self._next = 0.0
        self._sending = threading.Lock()
        self._counting = threading.Lock()

    def _send(self, message: Message | _WantsTurn | _ReturnsTurn) -> None:
        with self._sending:
            self._connection.send(message)

    def ask_turn(self) -> None:
        """Wait until this process may take more memory than its share."""
        self._send(_WantsTurn())
        self._connection.recv()

    def return_turn(self) -> None:
        """Let another process have it."""
        self._send(_ReturnsTurn())

    def __call__(self, message: Message) -> None:
        if not isinstance(message, Moved):
            self._send(message)
            return
        with self._counting:
            self._moved += message.size
            now = time.monotonic()
            if now < self._next:
                return
            self._next = now + _SECONDS_BETWEEN_SIGNS
            message = Moved(self._moved, message.path)
            self._moved = 0
        self._send(message)


def silence_libraries() -> None:
    """Let nothing but Python write to this process's standard error.

    rapidgzip writes there, of what it cannot read, lines that name no file, and has no option for it; what is wrong is
    told by the plain decoder.
    """
    if sys.stderr is None:  # it was closed by who started us
        return
    sys.stderr.flush()
    ours = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    sys.stderr = ours


def _read_files(connection: Connection, tree: Tree, settings: Settings, share: int) -> None:
    """What a process does until its pipe is closed."""
    silence_libraries()
    signs = _Signs(connection)
    entering = Entering(tree, settings, signs, Memory(share, signs.ask_turn, signs.return_turn))
    try:
        while True:
            connection.send(_Done())
            task: Task = connection.recv()
            for file in task.files:
                entering.enter(file, task.threads)
            entering.flush()
    except (EOFError, OSError):  # nobody wants any more
        return


@dataclass(slots=True, eq=False)
class _Worker:
    process: Process
    connection: Connection
    heard: float
    idle: bool = False
    files: list[LooseFile] = field(default_factory=list)
    told: set[bytes] = field(default_factory=set)


class ReadingPool:
    """Reads files in several processes. A context manager.

    Args:
        tree: the medium.
        settings: how files are read.
        workers: how many processes; 0 reads in this one, and gives up nothing.
        timeout_s: seconds of silence after which a file is given up.
    """

    def __init__(self, tree: Tree, settings: Settings, workers: int, timeout_s: float) -> None:
        self._tree, self._settings = tree, settings
        self._timeout_s = timeout_s
        self._wanted = workers
        self._workers: list[_Worker] = []
        self._lost = 0
        # Who may take much memory, and who wait for it, in the order in which they asked.
        self._turns: deque[_Worker] = deque()

    def __enter__(self) -> ReadingPool:
        self._workers = [self._start() for _ in range(self._wanted)]
        return self

    def __exit__(self, *exc_info: object) -> None:
        for worker in self._workers:
            worker.connection.close()
            worker.process.kill()
        for worker in self._workers:
            worker.process.join(1)  # one that hangs in a drive ends when that gives up

    def read(self, tasks: Iterator[list[LooseFile]], stop: Callable[[], None]) -> Iterator[Heard]:
        """Read all files; messages of one file come in order, those of several files mixed.

        Args:
            tasks: some files each.
            stop: called often; may raise to end it all.
        """
        if not self._workers:
            yield from self._read_here(tasks, stop)
            return
        again: deque[list[LooseFile]] = deque()
        exhausted = False
        while True:
            stop()
            for worker in self._workers:
                if worker.idle and not exhausted:
                    files = again.popleft() if again else next(tasks, None)
                    if files is None:
                        exhausted = True
                    else:
                        self._give(worker, files)
            if exhausted and not again and all(worker.idle for worker in self._workers):
                return
            yield from self._hear(again)
            if again:
                exhausted = False

    def _read_here(self, tasks: Iterator[list[LooseFile]], stop: Callable[[], None]) -> Iterator[Message]:
        messages: deque[Message] = deque()
        entering = Entering(self._tree, self._settings, messages.append)
        for files in tasks:
            for file in files:
                stop()
                entering.enter(file)
                yield from messages
                messages.clear()
            entering.flush()
            yield from messages
            messages.clear()

    def _start(self) -> _Worker:
        ours, theirs = Pipe()
        process = start_process(
            _read_files, (theirs, self._tree, self._settings, share_of(self._wanted)), "backalaika-reader"
        )
        theirs.close()
        return _Worker(process, ours, time.monotonic())

    def _give(self, worker: _Worker, files: list[LooseFile]) -> None:
        # One large archive alone may have all processors; when others are at work, each has its own.
        busy = sum(not other.idle for other in self._workers)
        worker.idle, worker.files, worker.told = False, files, set()
        worker.heard = time.monotonic()
        with suppress(OSError):  # it is gone: `_hear` will find out, and another reads them
            worker.connection.send(Task(files, max(1, len(self._workers) - busy)))

    def _hear(self, again: deque[list[LooseFile]]) -> Iterator[Heard]:
        by_connection = {worker.connection: worker for worker in self._workers}
        for ready in wait(list(by_connection), _POLL_S):
            worker = by_connection[ready]  # type: ignore[index]
            try:
                message = worker.connection.recv()
            except (EOFError, OSError):
                self._lost += 1
                if self._lost > _MOST_LOST:
                    raise RunError(
                        "the processes that read end as soon as they start; look for memory or a limit"
                    ) from None
                yield from self._replace(worker, again, "the process that read it was killed; it may need much memory")
                continue
            self._lost = 0
            worker.heard = time.monotonic()
            if isinstance(message, _WantsTurn):
                self._turns.append(worker)
                if len(self._turns) == 1:
                    self._give_turn()
                continue
            if isinstance(message, _ReturnsTurn):
                self._end_turn(worker)
                continue
            if isinstance(message, _Done):
                worker.idle = True
                continue
            if isinstance(message, Rows):
                worker.told.update(joined(row.folder, row.name) for row in message.rows if row.archive is None)
            yield message
        now = time.monotonic()
        for worker in list(self._workers):
            # What it said while this process was busy counts too.
            if worker in list(self._turns)[1:]:
                continue  # it waits for another, and not for the drive
            if not worker.idle and now - worker.heard > self._timeout_s and not worker.connection.poll():
                silence = f"given up: nothing could be read of it for {self._timeout_s:g} seconds"
                yield from self._replace(worker, again, silence)

    def _give_turn(self) -> None:
        """Let the first who waits take much memory."""
        self._turns[0].heard = time.monotonic()
        with suppress(OSError):  # it is gone: `_hear` will find out, and another has its turn
            self._turns[0].connection.send(_Turn())

    def _end_turn(self, worker: _Worker) -> None:
        """It needs no turn any more, whether it had it or still waited."""
        if worker in self._turns:
            had = self._turns[0] is worker
            self._turns.remove(worker)
            if had and self._turns:
                self._give_turn()

    def _replace(self, worker: _Worker, again: deque[list[LooseFile]], why: str) -> Iterator[Heard]:
        worker.process.kill()
        worker.connection.close()
        self._end_turn(worker)
        self._workers[self._workers.index(worker)] = self._start()
        untold = [file for file in worker.files if file.path not in worker.told]
        if len(worker.files) == 1:
            for file in untold:
                yield GivenUp(file, why)
            return
        for file in untold:
            again.append([file])
            yield Again(file.path)

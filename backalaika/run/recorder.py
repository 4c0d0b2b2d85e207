"""Recorder: what a run tells the catalogue, as rows, in a thread of its own.

The database works while the run goes on; what it is told waits in a bounded queue. Numbers of volumes and archives
become the catalogue's ids here, and nowhere else.
"""

from __future__ import annotations

import marshal
import os
import queue
import threading
import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

from ..catalogue.rows import ErrorRow, FrameMembers, FrameRow
from ..errors import CatalogueError, CatalogueFullError, RunError
from . import rows

if TYPE_CHECKING:
    from ..catalogue.recording import Recording
    from .room import Room

_WAITING = 64
# A disk that is full for the catalogue is soon full for the writer, and the user is asked.
_UNTIL_ASKED_S = 10.0


class Recorder:
    """Writes the records of one run; a context manager that ends when all are written.

    Args:
        catalogue: where it is recorded.
        run_id: the run's.
        digest: which digest the run's files have.
        adopted: of a run that goes on, the ids of volumes and archives by the run's numbers.
        room: where the user is asked for room; the catalogue may lie on the disk that is full.
    """

    def __init__(
        self,
        catalogue: Recording,
        run_id: int,
        digest: str,
        adopted: tuple[dict[int, int], dict[int, int]] | None = None,
        room: Room | None = None,
    ) -> None:
        self._room = room
        self._catalogue = catalogue
        self._run_id = run_id
        self._digest = digest
        self._queue: queue.Queue[rows.Record | None] = queue.Queue(_WAITING)
        self._failure: Exception | None = None
        self._volumes, self._archives = adopted or ({}, {})
        self._thread = threading.Thread(target=self._work, name="backalaika-recorder")

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._queue.put(None)
        self._thread.join()

    def record(self, record: rows.Record) -> None:
        """Let the catalogue know.

        Raises:
            RunError: the catalogue took nothing more.
        """
        self._check()
        self._queue.put(record)

    def is_done(self) -> bool:
        """Whether all that it was told is in the catalogue.

        Raises:
            RunError: the catalogue took nothing more.
        """
        done = not self._queue.unfinished_tasks
        self._check()
        return done

    def _check(self) -> None:
        if isinstance(self._failure, CatalogueError):
            raise RunError(f"{self._failure}; the backup was stopped, for it could not be recorded")
        if self._failure is not None:
            raise self._failure

    def failure(self) -> str:
        """Why the catalogue took nothing more, or nothing; after the end."""
        return str(self._failure) if self._failure is not None else ""

    def _work(self) -> None:
        while (record := self._queue.get()) is not None:
            if self._failure is None:
                self._attempt(partial(self._write, record))
            self._queue.task_done()

    def _attempt(self, step: Callable[[], None]) -> None:
        until = time.monotonic() + _UNTIL_ASKED_S
        while True:
            try:
                step()
                return
            except CatalogueFullError as error:
                if self._room is None or self._room.refused or time.monotonic() > until:
                    self._failure = error
                    return
                if self._room.asking:
                    until = time.monotonic() + _UNTIL_ASKED_S
                time.sleep(0.1)
            except Exception as error:  # nobody would empty the queue, and the run would wait for ever
                self._failure = error
                return

    def _write(self, record: rows.Record) -> None:
        catalogue = self._catalogue
        match record:
            case rows.NewVolume(volume, title, folder, capacity):
                self._volumes[volume] = catalogue.add_volume(
                    self._run_id, title, volume, folder, capacity, digest=self._digest
                )
            case rows.NewArchive(archive, volume, name, suffix, source):
                self._archives[archive] = catalogue.add_archive(self._volumes[volume], name, suffix, source)
            case rows.Rows(frames, members):
                catalogue.record_members(
                    [self._frame(frame) for frame in frames], [self._members(some) for some in members]
                )
            case rows.ArchiveComplete(archive, size, digest):
                catalogue.finish_archive(self._archives[archive], size, digest)
            case rows.VolumeComplete(volume, size, verified_at_ns):
                catalogue.finish_volume(self._volumes[volume], size, verified_at_ns)
            case rows.Problems(problems):
                now = time.time_ns()
                catalogue.record_errors(
                    self._run_id, [ErrorRow(os.fsencode(path), message, now) for path, message in problems]
                )

    def _frame(self, frame: rows.Frame) -> FrameRow:
        return FrameRow(self._archives[frame.archive], frame.number, frame.offset, frame.size, frame.raw_size)

    def _members(self, members: rows.Members) -> FrameMembers:
        packed = marshal.loads(members.packed)  # noqa: S302 - our own
        return FrameMembers(
            self._volumes[members.volume],
            self._archives[members.archive],
            members.frame,
            list(zip(map(os.fsencode, members.folders), packed, strict=True)),
            members.files,
            members.size,
            members.part,
        )

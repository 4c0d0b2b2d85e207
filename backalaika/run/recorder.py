"""Recorder: what a run tells the catalogue, as rows, in a thread of its own.

The database works while the run goes on; what it is told waits in a bounded queue. Numbers of volumes and archives
become the catalogue's ids here, and nowhere else.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

from ..catalogue.rows import ErrorRow, FileRow, FrameRow
from ..errors import CatalogueError, RunError
from . import rows

if TYPE_CHECKING:
    from ..catalogue import Catalogue

_WAITING = 64


class Recorder:
    """Writes the records of one run; a context manager that ends when all are written.

    Args:
        enter_run: enters the run in the catalogue; returns both, the run by its id. Called in the thread, for the
            catalogue may not be open yet.
        digest: which digest the run's files have.

    Attributes:
        run_id: the run's, once it is entered; None if it could not be.
    """

    def __init__(self, enter_run: Callable[[], tuple[Catalogue, int]], digest: str) -> None:
        self._enter_run = enter_run
        self._catalogue: Catalogue
        self.run_id: int | None = None
        self._digest = digest
        self._queue: queue.Queue[rows.Record | None] = queue.Queue(_WAITING)
        self._failure: Exception | None = None
        self._volumes: dict[int, int] = {}
        self._archives: dict[int, int] = {}
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
        if isinstance(self._failure, CatalogueError):
            raise RunError(f"{self._failure}; the backup was stopped, for it could not be recorded")
        if self._failure is not None:
            raise self._failure
        self._queue.put(record)

    def failure(self) -> str:
        """Why the catalogue took nothing more, or nothing; after the end."""
        return str(self._failure) if self._failure is not None else ""

    def _work(self) -> None:
        self._attempt(self._enter)
        while (record := self._queue.get()) is not None:
            if self._failure is None:
                self._attempt(partial(self._write, record))

    def _attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:  # nobody would empty the queue, and the run would wait for ever
            self._failure = error

    def _enter(self) -> None:
        self._catalogue, self.run_id = self._enter_run()

    def _write(self, record: rows.Record) -> None:
        catalogue, run_id = self._catalogue, self.run_id
        assert run_id is not None
        match record:
            case rows.NewVolume(volume, title, folder, capacity):
                self._volumes[volume] = catalogue.add_volume(
                    run_id, title, volume, folder, capacity, digest=self._digest
                )
            case rows.NewArchive(archive, volume, name, suffix, source):
                self._archives[archive] = catalogue.add_archive(self._volumes[volume], name, suffix, source)
            case rows.Rows(frames, members):
                catalogue.record([self._frame(frame) for frame in frames], [self._file(member) for member in members])
            case rows.ArchiveComplete(archive, size, digest):
                catalogue.finish_archive(self._archives[archive], size, digest)
            case rows.VolumeComplete(volume, size):
                catalogue.finish_volume(self._volumes[volume], size)
            case rows.Problems(problems):
                now = time.time_ns()
                catalogue.record_errors(
                    run_id, [ErrorRow(os.fsencode(path), message, now) for path, message in problems]
                )

    def _frame(self, frame: rows.Frame) -> FrameRow:
        return FrameRow(self._archives[frame.archive], frame.number, frame.offset, frame.size, frame.raw_size)

    def _file(self, member: rows.Member) -> FileRow:
        return FileRow(
            self._volumes[member.volume],
            self._archives[member.archive],
            os.fsencode(member.folder),
            os.fsencode(member.name),
            member.kind,
            member.size,
            member.mtime_ns,
            member.ctime_ns,
            member.inode,
            member.digest,
            member.frame,
            member.offset,
            os.fsencode(member.target) if member.target else None,
        )

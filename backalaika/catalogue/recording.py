"""Recording: what a run writes, in bulk.

Rows of files come by the thousand and go in by one transaction. Their folders are looked up for each batch anew, in
bulk: remembered numbers would point to nothing once another process has removed a folder's last file, and a batch
of 5,000 rows has a few hundred folders, which take 2 % of its time. Numbers that exceed 64 bits (inodes on some file
systems, times after 2262) are brought within them.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Collection, Sequence
from hashlib import blake2b
from typing import Any

from sqlalchemy import Connection, Insert, insert, select, update

from ..errors import CatalogueError
from .database import Database, bulk_insert, chunks
from .glance import run_values, source_values
from .rows import (
    COMPLETE,
    DIRECTORY,
    INCOMPLETE,
    INTERRUPTED,
    KINDS,
    RUNNING,
    ErrorRow,
    FileRow,
    FrameRow,
    RunStart,
    storable_text,
)
from .schema import archives, errors, files, folders, frames, known, runs, sources, volumes

_INT64_MAX = 2**63 - 1
_INT64_MIN = -(2**63)
_KIND_NUMBERS = {kind: number for number, kind in enumerate(KINDS)}
_DIRECTORY_NUMBER = _KIND_NUMBERS[DIRECTORY]
# Seconds by which a process's start may seem to move: it is told relative to a clock that is being set right.
_START_TOLERANCE_S = 5


class Recording(Database):
    """The part of a catalogue that a run writes to."""

    # Of the run that was started or adopted here last, in the order of its sources.
    _source_ids: Sequence[int] = ()

    def start_run(self, start: RunStart) -> int:
        """Enter a run of this process as running, and return its id."""
        with self._writing() as connection:
            run_id = _insert_one(connection, insert(runs).values(run_values(start)))
            self._source_ids = [
                _insert_one(connection, insert(sources).values(source_values(run_id, found))) for found in start.sources
            ]
        return run_id

    def adopt_run(self, run_id: int) -> None:
        """Go on with a run that was entered elsewhere: by a glance, or before it was resumed."""
        asked = select(sources.c.id).where(sources.c.run_id == run_id).order_by(sources.c.id)
        with self._reading() as connection:
            self._source_ids = list(connection.execute(asked).scalars())

    def add_volume(
        self,
        run_id: int | None,
        title: str,
        number: int | None,
        path: str | None,
        capacity: int | None,
        description: str = "",
        digest: str = "xxh3-128",
    ) -> int:
        """Enter a volume as incomplete, and return its id.

        Args:
            run_id: None for a medium added by hand.
            title: ``<run folder's name>/vol001`` for a run's volume; else the user's.
            number: in the run, from 1.
            path: absolute path of the volume.
            capacity: bytes that the medium takes.
            description: the user's.
            digest: which digest its files will have.

        Raises:
            CatalogueError: the title is taken.
        """
        values = {
            "title": storable_text(title),
            "run_id": run_id,
            "number": number,
            "description": storable_text(description),
            "path": None if path is None else os.fsencode(path),
            "capacity": capacity,
            "size": 0,
            "state": INCOMPLETE,
            "added_at_ns": time.time_ns(),
            "digest": digest,
            "files": 0,
            "bytes": 0,
        }
        with self._writing() as connection:
            taken = connection.execute(select(volumes.c.id).where(volumes.c.title == values["title"])).first()
            if taken:
                raise CatalogueError(
                    f"{title!r}: a volume of this title is in the catalogue; remove it or take another"
                )
            return _insert_one(connection, insert(volumes).values(values))

    def add_archive(self, volume_id: int, name: str, archive_format: str, source: int | None = None) -> int:
        """Enter an archive as incomplete, and return its id.

        Args:
            volume_id: of the volume it lies on.
            name: its path on the volume.
            archive_format: ``zip``, ``tar.gz`` and so on.
            source: index of its source among those given to `start_run`; None on a medium added by hand.
        """
        statement = insert(archives).values(
            volume_id=volume_id,
            source_id=None if source is None else self._source_ids[source],
            name=os.fsencode(name),
            format=archive_format,
            size=0,
            state=INCOMPLETE,
        )
        with self._writing() as connection:
            return _insert_one(connection, statement)

    def record(self, frame_rows: Sequence[FrameRow], file_rows: Sequence[FileRow]) -> None:
        """Enter frames and files whose bytes are safe, all or none; best some thousands at a time."""
        with self._writing() as connection:
            bulk_insert(connection, frames, frame_rows)
            folder_ids = _folder_ids(connection, {row[2] for row in file_rows})
            rows = [
                (
                    volume_id,
                    archive_id,
                    folder_ids[folder],
                    name,
                    _KIND_NUMBERS[kind],
                    size,
                    mtime_ns if _INT64_MIN <= mtime_ns <= _INT64_MAX else _clamped(mtime_ns),
                    ctime_ns if ctime_ns is None or _INT64_MIN <= ctime_ns <= _INT64_MAX else _clamped(ctime_ns),
                    inode if inode is None or inode <= _INT64_MAX else _signed(inode),
                    digest,
                    frame,
                    offset,
                    target,
                    *whole,
                )
                for (
                    volume_id, archive_id, folder, name, kind, size, mtime_ns, ctime_ns, inode, digest,
                    frame, offset, target, *whole,
                ) in file_rows
            ]  # fmt: skip
            bulk_insert(connection, files, rows)
            _count(connection, rows)

    def record_errors(self, run_id: int, rows: Sequence[ErrorRow]) -> None:
        """Enter what a run could not save, or not as it should be."""
        with self._writing() as connection:
            values = [(run_id, row.path, storable_text(row.message), row.at_ns) for row in rows]
            bulk_insert(connection, errors, values)

    def finish_archive(self, archive_id: int, size: int, digest: bytes | None) -> None:
        """Enter an archive as complete: its bytes are on disk and synced.

        Args:
            archive_id: which.
            size: bytes of the whole archive.
            digest: XXH3-128 of the whole archive; None if nobody read it.
        """
        statement = update(archives).where(archives.c.id == archive_id)
        with self._writing() as connection:
            connection.execute(statement.values(size=size, digest=digest, state=COMPLETE))

    def finish_volume(self, volume_id: int, size: int) -> None:
        """Enter a volume of ``size`` bytes as complete: its bytes are on disk and synced. Its files are now known."""
        statement = update(volumes).where(volumes.c.id == volume_id)
        content = (
            select(files.c.size, files.c.digest, files.c.id)
            .where(files.c.volume_id == volume_id, files.c.digest.is_not(None))
            .order_by(files.c.size, files.c.digest, files.c.id)
        )
        with self._writing() as connection:
            connection.execute(statement.values(size=size, state=COMPLETE))
            connection.execute(insert(known).from_select(["size", "digest", "file_id"], content))

    def finish_run(
        self,
        run_id: int,
        state: str,
        finished_at_ns: int,
        saved_files: int,
        saved_bytes: int,
        known_files: int,
        error_count: int,
    ) -> None:
        """Enter how a run ended: ``complete`` (also with files that could not be saved), ``incomplete`` and so on."""
        statement = update(runs).where(runs.c.id == run_id)
        with self._writing() as connection:
            connection.execute(
                statement.values(
                    state=state,
                    finished_at_ns=finished_at_ns,
                    files=saved_files,
                    bytes=saved_bytes,
                    known_files=known_files,
                    error_count=error_count,
                )
            )

    def mark_abandoned_runs(self) -> list[str]:
        """Enter as interrupted all runs of this host whose process is gone; returns their folders, oldest first."""
        asked = select(runs.c.id, runs.c.folder, runs.c.pid, runs.c.pid_seen).order_by(runs.c.id)
        asked = asked.where(runs.c.state == RUNNING, runs.c.host == socket.gethostname())
        with self._reading() as connection:
            gone = [run for run in connection.execute(asked) if not _is_running(run.pid, run.pid_seen)]
        if not gone:
            return []
        marked = []
        with self._writing() as connection:
            for run in gone:
                # It may have been marked, or removed, by another process in between.
                statement = update(runs).where(runs.c.id == run.id, runs.c.state == RUNNING)
                if connection.execute(statement.values(state=INTERRUPTED)).rowcount:
                    marked.append(os.fsdecode(run.folder))
        return marked


def _insert_one(connection: Connection, statement: Insert) -> int:
    key = connection.execute(statement).inserted_primary_key
    assert key is not None  # that is for inserts of many rows
    return int(key[0])


def _clamped(number: int) -> int:
    return max(_INT64_MIN, min(_INT64_MAX, number))


def _signed(number: int) -> int:
    """The lower 64 bits, as a signed number."""
    return (number + 2**63) % 2**64 - 2**63


def path_key(path: bytes) -> bytes:
    """What a folder is found by."""
    return blake2b(path, digest_size=16).digest()


def _folder_ids(connection: Connection, paths: Collection[bytes]) -> dict[bytes, int]:
    """The id of each folder; those that are new are inserted."""
    keys = {path_key(path): path for path in paths}
    ids = known_folders(connection, list(keys))
    missing = [key for key in keys if key not in ids]
    if missing:
        bulk_insert(connection, folders, [(key, keys[key]) for key in missing])
        ids |= known_folders(connection, missing)
    return {path: ids[key] for key, path in keys.items()}


def known_folders(connection: Connection, keys: Sequence[bytes]) -> dict[bytes, int]:
    """The id of each folder that is in the catalogue, by the key of its path."""
    ids: dict[bytes, int] = {}
    for chunk in chunks(keys):
        found = connection.execute(select(folders.c.path_key, folders.c.id).where(folders.c.path_key.in_(chunk)))
        ids.update((bytes(key), number) for key, number in found)
    return ids


def _count(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Add the rows to what their volumes hold: counting a million files when they are listed would take a second."""
    totals: dict[int, list[int]] = {}
    for row in rows:
        if row[4] != _DIRECTORY_NUMBER:
            total = totals.setdefault(row[0], [0, 0])
            total[0] += 1
            total[1] += row[5]
    for volume_id, (number, size) in totals.items():
        statement = update(volumes).where(volumes.c.id == volume_id)
        connection.execute(statement.values(files=volumes.c.files + number, bytes=volumes.c.bytes + size))


def _is_running(pid: int, seen: float) -> bool:
    """Whether the process that had this number when it was seen still runs, and no later one has its number."""
    import psutil  # not needed, nor waited for, where no run is left unfinished

    try:
        return float(psutil.Process(pid).create_time()) <= seen + _START_TOLERANCE_S
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True  # somebody's process; rather wait for it than take its run for dead

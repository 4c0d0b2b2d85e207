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
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import groupby
from typing import Any

from ..errors import CatalogueError
from . import paging
from .names import forget_names, list_some_names
from .owning import is_running, this_process
from .paging import Page
from .rows import (
    COMPLETE,
    DIRECTORY,
    INCOMPLETE,
    INTERRUPTED,
    KIND_NUMBERS,
    REMOVING,
    RUNNING,
    ErrorRow,
    FileRow,
    FrameMembers,
    FrameRow,
    RunEnd,
    RunStart,
    SourceFound,
    storable_inode,
    storable_number,
    storable_text,
)
from .transaction import Transaction, Transactions

_INT64_MAX = 2**63 - 1
_INT64_MIN = -(2**63)
_FRAME_COLUMNS = ("archive_id", "number", "offset", "size", "raw_size")
_MEMBER_COLUMNS = (
    "volume_id", "archive_id", "folder_id", "name", "kind", "size", "mtime_ns", "ctime_ns", "inode", "digest", "frame",
    "offset", "target",
)  # fmt: skip
_PART_COLUMNS = (*_MEMBER_COLUMNS, "part", "part_offset", "whole_size", "whole_digest")
_FILE_COLUMNS = (*_PART_COLUMNS, "raw_path")
UNKNOWN = "SELECT id FROM volumes WHERE state = :removing OR entering = :entering"
"""Asks for volumes whose rows of ``known`` do not count: being removed, or not all of them there yet."""
OF_UNKNOWN = {"removing": REMOVING, "entering": True}
"""The values in it."""
_ENTER = (
    "INSERT INTO known (size, digest, file_id) SELECT size, digest, id FROM files WHERE volume_id = :volume "
    "AND id > :after AND id <= :last AND digest IS NOT NULL {} ORDER BY size, digest, id"
)
_IS_ENTERED = "SELECT 1 FROM known k WHERE k.size = files.size AND k.digest = files.digest AND k.file_id = files.id"


class Recording(Transactions):
    """The part of a catalogue that a run writes to, and what it must ask before."""

    # Of the run that was started or adopted here last, in the order of its sources.
    _source_ids: Sequence[int] = ()

    def last_complete_run(self, job: str) -> dict[str, int]:
        """Files found at each source by the last complete run of a job; empty if there was none."""
        with self._looking() as transaction:
            found = transaction.ask(
                "SELECT path, found_files FROM sources WHERE run_id = (SELECT id FROM runs "
                "WHERE job = :job AND state = :complete ORDER BY started_at_ns DESC, id DESC LIMIT 1)",
                {"job": storable_text(job), "complete": COMPLETE},
            )
        return {os.fsdecode(bytes(path)): number for path, number in found}

    def has_run(self, name: str) -> bool:
        """Whether a run's folder had this name, or titles of volumes start with it; wherever it stood.

        A run that saved nothing has no volumes, and one that was rebuilt has no folder.
        """
        start = f"{storable_text(name)}/"
        sql = "SELECT COUNT(*) FROM volumes WHERE SUBSTR(title, 1, :length) = :start"
        with self._looking() as transaction:
            if transaction.ask(sql, {"length": len(start), "start": start}) != [(0,)]:
                return True
            folders = transaction.ask("SELECT folder FROM runs", {})
        return any(os.path.basename(os.fsdecode(bytes(folder))) == name for (folder,) in folders)

    def start_run(self, start: RunStart) -> int:
        """Enter a run of this process as running, and return its id."""
        with self._changing() as transaction:
            run_id = transaction.insert("runs", _run_values(start))
            self._source_ids = [transaction.insert("sources", source_values(run_id, found)) for found in start.sources]
        return run_id

    def adopt_run(self, run_id: int) -> None:
        """Go on with a run that was entered before."""
        with self._looking() as transaction:
            found = transaction.ask("SELECT id FROM sources WHERE run_id = :run ORDER BY id", {"run": run_id})
        self._source_ids = [source_id for (source_id,) in found]

    def add_volume(
        self,
        run_id: int | None,
        title: str,
        number: int | None,
        path: str | None,
        capacity: int | None,
        description: str = "",
        digest: str = "xxh3-128",
        options: str | None = None,
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
            options: the switches by which a medium is catalogued.

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
            "options": options,
        }
        if run_id is None:
            values |= this_process()  # a run's volumes are written by the run's process
        with self._changing() as transaction:
            if transaction.ask("SELECT id FROM volumes WHERE title = :title", {"title": values["title"]}):
                raise CatalogueError(
                    f"{title!r}: a volume of this title is in the catalogue; remove it or take another"
                )
            return transaction.insert("volumes", values)

    def add_archive(self, volume_id: int, name: str, archive_format: str, source: int | None = None) -> int:
        """Enter an archive as incomplete, and return its id.

        Args:
            volume_id: of the volume it lies on.
            name: its path on the volume.
            archive_format: ``zip``, ``tar.gz`` and so on.
            source: index of its source among those given to `start_run`; None on a medium added by hand.
        """
        values = {
            "volume_id": volume_id,
            "source_id": None if source is None else self._source_ids[source],
            "name": os.fsencode(name),
            "format": archive_format,
            "size": 0,
            "state": INCOMPLETE,
        }
        with self._changing() as transaction:
            return transaction.insert("archives", values)

    def record(self, frame_rows: Sequence[FrameRow], file_rows: Sequence[FileRow]) -> None:
        """Enter frames and files whose bytes are safe, all or none; best some thousands at a time."""
        with self._changing() as transaction:
            transaction.insert_many("frames", _FRAME_COLUMNS, frame_rows)
            numbers = folder_ids(transaction, {row[2] for row in file_rows})
            # One after another: kept in a list, Python would look again and again which of them are garbage.
            rows = (
                (
                    volume_id,
                    archive_id,
                    numbers[folder],
                    name,
                    KIND_NUMBERS[kind],
                    size,
                    mtime_ns if _INT64_MIN <= mtime_ns <= _INT64_MAX else storable_number(mtime_ns),
                    ctime_ns if ctime_ns is None or _INT64_MIN <= ctime_ns <= _INT64_MAX else storable_number(ctime_ns),
                    inode if inode is None or inode <= _INT64_MAX else storable_inode(inode),
                    digest,
                    frame,
                    offset,
                    target,
                    part,
                    part_offset,
                    whole_size,
                    whole_digest,
                    raw_path,
                )
                for (
                    volume_id, archive_id, folder, name, kind, size, mtime_ns, ctime_ns, inode, digest,
                    frame, offset, target, part, part_offset, whole_size, whole_digest, raw_path,
                ) in file_rows
            )  # fmt: skip
            transaction.insert_many("files", _FILE_COLUMNS, rows)
            _count(transaction, file_rows)

    def record_members(self, frame_rows: Sequence[FrameRow], frames: Sequence[FrameMembers]) -> None:
        """Enter frames and their members, whose bytes are safe, all or none; best some thousands at a time."""
        with self._changing() as transaction:
            transaction.insert_many("frames", _FRAME_COLUMNS, frame_rows)
            numbers = folder_ids(transaction, {folder for frame in frames for folder, rows in frame.folders if rows})
            for is_part, some in groupby(frames, lambda frame: frame.part is not None):
                columns = _PART_COLUMNS if is_part else _MEMBER_COLUMNS
                transaction.insert_many("files", columns, _member_rows(some, numbers))
            for volume_id in {frame.volume_id for frame in frames}:
                of_volume = [frame for frame in frames if frame.volume_id == volume_id]
                files, size = sum(frame.files for frame in of_volume), sum(frame.size for frame in of_volume)
                _add_to_volume(transaction, volume_id, files, size)

    def record_errors(self, run_id: int, rows: Sequence[ErrorRow]) -> None:
        """Enter what a run could not save, or not as it should be."""
        with self._changing() as transaction:
            enter_errors(transaction, run_id, rows)

    def finish_archive(self, archive_id: int, size: int, digest: bytes | None) -> None:
        """Enter an archive as complete: its bytes are on disk and synced.

        Args:
            archive_id: which.
            size: bytes of the whole archive.
            digest: XXH3-128 of the whole archive; None if nobody read it.
        """
        with self._changing() as transaction:
            transaction.change(
                "UPDATE archives SET size = :size, digest = :digest, state = :state WHERE id = :id",
                {"size": size, "digest": digest, "state": COMPLETE, "id": archive_id},
            )

    def finish_volume(self, volume_id: int, size: int, verified_at_ns: int | None = None) -> None:
        """Enter a volume of ``size`` bytes as complete: its bytes are on disk and synced. Its files are now known.

        If it was read back, ``verified_at_ns`` is when, so that it counts as seen whole.

        Raises:
            CatalogueError: it is complete already, or is not there any more.
        """
        # Nothing looks at lists before that, so they need not be made at once while all who write wait: with a
        # million files they take half of the time.
        self._forget_lists(volume_id)
        after: int | None = 0
        while after is not None:
            with self._changing() as transaction:
                after = list_some_names(transaction, volume_id, after)
        *before, last = self._pages_of_files(volume_id, paging.KNOWN)
        some_are = self._is_entering(volume_id)
        for page in before:
            with self._changing() as transaction:
                _change_incomplete(transaction, volume_id, {"entering": True})
                _enter_known(transaction, volume_id, page, some_are)
            time.sleep(paging.PAUSE_S)
        with self._changing() as transaction:
            values = {"size": size, "state": COMPLETE, "verified_at_ns": verified_at_ns, "pid": None, "entering": False}
            _change_incomplete(transaction, volume_id, values)
            _enter_known(transaction, volume_id, last, some_are)

    def _is_entering(self, volume_id: int) -> bool:
        """Whether some files of a volume are in ``known``, for its end was cut off."""
        with self._looking() as transaction:
            found = transaction.ask("SELECT entering FROM volumes WHERE id = :id", {"id": volume_id})
        return any(entering for (entering,) in found)

    def _pages_of_files(self, volume_id: int, size: int) -> list[Page]:
        with self._looking() as transaction:
            return paging.pages(transaction, "files WHERE volume_id = :volume", {"volume": volume_id}, size)

    def _forget_lists(self, volume_id: int) -> None:
        """Delete the lists of names of a volume that is not complete; it has some if its end was cut off."""
        with self._looking() as transaction:
            found = paging.pages(
                transaction, "name_lists WHERE volume_id = :volume", {"volume": volume_id}, paging.LISTS
            )
        for page in found:
            with self._changing() as transaction:
                forget_names(transaction, volume_id, page.last)

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
        with self._changing() as transaction:
            end = RunEnd(finished_at_ns, saved_files, saved_bytes, known_files, error_count)
            enter_end(transaction, run_id, state, end)

    def mark_abandoned_runs(self) -> list[str]:
        """Enter as interrupted all runs of this host whose process is gone; returns their folders, oldest first."""
        asked = "SELECT id, folder, pid, pid_seen FROM runs WHERE state = :running AND host = :host ORDER BY id"
        with self._looking() as transaction:
            running = transaction.ask(asked, {"running": RUNNING, "host": socket.gethostname()})
        gone = [(run_id, folder) for run_id, folder, pid, seen in running if not is_running(pid, seen)]
        if not gone:
            return []
        marked = []
        # It may have been marked, or removed, by another process in between.
        mark = "UPDATE runs SET state = :interrupted WHERE id = :id AND state = :running"
        with self._changing() as transaction:
            for run_id, folder in gone:
                if transaction.change(mark, {"interrupted": INTERRUPTED, "id": run_id, "running": RUNNING}):
                    marked.append(os.fsdecode(bytes(folder)))
        return marked


def enter_errors(transaction: Transaction, run_id: int, rows: Sequence[ErrorRow]) -> None:
    """Enter errors of a run."""
    values = [(run_id, row.path, storable_text(row.message), row.at_ns) for row in rows]
    transaction.insert_many("errors", ("run_id", "path", "message", "at_ns"), values)


def enter_end(transaction: Transaction, run_id: int, state: str, end: RunEnd) -> None:
    """Enter how a run ended."""
    values = {"state": state, **end._asdict()}
    assigned = ", ".join(f"{name} = :{name}" for name in values)
    transaction.change(f"UPDATE runs SET {assigned} WHERE id = :id", values | {"id": run_id})  # noqa: S608 - ours


def _run_values(start: RunStart) -> dict[str, Any]:
    """The row of a run of this process that begins."""
    return {
        "job": storable_text(start.job),
        "comment": storable_text(start.comment),
        "folder": os.fsencode(start.folder),
        "started_at_ns": start.started_at_ns,
        "state": RUNNING,
        "files": 0,
        "bytes": 0,
        "known_files": 0,
        "error_count": 0,
        "since_ns": start.since_ns,
        "skip_known": start.skip_known,
        "digest": start.digest,
        "copies": start.copies,
        **this_process(),
    }


def source_values(run_id: int, found: SourceFound) -> dict[str, Any]:
    """The row of what was found at a source."""
    return {
        "run_id": run_id,
        "path": os.fsencode(found.path),
        "options": storable_text(found.options),
        "found_files": found.found_files,
        "found_bytes": found.found_bytes,
        "label": os.fsencode(found.label),
    }


def path_key(path: bytes) -> bytes:
    """What a folder is found by."""
    return blake2b(path, digest_size=16).digest()


def folder_ids(transaction: Transaction, paths: Collection[bytes]) -> dict[bytes, int]:
    """The id of each folder; those that are new are inserted."""
    keys = {path_key(path): path for path in paths}
    ids = known_folders(transaction, list(keys))
    missing = [key for key in keys if key not in ids]
    if missing:
        # None is inserted meanwhile but by us, and each gets a higher number than those before: quicker than by key.
        ((last,),) = transaction.ask("SELECT COALESCE(MAX(id), 0) FROM folders", {})
        transaction.insert_many("folders", ("path_key", "path"), [(key, keys[key]) for key in missing])
        inserted = transaction.ask("SELECT path_key, id FROM folders WHERE id > :last", {"last": last})
        ids.update((bytes(key), number) for key, number in inserted)
    return {path: ids[key] for key, path in keys.items()}


def known_folders(transaction: Transaction, keys: Sequence[bytes]) -> dict[bytes, int]:
    """The id of each folder that is in the catalogue, by the key of its path."""
    found = transaction.ask_among("SELECT path_key, id FROM folders WHERE path_key IN :keys", keys)
    return {bytes(key): number for key, number in found}


def removed_volumes(transaction: Transaction) -> list[int]:
    """The numbers of volumes that are being removed, of which no answer may tell."""
    found = transaction.ask("SELECT id FROM volumes WHERE state = :removing", {"removing": REMOVING})
    return [number for (number,) in found]


def unknown_volumes(transaction: Transaction) -> list[int]:
    """The numbers of volumes whose rows of ``known`` do not count: being removed, or not all of them there yet."""
    return [number for (number,) in transaction.ask(UNKNOWN, OF_UNKNOWN)]


def _change_incomplete(transaction: Transaction, volume_id: int, values: Mapping[str, Any]) -> None:
    """Change the row of a volume.

    Raises:
        CatalogueError: it is complete, or is not there any more.
    """
    assigned = ", ".join(f"{name} = :{name}" for name in values)
    sql = f"UPDATE volumes SET {assigned} WHERE id = :id AND state = :incomplete"  # noqa: S608 - ours
    if not transaction.change(sql, {**values, "id": volume_id, "incomplete": INCOMPLETE}):
        raise CatalogueError("the volume was finished or removed by another process meanwhile")


def _enter_known(transaction: Transaction, volume_id: int, page: Page, some_are: bool) -> None:
    """Let files of a volume be known by their content; ``some_are`` already, perhaps."""
    transaction.change(
        _ENTER.format(f"AND NOT EXISTS ({_IS_ENTERED})" if some_are else ""), {"volume": volume_id, **page._asdict()}
    )


def _count(transaction: Transaction, rows: Sequence[FileRow]) -> None:
    """Add the rows to what their volumes hold: counting a million files when they are listed would take a second.

    Raises:
        CatalogueError: one of them is being removed.
    """
    for volume_id in {row[0] for row in rows}:
        sizes = [row[5] for row in rows if row[0] == volume_id and row[4] != DIRECTORY]
        _add_to_volume(transaction, volume_id, len(sizes), sum(sizes))


def _add_to_volume(transaction: Transaction, volume_id: int, files: int, size: int) -> None:
    add = "UPDATE volumes SET files = files + :files, bytes = bytes + :bytes WHERE id = :id AND state <> :removing"
    if not transaction.change(add, {"files": files, "bytes": size, "id": volume_id, "removing": REMOVING}):
        raise CatalogueError("the volume was removed by another process meanwhile")


def _member_rows(frames: Iterable[FrameMembers], numbers: Mapping[bytes, int]) -> Iterator[tuple[Any, ...]]:
    """Rows of the table of files. One after another: a list would be looked at again and again for garbage."""
    for volume_id, archive_id, frame, folders, _, _, part in frames:
        for folder, rows in folders:
            folder_id = numbers[folder] if rows else 0
            for name, kind, size, mtime_ns, ctime_ns, inode, digest, offset, target in rows:
                row = (
                    volume_id, archive_id, folder_id, name, kind, size, mtime_ns, ctime_ns, inode, digest, frame,
                    offset, target,
                )  # fmt: skip
                yield row if part is None else (*row, *part)

"""Resuming: what the catalogue knows of a run that ended early, so that it can go on.

Rows follow their bytes, so all that is recorded is on disk. A volume that is complete stays; of one that is not, each
archive is good up to its last recorded frame, and what was saved is in the rows of the run.
"""

from __future__ import annotations

import os
import socket
import time
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, case, delete, func, select, update

from ..errors import CatalogueError
from .recording import Recording, path_key
from .results import EarlyRun, EndedRun, RecordedArchive, RecordedVolume, SavedEntry, Unfinished
from .rows import COMPLETE, DIRECTORY, FAILED, FILE, INCOMPLETE, INTERRUPTED, KINDS, RUNNING, storable_text
from .schema import archives, errors, files, folders, frames, runs, sources, volumes
from .transaction import chunks
from .undoing import Undoing

_FETCHED = 5000


class Resuming(Recording, Undoing):
    """The part of a catalogue that lets a run go on."""

    def early_run(self, job: str) -> EarlyRun | None:
        """The last run of a job if it ended early; None if it is complete, or still running."""
        newest = (
            select(runs).where(runs.c.job == storable_text(job)).order_by(runs.c.started_at_ns.desc(), runs.c.id.desc())
        )
        with self._reading() as connection:
            run = connection.execute(newest.limit(1)).first()
            if run is None or run.state not in (INTERRUPTED, FAILED):
                return None
            of_run = select(sources.c.path, sources.c.label, sources.c.options).where(sources.c.run_id == run.id)
            found = connection.execute(of_run.order_by(sources.c.id)).all()
            digest = connection.execute(select(volumes.c.digest).where(volumes.c.run_id == run.id).limit(1)).scalar()
        saved_files, saved_bytes = self.saved_totals(run.id)
        return EarlyRun(
            run.id,
            os.fsdecode(run.folder),
            run.comment,
            run.started_at_ns,
            run.since_ns,
            bool(run.skip_known),
            saved_files,
            saved_bytes,
            [(os.fsdecode(path), os.fsdecode(label), options) for path, label, options in found],
            digest,
            run.copies,
        )

    def ended_runs(self) -> list[EndedRun]:
        """Runs that ended early and were not cleaned up, oldest first."""
        asked = select(runs).order_by(runs.c.started_at_ns, runs.c.id)
        with self._reading() as connection:
            found = connection.execute(asked).all()
        last = {run.job: run.id for run in found}
        return [
            EndedRun(os.fsdecode(run.folder), run.job, run.state, run.id == last[run.job])
            for run in found
            if run.state in (INTERRUPTED, FAILED)
        ]

    def unfinished(self, name: str) -> Unfinished | None:
        """What is not complete of a run, by its folder's name, or of a volume, by its title; None if nothing is.

        The run may still be writing, as ``run_state`` tells.
        """
        incomplete = volumes.c.state != COMPLETE
        with self._reading() as connection:
            for run in connection.execute(select(runs).where(runs.c.state != COMPLETE).order_by(runs.c.id)).all():
                folder = os.fsdecode(run.folder)
                asked = select(volumes).where(volumes.c.run_id == run.id, incomplete).order_by(volumes.c.number)
                rows = connection.execute(asked).all()
                found = [(row.title, row.number, os.fsdecode(row.path)) for row in rows]
                if os.path.basename(folder) == name and (found or run.state != INCOMPLETE):
                    return Unfinished(run.id, run.state, folder, True, found)
                if of_title := [volume for volume in found if volume[0] == storable_text(name)]:
                    return Unfinished(run.id, run.state, folder, False, of_title)
        return None

    def complete_folders(self, run_id: int) -> set[str]:
        """Where the complete volumes of a run were written."""
        asked = select(volumes.c.path).where(volumes.c.run_id == run_id, volumes.c.state == COMPLETE)
        with self._reading() as connection:
            return {os.fsdecode(path) for path in connection.execute(asked).scalars()}

    def saved_totals(self, run_id: int) -> tuple[int, int]:
        """Files and links that are recorded of a run, and bytes of content: a hard link has none of its own.

        A file that was cut counts when all of its parts are there, and parts that are of no use count for nothing.
        """
        content = case((files.c.kind == KINDS.index(FILE), files.c.size), else_=0)
        totals = select(func.count(), func.coalesce(func.sum(content), 0)).join_from(files, volumes)
        of_run = volumes.c.run_id == run_id
        totals = totals.where(of_run, files.c.kind != KINDS.index(DIRECTORY), files.c.part.is_(None))
        columns = (files.c.folder_id, files.c.name, files.c.part, files.c.size, files.c.whole_digest)
        parts = select(*columns).join_from(files, volumes).where(of_run, files.c.part.is_not(None))
        with self._reading() as connection:
            number, size = connection.execute(totals).one()
            whole, of_parts = _add_up_parts(connection.execute(parts.order_by(files.c.id)))
        return int(number) + whole, int(size) + of_parts

    def kept_contents(self, run_id: int) -> Iterator[tuple[int, bytes]]:
        """Sizes and digests of what is recorded of a run on volumes that are not complete; streamed.

        Of a file that was cut, neither a part nor the whole is among them.
        """
        asked = select(files.c.size, files.c.digest).join_from(volumes, files, files.c.volume_id == volumes.c.id)
        asked = asked.where(volumes.c.run_id == run_id, volumes.c.state != COMPLETE)
        asked = asked.where(files.c.digest.is_not(None), files.c.part.is_(None))
        with self._reading() as connection:
            for size, digest in connection.execution_options(yield_per=_FETCHED).execute(asked):
                yield size, bytes(digest)

    def resume_run(self, run_id: int) -> None:
        """Enter a run that ended early as running again, in this process.

        Raises:
            CatalogueError: another process resumed or removed it a moment ago.
        """
        self.undo_pictures()
        statement = update(runs).where(runs.c.id == run_id, runs.c.state.in_((INTERRUPTED, FAILED)))
        again = statement.values(
            state=RUNNING, finished_at_ns=None, host=socket.gethostname(), pid=os.getpid(), pid_seen=time.time()
        )
        with self._writing() as connection:
            if not connection.execute(again).rowcount:
                raise CatalogueError("the run is being resumed by another process, or was removed; nothing was started")
        self.adopt_run(run_id)

    def recorded_volumes(self, run_id: int) -> list[RecordedVolume]:
        """The volumes of a run in the order of their numbers, with all that was recorded of their archives."""
        with self._reading() as connection:
            found = connection.execute(
                select(volumes).where(volumes.c.run_id == run_id).order_by(volumes.c.number)
            ).all()
            return [
                RecordedVolume(
                    volume.id,
                    volume.number,
                    volume.title,
                    os.fsdecode(volume.path),
                    volume.capacity,
                    volume.size,
                    volume.state,
                    _recorded_archives(connection, volume.id, run_id),
                )
                for volume in found
            ]

    def member_places(self, archive: RecordedArchive) -> array[int]:
        """Where the recorded members of a zip start in it, sorted."""
        place = (frames.c.offset + files.c.offset).label("place")
        asked = select(place).join_from(
            files, frames, (frames.c.archive_id == files.c.archive_id) & (frames.c.number == files.c.frame)
        )
        volume = select(archives.c.volume_id).where(archives.c.id == archive.id).scalar_subquery()
        # The volume too, for there is no index on the archive alone.
        asked = asked.where(files.c.volume_id == volume, files.c.archive_id == archive.id).order_by(place)
        with self._reading() as connection:
            return array("Q", connection.execution_options(yield_per=_FETCHED).execute(asked).scalars())

    def saved_entries(self, source: int, folder_paths: Sequence[bytes]) -> dict[bytes, dict[bytes, SavedEntry]]:
        """What the run that goes on has saved already of a source in some folders.

        Args:
            source: counts the job's sources; two may overlap.
            folder_paths: absolute paths; best some hundreds at a time.

        Returns:
            For each folder and name, the entry that was saved last; the folder itself has an empty name.
        """
        saved: dict[bytes, dict[bytes, SavedEntry]] = {path: {} for path in folder_paths}
        keys = {path_key(path): path for path in saved}
        columns = (
            folders.c.path_key,
            files.c.name,
            files.c.id,
            files.c.archive_id,
            files.c.kind,
            files.c.size,
            files.c.mtime_ns,
            files.c.ctime_ns,
            files.c.inode,
            volumes.c.title,
            volumes.c.number,
            files.c.part,
            files.c.part_offset,
            files.c.whole_size,
            files.c.whole_digest,
        )
        with self._reading() as connection:
            for chunk in chunks(list(keys)):
                asked = select(*columns).join_from(folders, files).join(archives, archives.c.id == files.c.archive_id)
                asked = asked.join(volumes, volumes.c.id == archives.c.volume_id)
                asked = asked.where(
                    folders.c.path_key.in_(chunk), archives.c.source_id == self._source_ids[source]
                ).order_by(files.c.id)
                for row in connection.execute(asked):
                    there = saved[keys[row.path_key]]
                    entry = SavedEntry(
                        row.id, row.archive_id, KINDS[row.kind], row.size, row.mtime_ns, row.ctime_ns, row.inode
                    )
                    before = there.get(row.name)
                    entry = entry._replace(last=max(row.number, before.last if before is not None else 0))
                    there[row.name] = entry if row.part is None else _with_part(entry, before, row)
        return saved

    def saved_folders(self, source: int) -> Iterator[bytes]:
        """The folders in which the run that goes on has saved something of a source."""
        numbers = (
            select(files.c.folder_id)
            .join_from(files, archives, archives.c.id == files.c.archive_id)
            .where(archives.c.source_id == self._source_ids[source])
            .distinct()
            .order_by(files.c.folder_id)
            .limit(_FETCHED)
        )
        last = -1
        while True:
            with self._reading() as connection:
                some = list(connection.execute(numbers.where(files.c.folder_id > last)).scalars())
                paths = select(folders.c.path).where(folders.c.id.in_(some))
                found = [bytes(path) for path in connection.execute(paths).scalars()]
            yield from found
            if len(some) < _FETCHED:
                return
            last = some[-1]

    def forget_errors(self, run_id: int) -> list[tuple[bytes | None, str]]:
        """Delete the errors of a run that will be met again; returns those that stay, for what they tell of was saved.

        Those are of files that changed while they were read: they are not read again unless they change once more.
        """
        with self._writing() as connection:
            rows = connection.execute(
                select(errors.c.id, errors.c.path, errors.c.message).where(errors.c.run_id == run_id)
            ).all()
            stay = [row for row in rows if row.path is not None and _is_saved(connection, run_id, row.path)]
            kept = {row.id for row in stay}
            for chunk in chunks([row.id for row in rows if row.id not in kept]):
                connection.execute(delete(errors).where(errors.c.id.in_(chunk)))
        return [(row.path, row.message) for row in stay]


def _add_up_parts(rows: Iterable[Any]) -> tuple[int, int]:
    """How many files have all of their parts, and bytes of these and of files that can go on; the oldest row first."""
    whole = size = 0
    begun: dict[tuple[int, bytes], tuple[int, int]] = {}
    for row in rows:
        file = row.folder_id, bytes(row.name)
        number, before = begun.get(file, (0, 0)) if row.part > 1 else (0, 0)
        if row.part != number + 1:
            begun[file] = -1, 0
        elif row.whole_digest is None:
            begun[file] = row.part, before + row.size
        else:
            whole, size = whole + 1, size + before + row.size
            begun.pop(file, None)
    return whole, size + sum(of_file for _, of_file in begun.values())


def _with_part(entry: SavedEntry, before: SavedEntry | None, row: Any) -> SavedEntry:
    """The entry of a file that was cut, after one more of its parts."""
    parts, titles = (before.parts, before.volumes) if before is not None and row.part > 1 else (0, ())
    whole = row.part == parts + 1
    if whole and row.whole_digest is not None:
        return entry._replace(size=row.whole_size)
    if row.title not in titles:
        titles = (*titles, row.title)
    offset = row.part_offset + row.size
    return entry._replace(size=row.whole_size, parts=row.part if whole else -1, offset=offset, volumes=titles)


def _recorded_archives(connection: Connection, volume_id: int, run_id: int) -> list[RecordedArchive]:
    earlier = sources.alias()
    source = (
        select(func.count()).where(earlier.c.run_id == run_id, earlier.c.id < archives.c.source_id).scalar_subquery()
    )
    members = (
        select(func.count())
        .where(files.c.volume_id == volume_id, files.c.archive_id == archives.c.id)
        .scalar_subquery()
    )
    number = select(func.count()).where(frames.c.archive_id == archives.c.id).scalar_subquery()
    end = (
        select(func.coalesce(func.max(frames.c.offset + frames.c.size), 0))
        .where(frames.c.archive_id == archives.c.id)
        .scalar_subquery()
    )
    asked = select(archives, source.label("source"), number, end, members)
    found = connection.execute(asked.where(archives.c.volume_id == volume_id).order_by(archives.c.id)).all()
    return [
        RecordedArchive(
            row.id, os.fsdecode(row.name), row.format, row.source, row.state, row.size, row.digest, *row[-3:]
        )
        for row in found
    ]


def _is_saved(connection: Connection, run_id: int, path: bytes) -> bool:
    folder, _, name = path.rpartition(b"/" if os.sep == "/" else os.fsencode(os.sep))
    asked = (
        select(files.c.id)
        .join_from(folders, files)
        .join(volumes)
        .where(folders.c.path_key == path_key(folder), files.c.name == name, volumes.c.run_id == run_id)
        .limit(1)
    )
    return connection.execute(asked).first() is not None

"""Queries: lists for people, and what a run must know of what was saved before.

A run asks for thousands of files at once. Whether a content is known is asked of a temporary table of the wanted
sizes and digests, row by row, so that each answer ends at the first file found: a content may be there a million times
(the empty file), and joining would tell it a million times. A file counts as known only on a complete volume.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    MetaData,
    Table,
    exists,
    func,
    select,
)

from ..errors import CatalogueError
from .database import CoreTransaction, Database, bulk_insert
from .fetching import Telling, file_rows, read_to_the_end
from .owning import Owner
from .recording import known_folders, path_key, removed_volumes, unknown_volumes
from .results import FileEntry, VolumeRow
from .rows import COMPLETE, FILE, KINDS, REMOVING, Looks, storable_text
from .schema import archives, files, known, runs, short_bytes, volumes
from .transaction import chunks

# Of content, for a ratio that says something.
_ENOUGH_BYTES = 1_000_000

wanted = Table(
    "wanted",
    MetaData(),
    Column("size", BigInteger, nullable=False),
    Column("digest", short_bytes(64)),
    prefixes=["TEMPORARY"],
)

_LOOKS = (
    files.c.folder_id,
    files.c.volume_id,
    files.c.name,
    files.c.size,
    files.c.mtime_ns,
    files.c.ctime_ns,
    files.c.inode,
    files.c.digest,
    files.c.part,
    files.c.whole_size,
    files.c.whole_digest,
)


class Queries(Database):
    """The part of a catalogue that is asked."""

    def volumes(self) -> Iterator[VolumeRow]:
        """All volumes, oldest first."""
        count = select(func.count()).where(archives.c.volume_id == volumes.c.id).scalar_subquery()
        asked = (
            select(
                volumes.c.title,
                volumes.c.state,
                runs.c.state,
                volumes.c.added_at_ns,
                count,
                volumes.c.files,
                volumes.c.bytes,
                volumes.c.description,
                volumes.c.verified_at_ns,
                volumes.c.damaged_at_ns,
            )
            .join_from(volumes, runs, isouter=True)
            .where(volumes.c.state != REMOVING)
            .order_by(volumes.c.added_at_ns, volumes.c.id)
        )
        with self._reading() as connection:
            for row in connection.execute(asked):
                yield VolumeRow._make(row)

    def files(self, title: str, encoding: str | None = None) -> Iterator[FileEntry]:
        """The files of a volume in the order they were saved, of all volumes if ``title`` is empty; streamed.

        Paths whose encoding was guessed are read anew in ``encoding``, if given.

        Raises:
            CatalogueError: no volume has this title; the message names the nearest.
        """
        if not title:
            return self._stream_files(None, encoding)
        with self._reading() as connection:
            volume_id = find_volume(connection, title).id
        return self._stream_files(volume_id, encoding)

    def _stream_files(self, volume_id: int | None, encoding: str | None) -> Iterator[FileEntry]:
        with self._reading() as connection:
            read_to_the_end(connection)
            telling = Telling(connection, encoding)
            of_volume = not_removed(connection) if volume_id is None else [files.c.volume_id == volume_id]
            for rows in file_rows(connection, *of_volume):
                yield from telling.entries(rows)

    def last_ratio(self, job: str) -> float | None:
        """Bytes of volumes by bytes of content, in the job's last complete run that saved 1 MB or more.

        None if there was none; in a smaller one what belongs to each volume would weigh too much.
        """
        size = select(func.sum(volumes.c.size)).where(volumes.c.run_id == runs.c.id).scalar_subquery()
        last = (
            select(size, runs.c.bytes)
            .where(runs.c.job == storable_text(job), runs.c.state == COMPLETE, runs.c.bytes >= _ENOUGH_BYTES)
            .order_by(runs.c.started_at_ns.desc(), runs.c.id.desc())
            .limit(1)
        )
        with self._reading() as connection:
            found = connection.execute(last).first()
        return None if found is None or not found[0] else int(found[0]) / int(found[1])

    def known_by_looks(
        self, folder_paths: Sequence[bytes], digest: str = "xxh3-128"
    ) -> dict[bytes, dict[bytes, Looks]]:
        """How the known files of each folder looked when they were saved last, whichever job saved them.

        Args:
            folder_paths: absolute paths; best some hundreds at a time.
            digest: which digest they must have.

        Returns:
            For each folder and name of a file (no link) that is on a complete volume: size, mtime_ns, ctime_ns, inode
            and digest.
        """
        looks: dict[bytes, dict[bytes, Looks]] = {path: {} for path in folder_paths}
        with self._reading() as connection:
            ready = select(volumes.c.id, volumes.c.run_id).where(
                volumes.c.state == COMPLETE, volumes.c.digest == digest
            )
            complete = {row.id: row.run_id for row in connection.execute(ready)}
            parts = _Parts()
            keys = known_folders(CoreTransaction(connection), [path_key(path) for path in looks])
            ids = {keys[key]: path for path in looks if (key := path_key(path)) in keys}
            for chunk in chunks(list(ids)):
                # One table alone: joined, a server without statistics may start from the volumes and read all files.
                in_folders = files.c.folder_id.in_(chunk), files.c.kind == KINDS.index(FILE), files.c.inode.is_not(None)
                asked = select(*_LOOKS).where(*in_folders).order_by(files.c.id)
                for (
                    folder_id,
                    volume_id,
                    name,
                    size,
                    *times,
                    inode,
                    content,
                    part,
                    whole_size,
                    whole,
                ) in connection.execute(asked):
                    if volume_id not in complete or content is None:
                        continue
                    if part is not None:
                        run_id = complete[volume_id]
                        if run_id is None or not parts.is_last_of_all((folder_id, name, run_id), part, whole):
                            continue
                        size, content = whole_size, whole
                    looks[ids[folder_id]][name] = (size, *times, inode % 2**64, bytes(content))
        return looks

    def known_sizes(self, sizes: Collection[int]) -> set[int]:
        """Which of these sizes a known file has; a file of another size need not be hashed before it is saved.

        Files that were cut are among them, though only their parts are in ``known``; they are few.
        """
        # Compared like this, any database takes the index, which has only these.
        is_last_part = files.c.whole_digest > b"", *_can_have_all_parts()
        with self._reading() as connection:
            with wanting(connection, [(size, None) for size in set(sizes)]):
                is_known = exists().where(known.c.size == wanted.c.size, *still_known(connection))
                found = set(connection.execute(select(wanted.c.size).where(is_known)).scalars())
            cut = select(files.c.whole_size).join_from(files, volumes).where(*is_last_part)
            return found.union(set(sizes).intersection(connection.execute(cut).scalars()))

    def known_digests(self, pairs: Collection[tuple[int, bytes]]) -> set[tuple[int, bytes]]:
        """Which of these sizes and digests are of known files; of one that was cut, if all parts are known."""
        with self._reading() as connection:
            with wanting(connection, list(set(pairs))):
                same = known.c.size == wanted.c.size, known.c.digest == wanted.c.digest
                is_known = exists().where(*same, *still_known(connection))
                asked = select(wanted.c.size, wanted.c.digest).where(is_known)
                found = {(size, bytes(digest)) for size, digest in connection.execute(asked)}
            return found | cut_files(connection, set(pairs) - found).keys()


def not_removed(connection: Connection) -> list[ColumnElement[bool]]:
    """What files must be like where nothing else says that their volume is not being removed."""
    numbers = removed_volumes(CoreTransaction(connection))
    return [files.c.volume_id.not_in(numbers)] if numbers else []


def really_known(connection: Connection) -> list[ColumnElement[bool]]:
    """What files must be like to which a row of ``known`` leads, for the volumes of some do not count."""
    numbers = unknown_volumes(CoreTransaction(connection))
    return [files.c.volume_id.not_in(numbers)] if numbers else []


def still_known(connection: Connection) -> list[ColumnElement[bool]]:
    """The same for rows of ``known``; looking for their files takes its time, but only while there are such volumes."""
    conditions = really_known(connection)
    return [known.c.file_id == files.c.id, *conditions] if conditions else []


def _can_have_all_parts() -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """What the volumes of a file that was cut must be like, for it to be known.

    Parts belong together if one run saved them. On media that were added by hand, parts of one path may be of different
    files: such a medium has no run, and a file of which it has a part is saved again.
    """
    return volumes.c.state == COMPLETE, volumes.c.run_id.is_not(None)


class CutFile(NamedTuple):
    """A file that was cut, and of whose parts none is missing; ``parts`` are their numbers, and the volume of each."""

    size: int
    digest: bytes
    run_id: int
    parts: dict[int, int]


def cut_files(
    connection: Connection, pairs: set[tuple[int, bytes]]
) -> dict[tuple[int, bytes], dict[int, frozenset[int]]]:
    """Of these sizes and digests, those of files that were cut and whose parts are all on complete volumes of a run.

    Returns:
        For each the runs that have all parts, and their volumes with them.
    """
    found: dict[tuple[int, bytes], dict[int, frozenset[int]]] = {}
    for file in each_cut_file(connection, pairs):
        found.setdefault((file.size, file.digest), {})[file.run_id] = frozenset(file.parts.values())
    return found


def each_cut_file(connection: Connection, pairs: set[tuple[int, bytes]]) -> Iterator[CutFile]:
    """The files that were cut, of these sizes and digests, of which a run has all parts on complete volumes."""
    last: list[Any] = []
    for chunk in chunks([digest for _, digest in pairs]):
        of_file = (files.c.id, files.c.folder_id, files.c.name, files.c.mtime_ns, volumes.c.run_id, files.c.part)
        asked = select(*of_file, files.c.whole_size, files.c.whole_digest).join_from(files, volumes)
        asked = asked.where(files.c.whole_digest.in_(chunk), *_can_have_all_parts())
        last += [row for row in connection.execute(asked) if (row.whole_size, bytes(row.whole_digest)) in pairs]
    parts: dict[tuple[int, bytes, int, int], list[tuple[int, int, int, int]]] = {}
    for chunk in chunks(list({row.folder_id for row in last})):
        key = (files.c.folder_id, files.c.name, volumes.c.run_id, files.c.mtime_ns)
        asked = (
            select(*key, files.c.id, files.c.part, files.c.size, volumes.c.id)
            .join_from(files, volumes)
            .where(files.c.folder_id.in_(chunk), files.c.part.is_not(None), *_can_have_all_parts())
            .order_by(files.c.id)
        )
        for folder_id, name, run_id, mtime_ns, *part in connection.execute(asked):
            parts.setdefault((folder_id, bytes(name), run_id, mtime_ns), []).append(tuple(part))
    for row in last:
        # Which are whose is told in `parts`.
        there: dict[int, tuple[int, int, int]] = {}
        later: dict[int, tuple[int, int, int]] = {}
        for file_id, number, size, volume_id in parts[row.folder_id, bytes(row.name), row.run_id, row.mtime_ns]:
            if number < row.part or file_id == row.id:
                (there if file_id <= row.id else later)[number] = file_id, size, volume_id
        there = later | there
        if len(there) == row.part and sum(size for _, size, _ in there.values()) == row.whole_size:
            places = {file_id: volume_id for file_id, _, volume_id in there.values()}
            yield CutFile(row.whole_size, bytes(row.whole_digest), row.run_id, places)


class _Parts:
    """Which files that were cut are there with all of their parts, which come in their order."""

    def __init__(self) -> None:
        self._number: dict[tuple[int, bytes, int], int] = {}

    def is_last_of_all(self, file: tuple[int, bytes, int], number: int, whole_digest: bytes | None) -> bool:
        """Whether this part is the last of a file, and none before it is missing."""
        there = number == 1 or self._number.get(file) == number - 1
        self._number[file] = number if there else 0
        return there and whole_digest is not None


class FoundVolume(NamedTuple):
    """A volume, and the run it belongs to, if any."""

    id: int
    run_id: int | None
    run_state: str | None
    owner: Owner


def find_volume(connection: Connection, title: str) -> FoundVolume:
    """The volume of this title.

    Raises:
        CatalogueError: there is none; the message names those of nearest title.
    """
    columns = (volumes.c.id, volumes.c.run_id, runs.c.state, volumes.c.host, volumes.c.pid, volumes.c.pid_seen)
    asked = select(volumes.c.title, *columns).join_from(volumes, runs, isouter=True)
    there = volumes.c.title == storable_text(title), volumes.c.state != REMOVING
    for found in connection.execute(asked.where(*there)):
        if found.title == storable_text(title):  # MySQL finds it with blanks at the end, too
            return FoundVolume(*found[1:4], Owner(*found[4:]))
    titles = list(connection.execute(select(volumes.c.title).where(volumes.c.state != REMOVING)).scalars())
    nearest = difflib.get_close_matches(title, titles, cutoff=0.4)
    if nearest:
        advice = "the nearest titles are " + ", ".join(map(repr, nearest))
    else:
        advice = "list the volumes to see their titles" if titles else "the catalogue has no volumes yet"
    raise CatalogueError(f"{title!r}: no volume of this title; {advice}")


@contextmanager
def wanting(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> Iterator[None]:
    """Keep the rows in the temporary table for a while."""
    try:
        wanted.create(connection, checkfirst=False)
        bulk_insert(connection, wanted, rows)
        yield
        wanted.drop(connection, checkfirst=False)
    except BaseException:
        # The table goes with the connection; MySQL would keep it for the next who gets that.
        connection.invalidate()
        raise

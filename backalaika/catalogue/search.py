"""Search: which volumes hold a file.

What is wanted decides where to begin: with a content, at ``known``; with a part of a name, at the lists of names; with
a part of a path, at the folders; else all files are read. What is found there may be too much, never too little: each
file is then looked at closely, in Python, so that all databases find the same. Files are read from one table alone:
joined, a database without statistics may begin at the wrong end.

A volume that is not complete has no lists, and its files are not ``known``; it is searched file by file. Complete
volumes without lists (from before there were any) get theirs when something is searched; who is killed at that leaves
some, and the next who searches makes the others.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, false, func, or_, select, tuple_, update

from ..errors import CatalogueError
from . import paging
from .database import CoreTransaction, Database
from .fetching import Rows, Telling, file_rows, paged, read_to_the_end, reread
from .name_index import folders_with, lists_with
from .names import last_listed, list_some_names
from .owning import Owner, this_process
from .parts import all_parts
from .queries import not_removed, really_known
from .results import FileEntry
from .rows import COMPLETE, FILE, HARD_LINK, INCOMPLETE, KINDS, REMOVING
from .schema import files, folders, known, name_lists, volumes
from .transaction import FETCHED, chunks
from .wanted import Pattern, Wanted, joined

_WITH_SIZE = (KINDS.index(FILE), KINDS.index(HARD_LINK))
# Between lists whose files are read at once.
_GAP = 64
_GROUPS = 400
# Folders whose files are read sooner than what is found by the name alone.
_FEW = 2000

_HAS_LISTS = exists().where(name_lists.c.volume_id == volumes.c.id)
# Of complete volumes: a process makes their lists, or has died at it.
_IS_LISTED_NOW = volumes.c.pid.is_not(None)


class Search(Database):
    """The part of a catalogue that finds files."""

    def find(self, wanted: Wanted) -> Iterator[FileEntry]:
        """The files that are wanted, of all volumes; streamed. Copies follow each other, the largest first."""
        if wanted.pattern is not None:
            with contextlib.suppress(CatalogueError):  # it may be read by who may not write
                self._list_what_is_not()
        with self._reading() as connection:
            read_to_the_end(connection)
            yield from _Duplicates(connection, wanted) if wanted.duplicates else _Found(connection, wanted)

    def digests_in_use(self) -> list[str]:
        """Which kinds of digest the files of the catalogue have."""
        with self._reading() as connection:
            asked = select(volumes.c.digest).where(volumes.c.state != REMOVING).distinct()
            return list(connection.execute(asked.order_by(volumes.c.digest)).scalars())

    def _list_what_is_not(self) -> None:
        with self._reading() as connection:
            ids = connection.execute(_not_listed()).scalars().all()
        for volume_id in ids:
            while not self._list_some_of(volume_id):
                time.sleep(paging.PAUSE_S)

    def _list_some_of(self, volume_id: int) -> bool:
        """Make some lists of a complete volume that has not all; returns whether that is all that this process does."""
        with self._writing() as connection:
            # Another process may have made them, or be at it, or have removed the volume.
            asked = _not_listed().add_columns(volumes.c.host, volumes.c.pid, volumes.c.pid_seen)
            found = connection.execute(asked.where(volumes.c.id == volume_id)).first()
            owner = Owner(None, None, None) if found is None else Owner(*found[1:])
            if found is None or owner.is_at_work or (owner.is_elsewhere and not owner.is_silent):
                return True
            transaction = CoreTransaction(connection)
            is_done = list_some_names(transaction, volume_id, last_listed(transaction, volume_id)) is None
            belongs_to = {"pid": None} if is_done else this_process()
            connection.execute(update(volumes).where(volumes.c.id == volume_id).values(belongs_to))
        return is_done


def _not_listed() -> Select[Any]:
    """The complete volumes that have files, and not all lists of their names."""
    has_files = exists().where(files.c.volume_id == volumes.c.id)
    return select(volumes.c.id).where(volumes.c.state == COMPLETE, or_(~_HAS_LISTS, _IS_LISTED_NOW), has_files)


class _Found:
    """What is found; iterating over it reads it."""

    def __init__(self, connection: Connection, wanted: Wanted) -> None:
        self._connection, self._wanted = connection, wanted
        self._telling = Telling(connection, wanted.encoding)
        self._conditions = [*_size_is(wanted), *_time_is(wanted), *not_removed(connection)]
        self._is_known = really_known(connection)

    def __iter__(self) -> Iterator[FileEntry]:
        wanted = self._wanted
        for rows in self._candidates():
            yield from self._telling.entries(self._matching(rows))
        if wanted.pattern is None or wanted.encoding is None or self._has_content:
            return
        # By no list of names: few media have such files, and all of them are looked at. Without an index too, for among
        # 1,000,000 files that takes 0.2 s in SQLite, 0.3 in PostgreSQL, and 1 to 3 in MariaDB (a busy machine).
        for rows in file_rows(self._connection, files.c.raw_path.is_not(None), *self._conditions):
            named = {row.id for row in self._named(rows, wanted.pattern)}
            anew = self._named_anew(rows, wanted.pattern, wanted.encoding)
            yield from self._telling.entries([row for row in anew if row.id not in named])

    @property
    def _has_content(self) -> bool:
        """Whether content decides what is looked at, whatever its name."""
        return self._wanted.contents is not None or self._wanted.digest is not None or self._wanted.duplicates

    def _candidates(self) -> Iterator[Rows]:
        wanted = self._wanted
        if wanted.contents is not None or wanted.digest is not None:
            return self._by_content()
        if wanted.pattern is None:
            return file_rows(self._connection, *self._conditions)
        if wanted.pattern.is_path:
            return self._by_path(wanted.pattern)
        return self._by_name(wanted.pattern)

    def _matching(self, rows: Rows) -> Rows:
        """Those that the pattern wants."""
        pattern, encoding = self._wanted.pattern, self._wanted.encoding
        if pattern is None:
            return rows
        if encoding is None or not self._has_content:
            return self._named(rows, pattern)
        either = {row.id for row in (*self._named(rows, pattern), *self._named_anew(rows, pattern, encoding))}
        return [row for row in rows if row.id in either]

    def _named(self, rows: Rows, pattern: Pattern) -> Rows:
        paths = self._telling.folders({row.folder_id for row in rows if pattern.is_path or not row.name})
        return [row for row in rows if pattern.matches(paths.get(row.folder_id, ""), os.fsdecode(row.name))]

    def _named_anew(self, rows: Rows, pattern: Pattern, encoding: str) -> Rows:
        """Those that are wanted by what the bytes of their names mean in this encoding."""
        rows = [row for row in rows if row.raw_path is not None]
        paths = self._telling.folders({row.folder_id for row in rows})
        return [
            row
            for row in rows
            if pattern.matches_path(
                reread(bytes(row.raw_path), joined(paths[row.folder_id], os.fsdecode(row.name)), encoding), not row.name
            )
        ]

    def _known_conditions(self) -> Iterator[ColumnElement[bool]]:
        """What a row of ``known`` must be like."""
        low, high = self._wanted.size or (None, None)
        yield from _within(known.c.size, low, None if high is None else high + 1)
        if self._wanted.contents is not None or self._wanted.digest is not None:
            yield _content_is(self._wanted, known.c.size, known.c.digest)

    def _by_content(self) -> Iterator[Rows]:
        asked = select(known.c.size, known.c.digest, known.c.file_id).where(*self._known_conditions())
        for page in paged(self._connection, asked, known.c.size, known.c.digest, known.c.file_id):
            yield from self._of_ids([row.file_id for row in page])
        yield from self._of_parts()
        of_file = _content_is(self._wanted, files.c.size, files.c.digest)
        for volume_id in self._volumes(volumes.c.state == INCOMPLETE):
            yield from file_rows(self._connection, files.c.volume_id == volume_id, of_file, *self._conditions)

    def _of_ids(self, ids: Sequence[int]) -> Iterator[Rows]:
        for chunk in chunks(ids):
            yield from file_rows(self._connection, files.c.id.in_(chunk), *self._is_known, *self._conditions)

    def _of_parts(self) -> Iterator[Rows]:
        """The parts of files that were cut, whose whole content is wanted and there."""
        of_whole = _content_is(self._wanted, files.c.whole_size, files.c.whole_digest)
        told: set[int] = set()  # a part may belong to several last ones, of copies of a medium
        for rows in file_rows(self._connection, of_whole):
            for last in rows:
                parts = [number for number in all_parts(self._connection, last) if number not in told]
                told.update(parts)
                for chunk in chunks(parts):
                    yield from file_rows(self._connection, files.c.id.in_(chunk), *self._conditions)

    def _by_name(self, pattern: Pattern) -> Iterator[Rows]:
        asked = lists_with(self._connection, pattern.pieces)
        incomplete = set(self._volumes(or_(volumes.c.state != COMPLETE, _IS_LISTED_NOW)))
        for volume_id, first, last in _ranges(paged(self._connection, asked, name_lists.c.id)):
            if volume_id in incomplete:
                continue  # its lists may be some only
            # By id: the index of volumes would lead through all files of the volume, so it is kept from being used.
            of_volume = files.c.volume_id + 0 == volume_id
            yield from file_rows(self._connection, files.c.id.between(first, last), of_volume, *self._conditions)
        without = and_(volumes.c.state == COMPLETE, or_(~_HAS_LISTS, _IS_LISTED_NOW))
        for volume_id in self._volumes(or_(without, volumes.c.state == INCOMPLETE)):
            yield from file_rows(self._connection, files.c.volume_id == volume_id, *self._conditions)

    def _volumes(self, condition: ColumnElement[bool]) -> Sequence[int]:
        return self._connection.execute(select(volumes.c.id).where(condition)).scalars().all()

    def _by_path(self, pattern: Pattern) -> Iterator[Rows]:
        """By the folder, unless that is one of too many, and the name tells more."""
        if not pattern.folder_pieces:
            return self._by_name(pattern) if pattern.pieces else file_rows(self._connection, *self._conditions)
        asked = folders_with(self._connection, pattern.folder_pieces)
        if pattern.begins:
            return chain(self._in_folders(asked, pattern.is_in), self._across(pattern))
        if pattern.is_glob and pattern.pieces and len(self._connection.execute(asked.limit(_FEW)).all()) == _FEW:
            return self._by_name(pattern)
        return self._in_folders(asked, pattern.may_begin_in)

    def _in_folders(self, asked: Select[Any], is_wanted: Callable[[str], bool]) -> Iterator[Rows]:
        for page in paged(self._connection, asked, folders.c.id):
            for chunk in chunks([row.id for row in page if is_wanted(os.fsdecode(row.path))]):
                yield from file_rows(self._connection, files.c.folder_id.in_(chunk), *self._conditions)

    def _across(self, pattern: Pattern) -> Iterator[Rows]:
        """By the name, without what `_in_folders` found."""
        for rows in self._by_name(pattern):
            paths = self._telling.folders({row.folder_id for row in rows})
            yield [row for row in rows if not pattern.is_in(paths[row.folder_id])]


class _Duplicates(_Found):
    """What is found at least twice; files on complete volumes only."""

    def __iter__(self) -> Iterator[FileEntry]:
        for groups in self._batches():
            if len(groups) == 1:
                yield from _if_two(self._entries(self._ids_of(groups[0])))
                continue
            found: dict[tuple[int, bytes], list[FileEntry]] = {group: [] for group in groups}
            for entry in self._entries(self._ids(groups)):
                assert entry.digest is not None  # it is known by it
                found[entry.size, entry.digest].append(entry)
            for entries in found.values():
                yield from _if_two(entries)

    def _entries(self, ids: Iterable[Sequence[int]]) -> Iterator[FileEntry]:
        for some in ids:
            for rows in self._of_ids(some):
                yield from self._telling.entries(self._matching(rows))

    def _batches(self) -> Iterator[list[tuple[int, bytes]]]:
        """Contents that are there more than once: one that fills a page or more alone, others together."""
        number = func.count().label("number")
        asked = select(known.c.size, known.c.digest, number).where(known.c.size > 0, *self._known_conditions())
        asked = asked.group_by(known.c.size, known.c.digest).having(func.count() > 1)
        batch: list[tuple[int, bytes]] = []
        total = 0
        for page in paged(self._connection, asked, known.c.size, known.c.digest, descending=True):
            for size, digest, count in map(tuple, page):
                if batch and (total + count > FETCHED or len(batch) == _GROUPS):
                    yield batch
                    batch, total = [], 0
                batch.append((size, bytes(digest)))
                total += count
        if batch:
            yield batch

    def _ids(self, groups: Sequence[tuple[int, bytes]]) -> Iterator[Sequence[int]]:
        yield self._connection.execute(_ids_where(tuple_(known.c.size, known.c.digest).in_(groups))).scalars().all()

    def _ids_of(self, group: tuple[int, bytes]) -> Iterator[Sequence[int]]:
        asked = _ids_where(and_(known.c.size == group[0], known.c.digest == group[1]))
        for page in paged(self._connection, asked, known.c.file_id):
            yield [row.file_id for row in page]


def _ids_where(condition: ColumnElement[bool]) -> Select[Any]:
    return select(known.c.file_id).where(condition)


def _if_two(entries: Iterable[FileEntry]) -> Iterator[FileEntry]:
    """The entries, if there is more than one."""
    rest = iter(entries)
    first, second = next(rest, None), next(rest, None)
    if first is not None and second is not None:
        yield first
        yield second
        yield from rest


def _ranges(pages: Iterator[Rows]) -> Iterator[tuple[int, int, int]]:
    """Volume, first and last file of what is to be read at once: lists that follow each other."""
    volume = first = last = -1
    for row in chain.from_iterable(pages):
        if row.volume_id == volume and 0 <= row.first_id - last <= _GAP and row.last_id - first < FETCHED:
            last = row.last_id
            continue
        if volume >= 0:
            yield volume, first, last
        volume, first, last = row.volume_id, row.first_id, row.last_id
    if volume >= 0:
        yield volume, first, last


def _content_is(wanted: Wanted, size: ColumnElement[Any], digest: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether a content is one that is wanted."""
    conditions: list[ColumnElement[bool]] = []
    if wanted.contents is not None:
        conditions.append(or_(false(), *(and_(size == length, digest == name) for length, name in wanted.contents)))
    if wanted.digest is not None:
        start = wanted.digest
        low = bytes.fromhex(start + "0" * (len(start) % 2))
        # The first that begins otherwise; there is none after ff..., of whatever length.
        after = format(int(start, 16) + 1, f"0{len(start)}x")
        high = bytes.fromhex(after + "0" * (len(start) % 2)) if len(after) == len(start) else None
        conditions += _within(digest, low, high)
    return and_(*conditions)


def _size_is(wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    if wanted.size is not None:
        low, high = wanted.size
        yield files.c.kind.in_(_WITH_SIZE)
        yield from _within(files.c.size, low, None if high is None else high + 1)


def _time_is(wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    yield from _within(files.c.mtime_ns, *(wanted.mtime_ns or (None, None)))


def _within(column: ColumnElement[Any], low: Any, beyond: Any) -> Iterator[ColumnElement[bool]]:
    if low is not None:
        yield column >= low
    if beyond is not None:
        yield column < beyond

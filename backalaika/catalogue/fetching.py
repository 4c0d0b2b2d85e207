"""Fetching: rows some thousands at a time, whatever their number, and what is told of files.

SQLite and PostgreSQL stream: the rest of the rows waits for the reader. MySQL gets a query for each page, which in one
transaction all show the same state: a cursor of its would send all the rest to whoever leaves off in the middle, be cut
off by the server where the reader is slow, and let nothing else be asked meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Row, Select, Table, select, text, tuple_

from .results import FileEntry
from .rows import KINDS
from .schema import archives, files, folders, volumes
from .servers import MYSQL
from .transaction import FETCHED, chunks
from .wanted import joined

_KEPT = 20_000
_OF_A_FILE = (
    files.c.id,
    files.c.volume_id,
    files.c.archive_id,
    files.c.folder_id,
    files.c.name,
    files.c.kind,
    files.c.size,
    files.c.mtime_ns,
    files.c.digest,
    files.c.part,
    files.c.whole_size,
    files.c.raw_path,
)
_VOLUME, _ARCHIVE, _FOLDER = 1, 2, 3

Rows = Sequence[Row[Any]]


def read_to_the_end(connection: Connection) -> None:
    """Let PostgreSQL choose the way that is the fastest to the last row of a query, not to the first ones."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL cursor_tuple_fraction = 1"))


def paged(connection: Connection, asked: Select[Any], *key: Column[Any], descending: bool = False) -> Iterator[Rows]:
    """The rows of a query in the order of a key that is theirs alone and that they tell, some thousands at a time."""
    ordered = asked.order_by(*(column.desc() if descending else column for column in key))
    if connection.dialect.name not in MYSQL:
        yield from connection.execute(ordered.execution_options(yield_per=FETCHED)).partitions()
        return
    page = ordered.limit(FETCHED)
    while rows := connection.execute(page).all():
        yield rows
        last = tuple(getattr(rows[-1], column.name) for column in key)
        beyond = tuple_(*key) < last if descending else tuple_(*key) > last
        # MySQL finds no place in an index by a tuple, but by the first of its parts.
        near = key[0] <= last[0] if descending else key[0] >= last[0]
        page = ordered.where(near, beyond).limit(FETCHED)


def file_rows(connection: Connection, *conditions: ColumnElement[bool]) -> Iterator[Rows]:
    """What `Telling` needs of files, in the order they were saved."""
    return paged(connection, select(*_OF_A_FILE).where(*conditions), files.c.id)


def reread(raw_path: bytes, path: str, encoding: str) -> str:
    """What the bytes of a path mean in this encoding; ``path`` is what they were guessed to mean, and is told if none.

    Raises:
        LookupError: there is no such encoding.
    """
    try:
        text = raw_path.decode(encoding)
        os.fsencode(text)
    except UnicodeError:
        return path
    if "/" in path and "/" not in text:
        text = text.replace("\\", "/")  # from programs of DOS that did not know better; the guess has it right
    return text.rstrip("/") or text


class Telling:
    """Tells of files: their volumes, archives and paths, which it looks up for many at a time and keeps for a while.

    Args:
        connection: in whose transaction.
        encoding: of paths whose encoding was guessed, to be told anew; None tells what was guessed.
    """

    def __init__(self, connection: Connection, encoding: str | None = None) -> None:
        self._connection, self._encoding = connection, encoding
        self._folders: dict[int, str] = {}
        self._archives: dict[int, str] = {}
        self._volumes: dict[int, str] = {}

    def folders(self, ids: Collection[int]) -> dict[int, str]:
        """The path of each folder, among others."""
        self._look_up(self._folders, folders, folders.c.path, ids)
        return self._folders

    def entries(self, rows: Rows) -> Iterator[FileEntry]:
        """What is told of each file."""
        self._look_up(self._volumes, volumes, volumes.c.title, {row[_VOLUME] for row in rows})
        self._look_up(self._archives, archives, archives.c.name, {row[_ARCHIVE] for row in rows} - {None})
        self._look_up(self._folders, folders, folders.c.path, {row[_FOLDER] for row in rows})
        titles, names, paths = self._volumes, self._archives, self._folders
        decoded = os.fsdecode
        # By place: asked for by its name, each of ten million times ten values takes its time.
        for _, volume, archive, folder, name, kind, size, mtime_ns, digest, part, _, raw_path in map(tuple, rows):
            own_name = decoded(name)
            if part is not None:
                own_name += f".part{part:03}"
            path = joined(paths[folder], own_name)
            if raw_path is not None and self._encoding is not None:
                path = reread(bytes(raw_path), path, self._encoding)
            yield FileEntry(
                titles[volume],
                None if archive is None else names[archive],
                path,
                KINDS[kind],
                size,
                mtime_ns,
                digest,
                raw_path,
            )

    def _look_up(self, there: dict[int, str], table: Table, column: Column[Any], ids: Collection[int]) -> None:
        missing = [number for number in ids if number not in there]
        if len(there) > _KEPT:
            there.clear()
            missing = list(ids)
        for chunk in chunks(missing):
            found = self._connection.execute(select(table.c.id, column).where(table.c.id.in_(chunk)))
            there.update((number, value if isinstance(value, str) else os.fsdecode(value)) for number, value in found)

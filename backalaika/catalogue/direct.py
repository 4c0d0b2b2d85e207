"""Direct: a way into an SQLite catalogue without SQLAlchemy, whose import alone takes 0.2 s of CPU time.

An office's 130 MB are compressed in less, and 1 GB is hashed. So `add`, and a run that needs nothing but to record, go
through Python's own module, with the very SQL of `recording` and `media`. Where there is any doubt (another database, a
new one, an older schema, one that may not be written), there is no direct way, and they wait until the catalogue is
open.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..errors import CatalogueError
from . import REVISION
from .bulk import insert_into, insertions, marks
from .media import Media
from .paging import Tell
from .reasons import catalogue_error
from .recording import removed_volumes
from .rows import REMOVING
from .state import State
from .taking import begun_pictures
from .transaction import WRITER_TIMEOUT_S, Transaction, chunks

if TYPE_CHECKING:
    from .opening import Catalogue

# The WAL is copied back every 64 MiB and not every 4: a page of the index by content is then written once for many
# rows.
PRAGMAS = (
    "synchronous = NORMAL",
    "foreign_keys = ON",
    "wal_autocheckpoint = 16384",
)
# A cache of 64 MiB keeps the inner pages of the indexes at ten million files. A run that makes a catalogue of a million
# has no use for it, and should take no more memory than one of a hundred thousand.
_LEAST_CACHE_KIB, _MOST_CACHE_KIB = 12 << 10, 64 << 10
_CACHED_PART = 24
_PREFIX = "sqlite:///"


class _SqliteTransaction:
    """A `Transaction` on a connection of Python's own module."""

    row_cost = 1

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def ask(self, sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, values).fetchall()

    def ask_among(self, sql: str, keys: Sequence[Any]) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = []
        for chunk in chunks(keys):
            found += self._connection.execute(sql.replace(":keys", f"({marks(chunk)})"), chunk)
        return found

    def has_table(self, name: str) -> bool:
        return bool(self.ask("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = :name", {"name": name}))

    def change(self, sql: str, values: Mapping[str, Any]) -> int:
        return self._connection.execute(sql, values).rowcount

    def change_many(self, sql: str, values: Sequence[Mapping[str, Any]]) -> int:
        return self._connection.executemany(sql, values).rowcount if values else 0

    def change_among(self, sql: str, keys: Sequence[Any]) -> int:
        number = 0
        for chunk in chunks(keys):
            number += self._connection.execute(sql.replace(":keys", f"({marks(chunk)})"), chunk).rowcount
        return number

    def insert(self, table: str, values: Mapping[str, Any]) -> int:
        key = self._connection.execute(insert_into(table, list(values)), list(values.values())).lastrowid
        assert key is not None
        return key

    def insert_many(self, table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
        for statement, values in insertions(table, columns, rows):
            self._connection.executemany(statement, values)


class DirectCatalogue(State, Media):
    """What a run and a medium record, in an SQLite file; any thread may call it. Raises what `Catalogue` would."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.RLock()
        with self._readable_errors():
            self._connection = sqlite3.connect(
                _uri(path), uri=True, timeout=WRITER_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            try:
                for pragma in PRAGMAS:
                    self._connection.execute(f"PRAGMA {pragma}")
                fit_cache(self._connection)
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        """Close the file; the catalogue is of no use after that."""
        with self._lock, self._readable_errors():
            self._connection.close()

    def revision(self) -> str:
        """The number of the newest migration of its schema."""
        with self._looking() as transaction:
            found = transaction.ask("SELECT version_num FROM alembic_version", {})
        return str(found[0][0]) if found else ""

    def has_to_be_finished(self) -> bool:
        """Whether a volume or an archive is being removed, or a picture recorded, by whoever that may be."""
        archives = "SELECT id FROM archives WHERE state = :removing LIMIT 1"
        with self._looking() as transaction:
            if removed_volumes(transaction) or transaction.ask(archives, {"removing": REMOVING}):
                return True
            return bool(begun_pictures(transaction))

    def drop_archive(self, archive_id: int) -> None:
        """As `Catalogue.drop_archive`, through that: it is seldom wanted."""
        with self._in_full() as catalogue:
            catalogue.drop_archive(archive_id)

    def drop_volume(self, volume_id: int) -> None:
        """As `Catalogue.drop_volume`, through that."""
        with self._in_full() as catalogue:
            catalogue.drop_volume(volume_id)

    def drop_files(self, file_ids: Iterable[int]) -> None:
        """As `Catalogue.drop_files`, through that."""
        with self._in_full() as catalogue:
            catalogue.drop_files(file_ids)

    def _in_full(self) -> Catalogue:
        from .opening import open_catalogue

        return open_catalogue(f"{_PREFIX}{self._path}", to_write=False)

    @contextmanager
    def _looking(self) -> Iterator[Transaction]:
        with self._lock, self._readable_errors():
            yield _SqliteTransaction(self._connection)

    @contextmanager
    def _changing(self) -> Iterator[Transaction]:
        with self._lock, self._readable_errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                fit_cache(self._connection)
                yield _SqliteTransaction(self._connection)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # on a full disk SQLite has ended it already
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _readable_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise catalogue_error(f"{_PREFIX}{self._path}", str(error)) from None


def fit_cache(connection: sqlite3.Connection) -> None:
    """Let SQLite keep so much in memory as is of use with a file of this size."""
    ((pages,),) = connection.execute("PRAGMA page_count")
    ((page,),) = connection.execute("PRAGMA page_size")
    size = min(max(pages * page // 1024 // _CACHED_PART, _LEAST_CACHE_KIB), _MOST_CACHE_KIB)
    connection.execute(f"PRAGMA cache_size = -{size}")


def _uri(path: str) -> str:
    """The URI of a file that is there: none is made in its place if it is gone a moment later."""
    place = os.path.abspath(path).replace(os.sep, "/").replace("#", "%23")
    return f"file:{'' if place.startswith('/') else '/'}{place}?mode=rw"


def direct_path(db_uri: str) -> str | None:
    """The file to which there may be a direct way; None if it is no SQLite file that is there and may be written."""
    path = os.path.expanduser(db_uri.removeprefix(_PREFIX))
    if not db_uri.startswith(_PREFIX) or set(path) & set("?%") or not os.access(path, os.R_OK | os.W_OK):
        return None
    return path


def open_directly(db_uri: str, revision: str) -> DirectCatalogue | None:
    """The direct way to a catalogue; None unless it is an SQLite file of this revision that may be written.

    None also while volumes are removed, or a picture is being recorded: opening it in full finishes what was cut off.
    """
    path = direct_path(db_uri)
    if path is None:
        return None
    try:
        direct = DirectCatalogue(path)
    except CatalogueError:
        return None
    try:
        current = direct.revision() == revision and not direct.has_to_be_finished()
    except CatalogueError:  # no catalogue: opening it in full will say what is wrong
        current = False
    if not current:
        direct.close()
    return direct if current else None


def open_to_add(db_uri: str, tell: Tell) -> Catalogue | DirectCatalogue:
    """A catalogue for media, directly if there is a way; ``tell`` as for `open_catalogue`, which makes a new one.

    Raises:
        CatalogueError: it cannot be opened or made, or belongs to a newer version.
    """
    direct = open_directly(db_uri, REVISION)
    if direct is not None:
        return direct
    from .opening import open_catalogue

    return open_catalogue(db_uri, tell=tell)

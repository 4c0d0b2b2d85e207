"""Opening: from a ``db_uri`` to a catalogue with the present schema.

A new database gets its tables from the schema itself, and the number of its revision with them; an older one is
migrated by alembic, which is imported only then. A new SQLite database is a file for its owner only, in WAL mode, so
that others read while one writes.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, insert, inspect, make_url, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from ..errors import CatalogueError
from . import REVISION
from .copies import Copies
from .coverage import Coverage
from .database import WRITES
from .direct import PRAGMAS, fit_cache
from .media import Media
from .paging import Tell, tell_nobody
from .reasons import readable_errors, shown
from .rebuilding import Rebuilding
from .removal import Removal
from .resuming import Resuming
from .schema import alembic_version, metadata
from .search import Search
from .servers import ISOLATION, listen, only_writer
from .state import State
from .transaction import WRITER_TIMEOUT_S

_WAL_TIMEOUT_S = 5
_CONNECT_TIMEOUT_S = 10
_EXAMPLES = "write sqlite:///~/backups/backalaika.sqlite or postgresql://user:password@host/database"
_DRIVERS = {"sqlite": "pysqlite", "postgresql": "psycopg", "mysql": "pymysql", "mariadb": "pymysql"}
_EXTRAS = {"postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql"}


class Catalogue(Removal, Resuming, Media, Search, Copies, State, Rebuilding, Coverage):
    """An open catalogue; a context manager. Any thread may call it; each call that writes is one transaction.

    Every method may raise `CatalogueError`, one line without the password.
    """

    def __enter__(self) -> Catalogue:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def open_catalogue(db_uri: str, to_write: bool = True, tell: Tell = tell_nobody) -> Catalogue:
    """Open a catalogue; make it if it is new, migrate it if it is older.

    Args:
        db_uri: as SQLAlchemy takes it; in one of SQLite, ``~`` is the home directory.
        to_write: whether to finish removals that were cut off, which may take minutes.
        tell: hears how that goes.

    Raises:
        CatalogueError: it cannot be opened or made, or belongs to a newer version.
    """
    url = parse_uri(db_uri)
    if url.get_backend_name() == "sqlite":
        url = _prepare_file(url)
    engine = make_engine(url)
    catalogue = Catalogue(engine)
    try:
        with readable_errors(url):
            _bring_up_to_date(engine)
        if to_write:
            catalogue.finish_removals(tell)
    except BaseException:
        engine.dispose()
        raise
    return catalogue


def catalogue_exists(db_uri: str) -> bool:
    """Whether opening a catalogue would not make it anew: whether its file is there; a server's is taken to be.

    Raises:
        CatalogueError: it is no URI of a database.
    """
    url = parse_uri(db_uri)
    return url.get_backend_name() != "sqlite" or os.path.exists(os.path.expanduser(str(url.database)))


def parse_uri(db_uri: str) -> URL:
    """A ``db_uri`` with the driver that is used.

    Raises:
        CatalogueError: it is no URI of a database that there could be.
    """
    try:
        url = make_url(db_uri)
    except (ArgumentError, ValueError):
        raise CatalogueError(_not_a_uri(db_uri)) from None
    backend, _, driver = url.drivername.partition("+")
    if backend not in _DRIVERS:
        raise CatalogueError(f"db_uri: there is no database {backend!r}; use sqlite, postgresql or mysql")
    if driver and driver != _DRIVERS[backend]:
        raise CatalogueError(f"db_uri: {url.drivername} is not supported; write {backend}:// without the driver")
    if backend == "sqlite":
        if url.host or url.username or url.password or url.port:
            raise CatalogueError("db_uri: a SQLite URI has three slashes; write sqlite:///~/backups/backalaika.sqlite")
        if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
            raise CatalogueError("db_uri: names no file; write sqlite:///~/backups/backalaika.sqlite")
    elif "@" in f"{url.host}{url.database}":
        # Part of a password that holds an @; shown as the host's name, it would be told.
        raise CatalogueError(_not_a_uri(db_uri))
    elif not url.database:
        raise CatalogueError(f"db_uri: names no database; write {backend}://user:password@host/database")
    return url.set(drivername=f"{backend}+{_DRIVERS[backend]}")


def _not_a_uri(db_uri: str) -> str:
    scheme = re.match(r"[A-Za-z0-9+]*://", db_uri)
    begins = f" (it begins with {scheme[0]})" if scheme else ""
    return f"db_uri: not the URI of a database{begins}; {_EXAMPLES}; in a password, write @ as %40, : as %3A, / as %2F"


def _prepare_file(url: URL) -> URL:
    """Make the database's file and folder, for their owner only, unless they are there."""
    path = os.path.expanduser(str(url.database))
    url = url.set(database=path)
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), mode=0o700, exist_ok=True)
        if os.path.isdir(path):
            raise CatalogueError(f"catalogue {shown(url)}: is a directory; name a file in db_uri")
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT, 0o600))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise CatalogueError(f"catalogue {shown(url)}: cannot be made: {reason}; name another in db_uri") from None
    return url


def make_engine(url: URL) -> Engine:
    """SQLAlchemy's engine, its connections set up as a catalogue needs them.

    Raises:
        CatalogueError: the database does not answer.
    """
    backend = url.get_backend_name()
    arguments: dict[str, Any] = {}
    options: dict[str, Any] = {}
    if backend == "sqlite":
        if "timeout" not in url.query:
            arguments["timeout"] = WRITER_TIMEOUT_S
    else:
        # A connection that was lost while nothing was written is made anew.
        options = {"pool_pre_ping": True, "isolation_level": ISOLATION[backend]}
        if "connect_timeout" not in url.query:
            arguments["connect_timeout"] = _CONNECT_TIMEOUT_S
    try:
        with readable_errors(url):
            engine = create_engine(url, connect_args=arguments, **options)
            _listen(engine)
            engine.connect().close()
    except ImportError as error:
        extra = _EXTRAS.get(backend)
        advice = f"install backalaika[{extra}]" if extra else "this Python was built without it"
        raise CatalogueError(f"catalogue {shown(url)}: {error.name} is missing; {advice}") from None
    except (TypeError, ValueError, AttributeError) as error:  # PyMySQL's, where there is no such charset
        raise CatalogueError(f"db_uri: {shown(url)} has a setting that cannot be used: {error}") from None
    return engine


def _listen(engine: Engine) -> None:
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    listen(engine)


def _set_up_sqlite(connection: Any, _record: object) -> None:
    # Transactions begin in _begin_sqlite, not where Python's module thinks that they should.
    connection.isolation_level = None
    cursor = connection.cursor()
    _enter_wal_mode(cursor)
    for pragma in PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _enter_wal_mode(cursor: Any) -> None:
    """Others that open a new database at this moment are in the way, and SQLite does not wait for them here."""
    deadline = time.monotonic() + _WAL_TIMEOUT_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
    plain = connection.connection.dbapi_connection
    assert isinstance(plain, sqlite3.Connection)
    fit_cache(plain)


def _bring_up_to_date(engine: Engine) -> None:
    with engine.connect() as connection:
        if _revision(connection) == REVISION:
            return
    with engine.connect().execution_options(**{WRITES: True}) as connection, only_writer(connection):
        # Asked again, for another process may have made it in between.
        revision = _revision(connection)
        if revision is None:
            _create(connection)
        elif revision != REVISION:
            from .migrating import migrate

            migrate(connection)


def _revision(connection: Connection) -> str | None:
    """The revision of the database's schema, '' before the first; None if the database is new."""
    if not inspect(connection).has_table(alembic_version.name):
        return None
    return connection.execute(select(alembic_version.c.version_num)).scalar() or ""


def _create(connection: Connection) -> None:
    there = set(inspect(connection).get_table_names()) & set(metadata.tables)
    if there:
        raise CatalogueError(
            f"catalogue {shown(connection.engine.url)}: another program has tables there "
            f"({', '.join(sorted(there))}); name another database in db_uri"
        )
    # First the mark that the tables are ours: MySQL commits each at once, and what is cut off goes on as a migration.
    alembic_version.create(connection)
    metadata.create_all(connection)
    connection.execute(insert(alembic_version).values(version_num=REVISION))

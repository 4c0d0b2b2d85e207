"""Servers: what PostgreSQL and MySQL need that SQLite does not.

**One writer at a time.** Each transaction that writes first takes a lock that belongs to the catalogue, so writers wait
for each other as they do on SQLite: no two can insert the same folder, delete the folder that another is about to use,
or make the schema at once, and none can end in a deadlock. A transaction is a batch of some thousands of rows, so
nobody waits long. Readers take no lock. The lock ends with the transaction, or with the connection
of a process that died.

**Bulk.** PostgreSQL takes rows by COPY, in its binary form. For MySQL, PyMySQL makes statements of many rows; LOAD DATA
LOCAL would be refused by most servers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Table, event, text

from ..errors import CatalogueError
from .reasons import LOCKED, shown
from .transaction import WRITER_TIMEOUT_S

MYSQL = ("mysql", "mariadb")

# Of the two numbers of the lock, the first is ours, the second the schema's: a database may hold several catalogues.
_POSTGRESQL_LOCK = text(
    "SELECT set_config('lock_timeout', :timeout, true),"
    " pg_advisory_xact_lock(1650549611, hashtext(coalesce(current_schema(), '')))"
)
# Of the whole server, 64 characters at most.
_MYSQL_NAME = "CONCAT('backalaika.', MD5(DATABASE()))"
_MYSQL_LOCK = text(f"SELECT GET_LOCK({_MYSQL_NAME}, :timeout)")  # a constant
_MYSQL_UNLOCK = text(f"SELECT RELEASE_LOCK({_MYSQL_NAME})")  # a constant
# Without strict mode, MySQL cuts what is too long; without InnoDB, there is no transaction.
_MYSQL_SESSION = (
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', SESSION default_storage_engine = 'InnoDB'"
)
# What a transaction sees, whatever the server's default. In PostgreSQL, what others wrote until the lock was got: a
# snapshot would be taken before that. In MySQL, the same in all pages of a list; it takes no snapshot for the lock.
ISOLATION = {"postgresql": "READ COMMITTED"} | dict.fromkeys(MYSQL, "REPEATABLE READ")
# One that only asks needs no lock, and all its queries must show the same state: between one that tells which volumes
# count and one for what is on them, a volume may begin to be entered. Elsewhere that is so anyway.
READING = {"postgresql": "REPEATABLE READ"}
_COPY_TYPES = "backalaika_copy_types"


def listen(engine: Engine) -> None:
    """Prepare the connections of an engine."""
    if engine.dialect.name in MYSQL:
        event.listen(engine, "connect", _set_up_mysql)
    elif engine.dialect.name == "postgresql":
        event.listen(engine, "do_executemany", _copy)
        event.listen(engine, "do_execute", _copy_one)


@contextmanager
def only_writer(connection: Connection) -> Iterator[None]:
    """A transaction in which no other process or thread writes.

    Raises:
        CatalogueError: somebody else wrote for a whole minute.
    """
    if connection.dialect.name not in MYSQL:
        with connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(_POSTGRESQL_LOCK, {"timeout": f"{WRITER_TIMEOUT_S}s"})
            yield
        return
    if connection.execute(_MYSQL_LOCK, {"timeout": WRITER_TIMEOUT_S}).scalar() != 1:
        raise CatalogueError(f"catalogue {shown(connection.engine.url)}: {LOCKED}")
    try:
        yield
        connection.commit()
    finally:
        # Only after the end of the transaction; where the connection is lost, the lock is gone with it.
        if not connection.invalidated:
            connection.rollback()
            connection.execute(_MYSQL_UNLOCK)


def copy_into(connection: Connection, table: Table, names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows by PostgreSQL's COPY; several times as fast as INSERT."""
    quote = connection.dialect.identifier_preparer.quote
    types = [table.columns[name].type.compile(connection.dialect).lower() for name in names]
    statement = f"COPY {quote(table.name)} ({', '.join(map(quote, names))}) FROM STDIN (FORMAT BINARY)"
    connection.exec_driver_sql(statement, list(rows), execution_options={_COPY_TYPES: types})


def _copy(cursor: Any, statement: str, parameters: list[tuple[Any, ...]], context: Any) -> bool:
    """In the place of the driver's executemany, so that errors go the way of all others."""
    types = context.execution_options.get(_COPY_TYPES)
    if types is None:
        return False
    with cursor.copy(statement) as copy:
        # The binary form converts nothing: a number must have the width of its column.
        copy.set_types(types)
        for row in parameters:
            copy.write_row(row)
    return True


def _copy_one(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
    """The same for a list of one row, which SQLAlchemy takes out of it."""
    return _copy(cursor, statement, [parameters], context)


def _set_up_mysql(connection: Any, _record: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_MYSQL_SESSION)

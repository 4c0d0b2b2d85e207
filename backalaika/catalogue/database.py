"""Database: transactions, errors and bulk inserts, the same way for all that the catalogue does.

Each call of the catalogue is one transaction on a connection of the pool, so several threads may call. A transaction
that writes says so when it begins: SQLite then waits for other writers at once, instead of failing half-way because it
had read before. No error of SQLAlchemy or a driver leaves this package; they become one line without the password.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Delete, Engine, Insert, Table, insert
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.sql.compiler import SQLCompiler

from ..errors import CatalogueError

WRITES = "backalaika_writes"

# Far below what one statement may hold: 32,766 variables in SQLite since 3.32, 999 before.
CHUNK = 500

T = TypeVar("T")

_ADVICE = {
    "database is locked": "another program is writing to it; try again when that has ended",
    "database table is locked": "another program is writing to it; try again when that has ended",
    "database or disk is full": "make room on its disk",
    "file is not a database": "name another file in db_uri",
    "unable to open database file": "is its folder there, and may you write in it? Correct db_uri",
    "attempt to write a readonly database": "you may not write to it; change its owner, or name another in db_uri",
    "database disk image is malformed": "it is damaged; put it aside and use a copy, or let a new one be made",
}


class Database:
    """An open database. `opening.open_catalogue` makes it; the other modules add what can be done with it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def close(self) -> None:
        """Close all connections; the catalogue is of no use after that."""
        with readable_errors(self._engine.url):
            self._engine.dispose()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with readable_errors(self._engine.url), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with readable_errors(self._engine.url), self._engine.connect() as plain:
            connection = plain.execution_options(**{WRITES: True})
            with connection.begin():
                yield connection


@contextmanager
def readable_errors(url: URL) -> Iterator[None]:
    """Turn what SQLAlchemy raises into a `CatalogueError` of one line without the password."""
    try:
        yield
    except SQLAlchemyError as error:
        raise CatalogueError(f"catalogue {shown(url)}: {_reason(error, url)}") from None


def shown(url: URL) -> str:
    """The URI as the user has it, without password and query, which may hold one too."""
    return url.set(drivername=url.get_backend_name(), query={}).render_as_string(hide_password=True)


def _reason(error: SQLAlchemyError, url: URL) -> str:
    said = str(error.orig if isinstance(error, DBAPIError) and error.orig else error).strip() or type(error).__name__
    reason = said.splitlines()[0]
    secrets = [url.password, *(value for values in url.query.values() for value in _as_tuple(values))]
    for secret in secrets:
        if secret:
            reason = reason.replace(secret, "***")
    advice = _ADVICE.get(reason)
    return f"{reason}; {advice}" if advice else reason


def _as_tuple(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


def bulk_insert(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows that have a value for each column of the table but ``id``, in the table's order."""
    columns = [column.name for column in table.columns if column.name != "id"]
    execute_many(connection, insert(table), columns, rows)


def execute_many(
    connection: Connection, statement: Insert | Delete, names: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Execute a statement for each of the rows, whose values are those of the parameters ``names``.

    Tuples go straight to the driver's executemany: through a dictionary a row, SQLAlchemy takes twice as long. Drivers
    that know parameters by name only still get dictionaries.
    """
    if not rows:
        return
    compiled = statement.compile(dialect=connection.dialect, column_keys=list(names))
    if isinstance(compiled, SQLCompiler) and compiled.positiontup == list(names):
        connection.exec_driver_sql(str(compiled), list(rows))
    else:
        connection.execute(statement, [dict(zip(names, row, strict=True)) for row in rows])


def chunks(items: Sequence[T]) -> Iterator[list[T]]:
    """The items, as many at a time as a statement may hold."""
    pending = iter(items)
    while chunk := list(islice(pending, CHUNK)):
        yield chunk

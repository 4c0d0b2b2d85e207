"""Database: transactions, errors and bulk inserts, the same way for all that the catalogue does.

Each call of the catalogue is one transaction on a connection of the pool, so several threads may call. A transaction
that writes says so when it begins, and then waits for other writers at once, instead of failing half-way because it
had read before; what that takes on servers is in `servers`. No error of SQLAlchemy or a driver leaves this package;
`reasons` makes one line of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Delete, Engine, Insert, Table, insert
from sqlalchemy.sql.compiler import SQLCompiler

from .reasons import readable_errors
from .servers import copy_into, only_writer

WRITES = "backalaika_writes"

# Far below what one statement may hold: 32,766 variables in SQLite since 3.32, 999 before.
CHUNK = 500

T = TypeVar("T")


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
            with only_writer(connection):
                yield connection


def bulk_insert(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows that have a value for each column of the table but ``id``, in the table's order."""
    columns = [column.name for column in table.columns if column.name != "id"]
    if connection.dialect.driver == "psycopg" and rows:
        copy_into(connection, table, columns, rows)
        return
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

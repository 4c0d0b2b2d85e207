"""Database: transactions, errors and bulk inserts, the same way for all that the catalogue does.

Each call of the catalogue is one transaction on a connection of the pool, so several threads may call. A transaction
that writes says so when it begins, and then waits for other writers at once, instead of failing half-way because it
had read before; what that takes on servers is in `servers`. No error of SQLAlchemy or a driver leaves this package;
`reasons` makes one line of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Delete, Engine, Insert, Table, bindparam, insert, inspect, text
from sqlalchemy.sql.compiler import SQLCompiler

from .bulk import insertions
from .reasons import readable_errors
from .schema import metadata
from .servers import MYSQL, READING, copy_into, only_writer
from .transaction import Transaction, Transactions, chunks

WRITES = "backalaika_writes"


class CoreTransaction:
    """A `Transaction` on a connection of SQLAlchemy's."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.row_cost = row_cost(connection)

    def ask(self, sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """The rows that a query finds."""
        return [tuple(row) for row in self._connection.execute(text(sql), values)]

    def ask_among(self, sql: str, keys: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows that a query with ``IN :keys`` finds."""
        statement = text(sql).bindparams(bindparam("keys", expanding=True))
        return [tuple(row) for chunk in chunks(keys) for row in self._connection.execute(statement, {"keys": chunk})]

    def change_among(self, sql: str, keys: Sequence[Any]) -> int:
        """Change rows by a statement with ``IN :keys``; returns how many."""
        statement = text(sql).bindparams(bindparam("keys", expanding=True))
        return sum(self._connection.execute(statement, {"keys": chunk}).rowcount for chunk in chunks(keys))

    def has_table(self, name: str) -> bool:
        """Whether there is a table of this name."""
        return inspect(self._connection).has_table(name)

    def change(self, sql: str, values: Mapping[str, Any]) -> int:
        """Change rows; returns how many."""
        return self._connection.execute(text(sql), values).rowcount

    def change_many(self, sql: str, values: Sequence[Mapping[str, Any]]) -> int:
        """Change rows, once for each of the values; returns how many."""
        return self._connection.execute(text(sql), [dict(some) for some in values]).rowcount if values else 0

    def insert(self, table: str, values: Mapping[str, Any]) -> int:
        """Insert a row; returns its id."""
        key = self._connection.execute(insert(metadata.tables[table]).values(values)).inserted_primary_key
        assert key is not None  # that is for inserts of many rows
        return int(key[0])

    def insert_many(self, table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
        """Insert rows in bulk."""
        insert_rows(self._connection, metadata.tables[table], columns, list(rows))


class Database(Transactions):
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
            level = READING.get(connection.dialect.name)
            yield connection if level is None else connection.execution_options(isolation_level=level)

    @contextmanager
    def _looking(self) -> Iterator[Transaction]:
        with self._reading() as connection:
            yield CoreTransaction(connection)

    @contextmanager
    def _changing(self) -> Iterator[Transaction]:
        with self._writing() as connection:
            yield CoreTransaction(connection)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with readable_errors(self._engine.url), self._engine.connect() as plain:
            connection = plain.execution_options(**{WRITES: True})
            with only_writer(connection):
                yield connection


def row_cost(connection: Connection) -> int:
    """How many rows that one statement changes take as long as one of many statements that are executed together.

    PyMySQL sends each by itself: 5,000 of them take as long as 100,000 rows by one, or three seconds over a network.
    """
    return 20 if connection.dialect.name in MYSQL else 1


def bulk_insert(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows that have a value for each column of the table but ``id``, in the table's order."""
    insert_rows(connection, table, [column.name for column in table.columns if column.name != "id"], rows)


def insert_rows(connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows with values of these columns."""
    if connection.dialect.driver == "psycopg" and rows:
        copy_into(connection, table, columns, rows)
    elif connection.dialect.name == "sqlite":
        for statement, values in insertions(table.name, columns, rows):
            connection.exec_driver_sql(statement, values)
    else:
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

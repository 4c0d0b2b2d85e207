"""Transaction: what recording asks of a database, whichever it is and whichever library speaks to it.

What a run records is written once, in plain SQL that all databases take. Two carry it there: `database`, through
SQLAlchemy, to any database; and `direct`, through Python's own module, to an SQLite file. The second is there because
importing SQLAlchemy takes longer than compressing a small office's share.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any, Protocol, TypeVar

# How long others that write are waited for; the longest transaction is that which completes a large volume.
WRITER_TIMEOUT_S = 60
# Far below what one statement may hold: 32,766 variables in SQLite since 3.32, 999 before.
CHUNK = 500

# Rows fetched at a time, whatever their number; a multiple of the names in a list (`names`).
FETCHED = 5120

T = TypeVar("T")


class Transaction(Protocol):
    """One transaction. In SQL, ``:name`` stands for a value."""

    @property
    def row_cost(self) -> int:
        """So many rows that one statement changes take as long as one of `change_many`."""

    def ask(self, sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """The rows that a query finds."""

    def ask_among(self, sql: str, keys: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows that a query with ``IN :keys`` finds, for any number of keys."""

    def has_table(self, name: str) -> bool:
        """Whether there is a table of this name."""

    def change(self, sql: str, values: Mapping[str, Any]) -> int:
        """Change rows; returns how many."""

    def change_many(self, sql: str, values: Sequence[Mapping[str, Any]]) -> int:
        """Change rows, once for each of the values; returns how many."""

    def change_among(self, sql: str, keys: Sequence[Any]) -> int:
        """Change rows by a statement with ``IN :keys``, for any number of keys; returns how many."""

    def insert(self, table: str, values: Mapping[str, Any]) -> int:
        """Insert a row; returns its id."""

    def insert_many(self, table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
        """Insert rows in bulk: values of all columns but ``id``."""


class Transactions(ABC):
    """A database in which there are transactions. What goes wrong in one is a `CatalogueError`."""

    @abstractmethod
    def _looking(self) -> AbstractContextManager[Transaction]:
        """A transaction that only asks."""

    @abstractmethod
    def _changing(self) -> AbstractContextManager[Transaction]:
        """A transaction that writes, all or nothing; others that write wait for its end."""


def chunks(items: Sequence[T]) -> Iterator[list[T]]:
    """The items, as many at a time as a statement may hold."""
    pending = iter(items)
    while chunk := list(islice(pending, CHUNK)):
        yield chunk

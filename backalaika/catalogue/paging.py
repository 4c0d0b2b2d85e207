"""Paging: rows by the hundred thousand are written some at a time, so that nobody waits long who wants to write.

Where each page ends is asked before the first is written, while others may write: the rows do not change meanwhile.
Where that cannot be told, because what is written depends on what is there, `Pausing` ends a page when it is full.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from .transaction import Transaction

# Rows of files that are deleted by one transaction: at 50,000 a second, others wait for two seconds.
FILES = 100_000
# Lists of names.
LISTS = 2000
# Files that become known by one. They come anywhere in the index by content, and each page writes nearly all of it
# anew: at ten million files in SQLite, a million by one takes four seconds, and by four twice that in all.
KNOWN = 1_000_000
# Entries of a picture, at most by one statement and at least between two pauses; fewer where each is a statement.
ENTRIES = 100_000
# SQLite's waiting writers look every 100 ms at least whether it is their turn; without a pause they never find it.
PAUSE_S = 0.12
LAST = (1 << 63) - 1

Tell = Callable[[str, int, int], None]
"""Is told what is being deleted, how many rows of it are, and how many there are at most."""


def tell_nobody(name: str, done: int, number: int) -> None:
    """Where nobody waits for it."""


class Page(NamedTuple):
    """Rows whose numbers come after one, up to another."""

    after: int
    last: int


def pages(transaction: Transaction, which: str, values: Mapping[str, Any], size: int) -> list[Page]:
    """The rows that there are in the order of their numbers, so many a page; one page at least, of which all are less.

    Each page begins where the one before it ended: a server that reads the table and no index reads it once.

    Args:
        transaction: one that only asks.
        which: a table and, behind WHERE, which of its rows.
        values: what is named there.
        size: rows a page.
    """
    sql = f"SELECT COUNT(*), MAX(id) FROM (SELECT id FROM {which} AND id > :after ORDER BY id LIMIT :size) AS page"
    found: list[Page] = []
    after = 0
    while True:
        ((number, last),) = transaction.ask(sql, {**values, "after": after, "size": size})
        if number < size:
            found.append(Page(after, LAST))
            return found
        found.append(Page(after, int(last)))
        after = int(last)


class Pausing:
    """A transaction that enters what it has written so far where it may pause, if that is much, and begins anew.

    As long as little is written, it is one transaction, all or nothing. A context manager.

    Args:
        changing: makes a transaction that writes.
    """

    def __init__(self, changing: Callable[[], AbstractContextManager[Transaction]]) -> None:
        self._changing = changing
        self._written = 0
        self._part: AbstractContextManager[Transaction] | None = None
        self._check: Callable[[], object] = lambda: None

    def __enter__(self) -> Pausing:
        self._begin()
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self._end(*exc_info)

    def may_pause(self) -> None:
        """Let others write, if much was written."""
        if self._written >= ENTRIES:
            self._end(None, None, None)
            time.sleep(PAUSE_S)
            self._begin()
            self._check()

    def check_after_pauses(self, check: Callable[[], object]) -> None:
        """Let this be called first after each pause; what it raises ends the transaction."""
        self._check = check

    def _begin(self) -> None:
        part = self._changing()
        self._transaction, self._written = part.__enter__(), 0
        self._part = part

    def _end(self, *exc_info: Any) -> None:
        part, self._part = self._part, None
        if part is not None:  # else it was a pause that did not end well
            part.__exit__(*exc_info)

    @property
    def row_cost(self) -> int:
        """So many rows that one statement changes take as long as one of `change_many`."""
        return self._transaction.row_cost

    def ask(self, sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """The rows that a query finds."""
        return self._transaction.ask(sql, values)

    def ask_among(self, sql: str, keys: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows that a query with ``IN :keys`` finds, for any number of keys."""
        return self._transaction.ask_among(sql, keys)

    def has_table(self, name: str) -> bool:
        """Whether there is a table of this name."""
        return self._transaction.has_table(name)

    def change(self, sql: str, values: Mapping[str, Any]) -> int:
        """Change rows; returns how many."""
        number = self._transaction.change(sql, values)
        self._written += number
        return number

    def change_many(self, sql: str, values: Sequence[Mapping[str, Any]]) -> int:
        """Change rows, once for each of the values; returns how many."""
        number = self._transaction.change_many(sql, values)
        self._written += max(number, len(values) * self.row_cost)
        return number

    def change_among(self, sql: str, keys: Sequence[Any]) -> int:
        """Change rows by a statement with ``IN :keys``; returns how many."""
        number = self._transaction.change_among(sql, keys)
        self._written += number
        return number

    def insert(self, table: str, values: Mapping[str, Any]) -> int:
        """Insert a row; returns its id."""
        self._written += 1
        return self._transaction.insert(table, values)

    def insert_many(self, table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
        """Insert rows in bulk."""
        rows = list(rows)
        self._written += len(rows)
        self._transaction.insert_many(table, columns, rows)

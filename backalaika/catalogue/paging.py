"""Paging: rows by the hundred thousand are written some at a time, so that nobody waits long who wants to write.

Where each page ends is asked before the first is written, while others may write: the rows do not change meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .transaction import Transaction

# Rows of files that are deleted by one transaction: at 50,000 a second, others wait for two seconds.
FILES = 100_000
# Lists of names.
LISTS = 2000
# Files that become known by one. They come anywhere in the index by content, and each page writes nearly all of it
# anew: at ten million files in SQLite, a million by one takes four seconds, and by four twice that in all.
KNOWN = 1_000_000
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

"""Names: the lists in which names are searched.

An index of each name by its trigrams would be half as large as all the rest, and take longer to make. So the names of
64 files that were recorded one after another are one text, and that is what is indexed (`name_index`). A million names
take 3 MB of index and 30 MB of text. What a list promises is looked for among its files, so it may promise too much.

The lists of a volume are made just before it is entered as complete, and go with it; its files do not change in
between. Those of a complete volume from before there were any are made when something is searched, some at a time too:
until it has all, it belongs to the process that makes them. Volumes that are not complete or belong to a process, and
those without lists, are searched file by file (`search`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from .transaction import Transaction
from .wanted import searchable

# SQLite's index of the lists, where there is one.
FTS = "name_search"

# Longer lists make a smaller index, and more to look through for a number such as 999998, whose trigrams are in each.
_NAMES = 64
_BYTES = 16_384
# Files whose names are fetched at a time; names have 64 kB at most, so that a page has 40 MB. So many pages are one
# transaction.
FETCHED = 10 * _NAMES
_PAGES = 160
# Files between them may belong to other volumes, which are read too.
_SPAN = 1024
_COLUMNS = ("volume_id", "first_id", "last_id", "names")

_NAMED = (
    "SELECT id, name, CASE WHEN LENGTH(name) = 0 THEN (SELECT path FROM folders WHERE folders.id = folder_id) END "
    "FROM files WHERE volume_id = :volume_id AND id > :after ORDER BY id LIMIT :most"
)
# By one statement for many: a trigger would make FTS5 write its index anew after each list, three times as slow.
_INDEX = (
    "INSERT INTO name_search (rowid, names) "
    "SELECT id, names FROM name_lists WHERE volume_id = :volume_id AND id > :after"
)
_UNINDEX = (
    "INSERT INTO name_search (name_search, rowid, names) "
    "SELECT 'delete', id, names FROM name_lists WHERE volume_id = :volume_id AND id <= :last"
)
_ALL = (1 << 63) - 1


def last_listed(transaction: Transaction, volume_id: int) -> int:
    """The last file of a volume that is in its lists; 0 if it has none."""
    asked = "SELECT last_id FROM name_lists WHERE volume_id = :volume_id ORDER BY id DESC LIMIT 1"
    found = transaction.ask(asked, {"volume_id": volume_id})
    return int(found[0][0]) if found else 0


def list_some_names(transaction: Transaction, volume_id: int, after: int) -> int | None:
    """Make lists of some 100,000 files of a volume, those whose numbers come after this one.

    Returns:
        The last of these; None if there are no more.
    """
    ((last_list,),) = transaction.ask("SELECT COALESCE(MAX(id), 0) FROM name_lists", {})
    page: Sequence[Any] = []
    for _ in range(_PAGES):
        page = transaction.ask(_NAMED, {"volume_id": volume_id, "after": after, "most": FETCHED})
        rows: list[tuple[Any, ...]] = []
        for start in range(0, len(page), _NAMES):
            rows += _lists(volume_id, page[start : start + _NAMES])
        transaction.insert_many("name_lists", _COLUMNS, rows)
        if len(page) < FETCHED:
            break
        after = page[-1][0]
    if transaction.has_table(FTS):
        transaction.change(_INDEX, {"volume_id": volume_id, "after": last_list})
    return after if len(page) == FETCHED else None


def forget_names(transaction: Transaction, volume_id: int, last: int = _ALL) -> int:
    """Delete the lists of a volume, or those of them up to a number; returns how many."""
    values = {"volume_id": volume_id, "last": last}
    if transaction.has_table(FTS):
        transaction.change(_UNINDEX, values)
    return transaction.change("DELETE FROM name_lists WHERE volume_id = :volume_id AND id <= :last", values)


def _lists(volume_id: int, named: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The rows for names that follow each other: one, or more if it would be too long."""
    names = [row[1] for row in named]
    if b"" in names:
        names = [name or os.path.basename(path or b"") for _, name, path in named]
    joined = b"/%s/" % b"/".join(names)
    first, last = named[0][0], named[-1][0]
    if len(names) > 1 and (last - first > _SPAN or len(joined) > _BYTES):
        half = len(names) // 2
        return _lists(volume_id, named[:half]) + _lists(volume_id, named[half:])
    return [(volume_id, first, last, searchable(os.fsdecode(joined)))]

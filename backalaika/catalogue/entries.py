"""Entries: what is asked of those of a tree, by their folders."""

from __future__ import annotations

from collections.abc import Sequence

from .results import OpenEntry
from .rows import KINDS
from .transaction import Transaction

_OPEN = "folder_id, name, kind, size, mtime_ns, ctime_ns, inode, digest, target, file_id, from_run, mode"


def open_entries(
    transaction: Transaction, tree_id: int, numbers: Sequence[int], when: str = "until_run IS NULL"
) -> dict[int, dict[bytes, OpenEntry]]:
    """The entries of some folders of a tree that are so now, or else those of another time, told as SQL."""
    found: dict[int, dict[bytes, OpenEntry]] = {}
    sql = f"SELECT {_OPEN} FROM entries WHERE tree_id = {int(tree_id)} AND {when} AND folder_id IN :keys"
    for folder_id, name, kind, size, mtime_ns, ctime_ns, inode, digest, target, *rest in transaction.ask_among(
        sql, numbers
    ):
        found.setdefault(folder_id, {})[bytes(name)] = OpenEntry(
            KINDS[kind], size, mtime_ns, ctime_ns, inode, digest and bytes(digest), target and bytes(target), *rest
        )
    return found


def paths_of(transaction: Transaction, numbers: set[int]) -> dict[int, bytes]:
    """The path of each folder."""
    found = transaction.ask_among("SELECT id, path FROM folders WHERE id IN :keys", list(numbers))
    return {number: bytes(path) for number, path in found}

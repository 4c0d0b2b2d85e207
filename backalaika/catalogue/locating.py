"""Locating: on which complete volume, and where there, the content of files is.

Rows come in falling order of their numbers, the newest of two rows of one path first, some thousands at a time: each
page begins where the one before it ended, so that a cursor need not be held, and begins at an index. Plain SQL, for
this is asked of an SQLite file also without SQLAlchemy, whose import takes as long as restoring a small share.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Collection, Container, Iterator, Sequence
from typing import Any

from .recording import path_key
from .results import Located, VolumeAt
from .rows import COMPLETE, KINDS
from .transaction import Transaction, Transactions, chunks

_FETCHED = 5000
_COLUMNS = """
    SELECT page.id, page.volume_id, archives.name, archives.format, sources.label, sources.path, folders.path,
        page.name, page.kind, page.size, page.mtime_ns, page.digest, frames.offset, page.offset, page.target, page.part,
        page.part_offset, page.whole_size, page.whole_digest
    FROM ({0}) AS page
    JOIN folders ON folders.id = page.folder_id
    LEFT JOIN archives ON archives.id = page.archive_id
    LEFT JOIN sources ON sources.id = archives.source_id
    LEFT JOIN frames ON frames.archive_id = page.archive_id AND frames.number = page.frame
    ORDER BY page.id DESC
"""
_OF_VOLUME = _COLUMNS.format(
    "SELECT * FROM files WHERE volume_id = :volume AND id < :before ORDER BY id DESC LIMIT :most"
)
_IN_FOLDERS = "SELECT id, volume_id, folder_id, name FROM files WHERE folder_id IN :keys"
_OF_IDS = _COLUMNS.format("SELECT * FROM files WHERE id IN :keys")
_PARTS = _COLUMNS.format(
    "SELECT f.* FROM files l JOIN volumes lv ON lv.id = l.volume_id"
    " JOIN files f ON f.folder_id = l.folder_id AND f.name = l.name AND f.part IS NOT NULL"
    " JOIN volumes v ON v.id = f.volume_id AND v.run_id = lv.run_id WHERE l.id = :last AND v.state = :complete"
)
_LAST = 1 << 62


class Locating(Transactions):
    """The part of a catalogue that a restore and a check ask."""

    def complete_volumes(self) -> dict[int, VolumeAt]:
        """All complete volumes, by their numbers."""
        with self._looking() as transaction:
            rows = transaction.ask(
                "SELECT id, title, path, digest, run_id, files, bytes FROM volumes WHERE state = :complete ORDER BY id",
                {"complete": COMPLETE},
            )
        return {
            number: VolumeAt(number, title, None if path is None else os.fsdecode(bytes(path)), *rest)
            for number, title, path, *rest in rows
        }

    def volumes_with_archives(self, digests: Collection[bytes]) -> dict[int, int]:
        """How many of these archives, told by XXH3-128 of their bytes, each complete volume has."""
        found: dict[int, int] = {}
        with self._looking() as transaction:
            rows = transaction.ask_among(
                "SELECT archives.volume_id, volumes.state FROM archives JOIN volumes ON volumes.id = archives.volume_id"
                " WHERE archives.digest IN :keys",
                list(digests),
            )
        for volume_id, state in rows:
            if state == COMPLETE:
                found[volume_id] = found.get(volume_id, 0) + 1
        return found

    def archives_on(self, volume_id: int) -> list[tuple[bytes, int, bytes | None]]:
        """Name, size and XXH3-128 of each archive of a volume; archives in archives and unread ones have none."""
        with self._looking() as transaction:
            rows = transaction.ask(
                "SELECT name, size, digest FROM archives WHERE volume_id = :volume", {"volume": volume_id}
            )
        return [(bytes(name), size, None if digest is None else bytes(digest)) for name, size, digest in rows]

    def enter_verified(self, volume_id: int, at_ns: int) -> None:
        """Enter that all bytes of a volume were seen to be right."""
        with self._changing() as transaction:
            transaction.change(
                "UPDATE volumes SET verified_at_ns = :at, damaged_at_ns = NULL WHERE id = :volume",
                {"at": at_ns, "volume": volume_id},
            )

    def enter_damaged(self, volume_id: int, at_ns: int) -> None:
        """Enter that something on a volume was seen to be wrong; until it is seen to be right it does not count."""
        with self._changing() as transaction:
            transaction.change(
                "UPDATE volumes SET damaged_at_ns = :at WHERE id = :volume", {"at": at_ns, "volume": volume_id}
            )

    def clear_damaged(self, volume_id: int) -> None:
        """Enter that nothing on a volume is seen to be wrong any more, and not that all is right."""
        with self._changing() as transaction:
            transaction.change("UPDATE volumes SET damaged_at_ns = NULL WHERE id = :volume", {"volume": volume_id})

    def files_on(self, *volume_ids: int) -> Iterator[Located]:
        """All that is recorded on complete volumes, the newest rows first; streamed."""
        return heapq.merge(*map(self._files_on, volume_ids), key=lambda row: -row.id)

    def _files_on(self, volume_id: int) -> Iterator[Located]:
        before = _LAST
        while True:
            with self._looking() as transaction:
                rows = transaction.ask(_OF_VOLUME, {"volume": volume_id, "before": before, "most": _FETCHED})
            yield from map(located, rows)
            if len(rows) < _FETCHED:
                return
            before = rows[-1][0]


def of_ids(transaction: Transaction, file_ids: Sequence[int]) -> dict[int, list[Located]]:
    """Some files by their numbers; of a file that was cut, known by the number of its last part, all parts."""
    found = {}
    for row in map(located, transaction.ask_among(_OF_IDS, list(file_ids))):
        found[row.id] = [row]
        if row.part is not None:
            parts = map(located, transaction.ask(_PARTS, {"last": row.id, "complete": COMPLETE}))
            # Which are whose is told in `parts`.
            before: dict[int, Located] = {}
            later: dict[int, Located] = {}
            for part in parts:
                if part.part is None or part.part > row.part or (part.part == row.part and part.id != row.id):
                    continue
                if part.mtime_ns == row.mtime_ns:  # else it is of an older version, which the run began with
                    (before if part.id <= row.id else later).setdefault(part.part, part)
            found[row.id] = list((later | before).values())
    return found


def folders_below(transaction: Transaction, paths: Sequence[bytes]) -> tuple[set[int], dict[int, set[bytes]]]:
    """The folders that are one of these paths or below one; and of those above, the names that the paths have there."""
    slash = os.sep.encode()
    whole: set[int] = set()
    single: dict[int, set[bytes]] = {}
    for path in paths:
        top = path.rstrip(slash) or slash
        beginning = top if top == slash else top + slash
        values = {"top": top, "first": beginning, "after": beginning[:-1] + bytes([slash[0] + 1])}
        found = transaction.ask(
            "SELECT id FROM folders WHERE path = :top OR (path >= :first AND path < :after)", values
        )
        whole.update(number for (number,) in found)
        above = path_key(os.path.dirname(top) or slash if top.startswith(slash) else os.path.dirname(top))
        for (number,) in transaction.ask("SELECT id FROM folders WHERE path_key = :key", {"key": above}):
            single.setdefault(number, set()).add(os.path.basename(top))
    return whole, single


def below_paths(
    transaction: Transaction, paths: Sequence[bytes], volume_ids: Container[int]
) -> Iterator[tuple[int, int]]:
    """Numbers of the files on these volumes that are one of the paths or below one, and the volume of each."""
    whole, single = folders_below(transaction, paths)
    for chunk in chunks(sorted(whole | single.keys())):
        for number, volume_id, folder_id, name in transaction.ask_among(_IN_FOLDERS, chunk):
            if volume_id in volume_ids and (folder_id in whole or bytes(name) in single[folder_id]):
                yield number, volume_id


def in_this_order(transaction: Transaction, file_ids: Sequence[int]) -> list[Located]:
    """Some files by their numbers, those that are there."""
    found = {row[0]: located(row) for row in transaction.ask_among(_OF_IDS, file_ids)}
    return [found[number] for number in file_ids if number in found]


def located(row: Sequence[Any]) -> Located:
    """A row as it comes from any database: some have bytes as views, and numbers as their own types."""
    if type(row[6]) is bytes:  # the folder, which is never missing: then all are
        return Located._make((*row[:8], KINDS[row[8]], *row[9:]))
    return Located._make(
        (
            *row[:2], _bytes(row[2]), row[3], *map(_bytes, row[4:8]), KINDS[int(row[8])], *row[9:11],
            _bytes(row[11]), *row[12:14], _bytes(row[14]), *row[15:18], _bytes(row[18]),
        )
    )  # fmt: skip


def _bytes(value: Any) -> bytes | None:
    return None if value is None else bytes(value)

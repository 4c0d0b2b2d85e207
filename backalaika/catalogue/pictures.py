"""Pictures: how the sources of a job were as of each of its runs, in rows for what changed only.

A *tree* is a source through all runs of its job. An *entry* is a file, folder or link of it as one run found it first
(``from_run``), until another found it different or gone (``until_run``). So the picture of a run are the entries with
``from_run <= run < until_run``, and a run that finds nothing new writes none. Runs that saved everything and runs that
saved only what was not known are recorded the same way: what was saved is taken from the rows of files by one
statement, what was known by its content comes from the run itself.

*Listings* are what makes that cheap: for each folder of the newest picture, one hash of how all in it looked. A folder
of the same hash needs no look at its entries. The hash is there only if all in the folder is safe; when a volume is
removed, all hashes go.

A picture is there when its run is entered as complete (`taking`), so a run has a whole one or none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from .changes import Recorded, SourcePicture
from .entries import open_entries, paths_of
from .locating import folders_below
from .paging import Pausing
from .recording import OF_UNKNOWN, UNKNOWN, Recording, enter_end, enter_errors, path_key
from .results import OpenEntry, PictureEntry, RunRow, Tree
from .rows import COMPLETE, DIRECTORY, KINDS, SYMLINK, ErrorRow, RunEnd, storable_text
from .taking import record_picture
from .transaction import Transaction, chunks

_PAGE = 5000
_DIRECTORY, _SYMLINK = KINDS.index(DIRECTORY), KINDS.index(SYMLINK)
# Far below the depth of an expression that SQLite takes.
_PAIRS = 200
# What rows of ``known`` must be like that count. In the query itself: directly on SQLite, each query sees what others
# wrote until then. Files are looked for only while there is a volume that does not count. MariaDB 10.11.19 would end at
# `OR EXISTS (... NOT IN (the same))`, all of the server.
_REALLY = (
    f"(NOT EXISTS ({UNKNOWN}) OR NOT EXISTS (SELECT 1 FROM files f JOIN volumes v ON v.id = f.volume_id "
    "WHERE f.id = known.file_id AND (v.state = :removing OR v.entering = :entering)))"
)


class Pictures(Recording):
    """The part of a catalogue that knows how sources were."""

    def complete_run(
        self, run_id: int, end: RunEnd, sources: Sequence[SourcePicture], tell: Callable[[Recorded], list[ErrorRow]]
    ) -> None:
        """Enter a run as complete, with the picture of its sources: both or neither.

        Args:
            run_id: the run.
            end: what it saved.
            sources: what it found, for each of its sources.
            tell: is told what became of the picture; what it returns is entered as errors of the run.
        """
        with Pausing(self._changing) as transaction:
            errors = tell(record_picture(transaction, run_id, self._source_ids, sources))
            enter_errors(transaction, run_id, errors)
            enter_end(transaction, run_id, COMPLETE, end._replace(error_count=end.error_count + len(errors)))

    def trees(self, job: str) -> dict[bytes, Tree]:
        """The trees of a job that have a picture, by the paths of their sources."""
        sql = "SELECT path, id, last_run, removals FROM trees WHERE job = :job AND last_run IS NOT NULL"
        with self._looking() as transaction:
            return {bytes(path): Tree(*row) for path, *row in transaction.ask(sql, {"job": storable_text(job)})}

    def listings(self, tree_id: int, folder_paths: Sequence[bytes]) -> dict[bytes, tuple[int, bytes | None]]:
        """The number and the hash of each of these folders that is in the newest picture."""
        keys = {path_key(path): path for path in folder_paths}
        sql = (
            "SELECT folders.path_key, folders.id, listings.looks FROM folders JOIN listings "
            f"ON listings.folder_id = folders.id AND listings.tree_id = {int(tree_id)} WHERE folders.path_key IN :keys"
        )  # fmt: skip
        with self._looking() as transaction:
            found = transaction.ask_among(sql, list(keys))
        return {keys[bytes(key)]: (number, looks and bytes(looks)) for key, number, looks in found}

    def count_listings(self, tree_id: int) -> int:
        """How many folders the newest picture has."""
        with self._looking() as transaction:
            return int(transaction.ask("SELECT COUNT(*) FROM listings WHERE tree_id = :tree", {"tree": tree_id})[0][0])

    def listed_folders(self, tree_id: int) -> Iterator[tuple[int, bytes]]:
        """Number and path of each folder of the newest picture."""
        sql = (
            "SELECT folders.id, folders.path FROM listings JOIN folders ON folders.id = listings.folder_id WHERE "
            f"listings.tree_id = :tree AND listings.folder_id > :last ORDER BY listings.folder_id LIMIT {_PAGE}"
        )
        last = -1
        while True:
            with self._looking() as transaction:
                rows = transaction.ask(sql, {"tree": tree_id, "last": last})
            for number, path in rows:
                yield number, bytes(path)
            if len(rows) < _PAGE:
                return
            last = rows[-1][0]

    def open_entries(self, tree_id: int, folder_ids: Sequence[int]) -> dict[int, dict[bytes, OpenEntry]]:
        """The entries of some folders in the newest picture, by their names; none of a picture that is only begun."""
        newest = f"(SELECT last_run FROM trees WHERE id = {int(tree_id)})"
        when = f"from_run <= {newest} AND (until_run IS NULL OR until_run > {newest})"
        with self._looking() as transaction:
            return open_entries(transaction, tree_id, folder_ids, when)

    def safe_members(self, file_ids: Sequence[int]) -> dict[int, tuple[bytes, bytes]]:
        """Those of some saved files, folders and links that are on a complete volume: folder and name of each.

        What had a number may have been removed, and the number used again: compare them.
        """
        sql = (
            "SELECT f.id, d.path, f.name FROM files f JOIN volumes v ON v.id = f.volume_id "
            f"JOIN folders d ON d.id = f.folder_id WHERE v.state = '{COMPLETE}' AND f.id IN :keys"
        )
        with self._looking() as transaction:
            rows = transaction.ask_among(sql, file_ids)
        return {number: (bytes(folder), bytes(name)) for number, folder, name in rows}

    def copies_of_names(self, file_ids: Sequence[int]) -> dict[int, int]:
        """On how many complete volumes some saved links and empty files are, by folder and name; links with the target.

        An empty file and a hard link to one are the same.
        """
        columns = "SELECT id, volume_id, folder_id, name, kind, size, target FROM files"
        with self._looking() as transaction:
            complete = transaction.ask("SELECT id FROM volumes WHERE state = :complete", {"complete": COMPLETE})
            rows = transaction.ask_among(f"{columns} WHERE id IN :keys", list(file_ids))
            folders = sorted({row[2] for row in rows})
            # Files from one table alone, and no join of two: a folder may have a hundred thousand empty ones.
            there = transaction.ask_among(
                f"{columns} WHERE (size = 0 OR kind = {_SYMLINK}) AND kind != {_DIRECTORY} AND folder_id IN :keys",
                folders,
            )
        numbers = {number for (number,) in complete}
        places: dict[tuple[Any, ...], set[int]] = {}
        for row in there:
            if row[1] in numbers:
                places.setdefault(_named(row), set()).add(row[1])
        return {row[0]: len(places.get(_named(row), ())) for row in rows}

    def run_rows(self, job: str | None = None) -> list[RunRow]:
        """All runs, oldest first, or those of a job, with what changed at their sources."""
        sql = (
            "SELECT r.id, r.job, r.comment, r.folder, r.started_at_ns, r.finished_at_ns, r.state, r.files, r.bytes, "
            "r.known_files, r.error_count, COUNT(s.tree_id), SUM(s.added), SUM(s.changed), SUM(s.deleted), "
            "SUM(s.moved) FROM runs r LEFT JOIN sources s ON s.run_id = r.id AND r.state = :complete "
            "WHERE r.job = :job OR :every = 1 GROUP BY r.id ORDER BY r.started_at_ns, r.id"
        )
        with self._looking() as transaction:
            rows = transaction.ask(
                sql, {"job": storable_text(job or ""), "every": int(job is None), "complete": COMPLETE}
            )
        return [_run_row(row) for row in rows]

    def run_as_of(self, job: str, as_of_ns: int | None) -> RunRow | None:
        """The newest run of a job that has a picture and began by then; None as the time: ever."""
        rows = [
            row
            for row in self.run_rows(job)
            if row.added is not None and (as_of_ns is None or row.started_at_ns <= as_of_ns)
        ]
        return rows[-1] if rows else None

    def picture(self, run_id: int, below: Sequence[bytes] = ()) -> Iterator[PictureEntry]:
        """All that the sources of a run had, in no order; streamed.

        Args:
            run_id: a run that has a picture.
            below: absolute paths of folders and files, with all that is in them; none: everything.
        """
        for entry, *_ in self._picture(run_id, below):
            yield entry

    def _picture(
        self, run_id: int, below: Sequence[bytes], joined: str = "", columns: Sequence[str] = ()
    ) -> Iterator[tuple[Any, ...]]:
        """The picture of a run, to each entry what else is asked of tables that are joined to ``e``."""
        with self._looking() as transaction:
            sources = transaction.ask(
                "SELECT tree_id, path, label FROM sources WHERE run_id = :run AND tree_id IS NOT NULL ORDER BY id",
                {"run": run_id},
            )
            whole, single = folders_below(transaction, below) if below else (set(), {})
        more = "".join(f", {column}" for column in columns)
        sql = (
            "SELECT e.folder_id, e.name, e.kind, e.size, e.mtime_ns, e.digest, e.target, e.file_id, e.inode, e.mode, "
            f"e.uid, e.gid, e.from_run{more} FROM entries e {joined} WHERE e.tree_id = {{tree}} AND "
            "e.from_run <= {run} AND (e.until_run IS NULL OR e.until_run > {run}) AND "
        )
        for tree_id, path, label in sources:
            asked = sql.format(tree=int(tree_id), run=int(run_id))
            path, label = bytes(path), bytes(label)
            if not below or any(_is_below(path, b"", (place,)) for place in below):
                yield from self._entries(self._all_rows(asked), path, label)
            else:
                rows = self._rows_in(asked, sorted(whole | single.keys()))
                some = ([row for row in page if row[0] in whole or bytes(row[1]) in single[row[0]]] for page in rows)
                yield from self._entries(some, path, label)

    def members(self, entries: Sequence[PictureEntry]) -> list[int | None]:
        """Where the content of each entry is: the number of a file on a complete volume; best some thousands.

        The file as which it was saved, if that is still there; else, of a file, another of the same content; else None.
        Of a file that was cut it is the last part. Of a folder in which nothing was new when it changed, there is none.
        """
        with self._looking() as transaction:
            saved = transaction.ask_among(
                "SELECT f.id, f.name, f.size, f.mtime_ns, f.whole_size, d.path FROM files f JOIN volumes v ON "
                "v.id = f.volume_id JOIN folders d ON d.id = f.folder_id "
                f"WHERE v.state = '{COMPLETE}' AND f.id IN :keys",
                [entry.file_id for entry in entries if entry.file_id is not None],
            )
            # A number may have been used again, after what had it was removed.
            same = {
                (number, bytes(folder), bytes(name), size if whole is None else whole, mtime_ns)
                for number, name, size, mtime_ns, whole, folder in saved
                if whole is None or _has_all_parts(transaction, number)
            }
            found = [
                entry.file_id if (entry.file_id, entry.folder, entry.name, entry.size, entry.mtime_ns) in same else None
                for entry in entries
            ]
            wanted = {
                (entry.size, entry.digest)
                for entry, number in zip(entries, found, strict=True)
                if number is None and entry.digest is not None
            }
            others = _by_content(transaction, sorted(wanted)) if wanted else {}
        return [
            others.get((entry.size, entry.digest)) if number is None and entry.digest is not None else number
            for entry, number in zip(entries, found, strict=True)
        ]

    def _all_rows(self, sql: str) -> Iterator[list[tuple[Any, ...]]]:
        sql += (
            "e.folder_id >= :folder AND (e.folder_id > :folder OR e.name > :name) "
            f"ORDER BY e.folder_id, e.name LIMIT {_PAGE}"
        )
        values: dict[str, Any] = {"folder": -1, "name": b""}
        while True:
            with self._looking() as transaction:
                rows = transaction.ask(sql, values)
            yield rows
            if len(rows) < _PAGE:
                return
            values = {"folder": rows[-1][0], "name": bytes(rows[-1][1])}

    def _rows_in(self, sql: str, folder_ids: Sequence[int]) -> Iterator[list[tuple[Any, ...]]]:
        for chunk in chunks(folder_ids):
            with self._looking() as transaction:
                rows = transaction.ask_among(f"{sql} e.folder_id IN :keys", chunk)
            yield rows

    def _entries(
        self, pages: Iterable[list[tuple[Any, ...]]], source: bytes, label: bytes
    ) -> Iterator[tuple[Any, ...]]:
        for rows in pages:
            with self._looking() as transaction:
                paths = paths_of(transaction, {row[0] for row in rows})
            for folder_id, name, kind, size, mtime_ns, digest, target, *rest in rows:
                digest, target = digest and bytes(digest), target and bytes(target)
                entry = (source, label, paths[folder_id], bytes(name), KINDS[kind], size, mtime_ns, digest, target)
                yield PictureEntry._make((*entry, *rest[:6])), *rest[6:]


def _by_content(transaction: Transaction, pairs: Sequence[tuple[int, bytes]]) -> dict[tuple[int, bytes], int]:
    """A file on a complete volume for each of these sizes and digests."""
    found = {
        (size, bytes(digest)): number
        for size, digest, number in transaction.ask_among(
            "SELECT f.whole_size, f.whole_digest, f.id FROM files f JOIN volumes v ON v.id = f.volume_id "
            f"WHERE v.state = '{COMPLETE}' AND f.whole_digest IN :keys",
            [digest for _, digest in pairs],
        )
        if _has_all_parts(transaction, number)
    }
    for start in range(0, len(pairs), _PAIRS):
        some = pairs[start : start + _PAIRS]
        # Each by itself, which all databases look up by the index.
        either = " OR ".join(f"(size = {int(size)} AND digest = :d{i})" for i, (size, _) in enumerate(some))
        asked = f"SELECT size, digest, MIN(file_id) FROM known WHERE ({either}) AND {_REALLY} GROUP BY size, digest"
        values: dict[str, Any] = {f"d{i}": digest for i, (_, digest) in enumerate(some)}
        values |= OF_UNKNOWN
        found |= {(size, bytes(digest)): number for size, digest, number in transaction.ask(asked, values)}
    return found


def _has_all_parts(transaction: Transaction, last: int) -> bool:
    """Whether all parts of a file that was cut are on complete volumes of the run that saved the last one."""
    found = transaction.ask(
        "SELECT l.part, COUNT(DISTINCT f.part) FROM files l JOIN volumes lv ON lv.id = l.volume_id "
        "JOIN files f ON f.folder_id = l.folder_id AND f.name = l.name AND f.part <= l.part "
        "AND f.mtime_ns = l.mtime_ns "
        "JOIN volumes v ON v.id = f.volume_id AND v.run_id = lv.run_id "
        f"WHERE l.id = :last AND v.state = '{COMPLETE}' GROUP BY l.part",
        {"last": last},
    )
    return bool(found) and found[0][0] == found[0][1]


def _named(row: Sequence[Any]) -> tuple[Any, ...]:
    """What is the same of a link or an empty file on several volumes."""
    _, _, folder_id, name, kind, _, target = row
    return folder_id, bytes(name), bytes(target) if kind == _SYMLINK and target is not None else None


def _is_below(folder: bytes, name: bytes, paths: tuple[bytes, ...]) -> bool:
    whole = os.path.join(folder, name) if name else folder
    return any(whole == path or whole.startswith(os.path.join(path, b"")) for path in paths)


def _run_row(row: tuple[Any, ...]) -> RunRow:
    """The row of a run; what changed is None if it has no picture, and 0 if it found nothing new."""
    number, job, comment, folder, *did, pictures, added, changed, deleted, moved = row
    changes = [int(count or 0) if pictures else None for count in (added, changed, deleted, moved)]
    return RunRow(number, job, comment, os.fsdecode(bytes(folder)), *did, *changes)

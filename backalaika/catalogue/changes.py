"""Changes: what a run records of its sources: the entries that are new or different, and those that ended.

What was saved comes from the rows of files, by one statement or one for each page; what was known by its content, and
what is gone, from the run. Then the older entry of each path that has a newer one is closed, which also shows whose
content has changed though nothing else has. `pictures` tells what it is for, `taking` how it begins and ends.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from . import paging
from .entries import open_entries, paths_of
from .owning import Owner
from .paging import Pausing
from .recording import folder_ids
from .results import Tree
from .rows import COMPLETE, FILE, HARD_LINK, KINDS, KnownEntry

_PAGE = 5000
# Of which each may have thousands of entries.
_FOLDERS = 200
_FILE_NUMBER, _HARD_LINK_NUMBER = KINDS.index(FILE), KINDS.index(HARD_LINK)
_ENTRY_COLUMNS = (
    "tree_id", "folder_id", "name", "from_run", "kind", "size", "mtime_ns", "ctime_ns", "inode", "digest", "target",
    "file_id", "mode", "uid", "gid",
)  # fmt: skip
# What a run has saved of a source: whole files, and of those that were cut the last part, which tells of the whole.
_SAVED = (
    "f.volume_id IN (SELECT id FROM volumes WHERE run_id = :run) AND f.archive_id IN (SELECT a.id FROM archives a "
    "JOIN volumes v ON v.id = a.volume_id WHERE v.run_id = :run AND a.source_id = :source)"
)
_WHOLE = f"f.kind <> {_HARD_LINK_NUMBER} AND (f.part IS NULL OR f.whole_digest IS NOT NULL)"
_SIZE, _DIGEST = "COALESCE(f.whole_size, f.size)", "COALESCE(f.whole_digest, f.digest)"
_DIFFERENT = (
    f"e.kind <> f.kind OR e.size <> {_SIZE} OR COALESCE(e.digest, :nothing) <> COALESCE({_DIGEST}, :nothing) "
    "OR COALESCE(e.target, :nothing) <> COALESCE(f.target, :nothing)"
)
_OTHER_TIMES = "e.mtime_ns <> f.mtime_ns OR COALESCE(e.ctime_ns, 0) <> COALESCE(f.ctime_ns, 0) OR e.inode <> f.inode"
_FAR_TIMES = "ABS(e.mtime_ns - f.mtime_ns) > 2000000000 AND ABS(e.mtime_ns - f.mtime_ns) <> 3600000000000"


@dataclass(slots=True)
class SourcePicture:
    """What a run found at a source, compared with the picture before.

    Attributes:
        source: counts the run's sources.
        path: absolute path of the source.
        tree: as it was when they were compared; None: there is no picture before.
        coarse: whether times are coarse, and inodes mean nothing, on its file systems.
        resumed: whether the run ended early and went on, and may have saved a file twice.
        gone: folder and name of entries that are no longer there.
        gone_folders: folders that are no longer there, with all in them.
        known: what was not saved and looks different, or was not there; without a digest, it should have been saved.
        listings: folders whose hash is new, with that hash or None.
        dropped: folder and name of what the run saved before it ended early, and did not find again when it went on;
            without a name, all in the folder.
        unsaved: what may not have been saved, as it was found; counts only where nothing newer is recorded.
    """

    source: int
    path: bytes
    tree: Tree | None
    coarse: bool
    resumed: bool
    gone: Iterable[tuple[int, bytes]] = ()
    gone_folders: Iterable[int] = ()
    known: Iterable[KnownEntry] = ()
    listings: Iterable[tuple[bytes, bytes | None]] = ()
    dropped: Iterable[tuple[bytes, bytes | None]] = ()
    unsaved: Sequence[KnownEntry] = ()


class Counts(NamedTuple):
    """How many entries changed at one source, and how."""

    added: int = 0
    changed: int = 0
    deleted: int = 0
    moved: int = 0


@dataclass(slots=True)
class Recorded:
    """What became of a picture.

    Attributes:
        rotten: paths of files with other content than before, though size and time are the same.
        added, changed, deleted, moved: entries, of all sources.
        overtaken: whether a later run had recorded its picture before, so that this one could not be, or another was
            recording one.
        begun_by: the process that was.
        voided: whether a volume was removed since the sources were compared.
    """

    rotten: list[bytes] = field(default_factory=list)
    added: int = 0
    changed: int = 0
    deleted: int = 0
    moved: int = 0
    overtaken: bool = False
    begun_by: Owner | None = None
    voided: bool = False

    def add(self, counts: Counts) -> None:
        """Count what changed at one source."""
        self.added += counts.added
        self.changed += counts.changed
        self.deleted += counts.deleted
        self.moved += counts.moved


class SourceRecording:
    """Records the picture of one source: first `record`, which may pause, then `finish`, which may not.

    Args:
        transaction: pauses where it may.
        run_id: the run.
        source_id: of the source in the run.
        tree_id: the tree, which is new if ``found`` has none.
        found: what is to be recorded.
        recorded: is told of rot.
    """

    def __init__(
        self,
        transaction: Pausing,
        run_id: int,
        source_id: int,
        tree_id: int,
        found: SourcePicture,
        recorded: Recorded,
    ) -> None:
        self._transaction = transaction
        self._run, self._source, self._tree = run_id, source_id, tree_id
        self._found = found
        self._recorded = recorded
        self._is_first = found.tree is None
        # Folders in which not all is safe.
        self._voided: set[bytes] = set()
        self._gone_folders = array("q")
        self._counts = Counts()

    def record(self) -> None:
        """Record what changed, of which nothing is seen before `finish`; of a new tree, its listings too."""
        deleted = self._close_gone()
        inserted = self._insert_saved() + self._insert_hard_links() - self._drop() + self._insert_known()
        inserted += self._insert_unsaved()
        changed = self._close_superseded() if inserted and not self._is_first else 0
        if self._is_first:
            self._enter_listings(is_safe=True)
        else:
            self._find_again()
        added = inserted - changed
        self._counts = Counts(added, changed, deleted, self._count_moved() if added and deleted else 0)

    def finish(self) -> Counts:
        """Let it be the newest picture; returns what changed. With it the run must be entered as complete."""
        ((removals,),) = self._transaction.ask("SELECT removals FROM trees WHERE id = :tree", {"tree": self._tree})
        # Hashes of listings are as good as when they were made, unless a volume was removed since. Of a new tree it is
        # known by what (`known`) when it was made.
        is_safe = removals == (self._found.tree.removals if self._found.tree else 0)
        self._recorded.voided |= not is_safe
        if not self._is_first:
            for folders in _chunks(self._gone_folders):
                self._delete_listings(folders)
            self._enter_listings(is_safe)
        elif not is_safe:
            self._transaction.change("UPDATE listings SET looks = NULL WHERE tree_id = :tree", {"tree": self._tree})
        self._transaction.change(
            "UPDATE sources SET added = :added, changed = :changed, deleted = :deleted, moved = :moved WHERE id = :id",
            {"id": self._source, **self._counts._asdict()},
        )
        newest = "UPDATE trees SET last_run = :run WHERE id = :tree"
        self._transaction.change(newest, {"run": self._run, "tree": self._tree})
        return self._counts

    def _close_gone(self) -> int:
        sql = "UPDATE entries SET until_run = :run WHERE tree_id = :tree AND folder_id = :folder AND until_run IS NULL"
        tree = {"run": self._run, "tree": self._tree}
        deleted = 0
        for some in _chunks(self._found.gone):
            values = [{**tree, "folder": folder, "name": name} for folder, name in some]
            deleted += self._transaction.change_many(f"{sql} AND name = :name", values)
            self._transaction.may_pause()
        for folders in _chunks(self._found.gone_folders, _FOLDERS):
            self._gone_folders.extend(folders)
            deleted += self._transaction.change_many(sql, [{**tree, "folder": folder} for folder in folders])
            self._transaction.may_pause()
        return deleted

    def _delete_listings(self, folder_ids: Iterable[int]) -> None:
        sql = f"DELETE FROM listings WHERE tree_id = {int(self._tree)} AND folder_id IN :keys"
        self._transaction.change_among(sql, list(folder_ids))

    def _pages(self) -> Iterator[tuple[str, dict[str, int]]]:
        """What files of the run that are in the source are like, with the values in it: all of them, or some at a time.

        Their numbers nearly follow each other, so each page is a range of numbers; and where there are several, they
        are read by their numbers, not by the index of volumes, which would lead through all of them for each page.
        """
        bounds = "SELECT MIN(id), MAX(id) FROM files WHERE volume_id IN (SELECT id FROM volumes WHERE run_id = :run)"
        ((first, last),) = self._transaction.ask(bounds, {"run": self._run})
        if first is None:
            return
        of_source = {"run": self._run, "source": self._source}
        if last - first < paging.ENTRIES:
            yield _SAVED, of_source
            return
        by_number = _SAVED.replace("f.volume_id IN", "f.volume_id + 0 IN", 1)
        for after in range(first - 1, last, paging.ENTRIES):
            page = {"after": after, "last": after + paging.ENTRIES}
            yield f"f.id > :after AND f.id <= :last AND {by_number}", of_source | page

    def _insert_saved(self) -> int:
        inserted = 0
        for which, values in self._pages():
            saved = f"{which} AND {_WHOLE}"
            if self._found.resumed:  # the newest of each
                inserted -= self._take_back(saved, values)
                saved += f" AND f.id IN (SELECT MAX(f.id) FROM files f WHERE {saved} GROUP BY f.folder_id, f.name)"
            inserted += self._insert_page(saved, values)
            self._transaction.may_pause()
        return inserted

    def _insert_page(self, which: str, values: Mapping[str, int]) -> int:
        """Enter what was saved and is like this, unless the picture before has it."""
        nothing = {}
        join = ""
        if not self._is_first:
            nothing = {"nothing": b""}
            times = _FAR_TIMES if self._found.coarse else _OTHER_TIMES
            join = (
                "LEFT JOIN entries e ON e.tree_id = :tree AND e.folder_id = f.folder_id AND e.name = f.name "
                "AND e.until_run IS NULL"
            )
            which += f" AND (e.name IS NULL OR {_DIFFERENT} OR {times})"
        return self._transaction.change(
            "INSERT INTO entries (tree_id, folder_id, name, from_run, kind, size, mtime_ns, ctime_ns, inode, digest, "
            f"target, file_id) SELECT :tree, f.folder_id, f.name, :run, f.kind, {_SIZE}, f.mtime_ns, f.ctime_ns, "
            f"f.inode, {_DIGEST}, f.target, f.id FROM files f {join} WHERE {which}",
            {**values, **nothing, "tree": self._tree},
        )

    def _take_back(self, which: str, values: Mapping[str, int]) -> int:
        """Delete what a page before has entered of paths of which files like this are newer; returns how many."""
        entered = self._transaction.ask(
            "SELECT DISTINCT e.folder_id, e.name FROM files f CROSS JOIN entries e WHERE e.tree_id = :tree "
            f"AND e.folder_id = f.folder_id AND e.name = f.name AND e.from_run = :run AND {which}",
            {**values, "tree": self._tree},
        )
        sql = "DELETE FROM entries WHERE tree_id = :tree AND folder_id = :folder AND name = :name AND from_run = :run"
        deleted = 0
        for some in _chunks(entered):
            of_tree = {"tree": self._tree, "run": self._run}
            deleted += self._transaction.change_many(
                sql, [{**of_tree, "folder": folder, "name": bytes(name)} for folder, name in some]
            )
            self._transaction.may_pause()
        return deleted

    def _find_again(self) -> None:
        """Where what an entry was saved as is gone with its volume, let it be what this run has saved of the same."""
        sql = (
            # Not to be begun at the entries, which may be many more: SQLite keeps the order of a CROSS JOIN.
            "SELECT f.id, e.folder_id, e.name, e.from_run FROM files f CROSS JOIN entries e "
            "LEFT JOIN files o ON o.id = e.file_id AND o.folder_id = e.folder_id AND o.name = e.name "
            f"LEFT JOIN volumes ov ON ov.id = o.volume_id AND ov.state = '{COMPLETE}' "
            "WHERE e.tree_id = :tree AND e.folder_id = f.folder_id AND e.name = f.name AND e.until_run IS NULL "
            f"AND e.from_run < :run AND {{which}} AND {_WHOLE} AND ov.id IS NULL"
        )
        for which, values in self._pages():
            found = self._transaction.ask(sql.format(which=which), {**values, "tree": self._tree})
            for some in _chunks(found):
                self._transaction.change_many(
                    "UPDATE entries SET file_id = :file WHERE tree_id = :tree AND folder_id = :folder AND name = :name "
                    "AND from_run = :from",
                    [
                        {"file": number, "tree": self._tree, "folder": folder, "name": bytes(name), "from": from_run}
                        for number, folder, name, from_run in some
                    ],
                )
                self._transaction.may_pause()

    def _insert_hard_links(self) -> int:
        """Enter the further names of files: in an archive they have no content of their own."""
        links = self._transaction.ask(
            "SELECT f.folder_id, f.name, f.size, f.mtime_ns, f.ctime_ns, f.inode, f.id FROM files f "
            f"WHERE {_SAVED} AND f.kind = {_HARD_LINK_NUMBER} ORDER BY f.id",
            {"run": self._run, "source": self._source},
        )
        if not links:
            return 0
        digests = self._digests({tuple(link[2:6]) for link in links})
        there = open_entries(self._transaction, self._tree, list({link[0] for link in links}))
        rows = {}
        for folder_id, name, size, mtime_ns, ctime_ns, inode, file_id in links:
            digest = digests.get((size, mtime_ns, ctime_ns, inode))
            before = there.get(folder_id, {}).get(bytes(name))
            same = before is not None and before.kind == FILE and before.digest == digest and before.size == size
            if before is not None and (
                before.from_run == self._run
                or (same and (self._found.coarse or (before.mtime_ns, before.ctime_ns) == (mtime_ns, ctime_ns)))
            ):
                continue
            rows[folder_id, bytes(name)] = (
                self._tree, folder_id, bytes(name), self._run, _FILE_NUMBER, size, mtime_ns, ctime_ns, inode, digest,
                None, file_id, None, None, None,
            )  # fmt: skip
        self._insert(list(rows.values()))
        # The file had changed when it was read.
        self._voided |= set(paths_of(self._transaction, {row[1] for row in rows.values() if row[9] is None}).values())
        return len(rows)

    def _digests(self, looks: set[tuple[Any, ...]]) -> dict[tuple[Any, ...], bytes]:
        """The digests of what the run has saved with these sizes, times and inodes."""
        found: dict[tuple[Any, ...], bytes] = {}
        last = -1
        while True:
            rows = self._transaction.ask(
                f"SELECT {_SIZE}, f.mtime_ns, f.ctime_ns, f.inode, {_DIGEST}, f.id FROM files f "
                f"WHERE {_SAVED} AND {_WHOLE} AND f.kind = {_FILE_NUMBER} AND f.id > :last "
                f"ORDER BY f.id LIMIT {_PAGE}",
                {"run": self._run, "source": self._source, "last": last},
            )
            found |= {tuple(row[:4]): bytes(row[4]) for row in rows if tuple(row[:4]) in looks}
            if len(rows) < _PAGE:
                return found
            last = rows[-1][5]

    def _drop(self) -> int:
        """Take back what is not there any more; returns how many entries."""
        dropped = 0
        for some in _chunks(self._found.dropped):
            ids = folder_ids(self._transaction, {folder for folder, _ in some})
            sql = "DELETE FROM entries WHERE tree_id = :tree AND folder_id = :folder AND from_run = :run"
            whole = [
                {"tree": self._tree, "folder": ids[folder], "run": self._run} for folder, name in some if name is None
            ]
            single = [
                {"tree": self._tree, "folder": ids[folder], "run": self._run, "name": name}
                for folder, name in some
                if name is not None
            ]
            dropped += self._transaction.change_many(sql, whole)
            dropped += self._transaction.change_many(f"{sql} AND name = :name", single)
            self._transaction.may_pause()
        return dropped

    def _insert_known(self) -> int:
        inserted = 0
        for some in _chunks(self._found.known):
            if self._found.resumed:  # what it had saved before it was interrupted is known to it too
                some = self._not_entered(some)
            inserted += self._insert_found(some)
            self._voided |= {row.folder for row in some if row.digest is None and row.kind == FILE}
            self._transaction.may_pause()
        return inserted

    def _not_entered(self, rows: Sequence[KnownEntry]) -> list[KnownEntry]:
        """Those of which the run has entered nothing yet."""
        ids = folder_ids(self._transaction, {row.folder for row in rows})
        there = open_entries(self._transaction, self._tree, list(ids.values()))
        found = [(row, there.get(ids[row.folder], {}).get(row.name)) for row in rows]
        return [row for row, entry in found if entry is None or entry.from_run != self._run]

    def _insert_unsaved(self) -> int:
        """Enter what is there and could not be saved, unless it was saved all the same, or is as it was before."""
        if not self._found.unsaved:
            return 0
        ids = folder_ids(self._transaction, {row.folder for row in self._found.unsaved})
        there = open_entries(self._transaction, self._tree, list(ids.values()))
        rows = []
        for row in self._found.unsaved:
            before = there.get(ids[row.folder], {}).get(row.name)
            looks = row.kind, row.size, row.mtime_ns, row.ctime_ns, row.inode
            if before is None or (before.from_run != self._run and tuple(before[:5]) != looks):
                rows.append(row._replace(digest=None, mode=None, uid=None, gid=None))
        self._insert_found(rows)
        # With ``separate_dirs``, the source's own folder is in no archive; and need not be.
        self._voided |= {row.folder for row in self._found.unsaved if row.name or row.folder != self._found.path}
        return len(rows)

    def _insert_found(self, rows: Sequence[KnownEntry]) -> int:
        ids = folder_ids(self._transaction, {row.folder for row in rows})
        self._insert(
            [
                (
                    self._tree, ids[row.folder], row.name, self._run, KINDS.index(row.kind), row.size, row.mtime_ns,
                    row.ctime_ns, row.inode, row.digest, row.target, None, row.mode, row.uid, row.gid,
                )
                for row in rows
            ]
        )  # fmt: skip
        return len(rows)

    def _insert(self, rows: Sequence[tuple[Any, ...]]) -> None:
        self._transaction.insert_many("entries", _ENTRY_COLUMNS, rows)

    def _close_superseded(self) -> int:
        """Close the older entry of each path that has a newer one now; returns how many there are."""
        sql = (
            "SELECT n.folder_id, n.name, o.from_run, n.kind, n.size, n.mtime_ns, n.digest, o.kind, o.size, o.mtime_ns, "
            "o.digest FROM entries n CROSS JOIN entries o WHERE o.tree_id = n.tree_id AND o.folder_id = n.folder_id "
            "AND o.name = n.name AND o.until_run IS NULL AND o.from_run < :run AND n.tree_id = :tree AND "
            "n.from_run = :run AND n.folder_id >= :folder AND "
            f"(n.folder_id > :folder OR n.name > :name) ORDER BY n.folder_id, n.name LIMIT {_PAGE}"
        )
        digest_of = dict(self._transaction.ask("SELECT id, digest FROM runs", {}))
        values: dict[str, Any] = {"tree": self._tree, "run": self._run, "folder": -1, "name": b""}
        changed = 0
        while rows := self._transaction.ask(sql, values):
            rotten = [row[:2] for row in rows if _is_rotten(row, digest_of, self._run)]
            paths = paths_of(self._transaction, {folder for folder, _ in rotten})
            self._recorded.rotten += [os.path.join(paths[folder], bytes(name)) for folder, name in rotten]
            changed += len(rows)
            self._transaction.change_many(
                "UPDATE entries SET until_run = :run WHERE tree_id = :tree AND folder_id = :folder AND name = :name "
                "AND from_run = :since",
                [
                    {"run": self._run, "tree": self._tree, "folder": folder, "name": bytes(name), "since": since}
                    for folder, name, since, *_ in rows
                ],
            )
            values |= {"folder": rows[-1][0], "name": bytes(rows[-1][1])}
            self._transaction.may_pause()
        return changed

    def _enter_listings(self, is_safe: bool) -> None:
        for some in _chunks(self._found.listings):
            ids = folder_ids(self._transaction, {path for path, _ in some})
            if not self._is_first:
                self._delete_listings(ids.values())
            looks = {ids[path]: looks if is_safe and path not in self._voided else None for path, looks in some}
            self._transaction.insert_many(
                "listings",
                ("tree_id", "folder_id", "looks"),
                [(self._tree, number, hashed) for number, hashed in looks.items()],
            )
            if self._is_first:
                self._transaction.may_pause()

    def _count_moved(self) -> int:
        """Files of which the content was deleted elsewhere in the source."""
        sql = (
            f"SELECT size, digest, folder_id, name FROM entries WHERE tree_id = :tree AND kind = {_FILE_NUMBER} AND "
            "size > 0 AND digest IS NOT NULL AND {which} AND folder_id >= :folder AND (folder_id > :folder OR "
            f"name > :name) ORDER BY folder_id, name LIMIT {_PAGE}"
        )
        gone: dict[int, int] = {}
        for size, digest in self._paged(sql.format(which="until_run = :run")):
            key = hash((size, digest))
            gone[key] = gone.get(key, 0) + 1
        moved = 0
        for size, digest in self._paged(sql.format(which="from_run = :run")) if gone else ():
            key = hash((size, digest))
            if gone.get(key):
                gone[key] -= 1
                moved += 1
        return moved

    def _paged(self, sql: str) -> Iterator[tuple[int, bytes]]:
        values: dict[str, Any] = {"tree": self._tree, "run": self._run, "folder": -1, "name": b""}
        while rows := self._transaction.ask(sql, values):
            for size, digest, *_ in rows:
                yield size, bytes(digest)
            values |= {"folder": rows[-1][2], "name": bytes(rows[-1][3])}


def _is_rotten(row: tuple[Any, ...], digest_of: Mapping[int, str | None], run_id: int) -> bool:
    """Whether a file has other content than before, though its size and time of modification are the same."""
    _, _, since, *states = row
    now, before = states[:4], states[4:]
    if now[0] != _FILE_NUMBER or now[:3] != before[:3] or now[3] is None or before[3] is None:
        return False
    return digest_of.get(since) == digest_of.get(run_id) and bytes(now[3]) != bytes(before[3])


def _chunks(items: Iterable[Any], size: int = _PAGE) -> Iterator[list[Any]]:
    pending = iter(items)
    while chunk := list(islice(pending, size)):
        yield chunk

"""State: what the sources of a job were as of a moment, and where the content of each file is.

A run that came to its end has a picture of its sources (`pictures`), which tells it exactly. Where there is none, in a
catalogue from before there were any or one that was rebuilt, what was saved has to tell it. A run that left out nothing
(no known files, no minimum date) is whole. One that left out some is laid over the runs before it, back to the last
whole one; what was deleted between them cannot be told from what was left out, and is still there. Only what is on
complete volumes counts. So it is with what the first pictures do not have because their runs had a minimum date:
until a run has looked at all files, they are laid over what was saved before.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from ..errors import CatalogueError
from ..overlay import Overlay
from .entries import paths_of
from .locating import Locating, below_paths, in_this_order, located, of_ids
from .pictures import Pictures
from .results import FileEntry, Located, PictureEntry, RunAt, RunRow
from .rows import COMPLETE, DIRECTORY, storable_text

_NEVER = (1 << 63) - 1
_ENTRIES_AT_A_TIME = 2000
_ROWS_AT_A_TIME = 5000
_ID_BITS = 62
_SLASH = os.sep.encode()
# Nearly all entries are where the run has saved them that saw them first: then one query tells all of a page. A number
# may have been used again, after what had it was removed, so it is compared.
_AS_SAVED = (
    "LEFT JOIN files f ON f.id = e.file_id AND f.folder_id = e.folder_id AND f.name = e.name AND f.size = e.size "
    "AND f.mtime_ns = e.mtime_ns AND f.part IS NULL "
    f"LEFT JOIN volumes v ON v.id = f.volume_id AND v.state = '{COMPLETE}' "
    "LEFT JOIN frames ON frames.archive_id = f.archive_id AND frames.number = f.frame"
)
_SAVED_AS = ("v.id", "f.archive_id", "f.kind", "f.digest", "frames.offset", "f.offset", "f.target")


class _PartialTree(NamedTuple):
    """A source of which no picture is whole: where it lies, its top folder in archives, and when the first began."""

    id: int
    path: bytes
    label: bytes
    first_ns: int


class State(Pictures, Locating):
    """The part of a catalogue that knows how sources were, and where their content is."""

    def pictured(
        self, job: str, as_of_ns: int | None, paths: Sequence[bytes] = ()
    ) -> Iterator[tuple[PictureEntry, list[Located]]]:
        """The picture of a job's sources as of a moment: each entry, and where it is on complete volumes.

        That is one place, the parts of a file that was cut, or none: of a folder in which nothing was new, and of what
        is on no volume. Nothing at all if there is no picture. Where no run with a picture has looked at all files yet,
        what was saved before there were any follows.
        """
        run = self.run_as_of(job, as_of_ns)
        entries = iter(()) if run is None else self._picture(run.id, paths, _AS_SAVED, _SAVED_AS)
        archives: dict[int, tuple[Any, ...]] = {}
        while some := list(islice(entries, _ENTRIES_AT_A_TIME)):
            self._look_up_archives(archives, {archive_id for _, _, archive_id, *_ in some} - archives.keys())
            others = []
            for entry, volume_id, archive_id, kind, digest, frame, offset, target in some:
                if volume_id is None:
                    others.append(entry)
                    continue
                row = (
                    entry.file_id, volume_id, *archives[archive_id], entry.folder, entry.name, kind, entry.size,
                    entry.mtime_ns, digest, frame, offset, target, None, None, None, None,
                )  # fmt: skip
                yield entry, [located(row)]
            yield from self._found_elsewhere(others)
        if run is not None:
            for tree in self._partial_trees(run.id):
                yield from self._from_before(job, run.id, tree, paths)

    def _look_up_archives(self, archives: dict[int, tuple[Any, ...]], missing: set[int | None]) -> None:
        """Name and format of some archives, and label and path of their sources."""
        with self._looking() as transaction:
            rows = transaction.ask_among(
                "SELECT a.id, a.name, a.format, s.label, s.path FROM archives a LEFT JOIN sources s "
                "ON s.id = a.source_id WHERE a.id IN :keys",
                [number for number in missing if number is not None],
            )
        archives.update((number, tuple(rest)) for number, *rest in rows)

    def _found_elsewhere(self, entries: Sequence[PictureEntry]) -> Iterator[tuple[PictureEntry, list[Located]]]:
        """Where those are that are in parts, or not where the run that saw them first has saved them."""
        numbers = self.members(entries)
        with self._looking() as transaction:
            found = of_ids(transaction, sorted({number for number in numbers if number is not None}))
        for entry, number in zip(entries, numbers, strict=True):
            rows = found.get(number, []) if number is not None else []
            yield entry, [row for row in rows if _is_all_of(row, entry)] or rows

    def _partial_trees(self, run_id: int) -> list[_PartialTree]:
        """The sources of a run of which all pictures until then are of runs that left out older files."""
        with self._looking() as transaction:
            rows = transaction.ask(
                "SELECT mine.tree_id, mine.path, mine.label, runs.started_at_ns, runs.since_ns FROM sources mine "
                "JOIN sources other ON other.tree_id = mine.tree_id AND other.run_id <= mine.run_id "
                "JOIN runs ON runs.id = other.run_id WHERE mine.run_id = :run AND runs.state = :complete "
                "ORDER BY mine.id, runs.id",
                {"run": run_id, "complete": COMPLETE},
            )
        partial: dict[int, _PartialTree] = {}
        for tree_id, path, label, started_at_ns, _ in rows:
            partial.setdefault(tree_id, _PartialTree(tree_id, bytes(path), bytes(label), started_at_ns))
        whole = {tree_id for tree_id, *_, since_ns in rows if since_ns is None}
        return [tree for tree_id, tree in partial.items() if tree_id not in whole]

    def _from_before(
        self, job: str, run_id: int, tree: _PartialTree, paths: Sequence[bytes]
    ) -> Iterator[tuple[PictureEntry, list[Located]]]:
        """What was saved before a source had a picture, and is not in it: its date has left that out."""
        latest_ns = tree.first_ns - 1
        if not self.runs_until(job, latest_ns):
            return
        # In a catalogue that was rebuilt, all that is known of where the source lay is its name.
        asked = [*paths, *(_relocated(path, tree.path, tree.label) for path in paths)]
        there: Overlay | None = None
        for rows in _joined(self.state(job, latest_ns, asked)):
            last = rows[-1]
            if last.label != tree.label or last.source not in (tree.path, tree.label):
                continue
            below = last.folder[len(last.source) :]
            if there is None:
                there = self._ever_pictured(tree, run_id)
            if there.keeps(_below_source(below, last.name), last.kind == DIRECTORY):
                entry = _entry_of(last)._replace(source=tree.path, folder=tree.path + below)
                yield entry, rows

    def _ever_pictured(self, tree: _PartialTree, run_id: int) -> Overlay:
        """All that was ever in a picture of a source until then; what is gone from it was deleted."""
        sql = (
            "SELECT folder_id, name FROM entries WHERE tree_id = :tree AND from_run <= :run AND folder_id >= :folder "
            "AND (folder_id > :folder OR name > :name) ORDER BY folder_id, name LIMIT :most"
        )
        values = {"tree": tree.id, "run": run_id, "folder": -1, "name": b"", "most": _ENTRIES_AT_A_TIME}
        found = Overlay(_SLASH)
        while True:
            with self._looking() as transaction:
                rows = transaction.ask(sql, values)
                folders = paths_of(transaction, {folder_id for folder_id, _ in rows})
            for folder_id, name in rows:
                found.keeps(_below_source(folders[folder_id][len(tree.path) :], bytes(name)), not name)
            if len(rows) < _ENTRIES_AT_A_TIME:
                return found
            values |= {"folder": rows[-1][0], "name": bytes(rows[-1][1])}

    def files_as_of(self, job: str, as_of_ns: int | None) -> Iterator[FileEntry]:
        """All that a job's sources had as of a moment, as a list; streamed.

        Volume and archive are those that it would be restored from; of a file that was cut, those of its first part.
        The volume is empty where there is none: of a folder in which nothing was new, and of what is on no volume.

        Raises:
            CatalogueError: the job has no run as of then.
        """
        self._runs(job, as_of_ns)  # else it would be refused when the first file is asked for
        if self.run_as_of(job, as_of_ns) is not None:
            return self._listed(self.pictured(job, as_of_ns))
        return self._listed((_entry_of(rows[-1]), rows) for rows in _joined(self.state(job, as_of_ns)))

    def _listed(self, entries: Iterable[tuple[PictureEntry, list[Located]]]) -> Iterator[FileEntry]:
        titles = {number: volume.title for number, volume in self.complete_volumes().items()}
        for entry, rows in entries:
            first = min(rows, key=lambda row: row.part or 0, default=None)
            volume, archive = ("", None) if first is None else (titles.get(first.volume_id, ""), first.archive)
            path = _path_of(entry)
            yield FileEntry(
                volume,
                None if archive is None else os.fsdecode(archive),
                os.fsdecode(path),
                entry.kind,
                entry.size,
                entry.mtime_ns,
                entry.digest,
            )

    def left_out(self, job: str, as_of_ns: int | None) -> list[tuple[RunRow, list[str]]]:
        """Runs that began after the one whose picture counts, and have none; with titles of their complete volumes."""
        run = self.run_as_of(job, as_of_ns)
        if run is None:  # then all that was saved counts
            return []
        later = [
            row
            for row in self.run_rows(job)
            if row.added is None
            and (row.started_at_ns, row.id) > (run.started_at_ns, run.id)
            and (as_of_ns is None or row.started_at_ns <= as_of_ns)
        ]
        of_run: dict[int | None, list[str]] = {}
        for volume in self.complete_volumes().values() if later else ():
            of_run.setdefault(volume.run_id, []).append(volume.title)
        return [(row, of_run.get(row.id, [])) for row in later]

    def state(self, job: str | None, as_of_ns: int | None, paths: Sequence[bytes] = ()) -> Iterator[Located]:
        """Every file, folder and link of a job's sources as of a moment; of a file that was cut, every part.

        Args:
            job: its name; None: all jobs, of which the newest file of a path counts.
            as_of_ns: nanoseconds since 1970, UTC; None: now.
            paths: absolute paths of files and folders; with all that is below them. None: everything.

        Raises:
            CatalogueError: the job has no run as of then.
        """
        chosen = self._runs(job, as_of_ns)
        with self._looking() as transaction:
            asked = "SELECT id, run_id FROM volumes WHERE state = :complete AND run_id IS NOT NULL"
            rows = transaction.ask(asked, {"complete": COMPLETE})
        ranks = {run: rank for rank, run in enumerate(reversed(chosen), 1)}
        rank_of = {number: ranks[run] for number, run in rows if run in ranks}
        yield from _newest(self._below(paths, rank_of) if paths else self._by_runs(rank_of), rank_of)

    def _by_runs(self, rank_of: Mapping[int, int]) -> Iterator[Located]:
        """All that is recorded on some volumes, the newest run's first, whichever was entered first."""
        of_rank: dict[int, list[int]] = {}
        for number, rank in rank_of.items():
            of_rank.setdefault(rank, []).append(number)
        for rank in sorted(of_rank, reverse=True):
            yield from self.files_on(*of_rank[rank])

    def _below(self, paths: Sequence[bytes], rank_of: Mapping[int, int]) -> Iterator[Located]:
        """The same, of what is one of the paths, or below one."""
        with self._looking() as transaction:
            # One number each, for they may be millions.
            numbers = [
                rank_of[volume] << _ID_BITS | number for number, volume in below_paths(transaction, paths, rank_of)
            ]
        numbers.sort(reverse=True)
        for start in range(0, len(numbers), _ROWS_AT_A_TIME):
            some = [number & ((1 << _ID_BITS) - 1) for number in numbers[start : start + _ROWS_AT_A_TIME]]
            with self._looking() as transaction:
                rows = in_this_order(transaction, some)
            yield from rows

    def runs_until(self, job: str | None, as_of_ns: int | None) -> list[RunAt]:
        """The runs of a job, or of all, that began by then, the newest first."""
        with self._looking() as transaction:
            rows = transaction.ask(
                "SELECT id, job, folder, started_at_ns, state, skip_known, since_ns FROM runs"
                " WHERE started_at_ns <= :latest ORDER BY started_at_ns DESC, id DESC",
                {"latest": _NEVER if as_of_ns is None else as_of_ns},
            )
        name = None if job is None else storable_text(job)
        return [
            RunAt(
                number,
                of_job,
                os.fsdecode(bytes(folder)),
                started_at_ns,
                state == COMPLETE and not skip_known and since_ns is None,
            )
            for number, of_job, folder, started_at_ns, state, skip_known, since_ns in rows
            if name is None or of_job == name
        ]

    def _runs(self, job: str | None, as_of_ns: int | None) -> list[int]:
        """Those that make up the state, the newest first."""
        found = self.runs_until(job, as_of_ns)
        if job is not None and not found:
            raise CatalogueError(self._no_run(job, as_of_ns))
        done: set[str] = set()
        chosen = []
        for run in found:
            if run.job not in done:
                chosen.append(run.id)
            if run.is_whole:
                done.add(run.job)
        return chosen

    def _no_run(self, job: str, as_of_ns: int | None) -> str:
        if as_of_ns is not None and self.runs_until(job, None):
            return f"{job!r}: no run of this job as of then; its first run was later"
        jobs = sorted({run.job for run in self.runs_until(None, None)})
        there = f"there are runs of {', '.join(map(repr, jobs[:20]))}" if jobs else "the catalogue has no runs yet"
        return f"{job!r}: no run of this job; {there}"


def _is_all_of(row: Located, entry: PictureEntry) -> bool:
    """Whether a part of another file that was cut is all that this one has."""
    return row.part is not None and (row.size, row.digest) == (entry.size, entry.digest)


def _newest(rows: Iterator[Located], rank_of: Mapping[int, int]) -> Iterator[Located]:
    """What is there of rows that come from the newest to the oldest; of a file that was cut, the parts of one version.

    Where a file has taken the place of a folder, what was in that is not there, nor the file where a folder has.
    """
    overlay = Overlay(_SLASH)
    # By run, and by time: a run that went on after the file had changed has saved two versions of it.
    cut: dict[bytes, tuple[tuple[int, int], set[int]]] = {}
    for row in rows:
        rank = rank_of.get(row.volume_id)
        if rank is None:
            continue
        path = _path_of(row)
        if overlay.keeps(path, row.kind == DIRECTORY):
            if row.part is not None:
                cut[path] = (rank, row.mtime_ns), {row.part}
            yield row
        elif row.part is not None and path in cut:
            version, parts = cut[path]
            if version == (rank, row.mtime_ns) and row.part not in parts:
                parts.add(row.part)
                yield row


def _path_of(row: Located | PictureEntry) -> bytes:
    return os.path.join(row.folder, row.name) if row.name else row.folder


def _below_source(below: bytes, name: bytes) -> bytes:
    """A path below a source, which may be known by another path."""
    return os.path.join(below.strip(_SLASH), name).rstrip(_SLASH)


def _relocated(path: bytes, source: bytes, label: bytes) -> bytes:
    """Where a path would be if the source were a folder of its label; all of that for a path above the source."""
    return label + path[len(source) :] if path == source or path.startswith(os.path.join(source, b"")) else label


def _joined(rows: Iterable[Located]) -> Iterator[list[Located]]:
    """Each file, folder or link; the parts of a file that was cut together, the last of them last."""
    parts: dict[tuple[bytes, bytes], list[Located]] = {}
    for row in rows:
        if row.part is None:
            yield [row]
        else:
            parts.setdefault((row.folder, row.name), []).append(row)
    yield from (sorted(cut, key=lambda row: row.part or 0) for cut in parts.values())


def _entry_of(row: Located) -> PictureEntry:
    """What was saved, as an entry of a picture; a file that was cut by its last part."""
    is_cut = row.part is not None
    return PictureEntry(
        source=row.source or b"",
        label=row.label or b"",
        folder=row.folder,
        name=row.name,
        kind=row.kind,
        size=row.size if row.whole_size is None else row.whole_size,
        mtime_ns=row.mtime_ns,
        digest=row.whole_digest if is_cut else row.digest,
        target=row.target,
        file_id=row.id,
        inode=None,
        mode=None,
        uid=None,
        gid=None,
        from_run=0,
    )

"""Medium: catalogue all that is on one, from the walk to the complete volume.

This process walks, hands out files and records rows; the pool's processes read. Rows of a file come after those of all
that is in it, so what is recorded of a loose file says that it is done: a medium that was interrupted goes on with the
files that have no row, after archives that were not finished are taken out again.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from operator import attrgetter
from typing import TYPE_CHECKING

from ..catalogue.rows import KINDS, FileRow
from ..errors import (
    ArchiveError,
    BackalaikaError,
    CatalogueError,
    CatalogueFullError,
    RunError,
    SourceError,
    UnfinishedMediumError,
    UsageError,
)
from ..walk import DIRECTORY, FILE, Problem
from .batching import batches
from .earlier import Kept, Marks, compare, mark, switches
from .image import in_disc_order
from .looking import SilenceError
from .members import LONGEST_PATH, folder_and_name, is_too_long, joined, left_out, shortened
from .messages import (
    INSIDE,
    ArchiveBegins,
    ArchiveEnds,
    LooseFile,
    Moved,
    NotEntered,
    Row,
    Rows,
    Settings,
    Summed,
    Trouble,
)
from .opened import Opened
from .ours import OwnMedium
from .own import OwnVolume, archive_format
from .pool import Again, GivenUp, Heard, ReadingPool
from .recognising import take_out_copies
from .report import INTERRUPTED, AddReport, Medium, Observer, Unentered
from .trees import Found
from .watched import WatchedTree

if TYPE_CHECKING:
    from ..catalogue import Catalogue
    from ..catalogue.direct import DirectCatalogue
    from ..catalogue.media import UnfinishedMedium

_ROWS_AT_A_TIME = 5000
# Of their paths: a server takes no statement of any length, and memory is bounded.
_BYTES_AT_A_TIME = 4 * 1024 * 1024
_BORDER = "is another file system and was not catalogued; add it by itself"


def add_medium(
    catalogue: Catalogue | DirectCatalogue,
    medium: Medium,
    tree: WatchedTree,
    settings: Settings,
    observer: Observer,
    stop: Callable[[], None],
    workers: int,
    timeout_s: float,
) -> AddReport:
    """Catalogue a medium.

    Args:
        catalogue: where to.
        medium: what.
        tree: what is there, of `watched.watched_tree`.
        settings: how it is read.
        observer: is told how it goes.
        stop: called often; raises KeyboardInterrupt if the user wants to stop. What is recorded then stays, and the
            same call goes on with it.
        workers: processes that read; 0 for none.
        timeout_s: seconds after which a file that gives nothing is given up.

    Raises:
        SourceError: the medium is gone, or hangs before it is known what it is.
        CatalogueError: the title is taken, or the catalogue cannot be read or written; nothing was recorded.
        UnfinishedMediumError: the medium or the catalogue is gone, after some was recorded.
        RunError: the volume was removed meanwhile.
    """
    started = time.monotonic()
    report = AddReport(medium.title, medium.path)
    work = _Work(catalogue, medium, tree, settings, observer, report)
    try:
        try:
            _add(work, workers, timeout_s, stop)
        except KeyboardInterrupt:
            work.leave()
            report.state = INTERRUPTED
    except (CatalogueError, SourceError) as error:
        raise work.failure(error) from None
    report.seconds = time.monotonic() - started
    return report


def _add(work: _Work, workers: int, timeout_s: float, stop: Callable[[], None]) -> None:
    work.find_own()
    work.check_title()
    if work.is_left_out():
        return
    with ReadingPool(work.tree, work.settings_of_readers, workers, timeout_s) as pool:
        for heard in pool.read(work.sums(), stop):
            work.take(heard)
        if not work.recognise(stop):
            work.begin(stop)
            for heard in pool.read(work.tasks(), stop):
                work.take(heard)
            work.finish()


class _Work(OwnMedium):
    """One medium on its way into the catalogue."""

    def __init__(
        self,
        catalogue: Catalogue | DirectCatalogue,
        medium: Medium,
        tree: WatchedTree,
        settings: Settings,
        observer: Observer,
        report: AddReport,
    ) -> None:
        super().__init__(catalogue, medium, tree, settings, report)
        self._observer = observer
        self._rows: list[FileRow] = []
        self._bytes = 0
        self._opened = Opened(catalogue)
        self._told: set[tuple[bytes, str]] = set()
        self._done = Marks()
        self._before: dict[Problem, None] = {}
        self._new_problems: list[Problem] = []
        self._volume_id = 0

    def check_title(self) -> None:
        """Look whether the volume could be entered: what will be refused is refused before all sums are read."""
        self._catalogue.check_title(self._medium.title, self._known)
        early = None if self._known is not None else self._catalogue.unfinished_medium(self._medium.title)
        if early is not None:
            self._check_switches(early)

    def begin(self, stop: Callable[[], None]) -> None:
        """Enter the volume, or go on with it; the members of our own archives come from the manifest."""
        self._enter_volume(stop)
        if self._own is None or not (self._sound or self._damaged):
            return
        try:
            self._record_manifest(self._own)
        except (ArchiveError, SilenceError, OSError) as error:
            # Its sums are right, so it was written like this, and what it says of the rest is worth nothing. Or the
            # drive gave it once, and not again.
            self._trouble(Trouble(self._path_of_manifest(), f"{error}; the archives are read instead"))
            self._rows, self._bytes = [], 0
            self._opened.drop_all()
            self._sound = {}
            self._report.archives, self._report.members = self._catalogue.count_archives(self._volume_id)

    def _record_manifest(self, own: OwnVolume) -> None:
        lost = self._lost(own)
        for name in lost:
            self._count_sound(self._damaged[name].file)
        for name in self._sound:
            self.take(ArchiveBegins(name, archive_format(name), name))
        for row in self._tree.manifest_rows(own):
            archive = row.archive
            if archive is not None and archive in self._sound:
                path = joined(row.folder, row.name)
                if max(len(path), len(row.target or b"")) > LONGEST_PATH:
                    raise ArchiveError("is damaged: it tells of a path that is too long")
                if not self.settings.hashing or (path, row.part and row.part.number) in lost.get(archive, ()):
                    row = row._replace(digest=None)
                self._record(row, archive)
            elif archive not in own.archives:
                raise ArchiveError("is damaged: it tells of an archive that is not in the sums")
        for name, size in self._sound.items():
            digest = self._damaged[name].digest if name in lost else own.archives[name]
            self.take(ArchiveEnds(name, size, digest, name))

    def _enter_volume(self, stop: Callable[[], None]) -> None:
        medium = self._medium
        early = self._catalogue.unfinished_medium(medium.title)
        if early is None:
            digest, options = self.settings.digest, switches(self.settings)
            self._volume_id = self._catalogue.add_volume(
                None, medium.title, None, medium.path, None, medium.description, digest, options
            )
            return
        self._check_switches(early)
        self._catalogue.take_over(medium.title, medium.description)
        self._volume_id = early.id
        kept = compare(self._catalogue, early.id, self._tree, self._is_in_manifest, stop)
        self._done = kept.done
        self._keep_problems(kept)
        self._report.archives, self._report.members = self._catalogue.count_archives(early.id)

    def _check_switches(self, early: UnfinishedMedium) -> None:
        """Look whether this call may go on with a medium whose cataloguing was interrupted.

        Raises:
            UsageError: it has other switches than that.
        """
        medium, options = self._medium, switches(self.settings)
        before = early.options or options  # what an older version began has none
        if (early.path, early.digest, before) != (medium.path, self.settings.digest, options):
            raise UsageError(
                f"{medium.title!r}: cataloguing it was interrupted at {early.path} with --digest {early.digest} "
                f"{before}; go on with these, or remove it first"
            )

    def _keep_problems(self, kept: Kept) -> None:
        """Report the problems an earlier call had with files that stay; those with others will be met again."""
        start = len(os.fsencode(os.path.join(self._medium.path, "")))
        gone = []
        for number, path, message in self._catalogue.troubles(self._volume_id):
            if kept.has_read(path[start:]):
                self._before[Problem(os.fsdecode(path), message)] = None
            else:
                gone.append(number)
        self._catalogue.drop_troubles(gone)
        now = [problem for problem in self._report.problems if problem not in self._before]
        self._report.problems, self._new_problems = [*self._before, *now], now

    def _is_in_manifest(self, path: bytes) -> bool:
        """Whether it is a file of ours that is not read, for the manifest tells of it."""
        return path in self._sound or (bool(self._sound) and self._own is not None and self._own.has(path))

    def tasks(self) -> Iterator[list[LooseFile]]:
        """What is to be read, some files at a time; on an optical disc in the order of the disc."""
        found: Iterable[Found] = self._files()
        if self._tree.in_disc_order:
            found = in_disc_order(found, attrgetter("place"))
        yield from batches(found)

    def _files(self) -> Iterator[Found]:
        """Files to be read; what is no file is recorded on the way."""
        report = self._report
        for found in self._tree.walk(self._problem):
            member, file = found.member, found.file
            path = member.path
            if self._is_in_manifest(path):
                continue
            if is_too_long(member):
                self._trouble(Trouble(b"", left_out(path)))
                continue
            if found.is_border:
                self._trouble(Trouble(path, _BORDER, True))
            done = mark(path, member.kind, member.size, member.mtime_ns) in self._done
            if file is not None:
                report.files, report.bytes = report.files + 1, report.bytes + file.size
                if done:
                    report.resumed_files += 1
                    self._observer.advance(1, file.size, os.fsdecode(path))
                else:
                    self._tell_if_unhashed()
                    yield found
            elif member.kind in KINDS and not done:
                place = folder_and_name(path, DIRECTORY if member.kind == DIRECTORY else FILE)
                self._record(Row(None, *place, member.kind, 0, member.mtime_ns, None, member.target))

    def take(self, heard: Heard) -> None:
        """Record, or pass on, what was heard of a file."""
        report = self._report
        if isinstance(heard, Rows):
            for row in heard.rows:
                self._record(row, heard.file)
        elif isinstance(heard, Moved):
            self._observer.advance(0, heard.size, os.fsdecode(heard.path))
        elif isinstance(heard, ArchiveBegins):
            self._flush()
            self._opened.begin(self._volume_id, heard.file, heard.path, heard.kind)
            report.archives += 1
        elif isinstance(heard, ArchiveEnds):
            self._flush()
            self._opened.end(heard.file, heard.path, heard.size, heard.digest)
        elif isinstance(heard, Summed):
            self._compare(heard)
        elif isinstance(heard, Trouble):
            self._trouble(heard)
        elif isinstance(heard, NotEntered):
            whole_path = os.path.join(self._medium.path, os.fsdecode(heard.path))
            report.not_entered.append(Unentered(whole_path, heard.kind))
        elif isinstance(heard, Again):
            self._flush()
            dropped = self._opened.drop(heard.path)
            report.archives, report.members = report.archives - dropped.archives, report.members - dropped.members
        elif isinstance(heard, GivenUp):
            self._give_up(heard)

    def _give_up(self, heard: GivenUp) -> None:
        self._trouble(Trouble(heard.file.path, heard.message))
        if heard.file.only_sum:
            return
        self._flush()
        self._opened.leave(heard.file.path)
        place = folder_and_name(heard.file.path, FILE)
        self._record(Row(None, *place, FILE, heard.file.size, heard.file.mtime_ns, None, None))

    def _trouble(self, trouble: Trouble) -> None:
        path = os.path.join(self._medium.path, os.fsdecode(trouble.path)) if trouble.path else self._medium.path
        if (trouble.path, trouble.message) in self._told:
            return  # it was read twice
        if trouble.is_note:
            self._report.notes.append(Problem(path, trouble.message))
            return
        self._told.add((trouble.path, trouble.message))
        self._problem(Problem(path, trouble.message))

    def _problem(self, problem: Problem) -> None:
        problem = problem._replace(path=os.fsdecode(shortened(os.fsencode(problem.path))))
        if problem in self._before:
            return
        self._report.problems.append(problem)
        self._new_problems.append(problem)
        self._observer.problem(problem)

    def _record(self, row: Row, file: bytes = b"") -> None:
        """Record a row; if it is one of an archive, that is or is in ``file``."""
        archive_id = None
        if row.archive is not None:
            archive_id = self._opened.count_member(file, row.archive)
            self._report.members += 1
        elif row.kind == FILE:
            path = joined(row.folder, row.name)
            self._opened.forget(path)
            self._observer.advance(1, 0, os.fsdecode(path))
        number, start, whole_size, whole_digest = row.part or (None, None, None, None)
        self._rows.append(
            FileRow(
                self._volume_id, archive_id, row.folder, row.name, row.kind, row.size, row.mtime_ns,
                None, None, row.digest, None, None, row.target, number, start, whole_size,
                whole_digest, row.raw_path,
            )
        )  # fmt: skip
        self._bytes += len(row.folder) + len(row.name) + len(row.target or b"")
        if len(self._rows) >= _ROWS_AT_A_TIME or self._bytes >= _BYTES_AT_A_TIME:
            self._flush()

    def _flush(self) -> None:
        if self._new_problems and self._volume_id:  # before the row by which a file counts as read
            troubles = [(os.fsencode(path), message) for path, message in self._new_problems]
            self._catalogue.record_troubles(self._volume_id, troubles)
            self._new_problems = []
        if self._rows:
            self._catalogue.record([], self._rows)
            self._rows, self._bytes = [], 0

    def finish(self) -> None:
        """All is read."""
        self._flush()
        if self._is_a_copy():
            return
        counts = Counter(kind for _, kind in self._report.not_entered)
        kinds = ", ".join(f"{kind} ({number:,})" for kind, number in sorted(counts.items()))
        if kinds:
            extra = "; 7z is entered with the extra: pip install 'backalaika[7z]'" if counts["7z"] else ""
            message = f"archives of kinds that are not entered, but listed as files: {kinds}{extra}"
            self._trouble(Trouble(b"", message, True))
        self._flush()
        self._catalogue.finish_volume(self._volume_id, self._report.bytes)

    def _is_a_copy(self) -> bool:
        """Take out again what the catalogue has as volumes of runs; whether the medium is such a volume itself."""
        start = len(os.path.join(self._medium.path, ""))
        told = {os.fsencode(problem.path[start:]).partition(INSIDE)[0] for problem in self._report.problems}
        whole, troubles = take_out_copies(self._catalogue, self._volume_id, self._tree, told)
        for trouble in troubles:
            self._trouble(trouble)
        if whole is not None:
            self._volume_id = self._report.archives = self._report.members = 0
            self._settle(whole.title, whole.is_sound)
        elif troubles:
            self._report.archives, self._report.members = self._catalogue.count_archives(self._volume_id)
        return whole is not None

    def leave(self) -> None:
        """The user wants to stop: what was told so far is kept."""
        self._flush()
        if self._volume_id:
            self._catalogue.release(self._volume_id)

    def failure(self, error: BackalaikaError) -> BackalaikaError:
        """What the medium's end by an error is: rows that were recorded stay, and the same call goes on."""
        if not self._volume_id:
            return error
        with suppress(CatalogueError):
            if not self._catalogue.is_there(self._volume_id):
                return RunError(f"{self._medium.title!r}: was removed from the catalogue meanwhile")
        message = f"{error}; {self._medium.title!r} is not complete in the catalogue, and the same command goes on"
        return UnfinishedMediumError(message, isinstance(error, CatalogueFullError))

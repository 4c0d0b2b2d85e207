"""Rebuilding: the catalogue of volumes, from these alone.

README.txt tells the run, its job and the volume's number; SUMS.xxh128 the archives; the manifest their members. What no
medium knows stays open: where a source lay (its files are entered below its name in the archives), inodes, and whether
the run had left out known files, which is taken to be so: then nothing of the runs before it is lost. Of an archive
that is damaged, members are entered that can still be read, for what is entered counts as saved. Where the manifest is
damaged, the volume is catalogued by its archives, as any medium is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, wait
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

from .catalogue.rows import COMPLETE, DIRECTORY, FileRow, FrameRow, RunStart, SourceFound
from .digests import DIGESTS
from .manifest import MANIFEST, SUMS
from .reading.medium import add_medium
from .reading.messages import Settings
from .reading.own import archive_format
from .reading.report import Medium
from .reading.watched import watched_tree
from .restoring.items import Item
from .restoring.manifests import digest_by_readme, manifest_items
from .restoring.readmes import Told, told_by_readme
from .restoring.report import Observer
from .restoring.selecting import Work
from .restoring.shelf import OWN_FILES
from .restoring.tasks import cut_into_tasks
from .verifying.checking import check_members, hash_file
from .verifying.sums import strict_sums
from .walk import Problem

if TYPE_CHECKING:
    from .catalogue import Catalogue

_ROWS_AT_A_TIME = 5000
_POLL_S = 0.2


@dataclass(slots=True)
class RebuildReport:
    """What was entered.

    Attributes:
        volumes: titles.
        known: titles of those that were in the catalogue already.
        files, bytes: files and links on the volumes, and their content.
        problems: what is damaged.
        interrupted: whether the user has ended it.
        seconds: how long it took.
    """

    volumes: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    problems: list[Problem] = field(default_factory=list)
    interrupted: bool = False
    seconds: float = 0.0

    @property
    def exit_status(self) -> int:
        """0 all done, 1 some of it is damaged, 130 interrupted."""
        return 130 if self.interrupted else 1 if self.problems else 0

    def as_json(self) -> dict[str, Any]:
        """The report as plain values."""
        return {
            "exit_status": self.exit_status,
            "volumes": self.volumes,
            "known": self.known,
            "files": self.files,
            "bytes": self.bytes,
            "errors": [{"path": problem.path, "message": problem.message} for problem in self.problems],
            "seconds": round(self.seconds, 3),
        }


class Rebuild:
    """Enters volumes into a catalogue.

    Args:
        catalogue: where to.
        pool: reads.
        observer: is told how it goes.
        stop: called often; raises KeyboardInterrupt if the user wants to stop.
    """

    def __init__(self, catalogue: Catalogue, pool: Executor, observer: Observer, stop: Callable[[], None]) -> None:
        self._catalogue, self._pool, self._observer, self._stop = catalogue, pool, observer, stop
        self.report = RebuildReport()

    def run(self, folders: list[str]) -> RebuildReport:
        """Enter the volumes in these folders, in the order of their runs; those that are there already are left."""
        started = time.monotonic()
        told = sorted(((told_by_readme(folder), folder) for folder in folders), key=lambda pair: pair[0].order)
        there = {volume.title for volume in self._catalogue.volumes()}
        try:
            for one, _ in told:
                if one.title in there:
                    self.report.known.append(one.title)
            for one, folder in told:
                if one.title not in there:
                    there.add(one.title)
                    self._enter(one, folder)
        except KeyboardInterrupt:
            self.report.interrupted = True
        self.report.seconds = time.monotonic() - started
        return self.report

    def _enter(self, told: Told, folder: str) -> None:
        sums, wrong = strict_sums(folder)
        for message in wrong:
            self._problem(os.path.join(folder, SUMS), message)
        archives, damaged = self._archives(folder, sums)
        damage: list[str] = []
        work = Work()
        for item in manifest_items(folder, damage.append):
            work.add(item)
        if damage or not told.run or not archives:
            self._enter_as_medium(told, folder, damage)
            return
        digest = _digest_of(work, told.text)
        lost = self._lost(folder, work, digest, damaged)
        run_id = self._run(told, folder)
        volume_id = self._catalogue.add_volume(
            run_id, told.title, told.number, os.path.abspath(folder), None, "", digest
        )
        try:
            for name, (size, whole) in sorted(archives.items()):
                self._stop()
                archive_id = self._enter_archive(run_id, volume_id, name, work, lost)
                self._catalogue.finish_archive(archive_id, size, whole)
            self._catalogue.enter_whole_sizes(run_id, _wholes(work))
        except BaseException:
            self._catalogue.drop_volume(volume_id)
            raise
        size = sum(entry.stat().st_size for entry in os.scandir(folder) if entry.is_file(follow_symlinks=False))
        self._catalogue.finish_volume(volume_id, size)
        files, content = self._catalogue.count_run(run_id)
        self._catalogue.finish_run(run_id, COMPLETE, told.started_at_ns, files, content, 0, 0)
        self.report.volumes.append(told.title)
        work.close()

    def _archives(self, folder: str, sums: dict[bytes, bytes]) -> tuple[dict[bytes, tuple[int, bytes]], set[bytes]]:
        """Size and sum of each archive that is there, and which are damaged."""
        names = sorted(sums.keys() - OWN_FILES)
        futures = [self._pool.submit(hash_file, folder, name) for name in names]
        found, damaged = {}, set()
        for future in futures:
            while not wait([future], _POLL_S).done:
                self._stop()
            hashed = future.result()
            self._observer.advance(0, hashed.size, os.fsdecode(hashed.name))
            if hashed.trouble or hashed.digest != sums[hashed.name]:
                why = hashed.trouble or f"is damaged: it is not what {SUMS} says; what can be read of it is entered"
                self._problem(os.path.join(folder, os.fsdecode(hashed.name)), why)
                damaged.add(hashed.name)
            if not hashed.trouble:
                found[hashed.name] = hashed.size, hashed.digest
        return found, damaged

    def _lost(self, folder: str, work: Work, digest: str, damaged: set[bytes]) -> set[tuple[bytes, bytes]]:
        """Archive and path of members that can no longer be read."""
        lost: set[tuple[bytes, bytes]] = set()
        for archive in damaged & work.archives.keys():
            for task in cut_into_tasks(folder, archive, digest, iter(work.archives[archive])):
                self._stop()
                for item, why in self._pool.submit(check_members, task).result().failed:
                    lost.add((archive, item.path))
                    self._problem(os.path.join(folder, os.fsdecode(archive)), f"{os.fsdecode(item.path)}: {why}")
        return lost

    def _run(self, told: Told, folder: str) -> int:
        run_id: int | None = self._catalogue.run_of_folder(told.run)
        if run_id is None:
            place = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(folder))), told.run)
            start = RunStart(told.job, place, told.comment, told.started_at_ns, [], None, skip_known=True)
            return self._catalogue.start_run(start)
        self._catalogue.adopt_run(run_id)
        return run_id

    def _enter_archive(
        self, run_id: int, volume_id: int, name: bytes, work: Work, lost: set[tuple[bytes, bytes]]
    ) -> int:
        links = [link for link in work.links if link.archive == name]

        def items() -> Iterator[Item]:
            return chain(work.archives.get(name, ()), links)

        first = next(items(), None)
        label = os.fsdecode(b"" if first is None else first.path.split(b"/", 1)[0])
        kind = archive_format(name)
        index = self._catalogue.source_with_label(run_id, SourceFound(label, label, kind.removeprefix("tar."), 0, 0))
        archive_id = self._catalogue.add_archive(volume_id, os.fsdecode(name), kind, index)
        numbers = self._enter_frames(archive_id, items())
        rows: list[FileRow] = []
        for item in items():
            if (name, item.path) in lost:
                continue
            rows.append(_row(volume_id, archive_id, item, numbers))
            if item.kind != DIRECTORY:
                self.report.files, self.report.bytes = self.report.files + 1, self.report.bytes + item.size
            if len(rows) >= _ROWS_AT_A_TIME:
                self._record(rows)
                rows = []
        self._record(rows)
        return archive_id

    def _enter_frames(self, archive_id: int, items: Iterator[Item]) -> dict[int, int]:
        """The frames in which members begin, and their numbers by offset; what they decode to is not told."""
        offsets = sorted({item.frame for item in items if item.frame is not None})
        ends = [*offsets[1:], 0]
        frames = [
            FrameRow(archive_id, number, offset, max(0, ends[number] - offset), 0)
            for number, offset in enumerate(offsets)
        ]
        self._catalogue.record(frames, [])
        return {frame.offset: frame.number for frame in frames}

    def _record(self, rows: list[FileRow]) -> None:
        self._stop()
        self._catalogue.record([], rows)
        if rows:
            self._observer.advance(len(rows), 0, os.fsdecode(rows[-1].name))

    def _enter_as_medium(self, told: Told, folder: str, damage: list[str]) -> None:
        """By its archives, like a stranger's."""
        for message in damage:
            self._problem(os.path.join(folder, MANIFEST), f"{message}; the archives are read instead")
        medium = Medium(told.title, os.path.abspath(folder), "rebuilt from its archives")
        settings = Settings(DIGESTS[0])
        with watched_tree(medium.path, settings, self._stop, 0, 120.0) as tree:
            report = add_medium(self._catalogue, medium, tree, settings, self._observer, self._stop, 0, 120.0)
        self.report.problems += report.problems
        self.report.files += report.members
        self.report.volumes.append(told.title)

    def _problem(self, path: str, message: str) -> None:
        problem = Problem(path, message)
        self.report.problems.append(problem)
        self._observer.problem(problem)


def _row(volume_id: int, archive_id: int, item: Item, numbers: dict[int, int]) -> FileRow:
    place = item.path.rstrip(b"/") if item.kind == DIRECTORY else item.place
    folder, _, name = (place, b"", b"") if item.kind == DIRECTORY else place.rpartition(b"/")
    number, offset, size, digest = item.part or (None, None, None, None)
    frame = None if item.frame is None else numbers[item.frame]
    return FileRow(
        volume_id, archive_id, folder, name, item.kind, item.size, item.mtime_ns, None, None, item.digest,
        frame, item.offset, item.target, number, offset, size, digest,
    )  # fmt: skip


def _wholes(work: Work) -> dict[tuple[bytes, bytes, int], int | None]:
    """Files of which there are parts, by folder, name and time; and their sizes, which stand with their last parts.

    A run that went on after such a file had changed has two versions of it, of different times.
    """
    sizes: dict[tuple[bytes, bytes, int], int | None] = {}
    for item in work.items():
        if item.part is not None:
            folder, _, name = item.place.rpartition(b"/")
            key = folder, name, item.mtime_ns
            sizes[key] = sizes.get(key) if item.part[2] is None else item.part[2]
    return sizes


def _digest_of(work: Work, text: str) -> str:
    length = next((len(item.digest) for item in work.items() if item.digest is not None), 16)
    return digest_by_readme(text, length)

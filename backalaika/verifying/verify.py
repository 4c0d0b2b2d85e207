"""Verify: read all of a volume, and say what of it is no longer what was written.

Every byte is under a sum: the files of the volume in SUMS.xxh128, the archives once more in the catalogue. Where both
are there and disagree, the file itself decides which of them is damaged. The members of a damaged archive are decoded,
to tell which files are lost and which are not; ``deep`` does that to all.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import xxhash

from ..catalogue.results import VolumeAt
from ..errors import CatalogueError
from ..manifest import MANIFEST, SUMS
from ..recovery.layout import INDEX
from ..recovery.packets import RecoverySet, damaged_blocks
from ..recovery.program import recovery_files
from ..restoring.items import Item, item_of
from ..restoring.manifests import digest_by_readme, manifest_items, readme
from ..restoring.report import Observer
from ..restoring.selecting import Work
from ..restoring.shelf import OWN_FILES
from ..restoring.tasks import cut_into_tasks
from ..walk import Problem, describe_error
from .checking import Checked, Hashed, check_members, hash_file
from .recovery import Recovery, scan_recovery, weigh_damage
from .sums import strict_sums

if TYPE_CHECKING:
    from ..catalogue.state import State

HEALTHY, DAMAGED, INTERRUPTED = "healthy", "damaged", "interrupted"
_POLL_S = 0.2
_SHOWN = 1000


@dataclass(slots=True)
class VerifyReport:
    """What was found on a volume.

    Attributes:
        title: of the volume; empty if the catalogue does not know it.
        folder: where it was read.
        state: ``healthy``, ``damaged`` or ``interrupted``.
        files, bytes: files of the volume that were read.
        members: members of archives that were decoded.
        problems: what is not what it was.
        notes: what else is there.
        without_digest: files that the catalogue has no digest of, so that only their sizes were compared.
        recovery: what the recovery files can do about the problems; None: there are no such files, or no problems.
        seconds: how long it took.
    """

    title: str
    folder: str
    state: str = HEALTHY
    files: int = 0
    bytes: int = 0
    members: int = 0
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    without_digest: int = 0
    recovery: Recovery | None = None
    seconds: float = 0.0

    @property
    def exit_status(self) -> int:
        """0 healthy, 1 damaged, 130 interrupted."""
        return {HEALTHY: 0, DAMAGED: 1, INTERRUPTED: 130}[self.state]

    def as_json(self) -> dict[str, Any]:
        """The report as plain values."""
        return {
            "title": self.title,
            "folder": self.folder,
            "state": self.state,
            "exit_status": self.exit_status,
            "files": self.files,
            "bytes": self.bytes,
            "members": self.members,
            "errors": [{"path": problem.path, "message": problem.message} for problem in self.problems],
            "notes": self.notes,
            "without_digest": self.without_digest,
            "recovery": self.recovery and self.recovery.as_json(),
            "seconds": round(self.seconds, 3),
        }


class Verify:
    """One volume being checked.

    Args:
        folder: where it is.
        volume: what the catalogue has of it; None if it does not know it.
        catalogue: None if there is none.
        pool: reads.
        workers: how many processes it has.
        observer: is told how it goes.
        stop: called often; raises KeyboardInterrupt if the user wants to stop.
        is_copy: it is a copy of the volume that the catalogue means, and says nothing of that one's health.
    """

    def __init__(
        self,
        folder: str,
        volume: VolumeAt | None,
        catalogue: State | None,
        pool: Executor,
        workers: int,
        observer: Observer,
        stop: Callable[[], None],
        is_copy: bool = False,
    ) -> None:
        self._is_copy = is_copy
        self._sound: set[str] = set()
        self.recovery_set: RecoverySet | None = None
        self._folder, self._volume, self._catalogue = folder, volume, catalogue
        self._pool, self._workers, self._observer, self._stop = pool, workers, observer, stop
        self.report = VerifyReport("" if volume is None else volume.title, folder)
        self.damaged: set[bytes] = set()
        self._waiting: set[Future[Any]] = set()

    def run(self, deep: bool) -> VerifyReport:
        """Check the volume; the catalogue then knows when it was last seen whole, or damaged.

        Args:
            deep: decode every member too.
        """
        started = time.monotonic()
        report = self.report
        try:
            ours = any(os.path.isfile(os.path.join(self._folder, name)) for name in (SUMS, MANIFEST))
            ours = ours or bool(recovery_files(self._folder))
            if ours or self._is_of_run():
                self._check_own(deep)
            else:
                self._check_foreign()
        except KeyboardInterrupt:
            for future in self._waiting:
                future.cancel()
            report.state = INTERRUPTED
        except OSError as error:  # of its folder; the other volumes are checked all the same
            self._problem(os.path.basename(error.filename or "") or ".", f"cannot be read: {describe_error(error)}")
        report.seconds = time.monotonic() - started
        if report.state == HEALTHY and report.problems:
            report.state = DAMAGED
        if self._volume is not None and self._catalogue is not None and not self._is_copy:
            self._enter(self._volume, self._catalogue)
        return report

    def _enter(self, volume: VolumeAt, catalogue: State) -> None:
        if self.report.state == HEALTHY and self.report.without_digest:
            catalogue.clear_damaged(volume.id)
        elif self.report.state == HEALTHY and self.report.files:
            catalogue.enter_verified(volume.id, time.time_ns())
        elif self.report.state == DAMAGED:
            try:
                catalogue.enter_damaged(volume.id, time.time_ns())
            except CatalogueError as error:  # the report says more
                self.report.notes.append(f"that it is damaged could not be entered: {error}")

    def _is_of_run(self) -> bool:
        return self._volume is not None and self._volume.run_id is not None

    # A volume of ours

    def _check_own(self, deep: bool) -> None:
        sums, wrong = strict_sums(self._folder)
        for message in wrong:
            self._problem(SUMS, message)
        recorded = self._recorded_archives()
        names = sorted((sums.keys() | recorded.keys()) - {os.fsencode(SUMS)})
        for hashed in self._map(hash_file, ((self._folder, name) for name in names)):
            self._compare(hashed, sums.get(hashed.name), recorded.get(hashed.name))
        for name in sorted({os.fsencode(MANIFEST)} - sums.keys()):
            self._problem(os.fsdecode(name), f"is not in {SUMS}")
        found = self._read_recovery_files()
        items, digest = self._members()
        described = {os.fsencode(name) for name in found.files} if found is not None else set()
        no_sum = ({*map(bytes, items.archives), *described} - sums.keys() - recorded.keys()) - {os.fsencode(SUMS)}
        no_sum = {name for name in no_sum if _is_plain(name)}
        self._check_without_sums(sorted(no_sum), found, bool(wrong))
        known = sums.keys() | recorded.keys() | no_sum
        self._look_for_others(known | set(map(os.fsencode, recovery_files(self._folder))))
        suspect = self.damaged | no_sum
        if deep or suspect:
            self._check_members(items, digest, None if deep else suspect)
        if found is not None and self.report.problems:
            whole = () if any(problem.path == SUMS for problem in self.report.problems) else self._sound
            self.report.recovery = weigh_damage(self._folder, found, whole, self._map, self._workers, self._stop)

    def _read_recovery_files(self) -> RecoverySet | None:
        """What the recovery files say. They protect the sums, and are not in them: each part has a sum of its own."""
        self.recovery_set = found = scan_recovery(self._folder, INDEX in readme(self._folder), self._map)
        if found is None:
            return None
        for name, size in sorted(found.sizes.items()):
            self.report.files += 1
            self.report.bytes += size
            self._observer.advance(1, size, name)
        for name, trouble in sorted(found.troubles.items()):
            self._problem(name, trouble)
        if SUMS in found.files and damaged_blocks(self._folder, found.files[SUMS], found.block)[2]:
            self._problem(SUMS, "is damaged: it is not what the recovery files say")
        return found

    def _recorded_archives(self) -> dict[bytes, tuple[int, bytes]]:
        """Size and sum of each archive, as the catalogue has them."""
        if self._volume is None or self._catalogue is None:
            return {}
        found = self._catalogue.archives_on(self._volume.id)
        return {name: (size, digest) for name, size, digest in found if digest is not None and b"/" not in name}

    def _compare(self, hashed: Hashed, by_sums: bytes | None, recorded: tuple[int, bytes] | None) -> None:
        name = os.fsdecode(hashed.name)
        self.report.files += 1
        self.report.bytes += hashed.size
        self._observer.advance(1, hashed.size, name)
        is_archive = hashed.name not in OWN_FILES
        if hashed.trouble:
            self._problem(name, hashed.trouble)
        elif recorded is not None and (hashed.size, hashed.digest) == recorded:
            if by_sums is None:
                self._problem(SUMS, f"has no line for {name}, which is whole by the catalogue")
            elif by_sums == hashed.digest:
                self._sound.add(name)
            else:
                self._problem(SUMS, f"is damaged: its sum of {name} is wrong, which is whole by the catalogue")
            return
        elif by_sums != hashed.digest:
            size = f", and has {hashed.size:,} bytes instead of {recorded[0]:,}" if recorded and (
                recorded[0] != hashed.size
            ) else ""  # fmt: skip
            self._problem(name, f"is damaged: it is not what {SUMS} says{size}")
        elif recorded is not None:
            self._problem(name, f"is what {SUMS} says, but not what the catalogue has: it was exchanged")
        else:
            self._sound.add(name)
            return
        if is_archive:
            self.damaged.add(hashed.name)

    def _check_without_sums(self, names: list[bytes], found: RecoverySet | None, told: bool) -> None:
        """Files that the manifest or the recovery files name, and no sum; members tell of archives what these do not.

        Args:
            names: of them.
            found: what the recovery files say.
            told: whether it was told that the sums are damaged.
        """
        for hashed in self._map(hash_file, ((self._folder, name) for name in names)):
            name = os.fsdecode(hashed.name)
            self.report.files += 1
            self.report.bytes += hashed.size
            self._observer.advance(1, hashed.size, name)
            protected = found.files.get(name) if found is not None else None
            if not told and name != MANIFEST:  # of which it was told
                self._problem(SUMS, f"has no line for {name}")
            if hashed.trouble:
                self._problem(name, hashed.trouble)
                self.damaged |= {hashed.name} - OWN_FILES
            elif found is not None and protected and damaged_blocks(self._folder, protected, found.block)[2]:
                self._problem(name, "is damaged: it is not what the recovery files say")
                self.damaged |= {hashed.name} - OWN_FILES

    def _look_for_others(self, known: set[bytes]) -> None:
        with os.scandir(os.fsencode(self._folder)) as entries:
            others = sorted(entry.name for entry in entries if entry.name not in known | OWN_FILES)
        if others:
            some = ", ".join(map(os.fsdecode, others[:5]))
            what = "1 file that does not belong" if len(others) == 1 else f"{len(others):,} files that do not belong"
            self.report.notes.append(f"{what} to the volume: {some}")

    # Members

    def _members(self) -> tuple[Work, str]:
        """What the manifest tells of, compared with the catalogue, and which digest it has.

        Where the manifest is damaged, the catalogue tells what it has lost.
        """
        wrong: list[str] = []
        work, length = Work(), 16
        in_manifest: set[int] = set()
        for item in manifest_items(self._folder, wrong.append):
            in_manifest.add(_fingerprint(item, with_place=self._is_of_run()))
            work.add(item)
            length = len(item.digest) if item.digest is not None else length
        for message in wrong:
            self._problem(MANIFEST, message)
        digest = digest_by_readme(readme(self._folder), length) if self._volume is None else self._volume.digest
        if self._volume is not None and self._catalogue is not None:
            self._compare_with_catalogue(work, in_manifest, bool(wrong))
        return work, digest

    def _compare_with_catalogue(self, work: Work, in_manifest: set[int], is_damaged: bool) -> None:
        assert self._volume is not None
        assert self._catalogue is not None
        lacking = 0
        for row in self._catalogue.files_on(self._volume.id):
            if row.archive is None or b"!/" in row.archive:
                continue
            item = item_of(row)
            mark = _fingerprint(item, with_place=self._is_of_run())
            if mark in in_manifest:
                in_manifest.discard(mark)
                continue
            if is_damaged and item.frame is not None:
                work.add(item)
                continue
            lacking += 1
            if lacking <= _SHOWN:
                self._problem(f"{MANIFEST}: {os.fsdecode(item.path)}", "is not what the catalogue has, or not there")
        if lacking > _SHOWN:
            self._problem(MANIFEST, f"lacks {lacking:,} members that the catalogue has")
        if in_manifest and not is_damaged:
            # Of a run that went on, a file may have been saved again, and both times are in the archive.
            self.report.notes.append(f"{len(in_manifest):,} members in the manifest are not in the catalogue")

    def _check_members(self, work: Work, digest: str, only: set[bytes] | None) -> None:
        """Decode members, of all archives or of some."""
        lost: set[tuple[bytes, bytes]] = set()
        for archive, spool in sorted(work.archives.items()):
            if only is not None and archive not in only:
                continue
            failed: set[tuple[bytes, bytes]] = set()
            tasks = ((task,) for task in cut_into_tasks(self._folder, archive, digest, iter(spool)))
            for checked in self._map(check_members, tasks):
                failed |= self._take(archive, checked)
            lost |= failed
            if (
                only is not None
                and not failed
                and not os.path.lexists(os.path.join(os.fsencode(self._folder), archive))
            ):
                continue
            if archive in self.damaged and not failed:
                self.report.notes.append(f"{os.fsdecode(archive)}: all its members are whole in spite of the damage")
        for link in work.links:
            if (link.archive, link.target or b"") in lost:
                why = f"is a hard link to {os.fsdecode(link.target or b'')}, which is lost"
                self._problem(f"{os.fsdecode(link.archive)}: {os.fsdecode(link.path)}", why)
        for work_spool in work.archives.values():
            work_spool.close()

    def _take(self, archive: bytes, checked: Checked) -> set[tuple[bytes, bytes]]:
        """Tell of the members that are lost; returns them."""
        self.report.members += checked.members
        self._observer.advance(0, 0, os.fsdecode(checked.name))
        for item, why in checked.failed:
            name = os.fsdecode(item.path)
            self._problem(f"{os.fsdecode(archive)}: {name}" if archive else name, why)
        # What a damaged manifest says of members may be wrong, and they be whole.
        if checked.failed and archive and not any(path == MANIFEST for path, _ in self.report.problems):
            self.damaged.add(archive)
        return {(archive, item.path) for item, _ in checked.failed}

    # A medium that this program did not write

    def _check_foreign(self) -> None:
        """Loose files, archives among them, by the digests that they had when the medium was catalogued."""
        if self._volume is None or self._catalogue is None:
            self._problem(SUMS, "is missing, and so is a catalogue that knows this folder")
            return
        work = Work()
        for row in self._catalogue.files_on(self._volume.id):
            if row.archive is None and row.kind == "file":
                self.report.without_digest += row.digest is None
                work.add(item_of(row))
        for spool in work.archives.values():
            tasks = ((task,) for task in cut_into_tasks(self._folder, b"", self._volume.digest, iter(spool)))
            for checked in self._map(check_members, tasks):
                self.report.files += checked.members
                self.report.bytes += checked.size
                self._observer.advance(checked.members, checked.size, os.fsdecode(checked.name))
                for item, why in checked.failed:
                    self._problem(os.fsdecode(item.path), why)
            spool.close()
        if unread := self.report.without_digest:
            self.report.notes.append(
                f"files that have no digest in the catalogue, and of which only the sizes were compared: {unread:,}"
            )

    # Help

    def _problem(self, path: str, message: str) -> None:
        problem = Problem(path, message)
        self.report.problems.append(problem)
        self._observer.problem(problem)

    def _map(self, work: Callable[..., Any], tasks: Iterator[tuple[Any, ...]]) -> Iterator[Any]:
        """Results of tasks that the pool does, as they come; only a few are at work at a time."""
        for arguments in tasks:
            self._stop()
            self._waiting.add(self._pool.submit(work, *arguments))
            while len(self._waiting) > 2 * self._workers:
                yield from self._done()
        while self._waiting:
            yield from self._done()

    def _done(self) -> Iterator[Any]:
        done, self._waiting = wait(self._waiting, _POLL_S, FIRST_COMPLETED)
        self._stop()
        for future in done:
            yield future.result()


def _is_plain(name: bytes) -> bool:
    """Whether a stranger's name is that of a file in the volume's folder."""
    return name not in (b"", b".", b"..") and not set(name) & set(b"/\0")


def _fingerprint(item: Item, with_place: bool) -> int:
    """Stands for what a manifest and the catalogue both tell of a member."""
    told: tuple[Any, ...] = (item.archive, item.path.rstrip(b"/"), item.kind, item.size, item.digest, item.target)
    if with_place:
        told += (item.frame, item.offset)
    return int(xxhash.xxh3_128_intdigest(repr(told).encode()))

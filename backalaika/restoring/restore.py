"""Restore: volume after volume, each read once; what one of them has lost is taken from another that has it.

The main process hands out tasks and keeps count; the pool's processes read, check and write. Volumes that are there
are read first, then people are asked for the others, those first that have most of what is missing. Hard links are
made when all content is there, and folders get their permissions and times last of all.
"""

from __future__ import annotations

import os
import stat
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ..errors import RunError
from ..walk import DIRECTORY, FILE, Problem, describe_error
from .asking import HangsError, naming
from .comparing import is_as_saved
from .frames import Attributes
from .giving import Giving
from .items import Item
from .manifests import manifest_items
from .placing import NEVER, PlaceError, Target
from .report import COMPLETE, INCOMPLETE, INTERRUPTED, Needed, Observer, RestoreReport
from .selecting import Link, Places, Selection, Work
from .shelf import Shelf
from .spreading import spread
from .tasks import cut_into_tasks, in_image
from .worker import JoinTask, Outcome, Task, join_parts, restore_foreign_members, restore_members

Bring = Callable[[list[int]], int | None]
"""Asks for one of these volumes, best the first; which one is on the shelf now, or None if there is none to be had."""


# Permissions of a folder's owner, without which files cannot be put there.
_OWNER_ADDS = stat.S_IWUSR | stat.S_IXUSR


@dataclass(slots=True)
class _Cut:
    """A file of which the parts are being written.

    Attributes:
        temporary: its name meanwhile.
        digest_name: which digest it has.
        mtime_ns: of the file.
        done: numbers of the parts that are there.
        last, size, digest: known from the last part.
        attributes: of its parts.
    """

    temporary: bytes
    digest_name: str
    mtime_ns: int
    done: set[int] = field(default_factory=set)
    last: int = 0
    size: int = 0
    digest: bytes | None = None
    attributes: Attributes | None = None


class Restore:
    """One restore.

    Args:
        target: the directory, which is there.
        tasks: gives them to processes that were started with the same target and policy.
        workers: how many processes there are.
        shelf: where volumes are.
        places: other places of contents.
        bring: asks for volumes.
        observer: is told how it goes.
        stop: called often; raises KeyboardInterrupt if the user wants to stop.
    """

    def __init__(
        self,
        target: Target,
        tasks: Giving,
        workers: int,
        shelf: Shelf,
        places: Places,
        bring: Bring,
        observer: Observer,
        stop: Callable[[], None],
    ) -> None:
        self._target, self._tasks, self._workers = target, tasks, workers
        self._shelf, self._places, self._bring = shelf, places, bring
        self._observer, self._stop = observer, stop
        self.report = RestoreReport(target.root)
        self._failed: list[tuple[int, Item, str]] = []
        self._tried: dict[tuple[bytes, int], set[int]] = {}
        self._out: set[int] = set()
        self._cuts: dict[bytes, _Cut] = {}
        self._kept_cuts: set[bytes] = set()
        self._folders: dict[bytes, tuple[Attributes | None, int]] = {}
        self._made: set[bytes] = set()
        self._contents: set[bytes] = set()
        self._not_there: set[bytes] = set()
        self._works: dict[int, Work] = {}
        self._has_ended = False

    def run(self, selection: Selection) -> RestoreReport:
        """Restore all that is selected.

        Raises:
            NoRoomError: the disk is full.
        """
        started = time.monotonic()
        self._contents = {link.content for link in selection.links}
        for place, why in selection.lost.items():
            self._problem(place, why)
        for place in selection.gone:
            self._problem(place, "is on no volume of the catalogue: it could not be saved, or its volume was removed")
        for place in selection.folders:
            self._make_folder(place)
        self._folders.update(selection.folders)
        try:
            self._read_all(selection)
            self._read_again()
            self._drop_unfinished()
            for link in selection.links:
                self._stop()
                self._make_link(link)
        except KeyboardInterrupt:
            self.report.state = INTERRUPTED
        except HangsError as error:
            self._give_up(error)
        finally:
            self._tasks.cancel()
        self.report.seconds = time.monotonic() - started
        if self.report.missing and self.report.state != INTERRUPTED:
            self.report.state = INCOMPLETE
        self._has_ended = True
        return self.report

    def finish(self) -> None:
        """After the pool has ended: give folders what they had, and take away what is not whole.

        Where the same command will go on, those folders stay private, and known for begun, whose permissions were not
        read yet, and those to which their owner may not write.
        """
        is_whole = self._has_ended and self.report.state == COMPLETE
        waiting = 0
        self._take_away_unheard()
        self._drop_unfinished()
        self._made |= set(self._target.made)
        # What lies deeper comes first: a folder that was finished may no longer be written to.
        for place in sorted(self._made | self._folders.keys(), key=lambda place: -place.count(b"/")):
            attributes, mtime_ns = self._folders.get(place, (None, None))
            is_ours = place in self._made or self._target.overwrite != NEVER
            try:
                is_shut = attributes is not None and attributes.mode & _OWNER_ADDS != _OWNER_ADDS
                if not is_whole and (is_shut or place not in self._folders) and self._target.is_begun(place):
                    waiting += 1
                    continue
                self._target.finish_folder(place, attributes, mtime_ns, is_ours)
            except (PlaceError, OSError) as error:
                self._problem(place, _words(error))
        if waiting:
            self._note(f"folders that are private until the same command has restored the rest: {waiting:,}")

    def _make_folder(self, place: bytes) -> None:
        try:
            self._target.folder(place)
        except (PlaceError, OSError) as error:
            self._problem(place, _words(error))

    # Volumes

    def _read_all(self, selection: Selection) -> None:
        works = selection.volumes
        while works:
            self._stop()
            volume = next((number for number in sorted(works) if self._shelf.folder(number)), None)
            if volume is None:
                volume = self._next_brought(works)
                works = self._works
                if volume is None:
                    continue
            self._read(volume, works.pop(volume))

    def _next_brought(self, works: dict[int, Work]) -> int | None:
        """None of the volumes is here: spread their items, and have one of those brought that are needed then."""
        chosen, order, lost = spread(works, self._untried, lambda n: self._shelf.folder(n) is not None, self._out)
        self._works = chosen.volumes
        self._report_lost(lost)
        if not order:
            return None
        brought = order[0] if self._shelf.folder(order[0]) else self._bring(order)
        if brought is None:
            self._out.add(order[0])
        return brought

    def _untried(self, items: list[Item]) -> dict[Item, dict[int, Item]]:
        """Where else contents are, but for volumes on which they were found damaged: these may be the ones at hand."""
        return {
            item: {volume: other for volume, other in there.items() if volume not in self._tried.get(_key(item), ())}
            for item, there in self._places(items).items()
        }

    def _report_lost(self, lost: list[tuple[int, Item]]) -> None:
        """What only volumes have that nobody could bring."""
        counts: dict[int, list[int]] = {}  # of files, their other parts, and bytes
        for home, item in lost:
            self._mark_missing(item.place)
            count = counts.setdefault(home, [0, 0, 0])
            if item.part is not None and item.part[0] > 1:
                count[1] += 1
            elif item.kind != DIRECTORY:
                count[0] += 1
            count[2] += item.size
        for number, (files, parts, size) in sorted(counts.items()):
            self.report.missing.append(Needed(self._shelf.volumes[number].title, files, size, parts=parts))

    def _read(self, number: int, work: Work) -> None:
        """Read a volume, archive after archive."""
        volume, folder = self._shelf.volumes[number], self._shelf.folder(number)
        if folder is None:
            raise RunError(f"{volume.title}: it was here a moment ago and is gone; put it back and start again")
        if volume.title not in self.report.volumes:
            self.report.volumes.append(volume.title)
        with naming(volume.title):
            is_image = not self._shelf.asking.is_folder(folder)
        for archive, spool in sorted(work.archives.items()):
            items = iter(spool)
            if is_image or (archive and any(item.frame is None for item in spool)):
                place, name = in_image(folder, archive) if is_image else (folder, archive)
                frames = {} if is_image else self._frames(volume.title, folder, archive)
                items, foreign = self._with_frames(number, frames, list(spool))
                if foreign:  # one task: each goes through the archive from its beginning
                    task = Task(place, name, volume.digest, foreign, None, {})
                    self._submit(number, restore_foreign_members, task)

            def whole(item: Item, digest: str = volume.digest) -> bytes | None:
                cut = self._cut(item, digest)
                return None if cut is None else cut.temporary

            for task in cut_into_tasks(folder, archive, volume.digest, items, whole):
                self._submit(number, restore_members, task)
        self._drain(0)
        work.close()

    def _frames(self, title: str, folder: str, archive: bytes) -> dict[bytes, tuple[int | None, int | None]]:
        """Of a medium that was added by hand, where the members of an archive are, which only its manifest has."""
        with naming(title):
            return {
                item.path: (item.frame, item.offset)
                for item in manifest_items(folder, lambda message: None, self._shelf.asking)
                if item.archive == archive
            }

    def _with_frames(
        self, number: int, frames: dict[bytes, tuple[int | None, int | None]], items: list[Item]
    ) -> tuple[Iterator[Item], list[Item]]:
        """Items of an archive on a medium that was added by hand, with their frames; and all others."""
        known, foreign = [], []
        for item in items:
            frame, offset = frames.get(item.path, (item.frame, item.offset))
            if frame is not None:
                known.append(item._replace(frame=frame, offset=offset))
            elif item.part is not None:
                self._failed.append((number, item, "is a part of a file, and no manifest tells where it begins"))
            else:
                foreign.append(item)
        return iter(sorted(known, key=lambda item: (item.frame or 0, item.offset or 0))), foreign

    # Tasks

    def _submit(self, volume: int, work: Callable[[Any], Outcome], task: Task | JoinTask) -> None:
        self._stop()
        self._tasks.give(volume, work, task)
        self._drain(2 * self._workers)

    def _drain(self, most: int) -> None:
        """Wait until no more than so many tasks are at work."""
        for volume, outcome in self._tasks.results(most):
            self._take(volume, outcome)

    def _take(self, volume: int, outcome: Outcome) -> None:
        report = self.report
        report.files += outcome.files
        report.bytes += outcome.size
        self._made.update(outcome.made)
        for place, attributes, mtime_ns in outcome.folders:
            self._folders[place] = attributes, mtime_ns
        for item, why in outcome.failed:
            self._mark_missing(item.place)
            self._failed.append((volume, item, why))
        for place in outcome.kept:
            report.kept += 1
            self._mark_missing(place)
        for place in outcome.differing:
            self._differs(place)
        for place, why in outcome.refused:
            self._mark_missing(place)
            self._problem(place, why)
        for place, number, part_attributes in outcome.parts:
            self._take_part(volume, place, number, part_attributes)
        files, size = outcome.shown
        self._observer.advance(outcome.files - files, outcome.size - size, os.fsdecode(outcome.name))

    def _differs(self, place: bytes) -> None:
        """Something else is there, and may not be overwritten."""
        self.report.differing += 1
        self._mark_missing(place)
        self._problem(place, "what is there differs, and was not overwritten; see --overwrite")

    def _mark_missing(self, place: bytes) -> None:
        if place in self._contents:
            self._not_there.add(place)

    def _problem(self, place: bytes, why: str) -> None:
        problem = Problem(os.fsdecode(place), why)
        self.report.problems.append(problem)
        self._observer.problem(problem)

    # Files that were cut

    def _cut(self, item: Item, digest_name: str) -> _Cut | None:
        """The whole that a part belongs to; None if it is not to be written."""
        assert item.part is not None
        number, _, size, digest = item.part
        if item.place in self._kept_cuts:
            return None
        cut = self._cuts.get(item.place)
        if cut is None:
            try:
                if not self._target.is_wanted(item.place, item.mtime_ns):
                    self._kept_cuts.add(item.place)
                    if self._target.overwrite != NEVER or is_as_saved(self._target, item, digest_name):
                        self.report.kept += 1
                    else:
                        self._differs(item.place)
                    return None
                cut = _Cut(self._target.begin_whole(item.place), digest_name, item.mtime_ns)
            except (PlaceError, OSError) as error:
                self._kept_cuts.add(item.place)
                self._problem(item.place, _words(error))
                return None
            self._cuts[item.place] = cut
        if digest is not None and size is not None:
            cut.last, cut.size, cut.digest = number, size, digest
        return cut

    def _take_part(self, volume: int, place: bytes, number: int, attributes: Attributes | None) -> None:
        cut = self._cuts[place]
        cut.done.add(number)
        cut.attributes = attributes or cut.attributes
        if cut.last and len(cut.done) == cut.last:
            del self._cuts[place]
            task = JoinTask(place, cut.temporary, cut.size, cut.digest, cut.digest_name, cut.attributes, cut.mtime_ns)
            self._tasks.give(volume, join_parts, task)

    def _drop_unfinished(self) -> None:
        """Take away files of which parts are missing."""
        for place, cut in self._cuts.items():
            last = cut.last or max(cut.done, default=0) + 1
            missing = [number for number in range(1, last + 1) if number not in cut.done]
            if self.report.state == COMPLETE:
                self._problem(place, f"was cut, and not all parts are there; missing: {', '.join(map(str, missing))}")
            self._discard(place, cut.temporary)
        self._cuts = {}

    def _discard(self, place: bytes, temporary: bytes) -> None:
        try:
            with suppress(FileNotFoundError):  # who was to join its parts may have come to the end of it
                self._target.discard(place, temporary)
        except (PlaceError, OSError) as error:
            self._problem(place, f"what there is of it is left under another name: {_words(error)}")

    # What failed

    def _read_again(self) -> None:
        """Look for other copies of what was damaged, as long as there are any."""
        while self._failed:
            failed, self._failed = deque(self._failed), []
            selection = Selection()
            while failed:
                some = [failed.popleft() for _ in range(min(len(failed), 2000))]
                elsewhere = self._places([item for _, item, _ in some if item.kind == FILE])
                for volume, item, why in some:
                    self._choose_copy(selection, volume, item, why, elsewhere.get(item, {}))
            self._read_all(selection)

    def _choose_copy(self, selection: Selection, volume: int, item: Item, why: str, there: dict[int, Item]) -> None:
        tried = self._tried.setdefault(_key(item), set())
        tried.add(volume)
        title = self._shelf.volumes[volume].title
        left = [number for number in sorted(there) if number not in tried and number not in self._out]
        if not left:
            self._problem(item.place, self._unread(volume, item, why))
            return
        here = next((number for number in left if self._shelf.folder(number)), None)
        other = left[0] if here is None else here
        found = f"{self._shelf.volumes[other].title} has it too" if here is None else (
            f"taken from {self._shelf.volumes[other].title}"
        )  # fmt: skip
        self._note(f"{os.fsdecode(item.place)}: {why} on {title}; {found}")
        selection.add(other, there[other])

    def _note(self, note: str) -> None:
        self.report.notes.append(note)
        self._observer.note(note)

    def _unread(self, volume: int, item: Item, why: str) -> str:
        archive = os.fsdecode(item.archive) or "the medium"
        return f"{why} (in {archive} on {self._shelf.volumes[volume].title})"

    # A medium that hangs

    def _give_up(self, hangs: HangsError) -> None:
        """End with a medium that hangs: what waits for a drive can only be killed."""
        self.report.state = INCOMPLETE
        self.report.is_stuck = not self._tasks.kill()
        self.report.hung = hangs.medium
        self._problem(os.fsencode(hangs.medium), str(hangs))
        for number, item, why in self._failed:
            self._problem(item.place, self._unread(number, item, why))

    def _take_away_unheard(self) -> None:
        """Remove what processes that were killed have left half written."""
        for task in self._tasks.unheard():
            if isinstance(task, JoinTask):
                self._discard(task.place, task.temporary)
            else:
                self._target.take_away(item.place for item in task.items)

    # Links

    def _make_link(self, link: Link) -> None:
        try:
            if not self._target.is_wanted(link.place, link.mtime_ns):
                self._keep_link(link)
                return
            if link.content in self._not_there and not self._target.looks_like(link.content, link.size, link.mtime_ns):
                self._problem(link.place, f"is another name of {os.fsdecode(link.content)}, which was not restored")
                return
            self._target.hard_link(link.place, link.content)
        except FileExistsError:
            self._keep_link(link)
        except (PlaceError, OSError) as error:
            self._problem(link.place, _words(error))
        else:
            self.report.files += 1
            self._observer.advance(1, 0, os.fsdecode(link.place))

    def _keep_link(self, link: Link) -> None:
        is_right = self._target.looks_like(link.place, link.size, link.mtime_ns)
        if self._target.overwrite != NEVER or is_right:
            self.report.kept += 1
        else:
            self._differs(link.place)


def _key(item: Item) -> tuple[bytes, int]:
    """What is counted as one content to look for: a file, or a part of one."""
    return item.place, item.part[0] if item.part else 0


def _words(error: Exception) -> str:
    return f"cannot be written: {describe_error(error)}" if isinstance(error, OSError) else str(error)

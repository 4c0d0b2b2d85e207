"""Backup: one run, from the survey's entries to complete volumes.

The main process is the only one that decides. It cuts entries into tasks, gives each a slot and the pool, and settles
the results in the order of the tasks, whichever is done first; so the bytes do not depend on the number of workers.
When no slot is free it settles the oldest task; when all frames wait for the disk, it waits for the writer.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import BrokenExecutor, Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TypeVar

from ..batch import Batch, Large, rebatch, relink
from ..digests import hasher_factory
from ..errors import BackalaikaError, RunError
from ..formats.zip import WINDOW
from ..planner import Medium, TooLarge
from ..walk import Problem
from . import rows
from .cutting import Cut, trouble_with_names
from .finishing import DamageError, Finishing
from .large import LargeReader, WhatWasRead
from .messages import BatchDone, ChunkDone, ChunkTask
from .orders import WriterOrders
from .placing import Fit, Placer, too_large_problem
from .report import COMPLETE, FAILED, INTERRUPTED, Observer, Report
from .sizes import ArchivePlan
from .units import LargeUnit
from .volumes import VolumeDone
from .work import WORKER_DIED, BatchOnItsWay, Compressing, Interrupted, Work, wait_for
from .worker import VANISHED, cannot_be_read, compress_chunk
from .writer import partial_files

T = TypeVar("T")
_POLL_S = 0.005


@dataclass(slots=True)
class _ChunkOnItsWay:
    unit: LargeUnit
    slot: int
    future: Future[ChunkDone]
    # Of a file that may be cut: its bytes, and the zeros after them.
    raw: bytes
    padding: int


@dataclass(slots=True)
class _EndOfLarge:
    unit: LargeUnit
    read: WhatWasRead | None


@dataclass(slots=True)
class _EndOfArchive:
    plan: ArchivePlan


_OnItsWay = BatchOnItsWay | _ChunkOnItsWay | _EndOfLarge | _EndOfArchive


class Backup:
    """One run. Make it, `run` it once.

    Args:
        compressing: the pool and the slots.
        orders: the writer.
        placer: gives frames a volume.
        report: is filled in.
        observer: hears of progress and problems.
        record: takes what the catalogue is to know; called with what is safe.
        is_recorded: whether the catalogue has all that it was told.
        interrupted: whether the user wants to stop.
        on_volume: called with each complete volume.
        finishing: what is done to a volume before it is complete.
        before_more: called before more is read; it may wait, and raise `Interrupted`.
        split_above: files of more bytes may be cut to fill volumes; None: only those that fit on none.
        begun: of files whose first parts are saved already, by their paths: how many, and where these end.
        superseded: of folders in which something is saved once more, by their paths: the highest number of a volume
            that has it as it was. The new goes to no volume before that, so that it is unpacked later.
    """

    def __init__(
        self,
        compressing: Compressing,
        orders: WriterOrders,
        placer: Placer,
        report: Report,
        observer: Observer,
        record: Callable[[rows.Record], None],
        is_recorded: Callable[[], bool],
        interrupted: Callable[[], bool],
        on_volume: Callable[[VolumeDone], None],
        finishing: Finishing,
        before_more: Callable[[], None],
        split_above: int | None = None,
        begun: Mapping[str, tuple[int, int]] = MappingProxyType({}),
        superseded: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self._split_above = split_above
        self._begun = begun
        self._superseded = superseded
        self._compressing = compressing
        self._pool, self._slots = compressing.pool, compressing.slots
        self._orders = orders
        self._placer = placer
        self._report = report
        self._observer = observer
        self._record = record
        self._is_recorded = is_recorded
        self._interrupted = interrupted
        self._on_volume = on_volume
        self._finishing = finishing
        self._before_more = before_more
        self._new_hasher = hasher_factory(compressing.digest)
        self._turn = self._my_turn if compressing.turns is not None else None
        self._on_its_way: deque[_OnItsWay] = deque()

    def run(self, problems: list[Problem], early: Iterable[BatchOnItsWay], work: Iterable[Work]) -> None:
        """Do the work; the report says how it ended.

        Args:
            problems: what the survey met.
            early: batches that the pool has already.
            work: the rest.
        """
        try:
            for problem in problems:
                self._tell(problem)
            self._on_its_way.extend(early)
            for item in work:
                self._feed(item)
            while self._on_its_way:
                self._settle_oldest()
            if not self._finishing.needs_pool:
                self._compressing.end_pool()
            self._placer.end_run()
            self._orders.wait_until_safe(self._interrupted)
            self._finish_volumes()
            self._check_interrupt()
        except Interrupted:
            self._report.state = INTERRUPTED
        except (BackalaikaError, OSError, BrokenExecutor) as error:
            if self._interrupted():  # who stops a machine ends all of its processes
                self._report.state = INTERRUPTED
            else:
                lost = isinstance(error, BrokenExecutor)
                self._report.state = FAILED
                self._report.failure = WORKER_DIED if lost else str(error)
        finally:
            self._end()

    def _end(self) -> None:
        if self._report.state != COMPLETE:  # what is written is not to be written again when the run goes on
            with contextlib.suppress(RunError):  # the writer may be gone too, which is no news
                self._placer.sync()
        for finish in (self._orders.stop, self._finishing.stop, self._pass_on):
            try:
                finish()
            except RunError as error:
                self._report.state, self._report.failure = FAILED, self._report.failure or str(error)
        self._report.volumes.sort(key=lambda volume: volume.number)  # they are completed in any order
        if self._report.state != COMPLETE:
            self._report.unfinished = sorted([*partial_files(self._report.folder), *self._finishing.unfinished])

    # From work to tasks

    def _feed(self, work: Work) -> None:
        plan, piece = work.plan, work.piece
        if isinstance(piece, Problem):
            self._tell(piece)
        elif isinstance(piece, Batch):
            self._on_its_way.append(self._compressing.submit(plan, piece, self._free_slot()))
        elif isinstance(piece, Large):
            self._feed_large(plan, piece)
        else:
            self._on_its_way.append(_EndOfArchive(plan))

    def _feed_large(self, plan: ArchivePlan, large: Large) -> None:
        """Read a large file into slots and queue its pieces."""
        self._save_large(plan, large, self._slot_while, self._queue_chunk, self._on_its_way.append)

    def _save_large(
        self,
        plan: ArchivePlan,
        large: Large,
        slot: Callable[[LargeUnit], tuple[int, memoryview] | None],
        submit: Callable[[LargeUnit, ChunkTask], None],
        end: Callable[[_EndOfLarge], None],
    ) -> None:
        """Read a large file and submit its pieces; once more if it changed meanwhile."""
        path = os.path.join(large.directory, large.entry.name)
        for attempt in (1, 2):
            unit = None
            try:
                cut = self._cut_of(plan, large, path)
                reader = LargeReader(plan, large, self._new_hasher(), self._compressing.store_only, cut, self._turn)
                unit = reader.unit
                unit.lowest = self._superseded.get(large.directory, 0)
                try:
                    reader.skip(self._check_interrupt)
                    for task in reader.chunks(partial(slot, unit), self._slots.release):
                        submit(unit, task)
                    read = reader.finish()
                finally:
                    reader.close()
            except OSError as error:
                vanished = isinstance(error, FileNotFoundError)
                self._tell(Problem(path, (VANISHED if vanished else cannot_be_read(error)) + _parts_left(unit)))
                if unit is not None:
                    unit.dropped = True
                    end(_EndOfLarge(unit, None))
                return
            refused = unit.dropped
            again = bool(read.trouble) and attempt == 1 and not refused and not _parts_left(unit)
            unit.dropped = refused or again
            end(_EndOfLarge(unit, read))
            if not again:
                return

    def _my_turn(self) -> AbstractContextManager[None]:
        """Where the main process may read."""
        turns = self._compressing.turns
        assert turns is not None
        return turns.reading(turns.give(), self._look_after_pool)

    def _look_after_pool(self) -> None:
        """While the pool reads what comes before: one of its processes may have died there."""
        self._check_interrupt()
        for item in self._on_its_way:
            if isinstance(item, BatchOnItsWay | _ChunkOnItsWay) and item.future.done():
                item.future.result()

    def _cut_of(self, plan: ArchivePlan, large: Large, path: str) -> Cut | None:
        """How a file is to be cut, if it may have to be."""
        parts, offset = self._begun.get(path, (0, 0))
        fill = self._split_above is not None and large.entry.size > self._split_above
        if not fill and not parts and self._placer.surely_fits(plan, large.entry.size):
            return None
        return Cut(self._new_hasher, fill, parts, offset)

    def _slot_while(self, unit: LargeUnit) -> tuple[int, memoryview] | None:
        slot = self._free_slot()
        if unit.dropped:
            self._slots.release(slot)
            return None
        return slot, self._slots.view(slot)

    def _queue_chunk(self, unit: LargeUnit, task: ChunkTask) -> None:
        raw = self._raw(unit, task)
        future = self._pool.submit(compress_chunk, task)
        self._on_its_way.append(_ChunkOnItsWay(unit, task.slot, future, raw, task.padding))

    def _raw(self, unit: LargeUnit, task: ChunkTask) -> bytes:
        """A copy of what lies in the slot, if it may have to be cut: the worker overwrites it."""
        return b"" if unit.cut is None else bytes(self._slots.view(task.slot)[WINDOW : WINDOW + task.length])

    # From results to the writer

    def _free_slot(self) -> int:
        """A free slot; settles and waits until there is one."""
        while True:
            self._check_interrupt()
            self._orders.listen(block=False)
            self._pass_on()
            if self._finishing.one_by_one:
                self._finish_volumes()
            self._before_more()
            slot = self._slots.acquire()
            if slot is not None:
                return slot
            if any(isinstance(item, BatchOnItsWay | _ChunkOnItsWay) for item in self._on_its_way):
                self._settle_oldest()
            else:
                self._orders.listen(block=True)

    def _settle_oldest(self) -> None:
        item = self._on_its_way.popleft()
        match item:
            case BatchOnItsWay(plan, batch, slot, future):
                self._settle_batch(plan, batch, slot, self._wait(future))
            case _ChunkOnItsWay(unit, slot, future, raw, padding):
                self._settle_chunk(unit, slot, self._wait(future), raw, padding)
            case _EndOfLarge():
                self._settle_large(item)
            case _EndOfArchive(plan):
                self._placer.end_archive(plan)

    def _wait(self, future: Future[T]) -> T:
        return wait_for(future, self._interrupted)

    def _settle_batch(
        self, plan: ArchivePlan, batch: Batch, slot: int, done: BatchDone, start: int | Medium = 0
    ) -> None:
        lowest = max((self._superseded.get(piece.directory, 0) for piece in batch.slices), default=0)
        fit = self._placer.find(plan, done, start, lowest) if done.length else None
        if isinstance(fit, Fit) and not plan.archive_format.is_zip:
            again = relink(batch, fit.spot.archive.linked)
            if again is not None:
                self._place_again(plan, again, slot, fit.spot.place)
                return
        for problem in done.problems:
            self._tell(problem)
        if isinstance(fit, Fit):
            self._placer.add_batch(fit, slot, batch, done)
            self._count(batch, done)
            return
        self._slots.release(slot)
        if isinstance(fit, TooLarge):
            for piece in batch.slices:
                for entry in piece.entries:
                    self._tell(too_large_problem(os.path.join(piece.directory, entry.name), fit))

    def _count(self, batch: Batch, done: BatchDone) -> None:
        self._report.files += done.files
        self._report.bytes += done.content
        last = batch.slices[-1]
        self._observer.advance(done.files, done.content, os.path.join(last.directory, last.entries[-1].name))

    def _place_again(self, plan: ArchivePlan, batch: Batch, slot: int, start: int | Medium) -> None:
        """Compress a batch once more, its hard links bent, one piece after another in the slot it has.

        The first piece goes nowhere before ``start``, for which the links were bent; else a frame that grows by that
        and shrinks again where the links are right might be sent to and fro for ever.
        """
        held: int | None = slot
        for piece in rebatch(batch, plan.archive_format):
            if held is None:
                held = self._same_slot(slot)
            if isinstance(piece, Batch):
                done = self._wait(self._compressing.submit(plan, piece, slot).future)
                self._settle_batch(plan, piece, slot, done, start)
            else:
                self._slots.release(slot)
                self._place_large_now(plan, piece, slot)
            held, start = None, 0
        if held is not None:
            self._slots.release(slot)

    def _same_slot(self, slot: int) -> int:
        """Take back a slot as soon as the writer has emptied it; no other is waited for, for all may be behind it."""
        while not self._slots.take(slot):
            self._check_interrupt()
            self._orders.listen(block=True)
        return slot

    def _place_large_now(self, plan: ArchivePlan, large: Large, slot: int) -> None:
        def take(unit: LargeUnit) -> tuple[int, memoryview] | None:
            return None if unit.dropped else (self._same_slot(slot), self._slots.view(slot))

        def submit(unit: LargeUnit, task: ChunkTask) -> None:
            raw = self._raw(unit, task)
            done = self._wait(self._pool.submit(compress_chunk, task))
            self._settle_chunk(unit, slot, done, raw, task.padding)

        self._save_large(plan, large, take, submit, self._settle_large)

    def _settle_chunk(self, unit: LargeUnit, slot: int, done: ChunkDone, raw: bytes, padding: int) -> None:
        if unit.dropped:
            self._slots.release(slot)
            return
        if unit.cut is None:
            refused = self._placer.add_chunk(unit, slot, done)
            if refused:
                self._slots.release(slot)
        elif self._placer.add_piece(unit, slot, done, raw):
            refused = None
        else:
            self._slots.release(slot)
            refused = self._placer.cut(unit, raw, padding)
        if refused:
            unit.dropped = True
            self._tell(too_large_problem(unit.source, refused))
            return
        self._report.bytes += done.content
        self._observer.advance(0, done.content, unit.source)

    def _settle_large(self, end: _EndOfLarge) -> None:
        unit, read = end.unit, end.read
        if unit.dropped or read is None:
            lost = self._placer.drop_large(unit)
            self._report.bytes -= lost
            self._observer.advance(0, -lost, unit.source)
            return
        self._placer.end_large(unit, read.entry, read.digest, read.crc32)
        self._report.files += 1
        self._observer.advance(1, 0, unit.source)
        if read.trouble:
            self._tell(Problem(unit.source, read.trouble))
        names = trouble_with_names(unit.source, unit.cut.parts) if unit.cut and unit.cut.parts > 1 else ""
        if names:
            self._tell(Problem(unit.source, names))

    # Telling

    def _tell(self, problem: Problem) -> None:
        self._report.problems.append(problem)
        self._observer.problem(problem)
        self._record(rows.Problems([problem]))

    def _pass_on(self) -> None:
        """Let the catalogue and the hooks know what is safe."""
        while self._orders.safe:
            record = self._orders.safe.popleft()
            if isinstance(record, rows.VolumeComplete):
                self._finishing.add(self._placer.closed.pop(record.volume))
            else:
                self._record(record)
        try:
            for volume in self._finishing.done(self._orders.on_full):
                self._complete(volume)
        except DamageError as error:
            self._report.problems += error.problems
            raise

    def _complete(self, volume: VolumeDone) -> None:
        self._record(rows.VolumeComplete(volume.number, volume.size, volume.verified_at_ns))
        failed = self._wait_until_recorded()
        self._report.volumes.append(volume)
        self._report.archive_bytes += volume.size
        self._observer.volume(volume)
        self._on_volume(volume)
        if failed is not None:
            raise failed

    def _finish_volumes(self) -> None:
        """Wait until all volumes that the writer has completed are finished."""
        self._pass_on()
        while self._finishing.busy:
            self._check_interrupt()
            self._finishing.wait()
            self._pass_on()

    def _wait_until_recorded(self) -> RunError | None:
        """A volume may be burnt when it is told: then the catalogue must have it, whatever happens to the run.

        Returns:
            What the writer failed at meanwhile, to be raised when the volume was told.
        """
        failed: RunError | None = None
        while not self._is_recorded():
            if self._orders.ended or failed is not None:
                time.sleep(_POLL_S)
                continue
            try:
                self._orders.listen(block=True, timeout_s=_POLL_S)
            except RunError as error:
                failed = error
        return failed

    def _check_interrupt(self) -> None:
        if self._interrupted():
            raise Interrupted


def _parts_left(unit: LargeUnit | None) -> str:
    """What is to be said of the parts that are saved of a file that cannot be saved; empty if there are none."""
    if unit is None or unit.cut is None or not unit.cut.parts:
        return ""
    return f"; {unit.cut.parts} parts of it are saved, which are of no use alone"

"""Work: what a run has to do, as batches and large files of one archive after another.

Lazy, so that memory does not grow with the number of files; and apart from the run itself, so that the pool can be
given its first batches while the catalogue is still being opened and the user reads what is going to be done.
"""

from __future__ import annotations

import itertools
import os
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from concurrent.futures import TimeoutError as NotDone
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TypeVar

from ..batch import Batch, Large, make_batches
from ..errors import RunError
from ..formats import ArchiveFormat
from ..survey import Found, Survey, distinct_name
from ..walk import DIRECTORY, Directory, Problem
from .messages import BatchDone, BatchTask
from .pool import stop_pool
from .sizes import ArchivePlan
from .slots import Slots
from .turns import Turns
from .worker import compress_batch

T = TypeVar("T")
WORKER_DIED = "a worker process died; is there enough memory? Try fewer --workers"
# Bytes that a member needs on a volume besides its content: headers, padding, manifest. Most need less.
_MOST_OVERHEAD = 4096
Selection = Callable[[Survey, Found], Iterable[Directory]]
"""What is to be saved of a source, as a survey has it."""


@dataclass(frozen=True, slots=True)
class Work:
    """The next piece of an archive; None: the archive has all."""

    plan: ArchivePlan
    piece: Batch | Large | Problem | None


@dataclass(slots=True)
class BatchOnItsWay:
    """A batch that the pool has."""

    plan: ArchivePlan
    batch: Batch
    slot: int
    future: Future[BatchDone]


@dataclass(slots=True)
class Compressing:
    """What compressing needs to know: the pool, the slots, the digest, what a zip stores, and who may read when."""

    pool: Executor
    slots: Slots
    digest: str
    store_only: frozenset[str]
    turns: Turns | None = None
    ending: threading.Thread | None = None

    def submit(self, plan: ArchivePlan, batch: Batch, slot: int) -> BatchOnItsWay:
        """Give a batch to the pool, to be compressed into a slot."""
        turn = None if self.turns is None else self.turns.give()
        task = BatchTask(batch, plan.archive_format, self.digest, self.store_only, slot, turn)
        return BatchOnItsWay(plan, batch, slot, self.pool.submit(compress_batch, task))

    def end_pool(self) -> None:
        """Let the pool's processes end while what they have compressed is being written; nothing more will come."""
        self.ending = threading.Thread(target=self.pool.shutdown, name="backalaika-pool-end")
        self.ending.start()

    def stop_pool(self, at_once: bool) -> None:
        """End the pool's processes, or wait for their end if it has begun: no executor is shut down twice at once."""
        if self.ending is None:
            stop_pool(self.pool, at_once)
        else:
            self.ending.join()


class Interrupted(Exception):  # noqa: N818 - not an error
    """The user wants to stop."""


def wait_for(future: Future[T], interrupted: Callable[[], bool]) -> T:
    """The result of a task.

    Raises:
        Interrupted: the user wants to stop, and the task is not done.
        BrokenExecutor: a process of the pool died.
        RunError: the task failed, for want of memory or by a mistake of ours.
    """
    while True:
        try:
            return future.result(timeout=0.2)
        except NotDone:
            if interrupted():
                raise Interrupted from None
        except (BrokenExecutor, CancelledError):
            raise
        except Exception as error:
            raise RunError(f"compressing failed: {type(error).__name__}: {error}; try fewer --workers") from error


def plan_work(
    survey: Survey, formats: tuple[ArchiveFormat, ...], selections: Sequence[Selection], capacity: int | None
) -> Iterator[Work]:
    """All work of a run, in order.

    In the order of the tree, if all surely fits on the first volume: then the order does not matter, and the first
    batch is there at once. Else the large files of all sources come first, by decreasing size, and the rest in
    the order of the tree fills what they leave.

    Args:
        survey: what was found.
        formats: one for each source.
        selections: each is asked once for each source, and the next sees what the one before lets through.
        capacity: bytes of the first volume; None: keep the order of the tree, so that volumes are soon complete.
    """
    in_order = _in_tree_order
    if capacity is not None and survey.bytes + survey.files * _MOST_OVERHEAD > capacity:
        in_order = _large_first
    with ExitStack() as kept:
        for select in selections:
            survey = kept.enter_context(survey.selected(select))
        yield from in_order(survey, formats)


def _in_tree_order(survey: Survey, formats: tuple[ArchiveFormat, ...]) -> Iterator[Work]:
    taken: set[str] = set()
    for number, found in enumerate(survey.sources):
        for plan, part in _archives(number, found, formats[number], survey.directories(found), taken):
            yield from (Work(plan, piece) for piece in _batches(plan, found, part))
            yield Work(plan, None)


def _large_first(survey: Survey, formats: tuple[ArchiveFormat, ...]) -> Iterator[Work]:
    """Files of more than ``large_size`` by decreasing size, and then all else; some passes over the survey.

    The directories of a zip come before its files, for unzip leaves a directory as it is that it had to make for a
    file. (tar does not.)
    """
    large = [
        Work(plan, piece)
        for plan, found, part in _all_archives(survey, formats)
        for piece in _batches(plan, found, _worth_a_look(part, plan.archive_format))
        if _comes_first(piece, plan)
    ]
    begun = {work.plan for work in large if work.plan.archive_format.is_zip}
    sources = {plan.source for plan in begun}
    for plan, found, part in _all_archives(survey, formats) if begun else ():
        if plan in begun or plan.source in sources:
            sources.discard(plan.source)  # its first archive has the top directory
            begun.add(plan)
            yield from (Work(plan, piece) for piece in _batches(plan, found, _only(part, directories=True)))
    large.sort(key=_negative_size)
    yield from large
    large.clear()
    twice = zip(_all_archives(survey, formats), _all_archives(survey, formats), strict=True)
    for (plan, found, part), (_, _, again) in twice:
        pieces = _batches(plan, found, part)
        if plan.archive_format.is_zip:
            first = () if plan in begun else _batches(plan, found, _only(part, directories=True))
            pieces = itertools.chain(first, _batches(plan, found, _only(again, directories=False)))
        yield from (Work(plan, piece) for piece in pieces if not _comes_first(piece, plan))
        yield Work(plan, None)


def _all_archives(
    survey: Survey, formats: tuple[ArchiveFormat, ...]
) -> Iterator[tuple[ArchivePlan, Found, Iterable[Directory]]]:
    taken: set[str] = set()
    for number, found in enumerate(survey.sources):
        for plan, part in _archives(number, found, formats[number], survey.directories(found), taken):
            yield plan, found, part


def _batches(plan: ArchivePlan, found: Found, part: Iterable[Directory]) -> Iterator[Batch | Large | Problem]:
    return make_batches(part, found.source.path, found.label, plan.archive_format)


def _negative_size(work: Work) -> int:
    assert isinstance(work.piece, Large)
    return -work.piece.entry.size


def _only(part: Iterable[Directory], directories: bool) -> Iterator[Directory]:
    """The directories themselves, or all that lies in them."""
    for path, entries in part:
        some = [entry for entry in entries if (entry.kind == DIRECTORY) is directories]
        if some:
            yield Directory(path, some)


def _comes_first(piece: Batch | Large | Problem | None, plan: ArchivePlan) -> bool:
    return isinstance(piece, Large) and piece.entry.size > plan.archive_format.large_size


def _worth_a_look(directories: Iterable[Directory], archive_format: ArchiveFormat) -> Iterator[Directory]:
    """Large files, and all of several links, because which of them is the file is decided by their order."""
    for path, entries in directories:
        few = [entry for entry in entries if entry.size > archive_format.large_size or entry.key is not None]
        if few:
            yield Directory(path, few)


def start_early(work: Iterator[Work], compressing: Compressing) -> tuple[deque[BatchOnItsWay], Iterator[Work]]:
    """Give the pool its first batches, as many as there are slots; nothing is written.

    Returns:
        The batches on their way, and the rest of the work.

    Raises:
        RunError: a process of the pool died.
    """
    early: deque[BatchOnItsWay] = deque()
    for item in work:
        slot = compressing.slots.acquire() if isinstance(item.piece, Batch) else None
        if slot is None:
            return early, itertools.chain([item], work)
        assert isinstance(item.piece, Batch)
        try:
            early.append(compressing.submit(item.plan, item.piece, slot))
        except BrokenExecutor:
            raise RunError(WORKER_DIED) from None
    return early, work


def _archives(
    number: int, found: Found, archive_format: ArchiveFormat, directories: Iterable[Directory], taken: set[str]
) -> Iterator[tuple[ArchivePlan, Iterable[Directory]]]:
    """The archives of a source: one, or with ``separate_dirs`` one for each subfolder and one for loose files."""
    if not found.source.separate_dirs:
        stem = distinct_name(archive_stem(found.label), taken)
        yield ArchivePlan(number, stem, archive_format), directories
        return
    for top, part in itertools.groupby(directories, lambda directory: directory.path.split(os.sep, 1)[0]):
        if not top:
            loose = [directory for directory in part if any(entry.kind != DIRECTORY for entry in directory.entries)]
            if not loose:
                continue
            part = iter(loose)
        stem = distinct_name(archive_stem(top or found.label), taken)
        yield ArchivePlan(number, stem, archive_format), part


def archive_stem(name: str) -> str:
    """A name for an archive that any disc and system can have, from that of a folder.

    Control characters, what Windows forbids, the brackets that unzip takes for a pattern, and bytes that are not UTF-8
    become ``_``; dots at both ends go, so that the archive is not hidden; at most 150 bytes are kept.
    """
    safe = re.sub(r'[\x00-\x1f\x7f<>:"/\\|?*\[\]\udc80-\udcff]', "_", name).strip(". ") or "_"
    return safe.encode("utf-8", "replace")[:150].decode("utf-8", "ignore").rstrip(". ")

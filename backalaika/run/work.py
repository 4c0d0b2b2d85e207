"""Work: what a run has to do, as batches and large files of one archive after another.

Lazy, so that memory does not grow with the number of files; and apart from the run itself, so that the pool can be
given its first batches while the catalogue is still being opened and the user reads what is going to be done.
"""

from __future__ import annotations

import itertools
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from concurrent.futures import TimeoutError as NotDone
from dataclasses import dataclass
from typing import TypeVar

from ..batch import Batch, Large, make_batches
from ..errors import RunError
from ..formats import ArchiveFormat
from ..survey import Found, Survey, distinct_name
from ..walk import DIRECTORY, Directory, Problem
from .messages import BatchDone, BatchTask
from .sizes import ArchivePlan
from .slots import Slots
from .worker import compress_batch

T = TypeVar("T")
WORKER_DIED = "a worker process died; is there enough memory? Try fewer --workers"
Selection = Callable[[Iterable[Directory], Found], Iterable[Directory]]


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


@dataclass(frozen=True, slots=True)
class Compressing:
    """What compressing needs to know: the pool, the slots, the digest, and which extensions a zip stores."""

    pool: Executor
    slots: Slots
    digest: str
    store_only: frozenset[str]

    def submit(self, plan: ArchivePlan, batch: Batch, slot: int) -> BatchOnItsWay:
        """Give a batch to the pool, to be compressed into a slot."""
        task = BatchTask(batch, plan.archive_format, self.digest, self.store_only, slot)
        return BatchOnItsWay(plan, batch, slot, self.pool.submit(compress_batch, task))


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


def plan_work(survey: Survey, formats: tuple[ArchiveFormat, ...], select: Selection) -> Iterator[Work]:
    """All work of a run, in order.

    Args:
        survey: what was found.
        formats: one for each source.
        select: lets through what is to be saved of the directories of a source.
    """
    taken: set[str] = set()
    for number, found in enumerate(survey.sources):
        directories = select(survey.directories(found), found)
        for plan, part in _archives(number, found, formats[number], directories, taken):
            for piece in make_batches(part, found.source.path, found.label, plan.archive_format):
                yield Work(plan, piece)
            yield Work(plan, None)


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

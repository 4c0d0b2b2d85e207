"""Sampling: how well the files of a source compress, told by a few megabytes of them.

Spread evenly over the content, some pieces are compressed just as a run would, and each speaks for what lies between it
and the next. Small files and large ones are kept apart, for large ones are often films; a large file of which a piece
was taken speaks for itself too.
"""

from __future__ import annotations

import os
from collections import defaultdict

from .. import manifest
from ..batch import Batch, Large
from ..formats import ArchiveFormat
from ..survey import Survey
from ..walk import FILE, open_file_in
from .framing import stores_only
from .memory import attach_block
from .messages import BatchTask
from .slots import Slots, make_slots, slot_size
from .work import Work
from .worker import attach_slots, compress_batch, compress_piece, read_fully

# Samples of a source, and bytes of each. 12 MB: 0.1 s to compress as zst, 4 s as xz.
_SAMPLES = 48
_SAMPLE = 256 * 1024


class Sampler:
    """Compresses some of the pieces that it is shown; a context manager that owns the memory for it.

    Args:
        survey: tells how much there is of each source.
        formats: one for each source.
        digest: of the job.
        store_only: extensions that a zip stores.

    Attributes:
        bytes: of content that were compressed.
    """

    def __init__(
        self, survey: Survey, formats: tuple[ArchiveFormat, ...], digest: str, store_only: frozenset[str]
    ) -> None:
        self.bytes = 0
        self._steps = [max(found.bytes // _SAMPLES, 1) for found in survey.sources]
        self._seen = [0] * len(formats)
        self._next = [0] * len(formats)
        # By source and whether they are large files: compressed bytes by content, weighted; and the weights.
        self._ratios: dict[tuple[int, bool], list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._digest = digest
        self._store_only = store_only
        self._slots: Slots = make_slots(0, slot_size(list(formats)))
        attach_slots(attach_block(self._slots.name), self._slots.size)

    def close(self) -> None:
        """Free the memory."""
        self._slots.close()

    def look(self, work: Work, content: int) -> float | None:
        """See a piece of work with so many bytes of content; its own ratio if it is a large file and was a sample.

        Each source's pieces come with all of their content, in the order of the run.
        """
        source, piece = work.plan.source, work.piece
        self._seen[source] += content
        if not content or self._seen[source] <= self._next[source]:
            return None
        steps = 1 + (self._seen[source] - self._next[source]) // self._steps[source]
        self._next[source] += steps * self._steps[source]
        large = isinstance(piece, Large)
        # The size of a large file says nothing of the others.
        weight = 1 if large else steps
        ratio = None
        try:
            if isinstance(piece, Batch):
                ratio = self._ratio_of_batch(work.plan.archive_format, piece)
            elif isinstance(piece, Large):
                ratio = self._ratio_of_large(work.plan.archive_format, piece)
        except OSError:  # the run will tell
            return None
        if ratio is None:
            return None
        total = self._ratios[source, large]
        total[0] += ratio * weight
        total[1] += weight
        return ratio if large else None

    def ratio(self, source: int, large: bool) -> float:
        """Bytes on a volume by bytes of content of a source's pieces; 1 if none was a sample."""
        ratios, weights = self._ratios[source, large]
        return ratios / weights if weights else 1.0

    def _ratio_of_batch(self, archive_format: ArchiveFormat, batch: Batch) -> float | None:
        some = Batch()
        for directory, prefix, entries in batch.slices:
            for entry in entries:
                if not some.size and entry.size > _SAMPLE and entry.kind == FILE:
                    return self._ratio_of_large(archive_format, Large(directory, prefix, entry))
                if some.size + entry.size <= _SAMPLE:
                    some.add(directory, prefix, entry, entry.size)
        done = compress_batch(BatchTask(some, archive_format, self._digest, self._store_only, 0))
        content = done.content
        self.bytes += content
        if not content:
            return None
        lines = manifest.manifest_piece(done.manifest, "sample.001", 0)
        return (done.length + len(done.central) + len(lines)) / content

    def _ratio_of_large(self, archive_format: ArchiveFormat, large: Large) -> float | None:
        """Of a piece in the middle: a file's beginning is often not like the rest."""
        descriptor = open_file_in(large.directory, large.entry.name)
        try:
            os.lseek(descriptor, max(large.entry.size - _SAMPLE, 0) // 2, os.SEEK_SET)
            size = read_fully(descriptor, place := memoryview(bytearray(_SAMPLE)))
        finally:
            os.close(descriptor)
        self.bytes += size
        if not size:
            return None
        stored = archive_format.is_zip and stores_only(large.entry.name, self._store_only)
        return len(compress_piece(archive_format, place[:size], 0, stored)) / size

"""Slots: one block of shared memory, cut into places where frames lie between the processes.

A frame is taken from its slot by the writer and never crosses a pipe. There are a few more slots than workers: while
one slot a worker is being filled, another waits to be written. When all are taken, the producer waits; that bounds
memory, whatever the size of the files.
"""

from __future__ import annotations

from ..errors import RunError
from ..formats import ArchiveFormat
from ..formats.zip import WINDOW
from .memory import Block, make_block

# An incompressible frame grows by less than an eighth in any codec (bzip2: 1 % and 600 bytes); headers come on top.
SLACK = 64 * 1024


def frame_limit(archive_format: ArchiveFormat) -> int:
    """The most bytes before compression that a worker may put in one frame."""
    return max(archive_format.frame_size, archive_format.large_size) + SLACK


def slot_size(formats: list[ArchiveFormat]) -> int:
    """Bytes of a slot that holds any frame of these formats, and any chunk with its window before it."""
    limit = max(frame_limit(archive_format) for archive_format in formats)
    return WINDOW + limit + limit // 8 + SLACK


def make_slots(workers: int, size: int) -> Slots:
    """Two slots for each worker, one being filled and one waiting its turn to be written, and two being written.

    More would be filled before the run may write; but memory that is touched for the first time costs more than it
    gains: 0.1 s of CPU time for 70 MB.

    Raises:
        RunError: there is too little shared memory.
    """
    count = 2 * workers + 2
    try:
        return Slots(count, size)
    except OSError as error:
        raise RunError(
            f"shared memory: {workers} workers need {count * size:,} bytes: {error.strerror or error}; "
            "give fewer --workers"
        ) from None


class Slots:
    """The slots, as their owner has them; other processes attach by ``name``."""

    def __init__(self, count: int, size: int) -> None:
        self.size = size
        self.bytes = count * size
        self._memory = make_block(count * size)
        self.name = self._memory.name
        self._free = list(range(count))

    def acquire(self) -> int | None:
        """A free slot, or None while all are taken."""
        return self._free.pop() if self._free else None

    def take(self, slot: int) -> bool:
        """Acquire this very slot; False while it is taken."""
        try:
            self._free.remove(slot)
        except ValueError:
            return False
        return True

    def release(self, slot: int) -> None:
        """Give back a slot whose content is written or not wanted."""
        self._free.append(slot)

    def view(self, slot: int) -> memoryview:
        """The bytes of a slot."""
        return slot_view(self._memory, slot, self.size)

    def close(self) -> None:
        """Free the memory; the last one to leave does."""
        self._memory.close()
        self._memory.unlink()


def slot_view(memory: Block, slot: int, size: int) -> memoryview:
    """The bytes of a slot in attached memory."""
    assert memory.buf is not None
    return memory.buf[slot * size : (slot + 1) * size]

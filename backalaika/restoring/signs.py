"""Signs: since when each process of a restore waits for its medium, in memory that the main process looks at.

A drive that cannot read a sector, or a share that is gone, keeps who asks it, and no signal ends that. So a process
notes when it begins to wait and that it has what it asked for, which costs a microsecond a piece. For how long it has
waited the main process counts itself, from look to look: a computer or a command that was stopped looks at nothing,
and so does not take what it slept for a medium that hangs.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable

from ..run.memory import Block, attach_block, make_block

# Since when it waits; files and bytes that it has restored so far.
_SLOT = struct.Struct("<dqq")
_SINCE, _DONE = struct.Struct("<d"), struct.Struct("<qq")
# What a look counts at most, for the main process may have been stopped since the one before.
_MOST_S = 1.0


class Signs:
    """Slots, one for each task that is at work.

    Args:
        slots: how many.
        clock: tells seconds.
    """

    def __init__(self, slots: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._block = make_block(slots * _SLOT.size)
        self._free = list(range(slots))
        self._clock, self._looked = clock, clock()
        # Of each slot that is taken: when what it waits for began, and for how long that was seen to last.
        self._seen: dict[int, tuple[float, float]] = {}

    @property
    def name(self) -> str:
        """What `Watch.attach` takes, in any process of this computer."""
        return self._block.name

    def take(self) -> int:
        """A slot for a task."""
        slot = self._free.pop()
        _SLOT.pack_into(_bytes_of(self._block), slot * _SLOT.size, 0.0, 0, 0)
        self._seen[slot] = 0.0, 0.0
        return slot

    def give_back(self, slot: int) -> None:
        """The task is done."""
        del self._seen[slot]
        self._free.append(slot)

    def waited(self) -> dict[int, float]:
        """For how many seconds the task of each slot has waited for the medium; to be called often."""
        now = self._clock()
        more = min(now - self._looked, _MOST_S)
        self._looked = now
        for slot, (before, waited_s) in self._seen.items():
            (since,) = _SINCE.unpack_from(_bytes_of(self._block), slot * _SLOT.size)
            self._seen[slot] = since, waited_s + more if since and since == before else 0.0
        return {slot: waited_s for slot, (_, waited_s) in self._seen.items()}

    def done(self, slot: int) -> tuple[int, int]:
        """Files and bytes that the task of a slot says it has restored so far; most say nothing until their end."""
        files, size = _DONE.unpack_from(_bytes_of(self._block), slot * _SLOT.size + _SINCE.size)
        return files, size

    def close(self) -> None:
        """All processes have ended, or need them no more."""
        self._block.close()
        self._block.unlink()


class Watch:
    """What a process notes in the slot of its task, if it has one. A context in which the medium is waited for."""

    _block: Block | None = None

    @classmethod
    def attach(cls, name: str) -> None:
        """Find the slots, once in each process; the empty name has none, and then nothing is noted."""
        cls._block = attach_block(name) if name else None

    def __init__(self, slot: int | None = None) -> None:
        self._buffer = None if self._block is None or slot is None else _bytes_of(self._block)
        self._at = (slot or 0) * _SLOT.size

    def __enter__(self) -> None:
        if self._buffer is not None:
            _SINCE.pack_into(self._buffer, self._at, time.monotonic())

    def __exit__(self, *exc_info: object) -> None:
        if self._buffer is not None:
            _SINCE.pack_into(self._buffer, self._at, 0.0)

    def has_done(self, files: int, size: int) -> None:
        """Note how much the task has restored so far."""
        if self._buffer is not None:
            _DONE.pack_into(self._buffer, self._at + _SINCE.size, files, size)


def _bytes_of(block: Block) -> memoryview:
    assert block.buf is not None
    return block.buf

"""Signs: since when each process of a restore waits for its medium, in memory that the main process looks at.

A drive that cannot read a sector, or a share that is gone, keeps who asks it, and no signal ends that. So a process
notes when it begins to wait and that it has what it asked for, which costs a microsecond a piece. All processes of a
computer have one monotonic clock.
"""

from __future__ import annotations

import os
import struct
import time

from ..run.memory import Block, attach_block, make_block

_SLOT = struct.Struct("<qd")


class Signs:
    """Slots, one for each task that is at work."""

    def __init__(self, slots: int) -> None:
        self._block = make_block(slots * _SLOT.size)
        self._free = list(range(slots))

    @property
    def name(self) -> str:
        """What `Watch.attach` takes, in any process of this computer."""
        return self._block.name

    def take(self) -> int:
        """A slot for a task."""
        slot = self._free.pop()
        _SLOT.pack_into(_bytes_of(self._block), slot * _SLOT.size, 0, 0.0)
        return slot

    def give_back(self, slot: int) -> None:
        """The task is done."""
        self._free.append(slot)

    def look(self, slot: int) -> tuple[int, float]:
        """The process that is at the task, 0 for none yet; and for how many seconds it has waited for the medium."""
        pid, since = _SLOT.unpack_from(_bytes_of(self._block), slot * _SLOT.size)
        return pid, time.monotonic() - since if since else 0.0

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
        self._at, self._pid = (slot or 0) * _SLOT.size, os.getpid()
        self.__exit__()

    def __enter__(self) -> None:
        if self._buffer is not None:
            _SLOT.pack_into(self._buffer, self._at, self._pid, time.monotonic())

    def __exit__(self, *exc_info: object) -> None:
        if self._buffer is not None:
            _SLOT.pack_into(self._buffer, self._at, self._pid, 0.0)


def _bytes_of(block: Block) -> memoryview:
    assert block.buf is not None
    return block.buf

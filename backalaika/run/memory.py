"""Memory: a block of bytes that the processes of a run share.

On Linux it is a file without a name (``memfd_create(2)``): it is gone with the last process that uses it, even if all
are killed, and no limit of /dev/shm holds for it. Other processes open it through its owner's descriptor, as long as
the owner lives. Elsewhere it is what `multiprocessing` offers.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from typing import Protocol

_OWNERS_FILES = "/proc/{}/fd/{}"


class Block(Protocol):
    """Shared bytes; ``name`` is for those who attach."""

    @property
    def name(self) -> str:
        """What `attach_block` takes, in any process of this machine."""

    @property
    def buf(self) -> memoryview | None:
        """The bytes."""

    def close(self) -> None:
        """Use it no more in this process."""

    def unlink(self) -> None:
        """Free it, once, in the process that made it."""


class _Unnamed:
    """A file without a name, mapped; ``owned`` is its descriptor where it was made."""

    def __init__(self, descriptor: int, size: int, name: str, owned: bool) -> None:
        self.name = name
        self._owned = descriptor if owned else None
        self._map = mmap.mmap(descriptor, size)
        self.buf = memoryview(self._map)

    def close(self) -> None:
        # Whoever still looks at a piece of it keeps the map; the process's end frees it.
        with contextlib.suppress(BufferError):
            self.buf.release()
            self._map.close()

    def unlink(self) -> None:
        if self._owned is not None:
            os.close(self._owned)
            self._owned = None


def make_block(size: int) -> Block:
    """New shared memory of ``size`` bytes.

    Raises:
        OSError: there is too little.
    """
    if not hasattr(os, "memfd_create"):
        from multiprocessing import shared_memory  # which loads all of OpenSSL

        return shared_memory.SharedMemory(create=True, size=size)
    descriptor = os.memfd_create("backalaika")
    try:
        os.ftruncate(descriptor, size)
        return _Unnamed(descriptor, size, _OWNERS_FILES.format(os.getpid(), descriptor), owned=True)
    except BaseException:
        os.close(descriptor)
        raise


def attach_block(name: str) -> Block:
    """The block of this name, in another process than the one that made it, or once more in that one."""
    if not name.startswith("/proc/"):
        from multiprocessing import shared_memory

        return shared_memory.SharedMemory(name)
    descriptor = os.open(name, os.O_RDWR)
    try:
        return _Unnamed(descriptor, os.fstat(descriptor).st_size, name, owned=False)
    finally:
        os.close(descriptor)

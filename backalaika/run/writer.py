"""Writer: the one process that owns every output file.

It does what it is told, in order: open, append a slot, append bytes, move, patch, close. All decisions are made where
the orders come from, so nothing is asked back; it answers only that slots are free again and that bytes are safe. An
archive is written as ``NAME.partial`` and renamed when it is complete and synced; files are for their owner only.

The XXH3-128 of an archive is taken from the bytes as they are appended. What may still be patched or taken away (the
frames of a large file) is left out and read back, from the page cache, once it is settled.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from io import FileIO
from multiprocessing.connection import Connection
from typing import IO, Any

import xxhash

from .. import manifest
from ..formats.zip import end_of_central_directory
from .memory import attach_block
from .patience import DiskFull, Inbox, StopWaitingError, patiently
from .slots import slot_view

PARTIAL = ".partial"
# Beside a zip that is being written: the entries of its central directory so far.
CENTRAL = ".directory" + PARTIAL
_COPY_SIZE = 4 << 20
# Synced piece by piece while the workers compress, so that nobody waits for a whole volume at its end.
_SYNC_SIZE = 16 << 20
# Files that are open at once: many systems let a process have 256.
MOST_OPEN = 100


@dataclass(frozen=True, slots=True)
class SlotFree:
    """The content of a slot is written."""

    slot: int


@dataclass(frozen=True, slots=True)
class Safe:
    """All orders up to the one with this number are carried out, and their bytes are synced."""

    number: int


@dataclass(frozen=True, slots=True)
class ArchiveSafe:
    """An archive is complete, synced and has its name; ``digest`` is the XXH3-128 of its ``size`` bytes.

    As with `Safe`, so is all that was ordered before.
    """

    number: int
    archive: int
    size: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class VolumeSafe:
    """A volume is complete and synced, with all that was ordered before; ``size`` is the sum of all its files."""

    number: int
    volume: int
    size: int


@dataclass(frozen=True, slots=True)
class WriteFailed:
    """An order could not be carried out; none after it was."""

    message: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The writer's last answer: so many orders were carried out, and their bytes are synced."""

    orders: int


Answer = SlotFree | Safe | ArchiveSafe | VolumeSafe | DiskFull | WriteFailed | Ended


class _Open:
    """Which archives have their files open: those used last, for a system lets a process have some hundred."""

    def __init__(self) -> None:
        self._archives: OrderedDict[_Archive, None] = OrderedDict()
        # Those that were written to since they were synced last.
        self.unsynced: dict[_Archive, None] = {}
        # Whether a sync failed: what the system could not write may be lost to it, though the next sync succeeds.
        self.lost = False

    def use(self, archive: _Archive) -> None:
        """This one is used now."""
        self._archives[archive] = None
        self._archives.move_to_end(archive)
        if len(self._archives) > MOST_OPEN:
            self._archives.popitem(last=False)[0].rest()

    def sync(self, file: IO[bytes] | FileIO) -> None:
        """Make what was written to a file safe."""
        try:
            os.fsync(file.fileno())
        except OSError:
            self.lost = True
            raise

    def forget(self, archive: _Archive) -> None:
        """This one's file is closed."""
        self._archives.pop(archive, None)


class _Archive:
    """An archive being written; one that is there already, of ``size`` bytes, is gone on with."""

    def __init__(
        self, path: str, opened: _Open, size: int | None = None, central_size: int = 0, central_entries: int = 0
    ) -> None:
        self.path = path
        self._opened = opened
        mode = "x+" if size is None else "r+"
        self._file: FileIO | None = patiently(lambda: FileIO(path + PARTIAL, mode, opener=private_opener))
        opened.use(self)
        self.size = size or 0
        self._hash = xxhash.xxh3_128()
        self._hashed = 0
        self._unsynced = 0
        self._central: IO[bytes] | None = None
        self.central_size = central_size
        self.central_entries = central_entries
        self.settle()

    @property
    def file(self) -> FileIO:
        """Its file, at its end unless it was moved; opened again if it rests."""
        if self._file is None:
            self._file = FileIO(self.path + PARTIAL, "r+")
            self._file.seek(self.size)
        self._opened.use(self)
        return self._file

    def rest(self) -> None:
        """Close its files until they are used again; what was written is synced, for `sync` will not see it."""
        self.sync()
        if self._file is not None:
            self._file.close()
        if self._central is not None:
            self._central.close()
        self._file, self._central, self._unsynced = None, None, 0
        self._opened.forget(self)

    def sync(self) -> None:
        """Make what was written safe."""
        if self not in self._opened.unsynced:
            return
        if self._file is not None:
            self._opened.sync(self._file)
        if self._central is not None:
            self._opened.sync(self._central)
        del self._opened.unsynced[self]

    def append(self, data: bytes | memoryview, settled: bool) -> None:
        self._opened.unsynced[self] = None
        write_all(self.file, data)
        if settled and self._hashed == self.size:
            self._hash.update(data)
            self._hashed += len(data)
        self.size += len(data)
        self._unsynced += len(data)
        if self._unsynced >= _SYNC_SIZE:
            self._opened.sync(self.file)
            self._unsynced = 0

    def settle(self) -> None:
        """What was appended stays as it is: take its hash."""
        self.file.seek(self._hashed)
        while self._hashed < self.size and (piece := self.file.read(_COPY_SIZE)):
            self._hash.update(piece)
            self._hashed += len(piece)

    def truncate(self, size: int) -> None:
        self._opened.unsynced[self] = None
        self.file.truncate(size)
        self.file.seek(size)
        self.size = size

    def patch(self, offset: int, data: bytes) -> None:
        self._opened.unsynced[self] = None
        self.file.seek(offset)
        write_all(self.file, data)
        self.file.seek(self.size)

    def replace(self, offset: int, length: int, data: bytes) -> None:
        """Put ``data`` in place of ``length`` bytes; what comes after them is moved if it has another length."""
        self._opened.unsynced[self] = None
        grown = len(data) - length
        first, end = offset + length, self.size
        if grown > 0:  # from its end, so that nothing is overwritten before it is moved
            for start in reversed(range(first, end, _COPY_SIZE)):
                self._shift(start, min(start + _COPY_SIZE, end), grown)
        elif grown < 0:
            for start in range(first, end, _COPY_SIZE):
                self._shift(start, min(start + _COPY_SIZE, end), grown)
        self.size += grown
        self.file.truncate(self.size)
        self.patch(offset, data)

    def _shift(self, start: int, end: int, by: int) -> None:
        piece = bytearray(end - start)
        self.file.seek(start)
        filled = 0
        while filled < len(piece) and (count := self.file.readinto(memoryview(piece)[filled:])):
            filled += count
        self.file.seek(start + by)
        write_all(self.file, piece)

    def add_central(self, entries: bytes, count: int) -> None:
        self._opened.unsynced[self] = None
        write_all(self._central_file(), entries)
        self.central_size += len(entries)
        self.central_entries += count

    def _central_file(self) -> IO[bytes]:
        # Beside the archive and not in /tmp, which may be memory: it grows with the number of files. And not in memory
        # or without a name, for a run that is resumed needs what is no longer anywhere else: modes.
        if self._central is None:
            path = self.path + CENTRAL
            self._central = patiently(lambda: open(path, "a+b", buffering=0, opener=private_opener))  # noqa: SIM115 - as the archive
        return self._central

    def close(self, tail: bytes) -> bytes:
        """Complete the archive, sync it and give it its name; returns its XXH3-128."""
        self.settle()
        if self.central_entries:
            offset = self.size
            central = self._central_file()
            central.seek(0)
            while piece := central.read(_COPY_SIZE):
                self.append(piece, settled=True)
            tail = end_of_central_directory(self.central_entries, self.central_size, offset)
        self.append(tail, settled=True)
        self.rest()
        patiently(lambda: os.rename(self.path + PARTIAL, self.path))
        if self.central_entries:
            os.unlink(self.path + CENTRAL)
        sync_folder(os.path.dirname(self.path))
        return self._hash.digest()

    def discard(self) -> None:
        self.rest()
        if self.central_entries:
            os.unlink(self.path + CENTRAL)
        os.unlink(self.path + PARTIAL)


class _Volume:
    """A volume being written: its folder, its manifest, and the sums of what is complete."""

    def __init__(self, folder: str, opened: _Open, manifest_size: int | None = None) -> None:
        self.folder = folder
        self.size = 0
        self.sums: list[str] = []
        self.manifest = _Archive(os.path.join(folder, manifest.MANIFEST), opened, manifest_size)

    def add_sum(self, name: str, digest: bytes, size: int) -> None:
        self.sums.append(manifest.sums_line(digest.hex(), name))
        self.size += size

    def close(self, readme: str) -> None:
        """Write what is left, and sync the folder."""
        size = self.manifest.size
        self.add_sum(manifest.MANIFEST, self.manifest.close(b""), size)
        text = readme.encode()
        self._write(manifest.README, text)
        self.add_sum(manifest.README, xxhash.xxh3_128_digest(text), len(text))
        sums = "".join(self.sums).encode()
        self._write(manifest.SUMS, sums)
        self.size += len(sums)
        sync_folder(self.folder)
        sync_folder(os.path.dirname(self.folder))

    def _write(self, name: str, data: bytes) -> None:
        path = os.path.join(self.folder, name)
        with patiently(lambda: open(path, "xb", buffering=0, opener=private_opener)) as file:
            write_all(file, data)
            os.fsync(file.fileno())


class Writer:
    """Carries out orders; each public method but the first two is one."""

    def __init__(self, answer: Callable[[Answer], None], view: Callable[[int], memoryview]) -> None:
        self._answer = answer
        self._view = view
        self._archives: dict[int, _Archive] = {}
        self._volumes: dict[int, _Volume] = {}
        self._opened = _Open()

    def carry_out(self, order: tuple[Any, ...]) -> None:
        """Call the method that the order names, with its arguments."""
        getattr(self, order[0])(*order[1:])

    def leave_unfinished(self) -> bool:
        """Close all that is open, as it is, for the run has ended early; whether all that was written is safe."""
        for archive in self._archives.values():
            archive.rest()
        for volume in self._volumes.values():
            volume.manifest.rest()
        return not self._opened.lost

    def open_volume(self, volume: int, folder: str) -> None:
        """Make the folder of a volume."""
        patiently(lambda: os.mkdir(folder, 0o700))
        self._volumes[volume] = _Volume(folder, self._opened)

    def reopen_volume(
        self, volume: int, folder: str, manifest_size: int, complete: list[tuple[str, bytes, int]]
    ) -> None:
        """Go on with a volume of a run that ended early; ``complete``: name, XXH3-128 and size of whole archives."""
        self._volumes[volume] = _Volume(folder, self._opened, manifest_size)
        for name, digest, size in complete:
            self._volumes[volume].add_sum(name, digest, size)

    def open_archive(self, archive: int, path: str) -> None:
        """Start an archive."""
        self._archives[archive] = _Archive(path, self._opened)

    def reopen_archive(self, archive: int, path: str, size: int, central_size: int, central_entries: int) -> None:
        """Go on with an archive of a run that ended early."""
        self._archives[archive] = _Archive(path, self._opened, size, central_size, central_entries)

    def append_slot(self, archive: int, slot: int, start: int, length: int, settled: bool) -> None:
        """Append bytes of a slot, which is free after that."""
        self._archives[archive].append(self._view(slot)[start : start + length], settled)
        self._answer(SlotFree(slot))

    def append_bytes(self, archive: int, data: bytes, settled: bool) -> None:
        """Append a few bytes."""
        self._archives[archive].append(data, settled)

    def add_central(self, archive: int, entries: bytes, count: int) -> None:
        """Keep entries of a zip's central directory until it is closed."""
        self._archives[archive].add_central(entries, count)

    def add_manifest(self, volume: int, piece: bytes) -> None:
        """Append to the manifest of a volume."""
        self._volumes[volume].manifest.append(piece, settled=True)

    def patch(self, archive: int, offset: int, data: bytes) -> None:
        """Overwrite what was not settled yet."""
        self._archives[archive].patch(offset, data)

    def replace(self, archive: int, offset: int, length: int, data: bytes) -> None:
        """Put other bytes, also more or fewer, in place of some that were not settled yet."""
        self._archives[archive].replace(offset, length, data)

    def settle(self, archive: int) -> None:
        """All of the archive so far stays as it is."""
        self._archives[archive].settle()

    def truncate(self, archive: int, size: int) -> None:
        """Take back what was appended last and not settled."""
        self._archives[archive].truncate(size)

    def move(self, source: int, offset: int, target: int) -> None:
        """Append the end of one archive to another, and take it from the first."""
        moving, to = self._archives[source], self._archives[target]
        moving.file.seek(offset)
        while piece := moving.file.read(_COPY_SIZE):
            to.append(piece, settled=False)
        moving.truncate(offset)

    def close_archive(self, number: int, volume: int, archive: int, tail: bytes) -> None:
        """Complete an archive."""
        closing = self._archives.pop(archive)
        digest = closing.close(tail)
        self._volumes[volume].add_sum(os.path.basename(closing.path), digest, closing.size)
        self._sync_all()
        self._answer(ArchiveSafe(number, archive, closing.size, digest))

    def discard_archive(self, archive: int) -> None:
        """Remove an archive in which nothing was left."""
        self._archives.pop(archive).discard()

    def discard_volume(self, volume: int) -> None:
        """Remove a volume on which nothing was left."""
        closing = self._volumes.pop(volume)
        closing.manifest.discard()
        os.rmdir(closing.folder)

    def close_volume(self, number: int, volume: int, readme: str) -> None:
        """Complete a volume."""
        closing = self._volumes.pop(volume)
        closing.close(readme)
        self._sync_all()
        self._answer(VolumeSafe(number, volume, closing.size))

    def sync(self, number: int) -> None:
        """Make all that was written so far safe."""
        self._sync_all()
        self._answer(Safe(number))

    def _sync_all(self) -> None:
        for archive in list(self._opened.unsynced):
            archive.sync()


def run_writer(connection: Connection, memory_name: str, slot_bytes: int) -> None:
    """The writer's process: carry out orders until None comes or the other side is gone."""
    memory = attach_block(memory_name)

    def answer(message: Answer) -> None:
        try:
            connection.send(message)
        except BrokenPipeError:
            os._exit(1)

    writer = Writer(answer, lambda slot: slot_view(memory, slot, slot_bytes))
    failed, carried_out = False, 0
    for order in Inbox(connection, answer):
        if failed:
            if order[0] == "append_slot":
                answer(SlotFree(order[2]))
            continue
        try:
            writer.carry_out(order)
            carried_out += 1
        except StopWaitingError:
            break
        except OSError as error:
            failed = True
            answer(WriteFailed(f"{error.filename or 'backup'}: {error.strerror or error}"))
    try:
        if writer.leave_unfinished():
            answer(Ended(carried_out))
    except OSError as error:
        answer(WriteFailed(f"{error.filename or 'backup'}: {error.strerror or error}"))
    connection.close()


def partial_files(folder: str) -> list[str]:
    """Paths of what a run that ended early has left unfinished on its volumes; none where the disk is gone."""
    return sorted(
        os.path.join(place, name) for place, _, names in os.walk(folder) for name in names if name.endswith(PARTIAL)
    )


def write_all(file: Any, data: bytes | bytearray | memoryview) -> None:
    """Write every byte, when there is room for it; a raw file may take fewer at once."""
    rest = memoryview(data)
    while rest:
        rest = rest[patiently(partial(file.write, rest)) :]


def sync_folder(folder: str) -> None:
    """Make the names in a folder safe, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def private_opener(path: str, flags: int) -> int:
    """Open a file that is for its owner only."""
    return os.open(path, flags, 0o600)

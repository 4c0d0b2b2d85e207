"""A writer that only counts: it takes the orders of a run and weighs what the volumes would hold."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from backalaika import manifest
from backalaika.formats.zip import end_of_central_directory
from backalaika.run import rows


@dataclass
class Pile:
    """An archive: what lies in it, one piece after another, each with its bytes."""

    name: str
    volume: int
    pieces: list[tuple[int, int]] = field(default_factory=list)  # slot, or -1 for a header; bytes
    central: int = 0
    entries: int = 0

    @property
    def size(self) -> int:
        return sum(size for _, size in self.pieces)

    def cut(self, size: int) -> list[tuple[int, int]]:
        """Take away what lies behind ``size``, which must be where a piece ends."""
        taken: list[tuple[int, int]] = []
        while self.size > size:
            taken.insert(0, self.pieces.pop())
        assert self.size == size
        return taken


class Scales:
    """Stands in for `WriterOrders`; weighs each volume when it is closed."""

    def __init__(self) -> None:
        self.piles: dict[int, Pile] = {}
        self.folders: dict[int, str] = {}
        self.files: dict[int, dict[str, int]] = {}
        self.closed: dict[int, int] = {}
        self.held: list[rows.Record] = []
        self._number = 0

    def order(self, name: str, *arguments: Any) -> None:
        getattr(self, name)(*arguments)

    def numbered(self, name: str, *arguments: Any) -> int:
        self._number += 1
        self.order(name, self._number, *arguments)
        return self._number

    def hold(self, record: rows.Record) -> None:
        self.held.append(record)

    def open_volume(self, volume: int, folder: str) -> None:
        self.folders[volume] = folder
        self.files[volume] = {manifest.MANIFEST: 0}

    def open_archive(self, archive: int, path: str) -> None:
        volume = next(number for number, folder in self.folders.items() if folder == os.path.dirname(path))
        self.piles[archive] = Pile(os.path.basename(path), volume)

    def append_slot(self, archive: int, slot: int, start: int, length: int, settled: bool) -> None:
        self.piles[archive].pieces.append((slot, length))

    def append_bytes(self, archive: int, data: bytes, settled: bool) -> None:
        self.piles[archive].pieces.append((-1, len(data)))

    def add_central(self, archive: int, entries: bytes, count: int) -> None:
        self.piles[archive].central += len(entries)
        self.piles[archive].entries += count

    def add_manifest(self, volume: int, piece: bytes) -> None:
        self.files[volume][manifest.MANIFEST] += len(piece)

    def patch(self, archive: int, offset: int, data: bytes) -> None:
        place = 0
        for slot, size in self.piles[archive].pieces:
            if place == offset:
                assert (slot, size) == (-1, len(data))
                return
            place += size
        raise AssertionError("nothing stands where the header is patched")

    def settle(self, archive: int) -> None:
        assert archive in self.piles

    def truncate(self, archive: int, size: int) -> None:
        self.piles[archive].cut(size)

    def move(self, source: int, offset: int, target: int) -> None:
        self.piles[target].pieces += self.piles[source].cut(offset)

    def close_archive(self, number: int, volume: int, archive: int, tail: bytes) -> None:
        pile = self.piles[archive]
        assert pile.volume == volume
        size = pile.size
        if pile.entries:
            size += pile.central + len(end_of_central_directory(pile.entries, pile.central, pile.size))
        assert pile.name not in self.files[volume]
        self.files[volume][pile.name] = size + len(tail)

    def discard_archive(self, archive: int) -> None:
        assert not self.piles.pop(archive).pieces

    def discard_volume(self, volume: int) -> None:
        assert self.files.pop(volume) == {manifest.MANIFEST: 0}

    def close_volume(self, number: int, volume: int, readme: str) -> None:
        files = self.files[volume]
        files[manifest.README] = len(readme.encode())
        sums = "".join(f"{'0' * 32}  {name}\n" for name in files)
        self.closed[volume] = sum(files.values()) + len(sums.encode())

    def sync(self, number: int) -> None:
        pass

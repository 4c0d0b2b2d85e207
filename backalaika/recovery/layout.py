"""Layout: into which blocks a volume is cut, and how large its recovery files are, before they are made.

A volume is full when its files and their recovery files are as large as the medium, so the size must be known while
frames still come. It depends on three things only: the number of blocks that the files take (each file its own, the
last one padded), the number of files, and the lengths of their names (Parity Volume Set Specification 2.0):

- a main packet has 64 bytes of header, 12 more, and 16 a file; a description of a file 64, 56, and its name in whole
  words of 4; its checksums 64, 16, and 20 a block; a recovery packet 64, 4, and the block itself;
- par2 programs put a copy of main packet, descriptions and checksums into the index file, and so many into each
  recovery file as the number of its blocks has binary digits. A creator packet ends each file.

What remains unknown is the program's name in the creator packet. The volumes of the tests, made by par2cmdline and
par2cmdline-turbo, are as large as is said here, but for that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import isqrt

from ..media import Medium

INDEX = "RECOVERY.par2"
_STEM = INDEX.removesuffix(".par2")
# Until the files are complete and safe; a par2 program wants its own extension.
PARTIAL_INDEX = f"{_STEM}.partial.par2"
# A name as long as any of a recovery file.
_LONGEST_NAME = f"{_STEM}.vol00000+00000.par2"
RECOVERY_FILE = re.compile(rf"{_STEM}(\.vol\d+\+\d+)?\.par2", re.ASCII)
PARTIAL_FILE = re.compile(rf"{_STEM}\.partial(\.vol\d+\+\d+)?\.par2", re.ASCII)

_HEADER = 64
# Bytes of a creator packet: 64 and the program's name, which takes 44 today.
_CREATOR = 256
# A sector of a disc, so that one that cannot be read costs one block.
_SECTOR = 2048
# More blocks find room for more scattered damage, and take as many times longer to compute.
_MOST_BLOCKS = 2000
# What the format and the field of 2^16 elements allow.
_MOST_SOURCE_BLOCKS, _MOST_RECOVERY_BLOCKS = 32768, 65535
NEVER = 1 << 62
"""The size of recovery files that cannot be made."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """What recovery files are made of.

    Attributes:
        count: blocks of all files.
        described: bytes of the packets that describe them, but for the checksums of blocks.
    """

    count: int = 0
    described: int = 0


@dataclass(frozen=True, slots=True)
class Layout:
    """How the recovery files of a volume are made.

    Attributes:
        percent: recovery blocks for a hundred blocks of the volume.
        block: bytes of one.
        most_files: recovery files besides the index; more than one where one would be too large for the medium.
    """

    percent: int
    block: int
    most_files: int = 1

    @classmethod
    def of_medium(cls, percent: int, medium: Medium) -> Layout | None:
        """The layout for a volume of this medium; None where there are to be no recovery files.

        At most 2000 blocks; fewer on a small volume, whose checksums would take more than the recovery blocks.
        """
        if not percent:
            return None
        blocks = max(1, min(_MOST_BLOCKS, isqrt(medium.capacity // 16)))
        block = -(-medium.capacity // blocks // _SECTOR) * _SECTOR
        files = 1
        if medium.largest_file is not None:
            most = (blocks * percent // 100 + 1) * (block + _HEADER + 4)
            files += most * 21 // 20 // medium.largest_file
        return cls(percent, block, files)

    @classmethod
    def of_content(cls, percent: int, medium: Medium, content: int) -> Layout | None:
        """The layout for a volume with so many bytes of files: smaller blocks than for one that is full.

        It needs more room for checksums in proportion, so none is planned for a volume that may still grow.
        """
        size = min(medium.capacity, content + content * percent // 100)
        return cls.of_medium(percent, replace(medium, capacity=max(size, 1)))

    def of_files(self, files: Iterable[tuple[str, int]]) -> Blocks:
        """What files are made into, each with its name and its bytes."""
        count = described = 0
        for name, size in files:
            count += self.blocks(size)
            described += description_size(name)
        return Blocks(count, described)

    def blocks(self, size: int) -> int:
        """Blocks of a file."""
        return -(-size // self.block)

    def recovery_blocks(self, count: int) -> int:
        """Recovery blocks for so many blocks."""
        return -(-count * self.percent // 100)

    def files(self, count: int) -> int:
        """Recovery files for so many blocks, besides the index."""
        return min(self.most_files, self.recovery_blocks(count))

    def names(self) -> list[str]:
        """Names as long as any that the files may have."""
        return [INDEX, *[_LONGEST_NAME] * self.most_files]

    def used(self, medium: Medium, blocks: Blocks) -> int:
        """Bytes that the recovery files take of a medium, at most; `NEVER` if they cannot be made."""
        recovery = self.recovery_blocks(blocks.count)
        if blocks.count > _MOST_SOURCE_BLOCKS or recovery > _MOST_RECOVERY_BLOCKS:
            return NEVER
        critical = _HEADER + 12 + blocks.described + 20 * blocks.count
        files = self.files(blocks.count)
        total = medium.round_up(critical + _CREATOR)
        for number in range(files):
            some = recovery // files + (number < recovery % files)
            size = some * (self.block + _HEADER + 4) + some.bit_length() * critical + _CREATOR
            if medium.largest_file is not None and size > medium.largest_file:
                return NEVER
            total += medium.round_up(size)
        return total

    def room(self, medium: Medium, content: int, files: int) -> int:
        """Bytes of recovery files for any so many files with so much content together, at most."""
        return self.used(medium, Blocks(self.blocks(content) + files, files * description_size("x" * 255)))

    def content(self, medium: Medium, room: int, files: int) -> int:
        """Bytes that any so many files can have together, so that they and their recovery files take ``room``."""
        low, high = 0, room
        while low < high:
            size = (low + high + 1) // 2
            if size + self.room(medium, size, files) <= room:
                low = size
            else:
                high = size - 1
        return low


@dataclass(frozen=True, slots=True)
class Making:
    """How recovery files are made: bytes of a block, how many of them, in how many files besides the index."""

    block: int
    recovery_blocks: int
    files: int = 1


@dataclass(frozen=True, slots=True)
class Planned:
    """Recovery files that are to be made of a volume, in the room that was left for them."""

    layout: Layout
    medium: Medium
    blocks: Blocks

    @property
    def room(self) -> int:
        """Bytes of the medium."""
        return self.layout.used(self.medium, self.blocks)

    def making(self, files: Sequence[tuple[str, int]], spare: int) -> Making:
        """How they are made, in smaller blocks where the volume is not full.

        Args:
            files: names and bytes of all files of the volume.
            spare: bytes that are left on the medium besides the room that was left for recovery files.
        """
        layout, count = self.layout, self.blocks.count
        smaller = Layout.of_content(layout.percent, self.medium, sum(size for _, size in files))
        if smaller is not None and smaller.block < layout.block:
            blocks = smaller.of_files(files)
            if smaller.used(self.medium, blocks) <= self.room + spare:
                layout, count = smaller, blocks.count
        return Making(layout.block, layout.recovery_blocks(count), layout.files(count))


def description_size(name: str) -> int:
    """Bytes of the packets that describe a file of this name, and of its number in the main packet."""
    padded = -(-len(name.encode("utf-8", "surrogateescape")) // 4) * 4
    return 16 + _HEADER + 56 + padded + _HEADER + 16

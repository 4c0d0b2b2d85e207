"""Sizes: what a volume that is being filled will weigh once it is complete, to the byte."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from .. import manifest
from ..batch import Key
from ..codecs import CODECS
from ..formats import ArchiveFormat
from ..formats import tar as tar_format
from ..formats import zip as zip_format
from ..media import Medium as Kind
from ..planner import Medium
from ..recovery.layout import Blocks, Layout


@dataclass(frozen=True, slots=True)
class ArchivePlan:
    """An archive of the run: which source, its name without number and suffix, and its format."""

    source: int
    stem: str
    archive_format: ArchiveFormat

    def name(self, volume: int) -> str:
        """The archive's file name on a volume."""
        return f"{self.stem}.{volume:03d}.{self.archive_format.suffix}"

    def free_name(self, volume: int, taken: Sequence[tuple[str, str]]) -> str:
        """The name of one more archive on a volume: with ``b`` and so on if the source has some there already.

        They sort as they were made, so that what was saved later is unpacked later; a hyphen would sort before the dot.
        """
        names = {name for name, _ in taken}
        candidate, number = self.name(volume), 1
        while candidate in names:
            number += 1
            more = "z" * ((number - 2) // 25) + chr(ord("b") + (number - 2) % 25)
            candidate = f"{self.stem}.{volume:03d}{more}.{self.archive_format.suffix}"
        return candidate

    @classmethod
    def of_archive(cls, source: int, name: str, volume: int, archive_format: ArchiveFormat) -> ArchivePlan:
        """The plan that an archive on a volume was made by."""
        end = rf"\.{volume:03d}[b-z]*\.{re.escape(archive_format.suffix)}"
        return cls(source, re.sub(f"{end}$", "", name), archive_format)


@dataclass(slots=True)
class OpenArchive:
    """An archive that takes frames: its bytes, entries and frames so far, and what hard links may point to."""

    number: int
    plan: ArchivePlan
    name: str
    size: int = 0
    central_size: int = 0
    entries: int = 0
    frames: int = 0
    announced: bool = False
    linked: dict[Key, str] = field(default_factory=dict)

    def tail(self) -> bytes | bytearray:
        """What ends a tar; a zip's end is made by the writer, which has its entries."""
        return archive_tail(self.plan.archive_format)


@lru_cache(maxsize=64)
def archive_tail(archive_format: ArchiveFormat) -> bytes | bytearray:
    """What ends a tar, as a frame; empty for a zip."""
    if archive_format.is_zip:
        return b""
    return CODECS[archive_format.option].compress(tar_format.END_OF_ARCHIVE, archive_format.level)


class OwnFiles(NamedTuple):
    """README.txt and sums of a volume.

    Attributes:
        size: their bytes.
        used: what they and the file system take of the medium.
        blocks: what recovery files need to know of them, and of the names of all other files.
    """

    size: int = 0
    used: int = 0
    blocks: Blocks = Blocks()


@dataclass(slots=True)
class OpenVolume:
    """A volume that takes archives.

    Attributes:
        number: in the run, from 1.
        capacity: bytes.
        medium: which it is on the shelf.
        kind: what it is made for; a disc keeps files in whole sectors, and has a file system of its own.
        archives: name and suffix of each archive on it, closed ones too.
        open: those that take frames, one a plan.
        full: those that are as large as a file may be there; to be closed with their plan.
        archives_size: bytes of all its archives, were they closed now.
        archives_used: what these take of the medium.
        manifest_size: bytes of the manifest so far.
        own: README.txt and sums, with these archives.
        layout: of its recovery files; None: it gets none.
        archive_blocks: blocks that its archives take in the layout.
    """

    number: int
    folder: str
    title: str
    capacity: int
    medium: Medium
    kind: Kind
    archives: list[tuple[str, str]] = field(default_factory=list)
    open: dict[ArchivePlan, OpenArchive] = field(default_factory=dict)
    full: list[OpenArchive] = field(default_factory=list)
    archives_size: int = 0
    archives_used: int = 0
    manifest_size: int = 0
    own: OwnFiles = OwnFiles()  # noqa: RUF009 - a tuple, which never changes
    layout: Layout | None = None
    archive_blocks: int = 0
    announced: bool = False

    @property
    def is_blank(self) -> bool:
        """Whether nothing is settled on it. In a zip that is gone on with, bytes may be left of what is saved anew."""
        return not self.manifest_size and not self.archives_size

    @property
    def size(self) -> int:
        """Bytes of all its files but the recovery files, were it closed now."""
        return self.archives_size + self.manifest_size + self.own.size

    @property
    def used(self) -> int:
        """What all its files take of the medium, were it closed now; recovery files at most."""
        plain = self.plain_used + self.own.used
        return plain if self.layout is None else plain + self.layout.used(self.kind, self.blocks)

    @property
    def plain_used(self) -> int:
        """What archives and manifest take of the medium, were it closed now."""
        return self.archives_used + self.kind.round_up(self.manifest_size)

    @property
    def blocks(self) -> Blocks:
        """What its recovery files are made of, were it closed now."""
        if self.layout is None:
            return Blocks()
        own = self.own.blocks
        return Blocks(self.archive_blocks + self.layout.blocks(self.manifest_size) + own.count, own.described)

    def change_archive(self, before: int, after: int) -> None:
        """An archive has another size, were it closed now; in bytes."""
        self.archives_size += after - before
        self.archives_used += self.kind.round_up(after) - self.kind.round_up(before)
        if self.layout is not None:
            self.archive_blocks += self.layout.blocks(after) - self.layout.blocks(before)


def own_files(kind: Kind, readme: int, archives: Sequence[tuple[str, str]], layout: Layout | None = None) -> OwnFiles:
    """README.txt and sums of a volume with these archives.

    Args:
        kind: of the medium.
        readme: bytes of README.txt.
        archives: name and suffix of each.
        layout: of the recovery files; None: there are none.
    """
    names = [*(name for name, _ in archives), manifest.MANIFEST, manifest.README]
    sums = sum(manifest.sums_line_size(name) for name in names)
    names.append(manifest.SUMS)
    used = kind.round_up(readme) + kind.round_up(sums)
    if layout is None:
        return OwnFiles(readme + sums, used + kind.overhead(names))
    described = layout.of_files((name, 0) for name in names).described
    blocks = Blocks(layout.blocks(readme) + layout.blocks(sums), described)
    return OwnFiles(readme + sums, used + kind.overhead([*names, *layout.names()]), blocks)


def grown(archive: OpenArchive, frame: int, central: int, entries: int) -> tuple[int, int]:
    """Bytes of an archive once it is closed, without and with one more frame; one without frames has none.

    Args:
        archive: as it is.
        frame: bytes of the frame.
        central: bytes of its entries in a zip's central directory.
        entries: how many these are.
    """
    before = closed_archive_size(archive) if archive.size else 0
    after = _closed_size(
        archive.plan.archive_format, archive.size + frame, archive.central_size + central, archive.entries + entries
    )
    return before, after


def closed_archive_size(archive: OpenArchive) -> int:
    """Bytes of an archive once it is closed."""
    return _closed_size(archive.plan.archive_format, archive.size, archive.central_size, archive.entries)


def _closed_size(archive_format: ArchiveFormat, size: int, central: int, entries: int) -> int:
    if not archive_format.is_zip:
        return size + len(archive_tail(archive_format))
    return size + central + len(zip_format.end_of_central_directory(entries, central, size))

"""Sizes: what a volume that is being filled will weigh once it is complete, to the byte."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from .. import manifest
from ..batch import Key
from ..codecs import CODECS
from ..formats import ArchiveFormat
from ..formats import tar as tar_format
from ..formats import zip as zip_format
from ..planner import Medium


@dataclass(frozen=True, slots=True)
class ArchivePlan:
    """An archive of the run: which source, its name without number and suffix, and its format."""

    source: int
    stem: str
    archive_format: ArchiveFormat

    def name(self, volume: int) -> str:
        """The archive's file name on a volume."""
        return self.stem + self._end(volume)

    def _end(self, volume: int) -> str:
        return f".{volume:03d}.{self.archive_format.suffix}"

    @classmethod
    def of_archive(cls, source: int, name: str, volume: int, archive_format: ArchiveFormat) -> ArchivePlan:
        """The plan that an archive on a volume was made by."""
        plan = cls(source, "", archive_format)
        return replace(plan, stem=name.removesuffix(plan._end(volume)))


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


@dataclass(slots=True)
class OpenVolume:
    """A volume that takes archives.

    Attributes:
        number: in the run, from 1.
        capacity: bytes.
        archives: name and suffix of each archive on it, closed ones too.
        open: those that take frames.
        archives_size: bytes of all its archives, were they closed now.
        manifest_size: bytes of the manifest so far.
        rest: bytes of README.txt and sums, with these archives.
    """

    number: int
    folder: str
    title: str
    capacity: int
    medium: Medium
    archives: list[tuple[str, str]] = field(default_factory=list)
    open: dict[ArchivePlan, OpenArchive] = field(default_factory=dict)
    archives_size: int = 0
    manifest_size: int = 0
    rest: int = 0
    announced: bool = False

    @property
    def size(self) -> int:
        """Bytes of all its files, were it closed now."""
        return self.archives_size + self.manifest_size + self.rest


def sums_size(archives: Sequence[tuple[str, str]]) -> int:
    """Bytes of the file of sums of a volume with these archives."""
    return sum(manifest.sums_line_size(name) for name in (*(name for name, _ in archives), *_OTHERS))


_OTHERS = (manifest.MANIFEST, manifest.README)


def grown_by(archive: OpenArchive, frame: int, central: int, entries: int) -> int:
    """Bytes by which an archive grows with one more frame; one without frames counts nothing before.

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
    return after - before


def closed_archive_size(archive: OpenArchive) -> int:
    """Bytes of an archive once it is closed."""
    return _closed_size(archive.plan.archive_format, archive.size, archive.central_size, archive.entries)


def _closed_size(archive_format: ArchiveFormat, size: int, central: int, entries: int) -> int:
    if not archive_format.is_zip:
        return size + len(archive_tail(archive_format))
    return size + central + len(zip_format.end_of_central_directory(entries, central, size))

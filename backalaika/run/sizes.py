"""Sizes: what a volume that is being filled will weigh once it is complete, to the byte."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from .. import manifest
from ..batch import Key
from ..codecs import CODECS
from ..formats import ArchiveFormat
from ..formats import tar as tar_format
from ..formats import zip as zip_format


@dataclass(frozen=True, slots=True)
class ArchivePlan:
    """An archive of the run: which source, its name without number and suffix, and its format."""

    source: int
    stem: str
    archive_format: ArchiveFormat

    def name(self, volume: int) -> str:
        """The archive's file name on a volume."""
        return f"{self.stem}.{volume:03d}.{self.archive_format.suffix}"


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
    """A volume that takes archives: those on it, the bytes of the closed ones and of the manifest so far."""

    number: int
    folder: str
    title: str
    capacity: int
    archives: list[tuple[str, str]] = field(default_factory=list)
    closed_size: int = 0
    manifest_size: int = 0
    announced: bool = False


def total_size(
    volume: OpenVolume,
    archives: Sequence[tuple[str, str]],
    archive: OpenArchive,
    frame: int,
    central: int,
    entries: int,
    piece: int,
    readme: int,
) -> int:
    """Bytes of a volume's files once it is complete, with one more frame in an archive.

    Args:
        volume: the volume so far.
        archives: name and suffix of its archives, with that of the frame.
        archive: the one that takes the frame.
        frame: bytes of the frame.
        central: bytes of its entries in a zip's central directory.
        entries: how many these are.
        piece: bytes of its piece of the manifest.
        readme: bytes of README.txt.
    """
    size = archive.size + frame
    if archive.plan.archive_format.is_zip:
        directory = archive.central_size + central
        size += directory
        size += len(zip_format.end_of_central_directory(archive.entries + entries, directory, size - directory))
    else:
        size += len(archive.tail())
    names = [name for name, _ in archives] + [manifest.MANIFEST, manifest.README]
    sums = sum(manifest.sums_line_size(name) for name in names)
    return volume.closed_size + size + volume.manifest_size + piece + sums + readme


def closed_archive_size(archive: OpenArchive) -> int:
    """Bytes of an archive once it is closed."""
    if not archive.plan.archive_format.is_zip:
        return archive.size + len(archive.tail())
    end = zip_format.end_of_central_directory(archive.entries, archive.central_size, archive.size)
    return archive.size + archive.central_size + len(end)

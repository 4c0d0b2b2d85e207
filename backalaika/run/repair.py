"""Repair: bring the folder of a run that ended early to what the catalogue knows of it.

Rows follow their bytes, so more may be on disk than is recorded: the end of an archive, lines of the manifest, an
archive that was complete but for its row. All that is cut away; what is left is as it was when the last row was
written, and the writer goes on from there. Done once more after a crash in its midst, it does the same.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

import deflate

from .. import manifest
from ..catalogue.rows import COMPLETE, RecordedArchive, RecordedVolume
from ..formats.zip import central_entries
from .writer import CENTRAL, PARTIAL, private_opener, sync_folder

_PIECE = 1 << 20
_SUFFIXES = (".zip", ".tar.gz", ".tar.bz2", ".tar.zst", ".tar.xz")


@dataclass(frozen=True, slots=True)
class KeptArchive:
    """An archive that takes more frames; ``central_size`` and ``entries`` are those of a zip's central directory."""

    recorded: RecordedArchive
    central_size: int
    entries: int


@dataclass(frozen=True, slots=True)
class KeptVolume:
    """A volume that takes more.

    Attributes:
        recorded: as the catalogue has it.
        archives: those that take more frames.
        complete: those that have their names.
        lost: those whose recorded bytes are not there; their files must be saved again.
        manifest_size: bytes of the manifest so far.
    """

    recorded: RecordedVolume
    archives: list[KeptArchive]
    complete: list[RecordedArchive]
    lost: list[RecordedArchive]
    manifest_size: int


def repair_volume(volume: RecordedVolume) -> KeptVolume:
    """Cut a volume that is not complete back to what is recorded of it.

    Raises:
        OSError: its folder is not there, or cannot be written.
    """
    kept = KeptVolume(volume, [], [], [], 0)
    for archive in volume.archives:
        if archive.state == COMPLETE:
            there = _size(_path(volume, archive)) == archive.size
            (kept.complete if there else kept.lost).append(archive)
        elif cut := _cut_archive(volume, archive):
            kept.archives.append(cut)
        else:
            kept.lost.append(archive)
    names = {archive.name for archive in kept.complete} | {kept.recorded.name + PARTIAL for kept in kept.archives}
    names |= {archive.recorded.name + CENTRAL for archive in kept.archives if archive.central_size}
    remove_our_files(volume.folder, names | {manifest.MANIFEST, manifest.MANIFEST + PARTIAL})
    ends = {archive.name: archive.size for archive in kept.complete}
    ends |= {archive.recorded.name: archive.recorded.end for archive in kept.archives}
    size = _cut_manifest(volume.folder, ends)
    sync_folder(volume.folder)
    return KeptVolume(volume, kept.archives, kept.complete, kept.lost, size)


def remove_our_files(folder: str, but: set[str] = frozenset()) -> None:  # type: ignore[assignment]
    """Remove what a run leaves in a volume's folder, and nothing that anybody else has put there."""
    for name in sorted(os.listdir(folder)):
        ours = name in (manifest.MANIFEST, manifest.SUMS, manifest.README) or name.endswith((PARTIAL, *_SUFFIXES))
        if ours and name not in but:
            os.unlink(os.path.join(folder, name))


def _path(volume: RecordedVolume, archive: RecordedArchive) -> str:
    return os.path.join(volume.folder, archive.name)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return -1


def _cut_archive(volume: RecordedVolume, archive: RecordedArchive) -> KeptArchive | None:
    """Cut an archive after its last recorded frame; None if not all of its recorded bytes are there."""
    path = _path(volume, archive)
    partial = path + PARTIAL
    was_complete = _size(path) >= 0 and _size(partial) < 0
    if max(_size(path), _size(partial)) < archive.end:
        return None
    central_size = entries = 0
    if archive.format == "zip":
        central_size, entries = _cut_central(path, was_complete, archive.end)
        if entries != archive.members:
            return None
    if was_complete:
        os.rename(path, partial)
    with open(partial, "r+b", buffering=0) as file:
        file.truncate(archive.end)
        os.fsync(file.fileno())
    return KeptArchive(archive, central_size, entries)


def _cut_central(path: str, from_archive: bool, end: int) -> tuple[int, int]:
    """Keep the entries of a zip's central directory whose members lie before ``end``; returns their bytes and number.

    They are in a file beside the archive, or in the archive itself if it had its name already.
    """
    size = entries = 0
    try:
        with open(path if from_archive else path + CENTRAL, "rb") as file:
            if from_archive:
                with zipfile.ZipFile(file) as archive:
                    start = archive.start_dir
                file.seek(start)
            with _replacing(path + CENTRAL) as out:
                for offset, entry in central_entries(file):
                    if offset < end:
                        size += out.write(entry)
                        entries += 1
    except (FileNotFoundError, zipfile.BadZipFile):
        return 0, 0
    return size, entries


def _cut_manifest(folder: str, ends: Mapping[str, int]) -> int:
    """Keep the manifest's lines of members that lie before the end of their archive; returns its size."""
    path = os.path.join(folder, manifest.MANIFEST)
    source = path if _size(path) >= 0 else path + PARTIAL
    size = 0
    with _replacing(path + PARTIAL) as out:
        for lines in _manifest_pieces(source):
            kept = b"".join(line for line in lines.splitlines(keepends=True) if _is_kept(line, ends))
            if kept:
                size += out.write(deflate.gzip_compress(kept, 1))
    if source == path:
        os.unlink(path)
    return size


def _is_kept(line: bytes, ends: Mapping[str, int]) -> bool:
    try:
        member = json.loads(line)
    except ValueError:  # the disk's last block before a power cut
        return False
    return bool(member["frame"] < ends.get(member["archive"], 0))


def _manifest_pieces(path: str) -> Iterator[bytes]:
    """The lines of each whole gzip member."""
    if _size(path) < 0:
        return
    with open(path, "rb") as file:
        decoder, lines, data = zlib.decompressobj(31), b"", b""
        while data or (data := file.read(_PIECE)):
            try:
                lines += decoder.decompress(data)
            except zlib.error:
                return
            data = decoder.unused_data
            if decoder.eof:
                yield lines
                decoder, lines = zlib.decompressobj(31), b""


@contextmanager
def _replacing(path: str) -> Iterator[IO[bytes]]:
    """A file that takes the place of another once it is whole and synced."""
    new = f"{path}.new{PARTIAL}"
    with open(new, "wb", opener=private_opener) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)

"""Repair: bring the folder of a run that ended early to what the catalogue knows of it.

Rows follow their bytes, so more may be on disk than is recorded: the end of an archive, lines of the manifest, an
archive that was complete but for its row. All that is cut away; what is left is as it was when the last row was
written, and the writer goes on from there. Done once more after a crash in its midst, it does the same.

What is recorded is not believed where it can be seen to be wrong: an archive of which bytes, entries of the central
directory or lines of the manifest are not there is given up, and its files are saved again. It is not deleted but put
aside, for the sources may have lost meanwhile what it has.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

import deflate

from .. import manifest
from ..catalogue.results import RecordedArchive, RecordedVolume
from ..catalogue.rows import COMPLETE
from ..formats.zip import central_entries, central_start
from ..recovery.layout import PARTIAL_FILE, RECOVERY_FILE
from .aside import put_aside
from .writer import CENTRAL, PARTIAL, private_opener, sync_folder

_PIECE = 1 << 20
# After the name of an archive or the manifest: of the writer, of a zip's directory, and of a repair.
_UNFINISHED = rf"({re.escape(CENTRAL)}|{re.escape(PARTIAL)})(\.new{re.escape(PARTIAL)})?"
_VOLUME = re.compile(r"vol(\d{3,})", re.ASCII)


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
        aside: where lost archives of which anything was there were put.
    """

    recorded: RecordedVolume
    archives: list[KeptArchive]
    complete: list[RecordedArchive]
    lost: list[RecordedArchive]
    manifest_size: int
    aside: list[str]


Places = Callable[[RecordedArchive], "array[int]"]


def repair_volume(volume: RecordedVolume, places: Places) -> KeptVolume:
    """Cut a volume that is not complete back to what is recorded of it.

    Args:
        volume: as the catalogue has it.
        places: where the recorded members of a zip start in it, sorted.

    Raises:
        OSError: its folder is not there, or cannot be written.
    """
    starts = {archive.name: places(archive) for archive in volume.archives if archive.format == "zip"}
    lines = _count_lines(volume, starts)
    kept = KeptVolume(volume, [], [], [], 0, [])
    for archive in volume.archives:
        if lines[archive.name] < archive.members:
            kept.lost.append(archive)
        elif archive.state == COMPLETE:
            there = _size(_path(volume, archive)) == archive.size
            (kept.complete if there else kept.lost).append(archive)
        elif cut := _cut_archive(volume, archive, starts.get(archive.name)):
            kept.archives.append(cut)
        else:
            kept.lost.append(archive)
    names = {archive.name for archive in kept.complete} | {kept.recorded.name + PARTIAL for kept in kept.archives}
    names |= {archive.recorded.name + CENTRAL for archive in kept.archives if archive.central_size}
    names |= {manifest.MANIFEST, manifest.MANIFEST + PARTIAL}
    lost = {file for archive in kept.lost for file in (archive.name, archive.name + PARTIAL)}
    remove_our_files(volume.folder, volume.number, names | lost)  # before anything is written: the disk may be full
    left = [*kept.complete, *(archive.recorded for archive in kept.archives)]
    size = _cut_manifest(volume.folder, _Recorded(left, starts))
    aside = [place for archive in kept.lost if (place := _put_aside(volume, archive))]
    remove_our_files(volume.folder, volume.number, names)
    sync_folder(volume.folder)
    return KeptVolume(volume, kept.archives, kept.complete, kept.lost, size, aside)


def _put_aside(volume: RecordedVolume, archive: RecordedArchive) -> str:
    """Put a lost archive aside, finished or not; returns where it is, empty if nothing is there of recorded members."""
    for file in (archive.name, archive.name + PARTIAL):
        if archive.members and _size(os.path.join(volume.folder, file)) > 0:
            place = put_aside(volume.folder, archive.name, file)
            sync_folder(os.path.dirname(place))
            return place
    return ""


def remove_our_files(folder: str, number: int, but: Set[str] = frozenset()) -> None:
    """Remove what a run leaves in the folder of its volume ``number``, and nothing that anybody else has put there."""
    for name in our_files(folder, number):
        if name not in but:
            os.unlink(os.path.join(folder, name))


def our_files(folder: str, number: int) -> list[str]:
    """Names of the files in the folder of volume ``number`` that are called as a run calls its own."""
    archive = rf".*\.{number:03d}[b-z]*\.(zip|tar\.(gz|bz2|zst|xz))"
    recovery = f"{RECOVERY_FILE.pattern}|{PARTIAL_FILE.pattern}"
    own = f"{manifest.SUMS}|{manifest.README}|{recovery}"
    ours = re.compile(rf"({archive}|{re.escape(manifest.MANIFEST)})({_UNFINISHED})?|{own}", re.ASCII)
    with os.scandir(folder) as entries:
        found = [entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)]
    return sorted(name for name in found if ours.fullmatch(name))


def remove_unfinished(folder: str, number: int) -> list[str]:
    """Remove the unfinished files of volume ``number``, and its folder if nothing is left; the paths of what stays.

    Nothing is done where there is no folder.

    Raises:
        OSError: something cannot be removed.
    """
    if not os.path.isdir(folder):
        return []
    for name in our_files(folder, number):
        if name.endswith(PARTIAL) or PARTIAL_FILE.fullmatch(name):
            os.unlink(os.path.join(folder, name))
    stays = sorted(os.listdir(folder))
    if not stays:
        os.rmdir(folder)
    return [os.path.join(folder, name) for name in stays]


def volume_folders(run_folder: str) -> list[tuple[int, str]]:
    """Numbers and paths of what is called as a volume in a run's folder, in order."""
    found = [(_VOLUME.fullmatch(name), os.path.join(run_folder, name)) for name in os.listdir(run_folder)]
    return sorted((int(match[1]), path) for match, path in found if match)


def _path(volume: RecordedVolume, archive: RecordedArchive) -> str:
    return os.path.join(volume.folder, archive.name)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return -1


def _cut_archive(volume: RecordedVolume, archive: RecordedArchive, starts: array[int] | None) -> KeptArchive | None:
    """Cut an archive after its last recorded frame; None if not all of its recorded bytes are there."""
    path = _path(volume, archive)
    partial = path + PARTIAL
    has_its_name = _size(partial) < 0
    if _size(path if has_its_name else partial) < archive.end:
        return None
    central_size = entries = 0
    if starts is not None:
        central_size, entries = _cut_central(path, has_its_name, starts)
        if entries != len(starts):
            return None
    if has_its_name:
        os.rename(path, partial)
    # What the archive itself has of the directory is cut away: the file beside it must be safe before that.
    sync_folder(volume.folder)
    with open(partial, "r+b", buffering=0) as file:
        file.truncate(archive.end)
        os.fsync(file.fileno())
    return KeptArchive(archive, central_size, entries)


def _cut_central(path: str, from_archive: bool, starts: array[int]) -> tuple[int, int]:
    """Keep the entries of a zip's central directory whose members are recorded; returns their bytes and number.

    They are in a file beside the archive, or in the archive itself if it had its name already.
    """
    size = entries = 0
    try:
        with open(path if from_archive else path + CENTRAL, "rb") as file:
            if from_archive:
                start = central_start(file)
                if start is None:
                    return 0, 0
                file.seek(start)
            with _replacing(path + CENTRAL) as out:
                for offset, entry in central_entries(file):
                    if _has(starts, offset):
                        size += out.write(entry)
                        entries += 1
    except FileNotFoundError:
        return 0, 0
    return size, entries


def _has(starts: array[int], place: int) -> bool:
    index = bisect_left(starts, place)
    return index < len(starts) and starts[index] == place


class _Recorded:
    """Tells which lines of a manifest are of recorded members of these archives."""

    def __init__(self, archives: Iterable[RecordedArchive], starts: Mapping[str, array[int]]) -> None:
        self._ends = {archive.name: archive.size or archive.end for archive in archives}
        self._starts = starts

    def archive_of(self, line: bytes) -> str | None:
        """The name of the archive that a line's member is recorded in."""
        try:
            member = json.loads(line)
            archive, frame, offset = member["archive"], int(member["frame"]), int(member["offset"])
            end = self._ends.get(archive, 0)
        except (ValueError, KeyError, TypeError):  # no line of ours
            return None
        starts = self._starts.get(archive)
        there = frame < end if starts is None else _has(starts, frame + offset)
        return archive if there and end else None


def _count_lines(volume: RecordedVolume, starts: Mapping[str, array[int]]) -> Counter[str]:
    """How many lines the manifest has of each archive's recorded members."""
    recorded = _Recorded(volume.archives, starts)
    found = (recorded.archive_of(line) for lines in _manifest_pieces(volume.folder) for line in lines.splitlines())
    return Counter(archive for archive in found if archive is not None)


def _cut_manifest(folder: str, recorded: _Recorded) -> int:
    """Keep the manifest's lines of recorded members; returns its size."""
    path = os.path.join(folder, manifest.MANIFEST)
    size = 0
    with _replacing(path + PARTIAL) as out:
        for lines in _manifest_pieces(folder):
            kept = b"".join(line for line in lines.splitlines(keepends=True) if recorded.archive_of(line))
            if kept:
                size += out.write(deflate.gzip_compress(kept, 1))
    sync_folder(folder)
    if _size(path) >= 0:
        os.unlink(path)
    return size


def _manifest_pieces(folder: str) -> Iterator[bytes]:
    """The lines of each whole gzip member of a manifest, finished or not."""
    path = os.path.join(folder, manifest.MANIFEST)
    if _size(path) < 0:
        path += PARTIAL
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

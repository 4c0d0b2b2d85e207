"""Recognising: volumes of runs among what was read of a medium, by the bytes of their archives.

The quick way is by the medium's own sums (`own`). Where these are damaged or missing, or volumes lie in folders beside
other things, all is read as if strangers had written it, and only then it is known that the catalogue has it. It must
not be entered once more: who is told that a file is on two media throws one of them away.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..manifest import MANIFEST, SUMS
from ..walk import DIRECTORY, describe_error
from .looking import SilenceError
from .members import joined
from .messages import INSIDE, Trouble
from .own import is_own_file
from .watched import WatchedTree

if TYPE_CHECKING:
    from ..catalogue import Catalogue
    from ..catalogue.direct import DirectCatalogue
    from ..catalogue.media import SavedArchive

# As `run.sizes` names archives.
_NAME = re.compile(rb".*\.\d{3,}[b-z]*\.(zip|tar\.(gz|bz2|zst|xz))", re.DOTALL)
# Of more archives than that, as on a medium full of documents, only those are looked for that have such a name.
_FEW = 5000


@dataclass(frozen=True, slots=True)
class Copy:
    """A volume of a run that lies on a medium.

    Attributes:
        title: of the volume.
        folder: where it lies on the medium.
        archives: the paths of its archives.
        entered: the numbers of those that were entered.
        is_sound: whether they are what the run wrote.
    """

    title: str
    folder: bytes
    archives: frozenset[bytes]
    entered: tuple[int, ...]
    is_sound: bool


class _Folder:
    """What may be archives of runs in one folder of a medium, until a volume has them."""

    def __init__(self) -> None:
        self.sound: dict[bytes, bytes] = {}  # path by digest
        self.damaged: dict[bytes, bytes] = {}  # path by name


def take_out_copies(
    catalogue: Catalogue | DirectCatalogue, volume_id: int, tree: WatchedTree, damaged: Collection[bytes]
) -> tuple[Copy | None, list[Trouble]]:
    """Take out of a medium what the catalogue has as volumes of runs.

    Args:
        catalogue: where it and they are recorded.
        volume_id: of the medium, of which all is recorded.
        tree: the medium.
        damaged: files that could not be read as they should be.

    Returns:
        The volume that the medium itself is, which then is in the catalogue no more; else None. And what is to be told.
    """
    copies = _find_copies(catalogue, volume_id, damaged)
    if len(copies) == 1 and _is_alone(catalogue, volume_id, copies[0]):
        [copy] = copies
        troubles = _missing(tree, copy.folder)
        catalogue.drop_volume(volume_id)
        return copy, troubles
    troubles = []
    inside = {path for copy in copies for path in copy.archives}
    nested = defaultdict(list)
    for found in catalogue.archives_of(volume_id) if copies else ():
        top, between, _ = found.path.partition(INSIDE)
        if between and top in inside:
            nested[top].append(found.id)
    for copy in copies:
        for number in (*copy.entered, *(number for path in copy.archives for number in nested[path])):
            catalogue.drop_archive(number)
        which = f"{copy.title}, which the catalogue has: its files are not entered once more"
        if copy.is_sound:
            message = f"is {which}; add it by itself, or each of several with --each, to give it a title"
        else:
            message = f"is a damaged copy of {which}"
        troubles.append(Trouble(copy.folder, message, copy.is_sound))
    return None, troubles


def _missing(tree: WatchedTree, folder: bytes) -> list[Trouble]:
    """What of a volume is not there that tells what is in its archives."""
    files = [joined(folder, os.fsencode(name)) for name in (MANIFEST, SUMS)]
    try:
        there = tree.top(files)
    except (SilenceError, OSError) as error:
        why = str(error) if isinstance(error, SilenceError) else f"cannot be read: {describe_error(error)}"
        return [Trouble(files[0], why)]
    return [Trouble(path, "is missing") for path in files if path not in there]


def _find_copies(catalogue: Catalogue | DirectCatalogue, volume_id: int, damaged: Collection[bytes]) -> list[Copy]:
    """The volumes of runs that lie on a medium with all of their archives.

    A damaged file is taken for the archive of its name, if others of the volume are there and sound, or it has its
    size.
    """
    entered = [row for row in catalogue.archives_of(volume_id) if INSIDE not in row.path]
    if len(entered) > _FEW:
        entered = [row for row in entered if _NAME.fullmatch(row.path)]
    damaged = {path for path in damaged if _NAME.fullmatch(path)}
    folders: dict[bytes, _Folder] = defaultdict(_Folder)
    for found in entered:
        if found.digest is not None:
            folders[_folder(found.path)].sound[found.digest] = found.path
    for path in damaged:
        folders[_folder(path)].damaged[_name(path)] = path
    names = {_name(path) for path in damaged}
    digests = {digest for folder in folders.values() for digest in folder.sound}
    volumes = defaultdict(list)
    for archive in catalogue.archives_of_runs(sorted(names), sorted(digests)):
        volumes[archive.volume_id].append(archive)
    if not volumes:
        return []
    sizes = {found.path: found.size for found in entered if found.path in damaged}
    sizes |= _sizes(catalogue, volume_id, damaged)
    numbers = {found.path: found.id for found in entered}
    copies = []
    for may_be_damaged in (False, True):  # what is whole in one volume is no part of another
        for archives in volumes.values():
            for path, folder in folders.items():
                copy = _copy(path, folder, archives, sizes if may_be_damaged else {}, numbers)
                copies += [] if copy is None else [copy]
    return sorted(copies, key=lambda copy: copy.folder)


def _copy(
    path: bytes, folder: _Folder, archives: Sequence[SavedArchive], sizes: dict[bytes, int], numbers: dict[bytes, int]
) -> Copy | None:
    """The volume that has these archives, if they are in the folder by their names, and then no other's any more.

    Damaged ones are looked for among those whose ``sizes`` are known. By another name, a restore would not find it.
    """
    there = {(digest, _name(path)) for digest, path in folder.sound.items()}
    sound = [archive for archive in archives if (archive.digest, archive.name) in there]
    broken = [archive for archive in archives if (archive.digest, archive.name) not in there]
    for archive in broken:
        size = sizes.get(folder.damaged.get(archive.name, b""))
        if size is None or not (sound or size == archive.size):
            return None
    paths = [folder.sound.pop(archive.digest) for archive in sound if archive.digest in folder.sound]
    paths += [folder.damaged.pop(archive.name) for archive in broken]
    entered = tuple(numbers[path] for path in paths if path in numbers)
    return Copy(archives[0].title, path, frozenset(paths), entered, not broken)


def _is_alone(catalogue: Catalogue | DirectCatalogue, volume_id: int, copy: Copy) -> bool:
    """Whether a medium has nothing but this volume."""
    for _, folder, name, kind, _, _ in catalogue.loose_files(volume_id):
        path = joined(folder, name)
        is_own = _folder(path) == copy.folder and is_own_file(name)
        if kind != DIRECTORY and path not in copy.archives and not is_own:
            return False
    return True


def _sizes(catalogue: Catalogue | DirectCatalogue, volume_id: int, paths: Collection[bytes]) -> dict[bytes, int]:
    if not paths:
        return {}
    found = catalogue.loose_files(volume_id)
    return {path: size for _, folder, name, _, size, _ in found if (path := joined(folder, name)) in paths}


def _folder(path: bytes) -> bytes:
    return path.rpartition(b"/")[0]


def _name(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]

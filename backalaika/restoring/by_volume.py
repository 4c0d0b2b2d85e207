"""By volume: all that is on one, or some paths of it, for which no run and no source is asked.

On a medium that this program did not write, one path may be in several archives, and they have nothing to do with each
other. So where more than one of these is selected from, or loose files too, what is in an archive goes below its name.

A folder may be called `may.zip!`, and `may.zip` may lie beside it: then `may.zip!/1.jpg` is what is in the folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from xxhash import xxh3_128_intdigest

from ..catalogue.results import Located
from ..errors import ArchiveError, SourceError, UsageError
from ..manifest import MANIFEST, SUMS
from ..reading.messages import INSIDE
from ..walk import DIRECTORY, FILE, describe_error
from .asking import Asking
from .items import Item, item_of, place_on_medium
from .selecting import Selection

if TYPE_CHECKING:
    from ..catalogue import Catalogue
    from ..catalogue.state import State

# Files that are looked for on a medium, to know it.
_ENOUGH = 100


def select_volume(catalogue: Catalogue, title: str, paths: Sequence[bytes] = ()) -> Selection:
    """All that is on a volume, or what of it is one of the paths or below one.

    An archive that was found on a medium comes as the file that it is, and what is in it by a path only.

    Args:
        catalogue: where to look.
        title: of the volume.
        paths: as the catalogue has them, or on a medium behind the archive's, with ``!/`` between.

    Raises:
        CatalogueError: there is no such volume.
        UsageError: a path is not on it, or two files would come to one place.
    """
    volume_id = catalogue.volume_id(title)
    volume = catalogue.complete_volumes().get(volume_id)
    is_medium = volume is not None and volume.run_id is None
    strange = _strange_archives(catalogue, volume_id) if is_medium else frozenset()
    left = set(paths)
    loose = _loose_ones(catalogue.files_on(volume_id), paths) if any(map(_may_be_inside, paths)) else frozenset()

    def rows() -> Iterator[Located]:
        found = catalogue.files_on(volume_id)
        if paths:
            return _chosen(found, paths, strange, loose, left)
        return (row for row in found if row.archive not in strange)

    apart = _are_several(rows(), strange)
    items = ((item_of(row), row) for row in rows())
    if apart:
        taken = {item.place for item, row in items if row.archive not in strange and INSIDE in item.place}
        items = ((item_of(row), row) for row in rows())
        items = ((_below_archive(item, taken) if row.archive in strange else item, row) for item, row in items)
    selection = Selection()
    for item, row in _newest(items):
        selection.add(row.volume_id, item)
    if left:
        some = ", ".join(os.fsdecode(path) for path in sorted(left)[:5])
        raise UsageError(f"{some}: not on {title}; give a path as 'backalaika files {title}' shows it")
    return selection


def _newest(found: Iterable[tuple[Item, Located]]) -> Iterator[tuple[Item, Located]]:
    """The first of each path; of a file that was cut, all parts of the first kind that comes."""
    seen: dict[int, set[int] | None] = {}
    for item, row in found:
        key = xxh3_128_intdigest(item.place + (b"/" if item.kind == DIRECTORY else b""))
        number = None if item.part is None else item.part[0]
        if key not in seen:
            seen[key] = None if number is None else {number}
            yield item, row
            continue
        numbers = seen[key]
        if numbers is not None and number is not None and number not in numbers:
            numbers.add(number)
            yield item, row


def media_in(
    folders: Sequence[str], selection: Selection, catalogue: State, asking: Asking, tell: Callable[[str], None]
) -> dict[int, str]:
    """Media that others wrote, of which something is selected, and in which of these folders each is.

    Nothing on such a medium says what it is. It is known by what is wanted of it: files, or the archives that these are
    in, which have the sizes that they had, as far as the catalogue knows them. What comes out of them is checked by its
    digest in any case. A place that cannot be read has nothing of them: ``tell`` is told why, once.
    """
    found = {}
    readable = dict.fromkeys(folders)
    volumes = catalogue.complete_volumes()
    for number, work in selection.volumes.items():
        if number not in volumes or volumes[number].run_id is not None:
            continue
        sizes = {name: size for name, size, _ in catalogue.archives_on(number)}
        loose = islice(work.archives.get(b"", ()), _ENOUGH)
        expected = {item.path: item.size for item in loose if item.kind == FILE}
        expected |= {name: sizes[name] for archive in work.archives for name in _around(archive) if name in sizes}
        for folder in list(readable):
            try:
                is_there = _has_some(folder, dict(islice(expected.items(), _ENOUGH)), asking)
            except (SourceError, ArchiveError, OSError) as error:
                del readable[folder]
                tell(_why_unreadable(folder, error))
                continue
            if is_there:
                found[number] = os.path.abspath(folder)
                break
    return found


def _why_unreadable(folder: str, error: SourceError | ArchiveError | OSError) -> str:
    if isinstance(error, SourceError):  # which names the place
        return str(error)
    return f"{folder}: {error if isinstance(error, ArchiveError) else f'cannot be read: {describe_error(error)}'}"


def _has_some(folder: str, expected: dict[bytes, int], asking: Asking) -> bool:
    """Whether a folder has some of these files, in their sizes, and none in another; 0 is any size.

    Raises what `Asking.sizes` does.
    """
    sizes = asking.sizes(folder, list(expected))
    return bool(sizes) and all(size >= 0 and expected[path] in (0, size) for path, size in sizes.items())


def _may_be_inside(path: bytes) -> bool:
    """Whether a path may mean what is in an archive."""
    return INSIDE in path + b"/"


def _loose_ones(rows: Iterator[Located], paths: Sequence[bytes]) -> frozenset[bytes]:
    """Those of the paths that look like paths into archives, and are files or folders of the medium."""
    wanted = {path: place_on_medium(path) for path in paths if _may_be_inside(path)}
    found: set[bytes] = set()
    for row in rows:
        if row.archive is None:
            there = os.path.join(row.folder, row.name) if row.name else row.folder
            found.update(path for path, one in wanted.items() if there == one or there.startswith(one + b"/"))
    return frozenset(found)


def _chosen(
    rows: Iterator[Located],
    paths: Sequence[bytes],
    strange: frozenset[bytes],
    loose: frozenset[bytes],
    left: set[bytes],
) -> Iterator[Located]:
    """Those that are one of the paths or below one, but not in archives there; ``left`` loses paths that are found.

    What is one of ``loose`` is in no archive. ``./a``, ``/a`` and ``a`` are one path, in what is given and in archives.
    """
    wanted = []
    for path in paths:
        one = place_on_medium(path)
        wanted.append((path, one, one + b"/" if one else b""))
    for row in rows:
        path = os.path.join(row.folder, row.name) if row.name else row.folder
        before = b"" if row.archive is None else place_on_medium(row.archive) + INSIDE
        path, whole = place_on_medium(path), place_on_medium(before + path)
        found = [
            given
            for given, one, below in wanted
            if (row.archive is None or given not in loose)
            and (
                one in (path, whole)
                or (path.startswith(below) and (below or row.archive not in strange))
                or (len(below) >= len(before) and whole.startswith(below))
            )
        ]
        left.difference_update(found)
        if found:
            yield row


def _strange_archives(catalogue: Catalogue, volume_id: int) -> frozenset[bytes]:
    """The archives on a medium that are files there too, with those in them; of our own the catalogue has members only.

    There are none where a manifest or sums lie, which say that the archives are ours, whatever is left of them.
    """
    archives = {name for name, *_ in catalogue.archives_on(volume_id)}
    named = archives | {os.fsencode(MANIFEST), os.fsencode(SUMS)}
    loose = set()
    for row in catalogue.files_on(volume_id):
        if row.archive is None and row.kind == FILE and (path := os.path.join(row.folder, row.name)) in named:
            loose.add(path)
    if loose - archives:
        return frozenset()
    return frozenset(name for name in archives if not loose.isdisjoint(_around(name)))


def _around(archive: bytes) -> Iterator[bytes]:
    """An archive's path, and those of the archives that it is in."""
    end = archive.find(INSIDE)
    while end >= 0:
        yield archive[:end]
        end = archive.find(INSIDE, end + 1)
    yield archive


def _are_several(rows: Iterator[Located], strange: frozenset[bytes]) -> bool:
    """Whether these come out of more than one strange archive, or out of one and from elsewhere."""
    seen: set[bytes] = set()
    for row in rows if strange else ():
        seen.add(row.archive if row.archive in strange and row.archive is not None else b"")
        if len(seen) > 1:
            return True
    return False


def _below_archive(item: Item, taken: Collection[bytes]) -> Item:
    """The same, with its place below the name of its archive, as in its path: ``may.zip!/beach/1.jpg``.

    Raises:
        UsageError: that place is taken.
    """
    place = place_on_medium(item.archive + INSIDE + item.place)
    if place in taken and item.kind != DIRECTORY:
        name = os.fsdecode(place)
        raise UsageError(f"{name}: is in a folder and in an archive of one name; restore one after the other")
    return item._replace(place=place)

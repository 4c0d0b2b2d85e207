"""Selecting: the members that are asked for, volume by volume, from the catalogue.

Of two members of one path the newest counts. Hard links are kept apart: they are made when the file that they are
other names of is there, and where that was not asked for, the first of them takes its content.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from ..catalogue.results import Located, PictureEntry
from ..errors import UsageError
from ..overlay import Overlay
from ..reading.messages import INSIDE
from ..walk import DIRECTORY, HARD_LINK
from .frames import Attributes
from .items import Item, Spool, archive_folder, item_of, place_on_medium
from .versions import Versions, find_versions

if TYPE_CHECKING:
    from ..catalogue import Catalogue
    from ..catalogue.state import State

Places = Callable[[list[Item]], dict[Item, dict[int, Item]]]
"""Where else the content of some items is: for each the items to be read instead, by volume."""


class Work:
    """What is to be read from one volume."""

    def __init__(self) -> None:
        self.archives: dict[bytes, Spool] = {}
        self.links: list[Item] = []

    def add(self, item: Item) -> None:
        """Put an item in."""
        if item.kind == HARD_LINK:
            self.links.append(item)
            return
        spool = self.archives.get(item.archive)
        if spool is None:
            spool = self.archives[item.archive] = Spool()
        spool.add(item)

    def items(self) -> Iterator[Item]:
        """All items but hard links, archive by archive."""
        for spool in self.archives.values():
            yield from spool

    @property
    def count(self) -> int:
        """Items, folders too."""
        return sum(spool.count for spool in self.archives.values()) + len(self.links)

    @property
    def files(self) -> int:
        """Files and links."""
        return sum(spool.files for spool in self.archives.values()) + len(self.links)

    @property
    def parts(self) -> int:
        """Parts of files of which the first part is counted as the file, here or elsewhere."""
        return sum(spool.parts for spool in self.archives.values())

    @property
    def bytes(self) -> int:
        """Their content."""
        return sum(spool.bytes for spool in self.archives.values())

    def close(self) -> None:
        """Free the disk."""
        for spool in self.archives.values():
            spool.close()


class Link(NamedTuple):
    """Another name of a file that is restored: both places, and how that file looks."""

    place: bytes
    content: bytes
    size: int
    mtime_ns: int


class Selection:
    """Work, by the numbers of volumes.

    Attributes:
        volumes: the work.
        links: hard links that are made when all content is there; see `resolve_links`.
        lost: hard links of which nobody knows what they are other names of, and why.
        folders: those that no archive has, by their places: what they had, and their time.
        gone: what is on no volume any more, or never was.
    """

    def __init__(self) -> None:
        self.volumes: dict[int, Work] = {}
        self.links: list[Link] = []
        self.lost: dict[bytes, str] = {}
        self.folders: dict[bytes, tuple[Attributes | None, int]] = {}
        self.gone: list[bytes] = []

    def add(self, volume_id: int, item: Item) -> None:
        """Put an item in."""
        work = self.volumes.get(volume_id)
        if work is None:
            work = self.volumes[volume_id] = Work()
        work.add(item)

    @property
    def files(self) -> int:
        """Files and links."""
        return sum(work.files for work in self.volumes.values()) + len(self.links)

    @property
    def bytes(self) -> int:
        """Their content."""
        return sum(work.bytes for work in self.volumes.values())

    def __bool__(self) -> bool:
        return bool(self.folders or self.gone) or any(work.count for work in self.volumes.values())


def part_with_whole(selection: Selection) -> list[bytes]:
    """Let parts of files of which not all parts are selected be files of their own; returns these parts' places."""
    there: dict[bytes, tuple[set[int], int]] = {}
    for work in selection.volumes.values():
        for item in work.items():
            if item.part is not None:
                numbers, last = there.get(item.place, (set(), 0))
                number, _, _, digest = item.part
                numbers.add(number)
                there[item.place] = numbers, number if digest is not None else last
    incomplete = {place for place, (numbers, last) in there.items() if len(numbers) != last}
    places = []
    for work in selection.volumes.values() if incomplete else ():
        for archive, spool in work.archives.items():
            if not any(item.part is not None and item.place in incomplete for item in spool):
                continue
            again = Spool()
            for item in spool:
                if item.part is not None and item.place in incomplete:
                    item = item._replace(place=item.path, part=None)
                    places.append(item.place)
                again.add(item)
            spool.close()
            work.archives[archive] = again
    return places


Find = Callable[[int, set[tuple[bytes, bytes]]], Iterator[Item]]
"""All members of a volume that have one of these archives and paths; what was entered last comes first."""

_UNKNOWN = "is a hard link to a file that is not in the catalogue"
_NONE_BEFORE = "is a hard link, and no file that it may be another name of stands before it in its archive"


def resolve_links(selection: Selection, find: Find) -> None:
    """Set hard links apart, each with the place of its content; content that was not asked for is added."""
    for number, work in selection.volumes.items():
        links, work.links = work.links, []
        wanted = {(link.archive, link.target or b"") for link in links}
        there = {
            (item.archive, item.path): item
            for archive in {link.archive for link in links} & work.archives.keys()
            for item in work.archives[archive]
            if (archive, item.path) in wanted and is_in_its_own_place(item)
        }
        # In what this program wrote, of which the catalogue has the frames, a path comes once.
        of_others = [link for link in links if link.frame is None]
        if of_others:
            versions = find_versions(of_others, partial(find, number))
            _resolve_by_versions(selection, work, of_others, versions, there)
            links = [link for link in links if link.frame is not None]
            wanted = {(link.archive, link.target or b"") for link in links}
        missing = wanted - there.keys()
        found = {(item.archive, item.path): item for item in find(number, missing)} if missing else {}
        for link in reversed(links):
            key = link.archive, link.target or b""
            if key not in there and key in found:
                there[key] = found[key]._replace(place=link.place)
                work.add(there[key])
            elif key in there:
                selection.links.append(_link_to(link.place, there[key]))
            else:
                selection.lost[link.place] = _UNKNOWN


def _link_to(place: bytes, content: Item) -> Link:
    return Link(place, content.place, content.size, content.mtime_ns)


def _resolve_by_versions(
    selection: Selection, work: Work, links: list[Item], versions: Versions, there: dict[tuple[bytes, bytes], Item]
) -> None:
    """The same for links of media that others wrote, where a path may come more than once in an archive.

    Args:
        selection: takes the links.
        work: of their volume.
        links: the last first.
        versions: of all paths that matter.
        there: what is restored to its own place anyway, by archive and path.
    """
    placed: dict[int, Item] = {}
    for link in reversed(links):
        version = versions.meant_by(link)
        if version is None:
            is_known = versions.has((link.archive, link.target or b""))
            selection.lost[link.place] = _NONE_BEFORE if is_known else _UNKNOWN
            continue
        key = version.item.archive, version.item.path
        if version.is_last and key in there:
            selection.links.append(_link_to(link.place, there[key]))
        elif version.number in placed:
            selection.links.append(_link_to(link.place, placed[version.number]))
        else:
            placed[version.number] = version.item._replace(place=link.place)
            work.add(placed[version.number])


def is_in_its_own_place(item: Item) -> bool:
    """Whether it is the member itself, and not a copy elsewhere in the tree whose content is read there."""
    own = place_on_medium(item.path)
    return item.place in (own, place_on_medium(item.archive + INSIDE + own))


def find_by_catalogue(catalogue: State) -> Find:
    """Asks the catalogue for all that is on the volume."""

    def find(number: int, wanted: set[tuple[bytes, bytes]]) -> Iterator[Item]:
        items = (item_of(row) for row in catalogue.files_on(number))
        return (item for item in items if (item.archive, item.path) in wanted)

    return find


# From the catalogue


def select_state(catalogue: State, job: str | None, as_of_ns: int | None, paths: Sequence[bytes]) -> Selection:
    """The state of a job's sources, or what of it is below the paths.

    Raises:
        UsageError: a path is not in it, or two sources would go to one place.
        CatalogueError: the job has no run as of then.
    """
    if job is not None and catalogue.run_as_of(job, as_of_ns) is not None:
        return _select_picture(catalogue, job, as_of_ns, paths)
    selection, labels = Selection(), dict[bytes, bytes]()
    missing = {path.rstrip(b"/") or b"/" for path in paths}
    if job is None:
        seen = Overlay(os.sep.encode())
        found: set[bytes] = set()
        for name in dict.fromkeys(run.job for run in catalogue.runs_until(None, as_of_ns)):
            found |= _add_picture(selection, catalogue, name, as_of_ns, missing, labels, seen)
        missing -= found
        if selection and not missing:
            return selection
    for row in catalogue.state(job, as_of_ns, sorted(missing)):
        if row.label is not None and row.source is not None:
            _check_label(labels, row.label, row.source)
        missing -= {path for path in missing if _is_below(row, path)}
        selection.add(row.volume_id, item_of(row))
    for path in sorted(missing):
        for other in _in_archives(path):
            rows = list(catalogue.state(job, as_of_ns, [other]))
            for row in rows:
                selection.add(row.volume_id, item_of(row))
            if rows:
                missing.discard(path)
                break
    if missing:
        some = ", ".join(os.fsdecode(path) for path in sorted(missing)[:5])
        raise UsageError(
            f"{some}: not in the catalogue{' as of then' if as_of_ns is not None else ''}; "
            "give the path where it was saved, as 'backalaika files' shows it"
        )
    return selection


def _select_picture(catalogue: State, job: str, as_of_ns: int | None, paths: Sequence[bytes]) -> Selection:
    selection = Selection()
    missing = {path.rstrip(b"/") or b"/" for path in paths}
    missing -= _add_picture(selection, catalogue, job, as_of_ns, missing, {}, Overlay(os.sep.encode()))
    if missing:
        some = ", ".join(os.fsdecode(path) for path in sorted(missing)[:5])
        raise UsageError(f"{some}: was not in the sources of {job!r} then; 'backalaika runs {job}' lists its runs")
    return selection


def _check_label(labels: dict[bytes, bytes], label: bytes, source: bytes) -> None:
    if labels.setdefault(label, source) != source:
        raise UsageError(
            f"{os.fsdecode(source)} and {os.fsdecode(labels[label])} would both become "
            f"{os.fsdecode(label)!r}; restore one after the other, each to a directory of its own"
        )


def _add_picture(
    selection: Selection,
    catalogue: State,
    job: str,
    as_of_ns: int | None,
    paths: set[bytes],
    labels: dict[bytes, bytes],
    seen: Overlay,
) -> set[bytes]:
    """Select what the picture of a run tells, wherever it is: moved files by their content; returns the paths found.

    ``seen`` has what the pictures of other jobs told before, which counts.
    """
    found: set[bytes] = set()
    for entry, rows in catalogue.pictured(job, as_of_ns, sorted(paths)):
        _check_label(labels, entry.label, entry.source)
        path = os.path.join(entry.folder, entry.name) if entry.name else entry.folder
        if not seen.keeps(path, entry.kind == DIRECTORY):
            continue
        if paths:
            found |= {path for path in paths - found if _is_below(entry, path)}
        place, own = _place_of(entry), _attributes_of(entry)
        for row in rows:
            item = item_of(row, place, entry.mtime_ns, own)
            if row.digest == entry.digest:  # all there is of this file, though it may be a part of another
                item = item._replace(part=None)
            selection.add(row.volume_id, item)
        if not rows and entry.kind == DIRECTORY:
            selection.folders[place] = None if own is None else Attributes(*own), entry.mtime_ns
        elif not rows:
            selection.gone.append(place)
    return found


def _attributes_of(entry: PictureEntry) -> tuple[int, int, int] | None:
    """Mode, uid and gid, where the picture has them because no archive does."""
    if entry.mode is None:
        return None
    return entry.mode, -1 if entry.uid is None else entry.uid, -1 if entry.gid is None else entry.gid


def _place_of(entry: PictureEntry) -> bytes:
    folder = archive_folder(entry.label, entry.source, entry.folder)
    return folder + entry.name if entry.name else folder[:-1]


def _in_archives(path: bytes) -> Iterator[bytes]:
    """The paths that a path may have in archives: a catalogue that was rebuilt knows no others."""
    steps = path.strip(b"/").split(b"/")
    return (b"/".join(steps[number:]) for number in range(len(steps)))


def _is_below(row: Located | PictureEntry, path: bytes) -> bool:
    folder = row.folder
    beginning = path if path.endswith(b"/") else path + b"/"
    return folder == path or folder.startswith(beginning) or (bool(row.name) and os.path.join(folder, row.name) == path)


def select_digest(catalogue: Catalogue, digest: bytes) -> Selection:
    """A file with this content, in parts or not, under the name under which it was saved last.

    Raises:
        UsageError: there is none.
    """
    selection = Selection()
    for rows in catalogue.files_with_digest(digest):
        for row in rows:
            selection.add(row.volume_id, item_of(row))
        return selection
    raise UsageError(f"{digest.hex()}: no file of this digest is on complete volumes of the catalogue")


def places_by_catalogue(catalogue: Catalogue) -> Places:
    """Copies on other volumes that the catalogue knows."""

    def places(items: list[Item]) -> dict[Item, dict[int, Item]]:
        pairs = {(item.size, item.digest) for item in items if item.size and item.digest is not None}
        found = catalogue.places(pairs) if pairs else {}
        return {
            item: {row.volume_id: instead(item, item_of(row)) for row in found.get((item.size, item.digest), ())}
            for item in items
            if item.digest is not None
        }

    return places


def instead(item: Item, other: Item) -> Item:
    """A copy of an item's content elsewhere, for the item's own place."""
    return other._replace(place=item.place, mtime_ns=item.mtime_ns, part=item.part, attributes=item.attributes)

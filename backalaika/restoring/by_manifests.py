"""By manifests: the members that are asked for, from volumes alone; numbers of volumes are given here.

What a damaged manifest has lost, its archives tell themselves.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from ..catalogue.results import VolumeAt
from ..errors import UsageError
from ..manifest import MANIFEST
from ..overlay import Overlay
from ..walk import DIRECTORY
from .archives import archives_in, lost_items
from .asking import Asking, naming
from .items import Item
from .manifests import digest_by_readme, manifest_items
from .readmes import told_by_readme
from .selecting import Find, Places, Selection, Work, instead


def select_manifests(
    folders: Sequence[str], paths: Sequence[bytes], warn: Callable[[str, str], None], asking: Asking
) -> tuple[Selection, dict[int, VolumeAt]]:
    """What is on some volumes, by their manifests; numbers of volumes are given here.

    Args:
        folders: of the volumes.
        paths: in archives, or where the files were, of which the end is such a path; with all below. None: everything.
        warn: told the path of a manifest or an archive that is damaged, and what is wrong.
        asking: reads them.

    Raises:
        HangsError: a volume gives nothing any more.
        UsageError: a path is on none of the volumes.
    """
    told = {folder: told_by_readme(folder, asking) for folder in folders}
    ordered = sorted(folders, key=lambda folder: (told[folder].order, folder))
    volumes = {}
    everything = Selection()
    for number, folder in enumerate(ordered, 1):
        title = told[folder].title
        with naming(title):
            digest = _add_volume(everything, number, folder, told[folder].text, warn, asking)
        work = everything.volumes.get(number, Work())
        volumes[number] = VolumeAt(number, title, os.path.abspath(folder), digest, None, work.files, work.bytes)
    if paths and not everything:
        raise UsageError(f"{os.fsdecode(paths[0])}: not on these volumes")
    selection = Selection()
    left = set(paths)
    runs = {number: told[folder].run or folder for number, folder in enumerate(ordered, 1)}
    for item, number in _newest(everything, runs):
        if paths:
            matched = {path for path in paths if _matches(item.place, path)}
            left -= matched
            if not matched:
                continue
        selection.add(number, item)
    for work in everything.volumes.values():
        work.close()
    if left:
        raise UsageError(
            f"{', '.join(os.fsdecode(path) for path in sorted(left)[:5])}: not on these volumes; "
            "give a path as the manifests have it, such as office/letters"
        )
    return selection, volumes


def _add_volume(
    everything: Selection, number: int, folder: str, text: str, warn: Callable[[str, str], None], asking: Asking
) -> str:
    """Put in all that is on a volume, what its manifest has lost too; returns which digest the volume has."""
    told: list[str] = []

    def tell(message: str) -> None:
        told.append(message)
        warn(os.path.join(folder, MANIFEST), f"{message}; what it has lost is taken from the archives")

    length = 16
    for item in manifest_items(folder, tell, asking):
        everything.add(number, item)
        length = len(item.digest) if item.digest is not None else length
    digest = digest_by_readme(text, length)
    for archive in archives_in(folder, asking) if told else ():
        path = os.path.join(folder, os.fsdecode(archive))
        work = everything.volumes.get(number, Work())
        known = [*work.archives.get(archive, ()), *(link for link in work.links if link.archive == archive)]
        for item in lost_items(folder, archive, known, digest, partial(warn, path), asking):
            everything.add(number, item)
    return digest


def _newest(everything: Selection, runs: dict[int, str]) -> Iterator[tuple[Item, int]]:
    """What is there of all that is on volumes, the newest of which has the highest number; and on which each is.

    Of a file that was cut, that are the parts of one version: of the newest run, and of one time, for a run that went
    on after the file had changed has saved two.
    """
    overlay = Overlay()
    cut: dict[bytes, tuple[tuple[str, int], set[int]]] = {}
    for number in sorted(everything.volumes, reverse=True):
        for item in _last_first(everything, number):
            version = runs[number], item.mtime_ns
            if b".." in item.place and b".." in item.place.split(b"/"):
                yield item, number  # a stranger's, which is refused, and not in silence
            elif overlay.keeps(item.place, item.kind == DIRECTORY):
                if item.part is not None:
                    cut[item.place] = version, {item.part[0]}
                yield item, number
            elif item.part is not None and item.place in cut:
                of, parts = cut[item.place]
                if version == of and item.part[0] not in parts:
                    parts.add(item.part[0])
                    yield item, number


def _last_first(everything: Selection, number: int) -> Iterator[Item]:
    work = everything.volumes[number]
    for name in sorted(work.archives, reverse=True):
        yield from reversed(work.archives[name])
    yield from reversed(work.links)


def _matches(place: bytes, path: bytes) -> bool:
    """Whether a member is the path or below it, or that of an absolute path's ends that begins with its top folder."""
    wanted = path.strip(b"/")
    if path.startswith(b"/"):
        steps = wanted.split(b"/")
        top = place.split(b"/", 1)[0]
        wanted = next((b"/".join(steps[n:]) for n in range(len(steps)) if steps[n] == top), wanted)
    return place == wanted or place.startswith(wanted + b"/")


def places_by_manifests(volumes: dict[int, VolumeAt], asking: Asking) -> Places:
    """Copies on the other volumes that are there; their manifests are read when it is asked for the first time."""

    def places(items: list[Item]) -> dict[Item, dict[int, Item]]:
        wanted: dict[tuple[int, bytes], list[Item]] = {}
        for item in items:
            if item.digest is not None and item.size:
                wanted.setdefault((item.size, item.digest), []).append(item)
        found: dict[Item, dict[int, Item]] = {item: {} for item in items}
        for number, volume in volumes.items() if wanted else ():
            assert volume.path is not None
            with naming(volume.title):
                for other in manifest_items(volume.path, lambda message: None, asking):  # it was told before
                    for item in wanted.get((other.size, other.digest or b""), ()):
                        if other.archive != item.archive or other.path != item.path:
                            found[item].setdefault(number, instead(item, other))
        return found

    return places


def find_by_manifests(volumes: dict[int, VolumeAt], asking: Asking) -> Find:
    """Reads the volume's manifest."""

    def find(number: int, wanted: set[tuple[bytes, bytes]]) -> Iterator[Item]:
        items = manifest_items(volumes[number].path or "", lambda message: None, asking)  # it was told before
        return reversed([item for item in items if (item.archive, item.path) in wanted])

    return find

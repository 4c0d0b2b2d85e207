"""Versions: what hard links in the archives of others are other names of, where a path comes more than once.

`tar -r` appends a file under the name that it had before. A hard link is to the file that had the name when the link
was written: the last before it in the archive, as `tar x` makes it. What stands before what tells the order in which
the members were entered.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple

from ..walk import DIRECTORY, HARD_LINK
from .items import Item

Key = tuple[bytes, bytes]
"""An archive, and a path in it."""

# How often it is looked for what links are to that were found by links.
_ROUNDS = 3


class Version(NamedTuple):
    """One of the members of one path.

    Attributes:
        number: grows in the order in which they stand in the archive.
        item: the member.
        is_last: whether no other follows.
    """

    number: int
    item: Item
    is_last: bool


class Versions:
    """Members by their archives and paths.

    Args:
        members: of each path all; what was entered last comes first.
    """

    def __init__(self, members: Sequence[Item]) -> None:
        counts = Counter((item.archive, item.path) for item in members)
        self._of: dict[Key, list[Version]] = {}
        links = []
        for number, item in enumerate(reversed(members)):
            key = item.archive, item.path
            some = self._of.setdefault(key, [])
            version = Version(number, item, len(some) + 1 == counts[key])
            some.append(version)
            if item.kind == HARD_LINK:
                links.append(version)
        self._meant: dict[int, Version | None] = {}
        for link in links:  # from the first to the last, so that what they are to is known
            self._meant[link.number] = self._before(link)

    def _before(self, link: Version) -> Version | None:
        some = self._of.get((link.item.archive, link.item.target or b""), [])
        at = bisect_left(some, link.number, key=attrgetter("number"))
        if not at or some[at - 1].item.kind == DIRECTORY:
            return None
        return self._meant[some[at - 1].number] if some[at - 1].item.kind == HARD_LINK else some[at - 1]

    def has(self, key: Key) -> bool:
        """Whether there is a member of this path."""
        return key in self._of

    def meant_by(self, link: Item) -> Version | None:
        """What a link is another name of, which is no link; None if nothing of its name stands before it.

        Args:
            link: the last member of its path.
        """
        some = self._of.get((link.archive, link.path))
        return self._meant.get(some[-1].number) if some else None


def find_versions(links: Sequence[Item], find: Callable[[set[Key]], Iterator[Item]]) -> Versions:
    """All versions of links and of what they are to.

    Args:
        links: of one volume.
        find: all members of it that have one of these archives and paths, what was entered last first.
    """
    wanted = {(link.archive, path) for link in links for path in (link.path, link.target or b"")}
    for _ in range(_ROUNDS):
        members = list(find(wanted))
        more = {(item.archive, item.target or b"") for item in members if item.kind == HARD_LINK} - wanted
        if not more:
            break
        wanted |= more
    return Versions(members)

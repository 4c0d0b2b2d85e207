"""Spreading: items whose volume is not at hand, over the volumes that have the same content."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import islice

from ..walk import FILE
from .choosing import choose
from .items import Item
from .selecting import Places, Selection, Work

_AT_A_TIME = 2000


def spread(
    works: Mapping[int, Work], places: Places, is_at_hand: Callable[[int], bool], out: Collection[int] = ()
) -> tuple[Selection, list[int], list[tuple[int, Item]]]:
    """Choose the volumes to be read.

    Args:
        works: what is wanted, by the volumes on which it was found; they are closed.
        places: where else contents are.
        is_at_hand: whether a volume is there without asking anybody.
        out: volumes that cannot be had.

    Returns:
        The work by volumes; these, in the order of reading; and what only volumes have that cannot be had.
    """
    reachable: dict[int, bool] = {}

    def at_hand(volume: int) -> bool:
        if volume not in reachable:
            reachable[volume] = is_at_hand(volume)
        return reachable[volume]

    groups: dict[frozenset[int], int] = {}
    for _, options in _options(works, places, out):
        group = frozenset(options)
        groups[group] = groups.get(group, 0) + 1
    every = set().union(*groups) if groups else set()
    order = choose(groups, [volume for volume in sorted(every) if at_hand(volume)])
    rank = {volume: number for number, volume in enumerate(order)}
    selection, lost = Selection(), []
    for (home, item), there in _options(works, places, out):
        if there:
            best = min(there, key=lambda volume: rank.get(volume, len(rank)))
            selection.add(best, there[best])
        else:
            lost.append((home, item))
    for work in works.values():
        work.close()
    return selection, [volume for volume in order if volume in selection.volumes], lost


def _options(
    works: Mapping[int, Work], places: Places, out: Collection[int]
) -> Iterator[tuple[tuple[int, Item], dict[int, Item]]]:
    """Each item with its home and with the volumes that have it; links and folders are at home only."""
    for home, work in works.items():
        items = work.items()
        while some := list(islice(items, _AT_A_TIME)):
            elsewhere = places([item for item in some if item.kind == FILE])
            for item in some:
                there = {volume: other for volume, other in elsewhere.get(item, {}).items() if volume not in out}
                if home not in out:
                    there[home] = item
                yield (home, item), there

"""Sparing: which volumes can be thrown away together, and of nothing the last copy goes with them.

A content is there in one way or in several: whole on a volume, or cut, with its parts on some volumes of one run, of
which it takes all. Parts of two runs do not make a whole, though they have the same contents. No volumes or files here,
only numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

Ways = frozenset[frozenset[int]]
"""In which ways a content is there: of each the volumes that it takes."""


def spare(order: Sequence[int], contents: Iterable[Ways], damaged: Collection[int] = ()) -> list[int]:
    """Those that can all be thrown away; each content that they have is left in a way that takes none of them.

    Args:
        order: the volumes; the first go first.
        contents: of each the ways in which it is there.
        damaged: volumes that may have lost anything: nothing is thrown away because they have it too.

    Returns:
        As many as can go in this order.
    """
    of_volume: dict[int, list[Ways]] = {}
    for ways in contents:
        for volume in frozenset().union(*ways):
            of_volume.setdefault(volume, []).append(ways)
    healthy, gone = set(order).difference(damaged), []
    for volume in order:
        others = healthy - {volume}
        if all(_stays(ways, others) for ways in of_volume.get(volume, ())):
            healthy = others
            gone.append(volume)
    return gone


def _stays(ways: Ways, left: set[int]) -> bool:
    """Whether one of the ways takes only volumes that are left."""
    return any(way <= left for way in ways)

"""Sparing: which volumes can be thrown away together, and of nothing the last copy goes with them.

A content is there in one way or in several: whole on a volume, or cut, with its parts on some volumes of one run, of
which it takes all. Parts of two runs do not make a whole, though they have the same contents. No volumes or files here,
only numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

Ways = frozenset[frozenset[int]]
"""In which ways a content is there: of each the volumes that it takes."""


def spare(order: Sequence[int], contents: Iterable[Ways]) -> list[int]:
    """Those that can all be thrown away; each content that they have is left in a way that takes none of them.

    Args:
        order: the volumes; the first go first.
        contents: of each the ways in which it is there.

    Returns:
        As many as can go in this order.
    """
    of_volume: dict[int, list[Ways]] = {}
    for ways in contents:
        for volume in frozenset().union(*ways):
            of_volume.setdefault(volume, []).append(ways)
    left, gone = set(order), []
    for volume in order:
        left.discard(volume)
        if all(_stays(ways, left) for ways in of_volume.get(volume, ())):
            gone.append(volume)
        else:
            left.add(volume)
    return gone


def _stays(ways: Ways, left: Collection[int]) -> bool:
    """Whether one of the ways takes only volumes that are left."""
    return any(all(volume in left for volume in way) for way in ways)

"""Choosing: which media to read, as few as can be.

Set cover is hard; the greedy choice, always the medium that has most of what is still missing, needs at most
ln(n) + 1 times the fewest (Chvátal 1979, "A greedy heuristic for the set-covering problem"). Files are not told one by
one: all that lie on the same media count together, so it takes as long as there are media, not files.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping


def choose(groups: Mapping[frozenset[int], int], at_hand: Collection[int] = ()) -> list[int]:
    """The volumes to read, those at hand first, then the one that gives most.

    Args:
        groups: how much, in any unit but nothing below 1, lies on all of these volumes and on no other.
        at_hand: volumes that cost nobody a walk to the shelf.

    Returns:
        Volumes such that each group has one of them; of equal ones, the lower number first.
    """
    left = {places: amount for places, amount in groups.items() if places}
    chosen: list[int] = []
    candidates = set().union(*left) if left else set()
    for some in (candidates & set(at_hand), candidates):
        while True:
            gains = dict.fromkeys(some, 0)
            for places, amount in left.items():
                for volume in places & some:
                    gains[volume] += max(amount, 1)
            best = max(sorted(gains), key=gains.__getitem__, default=None)
            if best is None or not gains[best]:
                break
            chosen.append(best)
            left = {places: amount for places, amount in left.items() if best not in places}
    return chosen

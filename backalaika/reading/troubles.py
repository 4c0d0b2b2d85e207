"""Troubles: what could not be read of one file on a medium; of very many the first, and how many more.

A damaged directory of a million members would else fill pipes, memory and the screen with a million lines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from .messages import Trouble

_MOST = 100


class Troubles:
    """Passes the first troubles of a file on, and counts the others. Those of its own come besides those of members.

    Args:
        path: of the file on the medium.
        send: takes the troubles.
    """

    def __init__(self, path: bytes, send: Callable[[Trouble], None]) -> None:
        self._path, self._send = path, send
        self._own: set[Trouble] = set()
        self._sent: Counter[tuple[bool, bool]] = Counter()
        self._more: Counter[bool] = Counter()

    def tell(self, trouble: Trouble) -> None:
        """One more."""
        is_own = trouble.path == self._path
        if trouble in self._own:
            return  # a damaged zip has many gaps, of which the same is said
        group = is_own, trouble.is_note
        if self._sent[group] == _MOST:
            self._more[trouble.is_note] += 1
            return
        self._sent[group] += 1
        if is_own:
            self._own.add(trouble)
        self._send(trouble)

    def end(self) -> None:
        """The file is done: tell how many were not told."""
        for is_note, number in sorted(self._more.items()):
            self._send(Trouble(self._path, f"and {number:,} more {'notes' if is_note else 'problems'}", is_note))
        self._more.clear()

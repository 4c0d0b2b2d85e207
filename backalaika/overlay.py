"""Overlay: what is there when newer states lie over older ones, path by path.

Of one path the newest counts. Where a file or link has taken the place of a folder, that folder and all that was in it
are gone, though nobody has said so of each; and a file is gone where a folder is now. Paths come from the newest to the
oldest, are kept as hashes of 16 bytes, and those above one another looked up once for each folder.
"""

from __future__ import annotations

from xxhash import xxh3_128_intdigest


class Overlay:
    """Told of paths from the newest to the oldest, it says which are still there.

    Args:
        slash: what is between the steps of a path.
    """

    def __init__(self, slash: bytes = b"/") -> None:
        self._slash = slash
        self._folders: set[int] = set()  # that came themselves
        self._entered: set[int] = set()  # of which it is known that they are, or were, folders
        self._leaves: set[int] = set()
        self._covered: dict[int, bool] = {}
        self._last: tuple[bytes, bool] | None = None  # most come folder by folder

    def keeps(self, path: bytes, is_folder: bool) -> bool:
        """Whether a path comes for the first time, and nothing newer has taken its place or that of a folder above."""
        if is_folder:
            path = path.rstrip(self._slash)
            key = xxh3_128_intdigest(path)
            is_first = key not in self._folders
            self._folders.add(key)
            return is_first and not self._is_covered(path)
        key = xxh3_128_intdigest(path)
        if key in self._leaves:
            return False
        is_covered = self._is_covered(self._above(path))
        self._leaves.add(key)
        if key not in self._entered:
            return not is_covered
        # A folder has taken its place since; what was there before it was a file is gone all the same.
        self._covered.clear()
        self._last = None
        return False

    def _above(self, path: bytes) -> bytes:
        return path[: max(path.rfind(self._slash), 0)]

    def _is_covered(self, folder: bytes) -> bool:
        """Whether a folder, or one above it, came as a file; if not, all of these are folders from now on."""
        if self._last is not None and self._last[0] == folder:
            return self._last[1]
        steps = []
        at, is_covered = folder, False
        while at:
            key = xxh3_128_intdigest(at)
            known = self._covered.get(key)
            if known is not None:
                is_covered = known
                break
            steps.append(key)
            at = self._above(at)
        for key in reversed(steps):
            is_covered = is_covered or key in self._leaves
            self._covered[key] = is_covered
            if not is_covered:
                self._entered.add(key)
        self._last = folder, is_covered
        return is_covered

"""Where restored files go: a new, empty folder in each round.

Nothing is deleted meanwhile: for a minute and more ext4 does not use the inodes of deleted files again, and looks at
each of them whenever a file is made, which took ten times as long as all else. But the files of the round before are
cut to nothing, so that no more room is needed than for two rounds, however many there are.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path


class Targets:
    """Folders below one; ``last`` is that of this round."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._number = 0
        self.last = place

    def begin(self) -> None:
        """Take a new, empty folder, empty the files of the one before the last, and sync the disk."""
        if self._number > 1:
            _empty(self._place / f"{self._number - 1}")
        self._number += 1
        self.last = self._place / f"{self._number}"
        self.last.mkdir(parents=True)
        os.sync()


def _empty(directory: Path) -> None:
    for folder, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(folder, name)
            mode = os.lstat(path).st_mode
            # What cannot be emptied takes room, and spoils nothing else.
            with suppress(OSError):
                if stat.S_ISREG(mode):
                    os.chmod(path, stat.S_IRUSR | stat.S_IWUSR)
                    os.truncate(path, 0)

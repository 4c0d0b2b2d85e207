"""Room: what is free where a run writes, and whom to ask for more of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from ..errors import RunError
from ..survey import Survey
from .report import Observer, Report
from .work import Interrupted

if TYPE_CHECKING:
    from ..job.config import Config


def free_space(folder: str) -> int:
    """Bytes free where ``folder`` is, or will be made."""
    while not os.path.exists(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    return shutil.disk_usage(folder).free


class Room:
    """The room that a run has, and the conversation about it.

    Args:
        config: for ``volume_pause`` and the media.
        survey: what there is to save.
        report: how far the run is; its folder is where it writes.
        observer: asks the user.
        interruptible: where CTRL-C may end a question.
        on_its_way: bytes that may be written of the next volume before a complete one is heard of.

    Attributes:
        asking: whether the user is being asked to make room on a full disk.
        refused: whether that was in vain, and the run ends.
    """

    def __init__(
        self,
        config: Config,
        survey: Survey,
        report: Report,
        observer: Observer,
        interruptible: Callable[[], AbstractContextManager[None]],
        on_its_way: int,
    ) -> None:
        self._config = config
        self._survey = survey
        self._report = report
        self._observer = observer
        self._interruptible = interruptible
        self._on_its_way = on_its_way
        self._volumes = len(report.volumes)
        self._told = False
        self.asking = self.refused = False

    def to_save(self) -> int:
        """Bytes that have no place yet, at most: before compression, and with what may still prove to be known."""
        report = self._report
        return max(self._survey.bytes - report.known_bytes - report.bytes, 0)

    def pause(self) -> None:
        """With ``volume_pause``, after a volume: wait for Enter if the next one might find too little room.

        Raises:
            Interrupted: the user wants to stop.
        """
        volumes = len(self._report.volumes)
        if not self._config.volume_pause or volumes == self._volumes:
            return
        self._volumes = volumes
        folder, free = self._report.folder, free_space(self._report.folder)
        need = min(self._most_capacity(), self.to_save()) + self._on_its_way
        if free >= need:
            return
        about = f"{folder}: {_size(free)} are free, and the next volume may need {_size(need)}"
        asked = self._wait(f"{about}. Move or burn the complete ones, then press Enter (CTRL-C stops)")
        if not asked and not self._told:
            self._told = True
            self._observer.note(f"{about}; volume_pause waits for nobody: there is no terminal, or --yes was given")

    def disk_full(self, reason: str, besides: int) -> None:
        """Ask to make room on a disk that is full; returns when it was made.

        Args:
            reason: the system's word for it.
            besides: bytes that are to be written and are no content, such as recovery files.

        Raises:
            RunError: there is nobody to ask.
            Interrupted: the user wants to stop.
        """
        folder, needed = self._report.folder, self.to_save() + besides + self._on_its_way
        missing = needed - free_space(folder)
        # A quota, or what is kept for root, may leave nothing of what is free.
        about = f"{folder}: {reason}; at most {_size(missing if missing > 0 else needed)} more are needed"
        self.asking = True
        made = False
        try:
            made = self._wait(f"{about}. Make room and press Enter (CTRL-C stops)")
        finally:
            self.asking, self.refused = False, not made
        if not made:
            raise RunError(f"{about}; make room, then start the backup again")

    def _most_capacity(self) -> int:
        return max(medium.capacity for medium in (*self._config.volume_sizes, self._config.max_size))

    def _wait(self, message: str) -> bool:
        try:
            with self._interruptible():
                return self._observer.wait(message)
        except KeyboardInterrupt:
            raise Interrupted from None


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"

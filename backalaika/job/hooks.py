"""Hooks: the functions of a job file that are called during a run, and what is told when the user's code fails.

By the time a hook runs, hours of work may be safe on disk. So its failure is one line for the list of problems, and
never the end of the run.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .loading import Job

Hook = Callable[..., object]


def run_after_backup(job: Job, run: object) -> str | None:
    """Call the job's ``after_backup``, with the finished run if it takes an argument; one line if it failed."""
    return _call(job.after_backup, run, job.path)


def run_after_volume(job: Job, volume: object) -> str | None:
    """Call the job's ``after_volume``, with the volume if it takes an argument; one line if it failed."""
    return _call(job.after_volume, volume, job.path)


def takes_arguments(hook: Hook, *arguments: object) -> bool:
    """Whether a function can be called with so many arguments."""
    try:
        inspect.signature(hook).bind(*arguments)
    except TypeError:
        return False
    except ValueError:  # written in C, and silent about its arguments: called without any, as version 0.2 did
        return not arguments
    return True


def _call(hook: Hook | None, argument: object, path: str) -> str | None:
    if hook is None:
        return None
    arguments = (argument,) if takes_arguments(hook, argument) else ()
    try:
        hook(*arguments)
    except SystemExit as leaving:
        if leaving.code in (None, 0):
            return None
        return f"it left with sys.exit({leaving.code!r})"
    except Exception as error:
        what, where = describe_failure(error, path)
        return f"{what} ({where})"
    return None


def describe_failure(error: Exception, path: str) -> tuple[str, str]:
    """One line that says what was raised, and ``FILE:LINE``: the last line of the job file that led there."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == path] or frames
    message = " ".join(str(error).split())
    what = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return what, f"{own[-1].filename}:{own[-1].lineno}"

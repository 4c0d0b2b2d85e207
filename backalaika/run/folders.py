"""Folders: the folder of a run, and its name."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable

from ..errors import RunError
from ..walk import describe_error
from .writer import sync_folder


def make_folder(parent: str, name: str, is_taken: Callable[[str], bool]) -> str:
    """Make the folder of a run, for its owner only; its name ends with ``-2`` and so on if there was such a run.

    Args:
        parent: made too if need be.
        name: what the folder is to be called.
        is_taken: whether the catalogue has a run of this name, even if its folder is gone.

    Raises:
        RunError: it cannot be made.
    """
    try:
        os.makedirs(parent, mode=0o700, exist_ok=True)
        for number in itertools.count(1):
            candidate = name if number == 1 else f"{name}-{number}"
            if is_taken(candidate):
                continue
            folder = os.path.join(parent, candidate)
            try:
                os.mkdir(folder, 0o700)
            except FileExistsError:
                continue
            sync_folder(parent)
            return folder
    except OSError as error:
        raise RunError(f"{parent}: the backup's folder cannot be made: {describe_error(error)}") from None
    raise AssertionError


def run_name(started_at_ns: int, job: str, comment: str) -> str:
    """The folder name of a run: local date and time, job, comment."""
    stamp = time.strftime("%Y-%m-%d_%H%M", time.localtime(started_at_ns // 1_000_000_000))
    return "-".join(part for part in (stamp, job, comment) if part)

"""Folders: the folder of a run."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable

from ..errors import RunError
from ..walk import describe_error
from .naming import numbered
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
            candidate = numbered(name, number)
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

"""Aside: an archive that a run gives up is moved out of its volume and kept, for it may have what no source has now."""

from __future__ import annotations

import os

DAMAGED = ".damaged"


def put_aside(folder: str, archive: str, file: str | None = None) -> str:
    """Move an archive out of its volume, into the folder of the run, as ``NAME.damaged``.

    Args:
        folder: of the volume.
        archive: the archive's name.
        file: what it is called as long as it is unfinished.

    Returns:
        Where it is now; nothing that was there before is overwritten.
    """
    run_folder, number = os.path.dirname(folder), 1
    while os.path.lexists(place := os.path.join(run_folder, archive + DAMAGED + (f"-{number}" if number > 1 else ""))):
        number += 1
    if os.path.lexists(there := os.path.join(folder, file or archive)):
        os.rename(there, place)
    return place

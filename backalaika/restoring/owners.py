"""Owners: whose a file is on this computer, and what permissions new files have here."""

from __future__ import annotations

import os
from functools import lru_cache

from .frames import Attributes

try:
    import grp
    import pwd
except ImportError:  # Windows has neither, nor owners that could be given away
    grp = pwd = None  # type: ignore[assignment]

# (uid_t) -1, which is none: chown(2).
_NOBODY = (1 << 32) - 1


@lru_cache(maxsize=1)
def umask() -> int:
    """What this process takes from the permissions of new files."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


@lru_cache(maxsize=4096)
def owner_here(attributes: Attributes) -> tuple[int, int]:
    """User and group by their names where they exist on this computer, else by their numbers."""
    uid, gid = attributes.uid, attributes.gid
    if pwd is not None and attributes.user:
        try:
            uid = pwd.getpwnam(os.fsdecode(attributes.user)).pw_uid
        except (KeyError, ValueError):
            uid = attributes.uid
    if grp is not None and attributes.group:
        try:
            gid = grp.getgrnam(os.fsdecode(attributes.group)).gr_gid
        except (KeyError, ValueError):
            gid = attributes.gid
    return _storable(uid), _storable(gid)


def _storable(number: int) -> int:
    """The number, if an owner may have it; else -1, which leaves whose the file is."""
    return number if 0 <= number < _NOBODY else -1

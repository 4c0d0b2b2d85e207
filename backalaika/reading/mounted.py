"""Mounted: which media are there, by what the system tells through psutil."""

from __future__ import annotations

import os
from typing import Any

import psutil

from ..errors import UsageError

OPTICAL = ("iso9660", "udf", "cd9660", "cdfs")


def is_optical(path: str) -> bool:
    """Whether a path lies on the file system of an optical disc."""
    best = ""
    found = False
    real = os.path.realpath(path)
    for partition in psutil.disk_partitions(all=True):
        mount = partition.mountpoint
        if len(mount) > len(best) and (real == mount or real.startswith(os.path.join(mount, ""))):
            best, found = mount, partition.fstype.lower() in OPTICAL
    return found


def mounted_media() -> list[str]:
    """Where optical and removable media are mounted."""
    return sorted({partition.mountpoint for partition in psutil.disk_partitions(all=False) if _is_removable(partition)})


def the_one_medium() -> str:
    """Where the one optical or removable medium is mounted.

    Raises:
        UsageError: there is none, or there are several.
    """
    places = mounted_media()
    if not places:
        raise UsageError("no optical or removable medium is mounted; mount it, or give its PATH")
    if len(places) > 1:
        raise UsageError(f"several media are mounted ({', '.join(places)}); give the PATH of one")
    return places[0]


def _is_removable(partition: Any) -> bool:
    if partition.fstype.lower() in OPTICAL or {"cdrom", "removable"} & set(partition.opts.split(",")):
        return True
    name = os.path.basename(os.path.realpath(partition.device))
    device = os.path.realpath(os.path.join("/sys/class/block", name))
    for folder in (device, os.path.dirname(device)):  # a partition's disk has the flag
        try:
            with open(os.path.join(folder, "removable"), encoding="ascii") as flag:
                return flag.read().strip() == "1"
        except OSError:
            continue  # no such file: not Linux, or no block device
    return False

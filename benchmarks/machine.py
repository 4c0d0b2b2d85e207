"""The machine that figures were measured on: what matters for them, and nothing that names it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

_PEERS = {
    "tar": "--version",
    "pigz": "--version",
    "pbzip2": "--version",
    "lbzip2": "--version",
    "zstd": "--version",
    "xz": "--version",
    "zip": "-v",
    "7z": "i",
    "bsdtar": "--version",
    "restic": "version",
    "borg": "--version",
    "xxhsum": "--version",
    "fpart": "-V",
}
_LIBRARIES = ("deflate", "zlib-ng", "zstandard", "xxhash", "SQLAlchemy")


def describe_machine() -> dict[str, Any]:
    """Processors, memory, system, versions."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": _processor(),
        "cpus": cpus,
        "memory": psutil.virtual_memory().total,
        "load": round(psutil.getloadavg()[0], 1),
        "system": f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "libraries": {name: version(name) for name in _LIBRARIES},
        "peers": {name: _version_of(name, switch) for name, switch in _PEERS.items() if shutil.which(name)},
    }


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor()


def _version_of(name: str, switch: str) -> str:
    """The first number with a dot that the program says of itself."""
    done = subprocess.run([name, switch], capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)
    found = re.search(r"\d+\.\d+[\w.]*", done.stdout + done.stderr)
    return found[0] if found else "unknown"

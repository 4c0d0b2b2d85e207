"""Memory that a command takes, with all its processes."""

from __future__ import annotations

import time

import psutil


def peak_memory(process):
    """Bytes of all its processes together, at most, until it ends; what they share is counted once."""
    peak = 0
    while process.poll() is None:
        total = 0
        for one in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
            try:
                total += one.memory_full_info().pss
            except psutil.Error:
                continue
        peak = max(peak, total)
        time.sleep(0.05)
    return peak

"""Priority: with ``nice``, a run steps back behind all that people do at the machine meanwhile.

It is set in the main process before the others are started, and they inherit it. It is never raised: who has started
the program by ``nice -n 19`` keeps that.
"""

from __future__ import annotations

import sys
from contextlib import suppress

# Beside one program of the usual priority, a tenth of a processor is left for this one.
_NICE = 10
# Of the priorities 0 to 7 within Linux's best-effort class the last; idle might never get a turn in an office.
_LAST = 7


def lower_priority() -> None:
    """Give the processor and the disks to others first, from now on, in this process and those that it starts."""
    import psutil

    process = psutil.Process()
    # A system may allow neither; then it is as fast as the others.
    with suppress(psutil.Error, OSError):
        if sys.platform == "win32":
            process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
        else:
            process.nice(max(int(process.nice()), _NICE))
    with suppress(psutil.Error, OSError):
        if sys.platform == "linux":
            if process.ionice().ioclass != psutil.IOPRIO_CLASS_IDLE:
                process.ionice(psutil.IOPRIO_CLASS_BE, _LAST)
        elif sys.platform == "win32":
            process.ionice(psutil.IOPRIO_LOW)

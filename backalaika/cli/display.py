"""Display: numbers, times and names as people read them."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ..media import Medium


def say(line: str) -> None:
    """Print a line on standard error; where nobody reads that any more, it and all that follow go nowhere.

    A backup does not end because the terminal did.
    """
    try:
        click.echo(line, err=True)
    except OSError:
        mute()


def mute() -> None:
    """Let standard error go nowhere from now on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stderr.fileno())
    os.close(nowhere)


def can_ask() -> bool:
    """Whether somebody sits at a terminal and can answer; standard input may even be closed."""
    return sys.stdin is not None and sys.stdin.isatty()


def printable(text: str) -> str:
    """A name on one line that any terminal can show: control characters and undecodable bytes are escaped."""
    if text.isprintable() and text.isascii():
        return text
    return "".join(
        c if c.isprintable() and not "\ud800" <= c <= "\udfff" else c.encode("unicode_escape").decode() for c in text
    )


def size(count: int) -> str:
    """Bytes in the unit that gives a short number; 1 MB is 1,000,000 bytes."""
    if count < 1000:
        return f"{count} bytes" if count != 1 else "1 byte"
    number = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        number /= 1000
        if number < 999.5 or unit == "TB":
            break
    return f"{number:.3g} {unit}" if number < 99.95 else f"{number:,.0f} {unit}"


def medium(medium: Medium) -> str:
    """A medium: its capacity, and its name if it has one."""
    return f"{medium.name} ({size(medium.capacity)})" if medium.name else size(medium.capacity)


def safety(redundancy: int, verify: str | None) -> str:
    """What is done for each volume besides writing it; empty for nothing.

    Args:
        redundancy: percent of recovery files.
        verify: how it is read back; None: not at all.
    """
    done = [f"{redundancy} % of recovery files"] if redundancy else []
    done += [f"each volume is read back ({verify})"] if verify else []
    return ", ".join(done)


def files(count: int) -> str:
    """A number of files."""
    return counted(count, "file")


def counted(count: int, what: str) -> str:
    """A number of things; ``what`` is one of them, and many have an s."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def duration(seconds: float) -> str:
    """Seconds, minutes or hours."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def moment(time_ns: int) -> str:
    """A local date and time, to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time_ns // 1_000_000_000))

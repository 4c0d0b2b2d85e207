"""Ranges: from ``10M..1G`` to two numbers of bytes, from ``2009..2010-06`` to two moments."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from ..errors import UsageError

_SIZE = re.compile(r"(\d+)(?:\.(\d+))? ?(?:([KMGT])(I?)B?|B|)", re.ASCII)
_SIZE_FORMS = "write 10M..1G, 700MiB.., ..4k, or a number of bytes; 1k is 1000, 1Ki is 1024"
_DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[ T](\d\d):(\d\d)(?::(\d\d))?)?)?)?", re.ASCII)
_DATE_FORMS = "write 2009, 2009-08, 2009-08-15, '2009-08-15 14:30', or two of them: 2009-08..2010, 2009.., ..2008-12"

_Ends = tuple[int | None, int | None]


def parse_sizes(text: str) -> _Ends:
    """Bytes, from and to, both included; None where there is no limit.

    Raises:
        UsageError: it is no size and no range of sizes.
    """
    first, last = _ends(text)
    low, high = _size(first, text), _size(last, text)
    if (low is None and high is None) or (low is not None and high is not None and low > high):
        raise UsageError(f"--size: {text!r} is no range of sizes; {_SIZE_FORMS}")
    return low, high


def parse_dates(text: str) -> _Ends:
    """Nanoseconds since 1970, from and to, the latter not included; a year or a day is meant with all of its time.

    Raises:
        UsageError: it is no date and no range of dates.
    """
    first, last = _ends(text)
    begin, end = _period(first, text)[0], _period(last, text)[1]
    if (begin is None and end is None) or (begin is not None and end is not None and begin >= end):
        raise UsageError(f"--date: {text!r} is no range of dates; {_DATE_FORMS}")
    return begin, end


def _ends(text: str) -> tuple[str, str]:
    first, dots, last = text.partition("..")
    return first.strip(), last.strip() if dots else first.strip()


def _size(text: str, whole: str) -> int | None:
    if not text:
        return None
    found = _SIZE.fullmatch(text.upper())
    if not found:
        raise UsageError(f"--size: {whole!r} is no range of sizes; {_SIZE_FORMS}")
    number, decimals, unit, binary = found.groups(default="")
    scale: int = (1024 if binary else 1000) ** " KMGT".index(unit or " ")
    parts: int = 10 ** len(decimals)
    return int(number + decimals) * scale // parts


def _period(text: str, whole: str) -> _Ends:
    """When what is named begins, and when it is over."""
    if not text:
        return None, None
    found = _DATE.fullmatch(text)
    if not found:
        raise UsageError(f"--date: {whole!r} is no range of dates; {_DATE_FORMS}")
    try:
        year, month, day, hour, minute, second = (None if part is None else int(part) for part in found.groups())
        begin = datetime(year or 0, month or 1, day or 1, hour or 0, minute or 0, second or 0)
        if month is None:
            end = begin.replace(year=begin.year + 1)
        elif day is None:
            end = (begin + timedelta(days=31)).replace(day=1)
        elif hour is None:
            end = begin + timedelta(days=1)
        else:
            end = begin + timedelta(minutes=1) if second is None else begin + timedelta(seconds=1)
        # Both are times of the local clock; with days of 23 or 25 hours it is right too.
        return int(begin.timestamp()) * 1_000_000_000, int(end.timestamp()) * 1_000_000_000
    except (ValueError, OverflowError, OSError):  # 2008-02-30, or a year that the system's clock does not know
        raise UsageError(f"--date: {text!r} is not in the calendar; {_DATE_FORMS}") from None

"""Timestamps of discs, in nanoseconds since 1970, UTC; 0 where they say nothing or nonsense."""

from __future__ import annotations

import calendar
import struct

_QUARTER_S = 15 * 60


def of_seven_bytes(told: bytes) -> int:
    """ECMA-119 9.1.5: years since 1900, month, day, hour, minute, second, quarters of an hour east of Greenwich."""
    if len(told) < 7:
        return 0
    year, month, day, hour, minute, second, zone = struct.unpack("6Bb", told[:7])
    return _moment(1900 + year, month, day, hour, minute, second, zone * _QUARTER_S)


def of_digits(told: bytes) -> int:
    """ECMA-119 8.4.26.1: digits down to hundredths of a second, and the zone as above."""
    digits = told[:16]
    if len(told) < 17 or not digits.isdigit():
        return 0
    year, (month, day, hour, minute, second) = int(digits[:4]), [int(digits[at : at + 2]) for at in range(4, 14, 2)]
    zone = struct.unpack("b", told[16:17])[0]
    moment = _moment(year, month, day, hour, minute, second, zone * _QUARTER_S)
    return moment + int(digits[14:16]) * 10_000_000 if moment else 0


def of_udf(told: bytes) -> int:
    """ECMA-167 1/7.3: kind and zone in minutes, then the year, and so on down to microseconds."""
    if len(told) < 12:
        return 0
    kind, year, month, day, hour, minute, second, hundredths, hundreds, ones = struct.unpack("<Hh8B", told[:12])
    zone = kind & 0xFFF
    zone = zone - 0x1000 if zone & 0x800 else zone
    if not -1440 <= zone <= 1440:
        zone = 0  # -2047: it does not tell
    moment = _moment(year, month, day, hour, minute, second, zone * 60)
    return moment + (hundredths * 10_000 + hundreds * 100 + ones) * 1000 if moment else 0


def _moment(year: int, month: int, day: int, hour: int, minute: int, second: int, east_s: int) -> int:
    if not (1 <= year <= 9999 and 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 61):
        return 0
    return (calendar.timegm((year, month, day, hour, minute, second)) - east_s) * 1_000_000_000

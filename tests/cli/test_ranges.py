from __future__ import annotations

import time
from datetime import datetime

import pytest

from backalaika.cli.ranges import parse_dates, parse_sizes


def at(*moment: int) -> int:
    return int(datetime(*moment).timestamp()) * 1_000_000_000  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("4711", (4711, 4711)),
        ("10M..1G", (10_000_000, 1_000_000_000)),
        ("700MiB..", (700 << 20, None)),
        ("..4k", (None, 4000)),
        ("1.5Ki..2 KB", (1536, 2000)),
        ("0..0", (0, 0)),
        ("0.1G..", (100_000_000, None)),
    ],
)
def test_sizes_are_ranges_with_both_ends(text: str, sizes: tuple[int | None, int | None]) -> None:
    assert parse_sizes(text) == sizes


@pytest.mark.parametrize(
    ("text", "dates"),
    [
        ("2009", (at(2009, 1, 1), at(2010, 1, 1))),
        ("2009-12", (at(2009, 12, 1), at(2010, 1, 1))),
        ("2008-02", (at(2008, 2, 1), at(2008, 3, 1))),
        ("2009-08-15", (at(2009, 8, 15), at(2009, 8, 16))),
        ("2009-08-15 14:30", (at(2009, 8, 15, 14, 30), at(2009, 8, 15, 14, 31))),
        ("2009-08-15T23:59:59", (at(2009, 8, 15, 23, 59, 59), at(2009, 8, 16))),
        ("2008-12..2010", (at(2008, 12, 1), at(2011, 1, 1))),
        ("2009..", (at(2009, 1, 1), None)),
        ("..2008-06", (None, at(2008, 7, 1))),
    ],
)
def test_a_date_is_meant_with_all_of_its_time(text: str, dates: tuple[int | None, int | None]) -> None:
    assert parse_dates(text) == dates


def test_a_day_on_which_clocks_are_set_is_as_long_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        begin, end = parse_dates("2009-03-29")
    finally:
        monkeypatch.undo()
        time.tzset()

    assert begin is not None
    assert end is not None
    assert end - begin == 23 * 3600 * 1_000_000_000

"""Formats for the options of a source."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backalaika.codecs import CODECS
from backalaika.formats import BLOCK, archive_format

OPTIONS = ("zip", *CODECS)


@given(st.sampled_from(OPTIONS), st.integers(1 << 20, 1 << 40))
def test_frames_are_at_most_a_quarter_of_the_smallest_medium_and_whole_blocks(option: str, capacity: int) -> None:
    chosen = archive_format(option, None, capacity)

    assert 0 < chosen.frame_size <= chosen.large_size <= capacity // 4
    assert chosen.frame_size % BLOCK == 0
    assert chosen.large_size % BLOCK == 0


@pytest.mark.parametrize("option", OPTIONS)
def test_the_level_is_the_jobs_or_else_the_formats_own(option: str) -> None:
    assert archive_format(option, 1, 1 << 30).level == 1
    assert archive_format(option, None, 1 << 30).level == CODECS["gz" if option == "zip" else option].default_level


def test_the_suffix_is_what_the_ordinary_tools_know() -> None:
    suffixes = [archive_format(option, None, 1 << 30).suffix for option in OPTIONS]

    assert suffixes == ["zip", "tar.gz", "tar.bz2", "tar.zst", "tar.xz"]
    assert [archive_format(option, None, 1 << 30).is_zip for option in OPTIONS] == [True] + [False] * 4

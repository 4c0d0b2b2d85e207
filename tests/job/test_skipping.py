import os
import pickle
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backalaika.job.skipping import SkipFiles


@pytest.mark.parametrize(
    ("patterns", "name"),
    [
        (("Thumbs.db",), "Thumbs.db"),
        (("*.tmp",), ".tmp"),
        (("*.tmp",), "a.tmp.tmp"),
        (("~$*",), "~$letter.doc"),
        (("a*b*c",), "abbc"),
        (("a**c",), "ac"),
        (("*",), "anything"),
        (("x", "y*", "*z"), "ayz"),
        (("a.b*", "c"), "c"),
        (("*.tmp",), "two\nlines.tmp"),
        (("caf*",), os.fsdecode(b"caf\xe9")),
        ((os.fsdecode(b"caf\xe9"),), os.fsdecode(b"caf\xe9")),
        ((" a",), " a"),
    ],
)
def test_a_name_that_fits_a_pattern_is_skipped(patterns, name):
    assert SkipFiles(patterns).matches(name)


@pytest.mark.parametrize(
    ("patterns", "name"),
    [
        ((), ""),
        ((), "anything"),
        (("Thumbs.db",), "thumbs.db"),
        (("Thumbs.db",), "Thumbs.db2"),
        (("Thumbs.db",), "Thumbsxdb"),
        (("*.tmp",), "a.tmp~"),
        (("*.tmp",), "a.tmp\n"),
        (("ab*ba",), "aba"),
        (("a*b*c",), "acb"),
        (("[ab]?",), "ax"),
        ((r"\w+", "(x|y)", "^a$", "a."), "ab"),
        ((" a",), "a"),
    ],
)
def test_a_name_that_fits_no_pattern_is_kept(patterns, name):
    assert not SkipFiles(patterns).matches(name)


@given(st.lists(st.text("ab*.\n|", min_size=1), max_size=3), st.text("ab.\n|*"))
def test_only_the_star_is_special(patterns, name):
    simple = [pattern.split("*") for pattern in patterns]

    expected = any(re.fullmatch(r"[\s\S]*".join(map(re.escape, pieces)), name) for pieces in simple)

    assert SkipFiles(tuple(patterns)).matches(name) == expected


@pytest.mark.timeout(20)
def test_many_stars_do_not_make_a_name_take_long():
    skip_files = SkipFiles(("*a" * 30 + "b",))
    start = time.perf_counter()

    assert not skip_files.matches("a" * 255)

    assert time.perf_counter() - start < 1


def test_patterns_reach_a_worker():
    skip_files = pickle.loads(pickle.dumps(SkipFiles(("*.tmp", "x"))))

    assert skip_files == SkipFiles(("*.tmp", "x"))
    assert skip_files.matches("a.tmp")
    assert skip_files.matches("x")

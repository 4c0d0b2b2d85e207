"""What is there when states lie over one another, against the same told slowly."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backalaika.overlay import Overlay

PATHS = st.lists(st.sampled_from([b"a", b"b"]), min_size=1, max_size=4).map(b"/".join)
COMING = st.lists(st.tuples(PATHS, st.booleans()), max_size=30)


def is_below(path, folder):
    return path.startswith(folder + b"/")


@given(COMING)
def test_a_path_is_kept_if_nothing_newer_has_taken_its_place(coming):
    overlay = Overlay()

    for number, (path, is_folder) in enumerate(coming):
        newer = coming[:number]
        is_first = (path, is_folder) not in newer
        covered = any(
            not folder and (is_below(path, other) or (is_folder and other == path)) for other, folder in newer
        )
        replaced = not is_folder and any(is_below(other, path) or (folder and other == path) for other, folder in newer)
        assert overlay.keeps(path, is_folder) == (is_first and not covered and not replaced)


def test_a_path_may_be_absolute_and_of_any_depth():
    overlay = Overlay()
    deep = b"/" + b"/".join([b"x"] * 5000)

    assert overlay.keeps(deep, False)
    assert overlay.keeps(b"/", True)
    assert not overlay.keeps(b"/x", False)
    assert not overlay.keeps(b"/x/y", False)
    assert overlay.keeps(b"/y", False)

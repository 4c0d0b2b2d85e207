"""Whatever the tree, the format and the sizes of volumes: what comes back is what was saved."""

from __future__ import annotations

import os
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from real_backups import FORMATS
from restores import leftovers, restore
from trees_compared import look, noise, seen_by, set_times, text, write

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]

NAMES = st.binary(min_size=1, max_size=40).filter(
    lambda name: not set(name) & set(b"/\0") and name not in (b".", b"..")
)
CONTENTS = st.tuples(st.sampled_from([noise, text, lambda size, start: bytes(size)]), st.integers(0, 150_000))
THINGS = st.one_of(
    st.tuples(st.just("file"), CONTENTS, st.sampled_from([0o644, 0o600, 0o755, 0o444])),
    st.tuples(st.just("symlink"), NAMES, st.just(0)),
    st.tuples(st.just("hard link"), st.just(b""), st.just(0)),
    st.tuples(st.just("large"), CONTENTS.map(lambda made: (made[0], 400_000 + 5 * made[1])), st.just(0o640)),
)
TREES = st.lists(st.tuples(st.lists(NAMES, max_size=3), NAMES, THINGS), min_size=1, max_size=25)


def make(top, tree):
    """Make as much of the tree as its names allow: one may be a folder and a file, or come twice."""
    last = None
    for number, (folders, name, (kind, what, mode)) in enumerate(tree):
        path = os.path.join(os.fsencode(top), *folders, name)
        try:
            if kind == "symlink":
                os.makedirs(os.path.dirname(path), exist_ok=True)
                os.symlink(what, path)
            elif kind == "hard link":
                os.makedirs(os.path.dirname(path), exist_ok=True)
                os.link(last, path, follow_symlinks=False) if last else os.mkdir(path)
            elif not os.path.lexists(path):
                content, size = what
                write(path, content(size, number), mode)
                last = path
        except (FileExistsError, NotADirectoryError):
            continue
    set_times(top)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tree=TREES,
    option=st.sampled_from(FORMATS),
    separate=st.booleans(),
    size=st.integers(300_000, 2_000_000),
    split=st.booleans(),
    workers=st.integers(0, 3),
)
def test_what_comes_back_is_what_was_saved(tmp_path_factory, tree, option, separate, size, split, workers):
    from real_backups import Office

    office = Office(tmp_path_factory.mktemp("property") / "office")
    try:
        make(office.tree, tree)
        write(office.tree / "always there", b"so that the source is not empty")
        options = f"{option},separate_dirs" if separate else option
        saved = office.backup(options=options, max_size=size, split_files=split)

        by_catalogue = restore(office, "--job", "office", "--workers", workers, to=office.root / "back")
        by_manifests = restore(office, "--from", saved.volumes[0].parent, to=office.root / "alone")

        expected = seen_by(look(office.tree), hard_links=False)
        assert seen_by(look(office.root / "back" / "tree"), hard_links=False) == expected
        assert seen_by(look(office.root / "alone" / "tree"), hard_links=False) == expected
        assert by_catalogue["files"] == by_manifests["files"] == saved.report["files"]
        assert not leftovers(office.root / "back")
        if option != "zip" and not separate and len(saved.volumes) == 1:
            assert look(office.root / "back" / "tree") == look(office.tree)
    finally:
        shutil.rmtree(office.root)

"""Each format, listed and unpacked by every ordinary tool that knows it, and compared with its source."""

from __future__ import annotations

import ordinary_tools as tools
import pytest
from real_backups import FORMATS
from trees_compared import NS, look, make_tree, seen_by

TARS = FORMATS[1:]


@pytest.fixture(scope="module")
def saved(shared_office):
    """The archive of the same tree in each format, and the tree; each is made once."""
    office = shared_office("saved")
    make_tree(office.tree)
    made = {}

    def archive_as(option):
        if option not in made:
            made[option] = office.backup(options=option).archive
        return made[option]

    archive_as.office, archive_as.tree = office, look(office.tree)
    return archive_as


def names(tree):
    return sorted(b"tree" + (b"/" + path if path else b"") for path in tree)


@pytest.mark.parametrize(
    ("option", "lister"),
    [("zip", tools.names_by_unzip), ("zip", tools.names_by_bsdtar), ("zip", tools.names_by_7z)]
    + [
        (option, lister) for option in TARS for lister in (tools.names_by_tar, tools.names_by_bsdtar, tools.names_by_7z)
    ],
)
def test_every_tool_lists_all_names(saved, option, lister):
    listed = lister(saved(option))

    assert sorted(name.rstrip(b"/") for name in listed) == names(saved.tree)
    folders = {b"tree/" + path if path else b"tree" for path, thing in saved.tree.items() if thing.kind == "dir"}
    if lister is not tools.names_by_7z:
        assert {name.rstrip(b"/") for name in listed if name.endswith(b"/")} == folders


@pytest.mark.parametrize("option", TARS)
@pytest.mark.parametrize("unpack", [tools.unpack_with_tar, tools.unpack_with_bsdtar])
def test_a_tar_unpacks_to_the_same_bytes_modes_times_and_links(saved, option, unpack):
    place = saved.office.place()

    unpack(saved(option), place)

    assert look(place / "tree") == saved.tree


@pytest.mark.parametrize("option", TARS)
def test_a_tar_unpacks_with_the_codecs_own_tool_before_tar(saved, option):
    place = saved.office.place()

    with tools.decoded(saved(option)) as stream:
        tools.call("tar", "-xpf", "-", "-C", place, stdin=stream)

    assert look(place / "tree") == saved.tree


@pytest.mark.parametrize("unpack", [tools.unpack_with_unzip, tools.unpack_with_bsdtar])
def test_a_zip_unpacks_to_the_same_bytes_modes_times_and_symbolic_links(saved, unpack):
    place = saved.office.place()

    unpack(saved("zip"), place)

    as_a_zip_has_it = {"unit_ns": NS, "link_times": False, "hard_links": False}
    assert seen_by(look(place / "tree"), **as_a_zip_has_it) == seen_by(saved.tree, **as_a_zip_has_it)


@pytest.mark.parametrize("option", FORMATS)
def test_7z_unpacks_the_same_names_and_bytes(saved, option):
    place = saved.office.place()
    links = [path for path, thing in saved.tree.items() if thing.kind == "symlink"]

    tools.unpack_with_7z(saved(option), place, without=[b"tree/" + path for path in links])

    found = seen_by(look(place / "tree"), unit_ns=0, modes=False, hard_links=False)
    expected = seen_by(saved.tree, unit_ns=0, modes=False, hard_links=False)
    assert found == {path: thing for path, thing in expected.items() if path not in links}


@pytest.mark.parametrize("option", TARS)
def test_tarfile_reads_the_same_bytes_modes_times_and_links(saved, option):
    found = tools.read_with_tarfile(saved(option))

    expected = tools.under(saved.tree, "tree")
    assert seen_by(found, unit_ns=0) == seen_by(expected, unit_ns=0)
    assert all(abs(found[path].mtime_ns - thing.mtime_ns) < 1000 for path, thing in expected.items())


def test_zipfile_reads_the_same_bytes_modes_and_symbolic_links_and_times_of_two_seconds(saved):
    found = tools.read_with_zipfile(saved("zip"))

    expected = seen_by(tools.under(saved.tree, "tree"), unit_ns=NS, hard_links=False)
    assert seen_by(found, unit_ns=0) == seen_by(expected, unit_ns=0)
    assert all(0 <= thing.mtime_ns - found[path].mtime_ns < 2 * NS for path, thing in expected.items())


@pytest.mark.parametrize(
    ("option", "command"),
    [
        ("zip", ["unzip", "-tq"]),
        ("zip", ["7z", "t"]),
        ("gz", ["gzip", "-t"]),
        ("bz2", ["bzip2", "-t"]),
        ("xz", ["xz", "-t"]),
        ("zst", ["zstd", "-tq"]),
        ("gz", ["7z", "t"]),
        ("bz2", ["7z", "t"]),
        ("xz", ["7z", "t"]),
    ],
)
def test_the_tools_own_check_passes(saved, option, command):
    tools.call(*command, saved(option))

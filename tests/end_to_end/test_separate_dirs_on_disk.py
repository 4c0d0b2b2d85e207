"""An archive for each subfolder: which there are, what they are called, and that together they are the source."""

from __future__ import annotations

import os

import ordinary_tools as tools
import pytest
from real_backups import FORMATS
from trees_compared import look, seen_by, set_times, text, write


def names(outcome):
    return sorted(archive.name for archive in outcome.archives)


def unpack(archive, place):
    (tools.unpack_with_unzip if archive.suffix == ".zip" else tools.unpack_with_tar)(archive, place)


def files_in(tree):
    return {path: thing for path, thing in tree.items() if thing.kind != "dir"}


@pytest.mark.parametrize("option", FORMATS)
def test_each_subfolder_is_an_archive_and_loose_files_are_one_more_and_together_they_are_the_source(office, option):
    for folder in ("2009", "2010", "2010/deep/er"):
        for number in range(3):
            write(office.tree / folder / f"{number}.txt", text(1000, number))
    write(office.tree / "loose", b"loose")
    os.symlink("2009", office.tree / "loose link")
    (office.tree / "empty").mkdir()
    set_times(office.tree)

    outcome = office.backup(options=f"{option},separate_dirs")

    suffix = "zip" if option == "zip" else f"tar.{option}"
    assert names(outcome) == [f"{stem}.001.{suffix}" for stem in ("2009", "2010", "empty", "tree")]
    place = office.place()
    for archive in outcome.archives:
        unpack(archive, place)
    assert seen_by(look(place / "tree"), unit_ns=0) == seen_by(look(office.tree), unit_ns=0)
    times = {
        path: thing.mtime_ns // 10**9 for path, thing in files_in(look(office.tree)).items() if thing.kind == "file"
    }
    found = look(place / "tree")
    assert {path: found[path].mtime_ns // 10**9 for path in times} == times


def test_each_archive_of_a_subfolder_is_of_use_alone(office):
    write(office.tree / "a" / "file", b"linked")
    (office.tree / "b").mkdir()
    os.link(office.tree / "a" / "file", office.tree / "b" / "file")

    outcome = office.backup(options="gz,separate_dirs")

    assert names(outcome) == ["a.001.tar.gz", "b.001.tar.gz"]
    for archive in outcome.archives:
        place = office.place()
        unpack(archive, place)
        assert (place / "tree" / archive.name[0] / "file").read_bytes() == b"linked"


def test_without_loose_files_there_is_no_archive_for_them(office):
    write(office.tree / "a" / "file", b"")

    assert names(office.backup(options="zip,separate_dirs")) == ["a.001.zip"]


def test_sources_with_the_same_last_name_do_not_collide(office):
    sources = []
    for number, (name, option) in enumerate(
        [("docs", "zip"), ("docs", "zip"), ("DOCS", "gz"), ("docs", "zip,separate_dirs"), ("docs-2", "zip")]
    ):
        source = office.root / f"{number}" / name
        write(source / "same" / "name", b"%d" % number)
        write(source / "loose", b"%d" % number)
        sources.append((source, option))

    outcome = office.backup(sources=sources)

    assert len({archive.name.casefold() for archive in outcome.archives}) == len(outcome.archives) == 6
    place = office.place()
    for archive in outcome.archives:
        unpack(archive, place)
    unpacked = sorted(
        (folder / "same" / "name").read_bytes() + (folder / "loose").read_bytes() for folder in place.iterdir()
    )
    assert unpacked == [b"00", b"11", b"22", b"33", b"44"]


def test_folders_with_odd_names_get_names_of_archives_that_any_system_can_have(office):
    odd = [
        b"-rf",
        b"a:b",
        b"a?b",
        b"new\nline",
        b"\xff\xfe",
        b"[x]",
        b".hidden",
        b"dots...",
        b"...",
        b"A_B",
        b"\xe9" * 255,
    ]
    odd += ["é".encode() * 120, b"back\\slash", b"'quoted' $(name)", b" "]
    write(office.tree / "loose")
    for name in odd:
        write(os.path.join(os.fsencode(office.tree), name, b"file"), name)

    outcome = office.backup(options="zip,separate_dirs")

    assert len(outcome.archives) == len(odd) + 1 == len({archive.name.casefold() for archive in outcome.archives})
    for archive in outcome.archives:
        assert not set(archive.name) & set('\n<>:"/\\|?*[]')
        assert not archive.name.startswith(".")
        assert len(archive.name.encode()) < 255
    place = office.place()
    for archive in outcome.archives:
        tools.call("unzip", "-q", "-^", archive, "-d", place)
    assert seen_by(look(place / "tree"), unit_ns=0) == seen_by(look(office.tree), unit_ns=0)
    assert b"OK" in tools.call("xxhsum", "-c", "SUMS.xxh128", cwd=outcome.volumes[0])


def test_subfolders_of_separate_dirs_go_on_over_volumes_under_their_own_name(office):
    write(office.tree / "loose")
    for folder in ("a", "b"):
        for number in range(6):
            write(office.tree / folder / f"{number}", os.urandom(100_000))

    outcome = office.backup(options="zip,separate_dirs", max_size=500_000)

    assert len(outcome.volumes) == 3
    assert {archive.name.split(".")[0] for archive in outcome.archives} == {"a", "b", "tree"}
    assert all(archive.name.split(".")[1] == archive.parent.name[3:] for archive in outcome.archives)
    place = office.place()
    for archive in outcome.archives:
        tools.call("unzip", "-qo", archive, "-d", place)
    assert seen_by(look(place / "tree"), unit_ns=0) == seen_by(look(office.tree), unit_ns=0)

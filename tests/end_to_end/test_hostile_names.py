"""Names that a file system holds and few programs expect."""

from __future__ import annotations

import os
from dataclasses import replace

import ordinary_tools as tools
import pytest
from real_backups import FORMATS, manifest_of
from trees_compared import NS, digest, look, seen_by, set_times, write

TARS = FORMATS[1:]
NAMES = [
    b"a" * 255,
    "é".encode() * 127 + b"x",
    "文件 😀".encode(),
    "e\u0301 and \u00e9".encode(),
    b"new\nline",
    b"tab\tand\rreturn",
    b"\x01control\x7f",
    b"\xff\xfe not UTF-8",
    b"latin1 caf\xe9",
    b"\x80" * 120,
    b"\xe9" * 255,
    b"-rf",
    b"--help",
    b" blanks around ",
    b"dot.",
    b"back\\slash",
    b"quote'\"`$(x)",
    b"[glob]*?",
    b"C:",
    b"CON",
    b"~",
    b"MANIFEST.jsonl.gz",
]


def make_deep(top, names, content):
    """A file below many folders, at a path that may be longer than the system takes at once."""
    descriptor = os.open(top, os.O_RDONLY)
    for name in names[:-1]:
        os.mkdir(name, 0o755, dir_fd=descriptor)
        below = os.open(name, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    with open(os.open(names[-1], os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=descriptor), "wb") as file:
        file.write(content)
    os.close(descriptor)


def as_unpacked(tree, unpack, targets=True):
    """What a tool makes of a tree: bsdtar composes letters and accents of names in UTF-8; in a zip not of targets."""
    if unpack is not tools.unpack_with_bsdtar:
        return tree
    apart, composed = "e\u0301 and \u00e9".encode(), "\u00e9 and \u00e9".encode()
    return {
        path.replace(apart, composed): (
            replace(thing, content=thing.content.replace(apart, composed)) if targets else thing
        )
        for path, thing in tree.items()
    }


def unzip_all(archive, place):
    tools.call("unzip", "-q", "-^", archive, "-d", place)


@pytest.fixture(scope="module")
def hostile(shared_office):
    """A tree in which files, folders and links have all these names, and an archive of it in each format."""
    office = shared_office("names")
    top = os.fsencode(office.tree)
    for number, name in enumerate(NAMES):
        write(os.path.join(top, b"files", name), name * 3)
        write(os.path.join(top, b"folders", name, b"inside"), b"%d" % number)
        os.symlink(name, os.path.join(top, b"%d" % number))
    os.makedirs(os.path.join(top, b"empty", b"\xfe", b"\n"))
    make_deep(office.tree, [b"near"] + [b"%02d" % i + b"n" * 200 for i in range(18)] + [b"end"], b"deep")
    set_times(office.tree)
    made = {}

    def archive_as(option):
        if option not in made:
            made[option] = office.backup(options=option)
        return made[option].archive

    archive_as.office, archive_as.tree = office, look(office.tree)
    return archive_as


@pytest.mark.parametrize("option", TARS)
@pytest.mark.parametrize("unpack", [tools.unpack_with_tar, tools.unpack_with_bsdtar])
def test_a_tar_gives_every_name_back(hostile, option, unpack):
    place = hostile.office.place()

    unpack(hostile(option), place)

    assert look(place / "tree") == as_unpacked(hostile.tree, unpack)


@pytest.mark.parametrize("unpack", [unzip_all, tools.unpack_with_bsdtar])
def test_a_zip_gives_every_name_back(hostile, unpack):
    place = hostile.office.place()

    unpack(hostile("zip"), place)

    as_a_zip_has_it = {"unit_ns": NS, "link_times": False}
    expected = as_unpacked(hostile.tree, unpack, targets=False)
    assert seen_by(look(place / "tree"), **as_a_zip_has_it) == seen_by(expected, **as_a_zip_has_it)


def test_tarfile_and_zipfile_give_every_name_back(hostile):
    expected = seen_by(tools.under(hostile.tree, "tree"), unit_ns=0)

    assert seen_by(tools.read_with_tarfile(hostile("gz")), unit_ns=0) == expected
    assert seen_by(tools.read_with_zipfile(hostile("zip")), unit_ns=0) == expected


def test_7z_reads_an_archive_with_every_name(hostile):
    tools.call("7z", "t", hostile("zip"))
    with tools.decoded(hostile("gz")) as stream:
        tools.call("7z", "t", "-si", "-ttar", stdin=stream)


@pytest.mark.parametrize("option", ["zip", "zst"])
def test_the_manifest_and_the_catalogue_have_every_name(hostile, option):
    archive = hostile(option)
    expected = sorted(path.rstrip(b"/") for path in tools.under(hostile.tree, "tree"))

    assert sorted(os.fsencode(line["path"]).rstrip(b"/") for line in manifest_of(archive.parent)) == expected
    rows = hostile.office.catalogued(
        "select folders.path, files.name from files join folders on folders.id = folder_id "
        f"join archives on archives.id = archive_id where archives.format like '%{option}'"
    )
    top = os.fsencode(hostile.office.root) + b"/"
    assert sorted(os.path.join(folder, name).removeprefix(top).rstrip(b"/") for folder, name in rows) == expected


@pytest.mark.parametrize("option", FORMATS)
def test_a_path_longer_than_the_system_takes_at_once_is_saved_and_comes_back(office, option):
    make_deep(office.tree, [b"%02d" % i + b"p" * 250 for i in range(20)] + [b"\xffend"], b"at the bottom")
    make_deep(office.tree, [b"l%02d" % i + b"p" * 250 for i in range(20)] + [b"large"], b"at the bottom" * 800_000)

    archive = office.backup(options=option).archive

    expected = look(office.tree)
    assert max(map(len, expected)) > 5000
    place = office.place()
    # As root it would look for folders to give them away, and not find them so deep.
    tools.call("bsdtar", "-xf", archive, "--no-same-owner", "-C", place)
    assert seen_by(look(place / "tree"), unit_ns=0) == seen_by(expected, unit_ns=0)
    read = tools.read_with_zipfile(archive) if option == "zip" else tools.read_with_tarfile(archive)
    assert seen_by(read, unit_ns=0) == seen_by(tools.under(expected, "tree"), unit_ns=0)
    list_names = tools.names_by_bsdtar if option == "zip" else tools.names_by_tar
    assert len(list_names(archive)) == len(expected)


def test_a_path_that_a_zip_cannot_hold_is_reported_and_all_else_is_saved(office):
    make_deep(office.tree, [b"p" * 255] * 257 + [b"too deep"], b"unreachable")
    write(office.tree / "here", b"reachable")

    outcome = office.backup(status=1, timeout=120)

    (path,) = (path for path in outcome.errors if path.endswith("too deep"))
    assert "give this source a tar option" in outcome.errors[path]
    assert tools.read_with_zipfile(outcome.archive)[b"tree/here"].content == digest(b"reachable")

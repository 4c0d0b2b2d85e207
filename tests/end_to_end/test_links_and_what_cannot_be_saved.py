"""Links, special files, and what cannot be read: one bad file never ends a run, and never goes unseen."""

from __future__ import annotations

import os
import socket

import ordinary_tools as tools
import pytest
from real_backups import FORMATS, UNPRIVILEGED, manifest_of
from trees_compared import NS, look, noise, seen_by, text, write

TARS = FORMATS[1:]


@pytest.mark.parametrize("option", TARS)
def test_hard_links_far_apart_are_one_file_again(office, option):
    for name in ("first", "large"):
        write(office.tree / "a" / name, text(9_000_000) if name == "large" else noise(100_000))
    for number in range(4):
        write(office.tree / "m" / f"{number}", text(1_000_000, number))
    write(office.tree / "z" / "between", b"")
    for name in ("first", "large"):
        os.link(office.tree / "a" / name, office.tree / "z" / name)
        os.link(office.tree / "a" / name, office.tree / f"top-{name}")

    outcome = office.backup(options=option)

    place = office.place()
    tools.unpack_with_tar(outcome.archive, place)
    tree = look(place / "tree")
    assert tree == look(office.tree)
    assert tree[b"z/large"].links == {b"a/large", b"z/large", b"top-large"}
    assert [line["kind"] for line in manifest_of(outcome.volumes[0])].count("hardlink") == 4


@pytest.mark.parametrize("option", FORMATS)
def test_each_volume_unpacks_alone_though_hard_links_cross_volumes(office, option):
    for number in range(8):
        write(office.tree / "a" / f"{number}", noise(200_000, number))
        os.link(office.tree / "a" / f"{number}", office.tree / f"b{number}")
        (office.tree / "z").mkdir(exist_ok=True)
        os.link(office.tree / "a" / f"{number}", office.tree / "z" / f"{number}")
    write(office.tree / "large", noise(500_000, 99))
    os.link(office.tree / "large", office.tree / "z" / "large")

    outcome = office.backup(options=option, max_size=900_000)

    expected = look(office.tree)
    found = {}
    assert len(outcome.archives) > 2
    for archive in outcome.archives:
        place = office.place()
        (tools.unpack_with_bsdtar if option == "zip" else tools.unpack_with_tar)(archive, place)
        for path, thing in look(place / "tree").items():
            if thing.kind == "file":
                assert path not in found
                found[path] = thing
    alone = seen_by(found, unit_ns=NS, hard_links=False)
    assert alone == {
        path: thing for path, thing in seen_by(expected, unit_ns=NS, hard_links=False).items() if thing.kind == "file"
    }


@pytest.mark.parametrize("option", ["zip", "gz"])
def test_a_fifo_and_a_socket_are_listed_and_all_else_is_saved(office, option):
    write(office.tree / "letter", b"Dear Sir")
    expected = look(office.tree)
    os.mkfifo(office.tree / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        before = os.getcwd()
        os.chdir(office.tree)  # the path of a socket is short
        try:
            listener.bind("socket")
        finally:
            os.chdir(before)

        outcome = office.backup(status=1, options=option)

    assert outcome.errors == {
        str(office.tree / "pipe"): "a FIFO: not saved",
        str(office.tree / "socket"): "a socket: not saved",
    }
    read = tools.read_with_zipfile if option == "zip" else tools.read_with_tarfile
    assert set(read(outcome.archive)) == set(tools.under(expected, "tree"))


@pytest.mark.parametrize("option", ["zip", "zst"])
def test_what_cannot_be_read_is_said_at_once_and_at_the_end_and_is_catalogued(office, option):
    write(office.tree / "letter", b"Dear Sir")
    write(office.tree / "locked", b"secret", 0)
    write(office.tree / "locked large", noise(10_000_000), 0)
    write(office.tree / "locked folder" / "inside", b"")
    os.link(office.tree / "locked", office.tree / "other name of locked")
    os.chmod(office.tree / "locked folder", 0)

    outcome = office.backup(status=1, options=option, program=UNPRIVILEGED)

    os.chmod(office.tree / "locked folder", 0o755)
    bad = {str(office.tree / name) for name in ("locked", "locked large", "other name of locked", "locked folder")}
    assert set(outcome.errors) == bad
    assert all("Permission denied" in message for message in outcome.errors.values())
    for path in bad:
        assert outcome.err.count(f"{path}: ") == 2
    recorded = office.catalogued("select path, message from errors")
    assert {os.fsdecode(path): message for path, message in recorded} == outcome.errors
    read = tools.read_with_zipfile if option == "zip" else tools.read_with_tarfile
    assert set(read(outcome.archive)) == {b"tree", b"tree/letter"}
    assert outcome.report["files"] == 1
    assert outcome.report["bytes"] == 8


def test_a_tree_of_which_nothing_can_be_read_leaves_no_volume_and_tells_why(office):
    write(office.tree / "locked", b"secret", 0)
    write(office.tree / "large", noise(6_000_000), 0)

    outcome = office.backup(status=1, program=UNPRIVILEGED)

    assert len(outcome.errors) == 2
    assert outcome.report["files"] == 0

"""What a zip stores and what it deflates, and times that its old field cannot say."""

from __future__ import annotations

import calendar
import struct
import zipfile

import ordinary_tools as tools
import pytest
from trees_compared import NS, digest, look, noise, text, write

STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED


def methods(archive):
    with zipfile.ZipFile(archive) as zipped:
        return {info.filename: info.compress_type for info in zipped.infolist() if not info.is_dir()}


def sizes(archive):
    with zipfile.ZipFile(archive) as zipped:
        return {info.filename: (info.file_size, info.compress_size) for info in zipped.infolist()}


def test_extensions_of_store_only_are_stored_in_any_case_and_no_others(office):
    for name in ("a.jpg", "b.JPG", "c.Mp3", "d.txt", "jpg", "e.jpg.txt", "deep.jpg/f.txt", "large.mp3", "large.txt"):
        write(office.tree / name, text(5_000_000 if "large" in name else 10_000))

    archive = office.backup(store_only="JPG|.mp3").archive

    stored = {name for name, method in methods(archive).items() if method == STORED}
    assert stored == {"tree/a.jpg", "tree/b.JPG", "tree/c.Mp3", "tree/large.mp3"}
    assert all(packed == size for name, (size, packed) in sizes(archive).items() if name in stored)
    tools.call("unzip", "-tq", archive)


def test_content_that_does_not_compress_is_stored_and_never_grows(office):
    write(office.tree / "noise", noise(500_000))
    write(office.tree / "short", b"abc")
    write(office.tree / "text", text(500_000))
    write(office.tree / "large noise", noise(6_000_000))
    write(office.tree / "large both", noise(3_000_000) + text(3_000_000))

    archive = office.backup().archive

    found = methods(archive)
    assert (found["tree/noise"], found["tree/short"], found["tree/text"]) == (STORED, STORED, DEFLATED)
    packed = sizes(archive)
    assert packed["tree/noise"] == (500_000, 500_000)
    assert packed["tree/large noise"][1] <= 6_000_000 * 1.0002
    assert packed["tree/large both"][1] < 4_000_000
    place = office.place()
    tools.unpack_with_unzip(archive, place)
    assert (place / "tree" / "large both").read_bytes() == noise(3_000_000) + text(3_000_000)


@pytest.mark.parametrize("unpack", [tools.unpack_with_unzip, tools.unpack_with_bsdtar])
def test_times_that_dos_does_not_know_come_back_true(office, unpack):
    times = {
        "1970": 1,
        "1975": calendar.timegm((1975, 5, 17, 3, 4, 5)),
        "1979": calendar.timegm((1979, 12, 31, 23, 59, 59)),
        "odd seconds": calendar.timegm((2001, 2, 3, 4, 5, 7)),
        "2038": (1 << 31) - 1,
    }
    for name, seconds in times.items():
        write(office.tree / name, name.encode(), mtime_ns=seconds * NS + 5)

    archive = office.backup().archive

    place = office.place()
    unpack(archive, place)
    found = {path.decode(): thing.mtime_ns // NS for path, thing in look(place / "tree").items() if path}
    assert found == times
    with zipfile.ZipFile(archive) as zipped:
        for info in zipped.infolist()[1:]:
            name = info.filename.removeprefix("tree/")
            assert struct.unpack("<HHBi", info.extra[:9]) == (0x5455, 5, 1, times[name])
            if times[name] < calendar.timegm((1980, 1, 2, 0, 0, 0)):
                assert info.date_time[:3] == (1980, 1, 1)


def test_times_before_1970_are_true_in_the_extra_field(office):
    """As Info-ZIP says, it has a sign; its own unzip takes the other field, and bsdtar knows no sign."""
    times = {"1902": calendar.timegm((1902, 1, 1, 0, 0, 0)), "1969": -1}
    for name, seconds in times.items():
        write(office.tree / name, mtime_ns=seconds * NS + 5)

    with zipfile.ZipFile(office.backup().archive) as zipped:
        found = {info.filename: (info.extra, info.date_time) for info in zipped.infolist()[1:]}

    assert found == {
        f"tree/{name}": (struct.pack("<HHBi", 0x5455, 5, 1, seconds), (1980, 1, 1, 0, 0, 0))
        for name, seconds in times.items()
    }


def test_times_after_2038_come_back_as_dos_has_them(office):
    times = {
        "2038": 1 << 31,
        "2050": calendar.timegm((2050, 6, 7, 8, 9, 10)),
        "2100": calendar.timegm((2100, 2, 3) + (0,) * 3),
    }
    for name, seconds in times.items():
        write(office.tree / name, b"", mtime_ns=seconds * NS)

    archive = office.backup().archive

    place = office.place()
    tools.unpack_with_unzip(archive, place)
    found = {path.decode(): thing.mtime_ns // NS for path, thing in look(place / "tree").items() if path}
    assert found == times


@pytest.mark.parametrize("unpack", [tools.unpack_with_tar, tools.unpack_with_bsdtar])
def test_a_tar_has_any_time_to_the_nanosecond(office, unpack):
    times = [-2_000_000_000 * NS, 0, 1, NS - 1, 1 << 62, (1 << 31) * NS + 123_456_789, 4_000_000_000 * NS + 999_999_999]
    if unpack is tools.unpack_with_tar:  # bsdtar adds fractions to times before 1970, in place of taking them away
        times += [-2_000_000_000 * NS - 1, -1]
    for number, mtime_ns in enumerate(times):
        write(office.tree / f"{number}", b"", mtime_ns=mtime_ns)
    expected = look(office.tree)

    archive = office.backup(options="gz").archive

    place = office.place()
    unpack(archive, place)
    found = look(place / "tree")
    assert {path: thing.mtime_ns for path, thing in found.items()} == {
        path: thing.mtime_ns for path, thing in expected.items()
    }


def test_the_same_content_has_the_same_digest_however_it_is_stored(office):
    for name in ("a.jpg", "a.txt"):
        write(office.tree / name, text(100_000))

    found = tools.read_with_zipfile(office.backup(store_only="jpg").archive)

    assert found[b"tree/a.jpg"].content == found[b"tree/a.txt"].content == digest(text(100_000))

"""Archives that nobody here made (tests/data): what is listed of them, and why.

Where the readers that others wrote disagree about one, the most careful of them is followed: the comment says who.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from told import Told

DATA = Path(__file__).resolve().parents[1] / "data"


class Wanted(NamedTuple):
    """What must be told of an archive.

    Attributes:
        kind: of archive.
        members: path, size and the first 8 digits of SHA-256 of files; None for what is not to be had.
        troubles: patterns, one for each trouble, in their order.
        notes: as troubles.
    """

    kind: str
    members: list[tuple[str, int, str | None]]
    troubles: Sequence[str] = ()
    notes: Sequence[str] = ()


WANTED = {
    "AFLplusplus__small_archive.gz": Wanted("gz", [("AFLplusplus__small_archive", 191, "b73f646e")]),
    # Its header is not packed.
    "commons-compress__7z-hello-mhc-off-lzma2.7z": Wanted("7z", [("Hello world.txt", 14, "d9014c46")]),
    # A program in the four streams of BCJ2.
    "libarchive__test_read_format_7zip_bcj2_lzma1_1.7z": Wanted("7z", [("x86exe", 27328, "9f240067")]),
    # Two names in one directory, and another in the member's header: Python refuses it, the others take the one.
    "gofuzz__229c3240d1e3.zip": Wanted("zip", [("ÎdU", 107, "274c002b")], [r"its own header gives .* name \(bbb\)"]),
    "rawzip__filename_mismatch_test.zip": Wanted(
        "zip", [("malware.exe", 132, "ddfbccc1")], [r"its own header gives .* name \(safe_file.txt\)"]
    ),
    # A gzip that is its own content: the checksum is wrong, all say.
    "libarchive__test_read_filter_gzip_recursive.gz": Wanted(
        "gz", [("libarchive__test_read_filter_gzip_recursive", 0, None)], ["is damaged: .*incorrect data check"]
    ),
    # A comment in the map of a sparse file: libarchive goes over it, GNU tar gives up.
    "libarchive__test_read_format_gtar_sparse_1_17_posix10_modified.tar": Wanted(
        "tar",
        [("sparse", 3145728, "2c05d362"), ("sparse2", 99000001, "bdecf207"), ("non-sparse", 0, "e3b0c442")],
    ),
    # Joliet's path has more than 1,024 characters: 7z lists the file, libarchive gives up.
    "libarchive__test_read_format_iso_joliet_utf16be_overflow.iso": Wanted(
        "iso", [("/".join([*(letter * 103 for letter in "ABCD"), "E" * 96, "F"]), 0, "e3b0c442")]
    ),
    # It claims to be packed by zisofs in blocks of 4 bytes, which zisofs does not have: the bytes as they stand.
    "libarchive__test_read_format_iso_zisofs_overflow.iso": Wanted("iso", [("OVERFLOW.BIN", 2064, "af144cab")]),
    "node-tar__path-missing.tar": Wanted("tar", [("", 1, "ca978112")]),
    # The last of two volumes: what it lists is told, though its content is elsewhere.
    "okio__cannotReadZipWithSpanning.zip": Wanted(
        "zip", [("large_file.txt", 262144, None)], ["its content is on another volume of the set"]
    ),
    # It begins with a frame that is to be skipped, as pzstd writes it.
    "ratarmount__nested-tar.tar.pzstd": Wanted(
        "tar.zst", [("foo/fighter/ufo", 6, "a4ad9fa0"), ("foo/lighter.tar", 10240, "720d661e")]
    ),
    "rubyzip__zipWithEncryption.zip": Wanted(
        "zip",
        [("file1.txt", 1327, None), ("file2.txt", 41234, None)],
        notes=["encrypted members, which have no digest: 2"],
    ),
    # A record of a pax header without its newline: GNU tar calls it damaged, and none believes it.
    "tar-split__pax-bad-hdr-file.tar": Wanted(
        "tar", [("foo", 684, "f263f5b8")], ["a pax header has a record that is none"]
    ),
    "tokio-tar__diff-014-unterminated-pax.tar": Wanted(
        "tar", [("raw-name", 0, "e3b0c442")], ["a pax header has a record of impossible length"]
    ),
    # A path in a global header would give all files the same name: GNU tar, Go and libarchive leave it out.
    "tar-split__pax-global-records.tar": Wanted("tar", [(f"file{number}", 0, "e3b0c442") for number in (1, 2, 3, 4)]),
    "tar-split__pax-pos-size-file.tar": Wanted("tar", [("foo", 999, "a587a255")]),
    # 60 GB of holes in 6 kB.
    "tar-split__pax-sparse-big.tar": Wanted("tar", [("pax-sparse", 60000000000, None)], ["as a bomb does"]),
    # 128 MiB in 634 bytes hurt nobody.
    "toybox__f2fs.bz2": Wanted("bz2", [("toybox__f2fs", 134217728, "06691867")]),
    # Two fields with a name in Unicode: the first, if its checksum is that of the other name; else the second.
    "warehouse__second_unicode_extra.zip": Wanted("zip", [("first-unicode-extra", 9, "ce32b18a")]),
    "yauzl__unicode-path-extra-field.zip": Wanted("zip", [("七个房间.txt", 0, "e3b0c442")]),
    "xz__bad-1-check-crc32-2.xz": Wanted("xz", [("xz__bad-1-check-crc32-2", 0, None)], ["is damaged"]),
    # Names are told as they stand: nothing is unpacked here, and a backslash is a character on Unix.
    "zip-slip-vulnerability__zip-slip-win.zip": Wanted(
        "zip", [("good.txt", 19, "ea9ccb93"), ("..\\" * 40 + "Temp\\evil.txt", 20, "accd3f4c")]
    ),
    # Two members that share their bytes, which zips of builders do too: unzip reads both.
    "zip.js__lorem-overlapping-entries.zip": Wanted(
        "zip", [("lorem.txt", 1162, "ce58a77a"), ("lorem2.txt", 1162, "ce58a77a")]
    ),
}


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", WANTED)
def test_a_foreign_archive_is_told_as_its_most_careful_readers_tell_it(name, threads):
    wanted = WANTED[name]
    told = Told(DATA / name, threads=threads)
    found = told.digests(name.encode())

    assert told.archives == {name.encode(): wanted.kind}
    assert [(path.decode(), size, digest and digest.hex()[:8]) for path, (size, digest) in found.items()] == [
        tuple(member) for member in wanted.members
    ]
    for patterns, messages in ((wanted.troubles, told.troubles), (wanted.notes, told.notes)):
        assert len(patterns) == len(messages), messages
        assert all(re.search(pattern, one.message) for pattern, one in zip(patterns, messages, strict=True)), messages
    assert told.rows[-1].archive is None
    assert told.rows[-1].digest is not None


@pytest.mark.parametrize("threads", [1, 3])
def test_members_that_a_damaged_directory_does_not_list_are_told_by_their_own_headers(threads):
    name = "apache-poi__POIVisioFuzzer-6358126418591744.vsdx"
    told = Told(DATA / name, threads=threads)
    found = told.digests(name.encode())

    assert len(found) == 26
    assert sum(digest is not None for _, digest in found.values()) == 25
    assert [trouble.message for trouble in told.troubles if trouble.path == name.encode()] == [
        "is damaged: its directory lists 11 of 26 members; what the members' own headers say of the others is listed"
    ]


def test_members_after_one_that_is_damaged_are_told_where_there_is_no_directory():
    name = "apache-poi__POIXSLFFuzzer-5471515212382208.pptx"
    told = Told(DATA / name)
    found = told.digests(name.encode())
    paths = told.paths(name.encode())

    assert found[b"ppt/slideLayouts/slideLayout4.xml"][1] is None
    later = paths[paths.index(b"ppt/slideLayouts/slideLayout4.xml") + 1 :]
    assert {b"ppt/slideLayouts/slideLayout1.xml", b"ppt/slideLayouts/slideLayout3.xml"} <= set(later)
    assert found[b"ppt/slideLayouts/slideLayout1.xml"][1].hex().startswith("e0b28dc7")


def test_an_archive_of_a_kind_that_is_not_entered_is_told_as_such(tmp_path):
    (tmp_path / "x.bin").write_bytes(b"Rar!\x1a\x07" + bytes(100))
    told = Told(tmp_path / "x.bin")

    assert told.not_entered == {b"x.bin": "rar"}
    assert not told.archives
    assert told.rows[-1].digest is not None


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("damaged.RAR", b"\0ar!\x1a\x07", "rar"),
        ("cut.tar.lz4", b"", "lz4"),
        ("a.lzh", b"text", "lha"),
        ("lies.cab", b"Rar!\x1a\x07", "rar"),
    ],
)
def test_of_a_damaged_archive_of_such_a_kind_the_name_may_still_tell(tmp_path, name, content, kind):
    (tmp_path / name).write_bytes(content)
    told = Told(tmp_path / name)

    assert told.not_entered == {name.encode(): kind}
    assert not told.troubles


def test_what_is_entered_is_not_told_as_a_kind_that_is_not_whatever_its_name_says(tmp_path):
    (tmp_path / "x.rar").write_bytes(gzip.compress(b"text"))
    told = Told(tmp_path / "x.rar")

    assert told.not_entered == {}
    assert told.archives == {b"x.rar": "gz"}


def test_the_origin_of_every_sample_is_named():
    lines = (DATA / "README.md").read_text()

    assert all(f"| `{path.name}` |" in lines for path in DATA.iterdir() if path.name != "README.md")
    assert set(WANTED) <= {path.name for path in DATA.iterdir()}

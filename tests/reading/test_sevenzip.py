"""7z archives, made by 7-Zip and then damaged: what is listed of them."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import sys
import zlib
from pathlib import Path
from struct import pack, pack_into, unpack_from

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import CONTENT, make_tree
from told import Told

DATA = Path(__file__).resolve().parents[1] / "data"
PLAIN = "commons-compress__7z-hello-mhc-off-lzma2.7z"
WANTED = {name.encode(): (len(data), hashlib.sha256(data).digest()) for name, data in CONTENT.items()}


@pytest.fixture
def tree(tmp_path):
    folder = tmp_path / "tree"
    folder.mkdir()
    return make_tree(folder)


def seven(out: Path, tree: Path, *switches: str) -> Path:
    """What 7-Zip makes of a folder; a link becomes what it points at, unless it is told otherwise."""
    subprocess.run(["7z", "a", "-bd", *switches, out, "."], cwd=tree, check=True, capture_output=True)
    return out


def with_right_sums(data: bytearray) -> bytes:
    """The archive with the checksums of its header, as somebody would make it who wants to be believed."""
    offset, size = unpack_from("<QQ", data, 12)
    pack_into("<L", data, 28, zlib.crc32(data[32 + offset : 32 + offset + size]))
    pack_into("<L", data, 8, zlib.crc32(data[12:32]))
    return bytes(data)


def archive_of(header: bytes, content: bytes = b"") -> bytes:
    start = pack("<QQL", len(content), len(header), zlib.crc32(header))
    return b"7z\xbc\xaf\x27\x1c\0\4" + pack("<L", zlib.crc32(start)) + start + content + header


@pytest.mark.parametrize(
    "switches",
    [
        ["-m0=lzma"],
        ["-m0=lzma2"],
        ["-m0=bzip2"],
        ["-m0=deflate"],
        ["-m0=deflate64"],
        ["-m0=copy"],
        ["-m0=delta:4", "-m1=lzma"],
        ["-m0=bcj", "-m1=lzma"],
        ["-m0=bcj", "-m1=bzip2"],
        ["-m0=bcj2", "-m1=lzma", "-m2=lzma", "-m3=lzma", "-mb0s0:1", "-mb0s1:2", "-mb0s2:3"],
        ["-ms=off"],
        ["-mhc=off"],
        ["-mx=9"],
    ],
    ids=" ".join,
)
def test_every_member_is_told_however_it_is_packed(switches, tree, tmp_path):
    shutil.copy("/bin/ls", tree / "program")
    program = (tree / "program").read_bytes()
    told = Told(seven(tmp_path / "x.7z", tree, "-snl", *switches))

    wanted = WANTED | {b"program": (len(program), hashlib.sha256(program).digest())}
    assert told.archives == {b"x.7z": "7z"}
    assert told.digests(b"x.7z") == wanted
    assert not told.troubles
    [link] = [row for row in told.rows if row.kind == "symlink"]
    assert link.target == b"a.txt"
    assert {row.folder for row in told.rows if row.kind == "dir"} == {b"folder"}
    times = {row.name: row.mtime_ns for row in told.rows if row.archive and row.kind == "file"}
    assert abs(times[b"a.txt"] - (tree / "a.txt").stat().st_mtime_ns) < 1000


@pytest.mark.parametrize("method", ["FILTER_ZSTD", "FILTER_BROTLI"])
def test_methods_that_newer_programs_have_are_known(method, tree, tmp_path):
    py7zr = pytest.importorskip("py7zr")
    with py7zr.SevenZipFile(tmp_path / "x.7z", "w", filters=[{"id": getattr(py7zr, method), "level": 3}]) as out:
        for name in CONTENT:
            out.write(tree / name, name)
    told = Told(tmp_path / "x.7z")

    assert told.digests(b"x.7z") == WANTED
    assert not told.troubles


def test_a_chain_that_is_not_known_is_no_damage(tree, tmp_path):
    told = Told(seven(tmp_path / "x.7z", tree, "-m0=IA64", "-m1=lzma"))

    assert all(digest is None for size, digest in told.digests(b"x.7z").values() if size)
    assert "a method that is not known here" in told.troubles[0].message


def test_encrypted_members_are_listed_without_digest(tree, tmp_path):
    told = Told(seven(tmp_path / "x.7z", tree, "-psecret"))

    assert {path: digest for path, (_, digest) in told.digests(b"x.7z").items() if path in WANTED} == {
        path: None if size else digest for path, (size, digest) in WANTED.items()
    }
    assert not told.troubles
    assert "encrypted members, which have no digest" in told.notes[0].message


def test_an_archive_whose_names_are_encrypted_is_listed_as_a_file(tree, tmp_path):
    told = Told(seven(tmp_path / "x.7z", tree, "-psecret", "-mhe=on"))

    assert [row.name for row in told.rows] == [b"x.7z"]
    assert told.rows[0].digest is not None
    assert [note.message for note in told.notes] == ["is encrypted, names too: it is listed as one file"]


def test_members_by_ppmd_are_listed_without_digest(tree, tmp_path):
    told = Told(seven(tmp_path / "x.7z", tree, "-m0=ppmd"))

    assert set(WANTED) <= set(told.digests(b"x.7z"))
    assert "PPMd" in told.troubles[0].message


def test_damage_costs_the_members_after_it_in_its_block(tree, tmp_path):
    path = seven(tmp_path / "x.7z", tree, "-m0=copy", "-snl")
    data = bytearray(path.read_bytes())
    data[data.index(b"threethree")] ^= 1
    path.write_bytes(data)
    told = Told(path)
    found = told.digests(b"x.7z")

    assert {name: found[name] for name in WANTED if name != b"folder/c d.txt"} == {
        name: wanted for name, wanted in WANTED.items() if name != b"folder/c d.txt"
    }
    assert found[b"folder/c d.txt"] == (4995, None)
    assert [(trouble.path, trouble.message) for trouble in told.troubles] == [
        (b"x.7z!/folder/c d.txt", "is damaged: its content is not what its checksum says")
    ]


def test_what_cannot_be_decoded_any_further_is_told_once_for_all_that_follow(tree, tmp_path):
    for number in range(50):
        (tree / f"{number}.txt").write_text(str(number))
    path = seven(tmp_path / "x.7z", tree, "-m0=lzma", "-snl")
    data = bytearray(path.read_bytes())
    data[40:60] = bytes(20)
    path.write_bytes(data)
    told = Told(path)

    assert len(told.digests(b"x.7z")) == len(WANTED) + 50
    assert len(told.troubles) == 2
    assert "more members cannot be decoded" in told.troubles[1].message


@pytest.mark.parametrize("left", [6, 20, 31, 32, 60, -1])
def test_an_archive_that_is_cut_is_listed_with_its_reason(left, tree, tmp_path):
    path = seven(tmp_path / "x.7z", tree)
    path.write_bytes(path.read_bytes()[:left])
    told = Told(path)

    assert [row.name for row in told.rows] == [b"x.7z"]
    assert "is cut" in told.troubles[0].message


def test_without_the_extra_it_is_told_as_a_kind_that_is_not_entered(tree, tmp_path, monkeypatch):
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "py7zr" else there(name))
    told = Told(seven(tmp_path / "x.7z", tree))

    assert told.not_entered == {b"x.7z": "7z"}
    assert not told.troubles
    assert told.rows[-1].digest is not None


def test_only_the_header_is_read_where_nothing_is_hashed(tree, tmp_path):
    path = seven(tmp_path / "x.7z", tree, "-mhc=off", "-snl")
    data = bytearray(path.read_bytes())
    offset = unpack_from("<Q", data, 12)[0]
    data[32 : 32 + offset] = bytes(offset)
    path.write_bytes(data)
    told = Told(path, hashing=False)

    assert told.digests(b"x.7z") == {name: (size, None) for name, (size, _) in WANTED.items()}
    assert not told.troubles


def test_archives_in_a_7z_are_entered_and_7z_in_other_archives(tree, tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    seven(inner / "x.7z", tree, "-snl")
    subprocess.run(["tar", "cf", inner / "x.tar", "-C", tree, "."], check=True)
    told = Told(seven(tmp_path / "outer.7z", inner), depth=2)

    assert told.digests(b"outer.7z!/x.7z") == told.digests(b"outer.7z!/x.tar") == WANTED


def test_hostile_names_are_told_as_they_stand(tmp_path):
    data = (DATA / PLAIN).read_bytes()
    old, new = "Hello world.txt".encode("utf-16-le"), "../../../\ud800/x\n\\".encode("utf-16-le", "surrogatepass")
    (tmp_path / "x.7z").write_bytes(with_right_sums(bytearray(data.replace(old, new.ljust(len(old), b"\1")))))
    told = Told(tmp_path / "x.7z")

    assert told.paths(b"x.7z") == [b"../../../\xed\xa0\x80/x\n\\\xc4\x81"]
    assert told.rows[0].digest is not None


def test_a_dictionary_above_the_bound_is_refused(tmp_path):
    data = bytearray((DATA / PLAIN).read_bytes())
    data[data.index(b"\x21\x21\x01") + 3] = 40  # 4 GiB
    (tmp_path / "x.7z").write_bytes(with_right_sums(data))
    told = Told(tmp_path / "x.7z")

    assert told.digests(b"x.7z") == {b"Hello world.txt": (14, None)}
    assert "needs more memory to be decoded than is given to it" in told.troubles[0].message


@pytest.mark.parametrize("promised", [b"\xff" + b"\xff" * 8, b"\xe0\xff\xff\xff"])
@pytest.mark.parametrize("part", [b"\x05", b"\x04\x06\x00", b"\x04\x07\x0b"])
def test_a_header_that_promises_millions_takes_no_time(promised, part, tmp_path):
    (tmp_path / "x.7z").write_bytes(archive_of(b"\1" + part + promised + bytes(100)))
    told = Told(tmp_path / "x.7z")

    assert "promises more than it has" in told.troubles[0].message


def test_bombs_end_at_the_limits(tmp_path):
    (tmp_path / "tree").mkdir()
    with (tmp_path / "tree" / "zeros").open("wb") as out:
        out.truncate(300 * 1024 * 1024)
    path = seven(tmp_path / "x.7z", tmp_path / "tree", "-m0=lzma2", "-mx=1")
    assert "as a bomb does" in Told(path, max_ratio=10).troubles[0].message

    for number in range(20):
        (tmp_path / "tree" / str(number)).touch()
    (tmp_path / "tree" / "zeros").unlink()
    many = Told(seven(tmp_path / "y.7z", tmp_path / "tree"), max_members=10)
    assert "more than 10 members" in many.troubles[0].message


@pytest.mark.parametrize("method", ["lzma2", "deflate", "bzip2"])
def test_memory_is_bounded_whatever_it_grows_to(method, tmp_path):
    (tmp_path / "tree").mkdir()
    with (tmp_path / "tree" / "zeros").open("wb") as out:
        out.truncate(200 * 1024 * 1024)
    path = seven(tmp_path / "x.7z", tmp_path / "tree", f"-m0={method}", "-mx=1")
    program = (
        "import pathlib, sys; sys.path.insert(0, sys.argv[2]); from told import Told\n"
        "told = Told(pathlib.Path(sys.argv[1])); assert told.rows[0].digest\n"
        "print(pathlib.Path('/proc/self/status').read_text())"
    )
    here = Path(__file__).parent
    told = subprocess.run([sys.executable, "-c", program, path, here], check=True, capture_output=True, text=True)

    # Not the process's maximum by getrusage, which begins with that of the one it came from.
    [most] = [int(line.split()[1]) for line in told.stdout.splitlines() if line.startswith("VmHWM:")]
    assert most < 100 * 1024  # kilobytes; half of it is Python and its libraries


def test_of_many_members_that_cannot_be_had_only_the_first_are_told_one_by_one(tmp_path):
    many = b"\x83\xe8"  # 1,000
    names = b"\0" + b"a\0\0\0" * 1000
    header = (
        b"\1\4\6\xfe\0\0\0\1\0\0\0" + many + b"\x09" + b"\1" * 1000 + b"\0"
        b"\7\x0b" + many + b"\0" + b"\1\0" * 1000 + b"\x0c" + b"\1" * 1000 + b"\0\0"
        b"\5" + many + b"\x11" + bytes([0x80 | len(names) >> 8, len(names) & 255]) + names + b"\0\0"
    )
    (tmp_path / "x.7z").write_bytes(archive_of(header))
    told = Told(tmp_path / "x.7z")

    assert len(told.rows) == 1001
    assert len(told.troubles) == 101
    assert told.troubles[-1].message == "more members cannot be decoded, and have no digest: 900"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("changed")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_change_of_a_header_ends_in_rows_and_troubles(place, data):
    name = data.draw(st.sampled_from([PLAIN, "libarchive__test_read_format_7zip_bcj2_lzma1_1.7z"]))
    changed = bytearray((DATA / name).read_bytes())
    offset, size = unpack_from("<QQ", changed, 12)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[32 + offset + data.draw(st.integers(0, size - 1))] = data.draw(st.integers(0, 255))
    (place / "x.7z").write_bytes(with_right_sums(changed))
    told = Told(place / "x.7z")

    assert told.rows[-1].archive is None
    assert not any("any further" in trouble.message for trouble in told.troubles)

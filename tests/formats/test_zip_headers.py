"""Headers and directory of a zip, read back by Python's zipfile, unzip, bsdtar and 7z."""

from __future__ import annotations

import io
import os
import stat
import struct
import subprocess
import time
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backalaika.formats.zip import (
    DEFLATED,
    MAX_NAME,
    STORED,
    ZipMember,
    central_entry,
    end_of_central_directory,
    local_header,
    needs_zip64,
    rebase_central,
)

NS = 1_000_000_000
GIB = 1 << 30
NAMES = st.one_of(
    st.binary(min_size=1, max_size=300).map(lambda name: name.replace(b"\0", b"") or b"x"),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=200).map(
        lambda text: text.encode()
    ),
    st.sampled_from([b"n" * MAX_NAME, b"a\nb", b"a\\b", b"dir/", "ü/".encode(), b"\xe9\xe9"]),
)
SECONDS = st.one_of(st.integers(-(2**33), 2**33), st.integers(-(2**62) // NS, 2**62 // NS), st.just(2**31 - 1))


def _member(name: bytes, content: bytes, mode: int = 0o100644, mtime_ns: int = NS, zip64: bool = False) -> ZipMember:
    return ZipMember(name, mode, mtime_ns, STORED, zlib.crc32(content), len(content), len(content), zip64)


def _archive(members: list[tuple[ZipMember, bytes]]) -> bytes:
    body = central = b""
    for member, content in members:
        central += central_entry(member, len(body))
        body += local_header(member) + content
    return body + central + end_of_central_directory(len(members), len(central), len(body))


def _raw_name(info: zipfile.ZipInfo) -> bytes:
    return info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437")


def _timestamp(extra: bytes) -> int | None:
    """The time in the extended timestamp field, or None."""
    while extra:
        kind, size = struct.unpack_from("<HH", extra)
        if kind == 0x5455:
            flags, seconds = struct.unpack_from("<Bi", extra, 4)
            assert flags == 1
            return int(seconds)
        extra = extra[4 + size :]
    return None


@settings(deadline=None)
@given(
    name=NAMES,
    mode=st.integers(0, 0o177777),
    seconds=SECONDS,
    fraction=st.integers(0, NS - 1),
    content=st.binary(max_size=50),
    zip64=st.booleans(),
)
@example(b"a", 0o100644, 2**31, 0, b"", False)
@example(b"a", 0o100644, -1, 5, b"", True)
def test_zipfile_reads_back_names_modes_and_content(
    name: bytes, mode: int, seconds: int, fraction: int, content: bytes, zip64: bool
) -> None:
    first = _member(b"first", b"before it")
    member = _member(name, content, mode, seconds * NS + fraction, zip64)
    archive = zipfile.ZipFile(io.BytesIO(_archive([(first, b"before it"), (member, content)])))
    info = archive.infolist()[1]

    assert _raw_name(info) == name
    assert info.external_attr >> 16 == mode
    assert info.create_system == 3
    assert bool(info.external_attr & 0x10) == name.endswith(b"/")
    assert archive.testzip() is None
    assert archive.read(info) == content


@settings(deadline=None)
@given(seconds=SECONDS, fraction=st.integers(0, NS - 1))
@example(-1, 0)
@example(315_532_800, 0)
@example(315_446_400, 0)
@example(2**31 - 1, NS - 1)
@example(2**31, 0)
@example(4_354_819_198, 0)
@example(4_500_000_000, 0)
def test_the_dos_time_is_clamped_to_its_range_and_the_extended_one_is_true(seconds: int, fraction: int) -> None:
    archive = zipfile.ZipFile(io.BytesIO(_archive([(_member(b"a", b"", mtime_ns=seconds * NS + fraction), b"")])))
    info = archive.infolist()[0]
    local = time.localtime(seconds)

    if local.tm_year < 1980:
        assert info.date_time == (1980, 1, 1, 0, 0, 0)
    elif local.tm_year > 2107:
        assert info.date_time == (2107, 12, 31, 23, 59, 58)
    else:
        assert info.date_time == (*local[:5], min(local.tm_sec, 59) // 2 * 2)
    assert _timestamp(info.extra) == (seconds if -(2**31) <= seconds < 2**31 else None)


@settings(deadline=None)
@given(
    name=NAMES,
    sizes=st.tuples(st.integers(0, 2**63), st.integers(0, 2**63), st.integers(0, 2**32 - 1)),
    mtime_ns=SECONDS.map(lambda seconds: seconds * NS),
)
def test_a_local_header_can_be_patched_for_its_length_does_not_depend_on_sizes(
    name: bytes, sizes: tuple[int, int, int], mtime_ns: int
) -> None:
    size, compressed_size, crc32 = sizes
    empty = ZipMember(name, 0o100644, mtime_ns, DEFLATED, 0, 0, 0, zip64=True)
    full = ZipMember(name, 0o100644, mtime_ns, DEFLATED, crc32, size, compressed_size, zip64=True)

    assert len(local_header(full)) == len(local_header(empty))


@given(st.integers(0, 2**34))
def test_a_size_without_zip64_leaves_room_for_content_that_does_not_shrink(size: int) -> None:
    stored_in_blocks = size + 5 * (size // 0xFFFF + 1)

    assert needs_zip64(size) or stored_in_blocks < 0xFFFFFFFF


def test_sizes_over_4_gib_stand_in_the_zip64_field_of_both_headers() -> None:
    member = ZipMember(b"large", 0o100644, NS, DEFLATED, 1, 5 * GIB, 6 * GIB, zip64=True)
    central = central_entry(member, 7 * GIB)
    # zipfile needs a directory only, and believes that what comes before it is there.
    info = zipfile.ZipFile(io.BytesIO(central + end_of_central_directory(1, len(central), 0))).infolist()[0]
    local = local_header(member)

    assert (info.file_size, info.compress_size, info.header_offset) == (5 * GIB, 6 * GIB, 7 * GIB)
    assert struct.unpack_from("<II", local, 18) == (0xFFFFFFFF, 0xFFFFFFFF)
    assert struct.unpack("<HHQQ", local[-20:]) == (1, 16, 5 * GIB, 6 * GIB)


@settings(deadline=None)
@given(
    names=st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=20),
    base=st.one_of(
        st.integers(0, 2**42), st.integers(2**32 - 2000, 2**32 + 10), st.sampled_from([0, 0xFFFFFFFE, 0xFFFFFFFF])
    ),
    gap=st.integers(0, 300),
)
def test_rebased_entries_point_where_the_frame_stands(names: list[bytes], base: int, gap: int) -> None:
    members = [_member(name.replace(b"\0", b"") or b"x", b"") for name in names]
    offsets = [i * gap for i in range(len(names))]
    entries = b"".join(central_entry(member, offset) for member, offset in zip(members, offsets, strict=True))
    central = rebase_central(entries, base)
    parsed = zipfile.ZipFile(io.BytesIO(central + end_of_central_directory(len(names), len(central), 0))).infolist()

    assert [info.header_offset for info in parsed] == [base + offset for offset in offsets]
    assert [_raw_name(info) for info in parsed] == [member.name for member in members]
    # As if each had been made for its place; only the ZIP64 field may come in another version of the same words.
    assert central == b"".join(
        central_entry(member, base + offset) for member, offset in zip(members, offsets, strict=True)
    )


def _readable_by_all(path: Path, names: list[str], checked: str, content: bytes) -> None:
    """The tools find the names in an archive, and the content of one."""
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == names
        assert archive.read(checked) == content
    for command in (["unzip", "-Z1"], ["bsdtar", "-tf"]):
        listing = subprocess.run([*command, path], check=True, capture_output=True, text=True).stdout
        assert listing.splitlines() == names
    seven = subprocess.run(["7z", "l", "-ba", "-slt", path], check=True, capture_output=True, text=True).stdout
    paths = [line.removeprefix("Path = ") for line in seven.splitlines() if line.startswith("Path = ")]
    assert sorted(paths) == sorted(name.rstrip("/") for name in names)
    assert subprocess.run(["unzip", "-p", path, checked], check=True, capture_output=True).stdout == content
    assert subprocess.run(["7z", "x", "-so", path, checked], check=True, capture_output=True).stdout == content


@pytest.mark.timeout(120)
def test_all_tools_read_members_and_a_directory_beyond_4_gib(tmp_path: Path) -> None:
    path, base = tmp_path / "far.zip", 5 * GIB
    first, second = _member(b"near", b"here"), _member(b"far", b"there")
    frame = local_header(second) + b"there"
    central = central_entry(first, 0) + rebase_central(central_entry(second, 0), base)
    with path.open("wb") as file:
        file.write(local_header(first) + b"here")
        file.seek(base)
        file.write(frame + central + end_of_central_directory(2, len(central), base + len(frame)))

    _readable_by_all(path, ["near", "far"], "far", b"there")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("count", [65_534, 65_535, 65_536])
def test_all_tools_read_as_many_members_as_there_are(count: int, tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    names = [f"{i}" for i in range(count - 1)] + ["last"]
    parts, entries, offset = [], [], 0
    for name in names:
        content = b"content" if name == "last" else b""
        member = _member(name.encode(), content)
        head = local_header(member) + content
        entries.append(central_entry(member, offset))
        parts.append(head)
        offset += len(head)
    central = b"".join(entries)
    path.write_bytes(b"".join(parts) + central + end_of_central_directory(count, len(central), offset))

    _readable_by_all(path, names, "last", b"content")


@pytest.mark.timeout(60)
def test_a_zip64_local_header_that_was_not_needed_disturbs_no_tool(tmp_path: Path) -> None:
    path = tmp_path / "patched.zip"
    path.write_bytes(_archive([(_member(b"a", b"content", zip64=True), b"content"), (_member(b"b", b""), b"")]))

    _readable_by_all(path, ["a", "b"], "a", b"content")
    subprocess.run(["unzip", "-tq", path], check=True, capture_output=True)


# Without -^ unzip leaves out of names what a terminal might obey: a newline, and the byte 255.
@pytest.mark.timeout(60)
@pytest.mark.parametrize("tool", [["unzip", "-q", "-^"], ["bsdtar", "-xpf"], ["7z", "x"]])
def test_unzip_bsdtar_and_7z_extract_names_modes_times_and_links(tool: list[str], tmp_path: Path) -> None:
    files = {
        b"plain": (0o100640, 1_700_000_001),
        "Prüfung-日本".encode(): (0o100755, 1_234_567_891),
        b"before-1980": (0o100600, 86_401),
        b"line\nbreak": (0o100644, 1_000_000_001),
        b"n" * 255: (0o100644, 1_600_000_001),
    }
    members = [(_member(b"empty/", b"", 0o40755, 1_500_000_001 * NS), b"")]
    members += [(_member(name, name, mode, seconds * NS), name) for name, (mode, seconds) in files.items()]
    members.append((_member(b"link", b"no/where", stat.S_IFLNK | 0o777), b"no/where"))
    path = tmp_path / "tree.zip"
    path.write_bytes(_archive(members))
    out = tmp_path / "out"
    out.mkdir()
    env = {**os.environ, "LC_ALL": "C.UTF-8"}
    subprocess.run([*tool, path], cwd=out, check=True, env=env, stdout=subprocess.DEVNULL)

    for name, (mode, seconds) in files.items():
        extracted = os.path.join(os.fsencode(out), name)
        info = os.lstat(extracted)
        assert Path(os.fsdecode(extracted)).read_bytes() == name
        assert info.st_mode == mode, name
        if tool[0] != "7z" or name != b"before-1980":  # 7z reads the DOS field alone
            assert abs(info.st_mtime - seconds) <= (1 if tool[0] == "7z" else 0), name
    assert (out / "empty").is_dir()
    assert os.readlink(out / "link") == "no/where"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("tool", [["unzip", "-q", "-^"], ["bsdtar", "-xpf"]])
def test_a_name_that_is_not_utf_8_is_extracted_with_the_same_bytes(tool: list[str], tmp_path: Path) -> None:
    path = tmp_path / "latin.zip"
    path.write_bytes(_archive([(_member(b"latin-\xe9\xff", b"content"), b"content")]))
    out = tmp_path / "out"
    out.mkdir()
    env = {**os.environ, "LC_ALL": "C.UTF-8"}
    subprocess.run([*tool, path], cwd=out, check=True, env=env, stdout=subprocess.DEVNULL)

    assert os.listdir(os.fsencode(out)) == [b"latin-\xe9\xff"]

"""Headers of tar members, read back by Python's tarfile, GNU tar and bsdtar."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backalaika.formats import BLOCK
from backalaika.formats.tar import (
    DIRECTORY,
    END_OF_ARCHIVE,
    HARD_LINK,
    REGULAR,
    SYMLINK,
    header,
    header_size_bound,
    padding,
)

NOBODY = (0, 0, b"", b"")
NS = 1_000_000_000


def _clean(name: bytes) -> bytes:
    return name.replace(b"\0", b"").strip(b"/") or b"x"


def _stretched(name: bytes, times: int) -> bytes:
    return _clean((name * times)[:5000])


_PIECES = st.one_of(
    st.binary(min_size=1, max_size=120),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60).map(lambda text: text.encode()),
    st.sampled_from([b"a", b"\n", b"12 path=a\n", "ü".encode(), b"\xff", "日本".encode()]),
)
NAMES = st.builds(_stretched, _PIECES, st.sampled_from([1, 1, 2, 30, 101, 5000]))
OWNER_NAMES = st.one_of(st.just(b""), st.binary(max_size=60).map(lambda name: name.replace(b"\0", b"")))
MTIMES = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-3 * NS, 3 * NS),
    st.integers(-(2**33), 2**34).map(lambda seconds: seconds * NS),
)


def _read(head: bytes) -> tarfile.TarInfo:
    with tarfile.open(fileobj=io.BytesIO(head + END_OF_ARCHIVE), mode="r:", encoding="utf-8") as tar:
        member = tar.next()
    assert member is not None
    return member


def _mtime_ns(member: tarfile.TarInfo) -> int:
    # tarfile's own mtime is a float, which has no room for nanoseconds.
    return int(Decimal(member.pax_headers.get("mtime", str(member.mtime))) * NS)


def _checksum_is_right(block: bytes) -> bool:
    return int(block[148:154], 8) == sum(block[:148]) + 8 * 32 + sum(block[156:])


@settings(deadline=None)
@given(
    name=NAMES,
    kind=st.sampled_from([REGULAR, DIRECTORY]),
    mode=st.integers(0, 0o177777),
    ids=st.tuples(st.integers(0, 2**32), st.integers(0, 2**32)),
    owner_names=st.tuples(OWNER_NAMES, OWNER_NAMES),
    size=st.integers(0, 2**40),
    mtime_ns=MTIMES,
)
@example(b"n" * 100, REGULAR, 0o644, (0o7777777, 0o10000000), (b"", b""), 0o77777777777, -1)
@example(b"n" * 101, REGULAR, 0o644, (2**32, 2**32), (b"u" * 32, b"g" * 33), 0o100000000000, -NS - 1)
@example("é".encode() * 50, DIRECTORY, 0o40755, (0, 0), (b"\xe9t\xe9", "été".encode()), 0, NS * 10**10 + 1)
def test_tarfile_reads_back_every_value_of_a_header(
    name: bytes,
    kind: bytes,
    mode: int,
    ids: tuple[int, int],
    owner_names: tuple[bytes, bytes],
    size: int,
    mtime_ns: int,
) -> None:
    size = 0 if kind == DIRECTORY else size
    head = header(name + b"/" * (kind == DIRECTORY), kind, mode, (*ids, *owner_names), size, mtime_ns)
    member = _read(head)

    assert os.fsencode(member.name) == name
    assert member.type == kind
    assert member.mode == mode & 0o7777
    assert (member.uid, member.gid) == ids
    assert tuple(text.encode("utf-8", "surrogateescape") for text in (member.uname, member.gname)) == owner_names
    assert member.size == size
    assert _mtime_ns(member) == mtime_ns
    assert member.offset_data == len(head)


@settings(deadline=None)
@given(name=NAMES, target=NAMES, kind=st.sampled_from([SYMLINK, HARD_LINK]), mtime_ns=MTIMES)
@example(b"\xff", "é".encode(), SYMLINK, 1)
@example("é".encode(), b"\xff" * 101, SYMLINK, 1)
def test_tarfile_reads_back_where_a_link_points(name: bytes, target: bytes, kind: bytes, mtime_ns: int) -> None:
    member = _read(header(name, kind, 0o777, NOBODY, 0, mtime_ns, target))

    assert member.type == kind
    assert os.fsencode(member.name) == name
    assert os.fsencode(member.linkname) == target
    assert _mtime_ns(member) == mtime_ns


@settings(deadline=None)
@given(
    name=NAMES,
    target=st.one_of(st.just(b""), NAMES),
    ids=st.tuples(st.integers(0, 2**32), st.integers(0, 2**32)),
    owner_names=st.tuples(st.binary(max_size=32), st.binary(max_size=32)),
    size=st.integers(0, 2**50),
    mtime_ns=MTIMES,
)
def test_a_header_is_whole_blocks_with_right_checksums_and_no_longer_than_its_bound(
    name: bytes,
    target: bytes,
    ids: tuple[int, int],
    owner_names: tuple[bytes, bytes],
    size: int,
    mtime_ns: int,
) -> None:
    user, group = (text.replace(b"\0", b"") for text in owner_names)
    head = header(name, SYMLINK if target else REGULAR, 0o644, (*ids, user, group), size, mtime_ns, target)

    assert len(head) % BLOCK == 0
    assert _checksum_is_right(head[:BLOCK])
    assert _checksum_is_right(head[-BLOCK:])
    assert len(head) <= header_size_bound(len(name), len(target))


@given(st.integers(0, 2**40))
def test_padding_fills_the_last_block(size: int) -> None:
    assert (size + len(padding(size))) % BLOCK == 0
    assert len(padding(size)) < BLOCK


def test_a_plain_member_takes_one_block() -> None:
    assert len(header(b"a", REGULAR, 0o644, (1000, 1000, b"me", b"us"), 5, 1_700_000_000 * NS)) == BLOCK


# What is written into one archive for the tools: name, mode, mtime in ns, content.
_FILES = [
    (b"plain", 0o644, 1_700_000_000_123_456_789, b"content"),
    (b"l" * 255, 0o600, 1_700_000_000 * NS, b""),
    (b"/".join([b"deep" * 40] * 5), 0o640, NS + 1, b"x" * 512),
    ("Prüfung/日本".encode(), 0o755, 2, b"y" * 513),
    (b"latin-\xe9", 0o644, 1_234_567_890_000_000_001, b"z"),
    (b"long-latin-\xe9" + b"e" * 200, 0o644, 1_234_567_890_000_000_001, b"z"),
    (b"line\nbreak", 0o444, 999_999_999, b"n"),
    (b"before-1970", 0o644, -1_500_000_000, b"old"),
    (b"after-2106", 0o644, 5_000_000_000 * NS + 7, b"new"),
]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    parts = [header(b"dir/", DIRECTORY, 0o750, NOBODY, 0, 1_600_000_000_500_000_000)]
    for name, mode, mtime_ns, content in _FILES:
        parts += [header(name, REGULAR, mode, NOBODY, len(content), mtime_ns), content, padding(len(content))]
    parts.append(header(b"link", SYMLINK, 0o777, NOBODY, 0, 3 * NS + 3, b"no\xffwhere/" + "ü".encode() * 80))
    parts.append(header("hård".encode(), HARD_LINK, 0o644, NOBODY, 0, _FILES[0][2], b"plain"))
    parts.append(header(b"hard", HARD_LINK, 0o644, NOBODY, 0, _FILES[5][2], _FILES[5][0]))
    parts.append(END_OF_ARCHIVE)
    path = tmp_path / "golden.tar"
    path.write_bytes(b"".join(parts))
    return path


@pytest.mark.timeout(60)
@pytest.mark.parametrize("tool", [["tar", "-x", "-p", "--no-same-owner"], ["bsdtar", "-x", "-p", "--no-same-owner"]])
def test_gnu_tar_and_bsdtar_extract_names_modes_times_and_links(tool: list[str], archive: Path) -> None:
    out = archive.parent / "out"
    out.mkdir()
    subprocess.run([*tool, "-f", archive, "-C", out], check=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
    root = os.fsencode(out)

    for name, mode, mtime_ns, content in _FILES:
        path = os.path.join(root, name)
        info = os.stat(path)
        if tool[0] == "bsdtar" and mtime_ns < 0:
            # POSIX, GNU tar and Python: "-1.5" is 1.5 s before 1970; libarchive takes it for -1 s and 0.5 s.
            mtime_ns += NS
        assert (info.st_mode & 0o7777, info.st_mtime_ns) == (mode, mtime_ns), name
        with open(path, "rb") as file:
            assert file.read() == content
    folder = os.stat(os.path.join(root, b"dir"))
    assert (folder.st_mode & 0o7777, folder.st_mtime_ns) == (0o750, 1_600_000_000_500_000_000)
    assert os.readlink(os.path.join(root, b"link")) == b"no\xffwhere/" + "ü".encode() * 80
    assert os.lstat(os.path.join(root, b"link")).st_mtime_ns == 3 * NS + 3
    assert os.path.samefile(os.path.join(root, "hård".encode()), os.path.join(root, b"plain"))
    assert os.path.samefile(os.path.join(root, b"hard"), os.path.join(root, _FILES[5][0]))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "command",
    [
        ["tar", "--numeric-owner", "--full-time", "--utc", "-tvf"],
        ["bsdtar", "--numeric-owner", "-tvf"],
    ],
)
def test_gnu_tar_and_bsdtar_list_large_sizes_and_ids(command: list[str], tmp_path: Path) -> None:
    path, size = tmp_path / "large.tar", 9 * 2**30
    head = header(b"large", REGULAR, 0o600, (3_000_000_000, 4_000_000_000, b"", b""), size, 5_000_000_000 * NS + 7)
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + size)
        file.seek(0, os.SEEK_END)
        file.write(END_OF_ARCHIVE)
    listing = subprocess.run([*command, path], check=True, capture_output=True, text=True).stdout

    assert listing.split()[-1] == "large"
    assert str(size) in listing
    assert "3000000000" in listing
    assert "4000000000" in listing
    assert "2128" in listing


@pytest.mark.timeout(60)
def test_7z_reads_long_and_non_ascii_names(archive: Path) -> None:
    listing = subprocess.run(
        ["7z", "l", "-slt", archive], check=True, capture_output=True, env={**os.environ, "LC_ALL": "C.UTF-8"}
    ).stdout

    assert b"Path = " + "Prüfung/日本".encode() in listing
    assert b"Path = " + _FILES[2][0] in listing

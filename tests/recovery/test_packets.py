"""Recovery files are read packet by packet: all damage is found, and what is whole behind it counts."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backalaika.errors import UsageError
from backalaika.recovery import packets, repairing
from backalaika.recovery.layout import INDEX, Making
from backalaika.recovery.packets import MAGIC, damaged_blocks, read_set, scan
from backalaika.recovery.program import Stopped, create, find_par2, recovery_files
from backalaika.recovery.repairing import check_target, repair_copy

BLOCK = 2048
FILES = {"a.001.zip": 200_000, "README.txt": 1500, "SUMS.xxh128": 90}
PAR2 = find_par2() or "par2"


@pytest.fixture(scope="module")
def volume(tmp_path_factory):
    """A folder of three files with ten recovery blocks, and what is in each file."""
    place = tmp_path_factory.mktemp("volume")
    for number, (name, size) in enumerate(FILES.items()):
        (place / name).write_bytes(random.Random(number).randbytes(size))
    create(PAR2, str(place), list(FILES), Making(BLOCK, 10), 1, lambda: False, lambda percent: None)
    return place, {path.name: path.read_bytes() for path in place.iterdir()}


def refreshed(volume):
    place, content = volume
    for path in place.iterdir():
        if path.name not in content:
            path.unlink()
    for name, data in content.items():
        (place / name).write_bytes(data)
    return place


def read(place):
    return read_set([scan(str(place), name) for name in recovery_files(str(place))])


def test_whole_recovery_files_tell_all_that_they_protect(volume):
    found = read(refreshed(volume))

    assert (found.block, found.recovery_blocks, found.promised, found.undescribed) == (BLOCK, 10, 10, 0)
    assert found.troubles == {}
    assert {name: file.size for name, file in found.files.items()} == FILES
    assert found.files["README.txt"].md5 == hashlib.md5(volume[1]["README.txt"]).digest()
    assert found.blocks == 98 + 1 + 1
    for file in found.files.values():
        assert damaged_blocks(str(volume[0]), file, BLOCK) == (file.name, 0, False)


@settings(deadline=None, max_examples=150)
@given(st.sampled_from([0, 1]), st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_every_byte_of_a_recovery_file_counts(volume, which, where, change):
    place = refreshed(volume)
    path = place / recovery_files(str(place))[which]
    data = bytearray(path.read_bytes())
    data[int(where * len(data))] ^= change
    path.write_bytes(data)
    found = read(place)

    assert found.troubles.keys() == {path.name}
    assert {name: file.size for name, file in found.files.items()} == FILES
    assert found.recovery_blocks >= 9


@settings(deadline=None, max_examples=50)
@given(st.sampled_from([0, 1]), st.floats(0, 1, exclude_max=True))
def test_a_recovery_file_that_was_cut_off_is_found_wherever_that_was(volume, which, where):
    place = refreshed(volume)
    path = place / recovery_files(str(place))[which]
    data = path.read_bytes()
    starts = [at for at in range(len(data)) if data.startswith(MAGIC, at)] if where > 0.7 else []
    path.write_bytes(data[: random.Random(where).choice(starts) if starts else int(where * len(data))])

    assert path.name in read(place).troubles


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 199_999), st.integers(1, 30_000))
def test_damaged_blocks_are_those_that_were_hit(volume, start, length):
    place = refreshed(volume)
    data = bytearray(volume[1]["a.001.zip"])
    end = min(start + length, len(data))
    data[start:end] = bytes(byte ^ 1 for byte in data[start:end])
    (place / "a.001.zip").write_bytes(data)
    file = read(place).files["a.001.zip"]

    assert damaged_blocks(str(place), file, BLOCK) == ("a.001.zip", (end - 1) // BLOCK - start // BLOCK + 1, True)


def packet(kind: bytes, body: bytes, set_id: bytes = b"s" * 16) -> bytes:
    rest = set_id + (b"PAR 2.0\0" + kind).ljust(16, b"\0") + body
    return MAGIC + (len(rest) + 32).to_bytes(8, "little") + hashlib.md5(rest).digest() + rest


@pytest.mark.parametrize("name", [b"../escaped", b"/etc/passwd", b"..", b"", b"a/b"])
def test_names_that_lead_out_of_the_volume_are_not_followed(tmp_path, name):
    main = (4).to_bytes(8, "little") + (1).to_bytes(4, "little") + b"f" * 16
    description = b"f" * 16 + bytes(32) + (4).to_bytes(8, "little") + name.ljust(-(-len(name) // 4) * 4 or 4, b"\0")
    sums = b"f" * 16 + bytes(20)
    (tmp_path / INDEX).write_bytes(packet(b"Main", main) + packet(b"FileDesc", description) + packet(b"IFSC", sums))
    found = read(tmp_path)

    assert found.files == {}
    assert found.undescribed == 1


@pytest.mark.parametrize("block", [0, 1 << 62])
def test_blocks_of_a_size_that_cannot_be_cost_nothing(tmp_path, block):
    main = block.to_bytes(8, "little") + (1).to_bytes(4, "little") + b"f" * 16
    description = b"f" * 16 + bytes(32) + (4).to_bytes(8, "little") + b"a\0\0\0"
    sums = b"f" * 16 + bytes(20)
    (tmp_path / "a").write_bytes(b"1234")
    (tmp_path / INDEX).write_bytes(packet(b"Main", main) + packet(b"FileDesc", description) + packet(b"IFSC", sums))

    assert read(tmp_path).files == {}


def test_more_recovery_blocks_than_there_can_be_cost_no_memory(tmp_path):
    name = "RECOVERY.vol0+1.par2"
    with open(tmp_path / name, "wb") as file:
        for number in range(66_000):
            file.write(packet(b"RecvSlic", number.to_bytes(4, "little"), number.to_bytes(16, "little")))
    (tmp_path / INDEX).write_bytes(packet(b"RecvSlic", b"\xff" * 4))
    scanned = [scan(str(tmp_path), one) for one in (name, INDEX)]

    assert len(scanned[0].exponents) == 65_535
    assert scanned[1].exponents == frozenset()
    assert read_set(scanned).recovery_blocks == 1  # each is of a set of its own


def test_many_recovery_files_have_the_memory_of_one(tmp_path, monkeypatch):
    monkeypatch.setattr(packets, "_MOST_TOGETHER", 200_000)
    names = [f"RECOVERY.vol{number}+1.par2" for number in range(30)]
    for name in names:
        body = random.Random(name).randbytes(150_000)
        (tmp_path / name).write_bytes(packet(b"FileDesc", body))
    read_set(scan(str(tmp_path), name) for name in names[:1])
    tracemalloc.start()
    found = read_set(scan(str(tmp_path), name) for name in names)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert found.sizes.keys() == set(names)
    assert peak < 3_000_000  # a reading piece of 1 MiB, and few bodies


def test_a_fifo_called_as_a_recovery_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / INDEX)

    assert "no regular file" in scan(str(tmp_path), INDEX).trouble


def test_sectors_that_cannot_be_read_are_filled_and_repaired(volume, tmp_path, monkeypatch):
    place = refreshed(volume)
    found, real = read(place), os.read
    bad = (os.stat(place / "a.001.zip").st_ino, 40_960, 45_056)

    def reading(descriptor: int, length: int) -> bytes:
        inode, start, end = bad
        at = os.lseek(descriptor, 0, os.SEEK_CUR) if os.fstat(descriptor).st_ino == inode else end
        if at < end and at + length > start:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(descriptor, length)

    monkeypatch.setattr(repairing.os, "read", reading)
    copy = repair_copy(str(place), str(tmp_path / "copy"), found, [], PAR2, 1, lambda: False, lambda what: None)

    assert copy.lost == {"a.001.zip": 4096}
    assert (copy.repaired, copy.failure) == (["a.001.zip"], "")
    assert {path.name: path.read_bytes() for path in (tmp_path / "copy").iterdir()} == volume[1]


def test_a_repair_that_is_interrupted_leaves_nothing(volume, tmp_path):
    place = refreshed(volume)
    (place / "a.001.zip").write_bytes(bytes(200_000))
    said: list[str] = []
    with pytest.raises(Stopped):
        repair_copy(
            str(place),
            str(tmp_path),
            read(place),
            [],
            PAR2,
            1,
            lambda: any(".vol" in line for line in said),
            said.append,
        )

    assert said
    assert list(tmp_path.iterdir()) == []


def test_a_copy_overwrites_nothing(volume, tmp_path):
    (tmp_path / "letter").write_text("mine")
    for target in (tmp_path, tmp_path / "letter", volume[0], volume[0] / "inside"):
        with pytest.raises(UsageError):
            check_target(str(target), str(volume[0]))
    check_target(str(tmp_path / "new"), str(volume[0]))

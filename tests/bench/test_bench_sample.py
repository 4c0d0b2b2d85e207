"""The sample is what the tree is like, byte for byte, and lies in memory as a tar has it."""

import io
import itertools
import os
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backalaika.bench.measuring import cut_frames, worker_counts
from backalaika.bench.sample import MIB, take_sample
from backalaika.errors import SourceError


def sample_of(path, most_bytes=64 * MIB, seconds=10.0):
    return take_sample(str(path), most_bytes, seconds, lambda: None)


def test_a_small_tree_is_its_own_sample(tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "a").write_bytes(b"x" * 700)
    (tmp_path / "empty").touch()
    (tmp_path / "below" / "large").write_bytes(bytes(2 * MIB + 1))
    (tmp_path / "link").symlink_to("a")

    sample = sample_of(tmp_path)

    assert (sample.files, sample.bytes, sample.whole) == (3, 2 * MIB + 701, True)
    found = [(os.path.relpath(p.directory, tmp_path), p.name, p.offset, p.size) for p in sample.pieces]
    assert found == [
        (".", "a", 0, 700),
        ("below", "large", 0, MIB),
        ("below", "large", MIB, MIB),
        ("below", "large", 2 * MIB, 1),
    ]


def test_each_byte_has_the_same_chance_whether_its_file_is_large_or_small(tmp_path):
    for number in range(2000):
        (tmp_path / f"{number}").write_bytes(b"x" * 1000)
    with open(tmp_path / "large", "wb") as large:
        large.truncate(2000 * MIB)

    sample = sample_of(tmp_path, most_bytes=100 * MIB)

    size = sum(piece.size for piece in sample.pieces)
    small = sum(piece.size == 1000 for piece in sample.pieces)
    assert 99 * MIB <= size <= 100 * MIB
    assert 60 <= small <= 150  # a twentieth of the files, as it is of the large one


def test_the_memory_of_a_sample_is_a_tar_of_its_files(tmp_path):
    contents = {f"file {number}": os.urandom(size) for number, size in enumerate((1, 511, 512, 513, 5000))}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)

    sample = sample_of(tmp_path)

    memory = bytearray(sample.memory)
    for piece in sample.pieces:
        memory[piece.place - len(piece.head) : piece.place] = piece.head
        memory[piece.place : piece.place + piece.size] = contents[piece.name]
    with tarfile.open(fileobj=io.BytesIO(bytes(memory) + bytes(1024))) as archive:
        found = {os.path.basename(member.name): archive.extractfile(member).read() for member in archive}
    assert found == contents


def test_a_walk_that_takes_too_long_ends_where_it_is(tmp_path):
    for number in range(20):
        (tmp_path / f"{number:02}").mkdir()
        (tmp_path / f"{number:02}" / "file").write_bytes(b"x")

    sample = sample_of(tmp_path, seconds=0.0)

    assert not sample.whole
    assert sample.files == 1  # as soon as there is something to measure with


def test_a_tree_without_content_cannot_be_measured_with(tmp_path):
    (tmp_path / "empty").touch()

    with pytest.raises(SourceError, match="no file with content"):
        sample_of(tmp_path)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 5000)), min_size=1), st.integers(1, 2000))
def test_frames_hold_the_stream_in_order_and_lose_less_than_half_of_one(gaps, size):
    spans, place = [], 0
    for gap, length in gaps:
        spans.append((place + gap, place + gap + length))
        place += gap + length
    stream = [byte for start, end in spans for byte in range(start, end)]

    frames = cut_frames(spans, size)

    framed = [byte for frame in frames for start, end in frame for byte in range(start, end)]
    assert framed == stream[: len(framed)]
    assert all(sum(end - start for start, end in frame) == size for frame in frames[:-1])
    assert len(stream) - len(framed) <= (size + 1) // 2


@given(st.integers(1, 200))
def test_rates_are_taken_on_one_process_on_all_and_on_powers_of_two(workers):
    counts = worker_counts(workers)

    assert counts[0] == 1
    assert counts[-1] == workers
    assert counts == sorted(set(counts))
    assert all(b <= 2 * a for a, b in itertools.pairwise(counts))

"""Codecs: frames one after another, decoded by the ordinary tools and by Python."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import deflate
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from backalaika.codecs import CODECS, is_incompressible
from backalaika.formats import archive_format
from backalaika.formats.zip import WINDOW
from backalaika.run.slots import SLACK, frame_limit, slot_size

MIB = 1 << 20
_BZ2_BLOCK = bin(0x314159265359)[2:].rjust(48, "0")


def _random(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def _text(size: int) -> bytes:
    words = [b"%x" % random.Random(i).getrandbits(24) for i in range(400)]
    maker = random.Random(2)
    return b" ".join(maker.choice(words) for _ in range(size // 5))[:size]


def _from_zstd(data: bytes) -> bytes:
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True) as reader:
        return reader.read()


PYTHON: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.decompress,
    "bz2": bz2.decompress,
    "zst": _from_zstd,
    "xz": lzma.decompress,
}
TOOLS = [
    ("gz", ["gzip", "-dc"]),
    ("gz", ["zcat"]),
    ("bz2", ["bzip2", "-dc"]),
    ("zst", ["zstd", "-dcq"]),
    ("xz", ["xz", "-dc"]),
]
# A frame of text, one that does not shrink (stored by gzip and zstd), a tiny one, and a repeating one.
PIECES = [_text(200_000), _random(150_000), b"x", bytes(300_000)]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("name", "tool"), TOOLS, ids=lambda value: value if isinstance(value, str) else value[0])
def test_the_ordinary_tool_decodes_frames_one_after_another(name: str, tool: list[str], tmp_path: Path) -> None:
    codec = CODECS[name]
    path = tmp_path / f"frames.{name}"
    path.write_bytes(b"".join(codec.compress(piece, codec.default_level) for piece in PIECES))

    assert subprocess.run([*tool, path], check=True, capture_output=True).stdout == b"".join(PIECES)


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(sorted(CODECS)), st.lists(st.binary(max_size=2000), min_size=1, max_size=4))
def test_python_decodes_frames_one_after_another_and_each_alone(name: str, pieces: list[bytes]) -> None:
    codec = CODECS[name]
    frames = [bytes(codec.compress(memoryview(piece), codec.default_level)) for piece in pieces]

    assert PYTHON[name](b"".join(frames)) == b"".join(pieces)
    assert [PYTHON[name](frame) for frame in frames] == pieces


@pytest.mark.parametrize("name", CODECS)
def test_every_level_of_a_codec_works_and_its_default_is_one_of_them(name: str) -> None:
    codec = CODECS[name]

    assert codec.default_level in codec.levels
    for level in codec.levels:
        assert PYTHON[name](bytes(codec.compress(PIECES[0][:20_000], level))) == PIECES[0][:20_000]


@pytest.mark.parametrize("name", CODECS)
def test_the_same_frame_gives_the_same_bytes_whatever_was_compressed_before(name: str) -> None:
    codec = CODECS[name]
    first = codec.compress(PIECES[0], codec.default_level)
    codec.compress(PIECES[1], codec.levels[0])
    codec.compress(PIECES[3], codec.default_level)

    assert codec.compress(memoryview(bytearray(PIECES[0])), codec.default_level) == first


@pytest.mark.parametrize("name", CODECS)
def test_a_frame_that_does_not_compress_fits_in_its_slot(name: str) -> None:
    codec = CODECS[name]
    small = archive_format(name, None, MIB)
    limit = frame_limit(small)
    # Four equal bytes are what bzip2's first step makes longest.
    fours = b"".join(bytes([byte]) * 4 for byte in _random(limit // 4))
    for level in {codec.levels[0], codec.default_level, codec.levels[-1]}:
        for data in (_random(limit), fours):
            assert WINDOW + len(codec.compress(data, level)) <= slot_size([small])
            assert len(codec.compress(data, level)) <= len(data) + len(data) // 8 + SLACK


def _bz2_blocks(data: bytes) -> int:
    """Blocks begin with the digits of pi, at any bit."""
    return bin(int.from_bytes(bz2.compress(data, 9), "big")).count(_BZ2_BLOCK)


def test_a_bz2_frame_is_the_largest_that_is_one_block() -> None:
    size = CODECS["bz2"].frame_size

    assert _bz2_blocks(_random(size)) == 1
    assert _bz2_blocks(_random(size + 512)) == 2


def test_frames_are_whole_tar_blocks() -> None:
    assert all(codec.frame_size % 512 == 0 for codec in CODECS.values())


def test_text_is_compressible() -> None:
    assert not is_incompressible(_text(MIB))


def test_zeros_are_compressible() -> None:
    assert not is_incompressible(bytes(MIB))


def test_random_bytes_are_incompressible() -> None:
    assert is_incompressible(_random(MIB))
    assert is_incompressible(memoryview(bytearray(_random(64 * 1024))))


def test_what_is_compressed_already_is_incompressible() -> None:
    assert is_incompressible(deflate.gzip_compress(_text(MIB), 6))


def test_random_bytes_after_text_are_compressible_for_a_part_of_them_is() -> None:
    assert not is_incompressible(_text(MIB // 2 + 8192) + _random(MIB // 2))


def test_what_repeats_itself_is_compressible_however_random_it_looks() -> None:
    assert not is_incompressible((_random(24_000) * 44)[:MIB])


def test_texts_between_photos_are_compressible_wherever_the_samples_fall() -> None:
    text = _text(3000)
    frame = bytearray(b"".join(_random(20_000, seed) + text for seed in range(42)))
    for start in (4096, len(frame) // 2, len(frame) - 4096):  # where the samples are taken from
        frame[start : start + 4096] = _random(4096, start)

    assert not is_incompressible(bytes(frame))


def test_a_gzip_frame_of_photos_and_texts_is_no_larger_than_gzip_makes_it() -> None:
    frame = b"".join(_random(20_000, seed) + _text(4000) for seed in range(42))

    assert len(CODECS["gz"].compress(frame, 5)) <= len(gzip.compress(frame, 6)) * 1.01


@pytest.mark.parametrize("size", [0, 1, 4096, 64 * 1024 - 1])
def test_little_content_is_never_called_incompressible(size: int) -> None:
    assert not is_incompressible(_random(size))


def test_a_gzip_frame_of_random_bytes_is_stored_for_speed() -> None:
    data = _random(MIB)

    assert data[:1000] in CODECS["gz"].compress(data, 6)

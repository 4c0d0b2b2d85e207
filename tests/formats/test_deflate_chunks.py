"""Chunks of a deflate stream, compressed apart and joined."""

from __future__ import annotations

import random
import zlib
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backalaika.formats.zip import WINDOW, deflate_chunk, stored_blocks


def _content(kind: str, size: int, seed: int) -> bytes:
    maker = random.Random(seed)
    if kind == "random":
        return maker.randbytes(size)
    if kind == "zeros":
        return bytes(size)
    words = [maker.randbytes(maker.randint(1, 12)) for _ in range(50)]
    return b" ".join(maker.choice(words) for _ in range(size // 6 + 1))[:size]


CONTENTS = st.builds(
    _content,
    st.sampled_from(["random", "zeros", "words"]),
    st.one_of(st.integers(0, 300), st.integers(0, 300_000), st.sampled_from([0xFFFF, 0x1FFFE, WINDOW])),
    st.integers(0, 9),
)


def _cut(content: bytes, cuts: list[float]) -> list[bytes]:
    places = [0, *sorted(int(cut * len(content)) for cut in cuts), len(content)]
    return [content[start:end] for start, end in pairwise(places)]


def _inflate(stream: bytes) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    content = inflater.decompress(stream)
    assert inflater.eof
    assert not inflater.unused_data
    return content


@settings(deadline=None, max_examples=60)
@given(
    content=CONTENTS,
    cuts=st.lists(st.floats(0, 1), max_size=5),
    stored=st.sets(st.integers(0, 5)),
    level=st.integers(1, 12),
)
@example(b"", [], set(), 6)
@example(b"", [0.0], set(), 6)
@example(b"abc" * 50_000, [0.5, 0.5, 1.0], {1}, 6)
def test_joined_chunks_are_the_content_wherever_it_is_cut(
    content: bytes, cuts: list[float], stored: set[int], level: int
) -> None:
    chunks = _cut(content, cuts)
    stream, before = b"", b""
    for i, chunk in enumerate(chunks):
        last = i == len(chunks) - 1
        window = before[-WINDOW:]
        stream += stored_blocks(chunk, last) if i in stored else deflate_chunk(chunk, window, level, last)
        before += chunk

    assert _inflate(stream) == content


@given(CONTENTS)
@settings(deadline=None, max_examples=40)
def test_a_chunk_never_grows_by_more_than_its_stored_blocks(content: bytes) -> None:
    bound = len(content) + 5 * (len(content) // 0xFFFF + 1)

    assert len(stored_blocks(content, last=True)) <= bound
    assert len(deflate_chunk(content, b"", 6, last=True)) <= bound


@pytest.mark.parametrize("size", [0, 1, 0xFFFE, 0xFFFF, 0x10000, 2 * 0xFFFF, 2 * 0xFFFF + 1])
def test_stored_blocks_of_any_size_are_a_whole_stream(size: int) -> None:
    content = _content("random", size, seed=size)

    assert _inflate(stored_blocks(content, last=True)) == content


def test_a_chunk_refers_to_what_came_before_it() -> None:
    chunk = _content("random", 20_000, seed=1)

    assert len(deflate_chunk(chunk, chunk, 6, last=True)) < 1000


def test_the_same_chunk_gives_the_same_bytes() -> None:
    chunk = memoryview(_content("words", 200_000, seed=1))

    assert deflate_chunk(chunk, chunk[:WINDOW], 6, last=False) == deflate_chunk(chunk, chunk[:WINDOW], 6, last=False)

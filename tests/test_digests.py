"""Digests, with other implementations as judges."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backalaika.digests import DIGESTS, digest_function, hasher_factory


@settings(deadline=None)
@given(st.sampled_from(DIGESTS), st.lists(st.binary(max_size=500), max_size=6))
def test_a_digest_is_the_same_whether_taken_at_once_or_piece_by_piece(name: str, pieces: list[bytes]) -> None:
    hasher = hasher_factory(name)()
    for piece in pieces:
        hasher.update(memoryview(piece))

    content = b"".join(pieces)
    assert hasher.digest() == digest_function(name)(content)
    assert hasher.digest() == digest_function(name)(memoryview(bytearray(content)))


@pytest.mark.timeout(30)
def test_the_default_digest_is_what_xxhsum_prints(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content" * 1000)
    printed = subprocess.run(["xxhsum", "-H2", path], check=True, capture_output=True, text=True).stdout

    assert digest_function(DIGESTS[0])(path.read_bytes()).hex() == printed.split()[0]


def test_sha256_is_that_of_the_standard_library() -> None:
    assert digest_function("sha256")(b"content") == hashlib.sha256(b"content").digest()


def test_blake3_gives_the_digest_of_its_specification() -> None:
    empty = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"

    assert digest_function("blake3")(b"").hex() == empty


def test_an_unknown_digest_is_refused() -> None:
    with pytest.raises(ValueError, match="md5"):
        hasher_factory("md5")

"""Hashing: what the pool does with files of which only the digest is wanted, to see whether they are known."""

from __future__ import annotations

from ..digests import hasher_factory
from ..walk import open_file_in
from .worker import my_turn


def digest_files(paths: list[tuple[str, str]], digest: str, turn: int | None = None) -> list[bytes | None]:
    """The digests of files, each given as its directory and name; None for one that cannot be read."""
    with my_turn(turn):
        return _digest_files(paths, digest)


def _digest_files(paths: list[tuple[str, str]], digest: str) -> list[bytes | None]:
    factory = hasher_factory(digest)
    results: list[bytes | None] = []
    for directory, name in paths:
        try:
            with open(open_file_in(directory, name), "rb", buffering=0) as file:
                hasher = factory()
                while piece := file.read(1 << 20):
                    hasher.update(piece)
                results.append(hasher.digest())
        except OSError:
            results.append(None)
    return results

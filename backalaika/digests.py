"""Digests: name each file by its content.

XXH3-128 by default: it is faster than memory, so that hashing costs a backup nothing, and ``xxhsum -H2`` prints the
same sixteen bytes (canonical, big-endian order). BLAKE3 and SHA-256 are for those who need a digest that nobody can
forge. The sums of whole files on a volume are always XXH3-128, for `xxhsum -c`. The libraries are imported when used:
the help needs the names alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, Protocol

from .errors import ConfigurationError

Buffer = bytes | bytearray | memoryview

_PIECE = 1 << 20

DIGESTS = ("xxh3-128", "blake3", "sha256")


class Hasher(Protocol):
    """What the three libraries have in common."""

    def update(self, data: Any, /) -> Any:
        """Take in the next piece of the content."""

    def digest(self) -> bytes:
        """The digest of all that was taken in."""


def hasher_factory(name: str) -> Callable[[], Hasher]:
    """A maker of incremental hashers; ``name`` is one of `DIGESTS`.

    Raises:
        ConfigurationError: its library is not installed.
    """
    factory: Callable[[], Hasher]
    if name == "xxh3-128":
        import xxhash

        factory = xxhash.xxh3_128
    elif name == "sha256":
        import hashlib

        factory = hashlib.sha256
    elif name == "blake3":
        try:
            import blake3
        except ImportError:
            raise ConfigurationError(
                "the library for the digest blake3 is not installed; pip install 'backalaika[blake3]'"
            ) from None
        factory = blake3.blake3
    else:
        raise ValueError(f"{name}: not a digest")
    return factory


@cache
def has_library(name: str) -> bool:
    """Whether the library for one of `DIGESTS` is installed."""
    try:
        hasher_factory(name)
    except ConfigurationError:
        return False
    return True


def digest_function(name: str) -> Callable[[Buffer], bytes]:
    """A function from the whole content to its digest; one call instead of three, for small files."""
    if name == "xxh3-128":
        import xxhash

        whole: Callable[[Buffer], bytes] = xxhash.xxh3_128_digest
        return whole
    factory = hasher_factory(name)

    def digest(data: Buffer) -> bytes:
        hasher = factory()
        hasher.update(data)
        return hasher.digest()

    return digest


def digests_of(path: str, names: Iterable[str]) -> tuple[int, list[bytes]]:
    """Size of a file, and its digests of these kinds; it is read once.

    Raises:
        OSError: it cannot be read.
        ConfigurationError: the library for one of the digests is missing.
    """
    hashers = [hasher_factory(name)() for name in names]
    size = 0
    with open(path, "rb", buffering=0) as file:
        while piece := file.read(_PIECE):
            size += len(piece)
            for hasher in hashers:
                hasher.update(piece)
    return size, [hasher.digest() for hasher in hashers]

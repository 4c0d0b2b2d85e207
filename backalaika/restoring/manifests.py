"""Manifests: what a volume says of its members, as items; also what is left of a manifest that is damaged.

The manifest is written in pieces, each a gzip member of its own with a checksum, so damage costs the lines of a piece.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from ..catalogue.rows import KINDS
from ..digests import DIGESTS
from ..errors import ArchiveError
from ..manifest import MANIFEST
from ..reading.own import manifest_lines
from ..reading.seekable import Seekable
from ..walk import DIRECTORY, describe_error
from .asking import HERE, Asking
from .items import Item

_GZIP = b"\x1f\x8b\x08"


def manifest_items(folder: str, warn: Callable[[str], None], asking: Asking = HERE) -> Iterator[Item]:
    """All members that the manifest of a volume tells of, in its order; streamed.

    Args:
        folder: of the volume.
        warn: told once if it is damaged; what can be read of it follows.
        asking: reads it.

    Raises:
        HangsError: the medium gives nothing any more.
    """
    done = 0
    file = None
    try:
        file = asking.file(folder, MANIFEST)
        for line in manifest_lines(file.stream(0, file.size), file.size):
            item = _item(line)
            done += 1
            yield item
        return
    except (ArchiveError, OSError) as error:
        warn(str(error) if isinstance(error, ArchiveError) else f"cannot be read: {describe_error(error)}")
    for number, line in enumerate(_salvaged(file) if file is not None else ()):
        if number >= done:
            try:
                yield _item(line)
            except ArchiveError:
                continue  # it was told that some are damaged


def _salvaged(file: Seekable) -> Iterator[bytes]:
    """The lines of all pieces that are whole."""
    try:
        data = file.all_at(0, file.size)
    except OSError:
        return
    at = data.find(_GZIP)
    while at >= 0:
        decoder = zlib.decompressobj(31)
        try:
            lines = decoder.decompress(data[at:])
        except zlib.error:
            lines = b""
        if lines and decoder.eof:
            yield from lines.splitlines()
            at = data.find(_GZIP, len(data) - len(decoder.unused_data))
        else:
            at = data.find(_GZIP, at + 1)


def _item(line: bytes) -> Item:
    """A line of a manifest, checked as that of a stranger.

    Raises:
        ArchiveError: it is not what a manifest has.
    """
    try:
        told = json.loads(line)
        kind, path = told["kind"], os.fsencode(told["path"])
        numbers = told["size"], told["mtime_ns"], told["frame"], told["offset"]
        if kind not in KINDS or not all(type(number) is int and abs(number) < 2**63 for number in numbers):
            raise ValueError
        if min(numbers[0], numbers[2], numbers[3]) < 0:
            raise ValueError
        target = None if told.get("target") is None else os.fsencode(told["target"])
        place, part = _whole(told.get("whole")) or (path.rstrip(b"/") if kind == DIRECTORY else path, None)
        return Item(
            place,
            path,
            kind,
            numbers[0],
            numbers[1],
            _digest(told["digest"]),
            target,
            os.fsencode(told["archive"]),
            numbers[2],
            numbers[3],
            part,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ArchiveError("is damaged: one of its lines is not what a manifest has") from None


def _whole(told: dict[str, Any] | None) -> tuple[bytes, tuple[int, int, int | None, bytes | None]] | None:
    if told is None:
        return None
    numbers = told["part"], told["offset"]
    size = told.get("size")
    if not all(type(number) is int and 0 <= number < 2**63 for number in (*numbers, size or 0)) or numbers[0] < 1:
        raise ValueError
    return os.fsencode(told["path"]), (*numbers, size, _digest(told.get("digest")))


def _digest(told: str | None) -> bytes | None:
    digest = None if told is None else bytes.fromhex(told)
    if digest is not None and len(digest) not in (16, 32):
        raise ValueError
    return digest


def readme(folder: str, asking: Asking = HERE) -> str:
    """The beginning of README.txt, which tells the run, the volume's number and the digest; empty if there is none."""
    marks = asking.marks(folder)
    return "" if marks is None else marks.readme


def title_by_readme(text: str) -> str | None:
    """The title that the volume has in the catalogue of who wrote it."""
    run, number = re.search(r"^Run: (.+)$", text, re.M), re.search(r", volume (\d+)$", text, re.M)
    return f"{run[1]}/vol{int(number[1]):03d}" if run and number else None


def digest_by_readme(text: str, length: int) -> str:
    """Which digest a manifest has whose digests have this many bytes."""
    if length == 16:
        return DIGESTS[0]
    named = re.search(r"time, (\S+) digest", text)
    return named[1] if named and named[1] in DIGESTS[1:] else "sha256"

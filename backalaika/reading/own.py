"""Own: media that this program wrote. Their manifest says what is in their archives, and their sums whether it is true.

The manifest itself must be what SUMS.xxh128 says; else it is worth nothing, and the archives are read. Its lines are
checked like those of a stranger, for anybody can write such a file.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

import xxhash

from ..catalogue.rows import KINDS
from ..digests import DIGESTS
from ..errors import ArchiveError
from ..manifest import MANIFEST, README, SUMS
from .members import folder_and_name
from .messages import Row
from .streams import PIECE, Budget, FileStream, decoded

OWN_FILES = {os.fsencode(name) for name in (MANIFEST, SUMS, README)}
_MAX_SUMS = 16 * 1024 * 1024
# A path has 4 kB, and each byte of it takes six characters at most.
_MAX_LINE = 1024 * 1024
_MAX_RATIO = 2000


@dataclass(frozen=True, slots=True)
class OwnVolume:
    """A volume of a run.

    Attributes:
        folder: absolute path.
        archives: XXH3-128 of each archive, by its name.
        digest: which digest the manifest has.
    """

    folder: str
    archives: dict[bytes, bytes]
    digest: str


def find_own(folder: str) -> OwnVolume | None:
    """The volume in this folder; None if there is none.

    Raises:
        ArchiveError: its manifest is not what its sums say; the message is of the manifest.
        OSError: they cannot be read.
    """
    paths = [os.path.join(folder, name) for name in (MANIFEST, SUMS)]
    if not all(map(os.path.isfile, paths)):
        return None
    with open(paths[1], "rb") as file:
        text = file.read(_MAX_SUMS)
    sums = {}
    for line in text.splitlines():
        match = re.fullmatch(rb"([0-9a-f]{32})  ([^/]+)", line)
        if match:
            sums[match[2]] = bytes.fromhex(match[1].decode())
    whole = xxhash.xxh3_128()
    with open(paths[0], "rb", buffering=0) as file:
        while piece := file.read(PIECE):
            whole.update(piece)
    if sums.get(os.fsencode(MANIFEST)) != whole.digest():
        raise ArchiveError(f"is not what {SUMS} says; the archives are read instead")
    archives = {name: digest for name, digest in sums.items() if name not in OWN_FILES}
    return OwnVolume(folder, archives, _digest(folder)) if archives else None


def _digest(folder: str) -> str:
    """Which digest the manifest has: README.txt says it, where its length leaves a choice."""
    for row in manifest_rows(folder):
        if row.digest is None:
            continue
        if len(row.digest) == 16:
            return DIGESTS[0]
        try:
            with open(os.path.join(folder, README), encoding="utf-8", errors="replace") as file:
                named = re.search(r"time, (\S+) digest", file.read(100_000))
        except FileNotFoundError:
            named = None
        return named[1] if named and named[1] in DIGESTS[1:] else "sha256"
    return DIGESTS[0]


def manifest_rows(folder: str) -> Iterator[Row]:
    """What the manifest says of members, in its order; streamed.

    Raises:
        ArchiveError: it is damaged.
        OSError: it cannot be read.
    """
    with open(os.path.join(folder, MANIFEST), "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        stream = decoded("gz", FileStream(file.fileno(), size, None, _untold), Budget(size, _MAX_RATIO, 1))
        rest = b""
        while piece := stream.take(PIECE):
            *lines, rest = (rest + bytes(piece)).split(b"\n")
            if len(rest) > _MAX_LINE:
                raise ArchiveError("is damaged: one of its lines has no end")
            for line in lines:
                yield _row(line)
        if rest:
            yield _row(rest)


def _row(line: bytes) -> Row:
    try:
        told = json.loads(line)
        kind, path, target = told["kind"], os.fsencode(told["path"]), told.get("target")
        digest = None if told["digest"] is None else bytes.fromhex(told["digest"])
        numbers = told["size"], told["mtime_ns"]
        if kind not in KINDS or not all(type(number) is int for number in numbers) or numbers[0] < 0:
            raise ValueError
        if digest is not None and len(digest) not in (16, 32):
            raise ValueError
        link = None if target is None else os.fsencode(target)
        return Row(os.fsencode(told["archive"]), *folder_and_name(path, kind), kind, *numbers, digest, link)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ArchiveError("is damaged: one of its lines is not what a manifest has") from None


def archive_format(name: bytes) -> str:
    """``zip``, ``tar.gz`` and so on, as this program names its archives."""
    found = re.search(rb"\.(zip|tar\.(?:gz|bz2|zst|xz))(?:\.\d+)?$", name)
    return found[1].decode() if found else "tar"


def _untold(size: int) -> None:
    """Progress of the manifest is not worth telling."""

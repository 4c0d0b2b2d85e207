"""Own: media that this program wrote. Their manifest says what is in their archives, and their sums whether it is true.

The manifest itself must be what SUMS.xxh128 says; else it is worth nothing, and the archives are read. Its lines are
checked like those of a stranger, for anybody can write such a file. A volume may have been burnt as the one folder of
the medium, and not as what is in that.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import xxhash

from ..catalogue.rows import KINDS
from ..digests import DIGESTS
from ..errors import ArchiveError
from ..manifest import MANIFEST, README, SUMS
from ..recovery.layout import RECOVERY_FILE
from .members import folder_and_name, joined
from .messages import LooseFile, PartOf, Row
from .streams import PIECE, Budget, Stream, decoded

if TYPE_CHECKING:  # a restore reads manifests, and need not wait for images of discs
    from .trees import Sign, Tree

OWN_FILES = {os.fsencode(name) for name in (MANIFEST, SUMS, README)}
_MAX_SUMS = 16 * 1024 * 1024
# A path has 4 kB, and each byte of it takes six characters at most.
_MAX_LINE = 1024 * 1024
_MAX_RATIO = 2000


def is_own_file(path: bytes) -> bool:
    """Whether a file of a volume is none that was saved, but tells of these or protects them."""
    return path in OWN_FILES or RECOVERY_FILE.fullmatch(os.fsdecode(path)) is not None


@dataclass(frozen=True, slots=True)
class OwnVolume:
    """A volume of a run. Paths are those on the medium.

    Attributes:
        tree: the medium.
        files: those of `OWN_FILES` that are there, by name.
        archives: XXH3-128 of each archive, by its path.
        digest: which digest the manifest has.
        folder: where it lies on the medium; empty for the medium itself.
        is_sound: whether the manifest is what the sums say; else it is worth nothing.
    """

    tree: Tree
    files: dict[bytes, LooseFile]
    archives: dict[bytes, bytes]
    digest: str = DIGESTS[0]
    folder: bytes = b""
    is_sound: bool = True

    def has(self, path: bytes) -> bool:
        """Whether it is a file of this volume that is none that was saved."""
        folder, _, name = path.rpartition(b"/")
        return folder == self.folder and is_own_file(name)


def find_own(tree: Tree, sign: Sign) -> OwnVolume | None:
    """The volume that this medium is, or its one folder; None if it is none of ours. ``sign`` is called often.

    Raises:
        ArchiveError: its manifest cannot be understood; the message is of the manifest.
        OSError: they cannot be read.
    """
    folder = b""
    files = _own_files(tree, folder, sign)
    if not files:
        folder = tree.lone_folder(sign)
        files = _own_files(tree, folder, sign) if folder else {}
    manifest, sums_file = files.get(os.fsencode(MANIFEST)), files.get(os.fsencode(SUMS))
    if manifest is None or sums_file is None:
        return None
    with tree.open(sums_file) as opened:
        text = opened.all_at(0, _MAX_SUMS)
    sums = {}
    for line in text.splitlines():
        match = re.fullmatch(rb"([0-9a-f]{32})  ([^/]+)", line)
        if match:
            sums[match[2]] = bytes.fromhex(match[1].decode())
    archives = {joined(folder, name): digest for name, digest in sums.items() if not is_own_file(name)}
    if not archives:
        return None
    whole = xxhash.xxh3_128()
    with tree.open(manifest) as opened:
        stream = opened.stream(0, opened.size)
        while piece := stream.take(PIECE):
            whole.update(piece)
            sign()
    if sums.get(os.fsencode(MANIFEST)) != whole.digest():
        return OwnVolume(tree, files, archives, folder=folder, is_sound=False)
    return OwnVolume(tree, files, archives, _digest(tree, files), folder)


def _own_files(tree: Tree, folder: bytes, sign: Sign) -> dict[bytes, LooseFile]:
    """Those of `OWN_FILES` that lie in this folder of a medium, by name."""
    found = tree.top(sorted(joined(folder, name) for name in OWN_FILES), sign)
    return {path.rpartition(b"/")[2]: file for path, file in found.items()}


def _digest(tree: Tree, files: dict[bytes, LooseFile]) -> str:
    """Which digest the manifest has: README.txt says it, where its length leaves a choice."""
    for row in _manifest_rows(tree, files[os.fsencode(MANIFEST)]):
        if row.digest is None:
            continue
        if len(row.digest) == 16:
            return DIGESTS[0]
        text = ""
        if os.fsencode(README) in files:
            with tree.open(files[os.fsencode(README)]) as opened:
                text = opened.all_at(0, 100_000).decode(errors="replace")
        named = re.search(r"time, (\S+) digest", text)
        return named[1] if named and named[1] in DIGESTS[1:] else "sha256"
    return DIGESTS[0]


def manifest_rows(own: OwnVolume) -> Iterator[Row]:
    """What the manifest says of members, in its order; streamed.

    Raises:
        ArchiveError: it is damaged.
        OSError: it cannot be read.
    """
    for row in _manifest_rows(own.tree, own.files[os.fsencode(MANIFEST)]):
        yield row._replace(archive=joined(own.folder, row.archive or b""))


def _manifest_rows(tree: Tree, manifest: LooseFile) -> Iterator[Row]:
    with tree.open(manifest) as opened:
        yield from map(_row, manifest_lines(opened.stream(0, opened.size), opened.size))


def manifest_lines(source: Stream, size: int) -> Iterator[bytes]:
    """The lines of a manifest of so many bytes; streamed.

    Raises:
        ArchiveError: it is damaged.
    """
    stream = decoded("gz", source, Budget(size, _MAX_RATIO, 1))
    rest = b""
    while piece := stream.take(PIECE):
        *lines, rest = (rest + bytes(piece)).split(b"\n")
        if len(rest) > _MAX_LINE:
            raise ArchiveError("is damaged: one of its lines has no end")
        yield from lines
    if rest:
        yield rest


def _row(line: bytes) -> Row:
    try:
        told = json.loads(line)
        kind, path, target = told["kind"], os.fsencode(told["path"]), told.get("target")
        if kind not in KINDS:
            raise ValueError
        size, mtime_ns = _number(told["size"]), told["mtime_ns"]
        if type(mtime_ns) is not int or abs(mtime_ns) >= 1 << 63:
            raise ValueError
        link = None if target is None else os.fsencode(target)
        part = None if told.get("whole") is None else _part(told["whole"], path)
        if part is not None:
            path = os.fsencode(told["whole"]["path"])
        place = folder_and_name(path, kind)
        return Row(os.fsencode(told["archive"]), *place, kind, size, mtime_ns, _hash(told["digest"]), link, part)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ArchiveError("is damaged: one of its lines is not what a manifest has") from None


def _part(whole: Any, path: bytes) -> PartOf | None:
    """What a member is a part of. None if its name does not say the same: lists make the name from the number."""
    number = _number(whole["part"])
    size, digest = whole.get("size"), whole.get("digest")
    if path != os.fsencode(whole["path"]) + b".part%03d" % number:
        return None
    return PartOf(number, _number(whole["offset"]), None if size is None else _number(size), _hash(digest))


def _number(told: Any) -> int:
    if type(told) is not int or not 0 <= told < 1 << 63:
        raise ValueError
    return told


def _hash(told: Any) -> bytes | None:
    digest = None if told is None else bytes.fromhex(told)
    if digest is not None and len(digest) not in (16, 32):
        raise ValueError
    return digest


def archive_format(name: bytes) -> str:
    """``zip``, ``tar.gz`` and so on, as this program names its archives."""
    found = re.search(rb"\.(zip|tar\.(?:gz|bz2|zst|xz))(?:\.\d+)?$", name)
    return found[1].decode() if found else "tar"

"""Manifest, sums and README: what makes a volume of use alone.

``MANIFEST.jsonl.gz`` has one JSON object a line for each member: ``archive``, ``frame`` (byte offset of its frame in
the archive), ``path``, ``kind`` (file, dir, symlink, hardlink), ``size``, ``mtime_ns``, ``digest`` (hex or null),
``offset`` (where the member starts in the decoded frame), and ``target`` for links. A part of a file that was cut has
path, size and digest of its own, and ``whole``: the file's ``path``, ``part`` (the number of this one, from 1) and
``offset`` (where the part begins in the file); with the last part also ``parts``, ``size`` and ``digest``.

It is written frame by frame, each piece a gzip member of its own, so that its exact size is known before a frame is
given to a volume.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import deflate

from .recovery.layout import INDEX

MANIFEST = "MANIFEST.jsonl.gz"
SUMS = "SUMS.xxh128"
README = "README.txt"

# Level 6 costs 3 times level 1 and saves a fifth of a file that is a hundredth of the volume.
_LEVEL = 1

_HOW = {
    "zip": ("unzip {0}", "zip"),
    "tar.gz": ("tar xzf {0}", "tar and gzip"),
    "tar.bz2": ("tar xjf {0}", "tar and bzip2"),
    "tar.zst": ("zstd -dc {0} | tar x", "tar and zstd"),
    "tar.xz": ("tar xJf {0}", "tar and xz"),
}

_RECOVERY = (
    f"{INDEX}      and its .vol files: PAR2 recovery files of all files here, by which",
    "    any par2 program repairs what is damaged, as far as they suffice.",
    f"    Is all well?        par2 verify {INDEX}",
    f"    To repair: copy this folder to a disk, and there: par2 repair {INDEX}",
    "    (What cannot be read may be missing from the copy; ddrescue copies the rest.)",
)


def manifest_piece(lines: bytes, archive: str, frame: int) -> bytes | bytearray:
    """The lines of one frame's members, completed with archive and frame offset, as a gzip member.

    ``lines`` is as workers make it: a newline in front of each line, which starts after its opening brace. JSON has
    no raw newline inside a string, so each newline is the start of a line.
    """
    start = f'\n{{"archive":{json.dumps(archive)},"frame":{frame},'.encode()
    return deflate.gzip_compress(lines.replace(b"\n", start)[1:] + b"\n", _LEVEL)


def manifest_piece_bound(lines: bytes, archive: str, frame: int) -> int:
    """Bytes that `manifest_piece` takes at most, for lines of this length with anything in them.

    libdeflate stores what it cannot compress, in blocks of 5,000 bytes and more with 5 bytes each
    (``libdeflate_deflate_compress_bound``); a gzip member has 18 bytes besides.
    """
    start = len(json.dumps(archive)) + len(f'{{"archive":,"frame":{frame},')
    size = len(lines) + lines.count(b"\n") * start
    return size + 5 * (size // 5000 + 1) + 18


def sums_line(digest_hex: str, name: str) -> str:
    """A line of SUMS.xxh128, as `xxhsum -H2` prints it."""
    return f"{digest_hex}  {name}\n"


def sums_line_size(name: str) -> int:
    """Bytes of `sums_line` for a file of this name."""
    return len(name.encode()) + 32 + 3


def readme_text(
    job: str,
    run: str,
    comment: str,
    number: int,
    archives: Sequence[tuple[str, str]],
    digest: str,
    recovery: bool = False,
) -> str:
    """README.txt of a volume: what it is, and how to get files back without this program.

    Args:
        job: the job's name.
        run: the run's folder, which starts with its date and time.
        comment: the user's, or empty.
        number: of the volume in the run, from 1.
        archives: name and suffix of each.
        digest: the digest of members in the manifest.
        recovery: whether the volume has recovery files.
    """
    lines = [
        f"Backup of the job {job!r}, volume {number}",
        f"Run: {run}",
        *([f"Comment: {comment}"] if comment else []),
        "",
        "This folder is whole in itself. No other volume, no catalogue and no special",
        "program is needed to get files back from it.",
        "",
        "Archives here, and a command that unpacks each:",
        *(f"    {_HOW[suffix][0].format(_quote(name))}" for name, suffix in archives),
        "",
        "In an archive every path starts with the name of the folder that was saved, so",
        "archives of several volumes can be unpacked into one place and fit together.",
        "A folder that did not fit on one volume goes on in an archive of the same name",
        "with the next volume's number. Unpack them in the order of their names, one",
        "volume after the other: what changed while the backup was made may be there",
        "twice, and the later one is the newer (unzip asks whether to replace: yes).",
        "A file that was cut is saved as NAME.part001, NAME.part002 and so on, also on",
        "other volumes. To join its parts:  cat NAME.part* > NAME",
        "",
        f"{MANIFEST}  one line a file: archive, path, size, time, {digest} digest.",
        f"    Find a file:        zcat {MANIFEST} | grep NAME",
        f"{SUMS}        check the whole folder: xxhsum -c {SUMS}",
        *(_RECOVERY if recovery else ()),
        "",
        "Written by Backalaika.",
    ]
    return "\n".join(lines) + "\n"


def _quote(name: str) -> str:
    if name.startswith("-"):  # or unzip and zstd take it for options
        name = "./" + name
    return "'" + name.replace("'", "'\\''") + "'"

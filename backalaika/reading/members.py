"""Members: what the readers of tar and zip tell, and how their names become paths in the catalogue."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from ..walk import DIRECTORY

LONGEST_PATH = 65_535
"""Bytes of a path, of a link's target, and of the path of an archive in an archive: more no column of MySQL holds.

What is longer is left out, whatever the database; no system has paths of a tenth of it.
"""

# For names in zips without the UTF-8 flag, likeliest first: DOS in the West and in Russia, Windows, Japan.
_CANDIDATES = ("cp437", "cp866", "cp1252", "cp1251", "cp932")

# Bytes of a path that is too long, by which it is known again.
_SHOWN = 100


@dataclass(slots=True)
class Member:
    """A member of an archive.

    Attributes:
        path: as the archive has it.
        kind: ``file``, ``dir``, ``symlink``, ``hardlink``; ``other`` is a device or a FIFO.
        size: bytes of content, 0 for what is no file.
        mtime_ns: nanoseconds since 1970, UTC.
        target: of a link.
        encrypted: whether its content cannot be read without a password.
        raw_path: the bytes of the path in the archive, where that does not tell their encoding: ``path`` is a guess.
        mode: permissions, where the directory of a zip, a 7z or an image tells them; a tar's are with the content.
        owner: user id, group id, user's and group's name; None unless whoever reads a tar has put them in.
    """

    path: bytes
    kind: str
    size: int
    mtime_ns: int
    target: bytes | None = None
    encrypted: bool = False
    raw_path: bytes | None = None
    mode: int | None = None
    owner: tuple[int, int, bytes, bytes] | None = None


def is_too_long(member: Member) -> bool:
    """Whether its path or its target is longer than `LONGEST_PATH`."""
    return len(member.path) > LONGEST_PATH or (member.target is not None and len(member.target) > LONGEST_PATH)


def left_out(path: bytes) -> str:
    """What is told of a member for which `is_too_long` is so."""
    return f"has a path or a link of more than {LONGEST_PATH:,} bytes, which is left out: {beginning_of(path)}"


def beginning_of(path: bytes) -> str:
    """So much of a path as can be read on a screen."""
    return path[:_SHOWN].decode(errors="replace") + ("..." if len(path) > _SHOWN else "")


def shortened(path: bytes) -> bytes:
    """A path for those who are to find out what is wrong there; no longer than `LONGEST_PATH`."""
    return path if len(path) <= LONGEST_PATH else path[: LONGEST_PATH - 3] + b"..."


def folder_and_name(path: bytes, kind: str) -> tuple[bytes, bytes]:
    """Where the catalogue has a path: a folder itself has no name; put together again it is the same path."""
    if kind == DIRECTORY:
        return path.rstrip(b"/") or path, b""
    cut = path.rfind(b"/")
    if cut < 0:
        return b"", path
    folder = path[:cut]
    return (
        (folder, path[cut + 1 :]) if folder.strip(b"/") and folder[-1:] != b"/" else (path[: cut + 1], path[cut + 1 :])
    )


def joined(folder: bytes, name: bytes) -> bytes:
    """The path of `folder_and_name`."""
    if not name or not folder:
        return folder + name
    return folder + name if folder.endswith(b"/") else folder + b"/" + name


def guess_encoding(names: Iterable[bytes]) -> str:
    """The encoding in which names of one zip look most like words; for those that are neither ASCII nor UTF-8.

    Letters that stand side by side are of one script: bytes of a Russian name, read as if they were Western, are
    letters mixed with lines of boxes, and the other way round.
    """
    some = [name for name in names if not name.isascii()][:200]
    return max(_CANDIDATES, key=lambda encoding: (_likeliness(some, encoding), -_CANDIDATES.index(encoding)))


def _likeliness(names: list[bytes], encoding: str) -> int:
    score = 0
    for name in names:
        try:
            text = name.decode(encoding)
        except UnicodeDecodeError:
            score -= 10
            continue
        before = ""
        for character in text:
            script = _script(character)
            if not character.isascii():
                score += 1 if script else -3
            if before and script:
                both_ascii = character.isascii()
                score += (2 if not both_ascii else 0) if script == before else -2
                if character.isupper() and not both_ascii and before:
                    score -= 1
            before = script
    return score


def _script(character: str) -> str:
    return unicodedata.name(character, "").split(" ")[0] if character.isalpha() else ""


def readable_name(raw: bytes, encoding: str) -> bytes:
    """A name from a zip without the UTF-8 flag, as UTF-8; its own bytes where it is not in that encoding."""
    try:
        return raw.decode(encoding).encode()
    except UnicodeError:  # punycode and its like raise no finer one
        return raw

"""Wanted: what a file must be like to be found; no database in sight.

A pattern without ``*`` and ``?`` is a part of a name; with them, it is the whole name, and ``[abc]`` is one of these
characters. With a ``/`` in it, it speaks of the path. Names are compared folded: upper and lower case are the same, and
so are the two ways of writing an accent (a Mac's discs have them apart), but e is not é.

The catalogue keeps names in lists, ``/one/after/another/``, folded like that (`names`). So a pattern also tells which
pieces such a list must hold: ``bud*.ods`` the pieces ``/bud`` and ``.ods/``. What holds them is looked at closely.
"""

from __future__ import annotations

import fnmatch
import os
import re
import unicodedata
from dataclasses import dataclass

_WILD = re.compile(r"[*?]")
# A set of characters, such as [abc], [!abc] or []]; otherwise a bracket is itself, as fnmatch has it.
_WILDCARD = re.compile(r"\*|\?|\[!?.[^\]]*\]", re.DOTALL)


def folded(text: str) -> str:
    """Text in which only what makes a difference in a search is left."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFC", text).casefold()


def searchable(text: str) -> str:
    """Folded text that any database takes: what is no character becomes a question mark, one for each byte."""
    text = folded(text).replace("\0", "?")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


class Pattern:
    """A part of a name or path, or a glob for the whole of it.

    Attributes:
        is_path: whether it speaks of paths, having a ``/``.
        is_glob: whether it has wildcards.
        begins: whether it is ``/`` and how a name begins, be it that of a folder or of what lies in one.
        pieces: what a list of names must hold, all of them; in a path, only what must be in the name.
        folder_pieces: what the path of the folder must hold, if the pattern does not begin in the name; not folded.
    """

    def __init__(self, text: str, match_case: bool = False) -> None:
        self._match_case = match_case
        self.is_path = "/" in text
        self.is_glob = _WILD.search(text) is not None
        self.begins = not self.is_glob and text.rfind("/") == 0 and len(text) > 1
        self._text = self._alike(text)
        self._glob = re.compile(fnmatch.translate(self._text)) if self.is_glob else None
        literals = [unicodedata.normalize("NFC", part) for part in (_WILDCARD.split(text) if self.is_glob else [text])]
        self.pieces, self.folder_pieces = self._path_pieces(literals) if self.is_path else (self._ends(literals), [])
        self.pieces = [searchable(piece) for piece in self.pieces if piece]

    def _alike(self, text: str) -> str:
        return unicodedata.normalize("NFC", text) if self._match_case else folded(text)

    def _ends(self, literals: list[str]) -> list[str]:
        """A glob's first piece is where a name starts, its last where it ends."""
        if not self.is_glob:
            return literals
        first, *between, last = literals
        return [f"/{first}" if first else "", *between, f"{last}/" if last else ""]

    def _path_pieces(self, literals: list[str]) -> tuple[list[str], list[str]]:
        """What is in the name, after the last slash, and what before a slash, and so in the folder."""
        _, slash, tail = literals[-1].rpartition("/")
        in_name = f"{slash}{tail}{'/' if self.is_glob else ''}" if tail else ""
        if self.begins:
            return [in_name], literals
        return [in_name], [before for piece in literals if (before := piece.rpartition("/")[0])]

    def is_in(self, folder: str) -> bool:
        """Whether a part of a path is in the folder's already, so that all that lies there has it."""
        return not self.is_glob and self._text in self._alike(f"{folder}/")

    def may_begin_in(self, folder: str) -> bool:
        """Whether there may be something in this folder whose path is wanted; tells it before all of it is read."""
        before = self._text.rpartition("/")[0]
        return self.is_glob or self.is_in(folder) or self._alike(folder).endswith(before)

    def matches_path(self, path: str, is_folder: bool) -> bool:
        """The same of a whole path."""
        folder, _, name = path.rpartition("/")
        return self.matches(path, "") if is_folder else self.matches(folder, name)

    def matches(self, folder: str, name: str) -> bool:
        """Whether what has this name in this folder is wanted; ``name`` is empty for the folder itself."""
        if self.is_path:
            return self._matches(joined(folder, name))
        return self._matches(name or os.path.basename(folder))

    def _matches(self, text: str) -> bool:
        text = self._alike(text)
        return self._glob.match(text) is not None if self._glob else self._text in text


def joined(folder: str, name: str) -> str:
    """The path of what lies in a folder."""
    if not name or not folder:
        return folder + name
    return folder + name if folder.endswith("/") else f"{folder}/{name}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a file must be like; what is None may be anything.

    Attributes:
        pattern: of its name or path.
        digest: how its digest begins, in hexadecimal digits.
        contents: size and digest, one for each kind of digest; one of them must be its.
        size: bytes, from and to, both included; either may be None. Only files have a size, and parts have theirs.
        mtime_ns: from and to in nanoseconds since 1970, the latter not included; either may be None.
        duplicates: whether its content must be there at least twice, among what is wanted; empty files do not count.
        encoding: in which names are read anew whose encoding was guessed, so that the pattern may be of these too.
    """

    pattern: Pattern | None = None
    digest: str | None = None
    contents: tuple[tuple[int, bytes], ...] | None = None
    size: tuple[int | None, int | None] | None = None
    mtime_ns: tuple[int | None, int | None] | None = None
    duplicates: bool = False
    encoding: str | None = None

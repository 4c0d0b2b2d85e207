"""Answers: what a user decides anew for each run."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

# With date, time and the job's name it stays below the 255 bytes that a file system gives a name.
_MAX_SLUG_BYTES = 60


@dataclass(frozen=True, slots=True)
class Answers:
    """The three questions, answered.

    Attributes:
        skip_known: leave out files that a complete volume has.
        since_ns: only files modified since this time, in nanoseconds since 1970; None for all.
        comment: brief, for the folder's name and the catalogue.
        rehash: read files though they look as they did.
        copies: how many volumes must have a file that is left out; None: as the configuration has it.
    """

    skip_known: bool
    since_ns: int | None
    comment: str
    rehash: bool = False
    copies: int | None = None


def comment_slug(text: str) -> str:
    """A comment as part of a directory's name: letters and digits of any script, and ``-`` for all between them.

    At most 60 bytes of UTF-8; empty if the comment has neither letters nor digits.
    """
    composed = unicodedata.normalize("NFC", text)
    # Marks (vowel signs of Indic scripts, accents that have no letter of their own) belong to the letter before them.
    kept = "".join(c if c.isalnum() or unicodedata.category(c).startswith("M") else " " for c in composed)
    slug = "-".join(kept.split())
    return slug.encode()[:_MAX_SLUG_BYTES].decode(errors="ignore").rstrip("-")

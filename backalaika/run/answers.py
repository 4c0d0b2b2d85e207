"""Answers: what a user decides anew for each run."""

from __future__ import annotations

import re
from dataclasses import dataclass

_MAX_SLUG = 60


@dataclass(frozen=True, slots=True)
class Answers:
    """The three questions, answered.

    Attributes:
        skip_known: leave out files that a complete volume has.
        since_ns: only files modified since this time, in nanoseconds since 1970; None for all.
        comment: brief, for the folder's name and the catalogue.
    """

    skip_known: bool = False
    since_ns: int | None = None
    comment: str = ""


def comment_slug(comment: str) -> str:
    """The comment as part of a folder's name: letters and digits of any script, the rest as ``-``, 60 bytes at most."""
    slug = re.sub(r"[\W_]+", "-", comment).strip("-")
    return slug.encode("utf-8", "ignore")[:_MAX_SLUG].decode("utf-8", "ignore").strip("-")

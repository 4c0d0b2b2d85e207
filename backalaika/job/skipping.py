"""Skipping: which names of files and directories are left out of a backup.

Asked once for each entry of each directory, so the patterns are compiled once: names without a wildcard into a set,
all others into one regular expression. Atomic groups make it linear in the name for each pattern: the first place
where a piece fits is always good enough, so none is ever tried again (as in CPython's fnmatch.translate).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SkipFiles:
    """Patterns for base names; ``*`` stands for any characters, all else for itself, upper and lower case differ."""

    patterns: tuple[str, ...]
    _names: frozenset[str] = field(init=False, repr=False, compare=False)
    _wildcards: re.Pattern[str] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        wild = [pattern for pattern in self.patterns if "*" in pattern]
        compiled = re.compile("|".join(map(_translate, wild)), re.DOTALL) if wild else None
        object.__setattr__(self, "_names", frozenset(self.patterns).difference(wild))
        object.__setattr__(self, "_wildcards", compiled)

    def matches(self, name: str) -> bool:
        """Whether an entry of this base name is to be left out."""
        return name in self._names or (self._wildcards is not None and self._wildcards.fullmatch(name) is not None)


def _translate(pattern: str) -> str:
    first, *middle, last = map(re.escape, pattern.split("*"))
    return first + "".join(f"(?>.*?{piece})" for piece in middle if piece) + f".*{last}"

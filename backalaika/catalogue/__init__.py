"""Catalogue: the SQL database of runs, volumes, archives, files and errors.

`opening` has the door, `open_catalogue`; `recording` what a run writes, `queries` what is asked, `search` how files are
found, `removal` what goes. `rows` holds the plain types that come in, `results` those that go out. SQLAlchemy takes a
fifth of a second to import, so it is imported when one of the names here is first used, not with the package; what only
records into an SQLite file, a run or a medium, goes there by `direct`, without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .opening import Catalogue, open_catalogue

__all__ = ["Catalogue", "open_catalogue"]

# The number of the newest migration: what `schema` describes.
REVISION = "0012"


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import opening

    return getattr(opening, name)

"""Opening: the catalogue of one run, which is opened while the run does something else.

SQLAlchemy takes longer to import than most sources to be walked, so a thread of its own opens the catalogue in full. A
run that only records, or finds nothing new, needs none of that: it goes by `catalogue.direct`, and the whole catalogue
is opened when somebody asks for it after all.
"""

from __future__ import annotations

import sys
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING

from ..catalogue import REVISION
from ..catalogue.direct import DirectCatalogue, open_directly
from ..catalogue.paging import Tell

if TYPE_CHECKING:
    from ..catalogue import Catalogue

_SWITCH_INTERVAL_S = 0.0005


class RunCatalogue:
    """The catalogue of one run; as a context manager it closes what was opened of it.

    Args:
        db_uri: where it is.
        tell_removal: hears, in another thread, how removals are finished that were cut off.
    """

    def __init__(self, db_uri: str, tell_removal: Tell) -> None:
        self._db_uri, self._tell_removal = db_uri, tell_removal
        self._direct: DirectCatalogue | None = None
        self._opening: Future[Catalogue] | None = None
        self._open_things = ExitStack()

    def __enter__(self) -> RunCatalogue:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open_things.close()

    def open_in_background(self) -> None:
        """Begin to open it in full."""
        # The import would keep the interpreter for 5 ms at a time from those who feed the pool.
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        opener = self._open_things.enter_context(ThreadPoolExecutor(1))
        self._opening = opener.submit(_open_catalogue, self._db_uri, self._tell_removal)
        self._open_things.callback(_close, self._opening)

    def open_directly(self) -> None:
        """Open it for recording alone; where that fails, begin to open it in full."""
        self._direct = open_directly(self._db_uri, REVISION)
        if self._direct is None:
            self.open_in_background()
        else:
            self._open_things.callback(self._direct.close)

    def wait(self) -> None:
        """Wait until what was begun is done.

        Raises:
            CatalogueError: it cannot be opened.
        """
        if self._opening is not None:
            self._opening.result()

    @property
    def whole(self) -> Catalogue:
        """The whole catalogue, as soon as it is open; it raises what `wait` does."""
        if self._opening is None:
            self.open_in_background()
        assert self._opening is not None
        return self._opening.result()

    @property
    def recording(self) -> Catalogue | DirectCatalogue:
        """What the run is recorded in, and what tells of earlier runs."""
        return self._direct or self.whole


def _open_catalogue(db_uri: str, tell_removal: Tell) -> Catalogue:
    from ..catalogue import open_catalogue

    return open_catalogue(db_uri, tell=tell_removal)


def _close(opening: Future[Catalogue]) -> None:
    if not opening.cancel() and opening.exception() is None:
        opening.result().close()

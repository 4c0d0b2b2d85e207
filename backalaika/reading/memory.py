"""Memory: what decoders may take, that of all processes together.

An archive says itself how large the dictionary is that it needs: 8 MiB or 256. A process may take its share for that
and ask nobody. Who needs more waits for its turn, which one process has at a time, so that such archives are decoded
one after another. The pool gives the turn, and gives it on when its process is lost.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..errors import ArchiveError

MIB = 1024 * 1024
# The dictionary of 7-Zip's hardest level, 256 MiB, and what else is needed beside it.
LARGEST = 272 * MIB
# What those take together that have no turn; with the largest and with Python itself, that stays below 500 MB.
_SHARED = 64 * MIB
# What xz takes for its usual level, and zstd for all but its hardest ones.
_LEAST = 12 * MIB


def share_of(workers: int) -> int:
    """Bytes that each of so many processes may take without asking."""
    return max(_LEAST, _SHARED // workers) if workers else LARGEST


class Memory:
    """What decoders of one process take; threads of it may take some too.

    Args:
        share: bytes that may be taken without asking.
        ask: waits until this process has the turn.
        give_back: lets others have it.
    """

    def __init__(
        self, share: int = LARGEST, ask: Callable[[], None] | None = None, give_back: Callable[[], None] | None = None
    ) -> None:
        self._share, self._ask, self._give_back = share, ask, give_back
        self._has_turn = False
        self._taken: Counter[int] = Counter()
        self._changed = threading.Condition()

    @contextmanager
    def taking(self, size: int) -> Iterator[None]:
        """Bytes that a decoder takes, until it is done.

        Raises:
            ArchiveError: there are not so many, at least not beside those of the archive that this one is in.
        """
        thread = threading.get_ident()
        self._take(thread, size)
        try:
            yield
        finally:
            self._release(thread, size)

    def _take(self, thread: int, size: int) -> None:
        with self._changed:
            while (total := self._taken.total() + size) > self._share:
                if self._taken[thread] + size > LARGEST:
                    beside = " beside the archive that it is in" if self._taken[thread] else ""
                    raise ArchiveError(f"needs more memory to be decoded than is given to it{beside} ({size:,} bytes)")
                if not self._has_turn and self._ask is not None:
                    self._ask()
                    self._has_turn = True
                if total <= LARGEST:
                    break
                self._changed.wait()  # other threads have no decoders but one each
            self._taken[thread] += size

    def _release(self, thread: int, size: int) -> None:
        with self._changed:
            self._taken[thread] -= size
            if self._has_turn and self._taken.total() <= self._share:
                self._has_turn = False
                if self._give_back is not None:
                    self._give_back()
            self._changed.notify_all()

"""Stopping: what CTRL-C, SIGTERM and a closed terminal mean while processes, shared memory and a catalogue are open.

An exception in the midst of their start or end would leave some of them behind. So a signal only asks to stop, and
who can stop in order looks whether it was asked. Where nothing is at stake, as at a question, it interrupts at once.
Asked once more after a moment, the program ends as if it were killed: the processes end with it, and the catalogue
learns of it at the next start.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# A terminal and a supervisor may both pass on what the user did once.
_SAME_WISH_S = 1.0
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class StopSignals:
    """A context manager in which signals only ask to stop."""

    def __init__(self) -> None:
        self._asked_at: float | None = None
        self._interruptible = False
        self._before: list[tuple[int, Any]] = []

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():  # no other may set handlers
            # What nohup had ignored stays ignored.
            heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
            self._before = [(number, signal.signal(number, self._ask)) for number in heard]
        return self

    def __exit__(self, *exc_info: object) -> None:
        for number, handler in self._before:
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at = now
        elif now - self._asked_at > _SAME_WISH_S:
            for process in multiprocessing.active_children():
                process.kill()
            os._exit(130)
        if self._interruptible:
            raise KeyboardInterrupt

    def asked(self) -> bool:
        """Whether the user wants to stop."""
        return self._asked_at is not None

    def check(self) -> None:
        """Raise KeyboardInterrupt if the user wants to stop."""
        if self.asked():
            raise KeyboardInterrupt

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """In here a signal raises KeyboardInterrupt, at once if it came before."""
        self._interruptible = True
        try:
            self.check()
            yield
        finally:
            self._interruptible = False


@contextmanager
def signals_held() -> Iterator[None]:
    """A process that starts in here gets no signal before it calls `leave_to_parent`; this one gets them after."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_to_parent(then: Callable[..., None], *arguments: Any) -> None:
    """In a new process: let the parent alone decide what a signal means, end when it says so or is gone, and go on."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_leave_with_parent, args=(parent,), daemon=True).start()
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    then(*arguments)


def _leave_with_parent(parent: Any) -> None:
    parent.join()
    # Python's own way out would wait for what nobody wants any more.
    os._exit(1)

"""For all tests: signals, and what those of the catalogue run on: SQLite, and what BACKALAIKA_TEST_DB_URIS names."""

from __future__ import annotations

import os
import signal

import pytest

URIS = "BACKALAIKA_TEST_DB_URIS"

# A shell lets what it runs in the background ignore CTRL-C, and so would every program that a test starts, until it
# says otherwise: a signal in its first moments would be lost.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests first: of several processes the first then has all of them, and never do two of them want much disk
    or memory at a time, while the others do what is quick, and take the rest off it when they have no more."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not os.environ.get(URIS, "").split():
        terminalreporter.write_line(f"{URIS} is unset: the catalogue was tested on SQLite alone")

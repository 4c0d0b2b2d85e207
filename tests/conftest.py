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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not os.environ.get(URIS, "").split():
        terminalreporter.write_line(f"{URIS} is unset: the catalogue was tested on SQLite alone")

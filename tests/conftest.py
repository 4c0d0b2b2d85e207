"""Which databases the tests of the catalogue run on: SQLite, and those that BACKALAIKA_TEST_DB_URIS names."""

from __future__ import annotations

import os

import pytest

URIS = "BACKALAIKA_TEST_DB_URIS"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not os.environ.get(URIS, "").split():
        terminalreporter.write_line(f"{URIS} is unset: the catalogue was tested on SQLite alone")

"""Asking a process that may be lost: how long it is waited for."""

from __future__ import annotations

import time
from types import SimpleNamespace

from backalaika.reading import looking
from backalaika.reading.looking import Looker


def slowly(sign, seconds):
    time.sleep(seconds)
    yield "here"


def test_a_command_that_was_stopped_for_longer_has_not_waited(monkeypatch):
    """Between two looks, much more time goes by than there is patience for."""
    times = [0.0, 100.0]
    monkeypatch.setattr(looking, "time", SimpleNamespace(monotonic=lambda: times.pop(0) if len(times) > 1 else 100.0))

    with Looker("disc", 5.0, lambda: None) as looker:
        assert looker.ask_one(slowly, 0.5) == "here"

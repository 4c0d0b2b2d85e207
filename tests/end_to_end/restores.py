"""Restores and checks through the real command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from real_backups import Office
from starting import PROGRAM, run_program


def command(office: Office, *arguments: Any, status=0, timeout=120, **options) -> tuple[dict[str, Any], str]:
    """Give a command that prints one JSON object; that, and what it said on standard error."""
    whole = [*PROGRAM, *map(str, arguments), "--json"]
    done = run_program(whole, office.environment, office.root, timeout, **options)
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr, done.stderr
    return json.loads(done.stdout) if done.stdout else {}, done.stderr


def restore(office: Office, *arguments: Any, to: Path, status=0, **options) -> dict[str, Any]:
    """Restore; the report. ``status`` is what the program must leave with."""
    return command(office, "restore", *arguments, "--to", to, status=status, **options)[0]


def errors_of(report: dict[str, Any]) -> dict[str, str]:
    """What could not be restored, and why."""
    return {error["path"]: error["message"] for error in report["errors"]}


def leftovers(place: Path) -> list[Path]:
    """Temporary files that a restore left behind."""
    return list(place.rglob(".backalaika-*"))

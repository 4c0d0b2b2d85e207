"""Rows for tests of the catalogue."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from backalaika.catalogue import Catalogue
from backalaika.catalogue.rows import FILE, FileRow, FrameRow, RunStart, SourceFound


def file_row(volume_id: int, archive_id: int | None, path: str | bytes, **values: Any) -> FileRow:
    folder, name = os.path.split(os.fsencode(path))
    row = FileRow(volume_id, archive_id, folder, name, FILE, 10, 1_000, 2_000, 3, b"d" * 16, 0, 0, None)
    return row._replace(**values)


def start_run(catalogue: Catalogue, job: str = "office", sources: Sequence[SourceFound] = (), at_ns: int = 1) -> int:
    sources = sources or [SourceFound("/srv/office", "office", "zip", 7, 70)]
    return catalogue.start_run(RunStart(job, f"/b/{job}", "a comment", at_ns, sources))


def save_volume(catalogue: Catalogue, run_id: int, title: str, *paths: str | bytes, **values: Any) -> int:
    """Record a volume with one archive of files, and finish it."""
    volume_id = catalogue.add_volume(run_id, title, 1, f"/b/{title}", 1_000)
    archive_id = catalogue.add_archive(volume_id, "office.001.zip", "zip", 0)
    rows = [file_row(volume_id, archive_id, path, **values) for path in paths]
    catalogue.record([FrameRow(archive_id, 0, 0, 5, 10)], rows)
    catalogue.finish_archive(archive_id, 5, b"a" * 16)
    catalogue.finish_volume(volume_id, 500)
    return volume_id


class CutOffError(Exception):
    pass


def cut_after(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let who writes by pages end after so many."""
    left = [None] * (number - 1)

    def cut(seconds: float) -> None:
        if not left:
            raise CutOffError
        left.pop()

    monkeypatch.setattr("time.sleep", cut)


def kill_between_pages(db_uri: str, sizes: str, call: str, number: int) -> int:
    """Let a process call this of the catalogue, and kill it after so many pages; returns the number it had."""
    code = (
        "import time\n"
        "from backalaika.catalogue import open_catalogue, paging\n"
        f"{sizes}\n"
        "def tell(seconds): print('page', flush=True); input()\n"
        "time.sleep = tell\n"
        f"open_catalogue({db_uri!r}).{call}\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as it:
        assert it.stdin is not None
        assert it.stdout is not None
        for _ in range(number - 1):
            assert it.stdout.readline() == "page\n"
            it.stdin.write("\n")
            it.stdin.flush()
        assert it.stdout.readline() == "page\n"
        it.kill()
        return it.pid

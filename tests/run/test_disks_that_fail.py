"""What a run does when a disk fails in its midst; the run itself, its processes and its catalogue are real."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from backalaika.job.loading import load_job
from backalaika.run import large
from backalaika.run.answers import Answers
from backalaika.run.report import COMPLETE, FAILED, Report
from backalaika.run.session import Session
from backalaika.run.volumes import VolumeDone
from backalaika.walk import Problem


class Nobody:
    """An observer; ``on_advance`` is called at the first progress."""

    def __init__(self, on_advance: Callable[[], None] = lambda: None) -> None:
        self._on_advance = on_advance

    def advance(self, files: int, size: int, name: str) -> None:
        self._on_advance()

    def problem(self, problem: Problem) -> None:
        pass

    def volume(self, volume: VolumeDone) -> None:
        pass

    def note(self, line: str) -> None:
        pass

    def wait(self, request: str) -> bool:
        return False


def back_up(home: Path, observer: Nobody, option: str = "zip", skip_known: bool = False) -> Report:
    job = home / "job.py"
    job.write_text(
        f"job = dict(name='x', sources=[({str(home / 'tree')!r}, {option!r})])\n"
        f"config = dict(dir_backups={str(home / 'backups')!r}, db_uri='sqlite:///{home}/x.sqlite')\n"
    )
    job.chmod(0o600)
    with Session(load_job(str(job)), Answers(skip_known, None, ""), 1, start_at_once=True) as session:
        return session.run(observer)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("option", ["zip", "bz2"])
def test_more_unreadable_large_files_than_slots_are_each_reported_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    (tmp_path / "tree").mkdir()
    for number in range(10):
        (tmp_path / "tree" / f"bad{number}").write_bytes(bytes(5 << 20))
    (tmp_path / "tree" / "good").write_bytes(b"good")

    def fail(reader: large.LargeReader, view: memoryview) -> int:
        raise OSError(5, os.strerror(5))

    monkeypatch.setattr(large.LargeReader, "_fill", fail)
    report = back_up(tmp_path, Nobody(), option)

    assert report.state == COMPLETE
    assert report.files == 1
    assert len(report.problems) == 10
    assert {problem.message for problem in report.problems} == {"cannot be read: Input/output error"}


@pytest.mark.timeout(60)
def test_a_destination_that_is_pulled_out_fails_the_run_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    for number in range(40):
        (tmp_path / "tree" / f"{number}").write_bytes(os.urandom(1 << 20))

    report = back_up(tmp_path, Nobody(lambda: shutil.rmtree(tmp_path / "backups", ignore_errors=True)))

    assert report.state == FAILED
    assert report.exit_status == 3
    assert report.failure.count("\n") == 0
    assert str(tmp_path / "backups") in report.failure


@pytest.mark.timeout(60)
def test_a_new_empty_file_is_saved_though_an_empty_file_is_known(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "old").write_bytes(b"")
    back_up(tmp_path, Nobody())
    (tmp_path / "tree" / "new").write_bytes(b"")

    assert back_up(tmp_path, Nobody(), skip_known=True).files == 1

"""Volumes of which something odd is left: each costs itself only, and is read as far as it goes."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from real_backups import PROGRAM
from restores import errors_of
from trees_compared import noise, write

pytestmark = pytest.mark.timeout(120)


def verify_all(office, *arguments, status=1):
    """Check all volumes that are here; the reports by title, and what was said."""
    done = subprocess.run(
        [*PROGRAM, "verify", "--json", *map(str, arguments)],
        capture_output=True, text=True, env=office.environment, cwd=office.root, timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == status, done.stderr
    return {report["title"]: report for report in map(json.loads, done.stdout.splitlines())}, done.stderr


def two_volumes(office):
    write(office.tree / "a", noise(300_000))
    write(office.tree / "b", noise(300_000, 1))
    saved = office.backup(max_size=420_000)
    assert len(saved.volumes) == 2
    return saved.volumes


def dangling_link(path):
    path.symlink_to("nowhere")


@pytest.mark.parametrize(
    ("make", "name"),
    [(dangling_link, "RECOVERY.par2"), (os.mkfifo, "RECOVERY.par2"), (os.mkdir, "RECOVERY.vol0+1.par2")],
)
def test_a_recovery_file_that_is_none_is_a_problem_of_its_volume_only(office, make, name):
    volumes = two_volumes(office)
    make(volumes[0] / name)

    reports, _ = verify_all(office)

    states = [report["state"] for _, report in sorted(reports.items())]
    assert states == ["damaged", "healthy"]
    assert name in errors_of(min(reports.values(), key=lambda report: report["title"]))


@pytest.mark.parametrize(
    ("make", "name"),
    [(os.mkfifo, "SUMS.xxh128"), (os.mkfifo, "README.txt"), (os.mkfifo, "MANIFEST.jsonl.gz"), (os.mkdir, "archive")],
)
def test_a_file_of_a_volume_that_is_none_is_a_problem_of_its_volume_only(office, make, name):
    volumes = two_volumes(office)
    path = next(volumes[0].glob("*.zip")) if name == "archive" else volumes[0] / name
    path.unlink()
    make(path)

    reports, _ = verify_all(office)

    assert [report["state"] for _, report in sorted(reports.items())] == ["damaged", "healthy"]
    assert path.name in errors_of(min(reports.values(), key=lambda report: report["title"]))


def test_a_folder_that_cannot_be_listed_any_more_does_not_end_the_check_of_others(office, monkeypatch):
    from test_damage import check

    from backalaika.catalogue import open_catalogue
    from backalaika.verifying import verify

    def failing(folder):
        raise OSError(5, os.strerror(5), folder)

    volumes = two_volumes(office)
    monkeypatch.setattr(verify, "recovery_files", failing)
    with open_catalogue(f"sqlite:///{office.backups}/backalaika.sqlite") as catalogue:
        report = check(catalogue, f"{volumes[0].parent.name}/vol001", volumes[0])

    assert report.state == "damaged"
    assert "cannot be read: Input/output error" in report.problems[0].message

"""Volumes of which something odd is left: each costs itself only, and is read as far as it goes."""

from __future__ import annotations

import gzip
import json
import os

import pytest
from restores import command, errors_of
from starting import PROGRAM, run_program
from trees_compared import noise, write

pytestmark = pytest.mark.timeout(120)


def verify_all(office, *arguments, status=1):
    """Check all volumes that are here; the reports by title, and what was said."""
    done = run_program([*PROGRAM, "verify", "--json", *map(str, arguments)], office.environment, office.root)
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
    (volumes[0] / "SUMS.xxh128").unlink()
    monkeypatch.setattr(verify, "recovery_files", failing)
    with open_catalogue(f"sqlite:///{office.backups}/backalaika.sqlite") as catalogue:
        report = check(catalogue, f"{volumes[0].parent.name}/vol001", volumes[0])

    assert report.state == "damaged"
    assert "cannot be read: Input/output error" in report.problems[-1].message


@pytest.mark.parametrize("redundancy", [None, 10])
@pytest.mark.parametrize("sums", ["missing", "a line less"])
def test_what_no_sum_is_left_of_is_read_all_the_same(office, redundancy, sums):
    write(office.tree / "a", noise(300_000))
    write(office.tree / "b", noise(2000))
    saved = office.backup(**({"redundancy": redundancy} if redundancy else {}))
    (volume,) = saved.volumes
    path, name = volume / "SUMS.xxh128", saved.archive.name
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if name not in line))
    if sums == "missing":
        path.unlink()
    (office.backups / "backalaika.sqlite").unlink()

    whole, _ = command(office, "verify", volume, status=1)
    data = bytearray(saved.archive.read_bytes())
    data[150_000] ^= 1
    saved.archive.write_bytes(data)
    damaged, _ = command(office, "verify", volume, status=1)
    saved.archive.unlink()
    missing, _ = command(office, "verify", volume, status=1)

    assert set(errors_of(whole)) - {"MANIFEST.jsonl.gz"} == {"SUMS.xxh128"}  # the manifest has no sum either
    assert whole["notes"] == []
    assert whole["bytes"] >= 300_000
    assert f"{name}: tree/a" in errors_of(damaged)
    assert f"{name}: tree/b" not in errors_of(damaged)
    assert (name in errors_of(damaged)) is (redundancy is not None)
    assert errors_of(missing)[name] == "is missing"


def test_a_manifest_that_names_archives_elsewhere_opens_none_of_them(office):
    write(office.tree / "a", noise(3000))
    (volume,) = office.backup().volumes
    manifest = volume / "MANIFEST.jsonl.gz"
    archive = next(volume.glob("*.zip"))
    text = gzip.decompress(manifest.read_bytes()).decode()
    (office.root / "secret.zip").write_bytes(archive.read_bytes())
    manifest.write_bytes(gzip.compress(text.replace(archive.name, "../../../../../secret.zip").encode()))
    (volume / "SUMS.xxh128").unlink()
    (office.backups / "backalaika.sqlite").unlink()

    told, _ = command(office, "verify", volume, "--deep", status=1)

    assert any("leads out of its volume" in message for message in errors_of(told).values())
    assert told["files"] <= 1

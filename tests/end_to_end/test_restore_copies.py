"""What one volume has lost is taken from another, also where somebody has to bring that."""

from __future__ import annotations

import os
import shutil

import pytest
from real_backups import digest_of
from restores import command, errors_of, restore
from starting import PROGRAM, run_program
from test_restore_states import remove
from trees_compared import noise, write

pytestmark = pytest.mark.timeout(240)


def damage(volume):
    """Make all content on a volume unreadable; what it says of itself stays."""
    for archive in volume.glob("*.gz"):
        if not archive.name.startswith("MANIFEST"):
            archive.write_bytes(bytes(archive.stat().st_size))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("by_job", [False, True])
def test_where_the_only_good_copy_is_on_a_disc_that_is_away_that_disc_is_named(office, by_job, workers):
    for number in range(4):
        write(office.tree / f"{number}", noise(30_000, number))
    runs = [office.backup(options="gz").volumes[0] for _ in range(3)]
    titles = [f"{volume.parent.name}/{volume.name}" for volume in runs]
    for volume in runs[:-1]:
        shutil.move(volume.parent, office.root / volume.parent.name)
    damage(runs[-1])

    what = ("--job", "office") if by_job else (office.tree / "1",)
    some = restore(office, *what, "--workers", workers, "--yes", to=office.root / "back", status=3, timeout=40)

    assert some["missing"]
    assert {one["title"] for one in some["missing"]} <= set(titles[:-1])
    assert not errors_of(some)
    assert any(titles[-1] in note for note in some["notes"])
    assert not any("taken from" in note for note in some["notes"])  # for nothing was

    places = [place for one in some["missing"] for place in ("--from", office.root / one["title"].split("/")[0])]
    restore(office, *what, *places, "--workers", workers, to=office.root / "back")
    assert (office.root / "back" / "tree" / "1").read_bytes() == noise(30_000, 1)


def test_where_every_copy_is_damaged_each_file_is_told_once(office):
    write(office.tree / "a", noise(30_000))
    runs = [office.backup(options="gz").volumes[0] for _ in range(3)]
    for volume in runs:
        damage(volume)

    report = restore(office, "--job", "office", to=office.root / "back", status=1, timeout=40)

    assert list(errors_of(report)).count("tree/a") == 1
    assert not report["missing"]


def test_a_file_that_was_cut_is_found_by_its_digest(office):
    write(office.tree / "large", noise(2_500_000), mtime_ns=10**18)
    write(office.tree / "small", noise(1000, 1))
    first = office.backup(options="gz", max_size=900_000)
    assert len(first.volumes) == 3
    second = office.backup(options="zst", max_size=1_500_000)
    digest = digest_of(office.tree / "large")

    def restored(*arguments, status=0):
        place = office.place()
        report = restore(office, "--digest", digest, *arguments, to=place, status=status)
        assert list((place / "tree").iterdir()) == [place / "tree" / "large"]
        assert (place / "tree" / "large").read_bytes() == noise(2_500_000)
        assert (place / "tree" / "large").stat().st_mtime_ns == 10**18
        return report

    title = "{0.parent.name}/{0.name}".format
    assert set(restored()["volumes"]) == set(map(title, second.volumes))
    # Of which a part is on no volume any more, that file is not there.
    remove(office, second.volumes[0])
    assert set(restored()["volumes"]) == set(map(title, first.volumes))
    remove(office, first.volumes[1])
    _, err = command(office, "restore", "--digest", digest, "--to", office.root / "none", status=2)
    assert "no file of this digest is on complete volumes" in err


def test_a_file_that_was_cut_is_found_by_its_digest_on_discs_that_were_added(office):
    write(office.tree / "large", noise(2_500_000))
    for volume in office.backup(options="gz", max_size=900_000).volumes:
        shutil.move(volume, office.root / volume.name)
        (office.root / volume.name / "README.txt").unlink()
    shutil.rmtree(office.backups)
    for number in (2, 3, 1):
        command(office, "add", f"disc {number}", office.root / f"vol{number:03d}")

    report = restore(office, "--digest", digest_of(office.tree / "large"), to=office.root / "back")

    assert (report["files"], len(report["volumes"])) == (1, 3)
    assert (office.root / "back" / "tree" / "large").read_bytes() == noise(2_500_000)


def test_a_disc_with_parts_of_files_alone_is_not_said_to_have_nothing(office):
    write(office.tree / "large", noise(2_500_000))
    write(office.tree / "small", noise(1000, 1))
    volumes = office.backup(options="gz", max_size=900_000).volumes
    titles = [f"{volume.parent.name}/{volume.name}" for volume in volumes]

    planned, _ = command(office, "restore", "--job", "office", "--dry-run")
    shown = run_program([*PROGRAM, "restore", "--job", "office", "--dry-run"], office.environment, office.root).stdout
    assert [(one["files"], one["parts"]) for one in planned["volumes"]] == [(2, 0), (0, 1), (0, 1)]
    assert planned["files"] == sum(one["files"] for one in planned["volumes"])
    lines = {title: next(line.split() for line in shown.splitlines() if title in line) for title in titles}
    assert [" ".join(lines[title][:-4]) for title in titles] == ["2 files", "1 part", "1 part"]

    shutil.move(volumes[1], office.root / "away")
    command_line = [*PROGRAM, "restore", "--job", "office", "--yes", "--to", office.root / "back"]
    said = run_program(command_line, office.environment, office.root).stderr
    assert " ".join(said.split("volume is missing:")[1].split()[:2]) == "1 part"


def test_a_missing_disc_from_which_only_folders_are_wanted_is_said_to_have_these(office):
    (office.tree / "empty").mkdir()
    write(office.tree / "a", noise(1000))
    (volume,) = office.backup(options="gz").volumes
    write(office.tree / "b", noise(1000, 1))
    office.backup("--skip-known", options="gz")
    os.utime(office.tree / "a", ns=(1, 1))
    office.backup(options="gz")
    shutil.move(volume, office.root / "away")

    report = restore(office, "--volume", f"{volume.parent.name}/vol001", to=office.root / "back", status=3)

    assert [(one["files"], one["parts"]) for one in report["missing"]] == [(0, 0)]

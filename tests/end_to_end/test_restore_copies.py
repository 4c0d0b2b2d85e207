"""What one volume has lost is taken from another, also where somebody has to bring that."""

from __future__ import annotations

import shutil

import pytest
from restores import errors_of, restore
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

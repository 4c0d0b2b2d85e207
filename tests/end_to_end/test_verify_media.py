"""``verify`` of media that ``add`` catalogued, and that do not say themselves what they are."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from restores import command
from starting import PROGRAM, run_program
from trees_compared import text, write


@pytest.fixture
def drive(office) -> Path:
    """Where discs are mounted."""
    return office.root / "cdrom"


@pytest.fixture
def shelf(office, drive) -> dict[str, Path]:
    """Two discs, A and B, that were catalogued from one drive; the place of each."""
    places = {}
    for number, title in enumerate("AB"):
        places[title] = office.root / f"shelf {title}"
        for name in range(10):
            write(places[title] / "photos" / f"{name}.jpg", text(1000 + 100 * number + name))
        put_in(drive, places[title])
        command(office, "add", title, drive)
    return places


def put_in(drive: Path, disc: Path) -> None:
    shutil.rmtree(drive, ignore_errors=True)
    shutil.copytree(disc, drive)


def told(office, *arguments, status):
    done = run_program([*PROGRAM, "verify", *map(str, arguments)], office.environment, office.root)
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    return done.stderr


def test_the_disc_in_the_drive_is_known_by_its_files(office, drive, shelf):
    for title in "AB":
        put_in(drive, shelf[title])

        assert command(office, "verify", drive)[0]["title"] == title
        assert command(office, "verify", title)[0]["state"] == "healthy"


def test_a_disc_is_not_called_damaged_while_another_is_in_its_drive(office, drive, shelf):
    words = told(office, "A", status=3)

    assert f"A: is not here: its files are not in {drive}, or have other sizes; mount it" in words
    assert "damaged" not in words.lower()


def test_a_disc_is_found_where_it_is_said_to_be(office, shelf):
    assert command(office, "verify", "A", "--from", shelf["A"])[0]["folder"] == str(shelf["A"])
    assert command(office, "verify", "--from", shelf["A"])[0]["title"] == "A"


def test_all_that_is_here_is_checked_and_of_the_rest_it_is_said_that_it_is_not(office, shelf):
    words = told(office, status=0)

    assert "Whole: B: 10 files" in words
    assert "note: not here, and not checked: A" in words


def test_a_damaged_disc_is_known_all_the_same(office, drive, shelf):
    write(drive / "photos" / "3.jpg", text(1103, 2))
    write(drive / "photos" / "4.jpg", text(7))
    (drive / "photos" / "5.jpg").unlink()

    report, _ = command(office, "verify", "B", status=1)

    assert sorted(error["path"] for error in report["errors"]) == ["photos/3.jpg", "photos/4.jpg", "photos/5.jpg"]


def test_one_disc_of_two_titles_is_found_by_both(office, drive, shelf):
    command(office, "add", "B again", drive)

    assert command(office, "verify", "B")[0]["title"] == "B"
    assert command(office, "verify", "B again")[0]["title"] == "B again"


def test_what_has_no_digest_is_not_called_seen_whole(office, drive):
    write(drive / "letter", text(1000))
    command(office, "add", "names only", drive, "-n")
    write(drive / "letter", text(1000, 2))

    report, words = command(office, "verify", "names only")

    assert report["without_digest"] == 1
    assert "Whole as far as sizes tell: names only: 1 file" in words
    assert office.catalogued("select verified_at_ns from volumes") == [(None,)]


def test_what_has_no_digest_is_called_damaged_only_as_long_as_it_is(office, drive):
    for name in "abc":
        write(drive / name, text(1000))
    command(office, "add", "names only", drive, "-n")
    (drive / "a").rename(office.root / "a")
    command(office, "verify", "names only", status=1)
    damaged = office.catalogued("select damaged_at_ns is not null, verified_at_ns from volumes")
    (office.root / "a").rename(drive / "a")
    command(office, "verify", "names only")

    assert damaged == [(1, None)]
    assert office.catalogued("select damaged_at_ns, verified_at_ns from volumes") == [(None, None)]


@pytest.fixture
def ours_elsewhere(office, drive):
    """A volume of a run, in a catalogue that knows nothing of the run, burnt as a folder."""
    write(office.tree / "letter", text(5000))
    (volume,) = office.backup(options="zip").volumes
    (office.backups / "backalaika.sqlite").unlink()
    shutil.copytree(volume, drive / volume.name)
    return drive / volume.name


def test_a_volume_of_ours_in_a_folder_of_the_medium_is_checked_whole(office, drive, ours_elsewhere):
    command(office, "add", "ours", drive)
    whole, _ = command(office, "verify", "ours", "--from", drive)
    archive = next(ours_elsewhere.glob("*.zip"))
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    damaged, _ = command(office, "verify", "ours", status=1)

    assert whole["state"] == "healthy"
    assert whole["files"] > 0
    assert damaged["errors"]


def test_another_disc_is_not_taken_for_one_of_ours_whose_rows_come_from_its_manifest(office, drive, ours_elsewhere):
    ours_elsewhere.rename(office.root / "as it should be")
    put_in(drive, office.root / "as it should be")
    command(office, "add", "ours", drive)
    shutil.rmtree(drive)
    write(drive / "something else", text(100))

    assert "ours: is not here" in told(office, "ours", status=3)
    assert office.catalogued("select verified_at_ns from volumes") == [(None,)]


def test_an_image_is_to_be_mounted(office, drive):
    write(drive / "letter", text(1000))
    image = office.root / "disc.iso"
    run_program(["genisoimage", "-quiet", "-R", "-o", str(image), str(drive)], office.environment, office.root)
    command(office, "add", "image", image)

    words = told(office, "image", status=3)

    assert "image: is an image of a disc, of which only what is mounted can be checked; mount it" in words
    assert command(office, "verify", "image", "--from", drive)[0]["state"] == "healthy"

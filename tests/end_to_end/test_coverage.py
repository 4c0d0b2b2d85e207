"""What is on no volume, or on one only, and which volumes are not needed any more."""

from __future__ import annotations

import json
import os
import sqlite3
from datetime import date

import pytest
from real_backups import manifest_of
from restores import command, restore
from starting import PROGRAM, run_program
from test_restore_states import this_second
from trees_compared import look, noise, text, write

from backalaika.catalogue import open_catalogue


def coverage(office, *arguments, status=0):
    done = run_program([*PROGRAM, "coverage", *arguments, "--json"], office.environment, office.root)
    assert done.returncode == status, (done.stdout, done.stderr)
    return json.loads(done.stdout) if done.stdout else done.stderr


def counts(told, name="office"):
    (job,) = [job for job in told["jobs"] if job["job"] == name]
    (source,) = job["sources"]
    return {key: source[key] for key in ("files", "none", "one", "more")}


def titles(outcome):
    return [volume["title"] for volume in outcome.report["volumes"]]


def removed(office, title):
    run_program([*PROGRAM, "remove", title, "--yes"], office.environment, office.root).check_returncode()


def test_each_file_counts_by_the_volumes_that_have_its_content(office):
    for name in ("a", "b", "deep/c"):
        write(office.tree / name, text(5000, ord(name[-1])))
    first = office.backup()
    assert counts(coverage(office)) == {"files": 3, "none": 0, "one": 3, "more": 0}
    office.backup("--skip-known", "--copies", "2")
    assert counts(coverage(office, "office")) == {"files": 3, "none": 0, "one": 0, "more": 3}
    write(office.tree / "d", b"new")
    office.backup("--skip-known")
    assert counts(coverage(office)) == {"files": 4, "none": 0, "one": 1, "more": 3}

    removed(office, titles(first)[0])
    told = coverage(office, "--list", "one")
    assert counts(told) == {"files": 4, "none": 0, "one": 4, "more": 0}
    assert sorted(told["jobs"][0]["files"]["one"]) == sorted(
        str(office.tree / name) for name in ("a", "b", "d", "deep/c")
    )


def test_what_only_a_removed_volume_had_is_on_none(office):
    write(office.tree / "a", text(5000))
    (title,) = titles(office.backup())
    write(office.tree / "b", text(4000, 1))
    office.backup("--skip-known")
    removed(office, title)

    told = coverage(office, "--list", "none", status=1)
    assert counts(told) == {"files": 2, "none": 1, "one": 1, "more": 0}
    assert told["jobs"][0]["files"]["none"] == [str(office.tree / "a")]


REMOVE = """
import subprocess, sys
def after_volume(volume):
    subprocess.run([sys.executable, "-m", "backalaika", "remove", "DISC", "--yes"], check=True)
"""


@pytest.mark.parametrize("copies", ["1", "2"])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_file_of_which_the_volume_is_removed_while_a_run_writes_is_told_and_saved_by_the_next(
    office, is_first, copies
):
    for title in ("DISC", "SECOND")[: int(copies)]:
        write(office.root / title / "film.avi", noise(30_000))
        run_program([*PROGRAM, "add", title, office.root / title], office.environment, office.root).check_returncode()
    if not is_first:
        write(office.tree / "before", text(4000))
        office.backup("--skip-known")
    write(office.tree / "films/film.avi", noise(30_000))
    write(office.tree / "docs/new", text(5000, 1))

    hit = office.backup("--skip-known", "--copies", copies, more=REMOVE, status=int(copies == "1"))
    told = counts(coverage(office, status=int(copies == "1")))
    again = office.backup("--skip-known", "--copies", copies)

    assert list(hit.errors) == [str(office.tree / "films/film.avi")][: copies == "1"]
    assert all("removed since; run again" in message for message in hit.errors.values())
    assert told["none"] == int(copies == "1")
    assert again.report["files"] >= 1
    assert counts(coverage(office))["none"] == 0
    if copies == "2":
        assert str(office.tree / "films/film.avi") not in coverage(office, "--list", "one")["jobs"][0]["files"]["one"]


def test_walking_finds_what_was_not_there_or_is_different_now(office):
    for name in ("same", "different"):
        write(office.tree / name, text(5000, len(name)))
    office.backup()
    write(office.tree / "different", b"other")
    write(office.tree / "new", b"new")
    job = str(office.root / "job.py")

    assert counts(coverage(office, job)) == {"files": 2, "none": 0, "one": 2, "more": 0}
    told = coverage(office, job, "--walk", "--list", "none", status=1)

    assert counts(told) == {"files": 3, "none": 2, "one": 1, "more": 0}
    assert told["jobs"][0]["as_of_ns"] is None
    assert sorted(told["jobs"][0]["files"]["none"]) == [str(office.tree / name) for name in ("different", "new")]


def test_a_file_that_was_cut_is_on_one_and_its_copy_too(office):
    write(office.tree / "large", noise(1_300_000))
    write(office.tree / "copy", noise(1_300_000))
    office.backup("--skip-known", max_size=600_000)

    assert counts(coverage(office)) == {"files": 2, "none": 0, "one": 2, "more": 0}


def test_spare_volumes_can_all_be_thrown_away_and_no_content_is_lost(office):
    for name in ("a", "b"):
        write(office.tree / name, text(5000, ord(name)))
    os.symlink("a", office.tree / "link")
    first = office.backup()
    assert coverage(office)["spare_volumes"] == []
    second = office.backup()
    assert coverage(office)["spare_volumes"] == titles(first)  # not both: one of them must stay
    (office.tree / "a").unlink()
    third = office.backup()
    assert coverage(office)["spare_volumes"] == titles(first) + titles(third)

    removed(office, titles(first)[0])
    told = coverage(office)
    assert told["spare_volumes"] == titles(third)
    removed(office, titles(third)[0])
    assert coverage(office)["spare_volumes"] == []
    assert titles(second)[0] in run_program([*PROGRAM, "volumes"], office.environment, office.root).stdout


def test_all_spare_volumes_can_be_thrown_away_and_a_file_that_was_cut_comes_back(office):
    write(office.tree / "e")
    write(office.tree / "mbox", noise(1_500_000))
    for _ in range(2):
        office.backup("--skip-known", "--copies", "2", options="gz", max_size=900_000)
    spare = coverage(office)["spare_volumes"]
    for title in spare:
        removed(office, title)

    assert spare
    assert counts(coverage(office)) == {"files": 2, "none": 0, "one": 2, "more": 0}
    place = office.place()
    restore(office, "--job", "office", to=place)
    assert look(place / "tree") == look(office.tree)


def test_an_earlier_version_of_a_file_that_was_cut_comes_back_after_all_spare_volumes_are_thrown_away(office):
    write(office.tree / "log", noise(1_500_000))
    office.backup(options="gz", max_size=900_000)
    before, early = look(office.tree), this_second()
    with open(office.tree / "log", "ab") as log:
        log.write(noise(50_000, 1))
    office.backup(options="gz", max_size=900_000)
    for title in coverage(office)["spare_volumes"]:
        removed(office, title)

    place = office.place()
    restore(office, "--job", "office", "--as-of", early, to=place)
    assert look(place / "tree") == before


def test_a_copy_on_a_volume_that_verify_found_damaged_does_not_make_the_other_spare(office):
    for number in range(3):
        write(office.tree / f"{number}.bin", noise(100_000, number))
    first, second = office.backup(options="gz"), office.backup(options="gz")
    whole = second.archive.read_bytes()
    command(office, "verify", *titles(second))
    second.archive.write_bytes(whole[:5000] + b"?" + whole[5001:])
    command(office, "verify", *titles(second), status=1)
    listed = run_program([*PROGRAM, "volumes"], office.environment, office.root).stdout

    assert "seen whole" not in listed
    assert listed.splitlines()[1].partition("  seen DAMAGED ")[2] == str(date.today())
    assert coverage(office)["spare_volumes"] == titles(second)
    assert coverage(office)["jobs"][0]["sources"][0]["stale"] == 3
    second.archive.write_bytes(whole)
    command(office, "verify", *titles(second))
    assert coverage(office)["spare_volumes"] == titles(first)
    assert coverage(office)["jobs"][0]["sources"][0]["stale"] == 0


def test_a_file_that_was_cut_is_seen_healthy_when_all_its_parts_are(office):
    write(office.tree / "film", noise(1_300_000))
    first, second = titles(office.backup(options="gz", max_size=900_000))

    stale = []
    for title in (first, second):
        command(office, "verify", title)
        stale.append(coverage(office)["jobs"][0]["sources"][0]["stale"])
    assert stale == [1, 0]


@pytest.mark.parametrize("pieces", [0, 1])
def test_parts_are_spare_beside_the_uncut_file_unless_they_are_all_of_another(office, pieces):
    content = noise(1_500_000)
    write(office.tree / "film", content)
    first = office.backup(options="gz", max_size=900_000)
    (last,) = (line for line in manifest_of(first.volumes[1]) if line["path"].endswith("film.part002"))
    for number in range(pieces):
        write(office.tree / f"piece{number}", content[last["whole"]["offset"] :])
        office.backup("--skip-known", options="gz", max_size=900_000)
        (office.tree / f"piece{number}").unlink()
    office.backup(options="gz")

    assert coverage(office)["spare_volumes"] == titles(first)[: 2 - pieces]


@pytest.mark.parametrize("change", ["link", "empty"])
def test_a_volume_with_the_only_link_or_empty_file_is_not_spare(office, change):
    write(office.tree / "a", text(5000))
    if change == "link":
        os.symlink("a", office.tree / "link")
    else:
        write(office.tree / "empty")
    office.backup()
    (office.tree / change).unlink()
    office.backup()

    with open_catalogue(f"sqlite:///{office.backups}/backalaika.sqlite") as catalogue:
        spare = catalogue.spare_volumes()
        assert spare == [[*catalogue.volumes()][1].title]


def test_a_job_that_has_no_run_is_a_mistake_of_the_user(office):
    write(office.tree / "a", b"a")
    office.backup()

    assert "no run of a job of this name" in coverage(office, "other", status=2)
    assert "--walk needs the file of the job" in coverage(office, "office", "--walk", status=2)
    assert "it never ran, or its last volume was removed" in coverage(office, "other", status=2)


@pytest.mark.parametrize("walk", [[], ["--walk"]])
def test_after_the_last_volume_of_a_job_is_removed_all_that_its_sources_have_now_is_on_none(office, walk):
    write(office.tree / "a", text(5000))
    job = str(office.root / "job.py")
    (title,) = titles(office.backup())
    removed(office, title)
    write(office.tree / "b", b"new")

    told = coverage(office, job, *walk, "--list", "none", status=1)
    assert counts(told) == {"files": 2, "none": 2, "one": 0, "more": 0}
    assert (told["jobs"][0]["has_run"], told["jobs"][0]["as_of_ns"]) == (False, None)
    assert sorted(told["jobs"][0]["files"]["none"]) == [str(office.tree / name) for name in ("a", "b")]
    assert "its last volume was removed" in coverage(office, "office", status=2)
    assert "nothing was backed up yet, or all of it was removed" in coverage(office, status=2)
    shown = run_program([*PROGRAM, "coverage", job, *walk], office.environment, office.root)
    assert "it never ran, or its last volume was removed" in shown.stdout
    assert "Nothing of it is on any volume." in shown.stdout
    office.backup()
    assert coverage(office, job)["jobs"][0]["has_run"]
    assert counts(coverage(office, job)) == {"files": 2, "none": 0, "one": 2, "more": 0}


@pytest.mark.parametrize("more", [{}, {"max_size": 600_000}])
def test_what_another_job_has_saved_is_not_on_none_though_this_one_never_ran(office, more):
    write(office.tree / "a", noise(1_300_000))
    write(office.tree / "changed", text(5000))
    office.backup(name="old name", **more)
    write(office.tree / "changed", text(5001))
    office.command(name="new name")

    told = coverage(office, str(office.root / "job.py"), status=1)
    assert counts(told, "new name") == {"files": 2, "none": 1, "one": 1, "more": 0}


def test_what_is_different_since_the_last_run_and_saved_by_another_job_is_not_on_none(office):
    for name in ("same", "different", "other"):
        write(office.tree / name, text(5000, len(name)))
    office.backup()
    write(office.tree / "different", b"other content")
    office.backup(name="second")
    write(office.tree / "other", b"not saved")
    office.command()

    told = coverage(office, str(office.root / "job.py"), "--walk", "--list", "none", status=1)
    assert counts(told) == {"files": 3, "none": 1, "one": 1, "more": 1}
    assert told["jobs"][0]["files"]["none"] == [str(office.tree / "other")]


def test_a_job_whose_only_run_was_cut_off_is_not_taken_for_one_that_never_ran(office):
    write(office.tree / "a", text(5000))
    office.backup()
    with sqlite3.connect(office.backups / "backalaika.sqlite") as catalogue:
        catalogue.execute("UPDATE runs SET state = 'failed'")
        catalogue.execute("UPDATE sources SET tree_id = NULL")

    for walk in ([], ["--walk"]):
        assert "none of its runs came to its end" in coverage(office, str(office.root / "job.py"), *walk, status=2)

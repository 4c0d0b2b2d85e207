"""`files --job` lists what a job's sources had as of a date, once each, as `restore` would bring it back."""

from __future__ import annotations

import csv
import io
import json
import os

import pytest
from restores import command
from starting import PROGRAM, run_program
from test_restore_states import remove, this_second
from trees_compared import noise, text, write

from backalaika.digests import digest_function

pytestmark = pytest.mark.timeout(240)


def listed(office, *arguments, status=0):
    done = command_of(office, *map(str, arguments))
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


def by_path(office, *arguments):
    """Each line of JSON by its path, none of which is there twice."""
    lines = [json.loads(line) for line in listed(office, *arguments, "--json").splitlines()]
    found = {line["path"]: line for line in lines}
    assert len(found) == len(lines)
    return found


def on_disk(top):
    """Path, kind, size and digest of all that is there."""
    found = {}
    for folder, folders, files in os.walk(top):
        found[folder] = ("dir", 0, None)
        for path in (os.path.join(folder, name) for name in files + folders):
            if os.path.islink(path):
                found[path] = ("symlink", 0, None)
            elif os.path.isfile(path):
                with open(path, "rb") as file:
                    content = file.read()
                found[path] = ("file", len(content), digest_function("xxh3-128")(content).hex())
    return found


def seen(lines):
    return {
        path: (line["kind"], line["size"], line["digest"] if line["kind"] == "file" else None)
        for path, line in lines.items()
    }


def test_a_job_is_listed_as_each_run_found_it_whatever_it_saved(office):
    states = []
    write(office.tree / "deep" / "moves", text(5000))
    write(office.tree / "goes", text(100, 1))
    write(office.tree / "changes", text(100, 2))
    (office.tree / "link").symlink_to("goes")
    office.backup()
    states.append((this_second(), on_disk(office.tree)))
    (office.tree / "deep" / "moves").rename(office.tree / "moved")
    (office.tree / "goes").unlink()
    write(office.tree / "changes", text(200, 3))
    office.backup("--skip-known")
    states.append((this_second(), on_disk(office.tree)))
    office.backup("--skip-known")

    for moment, state in states:
        assert seen(by_path(office, "--job", "office", "--as-of", moment)) == state
    lines = by_path(office, "--job", "office")
    assert seen(lines) == states[-1][1]
    volumes = [line["title"] for line in map(json.loads, volumes_of(office))]
    assert lines[str(office.tree / "moved")]["volume"] == volumes[0]  # where its content is
    assert lines[str(office.tree / "changes")]["volume"] == volumes[1]
    assert lines[str(office.tree / "moved")]["archive"].startswith("tree.001.")


def volumes_of(office):
    done = run_program([*PROGRAM, "volumes", "--json"], office.environment, office.root)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_what_is_on_no_volume_is_listed_without_one_and_a_cut_file_once(office):
    write(office.tree / "gone", text(5000))
    first = office.backup()
    write(office.tree / "large", noise(2_500_000))
    office.backup("--skip-known", max_size=900_000)
    remove(office, first.volumes[0])

    lines = by_path(office, "--job", "office")
    assert lines[str(office.tree / "gone")]["volume"] is None
    large = lines[str(office.tree / "large")]
    assert large["size"] == 2_500_000
    assert large["digest"] == digest_function("xxh3-128")(noise(2_500_000)).hex()
    rows = list(csv.DictReader(io.StringIO(listed(office, "--job", "office", "--csv"))))
    assert {row["path"]: row["volume"] for row in rows}[str(office.tree / "gone")] == ""
    assert any(line.startswith("-  ") and "gone" in line for line in listed(office, "--job", "office").splitlines())


def test_without_a_picture_what_was_saved_is_listed(office):
    write(office.tree / "deep" / "a", text(5000))
    write(office.tree / "large", noise(2_500_000))
    office.backup(max_size=900_000)
    office.catalogued("delete from entries")
    for statement in ("update sources set tree_id = null, added = null", "delete from trees", "delete from listings"):
        office.catalogued(statement)

    assert seen(by_path(office, "--job", "office")) == on_disk(office.tree)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--job NAME"),
        (["some/vol001", "--job", "office"], "one of these"),
        (["some/vol001", "--as-of", "2020-01-01"], "--as-of goes with --job"),
        (["--job", "nobody"], "there are runs of 'office'"),
        (["--job", "office", "--as-of", "2020-01-01"], "first run was later"),
        (["--job", "office", "--as-of", "soon"], "is not a date"),
    ],
)
def test_what_cannot_be_listed_is_told_in_one_line(office, arguments, words):
    write(office.tree / "a", b"a")
    office.backup()
    for more in ([], ["--csv"]):
        message = listed(office, *arguments, *more, status=2)
        assert message.count("\n") == 1
        assert words in message


def test_a_run_that_was_interrupted_is_left_out_with_a_note(office):
    write(office.tree / "a", b"a")
    office.backup()
    early = this_second()
    write(office.tree / "b", noise(100_000))
    saved = office.backup("--skip-known")
    folder = saved.volumes[0].parent.name
    forget_the_end = (
        "update runs set state = 'interrupted' where id = (select max(id) from runs)",
        "update sources set tree_id = null, added = null where run_id = (select max(id) from runs)",
        "delete from entries where from_run = (select max(id) from runs)",
    )
    for statement in forget_the_end:
        office.catalogued(statement)

    report, err = command(office, "restore", "--job", "office", "--to", "back")

    (note,) = report["notes"]
    assert f"the run {folder} is not complete (interrupted) and is left out" in note
    assert f"restore --volume {folder}/vol001" in note
    assert note in err
    assert not (office.root / "back/tree/b").exists()
    listing = command_of(office, "--job", "office")
    assert note in listing.stderr
    assert "tree/b" not in listing.stdout
    assert command(office, "restore", "--job", "office", "--as-of", "2100-01-01", "--to", "x", status=2)
    assert command(office, "restore", "--job", "office", "--as-of", early, "--to", "early")[0]["notes"] == []


def command_of(office, *arguments):
    return run_program([*PROGRAM, "files", *arguments], office.environment, office.root)


def test_runs_that_saved_nothing_have_names_of_their_own(office):
    write(office.tree / "a", b"a")
    for _ in range(4):
        office.backup("--skip-known")

    names = [folder for (folder,) in office.catalogued("select folder from runs")]

    assert len(set(names)) == 4

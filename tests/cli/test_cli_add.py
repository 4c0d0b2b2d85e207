"""``add``: media of any kind into the catalogue."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import zipfile

import pytest
import xxhash
from command_line import wait_for


def listed(home, title):
    return [json.loads(line) for line in home.run("files", title, "--json", status=0).out.splitlines()]


@pytest.fixture
def disc(tmp_path):
    """A medium with loose files, a zip, and a tar.bz2 in a folder."""
    root = tmp_path / "disc"
    (root / "letters").mkdir(parents=True)
    (root / "letters" / "mother.txt").write_text("dear")
    (root / "photo.jpg").write_bytes(b"\xff\xd8" * 500)
    (root / "link").symlink_to("photo.jpg")
    with zipfile.ZipFile(root / "old.zip", "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("docs/one.txt", "one")
    subprocess.run(["tar", "cjf", root / "letters" / "all.tar.bz2", "-C", root / "letters", "mother.txt"], check=True)
    return root


def test_a_medium_is_catalogued_with_all_that_is_in_its_archives(home, disc):
    home.run("add", "Holidays", disc, "-d", "blue box", status=0)
    rows = listed(home, "Holidays")
    found = {(row["archive"], row["path"]): row for row in rows}

    assert set(found) == {
        (None, "letters"),
        (None, "letters/mother.txt"),
        (None, "letters/all.tar.bz2"),
        (None, "photo.jpg"),
        (None, "link"),
        (None, "old.zip"),
        ("old.zip", "docs/one.txt"),
        ("letters/all.tar.bz2", "mother.txt"),
    }
    assert len(rows) == len(found)
    assert found[None, "photo.jpg"]["digest"] == xxhash.xxh3_128_hexdigest(b"\xff\xd8" * 500)
    assert found["old.zip", "docs/one.txt"]["digest"] == xxhash.xxh3_128_hexdigest(b"one")
    assert found[None, "old.zip"]["digest"] == xxhash.xxh3_128_hexdigest((disc / "old.zip").read_bytes())
    assert found["letters/all.tar.bz2", "mother.txt"]["size"] == 4
    assert set(rows[0]) == {"volume", "archive", "path", "kind", "size", "mtime", "digest"}
    assert "blue box" in home.run("volumes", status=0).out


def test_the_switches_of_version_0_2_work(home, disc):
    home.run("-a", "Holidays", "-d", "blue box", "-n", disc, status=0)
    rows = listed(home, "Holidays")

    assert len(rows) == 8
    assert {row["digest"] for row in rows} == {None}


def test_another_digest_can_be_chosen(home, disc):
    home.run("add", "Holidays", disc, "--digest", "sha256", status=0)
    found = {(row["archive"], row["path"]): row["digest"] for row in listed(home, "Holidays")}

    assert found["old.zip", "docs/one.txt"] == hashlib.sha256(b"one").hexdigest()
    assert found[None, "letters/mother.txt"] == hashlib.sha256(b"dear").hexdigest()


def test_any_number_of_workers_finds_the_same(home, disc):
    for number in ("0", "1", "3"):
        home.run("add", number, disc, "--workers", number, status=0)
    first, *others = (
        sorted(
            (row | {"volume": ""} for row in listed(home, number)), key=lambda row: (row["archive"] or "", row["path"])
        )
        for number in ("0", "1", "3")
    )

    assert all(other == first for other in others)


def test_a_broken_archive_is_reported_and_costs_no_other(home, disc):
    (disc / "broken.zip").write_bytes((disc / "old.zip").read_bytes()[:40])
    report = home.run("add", "Holidays", disc, "--json", status=1).json()

    assert next(error["path"] for error in report["errors"]) == str(disc / "broken.zip")
    assert report["state"] == "complete"
    assert ("old.zip", "docs/one.txt") in {(row["archive"], row["path"]) for row in listed(home, "Holidays")}


def test_a_title_is_used_once(home, disc):
    home.run("add", "Holidays", disc, status=0)

    assert "Holidays" in home.refused("add", "Holidays", disc)


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.write_text("x")])
def test_a_medium_that_is_not_there_is_one_line(home, tmp_path, make):
    make(tmp_path / "nothing")

    assert "nothing" in home.refused("add", "Holidays", tmp_path / "nothing")
    assert not home.run("volumes", status=0).out


def test_each_folder_can_be_a_medium(home, tmp_path, disc):
    shelf = tmp_path / "shelf"
    for name in ("one", "two"):
        (shelf / name).mkdir(parents=True)
        (shelf / name / "file").write_text(name)
    home.run("add", "--each", shelf, status=0)

    assert [row["path"] for row in listed(home, "two")] == ["file"]
    assert len(home.run("volumes", status=0).out.splitlines()) == 2


def test_each_medium_of_a_pile_has_an_object_whatever_became_of_it(home, tmp_path, disc):
    pile = tmp_path / "pile"
    shutil.copytree(disc, pile / "known", symlinks=True)
    home.run("add", "known", pile / "known", status=0)
    home.run("add", "taken", disc, status=0)
    for name in ("new", "taken"):
        shutil.copytree(disc, pile / name, symlinks=True)
    (pile / "empty").mkdir()
    done = home.run("add", "--each", pile, "--json", status=1)
    told = [json.loads(line) for line in done.out.splitlines()]

    assert [(it["title"], it["state"], it["exit_status"]) for it in told] == [
        ("empty", "not catalogued", 1),
        ("known", "left out", 0),
        ("new", "complete", 0),
        ("taken", "not catalogued", 1),
    ]
    assert [it["errors"][0]["message"] in done.err for it in told if it["errors"]] == [True, True]
    assert [it["path"] for it in told] == [str(pile / it["title"]) for it in told]


def test_what_is_on_a_medium_is_known_to_a_backup(home, disc):
    (home.source / "same.txt").write_text("one")
    home.run("add", "Holidays", disc, status=0)
    report = home.run(
        "backup", home.job(), "--skip-known", "--since", "all", "--comment", "", "--yes", "--json", status=0
    ).json()

    assert report["known_files"] == 1


def test_names_that_are_not_utf_8_survive(home, disc):
    name = b"caf\xe9.txt"
    (disc / os.fsdecode(name)).write_text("x")
    home.run("add", "Holidays", disc, status=0)

    assert name in {os.fsencode(row["path"]) for row in listed(home, "Holidays")}


@pytest.mark.timeout(60)
def test_a_file_that_hangs_is_given_up(home, disc, tmp_path):
    shim = tmp_path / "sitecustomize.py"
    shim.write_text(
        "import os, time\n"
        "real = os.read\n"
        "def slow(descriptor, size):\n"
        "    if os.path.basename(os.readlink(f'/proc/self/fd/{descriptor}')) == 'mother.txt':\n"
        "        time.sleep(1000)\n"
        "    return real(descriptor, size)\n"
        "os.read = slow\n"
    )
    environment = home.environment | {"PYTHONPATH": f"{tmp_path}:{home.environment['PYTHONPATH']}"}
    done = home.run("add", "Holidays", disc, "--timeout", "1", "--json", status=1, env=environment, timeout=50)

    assert [error["path"] for error in done.json()["errors"]] == [str(disc / "letters" / "mother.txt")]
    found = {(row["archive"], row["path"]): row["digest"] for row in listed(home, "Holidays")}
    assert len(found) == 8
    assert [place for place, digest in found.items() if digest is None and place[1] not in ("letters", "link")] == [
        (None, "letters/mother.txt")
    ]


def interrupt(home, title, root, environment):
    """Begin to add a medium, and stop when a file of it, with all that is in it, is recorded."""
    process = home.start("add", title, root, env=environment)

    def whole_files():
        rows = map(json.loads, home.run("files", title, "--json").out.splitlines())
        return [row for row in rows if row["archive"] is None and row["kind"] == "file"]

    wait_for(whole_files)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err


@pytest.mark.timeout(120)
def test_an_interrupted_add_goes_on_where_it_stopped(home, tmp_path):
    root = tmp_path / "big"
    root.mkdir()
    for number in range(40):
        with zipfile.ZipFile(root / f"{number}.zip", "w") as out:
            out.writestr("noise", os.urandom(2 << 20))
            out.writestr("more", b"more")
    (tmp_path / "sitecustomize.py").write_text(
        "import os, time\nreal = os.read\n"
        "def slow(*what):\n    time.sleep(0.02)\n    return real(*what)\nos.read = slow\n"
    )
    slow = home.environment | {"PYTHONPATH": f"{tmp_path}:{home.environment['PYTHONPATH']}"}
    interrupt(home, "Big", root, slow)
    assert "INCOMPLETE" in home.run("volumes", status=0).out
    report = home.run("add", "Big", root, "--json", status=0).json()
    assert report["files"] == 40
    assert 0 < report["resumed_files"] < 40
    rows = listed(home, "Big")
    assert len(rows) == len({(row["archive"], row["path"]) for row in rows}) == 120

    interrupt(home, "Again", root, slow)
    home.run("remove", "Again", "--yes", status=0)
    assert len(list(root.iterdir())) == 40
    assert "Again" not in home.run("volumes", status=0).out


@pytest.fixture
def own(home):
    """A volume of a run; the catalogue of the run is put aside."""
    (home.source / "folder").mkdir()
    (home.source / "folder" / "caf\udce9").write_text("x")
    home.run("backup", home.job("zst"), "--yes", status=0)
    [run] = home.folders()
    return run / "vol001"


def members(home, title):
    """What is told of members, without the volume's title and the paths that differ."""
    return sorted(
        (row["archive"], row["kind"], row["size"], row["mtime"], row["digest"] or "") for row in listed(home, title)
    )


def test_a_volume_that_the_catalogue_knows_gets_the_title_and_no_row_twice(home, own):
    title = f"{own.parent.name}/vol001"
    before = members(home, title)
    report = home.run("add", "Disc 1", own, "-d", "blue box", "--json", status=0).json()

    assert (report["recognised"], report["notes"]) == (title, [])
    assert members(home, "Disc 1") == before
    assert len(home.run("volumes", status=0).out.splitlines()) == 1


def test_the_rows_of_an_unknown_volume_of_ours_come_from_its_manifest(home, own, tmp_path):
    before = members(home, f"{own.parent.name}/vol001")
    db = f"sqlite:///{tmp_path}/other.sqlite"
    home.run("add", "Disc 1", own, "--db", db, status=0)
    rows = [json.loads(line) for line in home.run("files", "Disc 1", "--json", "--db", db, status=0).out.splitlines()]

    assert sorted((r["archive"], r["kind"], r["size"], r["mtime"], r["digest"] or "") for r in rows) == before
    assert "source/folder/caf\udce9" in {row["path"] for row in rows}


def test_parts_of_a_file_that_was_cut_are_catalogued_as_the_run_did(home, tmp_path):
    (home.source / "large.bin").write_bytes(os.urandom(5 << 20))
    job = home.job("zst", more="config = dict(max_size=2 * 1024 * 1024)")
    home.run("backup", job, "--yes", status=0)
    [run] = home.folders()
    db = tmp_path / "other.sqlite"
    volumes = sorted(run.glob("vol*"))
    for volume in volumes:
        home.run("add", volume.name, volume, "--db", f"sqlite:///{db}", status=0)

    def told(path):
        asked = (
            "select name, size, digest, part, part_offset, whole_digest from files "
            "where part is not null order by volume_id, id"
        )
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as catalogue:
            return catalogue.execute(asked).fetchall()

    parts = told(db)
    assert parts == told(home.backups / "backalaika.sqlite")
    assert len(parts) >= 3
    assert [row[3] for row in parts] == list(range(1, len(parts) + 1))
    assert parts[-1][5] == xxhash.xxh3_128_digest((home.source / "large.bin").read_bytes())
    rows = [
        json.loads(line)["path"]
        for line in home.run("files", "", "--json", "--db", f"sqlite:///{db}", status=0).out.splitlines()
    ]
    assert {f"source/large.bin.part{number + 1:03}" for number in range(len(parts))} <= set(rows)


def damage(archive):
    content = bytearray(archive.read_bytes())
    content[-30] ^= 255
    archive.write_bytes(content)


@pytest.mark.parametrize("is_known", [True, False])
def test_a_title_that_is_taken_is_refused_before_the_sums_of_a_volume_of_ours_are_read(home, own, tmp_path, is_known):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x").write_text("x")
    home.run("add", "Taken", tmp_path / "other", status=0)
    if not is_known:
        home.run("remove", f"{own.parent.name}/vol001", "--yes", status=0)
    (tmp_path / "sitecustomize.py").write_text(
        "import os\nreal = os.read\n"
        "def failing(descriptor, size):\n"
        "    if '.001.' in os.readlink(f'/proc/self/fd/{descriptor}'):\n"
        "        raise OSError(5, 'Input/output error')\n"
        "    return real(descriptor, size)\n"
        "os.read = failing\n"
    )
    environment = home.environment | {"PYTHONPATH": f"{tmp_path}:{home.environment['PYTHONPATH']}"}
    refused = home.run("add", "Taken", own, status=2, env=environment)

    message = "backalaika: 'Taken': a volume of this title is in the catalogue; remove it or take another\n"
    assert refused.err == message
    assert "Input/output error" in home.run("add", "Free", own, status=1, env=environment).err


def test_a_volume_that_was_recognised_in_a_pile_is_left_out_the_next_time(home, own, tmp_path):
    shutil.copytree(own, tmp_path / "pile" / "Burnt")
    first = home.run("add", "--each", tmp_path / "pile", status=0)
    assert "Recognised" in first.err
    [archive] = (tmp_path / "pile" / "Burnt").glob("*.tar.zst")
    damage(archive)  # which is found out only by who reads it
    again = home.run("add", "--each", tmp_path / "pile", "--json", status=0)

    assert "Burnt: is in the catalogue already, and left out" in again.err
    assert again.json()["state"] == "left out"
    assert (
        home.run("add", "Burnt", tmp_path / "pile" / "Burnt", "--json", status=1).json()["damaged_copy_of"] == "Burnt"
    )


@pytest.mark.parametrize("lost", [damage, os.remove])
def test_a_damaged_copy_of_a_known_volume_takes_no_title_and_no_row(home, own, tmp_path, lost):
    title = f"{own.parent.name}/vol001"
    before = listed(home, title)
    copy = tmp_path / "copy"
    shutil.copytree(own, copy)
    [archive] = copy.glob("*.tar.zst")
    lost(archive)
    done = home.run("add", "Copy", copy, "--json", status=1)
    report = done.json()

    assert (report["recognised"], report["damaged_copy_of"]) == ("", title)
    assert [error["path"] for error in report["errors"]] == [str(archive), str(copy)]
    assert "listed" not in report["errors"][0]["message"]
    assert report["errors"][1]["message"] == f"is a damaged copy of {title}, which keeps its title"
    assert "Recognised" not in done.err
    assert "Catalogued" not in done.err
    assert listed(home, title) == before
    assert len(home.run("volumes", status=0).out.splitlines()) == 1
    assert home.run("add", "Good", own, "--json", status=0).json()["recognised"] == title


def test_sums_that_tell_of_a_part_of_a_known_volume_take_no_title_from_it(home, tmp_path):
    (home.root / "more").mkdir()
    (home.root / "more" / "x").write_text("x")
    more = f"job['sources'].append(({str(home.root / 'more')!r}, 'zst'))"
    home.run("backup", home.job("zst", more=more), "--yes", status=0)
    [run] = home.folders()
    first, second = sorted((run / "vol001").glob("*.tar.zst"))
    second.unlink()
    sums = run / "vol001" / "SUMS.xxh128"
    sums.write_text("".join(line for line in sums.read_text().splitlines(True) if second.name not in line))
    report = home.run("add", "Copy", run / "vol001", "--json", status=1).json()

    assert report["recognised"] == ""
    assert first.name in {row["archive"] for row in listed(home, "Copy")}
    assert f"{run.name}/vol001" in home.run("volumes", status=0).out


def test_files_that_no_run_wrote_are_counted_on_a_known_volume_and_not_entered(home, own):
    title = f"{own.parent.name}/vol001"
    (own / "holidays").mkdir()
    (own / "holidays" / "photo.jpg").write_text("x")
    (own / "notes.txt").write_text("x")
    before = members(home, title)
    report = home.run("add", "Disc 1", own, "--json", status=0).json()

    assert report["notes"] == [{"path": str(own), "message": "other files on it, which were not entered: 2"}]
    assert members(home, "Disc 1") == before


def test_an_archive_of_ours_that_is_missing_is_reported(home, own, tmp_path):
    [archive] = own.glob("*.tar.zst")
    archive.unlink()
    done = home.run("add", "Disc 1", own, "--db", f"sqlite:///{tmp_path}/other.sqlite", "--json", status=1)

    assert [(error["path"], "missing" in error["message"]) for error in done.json()["errors"]] == [(str(archive), True)]


def test_a_damaged_archive_of_ours_is_read_and_reported(home, own, tmp_path):
    [archive] = own.glob("*.tar.zst")
    damage(archive)
    done = home.run("add", "Disc 1", own, "--db", f"sqlite:///{tmp_path}/other.sqlite", "--json", status=1)
    messages = [error["message"] for error in done.json()["errors"] if error["path"] == str(archive)]

    assert "SUMS.xxh128" in messages[0]
    assert len(messages) == 2


@pytest.mark.parametrize("damage", [lambda text: text[:-10], lambda text: text.replace(b"source", b"SOURCE")])
def test_a_manifest_that_is_not_what_its_sum_says_is_not_believed(home, own, tmp_path, damage):

    manifest = own / "MANIFEST.jsonl.gz"
    manifest.write_bytes(gzip.compress(damage(gzip.decompress(manifest.read_bytes()))))
    db = f"sqlite:///{tmp_path}/other.sqlite"
    done = home.run("add", "Disc 1", own, "--db", db, "--json", status=1)
    rows = [json.loads(line) for line in home.run("files", "Disc 1", "--json", "--db", db, status=0).out.splitlines()]

    assert "MANIFEST.jsonl.gz" in done.json()["errors"][0]["path"]
    assert "source/0.txt" in {row["path"] for row in rows if row["archive"]}
    assert not [row for row in rows if "SOURCE" in row["path"]]


def test_7z_archives_are_entered_and_without_the_extra_a_note_names_it(home, tmp_path):
    disc = tmp_path / "disc"
    disc.mkdir()
    (tmp_path / "a.txt").write_text("one")
    subprocess.run(["7z", "a", disc / "x.7z", tmp_path / "a.txt"], check=True, capture_output=True)
    home.run("add", "Entered", disc, status=0)
    (tmp_path / "without" / "py7zr").mkdir(parents=True)
    # Python's own switch to import nothing of that name.
    (tmp_path / "without" / "sitecustomize.py").write_text("import sys; sys.modules['py7zr'] = None")
    environment = home.environment
    environment["PYTHONPATH"] = f"{tmp_path / 'without'}{os.pathsep}{environment['PYTHONPATH']}"
    told = home.run("add", "Listed", disc, status=0, env=environment)

    assert ("x.7z", "a.txt") in {(row["archive"], row["path"]) for row in listed(home, "Entered")}
    assert [row["path"] for row in listed(home, "Listed")] == ["x.7z"]
    assert "7z (1); 7z is entered with the extra: pip install 'backalaika[7z]'" in " ".join(told.err.split())

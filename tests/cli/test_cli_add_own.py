"""``add`` of what this program wrote: one disc counts as one medium, however damaged it is, or in whatever folder."""

from __future__ import annotations

import json
import os
import shutil
import zipfile

import pytest
from databases import DATABASES, new_database


@pytest.fixture(params=DATABASES)
def db_uri(request, tmp_path):
    with new_database(DATABASES[request.param], tmp_path) as made:
        yield made.uri


@pytest.fixture
def own(home, db_uri):
    """A volume of two archives, which the catalogue knows."""
    for number in range(10):
        (home.source / f"noise{number}").write_bytes(os.urandom(5000))
    return saved(home, db_uri, "both")


def saved(home, db_uri, name):
    """The one volume of a new run, with the archives source.001.tar.bz2 and NAME.001.zip."""
    (home.root / name).mkdir()
    (home.root / name / "x").write_text(f"more {name}\n" * 9)
    more = f"job['sources'].append(({str(home.root / name)!r}, 'zip'))\nconfig = dict(db_uri={db_uri!r})"
    before = set(home.folders())
    home.run("backup", home.job("bz2", more=more), "--yes", status=0)
    [run] = set(home.folders()) - before
    return run / "vol001"


def add(home, db_uri, *arguments, status):
    return home.run("add", *arguments, "--db", db_uri, "--json", status=status)


def titles(home, db_uri):
    return [json.loads(line)["title"] for line in home.run("volumes", "--db", db_uri, "--json").out.splitlines()]


def spare(home, db_uri):
    return home.run("coverage", "--db", db_uri, "--json").json()["spare_volumes"]


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def flip_sum(folder, name):
    """Change the sum of a file, which stays a sum."""
    sums = folder / "SUMS.xxh128"
    lines = sums.read_text().splitlines(True)
    turned = [("1" if line[0] == "0" else "0") + line[1:] if line.endswith(f"  {name}\n") else line for line in lines]
    assert turned != lines
    sums.write_text("".join(turned))


def flip_manifest(folder):
    flip(folder / "MANIFEST.jsonl.gz", 40)


def flip_sum_of_manifest(folder):
    flip_sum(folder, "MANIFEST.jsonl.gz")


def flip_sum_of_archive(folder):
    flip_sum(folder, "source.001.tar.bz2")


def join_lines_of_sums(folder):
    """Change the end of the line of an archive, so that it has no sum any more."""
    sums = folder / "SUMS.xxh128"
    flip(sums, sums.read_bytes().index(b"\n"))


def lose_sums(folder):
    (folder / "SUMS.xxh128").unlink()


def lose_all_but_archives(folder):
    for name in ("SUMS.xxh128", "MANIFEST.jsonl.gz", "README.txt"):
        (folder / name).unlink()


@pytest.mark.parametrize(
    "harm",
    [
        flip_manifest,
        flip_sum_of_manifest,
        flip_sum_of_archive,
        join_lines_of_sums,
        lose_sums,
        lose_all_but_archives,
    ],
)
def test_a_known_volume_is_recognised_by_its_sound_archives_alone(home, own, db_uri, tmp_path, harm):
    title = f"{own.parent.name}/vol001"
    copy = tmp_path / "cdrom"
    shutil.copytree(own, copy)
    harm(copy)
    done = add(home, db_uri, "Disc", copy, status=1)
    report = done.json()

    assert report["recognised"] == title
    assert report["damaged_copy_of"] == ""
    assert titles(home, db_uri) == ["Disc"]
    assert spare(home, db_uri) == []
    assert report["errors"]
    assert not {error["path"] for error in report["errors"]} & set(map(str, copy.glob("*.001.*")))
    assert harm is join_lines_of_sums or "read instead" not in str(report["errors"])


def test_a_known_volume_is_recognised_in_a_folder_of_its_own(home, own, db_uri, tmp_path):
    shutil.copytree(own, tmp_path / "pile" / "cdrom" / "vol001")
    report = add(home, db_uri, "Disc", tmp_path / "pile" / "cdrom", status=0).json()

    assert report["recognised"] == f"{own.parent.name}/vol001"
    assert report["notes"] == report["errors"] == []
    assert titles(home, db_uri) == ["Disc"]
    assert "Recognised" in home.run("add", "--each", tmp_path / "pile", "--db", db_uri, status=0).err
    assert titles(home, db_uri) == ["cdrom"]
    again = home.run("add", "--each", tmp_path / "pile", "--db", db_uri, status=0)
    assert "cdrom: is in the catalogue already, and left out" in again.err


def test_an_unknown_volume_in_a_folder_of_its_own_is_read_like_a_strangers(home, own, db_uri, tmp_path):
    title = f"{own.parent.name}/vol001"
    shutil.copytree(own, tmp_path / "pile" / "cdrom" / "vol001")

    def rows(title):
        listed = home.run("files", title, "--db", db_uri, "--json").out.splitlines()
        return [json.loads(line) for line in listed]

    before = sorted((row["archive"], row["size"], int(row["mtime"]), row["digest"] or "") for row in rows(title))
    home.run("remove", title, "--yes", "--db", db_uri, status=0)
    report = add(home, db_uri, "Disc", tmp_path / "pile" / "cdrom", status=0).json()
    after = sorted(
        (row["archive"].removeprefix("vol001/"), row["size"], int(row["mtime"]), row["digest"] or "")
        for row in rows("Disc")
        if row["archive"]
    )

    assert report["archives"] == 3  # and the manifest
    assert [row for row in after if row[0] != "MANIFEST.jsonl.gz"] == before
    loose = {row["path"] for row in rows("Disc") if not row["archive"]}
    assert loose >= {"vol001", "vol001/MANIFEST.jsonl.gz", *(row["archive"] for row in rows("Disc") if row["archive"])}


def test_volumes_that_lie_beside_others_are_not_entered_once_more(home, own, db_uri, tmp_path):
    other = saved(home, db_uri, "other")
    disk = tmp_path / "disk"
    shutil.copytree(own, disk / "deep" / "one")
    shutil.copytree(other, disk / "two")
    (disk / "photo.jpg").write_bytes(b"photo")
    known = sorted(titles(home, db_uri))
    before = spare(home, db_uri)
    report = add(home, db_uri, "Disk", disk, status=0).json()
    listed = [json.loads(line) for line in home.run("files", "Disk", "--db", db_uri, "--json").out.splitlines()]

    assert report["recognised"] == ""
    assert sorted(titles(home, db_uri)) == sorted(["Disk", *known])
    assert spare(home, db_uri) == before
    assert [note["path"] for note in report["notes"]] == [str(disk / "deep" / "one"), str(disk / "two")]
    assert f"{own.parent.name}/vol001" in report["notes"][0]["message"]
    assert "--each" in report["notes"][0]["message"]
    assert {row["path"] for row in listed if row["archive"] is None} >= {"photo.jpg", "two/other.001.zip"}
    assert {row["archive"] for row in listed if row["archive"]} == {
        f"{it}/MANIFEST.jsonl.gz" for it in ("deep/one", "two")
    }
    assert (report["archives"], report["members"]) == (2, 2)


def test_an_archive_of_another_name_is_entered_for_a_restore_would_not_find_it(home, db_uri, tmp_path):
    volume = saved(home, db_uri, "other")
    disc = tmp_path / "disc"
    disc.mkdir()
    for archive in volume.glob("*.001.*"):
        shutil.copy(archive, disc / f"old {archive.name}")
    report = add(home, db_uri, "Disc", disc, status=0).json()

    assert (report["recognised"], report["archives"]) == ("", 2)
    assert "Disc" in titles(home, db_uri)


def test_archives_in_those_of_a_volume_beside_others_are_not_entered_either(home, db_uri, tmp_path):
    with zipfile.ZipFile(home.source / "inner.zip", "w") as inner:
        inner.writestr("letter", "text" * 99)
    disk = tmp_path / "disk"
    shutil.copytree(saved(home, db_uri, "other"), disk / "vol001")
    (disk / "photo.jpg").write_bytes(b"photo")
    report = add(home, db_uri, "Disk", disk, "--depth", "2", status=0).json()
    listed = [json.loads(line) for line in home.run("files", "Disk", "--db", db_uri, "--json").out.splitlines()]

    assert {row["archive"] for row in listed if row["archive"]} == {"vol001/MANIFEST.jsonl.gz"}
    assert (report["archives"], report["members"]) == (1, 1)


@pytest.mark.parametrize("where", [".", "cdrom/vol001"])
def test_a_damaged_copy_without_sums_is_told_and_counts_for_nothing(home, own, db_uri, tmp_path, where):
    title = f"{own.parent.name}/vol001"
    copy = tmp_path / "disc" / where
    shutil.copytree(own, copy)
    lose_sums(copy)
    flip(copy / "source.001.tar.bz2", 20_000)
    report = add(home, db_uri, "Disc", tmp_path / "disc", status=1).json()

    assert report["damaged_copy_of"] == title
    assert report["errors"][-1]["message"] == f"is a damaged copy of {title}, which keeps its title"
    assert titles(home, db_uri) == [title]
    assert spare(home, db_uri) == []


def test_an_archive_that_was_copied_from_a_volume_beside_other_files_is_entered(home, own, db_uri, tmp_path):
    stick = tmp_path / "stick"
    stick.mkdir()
    shutil.copy(own / "source.001.tar.bz2", stick)
    (stick / "photo.jpg").write_bytes(b"photo")
    report = add(home, db_uri, "Stick", stick, status=0).json()

    assert report["archives"] == 1
    assert report["members"] > 10


@pytest.mark.parametrize("hashing", [[], ["--no-hash"]])
def test_an_archive_that_was_cut_makes_a_damaged_copy_whether_or_not_it_is_read(home, own, db_uri, tmp_path, hashing):
    title = f"{own.parent.name}/vol001"
    shutil.copytree(own, tmp_path / "copy")
    os.truncate(tmp_path / "copy" / "source.001.tar.bz2", 1000)
    report = add(home, db_uri, "Disc", tmp_path / "copy", *hashing, status=1).json()

    assert (report["recognised"], report["damaged_copy_of"]) == ("", title)
    assert report["errors"][0]["path"] == str(tmp_path / "copy" / "source.001.tar.bz2")
    assert titles(home, db_uri) == [title]
    assert add(home, db_uri, "Good", own, *hashing, status=0).json()["recognised"] == title


def test_a_damaged_copy_whose_sums_are_damaged_too_counts_for_nothing(home, own, db_uri, tmp_path):
    title = f"{own.parent.name}/vol001"
    shutil.copytree(own, tmp_path / "disc")
    flip_sum(tmp_path / "disc", "both.001.zip")
    flip(tmp_path / "disc" / "source.001.tar.bz2", 20_000)
    report = add(home, db_uri, "Disc", tmp_path / "disc", status=1).json()

    assert report["damaged_copy_of"] == title
    assert titles(home, db_uri) == [title]


@pytest.mark.parametrize("hashing", [[], ["--no-hash"]])
def test_the_archives_of_an_unknown_volume_of_ours_are_counted(home, own, db_uri, tmp_path, hashing):
    sizes = [path.stat().st_size for path in own.glob("*.001.*")]
    report = add(home, f"sqlite:///{tmp_path}/other.sqlite", "Disc", own, *hashing, status=0).json()

    assert (report["files"], report["bytes"]) == (2, sum(sizes))
    assert report["archives"] == 2
    assert report["members"] > 14


@pytest.mark.parametrize("codec", ["zip", "gz", "bz2", "zst", "xz"])
def test_a_byte_that_is_wrong_costs_one_frame_of_an_archive_of_ours(home, tmp_path, codec):
    for number in range(40):
        (home.source / f"noise{number:02}").write_bytes(os.urandom(200_000))
    home.run("backup", home.job(codec), "--yes", status=0)
    [run] = home.folders()
    [archive] = (run / "vol001").glob("source.001.*")
    flip(archive, archive.stat().st_size // 2)
    uri = f"sqlite:///{tmp_path}/other.sqlite"
    done = add(home, uri, "Disc", run / "vol001", status=1)
    rows = [json.loads(line) for line in home.run("files", "Disc", "--db", uri, "--json").out.splitlines()]

    files = [row for row in rows if row["kind"] == "file"]
    without = {row["path"] for row in files if row["digest"] is None}
    lost = [error for error in done.json()["errors"] if "!/" in error["path"]]
    assert len(files) == 44
    assert 0 < len(without) < 25
    assert {error["path"] for error in lost} >= {f"{archive}!/{path}" for path in without}
    assert "what can be read of it is listed" in done.json()["errors"][0]["message"]
    assert (done.json()["archives"], done.json()["files"]) == (1, 1)


@pytest.fixture
def without_blake3(home, tmp_path):
    """An environment in which the library for blake3 is not installed."""
    folder = tmp_path / "without"
    folder.mkdir()
    # Python's own switch to import nothing of that name.
    (folder / "sitecustomize.py").write_text("import sys; sys.modules['blake3'] = None")
    return home.environment | {"PYTHONPATH": f"{folder}{os.pathsep}{home.environment['PYTHONPATH']}"}


@pytest.fixture
def of_blake3(home):
    pytest.importorskip("blake3")
    home.run("backup", home.job("zst", more="config = dict(digest='blake3')"), "--yes", status=0)
    [run] = home.folders()
    return run / "vol001"


def test_a_volume_of_blake3_is_catalogued_without_its_library(home, of_blake3, without_blake3, tmp_path):
    uri = f"sqlite:///{tmp_path}/other.sqlite"
    report = home.run("add", "Disc", of_blake3, "--db", uri, "--json", status=0, env=without_blake3).json()
    (of_blake3 / "photo.jpg").write_bytes(b"photo")
    more = home.run("add", "More", of_blake3, "--db", uri, "--json", status=1, env=without_blake3).json()

    def digests(*title):
        rows = [json.loads(line) for line in home.run("files", *title, "--json", status=0).out.splitlines()]
        return sorted(row["digest"] for row in rows if row["kind"] == "file" and row["archive"])

    assert report["errors"] == []
    assert digests("Disc", "--db", uri) == digests("More", "--db", uri) == digests("")
    assert [error["path"] for error in more["errors"]] == [str(of_blake3)]
    assert "listed without digest" in more["errors"][0]["message"]
    assert "backalaika[blake3]" in more["errors"][0]["message"]


@pytest.mark.parametrize(
    "command", [["verify", "--deep"], ["restore", "--to", "back", "--from"], ["find", "--same-as"]]
)
def test_what_needs_the_library_for_blake3_says_so_in_one_line(home, of_blake3, without_blake3, command):
    place = home.source / "1.txt" if command[0] == "find" else of_blake3
    done = home.run(*command, place, status=2, env=without_blake3)

    message = "the library for the digest blake3 is not installed; pip install 'backalaika[blake3]'"
    assert done.err.splitlines()[-1] == f"backalaika: {message}"
    home.run("verify", of_blake3, status=0, env=without_blake3)  # which needs the sums alone

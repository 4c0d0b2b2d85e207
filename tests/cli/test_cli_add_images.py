"""``add`` of images of discs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import zipfile

import pytest
from command_line import wait_for


def listed(home, title):
    return [json.loads(line) for line in home.run("files", title, "--json", status=0).out.splitlines()]


def rows(home, title):
    """What is told of a medium, whatever its title."""
    found = [row | {"volume": "", "mtime": int(row["mtime"])} for row in listed(home, title)]
    return sorted(found, key=lambda row: (row["archive"] or "", row["path"]))


def make_image(out, tree, switches="-J -R"):
    command = ["genisoimage", "-quiet", "-input-charset", "utf-8", *switches.split(), "-o", out, tree]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return out


@pytest.fixture
def tree(tmp_path):
    """Loose files, and archives."""
    root = tmp_path / "tree"
    (root / "letters").mkdir(parents=True)
    (root / "letters" / "mother.txt").write_text("dear")
    (root / "link").symlink_to("letters")
    with zipfile.ZipFile(root / "old.zip", "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("docs/one.txt", "one")
    subprocess.run(["tar", "cjf", root / "letters" / "all.tar.bz2", "-C", root / "letters", "mother.txt"], check=True)
    return root


@pytest.mark.parametrize("workers", ["0", "2"])
def test_an_image_gives_the_rows_of_the_folder_it_was_made_of(home, tree, tmp_path, workers):
    image = make_image(tmp_path / "disc.iso", tree)
    home.run("add", "Image", image, "-d", "blue box", "--workers", workers, status=0)
    home.run("add", "Folder", tree, "--workers", workers, status=0)

    assert rows(home, "Image") == rows(home, "Folder")
    assert len(rows(home, "Image")) == 7
    assert os.listdir(home.temporary) == []


def test_an_image_on_a_medium_is_an_archive(home, tree, tmp_path):
    (tmp_path / "disks").mkdir()
    make_image(tmp_path / "disks" / "one.iso", tree, "-udf")
    home.run("add", "Disks", tmp_path / "disks", status=0)
    found = {(row["archive"], row["path"]) for row in listed(home, "Disks")}

    assert found >= {(None, "one.iso"), ("one.iso", "letters/mother.txt"), ("one.iso!/old.zip", "docs/one.txt")}


def test_an_image_whose_files_are_not_read_is_listed_all_the_same(home, tree, tmp_path):
    home.run("add", "Image", make_image(tmp_path / "disc.iso", tree), "-n", status=0)

    assert {row["digest"] for row in listed(home, "Image")} == {None}
    assert ("old.zip", "docs/one.txt") in {(row["archive"], row["path"]) for row in listed(home, "Image")}


def test_each_folder_and_each_image_can_be_a_medium(home, tree, tmp_path):
    shelf = tmp_path / "shelf"
    (shelf / "one").mkdir(parents=True)
    (shelf / "one" / "file").write_text("one")
    (shelf / "notes.txt").write_text("no medium")
    make_image(shelf / "two.iso", tree)
    home.run("add", "--each", shelf, status=0)

    assert [row["path"] for row in listed(home, "one")] == ["file"]
    assert "letters/mother.txt" in {row["path"] for row in listed(home, "two.iso")}
    assert len(home.run("volumes", status=0).out.splitlines()) == 2


def test_one_bad_medium_of_many_does_not_end_the_others_and_none_is_added_twice(home, tree, tmp_path):
    shelf = tmp_path / "shelf"
    for name in ("a empty", "c good"):
        (shelf / name).mkdir(parents=True)
    (shelf / "c good" / "file").write_text("one")
    (shelf / "b.iso").write_bytes(b"no image")
    done = home.run("add", "--each", shelf, "--json", status=1)

    def states(done):
        return {report["title"]: report["state"] for report in map(json.loads, done.out.splitlines())}

    assert states(done) == {"a empty": "not catalogued", "b.iso": "not catalogued", "c good": "complete"}
    assert f"not catalogued: {shelf}/a empty: is empty" in done.err
    assert f"not catalogued: {shelf}/b.iso: is no image" in done.err
    (shelf / "a empty" / "file").write_text("two")
    again = home.run("add", "--each", shelf, "--json", status=1)
    assert states(again) == {"a empty": "complete", "b.iso": "not catalogued", "c good": "left out"}
    assert "c good: is in the catalogue already" in again.err


@pytest.mark.parametrize("content", [b"", b"no image", bytes(1 << 20)])
def test_what_is_no_image_is_one_line(home, tmp_path, content):
    (tmp_path / "x.iso").write_bytes(content)

    assert "is no image of a disc" in home.refused("add", "Image", tmp_path / "x.iso")


def test_a_cut_image_is_listed_and_reported(home, tree, tmp_path):
    (tree / "zz").mkdir()
    (tree / "zz" / "noise").write_bytes(os.urandom(1 << 20))
    image = make_image(tmp_path / "disc.iso", tree)
    os.truncate(image, image.stat().st_size - (1 << 19))
    report = home.run("add", "Image", image, "--json", status=1).json()

    assert [error["path"] for error in report["errors"]] == [f"{image}/zz/noise"]
    assert {row["path"]: row["digest"] for row in listed(home, "Image")}["zz/noise"] is None
    assert len(listed(home, "Image")) == 9


def test_a_volume_of_ours_is_known_in_an_image_too(home, tmp_path):
    home.run("backup", home.job("zst"), "--yes", status=0)
    [run] = home.folders()
    image = make_image(tmp_path / "burnt.iso", run / "vol001")
    report = home.run("add", "Burnt", image, "--json", status=0).json()
    assert report["recognised"] == f"{run.name}/vol001"
    before = [row["digest"] for row in rows(home, "Burnt")]

    home.run("add", "Burnt", image, "--db", f"sqlite:///{tmp_path}/other.sqlite", status=0)
    out = home.run("files", "Burnt", "--json", "--db", f"sqlite:///{tmp_path}/other.sqlite", status=0).out
    assert sorted(json.loads(line)["digest"] or "" for line in out.splitlines()) == sorted(d or "" for d in before)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("is_image", [True, False])
def test_an_add_that_ended_early_goes_on_where_it_stopped(home, tmp_path, number, is_image):
    root = tmp_path / "big"
    root.mkdir()
    for name in range(40):
        with zipfile.ZipFile(root / f"{name:02}.zip", "w") as out:
            out.writestr("noise", os.urandom(2 << 20))
            out.writestr("more", b"more")
    medium = make_image(tmp_path / "big.iso", root) if is_image else root
    (tmp_path / "sitecustomize.py").write_text(
        "import os, time\nreal = os.pread\n"
        "def slow(*what):\n    time.sleep(0.02)\n    return real(*what)\nos.pread = slow\n"
    )
    slow = home.environment | {"PYTHONPATH": f"{tmp_path}:{home.environment['PYTHONPATH']}"}
    process = home.start("add", "Big", medium, env=slow)
    wait_for(lambda: "INCOMPLETE" in home.run("volumes").out)
    time.sleep(2)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    wait_for(lambda: not home.processes())

    report = home.run("add", "Big", medium, "--json", status=0).json()
    assert report["files"] == 40
    assert 0 < report["resumed_files"] < 40
    found = listed(home, "Big")
    assert len(found) == len({(row["archive"], row["path"]) for row in found}) == 120
    assert all(row["digest"] for row in found)

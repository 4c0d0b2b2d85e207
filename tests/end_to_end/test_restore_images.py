"""What is in images of discs comes back: of images that lie on a medium, and of those that are one."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile

import pytest
from restores import command, errors_of, leftovers, restore
from starting import PROGRAM, run_program
from trees_compared import digest, noise, text, write

pytestmark = pytest.mark.timeout(120)

FORMS = {"rr": "-R", "joliet": "-J", "udf": "-udf -D"}
TIME = 1_234_567_890
LARGE = noise(6_000_000, 3)


def image_at(path, top, form="rr"):
    """An image of a folder with a bit of everything."""
    write(top / "docs" / "a.txt", text(3000), 0o640)
    write(top / "docs" / "large.bin", LARGE)
    write(top / "b.txt", text(400, 1))
    with zipfile.ZipFile(top / "inner.zip", "w") as archive:
        archive.writestr("c.txt", text(500, 2))
    os.symlink("a.txt", top / "docs" / "link")
    os.chmod(top / "docs", 0o750)
    for one in [*top.rglob("*")]:
        os.utime(one, (TIME, TIME), follow_symlinks=False)
    made = ["genisoimage", "-quiet", "-input-charset", "utf-8", *FORMS[form].split(), "-o", path, top]
    subprocess.run(made, check=True, stderr=subprocess.DEVNULL)
    return path


def contents(place):
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("workers", [0, 2])
def test_files_of_an_image_on_a_medium_come_by_path_and_by_content(office, form, workers):
    disc = office.root / "disc"
    write(disc / "loose.txt", text(200, 9))
    image_at(disc / "old.iso", office.root / "top", form)
    command(office, "add", "old disc", disc, "--depth", 2)
    asked = ["--workers", workers, "--volume", "old disc"]

    one = restore(office, *asked, "old.iso!/docs/a.txt", to=office.root / "one")
    nested = restore(office, *asked, "old.iso!/inner.zip!/c.txt", to=office.root / "nested")
    every = restore(office, *asked, "old.iso!/docs", to=office.root / "every")
    restore(office, "--workers", workers, "--digest", digest(LARGE).hex(), to=office.root / "large")

    assert (one["files"], nested["files"], every["errors"]) == (1, 1, [])
    assert contents(office.root / "one") == {"docs/a.txt": text(3000)}
    assert contents(office.root / "nested") == {"c.txt": text(500, 2)}
    assert contents(office.root / "every")["docs/large.bin"] == LARGE
    assert contents(office.root / "large") == {"docs/large.bin": LARGE}
    docs = office.root / "every" / "docs"
    assert os.stat(docs).st_mtime == os.stat(docs / "a.txt").st_mtime == TIME
    if form == "rr":
        assert os.readlink(docs / "link") == "a.txt"
        assert [os.stat(path).st_mode & 0o777 for path in (docs, docs / "a.txt")] == [0o750, 0o640]
    assert not leftovers(office.root)


@pytest.mark.parametrize("form", FORMS)
def test_a_medium_that_is_an_image_comes_back_whole_and_by_path_wherever_it_lies(office, form):
    image = image_at(office.root / "old.iso", office.root / "top", form)
    command(office, "add", "old disc", image)
    command(office, "add", "other disc", image_of(office, "other.iso", "b.txt", text(401, 1)))

    whole = restore(office, "--volume", "old disc", to=office.root / "whole")
    nested = restore(office, "--volume", "old disc", "inner.zip!/c.txt", "b.txt", to=office.root / "nested")
    image.rename(office.root / "moved.img")
    away = restore(office, "--digest", digest(text(400, 1)).hex(), to=office.root / "away", status=3)
    places = [word for name in ("other.iso", "moved.img") for word in ("--from", office.root / name)]
    moved = restore(office, "--digest", digest(text(400, 1)).hex(), *places, to=office.root / "moved")

    expected = contents(office.root / "top")
    assert {path: content for path, content in contents(office.root / "whole").items() if "link" not in path} == {
        path: content for path, content in expected.items() if "link" not in path
    }
    assert whole["errors"] == nested["errors"] == []
    assert contents(office.root / "nested") == {"inner.zip!/c.txt": text(500, 2), "b.txt": text(400, 1)}
    assert [one["title"] for one in away["missing"]] == ["old disc"]
    assert (moved["files"], contents(office.root / "moved")) == (1, {"b.txt": text(400, 1)})


def image_of(office, name, file, content):
    top = office.root / f"top of {name}"
    write(top / file, content)
    made = ["genisoimage", "-quiet", "-R", "-o", office.root / name, top]
    subprocess.run(made, check=True, stderr=subprocess.DEVNULL)
    return office.root / name


# Who looks whether it is an image can read it; for all others it is broken, deadly, or not there any more.
BREAKS = {
    "unreadable": """
import errno, os
pread = os.pread
def failing_pread(descriptor, size, offset):
    if os.readlink(f"/proc/self/fd/{descriptor}").endswith("/bad.iso"):
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    return pread(descriptor, size, offset)
os.pread = failing_pread
""",
    "killed": """
import os, signal
pread = os.pread
def deadly_pread(descriptor, size, offset):
    if os.readlink(f"/proc/self/fd/{descriptor}").endswith("/bad.iso"):
        os.kill(os.getpid(), signal.SIGKILL)
    return pread(descriptor, size, offset)
os.pread = deadly_pread
""",
    "ejected": """
import builtins, os
open_file = builtins.open
def ejecting_open(path, *more, **named):
    file = open_file(path, *more, **named)
    if not isinstance(path, int) and os.fspath(path).endswith("/bad.iso"):
        os.unlink(path)
    return file
builtins.open = ejecting_open
""",
}


def restore_from_two(office, how, *options):
    """Restore a file out of two images, of which the first breaks when it is read again; that, and what is said."""
    image = image_of(office, "good.iso", "b.txt", text(400, 1))
    command(office, "add", "old disc", image)
    image.rename(office.root / "moved.iso")
    bad = image_of(office, "bad.iso", "b.txt", text(400, 1))
    write(office.root / "shim" / "sitecustomize.py", BREAKS[how].encode())
    environment = office.environment
    environment["PYTHONPATH"] = f"{office.root / 'shim'}:{environment['PYTHONPATH']}"
    wanted = "--digest", digest(text(400, 1)).hex(), "--from", bad, "--from", office.root / "moved.iso", *options
    return bad, run_program([*PROGRAM, "restore", *wanted, "--to", office.root / "back"], environment, office.root)


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize("how", ["unreadable", "ejected"])
def test_an_image_that_breaks_when_it_was_recognised_has_no_files_and_costs_no_others(office, how, workers):
    bad, done = restore_from_two(office, how, "--workers", workers, "--json")

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    [note] = report["notes"]
    assert note.startswith(f"{bad}: cannot be read: "), note
    assert (report["files"], contents(office.root / "back")) == (1, {"b.txt": text(400, 1)})


def test_that_the_process_which_reads_an_image_was_killed_is_told(office):
    bad, done = restore_from_two(office, "killed", "--workers", "2")

    assert done.returncode == 3
    assert f"{bad}: the process that reads it was killed" in done.stderr


def test_what_is_damaged_in_an_image_is_told_and_all_else_comes(office):
    image = image_at(office.root / "old.iso", office.root / "top")
    command(office, "add", "old disc", image)
    data = bytearray(image.read_bytes())
    data[data.find(text(3000)[:100]) + 50] ^= 1
    image.write_bytes(data)

    report = restore(office, "--volume", "old disc", to=office.root / "back", status=1)

    assert set(errors_of(report)) == {"docs/a.txt"}
    assert "not what its digest says" in errors_of(report)["docs/a.txt"]
    assert sorted(contents(office.root / "back")) == ["b.txt", "docs/large.bin", "inner.zip"]


def test_what_a_job_knows_to_be_in_an_image_comes_from_there(office):
    command(office, "add", "old disc", image_at(office.root / "old.iso", office.root / "top"))
    write(office.tree / "letter.txt", text(3000), 0o600)
    write(office.tree / "new.txt", text(200, 8))
    office.backup("--skip-known")

    report = restore(office, "--job", "office", to=office.root / "back")

    assert report["errors"] == []
    assert sorted(report["volumes"])[-1] == "old disc"
    assert contents(office.root / "back") == {"tree/letter.txt": text(3000), "tree/new.txt": text(200, 8)}
    assert os.stat(office.root / "back/tree/letter.txt").st_mode & 0o777 == 0o600


@pytest.mark.parametrize("option", ["zip", "zst"])
def test_an_image_of_a_volume_of_ours_that_is_a_medium_only(office, option):
    write(office.tree / "folder" / "letter.txt", text(3000), 0o640)
    write(office.tree / "large.bin", LARGE)
    os.link(office.tree / "large.bin", office.tree / "same.bin")
    (volume,) = office.backup(options=option).volumes
    made = ["genisoimage", "-quiet", "-R", "-o", office.root / "vol.iso", volume]
    subprocess.run(made, check=True, stderr=subprocess.DEVNULL)
    (office.backups / "backalaika.sqlite").unlink()
    command(office, "add", "burnt", office.root / "vol.iso")

    report = restore(office, "--volume", "burnt", to=office.root / "back")

    assert report["errors"] == []
    there = {path: content for path, content in contents(office.root / "back").items() if path.startswith("tree")}
    assert there == {"tree/folder/letter.txt": text(3000), "tree/large.bin": LARGE, "tree/same.bin": LARGE}
    assert os.stat(office.root / "back/tree/folder/letter.txt").st_mode & 0o777 == 0o640

"""What is in images of discs comes back: of images that lie on a medium, and of those that are one."""

from __future__ import annotations

import os
import subprocess
import zipfile

import pytest
from restores import command, errors_of, leftovers, restore
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

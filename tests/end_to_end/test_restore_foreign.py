"""What is in archives that others made comes back from the media that `add` catalogued."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import subprocess
import tarfile
import time
import zipfile

import pytest
import zstandard
from restores import command, errors_of, leftovers, restore
from trees_compared import digest, noise, text, write

from backalaika.catalogue import open_catalogue
from backalaika.restoring.by_volume import select_volume
from backalaika.restoring.running import Destination, run_restore
from backalaika.restoring.selecting import find_by_catalogue, places_by_catalogue, resolve_links
from backalaika.restoring.shelf import Shelf

pytestmark = pytest.mark.timeout(120)

IS_ROOT = os.geteuid() == 0
CONTENTS = {
    "letter.txt": text(5000),
    "deep/er/noise.bin": noise(70_000),
    "large.bin": noise(5_000_000, 1),
    "empty": b"",
}
COMPRESSED = {
    "tar": bytes,
    "tar.gz": gzip.compress,
    "tar.bz2": bz2.compress,
    "tar.xz": lzma.compress,
    "tar.zst": zstandard.ZstdCompressor().compress,
}


def tar_of(contents, prefix="", mode=0o640):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in contents.items():
            info = tarfile.TarInfo(prefix + name)
            info.size, info.mode, info.mtime, info.uid = len(content), mode, 1_234_567_890, 12345
            archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


def zip_of(contents, encoding=None):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            info = zipfile.ZipInfo(name, (2009, 2, 13, 23, 31, 30))
            info.external_attr, info.compress_type = 0o100640 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return made.getvalue()


def archive_of(contents, kind):
    return zip_of(contents) if kind == "zip" else COMPRESSED[kind](tar_of(contents))


@pytest.fixture
def disc(office):
    """A folder that is a medium."""
    folder = office.root / "disc"
    folder.mkdir()
    return folder


def by_digest(office, content, to, **options):
    return restore(office, "--digest", digest(content).hex(), to=to, **options)


@pytest.mark.parametrize("kind", ["zip", *COMPRESSED])
def test_a_member_comes_back_by_its_content(office, disc, kind):
    write(disc / "below" / f"old.{kind}", archive_of(CONTENTS, kind))
    write(disc / "loose.txt", text(100, 5))
    command(office, "add", "old disc", disc)

    for workers, (name, content) in zip((0, 1, 2), CONTENTS.items(), strict=False):
        report = restore(office, "--digest", digest(content).hex(), "--workers", workers, to=office.root / "back")
        assert (report["files"], report["errors"], report["volumes"]) == (1, [], ["old disc"])
        path = office.root / "back" / name
        assert path.read_bytes() == content
        info = path.stat()
        owner = 12345 if IS_ROOT and kind != "zip" else os.getuid()
        assert (info.st_mode & 0o7777, info.st_uid) == (0o640, owner)
        assert kind == "zip" or info.st_mtime == 1_234_567_890
    assert not leftovers(office.root / "back")


def test_a_file_that_is_only_compressed_and_a_7z(office, disc):
    write(disc / "notes.txt.gz", gzip.compress(text(7000)))
    write(disc / "inside" / "notes.txt", text(8000, 1))
    subprocess.run(["7z", "a", disc / "old.7z", disc / "inside"], check=True, capture_output=True)
    shutil.rmtree(disc / "inside")
    command(office, "add", "old disc", disc)

    by_digest(office, text(7000), office.root / "back")
    by_digest(office, text(8000, 1), office.root / "back")

    assert (office.root / "back/notes.txt").read_bytes() == text(7000)
    assert (office.root / "back/inside/notes.txt").read_bytes() == text(8000, 1)


def test_a_whole_medium_comes_back_as_its_files_and_paths_go_into_its_archives(office, disc):
    inner = tar_of({"a.txt": text(300), "b.txt": text(400, 1)}, prefix="./")
    write(disc / "box!" / "outer.zip", zip_of({"inner.tar": inner, "c.txt": text(500, 2)}))
    write(disc / "loose.txt", text(100, 5))
    command(office, "add", "old disc", disc, "--depth", 2)

    whole = restore(office, "--volume", "old disc", to=office.root / "whole")
    planned, _ = command(office, "restore", "--volume", "old disc", "--dry-run")
    some = restore(office, "--volume", "old disc", "box!/outer.zip!/c.txt", "loose.txt", to=office.root / "some")
    nested = restore(office, "--volume", "old disc", "box!/outer.zip!/inner.tar!/./b.txt", to=office.root / "nested")
    every = restore(office, "--volume", "old disc", "box!/outer.zip!", to=office.root / "every")
    _, err = command(office, "restore", "--volume", "old disc", "nowhere", "--to", "x", status=2)

    assert (whole["files"], whole["errors"], planned["files"]) == (2, [], 2)
    assert (office.root / "whole/box!/outer.zip").read_bytes() == (disc / "box!/outer.zip").read_bytes()
    assert (some["files"], some["errors"]) == (2, [])
    assert (office.root / "some/box!/outer.zip!/c.txt").read_bytes() == text(500, 2)
    assert (nested["files"], (office.root / "nested/b.txt").read_bytes()) == (1, text(400, 1))
    assert (every["files"], (office.root / "every/inner.tar").read_bytes()) == (2, inner)
    assert "nowhere: not on old disc" in err


class Nobody:
    """Watches, and says nothing."""

    def advance(self, files, size, name):
        pass

    def problem(self, problem):
        pass

    def note(self, line):
        pass


def bring_back(office, title, path, place, workers=0, observer=None):
    """Restore by this process; the report."""
    with open_catalogue(f"sqlite:///{office.backups}/backalaika.sqlite", to_write=False) as catalogue:
        selection = select_volume(catalogue, title, [path])
        resolve_links(selection, find_by_catalogue(catalogue))
        shelf = Shelf(catalogue.complete_volumes(), catalogue.volumes_with_archives)
        places = places_by_catalogue(catalogue)
        destination = Destination(str(place), "never", workers)
        watching = observer or Nobody()
        return run_restore(selection, destination, shelf, places, lambda order: None, watching, lambda: None)


def everything_in(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_paths_that_are_in_several_archives_and_loose_too_all_come_back(office, disc):
    may, june = {"beach/1.jpg": text(300)}, {"beach/1.jpg": text(400, 1), "beach/2.jpg": text(500, 2)}
    write(disc / "may.zip", zip_of(may))
    write(disc / "june.tar", tar_of(june, prefix="./"))
    write(disc / "beach" / "1.jpg", text(600, 3))
    command(office, "add", "photos", disc)
    in_may, in_june = [
        {f"{archive}!/beach/1.jpg": some["beach/1.jpg"]} for archive, some in (("may.zip", may), ("june.tar", june))
    ]
    loose, more = {"beach/1.jpg": text(600, 3)}, {"june.tar!/beach/2.jpg": june["beach/2.jpg"]}

    for paths, wanted in (
        (["may.zip!/beach/1.jpg", "june.tar!/beach/1.jpg"], in_may | in_june),
        (["may.zip!", "june.tar!/beach"], in_may | in_june | more),
        (["beach"], in_may | in_june | more | loose),
        (["may.zip!/beach", "may.zip"], in_may | {"may.zip": zip_of(may)}),
        (["may.zip!/beach/1.jpg"], may),
        (["june.tar!/"], june),
        (["."], loose | {"may.zip": zip_of(may), "june.tar": tar_of(june, prefix="./")}),
    ):
        place = office.place()
        report = restore(office, "--volume", "photos", *paths, to=place)
        assert everything_in(place) == wanted
        assert (report["files"], report["errors"]) == (len(wanted), [])


def test_a_folder_of_a_medium_wins_over_an_archive_of_its_name(office, disc):
    write(disc / "may.zip", zip_of({"1.jpg": text(300), "2.jpg": text(310, 4)}))
    write(disc / "may.zip!" / "1.jpg", text(400, 1))
    write(disc / "may.zip!" / "inner.tar", tar_of({"3.jpg": text(500, 2)}))
    write(disc / "june.zip!" / "x.txt", text(600, 3))
    command(office, "add", "photos", disc)
    loose, inner = {"may.zip!/1.jpg": text(400, 1)}, (disc / "may.zip!" / "inner.tar").read_bytes()

    for paths, wanted in (
        (["may.zip!/1.jpg"], loose),
        (["./may.zip!/1.jpg"], loose),
        (["may.zip!"], loose | {"may.zip!/inner.tar": inner}),
        (["1.jpg"], {"1.jpg": text(300)}),
        (["may.zip!/2.jpg"], {"2.jpg": text(310, 4)}),
        (["may.zip!/inner.tar!/3.jpg"], {"3.jpg": text(500, 2)}),
        (["june.zip!/x.txt"], {"june.zip!/x.txt": text(600, 3)}),
        (["may.zip!/2.jpg", "may.zip!/1.jpg"], loose | {"may.zip!/2.jpg": text(310, 4)}),
    ):
        place = office.place()
        report = restore(office, "--volume", "photos", *paths, to=place)
        assert everything_in(place) == wanted
        assert report["errors"] == []
    both = ["1.jpg", "may.zip!/1.jpg"]
    _, err = command(office, "restore", "--volume", "photos", *both, "--to", office.root / "both", status=2)
    assert "may.zip!/1.jpg: is in a folder and in an archive of one name; restore one after the other" in err


def test_paths_of_a_tar_of_a_folder_are_found_with_and_without_what_it_writes_before_them(office, disc):
    made = {"d/a": text(300), "d/b": text(400, 1), "e/c": text(500, 2)}
    write(disc / "a.tar.gz", gzip.compress(tar_of(made, prefix="./")))
    write(disc / "b.tar", tar_of({"x": text(600, 3)}, prefix="/d/"))
    command(office, "add", "old disc", disc)

    for paths, wanted in (
        (["a.tar.gz!/d/b"], ["d/b"]),
        (["a.tar.gz!/./d/b"], ["d/b"]),
        (["./a.tar.gz!/d"], ["d/a", "d/b"]),
        (["b.tar!/d/x"], ["d/x"]),
        (["d"], ["a.tar.gz!/d/a", "a.tar.gz!/d/b", "b.tar!/d/x"]),
        (["./e/"], ["e/c"]),
    ):
        place = office.place()
        restore(office, "--volume", "old disc", *paths, to=place)
        assert sorted(everything_in(place)) == wanted


def test_what_a_job_did_not_save_because_a_disc_has_it_comes_from_there(office, disc):
    write(disc / "old.tar.gz", archive_of(CONTENTS, "tar.gz"))
    command(office, "add", "old disc", disc)
    for name in ("letter.txt", "large.bin"):
        write(office.tree / name, CONTENTS[name], 0o600)
    write(office.tree / "new.txt", text(200, 8))
    office.backup("--skip-known")

    report = restore(office, "--job", "office", to=office.root / "back")

    assert (report["files"], report["errors"]) == (3, [])
    for name in ("letter.txt", "large.bin"):
        back = office.root / "back/tree" / name
        assert back.read_bytes() == CONTENTS[name]
        assert back.stat().st_mode & 0o7777 == 0o600
        assert back.stat().st_mtime_ns == (office.tree / name).stat().st_mtime_ns


def test_content_of_a_lost_volume_is_taken_out_of_a_foreign_archive(office, disc):
    for name, content in CONTENTS.items():
        write(office.tree / name, content)
    write(office.tree / "again", CONTENTS["letter.txt"])
    (volume,) = office.backup(options="zst").volumes
    write(disc / "copies.zip", zip_of(CONTENTS))
    command(office, "add", "copies", disc)
    shutil.rmtree(volume)

    report = restore(office, "--job", "office", to=office.root / "back", status=3)  # folders, and what is empty

    assert report["volumes"] == ["copies"]
    assert not report["errors"]
    for name in ("letter.txt", "again", "large.bin", "deep/er/noise.bin"):
        assert (office.root / "back/tree" / name).read_bytes() == (office.tree / name).read_bytes()


def test_of_two_members_of_one_name_that_comes_which_is_wanted(office, disc):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for content in (b"first", b"other", b"large" * 1_000_000, b"LARGE" * 1_000_000):
            info = tarfile.TarInfo("same")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    write(disc / "old.tar", made.getvalue())
    command(office, "add", "old disc", disc)

    for content in (b"other", b"first", b"LARGE" * 1_000_000, b"large" * 1_000_000):
        place = office.place()
        by_digest(office, content, place)
        assert (place / "same").read_bytes() == content


def test_a_name_in_an_encoding_that_was_told_then_is_known_by_its_content(office, disc):
    data = zip_of({"AAAAAA.txt": text(900), "other.txt": text(900, 1)})
    write(disc / "old.zip", data.replace(b"AAAAAA", "привет".encode("cp866")))
    command(office, "add", "old disc", disc, "--encoding", "cp1251")

    report = by_digest(office, text(900), office.root / "back")

    assert (report["files"], report["errors"]) == (1, [])


def test_names_that_lead_out_are_refused_and_others_mean_what_tar_takes_them_for(office, disc):
    names = ("../evil", "/root/of.txt", "./here//now.txt", "a/../../b")
    contents = {name: text(100 + number, number) for number, name in enumerate(names)}
    write(disc / "bad.tar", tar_of(contents))
    command(office, "add", "bad", disc)
    target = office.root / "a" / "target"
    target.mkdir(parents=True)

    leads_out = (True, False, False, True)
    reports = [
        by_digest(office, contents[name], target, status=int(bad)) for name, bad in zip(names, leads_out, strict=True)
    ]

    assert tuple("would lead out" in str(report["errors"]) for report in reports) == leads_out
    assert sorted(os.listdir(office.root / "a")) == ["target"]
    assert {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()} == {
        "root/of.txt", "here/now.txt"
    }  # fmt: skip


def test_what_is_damaged_or_gone_is_told_and_all_else_comes(office, disc):
    write(disc / "old.zip", zip_of({f"{number}.bin": noise(20_000, number) for number in range(4)}))
    write(disc / "gone.tar", tar_of({"gone.bin": noise(20_000, 9)}))
    command(office, "add", "old disc", disc)
    (disc / "gone.tar").unlink()
    data = bytearray((disc / "old.zip").read_bytes())
    data[data.find(noise(20_000, 2)[:50]) + 7000] ^= 1
    (disc / "old.zip").write_bytes(data)

    paths = ["old.zip!", "gone.tar!"]
    report = restore(office, "--volume", "old disc", *paths, to=office.root / "back", status=1)

    assert {path: why.split(" (")[0] for path, why in errors_of(report).items()} == {
        "old.zip!/2.bin": "is damaged: its content is not what its checksum says",
        "gone.tar!/gone.bin": "its archive is missing on the medium",
    }
    assert sorted(os.listdir(office.root / "back/old.zip!")) == ["0.bin", "1.bin", "3.bin"]
    assert not leftovers(office.root / "back")


def test_a_medium_that_is_mounted_elsewhere_is_read_where_it_is_said_to_be(office, disc):
    write(disc / "old.zip", zip_of(CONTENTS))
    command(office, "add", "old disc", disc)
    disc.rename(office.root / "elsewhere")

    asked = ["--volume", "old disc", "old.zip!/letter.txt"]
    missing = restore(office, *asked, to=office.root / "back", status=3)
    restore(office, *asked, "--from", office.root / "elsewhere", to=office.root / "back")

    assert [one["title"] for one in missing["missing"]] == ["old disc"]
    assert (office.root / "back/letter.txt").read_bytes() == CONTENTS["letter.txt"]


@pytest.mark.parametrize("is_left", [False, True], ids=["moved", "another disc is in the drive"])
def test_whatever_is_asked_for_a_medium_is_known_where_it_is_said_to_be(office, disc, is_left):
    write(disc / "below" / "old.zip", zip_of(CONTENTS))
    write(disc / "loose.txt", text(800, 7))
    command(office, "add", "old disc", disc)
    write(office.tree / "letter.txt", CONTENTS["letter.txt"])
    write(office.tree / "loose.txt", text(800, 7))
    office.backup("--skip-known")
    disc.rename(office.root / "elsewhere")
    other = office.root / "other"
    write(other / "loose.txt", text(801, 7))
    if is_left:
        disc.mkdir()
    places = [word for folder in (other, office.root / "elsewhere") for word in ("--from", folder)]

    by_digest(office, CONTENTS["letter.txt"], office.root / "a", status=1 if is_left else 3)
    restore(office, "--digest", digest(CONTENTS["letter.txt"]).hex(), *places, to=office.root / "b")
    restore(office, "--digest", digest(text(800, 7)).hex(), *places, to=office.root / "c")
    restore(office, "--job", "office", *places, to=office.root / "d")
    restore(office, office.tree / "letter.txt", *places, to=office.root / "e")
    restore(office, "--volume", "old disc", "loose.txt", *places, to=office.root / "f")

    for path in ("b/letter.txt", "d/tree/letter.txt", "e/tree/letter.txt"):
        assert (office.root / path).read_bytes() == CONTENTS["letter.txt"]
    for path in ("c/loose.txt", "d/tree/loose.txt", "f/loose.txt"):
        assert (office.root / path).read_bytes() == text(800, 7)


def test_an_archive_is_gone_through_once_however_many_of_its_members_are_wanted(office, disc, monkeypatch):
    count = 20_001
    write(disc / "old.tar", tar_of({f"{number}": b"" for number in range(count)}))
    command(office, "add", "old disc", disc)
    beginnings = []
    pread = os.pread

    def seen(descriptor, size, offset):
        if offset == 0 and size > 512 and os.readlink(f"/proc/self/fd/{descriptor}").endswith("old.tar"):
            beginnings.append(size)
        return pread(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", seen)
    report = bring_back(office, "old disc", b"old.tar!", office.root / "back")

    assert (report.files, report.problems) == (count, [])
    assert len(beginnings) == 1


def test_archives_that_need_much_memory_come_though_only_one_is_decoded_at_a_time(office, disc):
    for number in range(4):
        made = tar_of({f"{number}.bin": noise(9000, number), "more.bin": noise(300_000, number)})
        method = {"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 100 * 1024 * 1024}
        write(disc / f"{number}.tar.xz", lzma.compress(made, lzma.FORMAT_XZ, filters=[method]))
    command(office, "add", "old disc", disc)
    asked = [f"{number}.tar.xz!/{number}.bin" for number in range(4)]

    report = restore(office, "--volume", "old disc", *asked, "--workers", 2, to=office.root / "back")

    assert (report["files"], report["errors"]) == (4, [])


class Counting(Nobody):
    """Keeps what it is told of progress."""

    def __init__(self):
        self.told = []

    def advance(self, files, size, name):
        self.told.append((files, size, name))


def test_how_far_an_archive_is_shows_while_it_is_read(office, disc, monkeypatch):
    made = {f"{number}.bin": noise(300_000, number) for number in range(30)} | {"large.bin": noise(6_000_000, 99)}
    write(disc / "old.tar", tar_of(made))
    command(office, "add", "old disc", disc)
    pread = os.pread

    def slowly(descriptor, size, offset):
        time.sleep(0.03)
        return pread(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", slowly)
    seen = Counting()
    report = bring_back(office, "old disc", b"old.tar!", office.root / "back", workers=1, observer=seen)

    sizes = [size for _, size, _ in seen.told if size]
    assert (report.files, report.problems) == (len(made), [])
    assert len(sizes) > 3
    assert min(sizes) > 0
    assert max(sizes) < 6_000_000  # not even the large one comes at once
    assert sum(sizes) == report.bytes == sum(map(len, made.values()))
    assert sum(files for files, *_ in seen.told) == len(made)
    assert {name for files, size, name in seen.told[:-1] if files or size} == {"old.tar"}


def test_a_link_whose_target_was_not_catalogued_is_named_and_all_else_comes(office, disc):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        info = zipfile.ZipInfo("link")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        archive.writestr(info, "folder")
        archive.writestr("folder/", "")
    write(disc / "old.zip", made.getvalue())
    command(office, "add", "old disc", disc, "-n")

    report = restore(office, "--volume", "old disc", "old.zip!", to=office.root / "back", status=1)

    assert errors_of(report) == {"link": "its target is not in the catalogue"}
    assert os.listdir(office.root / "back") == ["folder"]


def test_links_and_folders_of_an_archive_come_by_its_path(office, disc):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, kind, target in (
            ("./", tarfile.DIRTYPE, ""),
            ("./top", tarfile.DIRTYPE, ""),
            ("./top/file", tarfile.REGTYPE, ""),
            ("./top/soft", tarfile.SYMTYPE, "file"),
            ("./top/hard", tarfile.LNKTYPE, "./top/file"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, target, 4 * (kind == tarfile.REGTYPE)
            archive.addfile(info, io.BytesIO(b"here"))
    write(disc / "old.tar.gz", gzip.compress(made.getvalue()))
    command(office, "add", "old disc", disc)

    report = restore(office, "--volume", "old disc", "old.tar.gz!", to=office.root / "back")

    top = office.root / "back" / "top"
    assert (report["files"], report["errors"]) == (3, [])
    assert (top / "file").read_bytes() == b"here"
    assert os.readlink(top / "soft") == "file"
    assert (top / "hard").samefile(top / "file")


def tar_with_versions(members):
    """A tar of members in this order: a name, and content or the name that it is a hard link to."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for number, (name, content) in enumerate(members):
            info = tarfile.TarInfo(name)
            info.mtime = 1_234_567_890 + number
            if isinstance(content, str):
                info.type, info.linkname = tarfile.LNKTYPE, content
            else:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content if isinstance(content, bytes) else b""))
    return made.getvalue()


def one_file_each(top):
    """Which names are one file, and what is in it."""
    found = {}
    for path in sorted(top.rglob("*")):
        if path.is_file():
            found.setdefault(path.stat().st_ino, (path.read_bytes(), []))[1].append(str(path.relative_to(top)))
    return sorted(found.values(), key=lambda one: one[1])


@pytest.mark.parametrize("size", [100, 5_000_000])
def test_a_hard_link_is_to_the_last_version_before_it_as_to_tar(office, disc, size):
    members = [
        ("a/f", noise(size, 1)),
        ("a/first", "a/f"),
        ("a/of a link", "a/first"),
        ("a/f", noise(size, 2)),
        ("a/second", "a/f"),
        ("a/again", "a/first"),
        ("a/g", noise(size, 3)),
        ("a/third", "a/g"),
        ("a/g", "a/f"),
        ("a/through g", "a/g"),
        ("a/f", noise(size, 4)),
        ("a/fourth", "a/f"),
    ]
    (disc / "t.tar").write_bytes(tar_with_versions(members))
    command(office, "add", "old disc", disc)
    by_tar = office.root / "by tar"
    by_tar.mkdir()
    subprocess.run(["tar", "-xf", disc / "t.tar"], cwd=by_tar, check=True)

    report = restore(office, "--volume", "old disc", "t.tar!/", to=office.root / "back")
    restore(office, "--volume", "old disc", "t.tar!/a/of a link", "t.tar!/a/again", to=office.root / "some")

    assert report["errors"] == []
    assert one_file_each(office.root / "back") == one_file_each(by_tar)
    assert one_file_each(office.root / "some") == [(noise(size, 1), ["a/again", "a/of a link"])]


def test_a_hard_link_that_stands_before_all_versions_is_told(office, disc):
    members = [("a/f", "a/first"), ("a/early", "a/late"), ("a/late", text(100)), ("a/first", text(200))]
    (disc / "t.tar").write_bytes(tar_with_versions(members))
    command(office, "add", "old disc", disc)

    report = restore(office, "--volume", "old disc", "t.tar!/", to=office.root / "back", status=1)

    assert set(errors_of(report)) == {"a/f", "a/early"}
    assert all("before it" in message for message in errors_of(report).values())
    assert sorted(one_file_each(office.root / "back")) == sorted([(text(200), ["a/first"]), (text(100), ["a/late"])])


def looks(path):
    """Permissions, owner and time."""
    info = os.lstat(path)
    return oct(info.st_mode & 0o7777), info.st_uid, info.st_mtime


def test_folders_links_and_owners_come_as_tar_gives_them(office, disc):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, kind, mode, uid in (
            ("./top", tarfile.DIRTYPE, 0o2750, 12345),
            ("./top/run", tarfile.REGTYPE, 0o4755, 12345),
            ("./top/link", tarfile.SYMTYPE, 0o777, 12345),
            ("./top/far", tarfile.REGTYPE, 0o600, 1 << 40),
            ("./top/below", tarfile.DIRTYPE, 0o500, 12345),
            ("./top/below/file", tarfile.REGTYPE, 0o400, 12345),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.uid, info.gid, info.mtime = kind, mode, uid, uid, 1_234_567_890
            info.linkname = "run" if kind == tarfile.SYMTYPE else ""
            archive.addfile(info, io.BytesIO(b""))
    write(disc / "old.tar.gz", gzip.compress(made.getvalue()))
    command(office, "add", "old disc", disc)

    restore(office, "--volume", "old disc", "old.tar.gz!", to=office.root / "back")

    top, then, owner = office.root / "back" / "top", 1_234_567_890, 12345 if IS_ROOT else os.getuid()
    assert looks(top) == ("0o2750" if IS_ROOT else "0o750", owner, then)
    assert looks(top / "run") == ("0o4755" if IS_ROOT else "0o755", owner, then)
    assert looks(top / "link") == ("0o777", owner, then)
    assert looks(top / "far") == ("0o600", os.getuid(), then)
    assert looks(top / "below") == ("0o500", owner, then)
    assert looks(top / "below" / "file") == ("0o400", owner, then)


@pytest.mark.parametrize("kind", ["zip", "7z"])
def test_folders_have_the_permissions_that_a_zip_and_a_7z_tell(office, disc, kind):
    write(disc / "top" / "run", text(900), 0o4755)
    os.mkdir(disc / "top" / "empty", 0o710)
    os.chmod(disc / "top", 0o750)
    program = ["zip", "-qr", "old.zip", "top"] if kind == "zip" else ["7z", "a", "old.7z", "top"]
    subprocess.run(program, cwd=disc, check=True, capture_output=True)
    expected = {name: os.stat(disc / "top" / name).st_mode & 0o777 for name in ("", "run", "empty")}
    shutil.rmtree(disc / "top")
    command(office, "add", "old disc", disc)

    report = restore(office, "--volume", "old disc", f"old.{kind}!", to=office.root / "back")

    assert report["errors"] == []
    assert {name: os.stat(office.root / "back/top" / name).st_mode & 0o7777 for name in expected} == expected


def test_a_folder_whose_permissions_are_lost_is_there_and_told(office, disc):
    made = {f"top/{number}.bin": noise(30_000, number) for number in range(3)}
    folder = tarfile.TarInfo("end")
    folder.type, folder.mode = tarfile.DIRTYPE, 0o700
    write(disc / "old.tar", tar_of(made)[: 3 * 30_720] + folder.tobuf() + bytes(1024))
    command(office, "add", "old disc", disc)
    with (disc / "old.tar").open("r+b") as archive:
        archive.truncate(80_000)

    report = restore(office, "--volume", "old disc", "old.tar!", to=office.root / "back", status=1)

    assert set(errors_of(report)) == {"top/2.bin", "end"}
    assert "is there without its permissions" in errors_of(report)["end"]
    assert sorted(everything_in(office.root / "back")) == ["top/0.bin", "top/1.bin"]
    assert (office.root / "back" / "end").is_dir()


def test_what_stands_in_for_a_lost_file_gets_no_owner_from_a_stranger(office, disc):
    write(office.tree / "letter.txt", text(900))
    (volume,) = office.backup(options="zst").volumes
    write(disc / "copies.tar", tar_of({"letter.txt": text(900)}, mode=0o4755))
    command(office, "add", "copies", disc)
    shutil.rmtree(volume)

    restore(office, "--job", "office", to=office.root / "back", status=3)

    info = os.stat(office.root / "back/tree/letter.txt")
    assert (info.st_uid, info.st_mode & 0o7777) == (os.getuid(), 0o755)

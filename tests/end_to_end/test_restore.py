"""What was saved comes back, from one volume or from many, by the catalogue or by manifests alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import replace

import pytest
from real_backups import FORMATS, digest_of, manifest_of
from restores import command, errors_of, leftovers, restore
from trees_compared import NS, look, make_tree, noise, seen_by, set_times, text, write

from backalaika.restoring.begun import BEGUN_FOLDER

pytestmark = pytest.mark.timeout(240)


def odd_tree(top, large=1_500_000):
    """A bit of everything, names that are no text, and files that must be cut on small volumes."""
    make_tree(top, large)
    write(os.fsencode(top) + b"/n\xe4me \xff\n.txt", text(3000, 7))
    write(os.fsencode(top) + b"/f\xf6lder/inside", text(100, 8))
    os.symlink(b"\xfe\xff", os.fsencode(top) + b"/odd link")
    write(top / "cut" / "large.bin", noise(1_200_000, 9), 0o640)
    for number in range(40):
        write(top / "many" / f"{number:02d}.txt", text(20_000, 100 + number))
    set_times(top)


@pytest.mark.parametrize(("option", "workers"), [("zip", 3), ("gz", 0), ("bz2", 1), ("zst", 3), ("xz", 2)])
def test_a_tree_on_many_volumes_comes_back_as_it_was(office, option, workers):
    odd_tree(office.tree)
    saved = office.backup(options=option, max_size=700_000)
    assert len(saved.volumes) > 2

    report = restore(office, "--job", "office", "--workers", workers, to=office.root / "back")

    # A volume is of use alone: another name of a file that lies on another volume is saved as a file of its own.
    assert seen_by(look(office.root / "back" / "tree"), hard_links=False) == seen_by(
        look(office.tree), hard_links=False
    )
    assert report["files"] == saved.report["files"]
    assert report["volumes"] == [f"{folder.parent.name}/{folder.name}" for folder in saved.volumes]
    assert not leftovers(office.root / "back")


@pytest.mark.parametrize("option", ["zip", "bz2"])
def test_manifests_alone_are_enough(office, option):
    odd_tree(office.tree, 600_000)
    office.backup(options=f"{option},separate_dirs", max_size=900_000)
    folder = next(office.backups.glob("*-office"))
    moved = shutil.move(folder, office.root / "elsewhere")
    shutil.rmtree(office.backups)

    restore(office, "--from", moved, to=office.root / "back")

    assert seen_by(look(office.root / "back" / "tree"), hard_links=False) == seen_by(
        look(office.tree), hard_links=False
    )


@pytest.mark.parametrize("option", ["gz", "bz2", "zst", "xz"])
def test_hard_links_are_hard_links_again(office, option):
    make_tree(office.tree, 300_000)
    office.backup(options=option)

    restore(office, "--job", "office", to=office.root / "back")

    assert look(office.root / "back" / "tree") == look(office.tree)


def test_names_of_one_file_in_several_archives_or_runs_are_whole_files_each(office):
    """What the README says of hard links: which names were one file is known within an archive only."""
    for folder in "ab":
        write(office.tree / folder / "letter", text(5000))
        os.link(office.tree / folder / "letter", office.tree / folder / "same")
    os.link(office.tree / "a" / "letter", office.tree / "b" / "other")
    office.backup(options="zst,separate_dirs")
    os.link(office.tree / "b" / "letter", office.tree / "b" / "later")
    office.backup("--skip-known", options="zst,separate_dirs")

    restore(office, "--job", "office", to=office.root / "back")

    back = office.root / "back" / "tree"
    assert seen_by(look(back), hard_links=False) == seen_by(look(office.tree), hard_links=False)
    one = {(place, name): os.stat(back / place / name).st_ino for place in "ab" for name in os.listdir(back / place)}
    assert one["a", "letter"] == one["a", "same"]
    assert len(set(one.values())) == 5  # a name more made those in b known by their content


def test_a_hard_link_is_made_to_its_own_file_and_not_to_a_copy_that_is_read_from_there(office):
    for name in ("first", "second"):
        write(office.tree / name, text(5000))
        os.utime(office.tree / name, ns=(0, NS * len(name)))
    os.link(office.tree / "first", office.tree / "same")
    office.backup(options="zst")
    os.chmod(office.tree / "second", 0o600)  # from now on it is known by its content
    office.backup("--skip-known", options="zst")
    restore(office, "--job", "office", to=office.root / "back")
    restore(office, office.tree / "second", office.tree / "same", to=office.root / "some")

    assert look(office.root / "back" / "tree") == look(office.tree)
    assert os.stat(office.root / "some/tree/same").st_mtime_ns == 5 * NS
    assert os.stat(office.root / "some/tree/second").st_mtime_ns == 6 * NS


def test_one_file_one_folder_and_a_path_that_is_not_there(office):
    odd_tree(office.tree)
    office.backup(options="bz2", max_size=700_000)

    one = restore(office, office.tree / "deep" / "er" / "notes.txt", to=office.root / "one")
    some = restore(office, office.tree / "many", office.tree / "link", to=office.root / "some")
    _, err = command(office, "restore", office.tree / "nowhere", "--to", office.root / "none", status=2)

    assert one["files"] == 1
    assert (office.root / "one/tree/deep/er/notes.txt").read_bytes() == text(70_000, 1)
    assert some["files"] == 41
    assert os.stat(office.root / "some/tree/many").st_mtime_ns == os.stat(office.tree / "many").st_mtime_ns
    assert os.readlink(office.root / "some/tree/link") == "letter.txt"
    assert f"{office.tree}/nowhere: not in the catalogue" in err
    assert not (office.root / "none").exists()


def test_a_volume_and_a_digest(office):
    odd_tree(office.tree)
    saved = office.backup(options="zst", max_size=700_000)
    second = saved.volumes[1]
    title = f"{second.parent.name}/{second.name}"
    digest = digest_of(office.tree / "deep" / "noise.bin")

    restore(office, "--volume", title, to=office.root / "volume")
    report = restore(office, "--digest", digest, to=office.root / "digest")

    # A part of a file that was cut comes as it is, for the other parts are elsewhere.
    places = {line["path"] for line in manifest_of(second) if line["kind"] in ("file", "hardlink")}
    assert any(".part0" in place for place in places)
    there = {
        os.path.relpath(os.path.join(folder, name), office.root / "volume")
        for folder, _, names in os.walk(office.root / "volume")
        for name in names
        if not os.path.islink(os.path.join(folder, name))
    }
    assert places == there
    assert report["files"] == 1
    assert (office.root / "digest/tree/deep/noise.bin").read_bytes() == noise(300_000)


def test_as_of_a_date_is_what_was_there_then(office):
    write(office.tree / "stays.txt", b"always the same")
    write(office.tree / "changes.txt", b"first")
    write(office.tree / "goes.txt", b"soon gone")
    office.backup()
    first = time.time()
    time.sleep(1.1)
    write(office.tree / "changes.txt", b"second")
    (office.tree / "goes.txt").unlink()
    write(office.tree / "new.txt", b"new")
    office.backup("--skip-known")
    second = time.time()
    time.sleep(1.1)
    write(office.tree / "changes.txt", b"third")
    office.backup()

    def as_of(moment, *arguments):
        place = office.place()
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))
        restore(office, *arguments, "--as-of", moment, to=place)
        return {path.name: path.read_bytes() for path in (place / "tree").iterdir()}

    assert as_of(first, "--job", "office") == {
        "stays.txt": b"always the same", "changes.txt": b"first", "goes.txt": b"soon gone"
    }  # fmt: skip
    # What a run that skipped known files had left out is taken from the run before.
    changed = as_of(second, "--job", "office")
    assert changed | {"goes.txt": b""} == {
        "stays.txt": b"always the same", "changes.txt": b"second", "new.txt": b"new", "goes.txt": b""
    }  # fmt: skip
    assert as_of(second, office.tree / "changes.txt") == {"changes.txt": b"second"}
    restore(office, "--job", "office", to=office.root / "now")
    assert {path.name: path.read_bytes() for path in (office.root / "now/tree").iterdir()} == {
        "stays.txt": b"always the same", "changes.txt": b"third", "new.txt": b"new"
    }  # fmt: skip
    _, err = command(office, "restore", "--job", "office", "--as-of", "1999-01-01", "--to", "x", status=2)
    assert "first run was later" in err


def test_what_is_there_stays_unless_it_may_be_replaced(office):
    write(office.tree / "a.txt", b"saved", mtime_ns=1_200_000_000 * NS)
    write(office.tree / "b.txt", b"saved too", mtime_ns=1_200_000_000 * NS)
    os.symlink("a.txt", office.tree / "link")
    office.backup(options="gz")
    back = office.root / "back" / "tree"
    write(back / "a.txt", b"mine, older", mtime_ns=1_100_000_000 * NS)
    write(back / "b.txt", b"mine, newer", mtime_ns=1_300_000_000 * NS)
    os.symlink("/etc/passwd", back / "link")

    def contents():
        return (back / "a.txt").read_bytes(), (back / "b.txt").read_bytes(), os.readlink(back / "link")

    never = restore(office, "--job", "office", to=back.parent, status=1)
    assert contents() == (b"mine, older", b"mine, newer", "/etc/passwd")
    assert (never["kept"], never["differing"], never["files"]) == (0, 3, 0)
    assert {path: "not overwritten" in why for path, why in errors_of(never).items()} == {
        "tree/a.txt": True, "tree/b.txt": True, "tree/link": True
    }  # fmt: skip

    older = restore(office, "--job", "office", "--overwrite", "older", to=back.parent)
    assert contents() == (b"saved", b"mine, newer", "/etc/passwd")
    assert (older["kept"], older["files"]) == (2, 1)

    restore(office, "--job", "office", "--overwrite", "always", to=back.parent)
    assert contents() == (b"saved", b"saved too", "a.txt")
    assert not leftovers(back)

    os.utime(back / "a.txt")  # another time, but the same content
    again = restore(office, "--job", "office", to=back.parent)
    assert (again["kept"], again["differing"], again["files"]) == (3, 0, 0)
    (back / "b.txt").write_bytes(b"SAVED too")
    again = restore(office, "--job", "office", to=back.parent, status=1)
    assert (again["kept"], list(errors_of(again))) == (2, ["tree/b.txt"])


def test_what_differs_is_told_of_hard_links_and_cut_files_too(office):
    write(office.tree / "a", text(5000))
    os.link(office.tree / "a", office.tree / "b")
    write(office.tree / "large", noise(2_500_000))
    office.backup(options="gz", max_size=900_000)
    back = office.root / "back" / "tree"
    restore(office, "--job", "office", to=back.parent)
    again = restore(office, "--job", "office", to=back.parent)
    assert (again["kept"], again["differing"]) == (3, 0)

    (back / "b").unlink()
    write(back / "b", b"mine")
    write(back / "large", b"mine too")
    again = restore(office, "--job", "office", to=back.parent, status=1)

    assert (again["kept"], set(errors_of(again))) == (1, {"tree/b", "tree/large"})
    assert (back / "b").read_bytes() == b"mine"


@pytest.mark.parametrize("option", ["zip", "zst", "bz2"])
def test_sparse_files_stay_sparse(office, option):
    path = office.tree / "disk image"
    with open(path, "wb") as file:
        file.write(b"begin")
        file.seek(30_000_000)
        file.write(b"middle")
        file.truncate(60_000_000)
    office.backup(options=option)

    restore(office, "--job", "office", to=office.root / "back")

    back = office.root / "back/tree/disk image"
    assert subprocess.run(["cmp", path, back]).returncode == 0
    assert os.stat(back).st_blocks * 512 < 1_000_000


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away")
def test_owners_come_back_for_root(office):
    write(office.tree / "theirs", b"x", 0o4750)
    os.mkdir(office.tree / "folder")
    os.symlink("theirs", office.tree / "link")
    for name in ("theirs", "folder", "link"):
        os.chown(office.tree / name, 12345, 23456, follow_symlinks=False)
    os.chmod(office.tree / "theirs", 0o4750)
    office.backup(options="xz")

    restore(office, "--job", "office", to=office.root / "back")

    for name in ("theirs", "folder", "link"):
        info = os.lstat(office.root / "back/tree" / name)
        assert (info.st_uid, info.st_gid) == (12345, 23456), name
    assert os.stat(office.root / "back/tree/theirs").st_mode & 0o7777 == 0o4750


def test_a_disc_that_is_missing_is_named_and_all_else_restored(office):
    for number in range(8):
        write(office.tree / f"{number}.bin", noise(200_000, number))
    saved = office.backup(options="zst", max_size=700_000)
    away = saved.volumes[1]
    shutil.move(away, office.root / "on the shelf")

    planned, _ = command(office, "restore", "--job", "office", "--dry-run")
    report = restore(office, "--job", "office", to=office.root / "back", status=3)

    title = f"{away.parent.name}/{away.name}"
    assert [(one["title"], one["folder"]) for one in planned["volumes"]][-1] == (title, None)
    assert [one["title"] for one in report["missing"]] == [title]
    lost = {line["path"] for line in manifest_of(office.root / "on the shelf") if line["kind"] == "file"}
    back = office.root / "back"
    for number in range(8):
        assert (back / "tree" / f"{number}.bin").exists() == (f"tree/{number}.bin" not in lost)

    # The same command goes on, wherever the disc is now.
    again = restore(office, "--job", "office", "--from", office.root / "on the shelf", to=back)
    assert again["files"] == len(lost)
    assert look(back / "tree") == look(office.tree)


def test_a_folder_that_may_not_be_written_to_is_not_shut_before_all_is_in_it(office):
    for number in range(8):
        write(office.tree / "shut" / f"{number}.bin", noise(200_000, number))
    os.chmod(office.tree / "shut", 0o555)
    saved = office.backup(options="zst", max_size=700_000)
    away = shutil.move(saved.volumes[1], office.root / "on the shelf")
    back = office.root / "back"

    restore(office, "--job", "office", to=back, status=3)
    assert os.stat(back / "tree" / "shut").st_mode & 0o7777 == BEGUN_FOLDER

    restore(office, "--job", "office", "--from", away, to=back)
    assert look(back / "tree") == look(office.tree)


def test_a_folder_of_which_the_permissions_are_on_a_missing_disc_is_private_until_that_is_there(office):
    for number in range(4):
        write(office.tree / "private" / f"{number}.txt", text(1000, number))
    os.chmod(office.tree / "private", 0o750)
    office.backup(options="zst")
    write(office.tree / "private" / "new.txt", text(1000, 9))
    away = shutil.move(office.backup("--skip-known", options="zst").volumes[0], office.root / "on the shelf")
    back = office.root / "back"

    report = restore(office, "--job", "office", to=back, status=3)
    assert os.stat(back / "tree" / "private").st_mode & 0o7777 == BEGUN_FOLDER
    assert any("private until the same command has restored the rest" in note for note in report["notes"])

    restore(office, "--job", "office", "--from", away, to=back)
    assert look(back / "tree") == look(office.tree)


def test_content_that_is_on_another_volume_needs_no_disc(office):
    write(office.tree / "a.bin", noise(100_000))
    first = office.backup(options="zst")
    write(office.tree / "copy of a.bin", noise(100_000))
    os.utime(office.tree / "a.bin", ns=(NS, NS))
    office.backup(options="zst")
    shutil.rmtree(first.volumes[0])

    title = f"{first.volumes[0].parent.name}/vol001"
    report = restore(office, "--digest", digest_of(office.tree / "a.bin"), to=office.root / "back")
    whole = restore(office, "--volume", title, to=office.root / "whole", status=3)

    assert report["volumes"] != [title]
    assert whole["files"] == 1  # the folder's permissions are on the missing disc only
    assert (office.root / "whole/tree/a.bin").read_bytes() == noise(100_000)


def test_hard_links_without_the_file_they_were_linked_to(office):
    write(office.tree / "a" / "first", text(5000), 0o600)
    os.mkdir(office.tree / "b")
    os.link(office.tree / "a" / "first", office.tree / "b" / "second")
    os.link(office.tree / "a" / "first", office.tree / "b" / "third")
    set_times(office.tree)
    office.backup(options="gz")

    restore(office, office.tree / "b", to=office.root / "back")
    again = restore(office, office.tree / "b", to=office.root / "back")

    b = office.root / "back/tree/b"
    assert sorted(os.listdir(b)) == ["second", "third"]
    assert os.stat(b / "second").st_ino == os.stat(b / "third").st_ino
    assert (b / "second").read_bytes() == text(5000)
    assert (again["kept"], again["files"]) == (2, 0)


def test_a_damaged_frame_costs_its_files_only_and_another_copy_is_used(office):
    for number in range(6):
        write(office.tree / f"{number}.bin", noise(2_000_000, number))
    saved = office.backup(options="zst")
    line = next(line for line in manifest_of(saved.volumes[0]) if line["path"] == "tree/3.bin")
    with open(saved.archive, "r+b") as file:
        file.seek(line["frame"] + 1_000_000)
        file.write(b"damage")

    alone = restore(office, "--job", "office", to=office.root / "alone", status=1)
    office.backup(options="gz")
    title = f"{saved.volumes[0].parent.name}/vol001"
    with_copy = restore(office, "--volume", title, to=office.root / "copy")

    assert list(errors_of(alone)) == ["tree/3.bin"]
    assert alone["files"] == 5
    assert not (office.root / "alone/tree/3.bin").exists()
    assert with_copy["files"] == 6
    assert "taken from" in with_copy["notes"][0]
    assert (office.root / "copy/tree/3.bin").read_bytes() == noise(2_000_000, 3)


def test_several_files_of_one_content_come_from_the_one_copy_there_is(office):
    for name in ("a", "b", "c"):
        write(office.tree / name, noise(50_000))
    first = office.backup(options="zst")
    for name in ("b", "c"):
        (office.tree / name).unlink()
    os.utime(office.tree / "a", ns=(NS, NS))
    office.backup("--allow-shrunk", options="bz2")
    shutil.rmtree(first.volumes[0])

    title = f"{first.volumes[0].parent.name}/vol001"
    report = restore(office, "--volume", title, to=office.root / "back", status=3)  # the folder is only there

    assert report["files"] == 3
    assert not report["errors"]
    assert {(office.root / "back/tree" / name).read_bytes() for name in "abc"} == {noise(50_000)}


@pytest.mark.parametrize("option", FORMATS)
def test_what_a_damaged_manifest_has_lost_is_taken_from_the_archives(office, option):
    odd_tree(office.tree)
    write(office.tree / "large", noise(3_000_000))
    (volume,) = office.backup(options=option).volumes
    (volume / "MANIFEST.jsonl.gz").write_bytes(b"no longer gzip")

    report = restore(office, "--from", volume, to=office.root / "back", status=1)

    assert list(errors_of(report)) == [str(volume / "MANIFEST.jsonl.gz")]
    back, there = (seen_by(look(top), hard_links=option != "zip") for top in (office.root / "back/tree", office.tree))
    if option == "zip":  # only the manifest has its nanoseconds
        there = {path: replace(thing, mtime_ns=thing.mtime_ns // NS * NS) for path, thing in there.items()}
    assert back == there


@pytest.mark.parametrize("option", FORMATS)
def test_with_a_damaged_manifest_and_a_damaged_archive_what_is_left_of_both_comes_back(office, option):
    for number in range(3):
        write(office.tree / f"{number}.bin", noise(2_500_000, number))
    for number in range(3000):
        write(office.tree / f"small {number % 30}" / f"{number}", text(20, number))
    saved = office.backup(options=option)
    (volume,) = saved.volumes
    frames = {line["path"].removeprefix("tree/").rstrip("/").encode(): line["frame"] for line in manifest_of(volume)}
    damaged = frames[b"1.bin"] + 300_000
    with open(saved.archive, "r+b") as file:
        file.seek(damaged)
        file.write(bytes(byte ^ 0xFF for byte in range(200)))
    manifest = volume / "MANIFEST.jsonl.gz"
    data = bytearray(manifest.read_bytes())
    data[50:60] = b"0123456789"  # of the first piece
    manifest.write_bytes(data)

    report = restore(office, "--from", volume, to=office.root / "back", status=1)

    back, there = look(office.root / "back/tree"), look(office.tree)
    begin_there = max(frame for frame in frames.values() if frame <= damaged)
    assert there.keys() - back.keys() <= {path for path, frame in frames.items() if frame == begin_there} | {b"1.bin"}
    assert str(manifest) in errors_of(report)
    for path in (path for path in back if frames.get(path) not in (None, begin_there)):
        assert (back[path].content, back[path].mtime_ns // NS) == (there[path].content, there[path].mtime_ns // NS)


@pytest.mark.parametrize("damage", ["directory", "end", "cut"])
def test_a_zip_whose_directory_is_damaged_gives_its_members_by_the_manifest_or_by_their_own_headers(office, damage):
    write(office.tree / "a.txt", text(50_000), 0o600)
    write(office.tree / "inner.zip", b"PK\x03\x04" + noise(2000))
    write(office.tree / "large.bin", noise(3_000_000, 1))
    for number in range(50):
        write(office.tree / "many" / f"{number}", text(300, number))
    saved = office.backup(options="zip")
    (volume,) = saved.volumes
    data = bytearray(saved.archive.read_bytes())
    begins = data.find(b"PK\x01\x02")
    if damage == "directory":
        data[begins + 100 : begins + 120] = bytes(20)
    elif damage == "end":
        data[-22:] = bytes(22)
    else:
        del data[begins + 70 :]
    saved.archive.write_bytes(data)

    by_frames = restore(office, "--job", "office", "--workers", 0, to=office.root / "frames", status=1)
    (volume / "MANIFEST.jsonl.gz").write_bytes(b"no longer gzip")
    by_headers = restore(office, "--from", volume, to=office.root / "headers", status=1)

    there = look(office.tree)
    for name, report in (("frames", by_frames), ("headers", by_headers)):
        back = look(office.root / name / "tree")
        assert {path: thing.content for path, thing in back.items()} == {
            path: thing.content for path, thing in there.items()
        }
        assert report["files"] == 53
    # Permissions are in the directory alone.
    assert any("permissions" in why for why in errors_of(by_frames).values())
    assert str(saved.archive) in errors_of(by_headers)


def test_where_a_header_is_damaged_too_the_other_members_of_a_zip_are_found(office):
    for number in range(6):
        write(office.tree / f"{number}.bin", noise(20_000, number))
    saved = office.backup(options="zip")
    (volume,) = saved.volumes
    offsets = {line["path"]: line["frame"] + line["offset"] for line in manifest_of(volume)}
    data = bytearray(saved.archive.read_bytes())
    data[offsets["tree/1.bin"]] ^= 0xFF  # its signature
    data[offsets["tree/3.bin"] + 20] ^= 0xFF  # its size
    data[offsets["tree/4.bin"] + 5000] ^= 0xFF  # its content
    data[-22:] = bytes(22)
    saved.archive.write_bytes(data)
    (volume / "MANIFEST.jsonl.gz").write_bytes(b"no longer gzip")

    restore(office, "--from", volume, to=office.root / "back", status=1)

    assert sorted(os.listdir(office.root / "back" / "tree")) == ["0.bin", "2.bin", "5.bin"]
    assert (office.root / "back/tree/2.bin").read_bytes() == noise(20_000, 2)

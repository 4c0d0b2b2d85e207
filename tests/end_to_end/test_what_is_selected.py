"""What is left out: by name, by date, and because a complete volume has it already."""

from __future__ import annotations

import os
import shutil
from datetime import datetime

import ordinary_tools as tools
from real_backups import manifest_of
from starting import PROGRAM, run_program
from trees_compared import NS, digest, noise, text, write


def saved(outcome):
    """Paths of files and links, without the name of the source."""
    return {
        line["path"].split("/", 1)[1]
        for volume in outcome.volumes
        for line in manifest_of(volume)
        if line["kind"] != "dir"
    }


def test_skip_files_leaves_out_files_and_folders_with_all_in_them(office):
    for name in ("a.txt", "b.tmp", "Thumbs.db", ".cache/x", "deep/.cache/y", "deep/c.tmp/z", "deep/kept", "A.TMP"):
        write(office.tree / name)
    os.symlink("a.txt", office.tree / "link.tmp")

    outcome = office.backup(skip_files="*.tmp|Thumbs.db|.cache")

    assert saved(outcome) == {"a.txt", "deep/kept", "A.TMP"}
    assert outcome.report["files"] == 3
    names = {name.rstrip(b"/") for name in tools.names_by_unzip(outcome.archive)}
    assert names == {b"tree", b"tree/a.txt", b"tree/A.TMP", b"tree/deep", b"tree/deep/kept"}


def test_since_saves_what_was_modified_since_and_no_folder_that_has_nothing(office):
    midnight = int(datetime(2008, 12, 25).timestamp())
    for name, seconds in {"old/x": midnight - 1, "mixed/old": 0, "mixed/new": midnight, "new/y": midnight + 1}.items():
        write(office.tree / name, mtime_ns=seconds * NS)

    outcome = office.backup("--since", "2008-12-25")

    assert saved(outcome) == {"mixed/new", "new/y"}
    assert not any(b"old" in name for name in tools.names_by_unzip(outcome.archive))


def test_a_second_run_saves_nothing_new_and_no_volume(office):
    for number in range(50):
        write(office.tree / f"{number % 3}" / f"{number}", text(number * 10, number))
    write(office.tree / "large", noise(6_000_000))
    first = office.backup()

    second = office.backup("--skip-known")

    assert first.report["files"] == 51
    assert (second.report["files"], second.report["known_files"], second.volumes) == (0, 51, [])
    assert second.report["known_bytes"] == first.report["bytes"]
    assert second.report["folder"] is None
    assert "there was nothing to save" in second.err
    assert len(list(office.backups.glob("2*"))) == 1


def test_what_changed_is_saved_again_and_what_moved_is_known_by_its_content(office):
    for name in ("same", "changed", "same size", "moved", "touched", "renamed folder/inside"):
        write(office.tree / name, text(5000, len(name)))
    write(office.tree / "large changed", noise(6_000_000))
    write(office.tree / "large moved", noise(7_000_000))
    office.backup(options="gz")

    write(office.tree / "changed", b"other content")
    write(office.tree / "same size", text(5000, 99))
    write(office.tree / "large changed", noise(6_000_000, 1))
    os.utime(office.tree / "touched")
    (office.tree / "other").mkdir()
    for name in ("moved", "large moved"):
        os.rename(office.tree / name, office.tree / "other" / name)
    os.rename(office.tree / "renamed folder", office.tree / "new name")
    shutil.copyfile(office.tree / "same", office.tree / "copy")
    write(office.tree / "new", b"new")
    second = office.backup("--skip-known", options="gz")

    assert saved(second) == {"changed", "same size", "large changed", "new"}
    found = tools.read_with_tarfile(second.archive)
    assert found[b"tree/same size"].content == digest(text(5000, 99))
    assert found[b"tree/large changed"].content == digest(noise(6_000_000, 1))
    third = office.backup("--skip-known", options="gz")
    assert third.report["files"] == 0


def test_files_of_a_removed_volume_are_saved_again(office):
    write(office.tree / "file", text(5000))
    first = office.backup()
    title = first.report["volumes"][0]["title"]
    remove = [*PROGRAM, "remove", title, "--yes"]
    run_program(remove, office.environment, office.root).check_returncode()

    assert saved(office.backup("--skip-known")) == {"file"}


def test_known_files_count_whatever_the_format_and_the_job(office):
    write(office.tree / "file", text(5000))
    office.backup(options="zip", name="one")

    assert office.backup("--skip-known", options="xz", name="two").report["known_files"] == 1


def test_links_and_empty_folders_are_saved_again_only_when_they_change(office):
    write(office.tree / "file", text(5000))
    os.symlink("file", office.tree / "link")
    os.symlink("file", office.tree / "other link")
    (office.tree / "empty").mkdir()
    office.backup()

    second = office.backup("--skip-known")
    assert second.volumes == []
    assert second.report["known_files"] == 3

    os.chmod(office.tree / "empty", 0o700)
    os.unlink(office.tree / "link")
    os.symlink("elsewhere", office.tree / "link")
    third = office.backup("--skip-known")

    assert saved(third) == {"link"}
    assert b"tree/empty/" in tools.names_by_unzip(third.archive)
    assert office.backup("--skip-known").volumes == []

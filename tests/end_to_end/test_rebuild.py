"""A catalogue that was lost, made again from volumes, is as it was in all that volumes can know."""

from __future__ import annotations

import os
import shutil

import pytest
from real_backups import digest_of
from restores import command, errors_of, restore
from test_restore import odd_tree
from trees_compared import look, noise, seen_by, text, write

pytestmark = pytest.mark.timeout(240)

RUNS = "select job, comment, state, files, bytes from runs order by id"
VOLUMES = "select title, number, size, state, digest, files, bytes from volumes order by title"
ARCHIVES = """select volumes.title, archives.name, archives.format, archives.size, archives.digest, archives.state,
 sources.label from archives join volumes on volumes.id = volume_id join sources on sources.id = source_id
 order by title, name"""
FILES = """select volumes.title, archives.name, sources.label, sources.path, folders.path, files.name, kind, files.size,
 mtime_ns, files.digest, frames.offset, files.offset, target, part, part_offset, whole_size, whole_digest
 from files join volumes on volumes.id = files.volume_id join archives on archives.id = files.archive_id
 join sources on sources.id = source_id join folders on folders.id = folder_id
 join frames on frames.archive_id = files.archive_id and frames.number = files.frame
 order by title, archives.name, frames.offset, files.offset"""
KNOWN = "select known.size, known.digest, count(*) from known group by 1, 2 order by 1, 2"


def known_to_media(office):
    """What the catalogue has, folders by their paths in archives."""
    rows = []
    for title, archive, label, source, folder, *rest in office.catalogued(FILES):
        rows.append((title, archive, label + folder[len(source) :], *rest))
    return [office.catalogued(asked) for asked in (RUNS, VOLUMES, ARCHIVES, KNOWN)] + [rows]


@pytest.mark.parametrize("option", ["zip", "zst,separate_dirs"])
def test_a_lost_catalogue_is_rebuilt_row_by_row(office, option):
    odd_tree(office.tree)
    office.backup("--comment", "before the move", options=option, max_size=900_000)
    before = known_to_media(office)
    for path in office.backups.glob("backalaika.sqlite*"):
        path.unlink()

    report, _ = command(office, "rebuild", office.backups)
    again, _ = command(office, "rebuild", office.backups)

    assert known_to_media(office) == before
    assert len(report["volumes"]) == len(again["known"])
    assert again["volumes"] == []
    restore(office, "--job", "office", to=office.root / "back")
    assert seen_by(look(office.root / "back" / "tree"), hard_links=False) == seen_by(
        look(office.tree), hard_links=False
    )
    one = restore(office, office.tree / "letter.txt", to=office.root / "one")
    assert one["files"] == 1


def test_discs_are_entered_one_after_another_and_files_on_them_are_known(office):
    for number in range(6):
        write(office.tree / f"{number}.bin", noise(200_000, number))
    saved = office.backup(options="zst", max_size=700_000)
    assert len(saved.volumes) == 2
    before = known_to_media(office)
    shutil.move(saved.volumes[0].parent, office.root / "discs")
    shutil.rmtree(office.backups)

    for number in (2, 1):
        command(office, "rebuild", office.root / "discs" / f"vol{number:03d}")

    assert known_to_media(office) == before
    second = office.backup("--skip-known", options="zst")
    assert second.report["known_files"] == 6


def test_of_a_damaged_archive_only_what_can_be_read_counts_as_saved(office):
    for number in range(4):
        write(office.tree / f"{number}.bin", noise(2_500_000, number))
    saved = office.backup(options="gz")
    (office.backups / "backalaika.sqlite").unlink()
    with open(saved.archive, "r+b") as file:
        file.seek(saved.archive.stat().st_size // 2)
        file.write(b"damage")

    report, _ = command(office, "rebuild", office.backups, status=1)

    assert len(errors_of(report)) == 1
    names = {os.fsdecode(name) for (name,) in office.catalogued("select name from files where kind = 0")}
    assert len(names) == 3
    digests = {digest for (digest,) in office.catalogued("select digest from known")}
    assert digests == {bytes.fromhex(digest_of(office.tree / name)) for name in names}


def test_a_volume_without_a_manifest_is_entered_by_its_archives(office):
    write(office.tree / "a.txt", text(1000))
    (volume,) = office.backup(options="bz2").volumes
    (office.backups / "backalaika.sqlite").unlink()
    (volume / "MANIFEST.jsonl.gz").write_bytes(b"no longer gzip")

    report, _ = command(office, "rebuild", office.backups, status=1)

    assert report["volumes"] == [f"{volume.parent.name}/{volume.name}"]
    assert (b"a.txt", bytes.fromhex(digest_of(office.tree / "a.txt"))) in office.catalogued(
        "select name, digest from files"
    )

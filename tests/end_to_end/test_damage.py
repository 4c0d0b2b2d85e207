"""Volumes that are damaged: `verify` finds every damage, and a restore brings back all that is not hit."""

from __future__ import annotations

import os
import random
import shutil

import pytest
from real_backups import FORMATS, digest_of, manifest_of
from restores import command, errors_of, restore
from trees_compared import make_tree, noise, text, write

from backalaika.catalogue import open_catalogue
from backalaika.restoring.by_volume import select_volume
from backalaika.restoring.running import Destination, run_restore
from backalaika.restoring.selecting import find_by_catalogue, part_with_whole, places_by_catalogue, resolve_links
from backalaika.restoring.shelf import Shelf
from backalaika.run.pool import SerialExecutor
from backalaika.verifying.verify import Verify

pytestmark = pytest.mark.timeout(280)


class Nobody:
    """Watches, and says nothing."""

    def advance(self, files, size, name):
        pass

    def problem(self, problem):
        pass

    def note(self, line):
        pass


def check(catalogue, title, folder, deep=False):
    volumes = {volume.title: volume for volume in catalogue.complete_volumes().values()}
    return Verify(str(folder), volumes[title], catalogue, SerialExecutor(), 1, Nobody(), lambda: None).run(deep)


def bring_back(catalogue, title, place):
    selection = select_volume(catalogue, title)
    part_with_whole(selection)
    resolve_links(selection, find_by_catalogue(catalogue))
    shelf = Shelf(catalogue.complete_volumes(), catalogue.volumes_with_archives)
    return run_restore(
        selection,
        Destination(str(place), "never", 0),
        shelf,
        places_by_catalogue(catalogue),
        lambda order: None,
        Nobody(),
        lambda: None,
    )


def hit_by(volume, archive, start, end):
    """Files whose frames, up to that in which another member begins, have bytes in this range; other names too."""
    frames = sorted({line["frame"] for line in manifest_of(volume) if line["archive"] == archive})
    ends = dict(zip(frames, [*frames[1:], 1 << 62], strict=False))
    hit = {
        line["path"].rstrip("/")
        for line in manifest_of(volume)
        if line["archive"] == archive and line["frame"] < end and ends[line["frame"]] > start
    }
    return hit | {line["path"] for line in manifest_of(volume) if line["kind"] == "hardlink" and line["target"] in hit}


def contents(place):
    found = {}
    for folder, _, names in os.walk(place):
        for name in names:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, place)] = os.readlink(path) if os.path.islink(path) else digest_of(path)
    return found


def damages(volume, count, block, seed):
    """Places that are hit: any byte of the volume as likely as any other, and each of its files at least once."""
    chance = random.Random(seed)
    files = sorted(volume.iterdir())
    for number in range(count):
        sizes = [path.stat().st_size for path in files]
        path = files[number] if number < len(files) else chance.choices(files, sizes)[0]
        at = chance.randrange(path.stat().st_size)
        whole = path.read_bytes()
        old = whole[at : at + (2048 if block else 1)]
        new = chance.randbytes(len(old))
        while new == old:
            new = chance.randbytes(len(old))
        yield path, at, whole, whole[:at] + new + whole[at + len(old) :]


def try_damages(office, option, count, block):
    for number in range(30):
        write(office.tree / "small" / f"{number:02d}.txt", text(3000, number))
    for number in range(4):
        write(office.tree / f"{number}.bin", noise(60_000 + number, number))
    make_tree(office.tree, 300_000)
    saved = office.backup(options=option, max_size=6_000_000)
    (volume,) = saved.volumes
    title = f"{volume.parent.name}/{volume.name}"
    with open_catalogue(f"sqlite:///{office.backups}/backalaika.sqlite") as catalogue:
        assert check(catalogue, title, volume, deep=True).state == "healthy"
        place = office.root / "back"
        assert not bring_back(catalogue, title, place).problems
        expected = contents(place)
        for path, at, whole, damaged in damages(volume, count, block, option):
            shutil.rmtree(place)
            possible = hit_by(volume, path.name, at, at + (2048 if block else 1))
            path.write_bytes(damaged)
            report = check(catalogue, title, volume)
            restored = bring_back(catalogue, title, place)
            path.write_bytes(whole)

            where = f"{path.name} at {at}"
            assert report.state == "damaged", where
            assert any(path.name in problem.path for problem in report.problems), (where, report.problems)
            found = contents(place)
            wrong = {name for name in found if found[name] != expected.get(name)}
            lost = expected.keys() - found.keys()
            assert not wrong, where
            assert lost <= possible, (where, lost - possible)
            assert lost <= {problem.path for problem in restored.problems}, where


@pytest.mark.parametrize("option", FORMATS)
def test_a_few_damages_of_each_format(office, option):
    try_damages(office, option, 6, block=False)


@pytest.mark.slow
@pytest.mark.parametrize("block", [False, True])
@pytest.mark.parametrize("option", FORMATS)
def test_two_hundred_bytes_and_two_hundred_blocks(office, option, block):
    try_damages(office, option, 40, block)


def test_verify_tells_the_files_that_are_lost_and_when_a_volume_was_whole(office):
    for number in range(5):
        write(office.tree / f"{number}.bin", noise(1_500_000, number))
    saved = office.backup(options="bz2")
    (volume,) = saved.volumes
    title = f"{volume.parent.name}/{volume.name}"

    healthy, _ = command(office, "verify", title, "--deep")
    ((seen,),) = office.catalogued("select verified_at_ns from volumes")
    line = next(line for line in manifest_of(volume) if line["path"] == "tree/2.bin")
    with open(saved.archive, "r+b") as file:
        file.seek(line["frame"] + 700_000)
        file.write(b"?")
    damaged, err = command(office, "verify", volume, status=1)

    assert (healthy["state"], healthy["title"], healthy["files"], healthy["members"]) == ("healthy", title, 3, 6)
    assert seen is not None
    assert office.catalogued("select verified_at_ns from volumes") == [(seen,)]
    assert set(errors_of(damaged)) == {saved.archive.name, f"{saved.archive.name}: tree/2.bin"}
    assert "DAMAGED" in err


@pytest.mark.parametrize("deep", [[], ["--deep"]])
@pytest.mark.parametrize("harm", ["damaged", "missing"])
def test_verify_names_all_hard_links_to_a_file_that_is_lost(office, harm, deep):
    write(office.tree / "a", noise(1_500_000))
    write(office.tree / "c", noise(1_500_000, 1))
    os.link(office.tree / "a", office.tree / "z")
    os.link(office.tree / "c", office.tree / "y")
    saved = office.backup(options="zst")
    line = next(line for line in manifest_of(saved.volumes[0]) if line["path"] == "tree/a")
    if harm == "missing":
        saved.archive.unlink()
    else:
        with open(saved.archive, "r+b") as file:
            file.seek(line["frame"] + 700_000)
            file.write(b"?")

    found = errors_of(command(office, "verify", saved.volumes[0], *deep, status=1)[0])
    names = {path.rpartition("tree/")[2] for path in found if ": tree/" in path}
    assert names - {""} == {"a", "z"} | ({"c", "y"} if harm == "missing" else set())
    assert found[f"{saved.archive.name}: tree/z"] == "is a hard link to tree/a, which is lost"


def test_what_is_missing_or_does_not_belong_to_a_volume(office):
    write(office.tree / "a", text(1000))
    (volume,) = office.backup(options="zip").volumes
    (volume / "notes of mine").write_text("hello")
    noted, _ = command(office, "verify")
    (volume / "README.txt").unlink()
    (volume / "SUMS.xxh128").unlink()
    sums, _ = command(office, "verify", status=1)
    (volume / "tree.001.zip").unlink()
    archive, _ = command(office, "verify", status=1)

    assert "notes of mine" in noted["notes"][0]
    assert errors_of(sums)["SUMS.xxh128"]
    assert errors_of(archive)["tree.001.zip"] == "is missing"
    assert errors_of(archive)["tree.001.zip: tree/a"] == "is missing on the volume"


def test_an_archive_that_was_exchanged_with_its_sum_is_found_by_the_catalogue(office):
    write(office.tree / "a", text(1000))
    (volume,) = office.backup(options="zip").volumes
    write(office.tree / "a", text(2000))
    (other,) = office.backup(options="zip").volumes
    for path in other.iterdir():
        shutil.copy(path, volume / path.name)

    report, _ = command(office, "verify", f"{volume.parent.name}/vol001", status=3)
    (volume / "README.txt").write_text(
        (volume / "README.txt").read_text().replace(other.parent.name, volume.parent.name)
    )

    assert report == {}  # by its archives it is the other one: this one is not here


def test_a_disc_that_the_catalogue_does_not_know_and_one_that_was_added_by_hand(office):
    make_tree(office.tree, 100_000)
    (volume,) = office.backup(options="zst").volumes
    shutil.move(volume, office.root / "disc")
    (office.backups / "backalaika.sqlite").unlink()
    unknown, _ = command(office, "verify", office.root / "disc", "--deep")
    (office.root / "stick").mkdir()
    write(office.root / "stick" / "loose", text(1000))
    command(office, "add", "disc", office.root / "disc")
    command(office, "add", "stick", office.root / "stick")
    known, _ = command(office, "verify", "disc")
    whole, _ = command(office, "verify", "stick")
    write(office.root / "stick" / "loose", text(1000, 2))
    changed, _ = command(office, "verify", "stick", status=1)
    restored = restore(office, "--volume", "disc", to=office.root / "back")

    assert (unknown["title"], unknown["state"]) == ("", "healthy")
    assert (known["title"], known["state"]) == ("disc", "healthy")
    assert whole["state"] == "healthy"
    assert list(errors_of(changed)) == ["loose"]
    assert (office.root / "back/tree/letter.txt").read_bytes() == text(5000)
    assert restored["exit_status"] == 0

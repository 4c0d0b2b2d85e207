"""Files that fit on no volume whole: their parts, which any tool extracts and ``cat`` joins."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys

import ordinary_tools as tools
import pytest
import xxhash
from real_backups import bytes_on, manifest_of
from restores import restore
from runs_cut_short import assert_consistent, end_when, forget_all, last_run, resume, start
from trees_compared import look, noise, text, write

MIB = 1024 * 1024
FORMATS = ("zip", "gz", "bz2", "zst", "xz")


def half_noise(size, seed=0):
    """Bytes that compress to about half."""
    random = noise(size // 2, seed)
    return b"".join(random[i : i + 1000] + b"backalaika" * 100 for i in range(0, len(random), 1000))


def capacities_kept(outcome):
    for volume, folder in zip(outcome.report["volumes"], outcome.volumes, strict=True):
        assert volume["size"] == bytes_on(folder) <= volume["capacity"]
        tools.call("xxhsum", "-c", "SUMS.xxh128", cwd=folder)


def join(place):
    """Join all parts below a folder, as README.txt tells to."""
    for first in sorted(place.rglob("*.part001")):
        name = str(first).removesuffix(".part001")
        tools.call("sh", "-c", 'cat "$1".part* > "$1" && rm "$1".part*', "sh", name)


def unpack(archive, place):
    if archive.suffix == ".zip":
        tools.unpack_with_unzip(archive, place)
    else:
        tools.unpack_with_tar(archive, place)


def same_files(tree, unpacked):
    assert sorted(os.listdir(unpacked)) == sorted(os.listdir(tree))
    for name in os.listdir(tree):
        assert (unpacked / name).read_bytes() == (tree / name).read_bytes(), name


def restored(outcome, place, unpack_one=unpack):
    for archive in outcome.archives:
        alone = place / archive.name
        alone.mkdir(parents=True)
        unpack_one(archive, alone)
        tools.call("cp", "-rn", f"{alone}/.", place / "all")
        shutil.rmtree(alone)
    join(place / "all")
    return place / "all" / "tree"


def lines_of(outcome):
    return [line for volume in outcome.volumes for line in manifest_of(volume) if line["kind"] == "file"]


def right_in_manifest(outcome, tree, new=xxhash.xxh3_128):
    """Each part has its digest, and the last that of the whole; returns the names of files that were cut."""
    parts = {}
    for line in lines_of(outcome):
        if "whole" not in line:
            content = (tree / line["path"].removeprefix("tree/")).read_bytes()
            assert new(content).hexdigest() == line["digest"]
            continue
        parts.setdefault(line["whole"]["path"], []).append(line)
    for path, lines in parts.items():
        content = (tree / path.removeprefix("tree/")).read_bytes()
        lines.sort(key=lambda line: line["whole"]["part"])
        end = 0
        for number, line in enumerate(lines, start=1):
            assert line["path"] == f"{path}.part{number:03d}"
            assert line["whole"]["offset"] == end
            assert new(content[end : end + line["size"]]).hexdigest() == line["digest"]
            end += line["size"]
        assert end == len(content)
        last = lines[-1]["whole"]
        assert (last["size"], last["parts"]) == (len(content), len(lines))
        assert last["digest"] == new(content).hexdigest()
        assert all(set(line["whole"]) == {"path", "part", "offset"} for line in lines[:-1])
    return {path.removeprefix("tree/"): len(lines) for path, lines in parts.items()}


def make_tree(tree):
    write(tree / "noise", noise(5_000_001))
    write(tree / "shrinks", text(1000) * 20_000)
    write(tree / "half.jpg", half_noise(6_000_000, 1))
    write(tree / "half", half_noise(6_000_100, 1))
    for number in range(20):
        write(tree / f"small{number}", noise(20_000, number + 5))


@pytest.mark.parametrize("option", FORMATS)
def test_what_fits_on_no_volume_is_cut_and_nothing_else(office, option):
    make_tree(office.tree)

    outcome = office.backup(options=option, volume_sizes=[1], max_size=2 * MIB)

    capacities_kept(outcome)
    cut = right_in_manifest(outcome, office.tree)
    assert set(cut) == {"noise", "half", "half.jpg"}
    assert cut["noise"] == 3
    assert cut["half"] == 2
    assert outcome.report["files"] == 24
    assert outcome.report["bytes"] == sum(file.stat().st_size for file in office.tree.iterdir())
    same_files(office.tree, restored(outcome, office.place()))
    for volume, folder in zip(outcome.report["volumes"], outcome.volumes, strict=True):
        parts = [line["whole"] for line in manifest_of(folder) if "whole" in line]
        if any("parts" not in whole for whole in parts):  # a file goes on elsewhere only where a volume is full
            assert volume["fill"] > 0.99
    wholes = office.catalogued("select part, whole_size from files where whole_digest is not null order by part")
    assert sorted(wholes) == sorted((cut[name], (office.tree / name).stat().st_size) for name in cut)


@pytest.mark.parametrize("option", FORMATS)
@pytest.mark.parametrize("unpack_one", [tools.unpack_with_bsdtar, tools.unpack_with_7z])
def test_other_tools_extract_the_parts(office, option, unpack_one):
    write(office.tree / "noise", noise(2_500_000))

    outcome = office.backup(options=option, max_size=MIB, digest="sha256")

    assert right_in_manifest(outcome, office.tree, hashlib.sha256) == {"noise": 3}
    same_files(office.tree, restored(outcome, office.place(), unpack_one))


@pytest.mark.parametrize("option", ["zip", "zst"])
def test_any_number_of_workers_cuts_at_the_same_bytes(office, option):
    make_tree(office.tree)
    seen = set()
    for workers in (0, 1, 2, 4):
        outcome = office.backup("--workers", str(workers), options=option, volume_sizes=[1], max_size=2 * MIB)
        archives = [(path.name, path.read_bytes()) for path in outcome.archives]
        seen.add(hashlib.sha256(repr(archives).encode()).digest())
    assert len(seen) == 1


@pytest.mark.parametrize("option", FORMATS)
def test_split_files_fills_volumes(office, option):
    for number in range(7):
        write(office.tree / f"noise{number}", noise(2_600_000 + number * 250_000, number))

    outcome = office.backup(options=option, max_size=9 * MIB, split_files=True)

    capacities_kept(outcome)
    assert right_in_manifest(outcome, office.tree)
    assert all(volume["fill"] >= 0.99 for volume in outcome.report["volumes"][:-1])
    assert outcome.report["files"] == 7
    same_files(office.tree, restored(outcome, office.place()))


@pytest.mark.parametrize("option", ["zip", "gz"])
def test_a_run_that_is_killed_goes_on_with_the_next_part(office, option):
    write(office.tree / "noise", noise(40_000_000))
    media = {"max_size": 3 * MIB, "volume_sizes": [1]}
    before = 0
    while not before:  # until parts were recorded, and not all, before it was killed
        forget_all(office)
        process = start(office.command(options=option, **media), office)
        end_when(process, lambda: any(office.backups.glob("2*/vol006")))
        if process.returncode == -signal.SIGKILL:
            ((before,),) = office.catalogued("select count(*) from files where part is not null")

    outcome = resume(office, options=option, **media)

    assert outcome.report["files"] == 1
    assert outcome.report["bytes"] == 40_000_000
    assert list(right_in_manifest(outcome, office.tree)) == ["noise"]
    assert_consistent(office, last_run(office))
    same_files(office.tree, restored(outcome, office.place()))


def test_a_file_that_was_cut_is_known_and_listed_by_its_parts(office):
    write(office.tree / "noise", noise(2_500_000))
    write(office.tree / "small", noise(1000))
    office.backup(max_size=MIB)

    again = office.backup("--skip-known", max_size=MIB)

    assert (again.report["files"], again.report["known_files"]) == (0, 2)
    titles = office.catalogued("select title from volumes order by number")
    command = [sys.executable, "-m", "backalaika", "files"]
    listed = "".join(
        subprocess.run([*command, name], env=office.environment, capture_output=True, text=True, check=True).stdout
        for (name,) in titles
    )
    assert all(f"tree/noise.part{number:03d}" in listed for number in (1, 2, 3))


def test_a_file_that_was_cut_is_found_by_its_content_on_media_that_are_added_by_hand(office):
    write(office.tree / "noise", noise(2_500_000))
    volumes = office.backup(max_size=MIB).volumes
    command, db = [sys.executable, "-m", "backalaika"], ["--db", f"sqlite:///{office.root}/discs.sqlite"]

    def found(*asked):
        done = subprocess.run(
            [*command, "find", *asked, *db, "--json"], env=office.environment, capture_output=True, text=True
        )
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]

    for number, folder in enumerate(volumes, start=1):
        assert number == 1 or found("--same-as", office.tree / "noise") == (1, [])  # not all of it is there yet
        subprocess.run(
            [*command, "add", f"Disc {number}", folder, *db], env=office.environment, check=True, capture_output=True
        )
    status, entries = found("--same-as", office.tree / "noise")

    assert (status, len(entries)) == (0, 3)
    assert [(entry["volume"], entry["path"]) for entry in entries] == [
        (f"Disc {number}", f"tree/noise.part{number:03d}") for number in (1, 2, 3)
    ]
    whole = xxhash.xxh3_128((office.tree / "noise").read_bytes()).hexdigest()
    assert found("--digest", whole) == (status, entries)


@pytest.mark.parametrize("names", [("moved",), ("noise", "copy"), ("moved", "copy")])
def test_a_file_that_was_cut_and_is_moved_or_copied_is_known_by_its_content(office, names):
    write(office.tree / "noise", noise(2_500_000))
    write(office.tree / "small", noise(1000))
    office.backup(max_size=MIB)
    (office.tree / "noise").rename(office.tree / names[0])
    for name in names[1:]:
        shutil.copyfile(office.tree / names[0], office.tree / name)

    again = office.backup("--skip-known", max_size=MIB)

    assert (again.report["files"], again.report["known_files"]) == (0, 1 + len(names))
    restore(office, "--job", "office", to=office.root / "back")
    assert look(office.root / "back" / "tree") == look(office.tree)


def test_a_second_name_of_a_file_that_was_cut_is_saved_as_a_file_of_its_own(office):
    write(office.tree / "a", noise(2_500_000))
    os.link(office.tree / "a", office.tree / "b")

    outcome = office.backup(options="gz", max_size=MIB)

    assert right_in_manifest(outcome, office.tree) == {"a": 3, "b": 3}
    same_files(office.tree, restored(outcome, office.place()))


def test_a_part_with_the_name_of_another_file_is_told(office):
    write(office.tree / "noise", noise(2_500_000))
    write(office.tree / "noise.part001", b"mine")

    outcome = office.backup(max_size=MIB, status=1)

    (message,) = outcome.errors.values()
    assert f"the name of another file, {office.tree}/noise.part001" in message


def test_a_file_of_which_another_has_the_content_as_a_part_comes_back_as_it_was(office):
    content = noise(1_500_000)
    write(office.tree / "mbox", content)
    first = office.backup(options="gz", max_size=900_000)
    lines = [line for volume in first.volumes for line in manifest_of(volume) if "whole" in line]
    for line in lines:
        offset = line["whole"]["offset"]
        write(office.tree / f"piece{line['whole']['part']}", content[offset : offset + line["size"]])
    second = office.backup("--skip-known", options="gz", max_size=900_000)

    assert len(lines) == 2
    assert second.report["files"] == 0
    place = office.place()
    restore(office, "--job", "office", to=place)
    assert look(place / "tree") == look(office.tree)

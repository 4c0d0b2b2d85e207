"""Volumes: what lies on each medium, to the byte."""

from __future__ import annotations

import math
import os
import random

import ordinary_tools as tools
import pytest
from real_backups import bytes_on, manifest_of
from trees_compared import look, noise, seen_by, text, write

from backalaika.media import MEDIA

MIB = 1024 * 1024


def make_mixed_tree(top):
    """Some 40 MB: folders of small files, and files of some megabytes."""
    for number in range(400):
        write(top / f"small{number % 11}" / f"{number}.txt", (text, noise)[number % 2](number * 150, number))
    for number in range(12):
        write(top / f"medium{number % 3}" / f"{number}", (noise, noise, text)[number % 3](2_200_000, number))


def capacities_kept(outcome):
    for volume, folder in zip(outcome.report["volumes"], outcome.volumes, strict=True):
        assert volume["size"] == bytes_on(folder) <= volume["capacity"]


def unpack_all(outcome, place):
    for archive in outcome.archives:
        if archive.suffix == ".zip":
            tools.call("unzip", "-qo", archive, "-d", place)
        else:
            tools.unpack_with_tar(archive, place)
    return look(place / "tree")


@pytest.mark.parametrize("option", ["zip", "gz", "bz2", "xz", "zst", "gz,separate_dirs"])
def test_no_medium_is_overfilled_and_every_member_is_on_one_of_them(office, option):
    make_mixed_tree(office.tree)
    write(office.tree / "loose")

    outcome = office.backup(options=option, volume_sizes=[3, 1, 7, 2], max_size=5 * MIB)

    capacities_kept(outcome)
    media = [volume["capacity"] for volume in outcome.report["volumes"]] + outcome.report["passed_over"]
    assert sorted(media) == sorted([3 * MIB, 1 * MIB, 7 * MIB, 2 * MIB] + [5 * MIB] * (len(media) - 4))
    members = [line["path"] for volume in outcome.volumes for line in manifest_of(volume)]
    assert len(members) == len(set(members))
    assert {path.rstrip("/") for path in members} == {path.decode() for path in tools.under(look(office.tree), "tree")}
    assert seen_by(unpack_all(outcome, office.place()), unit_ns=0) == seen_by(look(office.tree), unit_ns=0)
    # No file is larger than 2.2 MB, so no volume need be emptier than that, nor by more than a frame besides.
    assert all(volume["size"] > volume["capacity"] - 2_300_000 - 1_100_000 for volume in outcome.report["volumes"][:-1])
    assert outcome.report["archive_bytes"] == sum(map(bytes_on, outcome.volumes))
    recorded = office.catalogued("select size, state from volumes order by number")
    assert recorded == [(bytes_on(volume), "complete") for volume in outcome.volumes]


@pytest.mark.parametrize("option", ["zip", "zst"])
def test_every_volume_of_an_office_share_but_the_last_is_filled(office, option):
    """Sizes as offices have them, of which half compresses; no more volumes than their sum needs."""
    sizes = random.Random("office")
    for number in range(700):
        content = (noise, text)[number % 2](min(int(sizes.lognormvariate(9.5, 1.8)), 1_500_000), number)
        write(office.tree / f"client {number // 25}" / f"{number}.doc", content)

    outcome = office.backup(options=option, max_size=4 * MIB)

    capacities_kept(outcome)
    fills = [bytes_on(folder) / (4 * MIB) for folder in outcome.volumes]
    assert len(fills) == math.ceil(sum(fills)) > 3
    assert all(fill >= 0.99 for fill in sorted(fills)[1:])


@pytest.mark.parametrize("option", ["zip", "gz", "zst", "bz2", "xz"])
def test_a_large_file_that_turns_out_too_large_for_the_rest_of_a_medium_moves_whole_to_the_next(office, option):
    for number, size in enumerate((2_200_000, 2_100_000, 1_900_000, 20_000)):
        write(office.tree / f"a{number}", noise(size, number))

    outcome = office.backup(options=option, max_size=4 * MIB)

    capacities_kept(outcome)
    on = [{line["path"].removeprefix("tree/") for line in manifest_of(volume)} for volume in outcome.volumes]
    assert on == [{"", "a0", "a2", "a3"}, {"a1"}]
    assert seen_by(unpack_all(outcome, office.place()), unit_ns=0) == seen_by(look(office.tree), unit_ns=0)
    for volume in outcome.volumes:
        tools.call("xxhsum", "-c", "SUMS.xxh128", cwd=volume)


@pytest.mark.parametrize("option", ["gz", "zst"])
def test_a_hard_link_never_points_to_another_volume(office, option):
    write(office.tree / "a-large", noise(2_500_000, 1))
    write(office.tree / "b-large", noise(2_400_000, 2))
    for number in range(8):
        write(office.tree / f"c{number}", noise(150_000, 10 + number))
        os.link(office.tree / f"{'ab'[number % 2]}-large", office.tree / f"d{number}")
        os.link(office.tree / f"c{number}", office.tree / f"e{number}")

    outcome = office.backup(options=option, max_size=3 * MIB)

    capacities_kept(outcome)
    assert len(outcome.volumes) > 2
    saved = []
    for archive in outcome.archives:
        place = office.place()
        tools.unpack_with_tar(archive, place)  # alone
        for line in manifest_of(archive.parent):
            if line["kind"] in ("file", "hardlink"):
                saved.append(line["path"].removeprefix("tree/"))
                assert (place / line["path"]).read_bytes() == (office.tree / saved[-1]).read_bytes()
    assert sorted(saved) == sorted(os.listdir(office.tree))


def test_a_file_that_misses_the_smallest_medium_by_a_few_bytes_is_cut(office):
    write(office.tree / "a", noise(1000))
    write(office.tree / "noise", noise(262_000))

    outcome = office.backup(max_size=256 * 1024)

    capacities_kept(outcome)
    names = [line["path"] for volume in outcome.volumes for line in manifest_of(volume)]
    assert sorted(names) == ["tree/", "tree/a", "tree/noise.part001", "tree/noise.part002"]


def test_a_medium_on_which_nothing_that_came_fitted_is_reported(office):
    for number in range(2):
        write(office.tree / f"{number}", noise(3_000_000, number))

    outcome = office.backup(volume_sizes=[4, 1], max_size=5 * MIB)

    assert outcome.report["passed_over"] == [MIB]
    assert "unused: a medium of 1.05 MB" in outcome.err
    assert [volume["capacity"] for volume in outcome.report["volumes"]] == [4 * MIB, 5 * MIB]
    assert [volume.name for volume in outcome.volumes] == ["vol001", "vol002"]


@pytest.mark.parametrize("option", ["zip", "zst"])
def test_the_smallest_medium_is_filled_with_small_files_and_never_overfilled(office, option):
    for number in range(1500):
        write(office.tree / f"{number % 20}" / f"a rather long name for a file {number}", noise(number % 400, number))

    outcome = office.backup(options=option, max_size=256 * 1024)

    capacities_kept(outcome)
    assert len(outcome.volumes) > 1
    assert seen_by(unpack_all(outcome, office.place()), unit_ns=0) == seen_by(look(office.tree), unit_ns=0)


def test_a_run_is_for_its_owner_only_whatever_the_umask(office):
    make_mixed_tree(office.tree)

    outcome = office.backup(max_size=20 * MIB, program={"umask": 0})

    folder = outcome.report["folder"]
    for path, folders, files in os.walk(folder):
        assert os.stat(path).st_mode & 0o777 == 0o700
        for name in files:
            assert os.stat(os.path.join(path, name)).st_mode & 0o777 == 0o600
        assert folders or files


@pytest.mark.parametrize(
    "media",
    [
        {"max_size": "Dvd+R", "volume_sizes": ["CD", 300]},
        {"max_size": MEDIA["cd"].capacity, "volume_sizes": ["cd"]},  # of one capacity, and one of them by its name
    ],
)
def test_a_volume_for_a_named_medium_burns_as_one(office, media):
    make_mixed_tree(office.tree)

    outcome = office.backup(options="zst", **media)

    assert outcome.report["volumes"][0]["capacity"] == MEDIA["cd"].capacity
    (folder,) = outcome.volumes
    sectors = tools.call("genisoimage", "-r", "-J", "-udf", "-quiet", "-print-size", folder)
    used = MEDIA["cd"].used([(entry.name, entry.stat().st_size) for entry in os.scandir(folder)])
    assert int(sectors) * 2048 == used == round(outcome.report["volumes"][0]["fill"] * MEDIA["cd"].capacity)

"""The number of workers changes nothing, and neither do the places where files are cut."""

from __future__ import annotations

import os

import ordinary_tools as tools
import pytest
from real_backups import FORMATS, manifest_of
from trees_compared import look, noise, seen_by, text, write

from backalaika.formats import BLOCK, archive_format


def test_any_number_of_workers_makes_the_same_bytes_on_the_same_volumes(office):
    for number in range(200):
        write(office.tree / "many" / f"{number % 7}" / f"{number}", (text, noise)[number % 2](number * 97, number))
    write(office.tree / "large", noise(1_000_000) + text(1_000_000))
    os.link(office.tree / "large", office.tree / "many" / "linked")
    sources = [(office.tree, option) for option in FORMATS]

    def volumes(workers):
        outcome = office.backup("--workers", str(workers), sources=sources, volume_sizes=[2, 5], max_size=4_000_000)
        return [
            {file.name: file.read_bytes() for file in sorted(volume.iterdir()) if file.suffix in (".zip", *tars, ".gz")}
            for volume in outcome.volumes
        ]

    tars = tuple(f".{option}" for option in FORMATS[1:])
    first = volumes(1)
    assert len(first) > 3
    for workers in (0, 2, 4):
        assert volumes(workers) == first, f"{workers} workers"


@pytest.mark.parametrize("option", FORMATS)
def test_files_at_the_boundaries_of_frames_come_back(office, option):
    chosen = archive_format(option, None, 4350 << 20)
    # Where a member with its headers fills a frame or a piece of a large file, in a folder with one name of one letter.
    headers = 120 + 2 * len("tree/s/0000") if option == "zip" else 3 * BLOCK
    places = {chosen.frame_size, chosen.large_size, 2 * chosen.frame_size, BLOCK, 32 * 1024}
    sizes = sorted({place - before + by for place in places for before in (0, headers) for by in (-1, 0, 1)} | {0, 1})
    sizes = [size for size in sizes if size >= 0]
    for number, size in enumerate(sizes):
        path = office.tree / "s" / f"{number:04}"
        write(path, b"the start")
        os.truncate(path, size)
        with open(path, "r+b") as file:
            file.seek(max(size - 7, 0))
            file.write(b"the end"[:size])
    # Small files that fill frames to the last byte, and one byte less and more.
    for by in (-1, 0, 1):
        for number in range(4):
            write(office.tree / f"b{by}" / f"{number}", b"-" * (chosen.frame_size // 4 - headers + by))

    outcome = office.backup(options=option)

    expected = look(office.tree)
    read = tools.read_with_zipfile if option == "zip" else tools.read_with_tarfile
    assert seen_by(read(outcome.archive), unit_ns=0) == seen_by(tools.under(expected, "tree"), unit_ns=0)
    place = office.place()
    (tools.unpack_with_unzip if option == "zip" else tools.unpack_with_tar)(outcome.archive, place)
    assert seen_by(look(place / "tree"), unit_ns=0) == seen_by(expected, unit_ns=0)
    found = {line["path"]: line["digest"] for line in manifest_of(outcome.volumes[0])}
    assert all(
        found[f"tree/{path.decode()}"] == thing.content.hex() for path, thing in expected.items() if thing.content
    )


@pytest.mark.parametrize("option", FORMATS)
def test_a_file_of_each_size_around_a_frame_of_noise_comes_back(office, option):
    chosen = archive_format(option, None, 256 * 1024)
    for number, size in enumerate(chosen.large_size + by for by in (-1600, -1536, -1535, -1, 0, 1, BLOCK)):
        write(office.tree / f"{number}", noise(size, number))

    outcome = office.backup(options=option, max_size=256 * 1024)

    read = tools.read_with_zipfile if option == "zip" else tools.read_with_tarfile
    found = {}
    for archive in outcome.archives:
        found |= read(archive)
    assert seen_by(found, unit_ns=0) == seen_by(tools.under(look(office.tree), "tree"), unit_ns=0)

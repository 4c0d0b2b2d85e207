"""Media: what is said to fit on a disc fits, as genisoimage counts it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backalaika.media import MEDIA, SECTOR, Medium

CD = MEDIA["cd"]

# What archive names are made of; numbered, for a name that Joliet cuts must still be the only one.
STEMS = st.text(st.sampled_from("abcXYZ019 ._-+éß日本語"), max_size=150).map(lambda stem: stem.strip(". "))
SIZES = st.integers(0, 5 * SECTOR)
FILES = st.lists(st.tuples(STEMS, SIZES), max_size=60)


def named(files: list[tuple[str, int]]) -> list[tuple[str, int]]:
    return [
        (f"{number:03d}-{stem}".encode()[:150].decode(errors="ignore").rstrip(". ") + ".001.tar.bz2", size)
        for number, (stem, size) in enumerate(files)
    ]


# Programs with windows set some of these.
OPTIONS = st.sampled_from(["", "-iso-level 3", "-l -joliet-long", "-max-iso9660-filenames -joliet-long", "-U"])


def sectors_of_genisoimage(files: list[tuple[str, int]], options: str = "") -> int:
    with folder_of(files) as folder:
        return int(genisoimage(*options.split(), "-print-size", folder))


@contextmanager
def folder_of(files: list[tuple[str, int]]) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        for name, size in files:
            with open(os.path.join(folder, name), "wb") as file:
                file.truncate(size)
        yield folder


def genisoimage(*arguments: str) -> bytes:
    program = shutil.which("genisoimage")
    assert program is not None, "genisoimage is not installed; `sh tests/debian.sh` tells how"
    command = [program, "-r", "-J", "-udf", "-quiet", "-input-charset", "utf-8", *arguments]
    return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout


@settings(max_examples=100, deadline=None)
@given(FILES, OPTIONS)
def test_a_folder_takes_no_more_of_a_disc_than_is_said_and_hardly_less(
    stems: list[tuple[str, int]], options: str
) -> None:
    files = named(stems)

    spare = CD.used(files) // SECTOR - sectors_of_genisoimage(files, options)

    assert 0 <= spare <= 2 + len(files) // 8


@pytest.mark.parametrize("options", ["", "-iso-level 3 -joliet-long"])
def test_an_image_of_a_volume_with_two_hundred_archives_is_no_larger_than_was_said(options: str) -> None:
    own = [("MANIFEST.jsonl.gz", 40_000), ("SUMS.xxh128", 9000), ("README.txt", 12_100)]
    files = own + [(f"department {number} of accounting, until 2009.001.tar.zst", 5001) for number in range(200)]
    with folder_of(files) as folder, tempfile.NamedTemporaryFile() as image:
        genisoimage(*options.split(), "-o", image.name, folder)
        size = os.path.getsize(image.name)

    assert CD.used(files) - 10 * SECTOR <= size <= CD.used(files)


@pytest.mark.parametrize("count", [0, 1, 3, 12])
def test_the_count_is_exact_for_a_volume_of_a_few_archives(count: int) -> None:
    own = [("MANIFEST.jsonl.gz", 40_000), ("SUMS.xxh128", 300), ("README.txt", 2100)]
    files = own + [(f"office-{number}.001.tar.bz2", 1_000_001) for number in range(count)]

    assert CD.used(files) == sectors_of_genisoimage(files) * SECTOR


@pytest.mark.parametrize("length", [5, 50, 80, 81, 100, 101, 119, 120, 146, 200])
def test_a_thousand_archives_with_names_of_one_length_fit_too(length: int) -> None:
    files = [(f"{number:04d}".ljust(length, "x"), 1) for number in range(1000)]

    counted = sectors_of_genisoimage(files)

    assert sectors_of_genisoimage(files, "-max-iso9660-filenames -joliet-long") <= CD.used(files) // SECTOR
    assert counted <= CD.used(files) // SECTOR <= counted * 1.05


def test_the_largest_file_of_a_disc_is_the_largest_that_genisoimage_takes() -> None:
    largest = CD.largest_file
    assert largest is not None

    assert sectors_of_genisoimage([("a.zip", largest)]) == MEDIA["dvd-dl"].used([("a.zip", largest)]) // SECTOR
    with pytest.raises(subprocess.CalledProcessError):
        sectors_of_genisoimage([("a.zip", largest + 1)])


@given(st.lists(st.tuples(STEMS, SIZES), min_size=1, max_size=60))
def test_one_more_file_never_takes_less(stems: list[tuple[str, int]]) -> None:
    files = named(stems)

    assert CD.used(files[:-1]) <= CD.used(files)
    assert CD.overhead(name for name, _ in files[:-1]) <= CD.overhead(name for name, _ in files)


@given(st.lists(st.tuples(STEMS, SIZES), max_size=20))
def test_on_a_medium_in_bytes_files_take_their_own_bytes(stems: list[tuple[str, int]]) -> None:
    files = named(stems)
    total = sum(size for _, size in files)

    assert Medium(10**9).used(files) == total
    assert Medium(total).holds(files)
    assert not files or not Medium(max(total - 1, 0)).holds(files) or total == 0


@given(st.sampled_from(sorted(MEDIA)), st.lists(STEMS, min_size=1, max_size=60))
def test_what_there_is_room_for_fits_whatever_the_files_are_called(name: str, stems: list[str]) -> None:
    medium = MEDIA[name]
    room = medium.room(len(stems))
    files = named([(stem, room // len(stems)) for stem in stems])

    assert 0.98 * medium.capacity < room <= medium.capacity
    assert medium.used(files) <= medium.capacity


def test_a_fat32_volume_is_never_more_than_one_file_may_be_there() -> None:
    assert MEDIA["fat32"].holds([("a.zip", 4 * 1024**3 - 1)])
    assert not MEDIA["fat32"].holds([("a.zip", 4 * 1024**3)])


def test_a_disc_may_have_room_for_a_file_that_it_cannot_have() -> None:
    assert not MEDIA["bd"].holds([("a.zip", 4 * 1024**3)])
    assert MEDIA["bd"].holds([("a.zip", 3 * 1024**3), ("b.zip", 3 * 1024**3)])


def test_plain_dvd_is_what_both_kinds_have() -> None:
    assert MEDIA["dvd"].capacity == min(MEDIA["dvd-r"].capacity, MEDIA["dvd+r"].capacity)

from __future__ import annotations

import time
from typing import Any

import pytest
from catalogue_samples import file_row, save_volume, start_run

from backalaika.catalogue import Catalogue
from backalaika.catalogue.results import PictureEntry, VolumeRow
from backalaika.catalogue.rows import (
    COMPLETE,
    DIRECTORY,
    FAILED,
    FILE,
    HARD_LINK,
    INCOMPLETE,
    RUNNING,
    SYMLINK,
    FileRow,
    SourceFound,
)
from backalaika.errors import CatalogueError

OTHER = b"e" * 16


def test_volumes_are_listed_with_what_they_hold(catalogue: Catalogue) -> None:
    before = time.time_ns()
    save_volume(catalogue, start_run(catalogue), "run/vol001", "/srv/office/a", "/srv/office/b")
    catalogue.add_volume(None, "holiday", None, "/media/cd", None, description="on the beach")

    first, second = catalogue.volumes()
    assert before <= first.added_at_ns <= second.added_at_ns <= time.time_ns()
    assert first == VolumeRow("run/vol001", COMPLETE, RUNNING, first.added_at_ns, 1, 2, 20, "")
    assert second == VolumeRow("holiday", INCOMPLETE, None, second.added_at_ns, 0, 0, 0, "on the beach")


def test_files_of_one_volume_or_of_all_are_listed_with_their_archives(catalogue: Catalogue) -> None:
    run_id = start_run(catalogue)
    save_volume(catalogue, run_id, "run/vol001", "/srv/office/a")
    save_volume(catalogue, run_id, "run/vol002", "/srv/office/b")
    loose = catalogue.add_volume(None, "holiday", None, "/media/cd", None)
    catalogue.record([], [file_row(loose, None, "/media/cd/c")])

    listed = [(entry.volume, entry.archive, entry.path) for entry in catalogue.files("")]
    assert listed == [
        ("run/vol001", "office.001.zip", "/srv/office/a"),
        ("run/vol002", "office.001.zip", "/srv/office/b"),
        ("holiday", None, "/media/cd/c"),
    ]
    assert [entry.path for entry in catalogue.files("run/vol002")] == ["/srv/office/b"]


@pytest.mark.parametrize("titles", [[], ["run/vol001", "quite different"]])
def test_the_files_of_an_unknown_title_are_an_error_at_once(catalogue: Catalogue, titles: list[str]) -> None:
    for title in titles:
        catalogue.add_volume(None, title, None, None, None)
    with pytest.raises(CatalogueError) as caught:
        catalogue.files("run/vol002")

    assert str(caught.value).startswith("'run/vol002': no volume of this title; ")
    assert ("'run/vol001'" in str(caught.value)) == bool(titles)
    assert "different" not in str(caught.value)


def test_listing_may_be_left_off_in_the_middle(catalogue: Catalogue) -> None:
    save_volume(catalogue, start_run(catalogue), "run/vol001", *(f"/srv/office/{i}" for i in range(12_000)))
    for _ in range(30):  # more than the pool has connections
        next(iter(catalogue.files("")))

    assert sum(1 for _ in catalogue.files("")) == 12_000


def test_the_last_complete_run_of_a_job_is_the_one_that_started_last(catalogue: Catalogue) -> None:
    for at_ns, state, found in [(1, COMPLETE, 10), (3, COMPLETE, 30), (2, COMPLETE, 20), (4, FAILED, 40), (5, "", 50)]:
        sources = [SourceFound("/srv/\udcff", "x", "zip", found, 0), SourceFound("/srv/b", "b", "zip", 1, 0)]
        run_id = start_run(catalogue, "office", sources, at_ns)
        if state:
            catalogue.finish_run(run_id, state, at_ns, 0, 0, 0, 0)
    run_id = start_run(catalogue, "Office", at_ns=9)
    catalogue.finish_run(run_id, COMPLETE, 9, 0, 0, 0, 0)

    assert catalogue.last_complete_run("office") == {"/srv/\udcff": 30, "/srv/b": 1}
    assert catalogue.last_complete_run("home") == {}


def test_files_count_as_known_only_on_a_complete_volume(catalogue: Catalogue) -> None:
    volume_id = catalogue.add_volume(start_run(catalogue), "run/vol001", 1, "/b", None)
    catalogue.record([], [file_row(volume_id, None, "/srv/office/a")])
    asked = {(10, b"d" * 16), (10, OTHER), (11, b"d" * 16)}

    assert catalogue.known_sizes({10, 11}) == set()
    assert catalogue.known_digests(asked) == set()
    assert catalogue.known_by_looks([b"/srv/office"]) == {b"/srv/office": {}}
    catalogue.finish_volume(volume_id, 10)
    assert catalogue.known_sizes({10, 11}) == {10}
    assert catalogue.known_digests(asked) == {(10, b"d" * 16)}
    assert catalogue.known_by_looks([b"/srv/office"]) == {b"/srv/office": {b"a": (10, 1_000, 2_000, 3, b"d" * 16)}}


def test_the_size_of_a_file_that_was_cut_is_known_when_its_last_part_is_safe(catalogue: Catalogue) -> None:
    volume_id = catalogue.add_volume(start_run(catalogue), "run/vol001", 1, "/b", None)
    whole = {"whole_size": 15, "whole_digest": OTHER}
    first = file_row(volume_id, None, "/srv/office/a", part=1, part_offset=0, whole_size=15)
    last = file_row(volume_id, None, "/srv/office/a", part=2, part_offset=10, size=5, digest=b"e" * 16, **whole)
    catalogue.record([], [first, last])

    assert catalogue.known_sizes({5, 10, 15}) == set()
    catalogue.finish_volume(volume_id, 10)
    assert catalogue.known_sizes({5, 10, 15, 20}) == {5, 10, 15}
    assert catalogue.known_digests({(15, OTHER), (20, OTHER)}) == {(15, OTHER)}


def part(volume_id: int, number: int, size: int, **values: Any) -> FileRow:
    return file_row(
        volume_id, None, "/srv/office/a", part=number, part_offset=0, size=size, digest=b"%d" % number, **values
    )


def test_parts_on_media_added_by_hand_do_not_make_a_file_known_for_they_may_be_of_different_files(
    catalogue: Catalogue,
) -> None:
    start_run(catalogue)
    whole = {"whole_size": 15, "whole_digest": OTHER}
    # Of one version the first part, of another the last, which would be as long together as the whole.
    for number, row in enumerate([{"number": 1, "size": 10}, {"number": 2, "size": 5, **whole}]):
        disc = catalogue.add_volume(None, f"disc {number}", None, "/media/dvd", None)
        catalogue.record([], [part(disc, **row)])
        catalogue.finish_volume(disc, 10)
    picture = PictureEntry(b"", b"", b"/srv/office", b"b", FILE, 15, 1, OTHER, None, None, None, None, None, None, 1)

    assert catalogue.known_sizes({5, 10, 15}) == {5, 10}
    assert catalogue.known_digests({(15, OTHER)}) == set()
    assert catalogue.known_by_looks([b"/srv/office"]) == {b"/srv/office": {}}
    assert catalogue.copies([(15, OTHER)]) == {}
    assert catalogue.members([picture]) == [None]


def test_parts_of_which_one_is_missing_do_not_make_a_file_known_whatever_their_sizes(catalogue: Catalogue) -> None:
    volume_id = catalogue.add_volume(start_run(catalogue), "run/vol001", 1, "/b", None)
    last = part(volume_id, 3, 5, whole_size=15, whole_digest=OTHER)
    catalogue.record([], [part(volume_id, 1, 10), last])
    catalogue.finish_volume(volume_id, 10)

    assert catalogue.known_digests({(15, OTHER)}) == set()


def test_looks_are_those_of_the_file_that_was_saved_last(catalogue: Catalogue) -> None:
    run_id = start_run(catalogue)
    for i in range(3):
        save_volume(catalogue, run_id, f"run/vol{i}", "/srv/office/a", mtime_ns=i)

    assert catalogue.known_by_looks([b"/srv/office"])[b"/srv/office"] == {b"a": (10, 2, 2_000, 3, b"d" * 16)}


@pytest.mark.parametrize("kind", [DIRECTORY, SYMLINK, HARD_LINK])
def test_only_files_are_known_by_looks(catalogue: Catalogue, kind: str) -> None:
    save_volume(catalogue, start_run(catalogue), "run/vol001", "/srv/office/a", kind=kind, digest=None)

    assert catalogue.known_by_looks([b"/srv/office"]) == {b"/srv/office": {}}
    assert catalogue.known_sizes({10}) == set()


def test_a_medium_without_inodes_does_not_hide_how_a_file_looked(catalogue: Catalogue) -> None:
    save_volume(catalogue, start_run(catalogue), "run/vol001", "/srv/office/a")
    disc = catalogue.add_volume(None, "disc", None, "/srv/office", None)
    catalogue.record([], [file_row(disc, None, "/srv/office/a", inode=None, ctime_ns=None)])
    catalogue.finish_volume(disc, 10)

    assert catalogue.known_by_looks([b"/srv/office"])[b"/srv/office"] == {b"a": (10, 1_000, 2_000, 3, b"d" * 16)}


def test_thousands_are_asked_for_at_once(catalogue: Catalogue) -> None:
    volume_id = catalogue.add_volume(start_run(catalogue), "run/vol001", 1, "/b", None)
    number = 40_000  # more than a statement may have variables
    digests = [i.to_bytes(16, "big") for i in range(number)]
    paths = [b"/srv/%d/f" % i for i in range(number)]
    rows = [file_row(volume_id, None, paths[i], size=i, digest=digests[i]) for i in range(number // 2)]
    catalogue.record([], rows)
    catalogue.finish_volume(volume_id, 1)

    assert catalogue.known_sizes(set(range(number))) == set(range(number // 2))
    assert catalogue.known_digests(set(enumerate(digests))) == set(enumerate(digests[: number // 2]))
    looks = catalogue.known_by_looks([b"/srv/%d" % i for i in range(number)])
    assert sum(map(len, looks.values())) == number // 2


def test_asking_for_nothing_gets_nothing(catalogue: Catalogue) -> None:
    assert catalogue.known_sizes([]) == set()
    assert catalogue.known_digests([]) == set()
    assert catalogue.known_by_looks([]) == {}


def test_a_content_that_is_there_many_times_is_told_once(catalogue: Catalogue) -> None:
    paths = [f"/srv/{i % 100}/{i}" for i in range(10_000)]
    save_volume(catalogue, start_run(catalogue), "run/vol001", *paths, size=0)

    assert catalogue.known_sizes([0, 0, 1]) == {0}
    assert catalogue.known_digests([(0, b"d" * 16), (0, b"d" * 16)]) == {(0, b"d" * 16)}

"""What a job's sources were as of a moment, and where contents are; on every database."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from catalogue_samples import file_row, save_volume, start_run

from backalaika.catalogue import REVISION, Catalogue, locating
from backalaika.catalogue.direct import open_directly
from backalaika.catalogue.results import Located
from backalaika.catalogue.rows import COMPLETE, FrameRow
from backalaika.errors import CatalogueError


def paths(rows: Iterable[Located]) -> list[str]:
    return [f"{row.folder.decode()}/{row.name.decode()}" for row in rows]


def finish(catalogue: Catalogue, run_id: int) -> None:
    catalogue.finish_run(run_id, COMPLETE, 2, 1, 1, 0, 0)


def test_a_file_is_told_with_its_place(catalogue: Catalogue) -> None:
    run_id = start_run(catalogue)
    volume_id = catalogue.add_volume(run_id, "run/vol001", 1, "/b/run/vol001", 1_000)
    archive_id = catalogue.add_archive(volume_id, "office.001.zip", "zip", 0)
    row = file_row(volume_id, archive_id, b"/srv/office/deep/\xff\xfe", frame=1, offset=77, target=b"t")
    catalogue.record([FrameRow(archive_id, 0, 0, 5, 10), FrameRow(archive_id, 1, 5, 5, 10)], [row])
    assert list(catalogue.state("office", None)) == []  # its volume is not complete
    catalogue.finish_volume(volume_id, 500)

    (found,) = catalogue.state("office", None)

    assert found == Located(
        found.id, volume_id, b"office.001.zip", "zip", b"office", b"/srv/office", b"/srv/office/deep", b"\xff\xfe",
        "file", 10, 1_000, b"d" * 16, 5, 77, b"t", None, None, None, None,
    )  # fmt: skip
    assert list(catalogue.files_on(volume_id)) == [found]
    assert list(catalogue.files_with_digest(b"d" * 16)) == [[found]]
    assert catalogue.places([(10, b"d" * 16), (10, b"e" * 16), (11, b"d" * 16)]) == {(10, b"d" * 16): [found]}
    assert catalogue.volumes_with_archives([b"a" * 16]) == {}


def test_of_each_path_the_newest_counts_back_to_the_last_whole_run(catalogue: Catalogue) -> None:
    for number, (names, skips) in enumerate([("ab", False), ("abc", False), ("b", True), ("d", True)]):
        run_id = start_run(catalogue, at_ns=10 * number + 1)
        save_volume(catalogue, run_id, f"{number}/vol001", *(f"/srv/office/{name}" for name in names), size=number)
        finish(catalogue, run_id)
        if skips:
            with catalogue._changing() as transaction:
                transaction.change("UPDATE runs SET skip_known = :yes WHERE id = :id", {"yes": True, "id": run_id})

    def seen(at_ns: int | None) -> dict[str, int]:
        return {row.name.decode(): row.size for row in catalogue.state("office", at_ns)}

    assert seen(5) == {"a": 0, "b": 0}
    assert seen(15) == {"a": 1, "b": 1, "c": 1}
    assert seen(25) == {"a": 1, "b": 2, "c": 1}
    assert seen(None) == {"a": 1, "b": 2, "c": 1, "d": 3}
    with pytest.raises(CatalogueError, match="first run was later"):
        list(catalogue.state("office", 0))
    with pytest.raises(CatalogueError, match="there are runs of 'office'"):
        list(catalogue.state("ofice", None))


def test_paths_choose_files_and_folders_and_nothing_that_only_begins_like_them(catalogue: Catalogue) -> None:
    run_id = start_run(catalogue)
    names = ["/srv/office/a/x", "/srv/office/a/b/y", "/srv/office/ab/z", "/srv/office/a-b", "/srv/a"]
    save_volume(catalogue, run_id, "run/vol001", *names)

    def below(*wanted: bytes) -> set[str]:
        return set(paths(catalogue.state(None, None, wanted)))

    assert below(b"/srv/office/a") == {"/srv/office/a/x", "/srv/office/a/b/y"}
    assert below(b"/srv/office/a/") == below(b"/srv/office/a")
    assert below(b"/srv/office/a/x", b"/srv/a") == {"/srv/office/a/x", "/srv/a"}
    assert below(b"/") == set(names)
    assert below(b"/srv/of") == set()
    # A folder of that name took the place of a file, or the other way round: the newer counts.
    save_volume(catalogue, start_run(catalogue), "later/vol001", "/srv/office/a")
    assert below(b"/srv/office/a") == {"/srv/office/a"}


def test_rows_come_by_pages_the_newest_first_over_all_volumes(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locating, "_FETCHED", 3)
    run_id = start_run(catalogue)
    volumes = [
        save_volume(catalogue, run_id, f"run/vol{number:03d}", *(f"/srv/office/{number}{i}" for i in range(7)))
        for number in range(3)
    ]

    found = list(catalogue.files_on(*volumes))

    assert [row.id for row in found] == sorted((row.id for row in found), reverse=True)
    assert len(set(paths(found))) == 21


def test_a_volume_may_have_been_seen_whole_when_it_is_finished(catalogue: Catalogue) -> None:
    run_id = start_run(catalogue)
    for number, at_ns in enumerate([None, 2**60], 1):
        volume_id = catalogue.add_volume(run_id, f"run/vol{number:03d}", number, f"/b/run/vol{number:03d}", 1_000)
        catalogue.finish_volume(volume_id, 500, at_ns)

    assert [volume.verified_at_ns for volume in catalogue.volumes()] == [None, 2**60]
    assert list(catalogue.verified_at().values()) == [None, 2**60]


def test_when_a_volume_was_whole_is_entered_and_listed(catalogue: Catalogue, ask: Callable[[str], list[Any]]) -> None:
    volume_id = save_volume(catalogue, start_run(catalogue), "run/vol001", "/srv/office/a")

    catalogue.enter_verified(volume_id, 12345)

    assert [volume.verified_at_ns for volume in catalogue.volumes()] == [12345]
    assert catalogue.complete_volumes()[volume_id].title == "run/vol001"
    assert catalogue.archives_on(volume_id) == [(b"office.001.zip", 5, b"a" * 16)]


def test_without_sqlalchemy_an_sqlite_file_says_the_same(sqlite_file: str) -> None:
    uri = f"sqlite:///{sqlite_file}"
    from backalaika.catalogue import open_catalogue

    with open_catalogue(uri) as catalogue:
        save_volume(catalogue, start_run(catalogue), "run/vol001", b"/srv/office/\xff", "/srv/office/a/b")
        expected = list(catalogue.state("office", None))
        volumes = catalogue.complete_volumes()

    direct = open_directly(uri, REVISION)
    assert direct is not None
    assert list(direct.state("office", None)) == expected
    assert list(direct.state(None, None, [b"/srv/office/a/b"])) == expected[:1]
    assert direct.complete_volumes() == volumes
    direct.close()

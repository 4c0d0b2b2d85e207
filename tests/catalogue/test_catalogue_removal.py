from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from catalogue_samples import file_row, save_volume, start_run

from backalaika.catalogue import Catalogue, open_catalogue
from backalaika.catalogue.rows import COMPLETE, ErrorRow, FrameRow, Removed
from backalaika.catalogue.schema import metadata
from backalaika.errors import CatalogueError


def row_counts(ask: Callable[[str], list[Any]]) -> dict[str, int]:
    return {name: ask(f"SELECT count(*) FROM {name}")[0][0] for name in metadata.tables}


def finished_run(catalogue: Catalogue, titles: list[str]) -> None:
    run_id = start_run(catalogue)
    for title in titles:
        save_volume(catalogue, run_id, title, "/srv/office/a", f"/srv/office/{title}/b")
    catalogue.record_errors(run_id, [ErrorRow(b"/srv/office/c", "permission denied", 1)])
    catalogue.finish_run(run_id, COMPLETE, 2, 2, 20, 0, 1)


def test_removing_all_volumes_leaves_no_row(catalogue: Catalogue, ask: Callable[[str], list[Any]]) -> None:
    finished_run(catalogue, ["v1", "v2"])

    assert catalogue.remove("v1") == Removed(files=2, archives=1, folders=1, runs=0)
    assert catalogue.remove("v2") == Removed(files=2, archives=1, folders=2, runs=1)
    assert set(row_counts(ask).values()) == {0}


def test_removing_a_volume_leaves_the_others_as_they_were(catalogue: Catalogue) -> None:
    finished_run(catalogue, ["v1", "v2"])
    before = list(catalogue.files("v2"))
    catalogue.remove("v1")

    assert list(catalogue.files("v2")) == before
    assert [row.title for row in catalogue.volumes()] == ["v2"]
    assert catalogue.known_digests({(10, b"d" * 16)}) == {(10, b"d" * 16)}
    assert catalogue.last_complete_run("office") == {"/srv/office": 7}


def test_what_only_a_removed_volume_had_is_not_known_any_more(catalogue: Catalogue) -> None:
    finished_run(catalogue, ["v1"])
    catalogue.remove("v1")

    assert catalogue.known_sizes({10}) == set()
    assert catalogue.known_digests({(10, b"d" * 16)}) == set()
    assert catalogue.known_by_looks([b"/srv/office"]) == {b"/srv/office": {}}


def test_many_files_and_folders_go_at_once(catalogue: Catalogue, ask: Callable[[str], list[Any]]) -> None:
    save_volume(catalogue, start_run(catalogue), "v1", *(f"/srv/{i % 1500}/{i}" for i in range(6000)))
    catalogue.finish_run(1, COMPLETE, 2, 6000, 60000, 0, 0)

    assert catalogue.remove("v1") == Removed(files=6000, archives=1, folders=1500, runs=1)
    assert set(row_counts(ask).values()) == {0}


def test_an_unknown_title_names_the_nearest_and_removes_nothing(
    catalogue: Catalogue, ask: Callable[[str], list[Any]]
) -> None:
    finished_run(catalogue, ["2026-11-22_0915-nandos/vol001"])
    before = row_counts(ask)
    with pytest.raises(CatalogueError, match=r"nearest titles are '2026-11-22_0915-nandos/vol001'$"):
        catalogue.remove("2026-11-22_0915-nandos/vol01")

    assert row_counts(ask) == before


def test_a_volume_of_a_run_that_is_still_writing_is_not_removed(catalogue: Catalogue) -> None:
    save_volume(catalogue, start_run(catalogue), "v1", "/srv/office/a")
    with pytest.raises(CatalogueError, match="still writing"):
        catalogue.remove("v1")

    assert len(list(catalogue.files("v1"))) == 1


def test_a_volume_of_a_run_that_died_is_removed(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, ask: Callable[[str], list[Any]]
) -> None:
    monkeypatch.setattr("time.time", lambda: 1_000_000.0)
    save_volume(catalogue, start_run(catalogue), "v1", "/srv/office/a")
    monkeypatch.undo()
    catalogue.remove("v1")

    assert set(row_counts(ask).values()) == {0}


def test_a_medium_added_by_hand_is_removed(catalogue: Catalogue, ask: Callable[[str], list[Any]]) -> None:
    volume_id = catalogue.add_volume(None, "holiday", None, "/media/cd", None, description="on the beach")
    catalogue.record([], [file_row(volume_id, None, "/media/cd/a.jpg")])
    catalogue.finish_volume(volume_id, 10)

    assert catalogue.remove("holiday") == Removed(files=1, archives=0, folders=1, runs=0)
    assert set(row_counts(ask).values()) == {0}


def test_an_archive_that_a_run_gives_up_goes_with_its_rows_and_no_others(
    catalogue: Catalogue, ask: Callable[[str], list[Any]]
) -> None:
    volume_id = catalogue.add_volume(start_run(catalogue), "v1", 1, "/b", None)
    kept, dropped = (catalogue.add_archive(volume_id, f"{i}.zip", "zip", 0) for i in range(2))
    for archive_id in (kept, dropped):
        rows = [file_row(volume_id, archive_id, f"/s/{archive_id}/a")]
        catalogue.record([FrameRow(archive_id, 0, 0, 5, 10)], rows)
    catalogue.drop_archive(dropped)

    assert [entry.path for entry in catalogue.files("v1")] == [f"/s/{kept}/a"]
    counts = row_counts(ask)
    assert (counts["archives"], counts["frames"], counts["files"], counts["folders"]) == (1, 1, 1, 1)
    (row,) = catalogue.volumes()
    assert (row.archives, row.files, row.bytes) == (1, 1, 10)


def test_a_volume_that_a_run_gives_up_goes_and_the_run_stays(
    catalogue: Catalogue, ask: Callable[[str], list[Any]]
) -> None:
    run_id = start_run(catalogue)
    volume_id = catalogue.add_volume(run_id, "v1", 1, "/b", None)
    catalogue.add_archive(volume_id, "s.001.zip", "zip", 0)
    catalogue.drop_volume(volume_id)

    assert {name for name, number in row_counts(ask).items() if number} == {"runs", "sources"}
    save_volume(catalogue, run_id, "v1", "/srv/office/a")


def test_a_run_goes_on_in_a_folder_whose_last_other_file_another_process_removed(
    catalogue: Catalogue, db_uri: str
) -> None:
    finished_run(catalogue, ["old"])
    volume_id = catalogue.add_volume(start_run(catalogue), "new", 1, "/b", None)
    with open_catalogue(db_uri) as other:
        other.remove("old")
    catalogue.record([], [file_row(volume_id, None, "/srv/office/a")])

    assert [entry.path for entry in catalogue.files("new")] == ["/srv/office/a"]

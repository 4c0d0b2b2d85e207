from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from catalogue_samples import file_row, save_volume, start_run

from backalaika.catalogue import REVISION, Catalogue, open_catalogue, paging, purging
from backalaika.catalogue.direct import open_directly
from backalaika.catalogue.results import Removed
from backalaika.catalogue.rows import COMPLETE, ErrorRow, FrameRow
from backalaika.catalogue.schema import metadata
from backalaika.catalogue.wanted import Pattern, Wanted
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


class _CutOffError(Exception):
    pass


def two_volumes(catalogue: Catalogue) -> None:
    """One that will stay, and one of many pages: 400 files in 20 folders, of which one is in a folder of the other."""
    run_id = start_run(catalogue)
    save_volume(catalogue, run_id, "stays", "/srv/0/same", digest=b"s" * 16, size=5)
    save_volume(catalogue, run_id, "goes", *(f"/srv/{i % 20}/goes {i}.txt" for i in range(400)))
    catalogue.finish_run(run_id, COMPLETE, 2, 401, 4005, 0, 0)


def cut_off_removal(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, pages: int) -> None:
    """Remove "goes", and end after so many pages."""
    left = [None] * pages

    def cut(seconds: float) -> None:
        if not left:
            raise _CutOffError
        left.pop()

    monkeypatch.setattr(paging, "FILES", 70)
    with monkeypatch.context() as patched:
        patched.setattr(purging.time, "sleep", cut)
        with pytest.raises(_CutOffError):
            catalogue.remove("goes")


def orphans(ask: Callable[[str], list[Any]]) -> dict[str, int]:
    """Rows that belong to nothing."""
    checks = {
        "files of no volume": "files WHERE volume_id NOT IN (SELECT id FROM volumes)",
        "files of no folder": "files WHERE folder_id NOT IN (SELECT id FROM folders)",
        "known of no file": "known WHERE file_id NOT IN (SELECT id FROM files)",
        "folders of no file": "folders WHERE id NOT IN (SELECT folder_id FROM files)",
        "archives of no volume": "archives WHERE volume_id NOT IN (SELECT id FROM volumes)",
        "frames of no archive": "frames WHERE archive_id NOT IN (SELECT id FROM archives)",
        "lists of no volume": "name_lists WHERE volume_id NOT IN (SELECT id FROM volumes)",
        "files of no archive": "files WHERE archive_id IS NOT NULL AND archive_id NOT IN (SELECT id FROM archives)",
    }
    return {name: count for name, which in checks.items() if (count := ask(f"SELECT count(*) FROM {which}")[0][0])}


def test_page_by_page_all_of_a_volume_goes_and_nothing_else(
    catalogue: Catalogue, ask: Callable[[str], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    two_volumes(catalogue)
    before = list(catalogue.files("stays"))
    for name, size in (("FILES", 70), ("LISTS", 2), ("PAUSE_S", 0)):
        monkeypatch.setattr(paging, name, size)
    monkeypatch.setattr(purging, "_ARCHIVES", 1)

    assert catalogue.remove("goes") == Removed(files=400, archives=1, folders=19, runs=0)
    assert list(catalogue.files("stays")) == before
    counts = row_counts(ask)
    assert (counts["volumes"], counts["files"], counts["known"], counts["name_lists"], counts["folders"]) == (1,) * 5
    assert orphans(ask) == {}


@pytest.mark.parametrize("pages", [0, 3])
def test_no_answer_tells_of_a_volume_whose_removal_was_cut_off(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, ask: Callable[[str], list[Any]], pages: int
) -> None:
    two_volumes(catalogue)
    cut_off_removal(catalogue, monkeypatch, pages)
    content = (10, b"d" * 16)

    assert ask("SELECT count(*) FROM files") == [(401 - 70 * (pages + 1),)]
    assert orphans(ask) == {}
    assert [row.title for row in catalogue.volumes()] == ["stays"]
    assert [entry.path for entry in catalogue.files("")] == ["/srv/0/same"]
    with pytest.raises(CatalogueError, match=r"nearest titles are 'stays'$|list the volumes"):
        catalogue.files("goes")
    ((title,),) = ask("SELECT title FROM volumes WHERE state = 'removing'")
    with pytest.raises(CatalogueError, match="no volume of this title"):
        catalogue.files(title)
    for wanted in (
        Wanted(Pattern("goes")),
        Wanted(Pattern("*399.txt")),
        Wanted(Pattern("19/goes")),
        Wanted(Pattern("/goes")),
        Wanted(contents=(content,)),
        Wanted(digest=content[1].hex()),
        Wanted(size=(10, 10)),
        Wanted(duplicates=True),
    ):
        assert list(catalogue.find(wanted)) == []
    assert catalogue.known_sizes({10, 5}) == {5}
    assert catalogue.known_digests({content, (5, b"s" * 16)}) == {(5, b"s" * 16)}
    assert catalogue.known_by_looks([b"/srv/7"]) == {b"/srv/7": {}}
    assert catalogue.copies([content]) == {}
    assert list(catalogue.files_with_digest(content[1])) == []
    assert catalogue.places([content]) == {}
    assert [row.name for row in catalogue.state("office", None)] == [b"same"]
    assert [row.name for row in catalogue.state("office", None, [b"/srv"])] == [b"same"]
    assert catalogue.spare_volumes() == []
    assert catalogue.recorded_volumes(1)[0].title == "stays"
    assert len(catalogue.recorded_volumes(1)) == 1


def test_a_run_finds_nothing_known_on_a_volume_whose_removal_was_cut_off(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by the pictures either, which look for the same content elsewhere."""
    two_volumes(catalogue)
    cut_off_removal(catalogue, monkeypatch, 1)
    with catalogue._looking() as transaction:
        from backalaika.catalogue.pictures import _by_content

        assert _by_content(transaction, [(10, b"d" * 16)]) == {}
        assert list(_by_content(transaction, [(5, b"s" * 16), (10, b"d" * 16)])) == [(5, b"s" * 16)]


def test_the_next_who_opens_the_catalogue_to_write_finishes_a_removal(
    catalogue: Catalogue, db_uri: str, monkeypatch: pytest.MonkeyPatch, ask: Callable[[str], list[Any]]
) -> None:
    two_volumes(catalogue)
    cut_off_removal(catalogue, monkeypatch, 1)
    open_catalogue(db_uri, to_write=False).close()
    left = row_counts(ask)["files"]
    direct = open_directly(db_uri, REVISION)
    open_catalogue(db_uri).close()

    assert (left, direct) == (261, None)
    counts = row_counts(ask)
    assert (counts["volumes"], counts["files"], counts["known"], counts["name_lists"]) == (1, 1, 1, 1)
    assert orphans(ask) == {}


def test_a_removal_at_which_another_process_is_still_is_left_to_it(
    catalogue: Catalogue, db_uri: str, monkeypatch: pytest.MonkeyPatch, ask: Callable[[str], list[Any]]
) -> None:
    two_volumes(catalogue)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        cut_off_removal(catalogue, monkeypatch, 0)
        with catalogue._changing() as transaction:
            transaction.change("UPDATE volumes SET pid = :pid WHERE state = 'removing'", {"pid": other.pid})
        open_catalogue(db_uri).close()
        left = row_counts(ask)["files"]
        other.communicate()
    open_catalogue(db_uri).close()

    assert left == 331
    assert row_counts(ask)["files"] == 1


def test_the_title_of_a_removed_volume_is_free_before_its_rows_are_gone(
    catalogue: Catalogue, db_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_volumes(catalogue)
    cut_off_removal(catalogue, monkeypatch, 0)
    save_volume(catalogue, start_run(catalogue), "goes", "/srv/19/goes 19.txt")
    open_catalogue(db_uri).close()

    assert [entry.path for entry in catalogue.files("goes")] == ["/srv/19/goes 19.txt"]
    assert [entry.path for entry in catalogue.find(Wanted(Pattern("goes")))] == ["/srv/19/goes 19.txt"]
    assert catalogue.known_digests({(10, b"d" * 16)}) == {(10, b"d" * 16)}


def test_who_writes_to_a_volume_that_another_process_removes_is_told(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume_id = catalogue.add_volume(None, "goes", None, "/media/cd", None)
    catalogue.record([], [file_row(volume_id, None, f"/media/cd/{i}") for i in range(200)])
    cut_off_removal(catalogue, monkeypatch, 0)

    assert not catalogue.is_there(volume_id)
    with pytest.raises(CatalogueError, match="removed by another process"):
        catalogue.record([], [file_row(volume_id, None, "/media/cd/new")])
    with pytest.raises(CatalogueError, match="removed by another process"):
        catalogue.finish_volume(volume_id, 1)


def test_others_write_between_two_pages_of_a_removal(
    catalogue: Catalogue, db_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_volumes(catalogue)
    monkeypatch.setattr(paging, "FILES", 20)
    order: list[str] = []
    entered = threading.Event()

    def note(*arguments: Any, **named: Any) -> Any:
        entered.set()
        order.append("page")
        return delete_page(*arguments, **named)

    delete_page = purging._delete_page
    monkeypatch.setattr(purging, "_delete_page", note)
    with open_catalogue(db_uri) as other:
        removing = threading.Thread(target=catalogue.remove, args=["goes"])
        removing.start()
        entered.wait(30)
        for i in range(3):
            other.add_volume(None, f"new {i}", None, "/m", None)
            order.append("written")
        removing.join()

    assert order.count("written") == 3
    assert order[-1] == "page", "the removal ended before all was written"


def test_a_removal_that_is_killed_leaves_no_orphan_and_is_finished_later(
    catalogue: Catalogue, db_uri: str, ask: Callable[[str], list[Any]]
) -> None:
    two_volumes(catalogue)
    code = (
        "from backalaika.catalogue import open_catalogue, paging, purging\n"
        "paging.FILES, paging.LISTS = 40, 2\n"
        "def tell(seconds): print('page', flush=True); input()\n"
        "purging.time.sleep = tell\n"
        f"open_catalogue({db_uri!r}).remove('goes')\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as removing:
        assert removing.stdin is not None
        assert removing.stdout is not None
        for _ in range(3):
            assert removing.stdout.readline() == "page\n"
            removing.stdin.write("\n")
            removing.stdin.flush()
        removing.kill()
    between = orphans(ask), len(list(catalogue.files("")))
    left = row_counts(ask)["files"]
    open_catalogue(db_uri).close()

    assert between == ({}, 1)
    assert 1 < left <= 401 - 3 * 40
    assert orphans(ask) == {}
    assert (row_counts(ask)["files"], row_counts(ask)["volumes"]) == (1, 1)

"""Paging: what is written some rows at a time may be cut off between two pages, and then counts for nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from catalogue_samples import CutOffError, cut_after, file_row, kill_between_pages, save_volume, start_run

from backalaika.catalogue import REVISION, Catalogue, direct, names, open_catalogue, paging, queries
from backalaika.catalogue.changes import SourcePicture
from backalaika.catalogue.names import forget_names
from backalaika.catalogue.paging import LAST, pages
from backalaika.catalogue.recording import unknown_volumes
from backalaika.catalogue.results import PictureEntry
from backalaika.catalogue.rows import FILE, FrameRow, KnownEntry, RunEnd
from backalaika.catalogue.wanted import Pattern, Wanted
from backalaika.errors import CatalogueError

CONTENT = (10, b"d" * 16)


def volume_of(catalogue: Catalogue, number: int, title: str = "run/vol001") -> tuple[int, int]:
    """A volume that is not complete, with an archive of so many files in 20 folders; their numbers."""
    volume_id = catalogue.add_volume(start_run(catalogue), title, 1, f"/b/{title}", 1_000)
    archive_id = catalogue.add_archive(volume_id, "office.001.zip", "zip", 0)
    rows = [file_row(volume_id, archive_id, f"/srv/{i % 20}/{i}.txt", inode=i) for i in range(number)]
    catalogue.record([FrameRow(archive_id, 0, 0, 5, 10)], rows)
    return volume_id, archive_id


def test_pages_follow_each_other_and_hold_all_rows_once_whatever_lies_between(
    catalogue: Catalogue, ask: Callable[[str], list[Any]]
) -> None:
    one, other = (catalogue.add_volume(None, title, None, "/m", None) for title in ("one", "other"))
    for i in range(90):  # those of the two in turn, some far from each other
        catalogue.record([], [file_row(one if i % 3 else other, None, f"/m/{i}")])
    with catalogue._looking() as transaction:
        found = pages(transaction, "files WHERE volume_id = :volume", {"volume": one}, 7)
        none = pages(transaction, "files WHERE volume_id = :volume", {"volume": -1}, 7)

    counts = [
        ask(f"SELECT count(*) FROM files WHERE volume_id = {one} AND id > {page.after} AND id <= {page.last}")[0][0]
        for page in found
    ]
    assert counts == [7] * 8 + [4]
    assert [page.after for page in found[1:]] == [page.last for page in found[:-1]]
    assert none == [(0, LAST)]


def test_a_volume_of_many_pages_is_known_whole(
    catalogue: Catalogue, ask: Callable[[str], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "KNOWN", 70)
    monkeypatch.setattr(paging, "PAUSE_S", 0)
    volume_id, _ = volume_of(catalogue, 400)
    catalogue.finish_volume(volume_id, 500)

    assert ask("SELECT count(*) FROM known") == [(400,)]
    assert not ask("SELECT entering FROM volumes")[0][0]
    assert catalogue.known_digests({CONTENT}) == {CONTENT}
    assert len(list(catalogue.find(Wanted(digest="64" * 16)))) == 400


def checks_that_nothing_is_known(catalogue: Catalogue) -> None:
    assert catalogue.known_sizes({10}) == set()
    assert catalogue.known_digests({CONTENT}) == set()
    assert catalogue.known_by_looks([b"/srv/7"]) == {b"/srv/7": {}}
    assert catalogue.copies([CONTENT]) == {}
    assert catalogue.places([CONTENT]) == {}
    assert list(catalogue.files_with_digest(CONTENT[1])) == []
    assert list(catalogue.find(Wanted(duplicates=True))) == []
    assert catalogue.spare_volumes() == []
    assert catalogue.complete_volumes() == {}


@pytest.mark.parametrize("number", [1, 4])
def test_a_volume_whose_end_was_cut_off_between_two_pages_makes_nothing_known(
    catalogue: Catalogue, ask: Callable[[str], list[Any]], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(paging, "KNOWN", 70)
    volume_id, _ = volume_of(catalogue, 400)
    with monkeypatch.context() as patched:
        cut_after(patched, number)
        with pytest.raises(CutOffError):
            catalogue.finish_volume(volume_id, 500)

    assert ask("SELECT count(*) FROM known") == [(70 * number,)]
    checks_that_nothing_is_known(catalogue)
    # As it was before: listed, and found by its names and contents, each once.
    assert [row.state for row in catalogue.volumes()] == ["incomplete"]
    assert len(list(catalogue.files("run/vol001"))) == len(list(catalogue.files(""))) == 400
    for wanted in (Wanted(Pattern(".txt")), Wanted(contents=(CONTENT,)), Wanted(size=(10, 10))):
        assert len(list(catalogue.find(wanted))) == 400


def test_a_picture_finds_nothing_on_a_volume_whose_end_was_cut_off(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "KNOWN", 70)
    volume_id, _ = volume_of(catalogue, 100)
    with monkeypatch.context() as patched:
        cut_after(patched, 1)
        with pytest.raises(CutOffError):
            catalogue.finish_volume(volume_id, 500)
    run_id = start_run(catalogue, "other")
    known = [KnownEntry(b"/srv/office", b"a", FILE, 10, 1_000, 2_000, 3, b"d" * 16, None, 0o100644, 1, 2)]
    found = SourcePicture(0, b"/srv/office", None, coarse=False, resumed=False, known=known)
    catalogue.complete_run(run_id, RunEnd(9, 0, 0, 0, 0), [found], lambda recorded: [])

    assert catalogue.members(list(catalogue.picture(run_id))) == [None]


def begin_to_enter(db_uri: str, volume_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enter the first page of what becomes known of a volume."""
    with monkeypatch.context() as patched, open_catalogue(db_uri) as other:
        patched.setattr(paging, "KNOWN", 70)
        cut_after(patched, 1)
        with pytest.raises(CutOffError):
            other.finish_volume(volume_id, 500)


@pytest.mark.parametrize("which", ["known_digests", "known_sizes", "copies"])
def test_who_asks_while_a_volume_begins_to_become_known_hears_nothing_of_it(
    catalogue: Catalogue, db_uri: str, ask: Callable[[str], list[Any]], monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    volume_id, _ = volume_of(catalogue, 400)

    def unknown(transaction: Any) -> list[int]:
        there = unknown_volumes(transaction)
        if not there:
            begin_to_enter(db_uri, volume_id, monkeypatch)
        return there

    monkeypatch.setattr(queries, "unknown_volumes", unknown)
    found = catalogue.known_sizes({10}) if which == "known_sizes" else getattr(catalogue, which)({CONTENT})

    assert ask("SELECT count(*) FROM known") == [(70,)]
    assert not found


def test_who_restores_while_a_volume_begins_to_become_known_hears_nothing_of_it(
    sqlite_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Directly on SQLite, each query sees what was written until then."""
    db_uri = f"sqlite:///{sqlite_file}"
    with open_catalogue(db_uri) as catalogue:
        volume_id, _ = volume_of(catalogue, 400)
    run = direct._SqliteTransaction.ask
    begun: list[bool] = []

    def asked(transaction: Any, sql: str, values: Any) -> list[Any]:
        if "FROM known" in sql:
            begin_to_enter(db_uri, volume_id, monkeypatch)
            begun.append(True)
        return run(transaction, sql, values)

    entry = PictureEntry(b"/srv", b"srv", b"/srv", b"a", FILE, 10, 1, CONTENT[1], None, None, None, None, None, None, 1)
    opened = direct.open_directly(db_uri, REVISION)
    assert opened is not None
    monkeypatch.setattr(direct._SqliteTransaction, "ask", asked)
    found = opened.members([entry])
    opened.close()

    assert begun
    assert found == [None]


def test_who_goes_on_after_a_cut_off_end_completes_the_volume_with_what_changed_in_between(
    catalogue: Catalogue, ask: Callable[[str], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "KNOWN", 70)
    volume_id, archive_id = volume_of(catalogue, 400)
    with monkeypatch.context() as patched:
        cut_after(patched, 3)
        with pytest.raises(CutOffError):
            catalogue.finish_volume(volume_id, 500)
    monkeypatch.setattr(paging, "PAUSE_S", 0)
    catalogue.drop_files([number for (number,) in ask("SELECT id FROM files ORDER BY id")[:90]])
    catalogue.record([], [file_row(volume_id, archive_id, "/srv/new/one")])
    catalogue.finish_volume(volume_id, 500)

    assert ask("SELECT count(*) FROM known") == ask("SELECT count(*) FROM files") == [(311,)]
    assert ask("SELECT count(*) FROM known WHERE file_id NOT IN (SELECT id FROM files)") == [(0,)]
    assert catalogue.known_digests({CONTENT}) == {CONTENT}
    assert catalogue.copies([CONTENT])[CONTENT].number == 1
    assert [(row.state, row.files) for row in catalogue.volumes()] == [("complete", 311)]


def test_a_volume_that_is_killed_at_its_end_is_completed_later(
    catalogue: Catalogue, db_uri: str, ask: Callable[[str], list[Any]]
) -> None:
    volume_id, _ = volume_of(catalogue, 400)
    kill_between_pages(db_uri, "paging.KNOWN = 70", f"finish_volume({volume_id}, 500)", 2)
    checks_that_nothing_is_known(catalogue)
    half = ask("SELECT count(*) FROM known")
    with open_catalogue(db_uri) as other:
        other.finish_volume(volume_id, 500)

    assert half == [(140,)]
    assert ask("SELECT count(*) FROM known") == [(400,)]
    assert catalogue.known_digests({CONTENT}) == {CONTENT}


def test_a_volume_that_is_removed_while_its_end_is_entered_leaves_no_row(
    catalogue: Catalogue, ask: Callable[[str], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "KNOWN", 70)
    volume_id = catalogue.add_volume(None, "disc", None, "/media/cd", None)
    catalogue.record([], [file_row(volume_id, None, f"/media/cd/{i}") for i in range(200)])
    with monkeypatch.context() as patched:
        patched.setattr("time.sleep", lambda seconds: (patched.undo(), catalogue.remove("disc")))
        with pytest.raises(CatalogueError, match="finished or removed by another process"):
            catalogue.finish_volume(volume_id, 500)

    assert [ask(f"SELECT count(*) FROM {name}") for name in ("volumes", "files", "known")] == [[(0,)]] * 3


def test_others_write_while_a_large_volume_becomes_known(
    catalogue: Catalogue, db_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "KNOWN", 20)
    volume_id, _ = volume_of(catalogue, 400)
    ended: list[str] = []
    with open_catalogue(db_uri) as other:
        finishing = threading.Thread(
            target=lambda: (catalogue.finish_volume(volume_id, 1), ended.append("finished")), daemon=True
        )
        finishing.start()
        for i in range(3):
            other.add_volume(None, f"new {i}", None, "/m", None)
            ended.append("written")
        finishing.join(60)

    assert ended == ["written", "written", "written", "finished"]


@pytest.mark.parametrize("number", [1, 4])
def test_an_archive_that_is_killed_while_it_is_dropped_is_gone_for_the_next_who_opens_the_catalogue(
    catalogue: Catalogue, db_uri: str, ask: Callable[[str], list[Any]], number: int
) -> None:
    volume_id, kept = volume_of(catalogue, 30)
    dropped = catalogue.add_archive(volume_id, "office.002.zip", "zip", 0)
    rows = [file_row(volume_id, dropped, f"/srv/{i % 20}/dropped {i}") for i in range(400)]
    catalogue.record([FrameRow(dropped, 0, 0, 5, 10)], rows)
    kill_between_pages(db_uri, "paging.FILES = 70", f"drop_archive({dropped})", number)
    half = ask("SELECT count(*) FROM files"), ask(f"SELECT state, source_id FROM archives WHERE id = {dropped}")
    with open_catalogue(db_uri) as other:
        (recorded,) = other.recorded_volumes(1)
        totals = other.saved_totals(1)

    assert half == ([(430 - 70 * number,)], [("removing", None)])
    assert [(archive.id, archive.members) for archive in recorded.archives] == [(kept, 30)]
    assert totals == (30, 300)
    assert ask("SELECT count(*) FROM frames") == [(1,)]
    assert [(row.archives, row.files, row.bytes) for row in catalogue.volumes()] == [(1, 30, 300)]


def test_files_that_are_dropped_by_many_pages_are_all_gone(
    catalogue: Catalogue, ask: Callable[[str], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "FILES", 70)
    monkeypatch.setattr(paging, "PAUSE_S", 0)
    volume_of(catalogue, 400)
    numbers = [number for (number,) in ask("SELECT id FROM files ORDER BY id")]
    catalogue.drop_files(iter(numbers[:350]))

    assert [(row.files, row.bytes) for row in catalogue.volumes()] == [(50, 500)]
    assert [number for (number,) in ask("SELECT id FROM files ORDER BY id")] == numbers[350:]


def test_who_opens_a_catalogue_hears_what_is_finished_and_how_far_it_is(
    catalogue: Catalogue, db_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_volume(catalogue, start_run(catalogue), "goes", *(f"/srv/{i % 20}/{i}" for i in range(400)))
    catalogue.finish_run(1, "complete", 2, 400, 4000, 0, 0)
    kill_between_pages(db_uri, "paging.FILES = 70", "remove('goes')", 2)
    monkeypatch.setattr(paging, "FILES", 70)
    monkeypatch.setattr(paging, "PAUSE_S", 0)
    told: list[tuple[str, int, int]] = []
    open_catalogue(db_uri, tell=lambda *what: told.append(what)).close()
    open_catalogue(db_uri, tell=lambda *what: told.append(what)).close()

    assert told == [("/b/goes", done, 280) for done in (0, 70, 140, 210)]


def without_lists(catalogue: Catalogue, number: int) -> None:
    """A complete volume of so many files as an older version left it."""
    save_volume(catalogue, start_run(catalogue), "old", *(f"/srv/{i % 20}/{i}.txt" for i in range(number)))
    with catalogue._changing() as transaction:
        forget_names(transaction, 1)
    catalogue.finish_run(1, "complete", 2, number, number * 10, 0, 0)


SMALL_LISTS = "from backalaika.catalogue import names; names.FETCHED = 64; names._PAGES = 1"
SEARCH = "find(Wanted(Pattern('.txt'))).__next__()"


@pytest.mark.parametrize("number", [1, 4])
def test_who_is_killed_while_lists_are_made_of_an_old_volume_leaves_it_to_be_found_whole(
    catalogue: Catalogue, db_uri: str, ask: Callable[[str], list[Any]], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    without_lists(catalogue, 400)
    sizes = f"{SMALL_LISTS}\nfrom backalaika.catalogue.wanted import Pattern, Wanted"
    kill_between_pages(db_uri, sizes, SEARCH, number)
    half = ask("SELECT count(*) FROM name_lists")
    with monkeypatch.context() as patched:  # who may not write
        patched.setattr(catalogue, "_list_what_is_not", lambda: None)
        found = [len(list(catalogue.find(Wanted(Pattern(text))))) for text in (".txt", "399", "/srv/7/*.txt")]
    then = len(list(catalogue.find(Wanted(Pattern(".txt")))))

    assert half == [(number,)]
    assert found == [400, 1, 20]
    assert then == 400
    assert ask("SELECT count(*), MAX(last_id) FROM name_lists") == [(7, 400)]
    assert ask("SELECT pid FROM volumes") == [(None,)]
    catalogue.remove("old")
    assert ask("SELECT count(*) FROM name_lists") == [(0,)]


def test_while_another_process_makes_the_lists_of_an_old_volume_it_is_left_to_that_and_found_whole(
    catalogue: Catalogue, ask: Callable[[str], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    without_lists(catalogue, 400)
    monkeypatch.setattr(names, "FETCHED", 64)
    monkeypatch.setattr(names, "_PAGES", 1)
    seen: list[tuple[int, int]] = []

    def look(seconds: float) -> None:
        with catalogue._changing() as transaction:  # as if by a process that runs: the first of all
            transaction.change("UPDATE volumes SET pid = 1, pid_seen = :now", {"now": time.time()})
        ((before,),) = ask("SELECT count(*) FROM name_lists")
        seen.append((before, len(list(catalogue.find(Wanted(Pattern(".txt")))))))

    monkeypatch.setattr("time.sleep", look)

    assert len(list(catalogue.find(Wanted(Pattern(".txt"))))) == 400
    assert seen == [(1, 400)]
    assert ask("SELECT count(*) FROM name_lists") == [(1,)]
    with pytest.raises(CatalogueError, match="is being catalogued by process 1"):
        catalogue.remove("old")

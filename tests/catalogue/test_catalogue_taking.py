"""Taking: a picture that is recorded some rows at a time is there whole or not at all, whatever ends it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from catalogue_samples import CutOffError, cut_after, kill_between_pages, save_volume, start_run

from backalaika.catalogue import REVISION, Catalogue, open_catalogue, paging
from backalaika.catalogue.changes import Recorded, SourcePicture
from backalaika.catalogue.direct import open_directly
from backalaika.catalogue.rows import FILE, KnownEntry, RunEnd
from backalaika.catalogue.schema import metadata
from backalaika.errors import CatalogueError

SOURCE = b"/srv/office"
PATHS = [f"/srv/office/{i % 20}/{i}.txt" for i in range(400)]
END = RunEnd(9, 0, 0, 0, 0)
# Of a process that is killed: what it needs to complete a run that this one began for it.
SMALL_PAGES = """
paging.ENTRIES = 70
import os
from backalaika.catalogue import Catalogue
from backalaika.catalogue.changes import SourcePicture
from backalaika.catalogue.rows import KnownEntry, RunEnd
def complete(catalogue, run_id, *found):
    catalogue.adopt_run(run_id)
    with catalogue._changing() as transaction:
        transaction.change("UPDATE runs SET pid = :pid WHERE id = :run", {"pid": os.getpid(), "run": run_id})
    tree = catalogue.trees("office").get(b"/srv/office")
    sources = [SourcePicture(0, b"/srv/office", tree, False, *found)]
    catalogue.complete_run(run_id, RunEnd(9, 0, 0, 0, 0), sources, lambda recorded: [])
Catalogue.complete = complete
"""


def complete(catalogue: Catalogue, run_id: int, **found: Any) -> Recorded:
    told: list[Recorded] = []
    tree = catalogue.trees("office").get(SOURCE)
    values = {"coarse": False, "resumed": False} | found

    def tell(recorded: Recorded) -> list[Any]:
        told.append(recorded)
        return []

    catalogue.adopt_run(run_id)
    catalogue.complete_run(run_id, END, [SourcePicture(0, SOURCE, tree, **values)], tell)
    return told[0]


def rows_of(ask: Callable[[str], list[Any]], *tables: str) -> dict[str, list[Any]]:
    return {name: sorted(ask(f"SELECT * FROM {name}"), key=repr) for name in tables or metadata.tables}


def known(number: int) -> KnownEntry:
    folder = b"/srv/office/new %d" % (number % 10)
    return KnownEntry(folder, b"%d" % number, FILE, 10, 1, 2, 3, b"d" * 16, None, 0o100644, 1, 2)


def first_run(catalogue: Catalogue) -> int:
    """A run that has a picture, with a hash of each folder."""
    run_id = start_run(catalogue)
    save_volume(catalogue, run_id, "v1", *PATHS)
    listings = [(b"/srv/office/%d" % i, b"%16d" % i) for i in range(20)]
    complete(catalogue, run_id, listings=listings)
    return run_id


def second_run(catalogue: Catalogue) -> tuple[int, dict[str, Any]]:
    """A run in which all have changed but those that are gone; what it found besides what it saved."""
    run_id = start_run(catalogue, at_ns=2)
    save_volume(catalogue, run_id, "v2", *PATHS[100:], digest=b"e" * 16, mtime_ns=5)
    listed = catalogue.listings(catalogue.trees("office")[SOURCE].id, [b"/srv/office/%d" % i for i in range(20)])
    numbers = {path: number for path, (number, _) in listed.items()}
    gone = [(numbers[b"/srv/office/%d" % (i % 20)], b"%d.txt" % i) for i in range(100)]
    listings = [(b"/srv/office/%d" % i, b"%15d." % i) for i in range(20)]
    return run_id, {"gone": gone, "known": [known(i) for i in range(200)], "listings": listings}


@pytest.mark.parametrize("number", [1, 4])
def test_a_first_picture_that_is_killed_while_it_is_recorded_leaves_nothing(
    catalogue: Catalogue, db_uri: str, ask: Callable[[str], list[Any]], number: int
) -> None:
    run_id = start_run(catalogue)
    save_volume(catalogue, run_id, "v1", *PATHS)
    before = rows_of(ask)
    pid = kill_between_pages(db_uri, SMALL_PAGES, f"complete({run_id}, False)", number)
    half = ask("SELECT count(*) FROM entries")
    shown = [row.added for row in catalogue.run_rows()], catalogue.run_as_of("office", None), catalogue.trees("office")
    with catalogue._changing() as transaction:  # the run too is that of the process that was killed
        transaction.change("UPDATE runs SET pid = :pid", {"pid": pid})
    open_catalogue(db_uri).close()
    after = rows_of(ask)
    catalogue.resume_run(run_id)
    complete(catalogue, run_id, resumed=True)

    assert half == [(70 * number,)]
    assert shown == ([None], None, {})
    assert after == before | {"runs": after["runs"]}
    assert len(list(catalogue.picture(run_id))) == 400
    assert ask("SELECT count(*) FROM trees") == [(1,)]


@pytest.mark.parametrize("number", [1, 4, 7])
def test_a_later_picture_that_is_killed_while_it_is_recorded_leaves_the_one_before_as_it_was(
    catalogue: Catalogue, db_uri: str, ask: Callable[[str], list[Any]], number: int
) -> None:
    first = first_run(catalogue)
    run_id, found = second_run(catalogue)
    before, tree = rows_of(ask), catalogue.trees("office")[SOURCE]
    numbers = [folder for folder, _ in catalogue.listed_folders(tree.id)]
    newest = catalogue.open_entries(tree.id, numbers)
    lists = f"{found['gone']!r}, (), {found['known']!r}, {found['listings']!r}"
    pid = kill_between_pages(db_uri, SMALL_PAGES, f"complete({run_id}, False, {lists})", number)

    assert rows_of(ask, "entries") != {"entries": before["entries"]}
    assert [row.added for row in catalogue.run_rows()] == [400, None]
    assert len(list(catalogue.picture(first))) == 400
    assert catalogue.trees("office") == {SOURCE: tree}
    assert catalogue.open_entries(tree.id, numbers) == newest
    assert rows_of(ask, "listings") == {"listings": before["listings"]}
    with catalogue._changing() as transaction:
        transaction.change("UPDATE runs SET pid = :pid WHERE state = 'running'", {"pid": pid})
    open_catalogue(db_uri).close()
    after = rows_of(ask)
    assert after == before | {"runs": after["runs"]}
    catalogue.resume_run(run_id)
    recorded = complete(catalogue, run_id, **found, resumed=True)
    assert (recorded.added, recorded.changed, recorded.deleted) == (200, 300, 100)
    assert sorted({entry.digest for entry in catalogue.picture(run_id)}) == [b"d" * 16, b"e" * 16]
    assert len(list(catalogue.picture(run_id))) == 500
    assert len(list(catalogue.picture(first))) == 400


def test_a_picture_is_the_same_by_many_pages_as_by_one(
    catalogue: Catalogue, ask: Callable[[str], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken() -> tuple[Any, ...]:
        first_run(catalogue)
        run_id, found = second_run(catalogue)
        recorded = complete(catalogue, run_id, **found)
        told = [
            sorted((entry.folder, entry.name, entry.digest, entry.mode) for entry in catalogue.picture(number))
            for number in (run_id - 1, run_id)
        ]
        return recorded, told, [row[5:] for row in rows_of(ask, "runs")["runs"]], len(ask("SELECT * FROM listings"))

    whole = taken()
    for title in ("v1", "v2"):
        catalogue.remove(title)
    assert ask("SELECT * FROM entries") == []
    monkeypatch.setattr(paging, "ENTRIES", 7)
    monkeypatch.setattr(paging, "PAUSE_S", 0)

    by_pages = taken()

    assert by_pages[:2] == whole[:2]
    assert by_pages[3] == whole[3]


def test_others_write_while_a_large_picture_is_recorded(
    catalogue: Catalogue, db_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = start_run(catalogue)
    save_volume(catalogue, run_id, "v1", *PATHS)
    monkeypatch.setattr(paging, "ENTRIES", 20)
    ended: list[str] = []
    with open_catalogue(db_uri) as other:
        recording = threading.Thread(
            target=lambda: (complete(catalogue, run_id), ended.append("recorded")), daemon=True
        )
        recording.start()
        for i in range(3):
            other.add_volume(None, f"new {i}", None, "/m", None)
            ended.append("written")
        recording.join(60)

    assert ended == ["written", "written", "written", "recorded"]


def test_where_each_row_is_a_message_others_wait_for_fewer_rows(
    catalogue: Catalogue, db_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_run(catalogue)
    run_id, found = second_run(catalogue)
    monkeypatch.setattr(paging, "ENTRIES", 1500)  # all rows together are less
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    complete(catalogue, run_id, **found)

    assert bool(pauses) == db_uri.startswith(("mysql", "mariadb"))
    assert len(list(catalogue.picture(run_id))) == 500


def test_while_a_picture_is_recorded_no_other_run_of_the_job_records_one_and_nobody_takes_it_back(
    catalogue: Catalogue, db_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_run(catalogue)
    run_id, found = second_run(catalogue)
    other_id, overtaken = start_run(catalogue, at_ns=3), []
    monkeypatch.setattr(paging, "ENTRIES", 200)

    def meanwhile(seconds: float) -> None:
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        with open_catalogue(db_uri) as other:
            overtaken.append(complete(other, other_id).overtaken)

    monkeypatch.setattr("time.sleep", meanwhile)
    recorded = complete(catalogue, run_id, **found)

    assert overtaken == [True]
    assert (recorded.overtaken, recorded.changed) == (False, 300)
    assert [row.added for row in catalogue.run_rows()] == [400, 200, None]
    assert len(list(catalogue.picture(run_id))) == 500


def cut_off(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, run_id: int, **found: Any) -> None:
    """Begin the picture of a run, and end after its first page."""
    monkeypatch.setattr(paging, "ENTRIES", 70)
    with monkeypatch.context() as patched:
        cut_after(patched, 1)
        with pytest.raises(CutOffError):
            complete(catalogue, run_id, **found)


@pytest.mark.parametrize("is_first", [True, False])
def test_a_picture_that_a_host_began_which_does_not_come_back_is_taken_back_after_a_day(
    catalogue: Catalogue, db_uri: str, monkeypatch: pytest.MonkeyPatch, is_first: bool
) -> None:
    if not is_first:
        first_run(catalogue)
    run_id = start_run(catalogue, at_ns=2)
    save_volume(catalogue, run_id, "v2", *PATHS, digest=b"e" * 16, mtime_ns=5)
    cut_off(catalogue, monkeypatch, run_id)

    def next_run(silence_s: float) -> Recorded:
        values = {"seen": time.time() - silence_s, "run": run_id}
        with catalogue._changing() as transaction:
            transaction.change("UPDATE runs SET host = 'gone', pid = 7, pid_seen = :seen WHERE id = :run", values)
        number = start_run(catalogue, at_ns=3)
        with open_catalogue(db_uri) as other:
            return complete(other, number, known=[known(1)])

    soon = next_run(80_000)
    assert (soon.overtaken, str(soon.begun_by)) == (True, "process 7 on gone")
    with pytest.raises(CatalogueError, match="still writing"):
        catalogue.remove("v2")

    later = next_run(90_000)
    assert (later.overtaken, later.begun_by, later.added) == (False, None, 1)
    assert catalogue.remove("v2").files == 400


def test_a_process_whose_picture_was_taken_back_enters_nothing_more(
    catalogue: Catalogue, db_uri: str, ask: Callable[[str], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = first_run(catalogue)
    run_id, found = second_run(catalogue)
    before = rows_of(ask)
    monkeypatch.setattr(paging, "ENTRIES", 70)

    def meanwhile(seconds: float) -> None:  # the clock is set, so that its number seems to be that of a later process
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        with catalogue._changing() as transaction:
            transaction.change("UPDATE runs SET pid_seen = 1 WHERE id = :run", {"run": run_id})
        open_catalogue(db_uri).close()

    monkeypatch.setattr("time.sleep", meanwhile)
    with pytest.raises(CatalogueError, match="go on with --resume"):
        complete(catalogue, run_id, **found)

    after = rows_of(ask)
    assert after == before | {"runs": after["runs"], "folders": after["folders"]}
    assert [row.state for row in catalogue.run_rows()] == ["complete", "interrupted"]
    catalogue.resume_run(run_id)
    assert complete(catalogue, run_id, **found, resumed=True).changed == 300
    assert len(list(catalogue.picture(first))) == 400


def test_a_process_whose_run_another_goes_on_with_records_no_picture_of_it(
    catalogue: Catalogue, ask: Callable[[str], list[Any]]
) -> None:
    run_id = start_run(catalogue)
    save_volume(catalogue, run_id, "v1", *PATHS)
    with catalogue._changing() as transaction:  # it was taken for dead, and another process has resumed it
        transaction.change("UPDATE runs SET pid = 1 WHERE id = :run", {"run": run_id})

    with pytest.raises(CatalogueError, match="took this one for dead"):
        complete(catalogue, run_id)

    assert ask("SELECT state, pid FROM runs") == [("running", 1)]
    assert ask("SELECT count(*) FROM entries") == [(0,)]


def test_a_volume_that_is_removed_while_a_first_picture_is_recorded_takes_the_trust(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_volume(catalogue, start_run(catalogue, "other"), "other", "/srv/office/a")
    catalogue.finish_run(1, "complete", 2, 1, 10, 0, 0)
    run_id = start_run(catalogue)
    save_volume(catalogue, run_id, "v1", *PATHS)
    monkeypatch.setattr(paging, "ENTRIES", 200)

    def meanwhile(seconds: float) -> None:
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        catalogue.remove("other")

    monkeypatch.setattr("time.sleep", meanwhile)
    complete(catalogue, run_id, listings=[(SOURCE, b"1" * 16)])

    tree = catalogue.trees("office")[SOURCE]
    assert catalogue.listings(tree.id, [SOURCE])[SOURCE][1] is None


def test_a_run_is_not_recorded_directly_before_a_picture_that_was_cut_off_is_taken_back(
    sqlite_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"sqlite:///{sqlite_file}"
    with open_catalogue(uri) as catalogue:
        run_id = start_run(catalogue)
        save_volume(catalogue, run_id, "v1", *PATHS)
        cut_off(catalogue, monkeypatch, run_id)
        assert open_directly(uri, REVISION) is None
        catalogue.finish_run(run_id, "failed", 2, 0, 0, 0, 0)
        catalogue.resume_run(run_id)  # takes it back too
    direct = open_directly(uri, REVISION)

    assert direct is not None
    direct.close()

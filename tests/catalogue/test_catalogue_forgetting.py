"""Forgetting: the runs and pictures of a job go with all that could be restored of them, and not before."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from catalogue_samples import save_volume, start_run

from backalaika.catalogue import Catalogue, open_catalogue, paging
from backalaika.catalogue.changes import SourcePicture
from backalaika.catalogue.rows import FILE, INTERRUPTED, KnownEntry, RunEnd
from backalaika.catalogue.schema import metadata

SOURCE = b"/srv/office"


def row_counts(ask: Callable[[str], list[Any]]) -> dict[str, int]:
    return {name: ask(f"SELECT count(*) FROM {name}")[0][0] for name in metadata.tables}


def save(catalogue: Catalogue, title: str, *paths: str, job: str = "office", known: Any = (), **values: Any) -> int:
    """A complete run that saves these files, if any, on one volume, and knows others; returns its number."""
    run_id = start_run(catalogue, job)
    if paths:
        save_volume(catalogue, run_id, title, *paths, **values)
    tree = catalogue.trees(job).get(SOURCE)
    listings = [(SOURCE, b"1" * 16)]
    found = SourcePicture(0, SOURCE, tree, coarse=False, resumed=False, known=known, listings=listings)
    catalogue.complete_run(run_id, RunEnd(9, len(paths), 0, 0, 0), [found], lambda recorded: [])
    return run_id


def known_file(name: bytes, digest: bytes = b"d" * 16) -> KnownEntry:
    return KnownEntry(SOURCE, name, FILE, 10, 1_000, 2_000, 3, digest, None, 0o100644, 1, 2)


def names(catalogue: Catalogue, run_id: int) -> set[bytes]:
    return {entry.name for entry in catalogue.picture(run_id)}


def test_with_the_last_volume_of_a_job_its_runs_and_pictures_go(
    catalogue: Catalogue, ask: Callable[[str], list[Any]]
) -> None:
    save(catalogue, "v1", "/srv/office/a", "/srv/office/deep/b")
    save(catalogue, "v2", "/srv/office/a", digest=b"e" * 16, mtime_ns=5)
    save(catalogue, "")  # it found nothing new

    assert catalogue.remove("v1").runs == 0
    assert len(catalogue.run_rows()) == 3
    assert catalogue.remove("v2").runs == 3
    assert set(row_counts(ask).values()) == {0}
    assert catalogue.trees("office") == {}


def test_a_run_without_volumes_stays_as_long_as_a_later_one_stands_on_its_picture(catalogue: Catalogue) -> None:
    first = save(catalogue, "v1", "/srv/office/a", "/srv/office/b")
    second = save(catalogue, "v2", "/srv/office/c", digest=b"e" * 16)
    catalogue.remove("v1")

    assert names(catalogue, first) == {b"a", b"b"}
    assert names(catalogue, second) == {b"a", b"b", b"c"}


def test_a_job_whose_content_lies_on_volumes_of_another_keeps_its_picture(
    catalogue: Catalogue, ask: Callable[[str], list[Any]]
) -> None:
    save(catalogue, "theirs", "/srv/other/x", job="other")
    ours = save(catalogue, "ours", "/srv/office/new", digest=b"n" * 16, known=[known_file(b"same")])

    assert catalogue.remove("ours").runs == 0
    entries = list(catalogue.picture(ours))
    members = dict(zip((entry.name for entry in entries), catalogue.members(entries), strict=True))
    assert members.keys() == {b"new", b"same"}
    assert members[b"new"] is None
    assert members[b"same"] is not None

    assert catalogue.remove("theirs").runs == 2
    assert set(row_counts(ask).values()) == {0}


def test_other_jobs_keep_what_they_have(catalogue: Catalogue, ask: Callable[[str], list[Any]]) -> None:
    save(catalogue, "goes", "/srv/office/a", digest=b"a" * 16)
    stays = save(catalogue, "stays", "/srv/office/a", "/srv/office/b", job="other", digest=b"b" * 16)
    empty = start_run(catalogue, "empty")
    found = SourcePicture(0, SOURCE, None, coarse=False, resumed=False)
    catalogue.complete_run(empty, RunEnd(9, 0, 0, 0, 0), [found], lambda recorded: [])
    catalogue.remove("goes")

    assert {row.job for row in catalogue.run_rows()} == {"other", "empty"}
    assert names(catalogue, stays) == {b"a", b"b"}
    assert ask("SELECT count(*) FROM folders") == [(1,)]


@pytest.mark.parametrize("ends", [False, True])
def test_a_run_that_may_yet_go_on_keeps_its_job(catalogue: Catalogue, ends: bool) -> None:
    save(catalogue, "v1", "/srv/office/a")
    running = start_run(catalogue)
    if ends:
        catalogue.finish_run(running, INTERRUPTED, 9, 0, 0, 0, 0)
    catalogue.remove("v1")

    assert [row.id for row in catalogue.run_rows()] == [1, running]
    assert names(catalogue, 1) == {b"a"}


def test_the_next_run_of_a_job_that_was_forgotten_is_its_first(catalogue: Catalogue) -> None:
    save(catalogue, "v1", "/srv/office/a", "/srv/office/b")
    catalogue.remove("v1")
    again = save(catalogue, "v2", "/srv/office/a")

    assert names(catalogue, again) == {b"a"}
    assert [(row.added, row.deleted) for row in catalogue.run_rows()] == [(1, 0)]


def test_a_forgotten_picture_goes_page_by_page(
    catalogue: Catalogue, ask: Callable[[str], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "FILES", 70)
    monkeypatch.setattr(paging, "PAUSE_S", 0)
    save(catalogue, "v1", *(f"/srv/office/{i % 3}/{i}" for i in range(400)))
    save(catalogue, "v2", *(f"/srv/office/{i % 3}/{i}" for i in range(200)), mtime_ns=5)
    catalogue.remove("v1")
    catalogue.remove("v2")

    assert set(row_counts(ask).values()) == {0}


@pytest.mark.parametrize("pages", [0, 5, 8])
def test_forgetting_that_is_killed_is_finished_by_the_next_who_opens_the_catalogue(
    catalogue: Catalogue, db_uri: str, ask: Callable[[str], list[Any]], pages: int
) -> None:
    """400 files are 5 whole pages and a rest, and so are their entries."""
    stays = save(catalogue, "stays", "/srv/office/0/same", job="other", digest=b"s" * 16)
    save(catalogue, "goes", *(f"/srv/office/{i % 3}/{i}" for i in range(400)))
    code = (
        "from backalaika.catalogue import open_catalogue, paging\n"
        "paging.FILES = 70\n"
        "def tell(seconds): print('page', flush=True); input()\n"
        "import time; time.sleep = tell\n"
        f"open_catalogue({db_uri!r}).remove('goes')\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as removing:
        assert removing.stdin is not None
        assert removing.stdout is not None
        for _ in range(pages):
            assert removing.stdout.readline() == "page\n"
            removing.stdin.write("\n")
            removing.stdin.flush()
        assert removing.stdout.readline() == "page\n"
        removing.kill()
    jobs = {row.job for row in catalogue.run_rows()}
    trees = set(catalogue.trees("office"))
    left = row_counts(ask)["entries"]
    open_catalogue(db_uri).close()

    assert (jobs, trees) == ({"other"}, set())
    assert left > 1
    # The other job keeps the folder of its file, and the source itself, of which it knows how all in it looked.
    counts = row_counts(ask)
    assert {name: counts[name] for name in ("runs", "volumes", "files", "known", "trees", "entries", "folders")} == {
        "runs": 1, "volumes": 1, "files": 1, "known": 1, "trees": 1, "entries": 1, "folders": 2,
    }  # fmt: skip
    assert names(catalogue, stays) == {b"same"}

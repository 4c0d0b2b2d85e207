"""The direct way into an SQLite catalogue: what a run records by it is what it would record through SQLAlchemy."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from backalaika.catalogue import REVISION, Catalogue, open_catalogue
from backalaika.catalogue.direct import DirectCatalogue, open_directly
from backalaika.catalogue.recording import Recording
from backalaika.catalogue.rows import (
    COMPLETE,
    DIRECTORY,
    FILE,
    INTERRUPTED,
    KIND_NUMBERS,
    ErrorRow,
    FileRow,
    FrameMembers,
    FrameRow,
    RunStart,
    SourceFound,
)
from backalaika.errors import CatalogueError


@pytest.fixture
def db_uri(tmp_path: Path) -> str:
    """A catalogue with a complete run of 7 files, a later one of 5 that is still running, and a volume."""
    uri = f"sqlite:///{tmp_path}/b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher of #1.sqlite"
    with open_catalogue(uri) as catalogue:
        first = catalogue.start_run(RunStart("office", "/b/one", "", 1, [SourceFound("/s/\udcff", "s", "zip", 7, 70)]))
        catalogue.finish_run(first, COMPLETE, 2, 7, 70, 0, 0)
        second = catalogue.start_run(RunStart("office", "/b/two", "", 3, [SourceFound("/s/\udcff", "s", "zip", 5, 50)]))
        catalogue.add_volume(second, "2026_two%/vol001", 1, "/b/two/vol001", 1000)
    return uri


def test_the_direct_way_and_the_catalogue_give_the_same_answers(db_uri: str) -> None:
    direct = open_directly(db_uri, REVISION)
    assert direct is not None
    with open_catalogue(db_uri) as catalogue:
        for asked in (direct, catalogue):
            assert asked.last_complete_run("office") == {"/s/\udcff": 7}
            assert asked.last_complete_run("another") == {}
            assert asked.has_run("2026_two%")
            assert not asked.has_run("2026_two")
            assert not asked.has_run("2026%")


def test_there_is_no_direct_way_where_there_is_doubt(db_uri: str, tmp_path: Path) -> None:
    other = tmp_path / "notes.sqlite"
    other.write_text("no database")

    assert open_directly(db_uri, "9999") is None
    assert open_directly(f"sqlite:///{tmp_path}/new.sqlite", REVISION) is None
    assert open_directly(f"sqlite:///{other}", REVISION) is None
    assert open_directly("postgresql://localhost/test", REVISION) is None
    assert open_directly(f"{db_uri}?timeout=5", REVISION) is None
    assert not os.path.exists(tmp_path / "new.sqlite")


def test_the_direct_way_waits_for_nobody_who_writes(db_uri: str) -> None:
    writer = sqlite3.connect(db_uri.removeprefix("sqlite:///"), isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    try:
        direct = open_directly(db_uri, REVISION)
        assert direct is not None
        assert direct.last_complete_run("office") == {"/s/\udcff": 7}
    finally:
        writer.close()


def record_a_run(catalogue: Recording) -> None:
    """All that a run records."""
    found = SourceFound("/s/\udcff", "s-2", "zip", 9, 90)
    run_id = catalogue.start_run(RunStart("office \udcff", "/b/three", "moved", 7, [found], 5, True))
    catalogue.adopt_run(run_id)
    volume_id = catalogue.add_volume(run_id, "three/vol001", 1, "/b/three/vol001", 1000)
    archive_id = catalogue.add_archive(volume_id, "s.001.zip", "zip", source=0)
    for batch in range(2):
        files = [
            FileRow(volume_id, archive_id, b"/s/\xff/%d" % (i % 1200), b"%d \xfe" % i, kind, i, i, -i, 2**64 - i,
                    digest, i, 0, None, 1, i, 7, None)
            for i in range(batch * 700, 2000)
            for kind, digest in ((FILE, b"%16d" % i), (DIRECTORY, None))
        ]  # fmt: skip
        catalogue.record([FrameRow(archive_id, i, i, 1, 2) for i in range(batch * 3, batch * 3 + 3)], files)
    catalogue.record([], [])
    members = [(b"%d \xfe" % i, KIND_NUMBERS[FILE], i, i, -i, i, b"%16d" % i, i, None) for i in range(123)]
    parts = [FrameMembers(volume_id, archive_id, 7, [(b"/s/p", [row])], 1, 5, (1, 2, 3, None)) for row in members[:3]]
    whole = FrameMembers(volume_id, archive_id, 6, [(b"/s/m", members), (b"/s/none", [])], 123, 9)
    catalogue.record_members([FrameRow(archive_id, 6, 6, 1, 2)], [whole, *parts, whole])
    catalogue.finish_archive(archive_id, 5, b"sum")
    catalogue.finish_volume(volume_id, 6)
    catalogue.record_errors(run_id, [ErrorRow(None, "no \udcff", 1), ErrorRow(b"/s/\xff", "gone", 2)])
    catalogue.finish_run(run_id, COMPLETE, 8, 9, 90, 0, 0)
    other = catalogue.start_run(RunStart("other", "/b/four", "", 9, []))
    catalogue.finish_run(other, INTERRUPTED, 9, 0, 0, 0, 0)
    assert catalogue.mark_abandoned_runs() == []


def all_rows(db_uri: str) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all tables, without what tells the moment at which they were made."""
    tables = {}
    with closing(sqlite3.connect(db_uri.removeprefix("sqlite:///"))) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            columns = [column for _, column, *_ in connection.execute(f'PRAGMA table_info("{table}")')]
            chosen = ", ".join(f'"{column}"' for column in columns if column not in ("pid_seen", "added_at_ns"))
            tables[table] = sorted(connection.execute(f'SELECT {chosen} FROM "{table}"'), key=repr)
    return tables


def test_what_is_recorded_directly_is_what_sqlalchemy_records(db_uri: str, tmp_path: Path) -> None:
    copy = f"sqlite:///{tmp_path}/copy.sqlite"
    shutil.copy(db_uri.removeprefix("sqlite:///"), copy.removeprefix("sqlite:///"))
    direct = open_directly(copy, REVISION)
    assert direct is not None
    record_a_run(direct)
    direct.close()
    with open_catalogue(db_uri) as catalogue:
        record_a_run(catalogue)

    recorded = all_rows(copy)
    assert recorded == all_rows(db_uri)
    assert len(recorded["files"]) == 2 * (2000 + 1300) + 2 * 123 + 3


def record_media(catalogue: Catalogue | DirectCatalogue) -> None:
    """One medium that is interrupted, gone on with and finished, and a volume that gets another title."""
    volume_id = catalogue.add_volume(None, "disc", None, "/media/\udcff", None, "", "xxh3-128", "--depth 1")
    archives = [catalogue.add_archive(volume_id, name, "zip") for name in ("a.zip", "gone.zip")]
    rows = [
        FileRow(
            volume_id,
            archive_id,
            b"/letters",
            b"\xff%d" % number,
            FILE,
            number,
            number,
            *[None] * 2,
            b"d" * 16,
            *[None] * 3,
        )
        for archive_id in (None, *archives)
        for number in range(6000)
    ]
    catalogue.record([], rows)
    catalogue.record_troubles(volume_id, [(b"/media/\xff/bad", "cannot be read"), (b"", "worse \udcff")])
    catalogue.release(volume_id)

    found = catalogue.unfinished_medium("disc")
    assert found is not None
    assert (found.path, found.options, found.owner.pid) == ("/media/\udcff", "--depth 1", None)
    assert not catalogue.has_medium("disc", "/media/\udcff")
    catalogue.take_over("disc")
    loose = list(catalogue.loose_files(volume_id))
    assert [file[1:] for file in loose] == [(b"/letters", b"\xff%d" % n, FILE, n, n) for n in range(6000)]
    catalogue.drop_files([number for number, *_ in loose[100:]])
    [gone] = [found.id for found in catalogue.archives_of(volume_id) if found.path == b"gone.zip"]
    catalogue.drop_archive(gone)
    [bad, worse] = catalogue.troubles(volume_id)
    assert (bad[1:], worse[2]) == ((b"/media/\xff/bad", "cannot be read"), "worse \\udcff")
    catalogue.drop_troubles([bad[0]])
    catalogue.finish_archive(archives[0], 5, b"sum")
    catalogue.finish_volume(volume_id, 6)
    assert catalogue.has_medium("disc", "/media/\udcff")
    assert not catalogue.has_medium("disc", "/media/other")

    with pytest.raises(CatalogueError, match="'disc': a volume of this title is in the catalogue"):
        catalogue.retitle("2026_two%/vol001", "disc", "")
    catalogue.retitle("2026_two%/vol001", "letters", "in the blue box")
    with pytest.raises(CatalogueError, match="'letters': a volume of this title is in the catalogue"):
        catalogue.check_title("letters", None)
    catalogue.check_title("letters", "letters")
    assert catalogue.volume_with_archives([b"sum"]) is None  # no run's


def test_a_medium_is_recorded_directly_as_through_sqlalchemy(db_uri: str, tmp_path: Path) -> None:
    copy = f"sqlite:///{tmp_path}/copy.sqlite"
    shutil.copy(db_uri.removeprefix("sqlite:///"), copy.removeprefix("sqlite:///"))
    direct = open_directly(copy, REVISION)
    assert direct is not None
    record_media(direct)
    direct.close()
    with open_catalogue(db_uri) as catalogue:
        record_media(catalogue)

    recorded = all_rows(copy)
    assert recorded == all_rows(db_uri)
    assert len(recorded["files"]) == 100 + 6000
    assert len(recorded["archives"]) == 1


def test_there_is_no_direct_way_while_an_archive_is_removed(db_uri: str) -> None:
    with open_catalogue(db_uri) as catalogue:
        archive_id = catalogue.add_archive(1, "a.zip", "zip")
    with closing(sqlite3.connect(db_uri.removeprefix("sqlite:///"))) as connection, connection:
        connection.execute("UPDATE archives SET state = 'removing' WHERE id = ?", (archive_id,))

    assert open_directly(db_uri, REVISION) is None


def test_what_fails_directly_leaves_nothing_and_is_told_in_one_line(db_uri: str) -> None:
    direct = open_directly(db_uri, REVISION)
    assert direct is not None
    before = all_rows(db_uri)
    frame = FrameRow(1, 0, 0, 1, 2)

    with pytest.raises(CatalogueError, match=r"^catalogue sqlite:///.*: FOREIGN KEY constraint failed[^\n]*$"):
        direct.record([frame, frame], [])
    with pytest.raises(CatalogueError, match="a volume of this title is in the catalogue"):
        direct.add_volume(2, "2026_two%/vol001", 1, "/b", 1)

    assert all_rows(db_uri) == before
    direct.close()


def test_a_process_that_is_gone_is_marked_directly(db_uri: str) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    with closing(sqlite3.connect(db_uri.removeprefix("sqlite:///"))) as connection, connection:
        connection.execute("UPDATE runs SET pid = ? WHERE folder = ?", (gone.pid, b"/b/two"))
    direct = open_directly(db_uri, REVISION)
    assert direct is not None

    assert direct.mark_abandoned_runs() == ["/b/two"]

    direct.close()
    assert [row for row in all_rows(db_uri)["runs"] if "interrupted" in row]

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from catalogue_samples import save_volume, start_run
from databases import TestDatabase
from sqlalchemy import inspect

from backalaika.catalogue import REVISION, Catalogue, open_catalogue
from backalaika.errors import CatalogueError


def mode_of(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def table_names(database: TestDatabase) -> list[str]:
    return sorted(inspect(database.engine()).get_table_names())


def message_for(uri: str) -> str:
    with pytest.raises(CatalogueError) as caught:
        open_catalogue(uri)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_new_catalogue_and_its_folder_are_for_their_owner_only(tmp_path: Path) -> None:
    path = str(tmp_path / "new" / "catalogue.sqlite")
    with open_catalogue(f"sqlite:///{path}") as catalogue:
        start_run(catalogue)

        assert mode_of(os.path.dirname(path)) == 0o700
        assert mode_of(path) == 0o600
        assert mode_of(path + "-wal") == 0o600


def test_a_tilde_is_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    open_catalogue("sqlite:///~/backups/x.sqlite").close()

    assert (tmp_path / "backups" / "x.sqlite").stat().st_size > 0


def test_a_closed_catalogue_is_one_file_with_a_write_ahead_log_only_while_open(sqlite_file: str) -> None:
    with open_catalogue(f"sqlite:///{sqlite_file}"):
        connection = sqlite3.connect(sqlite_file)
        assert connection.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
        connection.close()

    assert os.listdir(os.path.dirname(sqlite_file)) == [os.path.basename(sqlite_file)]


def test_opening_again_finds_what_was_recorded(db_uri: str) -> None:
    with open_catalogue(db_uri) as catalogue:
        save_volume(catalogue, start_run(catalogue), "run/vol001", "/srv/office/a")
    with open_catalogue(db_uri) as catalogue:
        assert [row.title for row in catalogue.volumes()] == ["run/vol001"]


def test_the_database_file_may_be_there_and_empty(sqlite_file: str) -> None:
    Path(sqlite_file).touch()
    with open_catalogue(f"sqlite:///{sqlite_file}") as catalogue:
        assert list(catalogue.volumes()) == []


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "nonsense",
        "://",
        "sqlite",
        "sqlite:/x.sqlite",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///file:x?mode=ro&uri=true",
        "sqlite://x.sqlite",
        "sqlite://~/backups/x.sqlite",
        "oracle://u:geheim@h/d",
        "nosuch+driver://u:geheim@h/d",
        "sqlite+aiosqlite:////tmp/x.sqlite",
        "postgresql+asyncpg://u:geheim@h/d",
        "postgresql://u:geheim@h:port/d",
        "postgresql://u:x@geheim@h/d",
        "postgresql:/u:geheim@h/d",
        "postgresql://h/d:geheim@x",
        "u:geheim@h",
        "\n\0",
    ],
)
def test_a_db_uri_of_no_use_gets_one_line_without_the_password(uri: str) -> None:
    message = message_for(uri)

    assert message.startswith("db_uri")
    assert "geheim" not in message
    assert "heim@" not in message


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:////tmp/no\0name.sqlite",
        "sqlite:////tmp/x.sqlite?timeout=long",
        "sqlite:////tmp/x.sqlite?cached_statements=x",
    ],
)
def test_a_db_uri_that_its_driver_refuses_gets_one_line(uri: str) -> None:
    message_for(uri)


@pytest.mark.parametrize(
    ("uri", "extra"),
    [
        ("postgresql://u:geheim@127.0.0.1/d", "backalaika[postgresql]"),
        ("mysql://u:geh/eim@127.0.0.1/d", "backalaika[mysql]"),
        ("mariadb+pymysql://u:geheim@127.0.0.1/d?password=geheim", "backalaika[mysql]"),
    ],
)
def test_a_missing_driver_is_named_with_what_to_install(uri: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for driver in ("psycopg", "pymysql"):
        monkeypatch.setitem(sys.modules, driver, None)
    message = message_for(uri)

    assert f"install {extra}" in message
    assert "geh" not in message


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    message = message_for(f"sqlite:///{tmp_path}/file/catalogue.sqlite")

    assert str(tmp_path / "file") in message


def test_a_directory_is_no_catalogue(tmp_path: Path) -> None:
    assert f"{tmp_path}: is a directory" in message_for(f"sqlite:///{tmp_path}")


def test_a_file_that_is_no_database_is_left_alone(sqlite_file: str) -> None:
    Path(sqlite_file).write_text("a letter to the customer\n" * 100)

    assert "file is not a database" in message_for(f"sqlite:///{sqlite_file}")
    assert Path(sqlite_file).read_text() == "a letter to the customer\n" * 100


def test_a_database_of_another_program_is_left_alone(database: TestDatabase) -> None:
    database.do("CREATE TABLE files (song INTEGER)")

    assert "another program" in message_for(database.uri)
    assert table_names(database) == ["files"]


def test_a_catalogue_of_a_newer_version_is_left_alone(database: TestDatabase) -> None:
    open_catalogue(database.uri).close()
    database.do("UPDATE alembic_version SET version_num = '9999'")

    assert "made by a newer Backalaika" in message_for(database.uri)
    assert database.ask("SELECT version_num FROM alembic_version") == [("9999",)]


def test_a_locked_catalogue_says_that_another_program_is_writing(
    database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backalaika.catalogue.servers.WRITER_TIMEOUT_S", 1)
    short = "?timeout=0.1" if database.backend == "sqlite" else ""
    with open_catalogue(database.uri) as catalogue, open_catalogue(database.uri + short) as hasty:
        with catalogue._writing(), pytest.raises(CatalogueError, match="another program is writing") as caught:
            start_run(hasty)
        start_run(hasty)

    assert "\n" not in str(caught.value)


def test_a_reader_sees_the_last_whole_state_while_another_writes(catalogue: Catalogue, db_uri: str) -> None:
    run_id = start_run(catalogue)
    save_volume(catalogue, run_id, "run/vol001", *(f"/srv/office/{i}" for i in range(7000)))
    with open_catalogue(db_uri) as reader:
        entries = reader.files("")
        next(entries)
        save_volume(catalogue, run_id, "run/vol002", "/srv/office/new")

        assert sum(1 for _ in entries) == 6999
        assert sum(1 for _ in reader.files("")) == 7001


@pytest.mark.timeout(60)
def test_two_writers_wait_for_each_other(catalogue: Catalogue, db_uri: str) -> None:
    run_id = start_run(catalogue)

    def write(number: int) -> None:
        with open_catalogue(db_uri) as own:
            own._source_ids = catalogue._source_ids
            for i in range(20):
                save_volume(own, run_id, f"{number}/{i}", f"/srv/office/{i}/{number}")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(row.files for row in catalogue.volumes()) == 60


def _open_and_close(uri: str) -> None:
    open_catalogue(uri).close()


@pytest.mark.timeout(120)
def test_processes_that_open_a_new_catalogue_at_once_all_get_it(database: TestDatabase) -> None:
    times = 10 if database.backend == "sqlite" else 3
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        for _ in range(times):
            pool.map(_open_and_close, [database.uri] * 4, chunksize=1)
            assert database.ask("SELECT version_num FROM alembic_version") == [(REVISION,)]
            database.empty()


def test_a_catalogue_works_in_another_thread_than_the_one_that_opened_it(catalogue: Catalogue) -> None:
    thread = threading.Thread(target=start_run, args=(catalogue,))
    thread.start()
    thread.join()

    assert catalogue.last_complete_run("office") == {}
    assert catalogue.mark_abandoned_runs() == []


@pytest.mark.parametrize("there", [False, True])
def test_opening_a_new_or_current_catalogue_does_not_import_alembic(db_uri: str, there: bool) -> None:
    if there:
        _open_and_close(db_uri)
    code = (
        "import sys\n"
        "import backalaika.catalogue.rows\n"
        "assert 'sqlalchemy' not in sys.modules\n"
        "from backalaika.catalogue import open_catalogue\n"
        f"open_catalogue({db_uri!r}).close()\n"
        "assert 'alembic' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

"""What can go wrong between here and a server; tests that need one run on each that is named."""

from __future__ import annotations

import multiprocessing
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from catalogue_samples import file_row, save_volume, start_run
from databases import DATABASES, TestDatabase, new_database
from sqlalchemy import make_url
from sqlalchemy.engine import URL

from backalaika.catalogue import REVISION, Catalogue, open_catalogue
from backalaika.catalogue.database import CoreTransaction, bulk_insert
from backalaika.catalogue.schema import folders
from backalaika.catalogue.wanted import Pattern, Wanted
from backalaika.errors import CatalogueError

pytest.importorskip("psycopg")
pytest.importorskip("pymysql")
SERVERS = {name: make_url(uri) for name, uri in DATABASES.items() if name != "sqlite"}


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TestDatabase]:
    """A new database on each server."""
    with new_database(DATABASES[request.param], tmp_path) as made:
        yield made


def message_for(url: URL) -> str:
    with pytest.raises(CatalogueError) as caught:
        open_catalogue(url.render_as_string(hide_password=False))
    message = str(caught.value)
    assert "\n" not in message
    assert "geheim" not in message
    return message


def closed_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


@pytest.mark.parametrize("backend", ["postgresql", "mysql", "mariadb"])
def test_a_server_that_does_not_run_is_named_with_what_to_look_at(backend: str) -> None:
    port = closed_port()
    message = message_for(make_url(f"{backend}://user:geheim@127.0.0.1:{port}/office"))

    assert message.startswith(f"catalogue {backend}://user:***@127.0.0.1:{port}/office: ")
    assert message.endswith("; is the server running, and are host and port in db_uri right?")


@pytest.mark.parametrize("backend", ["postgresql", "mysql"])
def test_a_host_that_does_not_exist_is_an_error_of_one_line(backend: str) -> None:
    assert "host" in message_for(make_url(f"{backend}://user:geheim@no.such.host.invalid/office"))


@pytest.mark.parametrize("backend", ["postgresql", "mysql"])
def test_a_uri_must_name_the_database(backend: str) -> None:
    assert "names no database" in message_for(make_url(f"{backend}://user:geheim@127.0.0.1"))


@pytest.mark.parametrize("setting", ["nosuch=geheim", "charset=nosuch"])
def test_a_setting_that_the_driver_does_not_know_is_an_error_of_one_line(setting: str) -> None:
    message_for(make_url(f"mysql://user:x@127.0.0.1:{closed_port()}/office?{setting}"))


@pytest.mark.parametrize("name", SERVERS)
def test_an_unknown_database_is_to_be_made(name: str) -> None:
    message = message_for(SERVERS[name].set(password="geheim" if name == "postgresql" else None, database="nosuch"))

    assert "nosuch" in message
    assert "let it be made (CREATE DATABASE), or name another in db_uri" in message


@pytest.mark.parametrize("name", SERVERS)
def test_an_unknown_user_is_to_be_corrected(name: str) -> None:
    assert "; correct user and password in db_uri" in message_for(
        SERVERS[name].set(username="no_such_user", password="geheim")
    )


@contextmanager
def postgresql_that_wants_another_password() -> Iterator[int]:
    """What PostgreSQL says to a wrong password; those that trust their users never say it."""

    def answer() -> None:
        client, _ = listener.accept()
        with client:
            while struct.unpack("!ii", client.recv(8, socket.MSG_WAITALL))[1] in (80877103, 80877104):
                client.sendall(b"N")  # neither TLS nor GSSAPI
            fields = b'SFATAL\0C28P01\0Mpassword authentication failed for user "user"\0\0'
            client.sendall(b"E" + struct.pack("!i", len(fields) + 4) + fields)
            client.recv(1000)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


@pytest.mark.timeout(30)
def test_a_wrong_password_is_to_be_corrected_and_not_shown() -> None:
    with postgresql_that_wants_another_password() as port:
        message = message_for(make_url(f"postgresql://user:geheim@127.0.0.1:{port}/office"))

    assert 'password authentication failed for user "user"; correct user and password in db_uri' in message


def _insert_and_be_cut_off(catalogue: Catalogue, server: TestDatabase) -> None:
    with catalogue._writing() as connection:
        bulk_insert(connection, folders, [(bytes([i]) * 16, b"/srv/%d" % i) for i in range(200)])
        server.cut_off()
        bulk_insert(connection, folders, [(b"k" * 16, b"/srv/last")])


def test_a_connection_lost_in_the_middle_of_an_insert_leaves_nothing_and_the_next_is_made_anew(
    server: TestDatabase,
) -> None:
    with open_catalogue(server.uri) as catalogue:
        run_id = start_run(catalogue)
        with pytest.raises(CatalogueError) as caught:
            _insert_and_be_cut_off(catalogue, server)

        assert "\n" not in str(caught.value)
        assert server.ask("SELECT path FROM folders") == []
        save_volume(catalogue, run_id, "run/vol001", "/srv/office/a")
        assert [entry.path for entry in catalogue.files("")] == ["/srv/office/a"]


@pytest.mark.parametrize("at", ["INSERT INTO known", "SELECT COALESCE(MAX(id), 0) FROM name_lists"])
def test_a_connection_lost_while_a_volume_is_finished_leaves_no_half_volume(
    server: TestDatabase, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    def cut_off_after(method: str) -> None:
        real = getattr(CoreTransaction, method)

        def execute(self: CoreTransaction, sql: str, values: Mapping[str, Any]) -> Any:
            done = real(self, sql, values)
            if sql.startswith(at):
                server.cut_off()
            return done

        monkeypatch.setattr(CoreTransaction, method, execute)

    with open_catalogue(server.uri) as catalogue:
        volume_id = catalogue.add_volume(None, "disc", None, "/media/disc", None)
        catalogue.record([], [file_row(volume_id, None, f"/srv/{i}/plan") for i in range(6000)])
        cut_off_after("change")
        cut_off_after("ask")
        with pytest.raises(CatalogueError):
            catalogue.finish_volume(volume_id, 1)

        assert server.ask("SELECT state, files FROM volumes") == [("incomplete", 6000)]
        assert server.ask("SELECT count(*) FROM known") == [(0,)]
        assert sum(1 for _ in catalogue.find(Wanted(Pattern("PLAN")))) == 6000
        monkeypatch.undo()
        catalogue.finish_volume(volume_id, 1)
        assert server.ask("SELECT state FROM volumes") == [("complete",)]
        assert server.ask("SELECT count(*) FROM known") == [(6000,)]
        assert sum(1 for _ in catalogue.find(Wanted(Pattern("PLAN")))) == 6000


def test_writers_and_removers_of_the_same_folders_do_not_hinder_each_other(server: TestDatabase) -> None:
    failures: list[CatalogueError] = []

    def save_and_remove(number: int) -> None:
        try:
            with open_catalogue(server.uri) as own:
                run_id = start_run(own, f"job{number}")
                for i in range(10):
                    volume_id = own.add_volume(run_id, f"{number}/{i}", 1, "/b", None)
                    paths = [f"/srv/{folder}/{number}" for folder in range(20)]
                    own.record([], [file_row(volume_id, None, path) for path in reversed(paths)])
                    own.finish_volume(volume_id, 1)
                    own.drop_volume(volume_id)
        except CatalogueError as error:
            failures.append(error)

    threads = [threading.Thread(target=save_and_remove, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert [server.ask(f"SELECT count(*) FROM {name}") for name in ("files", "folders", "known")] == [[(0,)]] * 3


def _open_and_close(uri: str) -> None:
    open_catalogue(uri).close()


@pytest.mark.timeout(120)
def test_processes_that_migrate_at_once_wait_for_each_other(server: TestDatabase) -> None:
    server.do("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        pool.map(_open_and_close, [server.uri] * 3, chunksize=1)

    assert server.ask("SELECT version_num FROM alembic_version") == [(REVISION,)]


def test_a_list_shows_one_state_though_it_takes_long(server: TestDatabase) -> None:
    with open_catalogue(server.uri) as catalogue, open_catalogue(server.uri) as other:
        run_id = start_run(catalogue)
        save_volume(catalogue, run_id, "run/vol001", *(f"/srv/office/{i}" for i in range(12_000)))
        entries = catalogue.files("")
        next(entries)
        other._source_ids = catalogue._source_ids
        save_volume(other, run_id, "run/vol002", "/srv/office/new")
        other.drop_volume(1)

        assert sum(1 for _ in entries) == 11_999

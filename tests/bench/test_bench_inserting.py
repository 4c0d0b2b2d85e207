"""The catalogue's rate is measured beside the catalogue, which stays as it was, and nothing is left."""

import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from databases import DATABASES, new_database

from backalaika.bench.inserting import insert_rate
from backalaika.catalogue.throwaway import throwaway_catalogue
from backalaika.errors import CatalogueError


@pytest.fixture(params=sorted(DATABASES))
def database(request, tmp_path):
    with new_database(DATABASES[request.param], tmp_path) as made:
        yield made


def leftovers(database, folder):
    """Throw-away catalogues that are there; on a server perhaps those of other tests too."""
    if database.backend == "sqlite":
        return {path.name for path in folder.iterdir() if path.name.startswith("backalaika_bench_")}
    names = database.ask("SELECT schema_name FROM information_schema.schemata")
    return {name for (name,) in names if name.startswith("backalaika_bench_")}


# Another bench, which tells what it has made and stops in the midst of its work.
OTHER = """
import re, sys
from backalaika.catalogue import throwaway

def open_and_tell(uri):
    opened = open_catalogue(uri)
    print(re.search("backalaika_bench_[0-9a-z_]+", uri)[0], flush=True)
    return opened

open_catalogue, throwaway.open_catalogue = throwaway.open_catalogue, open_and_tell
with throwaway.throwaway_catalogue(sys.argv[1]) as catalogue:
    sys.stdin.read()
"""


@contextmanager
def another_bench(uri):
    with subprocess.Popen(
        [sys.executable, "-c", OTHER, uri], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def test_rows_are_inserted_beside_the_catalogue_and_nothing_is_left(database, tmp_path):
    before = sorted(tmp_path.iterdir())
    made = set()

    def look():
        made.update(leftovers(database, tmp_path))

    assert insert_rate(database.uri, 0.0, look) > 100

    assert sorted(tmp_path.iterdir()) == before
    assert made
    wait_until_gone(made, database, tmp_path)


def wait_until_gone(names, database, folder):
    """Those of other tests go too."""
    until = time.monotonic() + 30
    while names & leftovers(database, folder):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_what_a_killed_bench_has_left_the_next_one_removes(database, tmp_path):
    with another_bench(database.uri) as (killed, left), another_bench(database.uri) as (other, used):
        killed.kill()
        killed.wait()
        assert {left, used} <= leftovers(database, tmp_path)

        until = time.monotonic() + 30
        while left in leftovers(database, tmp_path):  # a server takes its time to see that a connection is gone
            insert_rate(database.uri, 0.0, lambda: None)
            assert time.monotonic() < until
        assert used in leftovers(database, tmp_path)

        other.stdin.close()
        assert other.wait(30) == 0  # it had its catalogue to the end
        assert used not in leftovers(database, tmp_path)


def test_what_is_not_of_a_bench_stays_beside_the_catalogue(tmp_path):
    (tmp_path / "backalaika_bench_of_mine").mkdir()
    (tmp_path / "backalaika_bench_of_mine" / "notes.txt").write_text("notes")
    (tmp_path / "backalaika_bench_notes").touch()
    (tmp_path / "backalaika_bench_old").mkdir()

    insert_rate(f"sqlite:///{tmp_path}/not/there/catalogue.sqlite", 0.0, lambda: None)

    assert {path.name for path in tmp_path.iterdir()} == {"backalaika_bench_of_mine", "backalaika_bench_notes"}


def test_an_interrupt_leaves_nothing_either(database, tmp_path):
    made = set()

    def interrupt():
        made.update(leftovers(database, tmp_path))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        insert_rate(database.uri, 10.0, interrupt)

    assert list(tmp_path.iterdir()) == []
    assert made
    wait_until_gone(made, database, tmp_path)


def test_a_catalogue_whose_folder_is_not_there_yet_is_not_made(tmp_path):
    with throwaway_catalogue(f"sqlite:///{tmp_path}/not/there/catalogue.sqlite"):
        assert not (tmp_path / "not").exists()
        assert list(tmp_path.iterdir())

    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_answer_is_one_line():
    with pytest.raises(CatalogueError, match="is the server running"):
        insert_rate("mysql://root:secret@127.0.0.1:9/none?connect_timeout=2", 1.0, lambda: None)

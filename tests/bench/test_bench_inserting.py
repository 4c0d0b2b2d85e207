"""The catalogue's rate is measured beside the catalogue, which stays as it was, and nothing is left."""

import pytest
from databases import DATABASES, new_database

from backalaika.bench.inserting import insert_rate
from backalaika.catalogue.throwaway import throwaway_catalogue
from backalaika.errors import CatalogueError


@pytest.fixture(params=sorted(DATABASES))
def database(request, tmp_path):
    with new_database(DATABASES[request.param], tmp_path) as made:
        yield made


def leftovers(database):
    if database.backend == "sqlite":
        return []
    names = database.ask("SELECT schema_name FROM information_schema.schemata")
    return [name for (name,) in names if name.startswith("backalaika_bench_")]


def test_rows_are_inserted_beside_the_catalogue_and_nothing_is_left(database, tmp_path):
    before = sorted(tmp_path.iterdir())

    assert insert_rate(database.uri, 0.0, lambda: None) > 100

    assert sorted(tmp_path.iterdir()) == before
    assert leftovers(database) == []


def test_an_interrupt_leaves_nothing_either(database, tmp_path):
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        insert_rate(database.uri, 10.0, interrupt)

    assert list(tmp_path.iterdir()) == []
    assert leftovers(database) == []


def test_a_catalogue_whose_folder_is_not_there_yet_is_not_made(tmp_path):
    with throwaway_catalogue(f"sqlite:///{tmp_path}/not/there/catalogue.sqlite"):
        assert not (tmp_path / "not").exists()
        assert list(tmp_path.iterdir())

    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_answer_is_one_line():
    with pytest.raises(CatalogueError, match="is the server running"):
        insert_rate("mysql://root:secret@127.0.0.1:9/none?connect_timeout=2", 1.0, lambda: None)

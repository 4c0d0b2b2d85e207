from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from catalogue_samples import file_row

from backalaika.catalogue import Catalogue
from backalaika.errors import CatalogueError

ADDS = (
    "import sys; from backalaika.catalogue import open_catalogue\n"
    "c = open_catalogue(sys.argv[1])\n"
    "c.add_volume(None, 'disc', None, '/media/cd', None)\n"
    "print('entered', flush=True)\n"
    "sys.stdin.read()\n"
)


@contextmanager
def cataloguing(db_uri: str) -> Iterator[int]:
    """Another process that catalogues the medium ``disc``; gives its number."""
    with subprocess.Popen(
        [sys.executable, "-c", ADDS, db_uri], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "entered\n"
            yield process.pid
        finally:
            process.kill()


def test_a_medium_that_another_process_catalogues_is_neither_taken_over_nor_removed(
    catalogue: Catalogue, db_uri: str
) -> None:
    with cataloguing(db_uri) as pid:
        refusal = rf"^'disc': is being catalogued by process {pid} on .+; wait for it, or stop it$"
        with pytest.raises(CatalogueError, match=refusal):
            catalogue.take_over("disc")
        with pytest.raises(CatalogueError, match=refusal):
            catalogue.remove("disc")
    catalogue.take_over("disc")
    catalogue.remove("disc")

    assert list(catalogue.volumes()) == []


def test_a_medium_that_another_host_catalogues_is_not_taken_over_but_can_be_removed(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as there:
        there.setattr("socket.gethostname", lambda: "elsewhere")
        volume_id = catalogue.add_volume(None, "disc", None, "/media/cd", None)
    with pytest.raises(CatalogueError, match=r"process \d+ on elsewhere; wait for it, or, if it is gone, remove"):
        catalogue.take_over("disc")
    assert catalogue.is_there(volume_id)
    catalogue.remove("disc")

    assert not catalogue.is_there(volume_id)


def test_anybody_may_go_on_with_a_medium_that_was_released(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as there:
        there.setattr("socket.gethostname", lambda: "elsewhere")
        volume_id = catalogue.add_volume(None, "disc", None, "/media/cd", None)
        catalogue.release(volume_id)

    catalogue.take_over("disc")

    assert catalogue.is_there(volume_id)


def test_a_volume_is_finished_once(catalogue: Catalogue, ask: Callable[[str], list[Any]]) -> None:
    volume_id = catalogue.add_volume(None, "disc", None, "/media/cd", None)
    catalogue.record([], [file_row(volume_id, None, "a.jpg")])
    catalogue.finish_volume(volume_id, 10)
    with pytest.raises(CatalogueError, match="finished or removed by another process"):
        catalogue.finish_volume(volume_id, 10)

    assert ask("SELECT pid, size FROM volumes") == [(None, 10)]
    assert ask("SELECT COUNT(*) FROM known") == [(1,)]


def test_troubles_of_a_medium_are_kept_in_order_and_go_with_it(
    catalogue: Catalogue, ask: Callable[[str], list[Any]]
) -> None:
    volume_id = catalogue.add_volume(None, "disc", None, "/media/cd", None)
    other = catalogue.add_volume(None, "other", None, "/media/dvd", None)
    catalogue.record_troubles(volume_id, [(b"/media/cd/b\xff", "is damaged"), (b"/media/cd/a", "cannot be read")])
    catalogue.record_troubles(other, [(b"/media/dvd/c", "is cut off")])
    [first, second] = catalogue.troubles(volume_id)
    assert (first[1:], second[1:]) == ((b"/media/cd/b\xff", "is damaged"), (b"/media/cd/a", "cannot be read"))
    catalogue.drop_troubles([first[0]])
    assert catalogue.troubles(volume_id) == [second]
    catalogue.remove("disc")

    assert ask("SELECT message FROM troubles") == [("is cut off",)]

"""A glance answers what the catalogue itself would, or there is none."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from backalaika.catalogue import REVISION, open_catalogue
from backalaika.catalogue.glance import glance_at
from backalaika.catalogue.rows import COMPLETE, RunStart, SourceFound


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


def test_a_glance_and_the_catalogue_give_the_same_answers(db_uri: str) -> None:
    glance = glance_at(db_uri, REVISION)
    assert glance is not None
    with open_catalogue(db_uri) as catalogue:
        for asked in (glance, catalogue):
            assert asked.last_complete_run("office") == {"/s/\udcff": 7}
            assert asked.last_complete_run("another") == {}
            assert asked.has_run("2026_two%")
            assert not asked.has_run("2026_two")
            assert not asked.has_run("2026%")


def test_there_is_no_glance_where_there_is_doubt(db_uri: str, tmp_path: Path) -> None:
    other = tmp_path / "notes.sqlite"
    other.write_text("no database")

    assert glance_at(db_uri, "9999") is None
    assert glance_at(f"sqlite:///{tmp_path}/new.sqlite", REVISION) is None
    assert glance_at(f"sqlite:///{other}", REVISION) is None
    assert glance_at("postgresql://localhost/test", REVISION) is None
    assert glance_at(f"{db_uri}?timeout=5", REVISION) is None
    assert not os.path.exists(tmp_path / "new.sqlite")


def test_a_glance_waits_for_nobody_who_writes(db_uri: str) -> None:
    writer = sqlite3.connect(db_uri.removeprefix("sqlite:///"), isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    try:
        glance = glance_at(db_uri, REVISION)
        assert glance is not None
        assert glance.last_complete_run("office") == {"/s/\udcff": 7}
    finally:
        writer.close()


def test_a_run_entered_by_a_glance_is_like_any_other(db_uri: str) -> None:
    glance = glance_at(db_uri, REVISION)
    assert glance is not None
    found = SourceFound("/s/\udcff", "s-2", "zip", 9, 90)
    run_id = glance.start_run(RunStart("office \udcff", "/b/three", "moved", 7, [found], 5, True))
    with open_catalogue(db_uri) as catalogue:
        catalogue.adopt_run(run_id)
        volume_id = catalogue.add_volume(run_id, "three/vol001", 1, "/b/three/vol001", 1000)
        catalogue.add_archive(volume_id, "s.001.zip", "zip", source=0)
        catalogue.finish_run(run_id, COMPLETE, 8, 9, 90, 0, 0)

        assert catalogue.last_complete_run("office \udcff") == {"/s/\udcff": 9}
        assert [volume.run_state for volume in catalogue.volumes()][-1] == COMPLETE

"""Rows a second that the catalogue takes in, lists and removes, and how soon it finds one.

    python -m benchmarks.catalogue [ROWS ...] [--repeats N] [--db-uri URI]

In turn, the same rows go into a table with no index by a bare executemany of the driver, all in one transaction; and
into a catalogue as a run records them, with all indexes, foreign keys and folders, by batches of 5,000 and volumes
of at most a million, each of which is finished, so that its contents are known and its names can be searched. Then
searches are timed, and their answers checked; then all is listed, and the last volume removed. Rows are made batch by
batch outside of the time that counts, so that ten million need no memory.

Prints one JSON line for each number of rows. ``ratio`` is of medians, 1 is as fast as bare; DESIGN.md asks for 0.5 at
1,000,000 rows. ``cpu_ratio`` is the same by this process's CPU time, for machines that have other things to do; it
says nothing of servers. Searches are in milliseconds, the median of five after a first one that is told apart.

By default both are new SQLite files in one temporary directory. With ``--db-uri`` both are in that database, which
must be empty and is so again at the end.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from sqlalchemy import create_engine, make_url

from backalaika.catalogue import REVISION, Catalogue, open_catalogue
from backalaika.catalogue.direct import open_directly
from backalaika.catalogue.recording import Recording
from backalaika.catalogue.rows import COMPLETE, FILE, FileRow, RunStart, SourceFound
from backalaika.catalogue.wanted import Pattern, Wanted

from .pairs import at_least_one

BATCH = 5000
FILES_A_FOLDER = 20
FILES_A_VOLUME = 1_000_000
SEARCHES = 5

_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}
_TYPES = {int: "BIGINT", bytes: {"sqlite": "BLOB", "postgresql": "BYTEA", "mysql": "LONGBLOB"}, str: "VARCHAR(16)"}


def make_rows(first: int, number: int, volume_id: int, archive_id: int) -> list[FileRow]:
    """Rows as an office share has them: 20 files a folder, random digests, sizes of all magnitudes."""
    chance = random.Random(first)
    start = 1_700_000_000_000_000_000
    return [
        FileRow(
            volume_id,
            archive_id,
            b"/srv/office/department %d/project %d" % (i // 10_000, i // FILES_A_FOLDER),
            b"letter to the customer %d.odt" % i,
            FILE,
            int(2 ** chance.uniform(6, 24)),
            start + chance.randrange(10**17),
            start + 10**17 + i,
            1_000_000 + i,
            chance.randbytes(16),
            i // 100,
            i % 100 * 7000,
            None,
        )
        for i in range(first, first + number)
    ]


class Seconds:
    """Seconds by the clock and of this process's CPU time, added up over all that it is around."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    def __enter__(self) -> None:
        self.wall -= time.perf_counter()
        self.cpu -= time.process_time()

    def __exit__(self, *exc_info: object) -> None:
        self.wall += time.perf_counter()
        self.cpu += time.process_time()


def batches(number: int, size: int) -> Iterator[tuple[int, int]]:
    """First row and number of rows of each batch."""
    return ((first, min(size, number - first)) for first in range(0, number, size))


def time_bare(number: int, db_uri: str) -> Seconds:
    """Seconds that the driver's executemany takes for all rows, its commit included."""
    url = make_url(db_uri)
    backend = url.get_backend_name()
    engine = create_engine(url.set(drivername=_DRIVERS[backend]))
    connection = engine.raw_connection()
    cursor = connection.cursor()
    columns = ", ".join(
        f"c{i} {_TYPES[bytes][backend] if isinstance(value, bytes) or value is None else _TYPES[type(value)]}"
        for i, value in enumerate(make_rows(0, 1, 1, 1)[0])
    )
    cursor.execute(f"CREATE TABLE bare ({columns})")
    connection.commit()
    mark = "?" if backend == "sqlite" else "%s"
    statement = f"INSERT INTO bare VALUES ({', '.join([mark] * len(FileRow._fields))})"
    seconds = Seconds()
    for first, count in batches(number, BATCH):
        rows = make_rows(first, count, 1, 1)
        with seconds:
            cursor.executemany(statement, rows)
    with seconds:
        connection.commit()
    cursor.execute("SELECT count(*) FROM bare")
    assert cursor.fetchone()[0] == number
    cursor.execute("DROP TABLE bare")
    connection.commit()
    connection.close()
    engine.dispose()
    return seconds


def record(catalogue: Recording, number: int) -> Seconds:
    """Fill a catalogue; the seconds that it takes."""
    run_id = catalogue.start_run(
        RunStart("job", "/b/run", "", 0, [SourceFound("/srv/office", "office", "zip", number, 0)])
    )
    seconds = Seconds()
    for volume, (begin, files) in enumerate(batches(number, FILES_A_VOLUME), 1):
        title = f"run/vol{volume:03}"
        volume_id = catalogue.add_volume(run_id, title, volume, f"/b/{title}", None)
        archive_id = catalogue.add_archive(volume_id, f"office.{volume:03}.zip", "zip", 0)
        for first, count in batches(files, BATCH):
            rows = make_rows(begin + first, count, volume_id, archive_id)
            with seconds:
                catalogue.record([], rows)
        with seconds:
            catalogue.finish_volume(volume_id, 1)
    catalogue.finish_run(run_id, COMPLETE, 1, number, 0, 0, 0)
    return seconds


def searches(number: int) -> dict[str, tuple[Wanted, int]]:
    """What is searched, and how many files that must find."""
    middle = number // 2 + min(345, number // 4)
    # Of the last batch, for what is random in a row depends on where its batch begins.
    last = (number - 1) // BATCH * BATCH
    row = make_rows(last, number - last, 1, 1)[-1]
    project = middle // FILES_A_FOLDER
    assert row.digest is not None
    nines = "99998"
    with_nines = sum(1 for i in range(number) if nines in str(i))
    return {
        "part of a name, one file": (Wanted(Pattern(f"customer {middle}.")), 1),
        "digits that many names have apart": (Wanted(Pattern(nines)), with_nines),
        "a name that is not there": (Wanted(Pattern("budget")), 0),
        "glob": (
            Wanted(Pattern(f"*{middle}.od?")),
            len({middle} | {i for i in range(number) if str(i).endswith(str(middle))}),
        ),
        "part of a path": (
            Wanted(Pattern(f"project {project}/letter")),
            min(FILES_A_FOLDER, number - project * FILES_A_FOLDER),
        ),
        "two characters that no name has": (Wanted(Pattern("qq")), 0),
        "content": (Wanted(contents=((row.size, row.digest),)), 1),
        "digest alone": (Wanted(digest=row.digest.hex()), 1),
    }


def time_searches(catalogue: Catalogue, number: int) -> dict[str, Any]:
    """Milliseconds of each search, the first and the median of those after it."""
    result: dict[str, Any] = {}
    for name, (wanted, expected) in searches(number).items():
        times = []
        for _ in range(SEARCHES + 1):
            start = time.perf_counter()
            found = sum(1 for _ in catalogue.find(wanted))
            times.append((time.perf_counter() - start) * 1000)
            assert found == expected, (name, found, expected)
        result[name] = {"first": round(times[0], 1), "median": round(statistics.median(times[1:]), 1)}
    return result


def time_catalogue(number: int, db_uri: str) -> tuple[Seconds, dict[str, Any]]:
    """Seconds to record; rows a second that are listed and removed, and the searches."""
    open_catalogue(db_uri).close()
    recording = open_directly(db_uri, REVISION) or open_catalogue(db_uri)  # as a run does
    recorded = record(recording, number)
    recording.close()
    with open_catalogue(db_uri) as catalogue:
        found = time_searches(catalogue, number)
        listing, removal = Seconds(), Seconds()
        with listing:
            assert sum(1 for _ in catalogue.files("")) == number
        titles = [volume.title for volume in catalogue.volumes()]
        with removal:
            removed = catalogue.remove(titles[-1]).files
        for title in titles[:-1]:
            if not db_uri.startswith("sqlite"):
                catalogue.remove(title)
    return recorded, {
        "listed_rows_a_second": round(number / listing.wall),
        "removed_rows_a_second": round(removed / removal.wall),
        "search_ms": found,
    }


def measure(number: int, repeats: int, db_uri: str | None) -> dict[str, Any]:
    """All figures for one number of rows."""
    bare: list[Seconds] = []
    recording: list[Seconds] = []
    others: dict[str, Any] = {}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            bare.append(time_bare(number, db_uri or f"sqlite:///{folder}/bare.sqlite"))
            recorded, others = time_catalogue(number, db_uri or f"sqlite:///{folder}/catalogue.sqlite")
            recording.append(recorded)
    wall, cpu = (
        [statistics.median(getattr(one, kind) for one in kinds) for kinds in (bare, recording)]
        for kind in ("wall", "cpu")
    )
    return {
        "database": (db_uri or "sqlite").partition(":")[0],
        "rows": number,
        "repeats": repeats,
        "bare_rows_a_second": round(number / wall[0]),
        "catalogue_rows_a_second": round(number / wall[1]),
        "ratio": round(wall[0] / wall[1], 3),
        "ratios": sorted(round(one.wall / other.wall, 3) for one, other in zip(bare, recording, strict=True)),
        "cpu_ratio": round(cpu[0] / cpu[1], 3),
        "cpu_us_a_row": [round(seconds / number * 1e6, 2) for seconds in cpu],
    } | others


def main() -> None:
    """Measure, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", type=at_least_one, default=[100_000])
    parser.add_argument("--repeats", type=at_least_one, default=3)
    parser.add_argument("--db-uri", help="an empty database; by default new SQLite files")
    arguments = parser.parse_args()
    for number in arguments.rows:
        print(json.dumps(measure(number, arguments.repeats, arguments.db_uri)), flush=True)


if __name__ == "__main__":
    main()

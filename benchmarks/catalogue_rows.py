"""Rows a second that the catalogue takes in, against a bare executemany into a table with no index.

    python benchmarks/catalogue_rows.py [ROWS [REPEATS]] [--db-uri URI]

Both write the same rows to new SQLite files in one temporary directory, in turn: `Catalogue.record` by batches of
5,000 with all its indexes, foreign keys and folders; sqlite3 alone all rows in one transaction, folders as they are.
Prints one JSON line. ``ratio`` is of medians, 1 is as fast as bare; DESIGN.md asks for 0.5 at 1,000,000 rows.

With ``--db-uri``, the catalogue is in that database, which must be empty and is so again at the end; the bare one
stays SQLite, as a measure of the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sqlite3
import statistics
import tempfile
import time

from backalaika.catalogue import open_catalogue
from backalaika.catalogue.rows import COMPLETE, FILE, FileRow, RunStart, SourceFound

BATCH = 5000
FILES_A_FOLDER = 20


def make_rows(number: int, volume_id: int, archive_id: int) -> list[FileRow]:
    """Rows as an office share has them: 20 files a folder, random digests, sizes of all magnitudes."""
    chance = random.Random(1)
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
        for i in range(number)
    ]


def time_bare(rows: list[FileRow], folder: str) -> float:
    """Seconds that sqlite3 takes, its commit included."""
    connection = sqlite3.connect(os.path.join(folder, "bare.sqlite"))
    connection.execute(f"CREATE TABLE files ({', '.join(FileRow._fields)})")
    start = time.perf_counter()
    with connection:
        connection.executemany(f"INSERT INTO files VALUES ({', '.join('?' * len(FileRow._fields))})", rows)
    seconds = time.perf_counter() - start
    assert connection.execute("SELECT count(*) FROM files").fetchone() == (len(rows),)
    connection.close()
    return seconds


def time_catalogue(number: int, db_uri: str) -> tuple[float, float, float]:
    """Seconds that the catalogue takes to record the rows, to list them again, and to remove them."""
    with open_catalogue(db_uri) as catalogue:
        run_id = catalogue.start_run(
            RunStart("job", "/b/run", "", 0, [SourceFound("/srv/office", "office", "zip", number, 0)])
        )
        volume_id = catalogue.add_volume(run_id, "run/vol001", 1, "/b/run/vol001", None)
        rows = make_rows(number, volume_id, catalogue.add_archive(volume_id, "office.001.zip", "zip", 0))
        start = time.perf_counter()
        for first in range(0, number, BATCH):
            catalogue.record([], rows[first : first + BATCH])
        catalogue.finish_volume(volume_id, 1)
        recorded = time.perf_counter()
        assert sum(1 for _ in catalogue.files("run/vol001")) == number
        listed = time.perf_counter()
        catalogue.finish_run(run_id, COMPLETE, 1, number, 0, 0, 0)
        before_removal = time.perf_counter()
        assert catalogue.remove("run/vol001").files == number
        return recorded - start, listed - recorded, time.perf_counter() - before_removal


def main() -> None:
    """Measure, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="?", type=int, default=200_000)
    parser.add_argument("repeats", nargs="?", type=int, default=5)
    parser.add_argument("--db-uri", help="an empty database; by default new SQLite files")
    arguments = parser.parse_args()
    number = arguments.rows
    rows = make_rows(number, 1, 1)
    bare, recording, listing, removal = [], [], [], []
    for _ in range(arguments.repeats):
        with tempfile.TemporaryDirectory() as folder:
            bare.append(time_bare(rows, folder))
            recorded, listed, removed = time_catalogue(
                number, arguments.db_uri or f"sqlite:///{folder}/catalogue.sqlite"
            )
            recording.append(recorded)
            listing.append(listed)
            removal.append(removed)
    result = {
        "database": (arguments.db_uri or "sqlite").partition(":")[0],
        "rows": number,
        "repeats": arguments.repeats,
        "bare_rows_a_second": round(number / statistics.median(bare)),
        "catalogue_rows_a_second": round(number / statistics.median(recording)),
        "listed_rows_a_second": round(number / statistics.median(listing)),
        "removed_rows_a_second": round(number / statistics.median(removal)),
        "ratio": round(statistics.median(bare) / statistics.median(recording), 3),
        "spread_s": {
            "bare": [round(min(bare), 3), round(max(bare), 3)],
            "catalogue": [round(min(recording), 3), round(max(recording), 3)],
        },
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()

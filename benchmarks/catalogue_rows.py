"""Rows a second that the catalogue takes in, against a bare executemany into a table with no index.

    python benchmarks/catalogue_rows.py [ROWS [REPEATS]]

Both write the same rows to new SQLite files in one temporary directory, in turn: `Catalogue.record` by batches of
5,000 with all its indexes, foreign keys and folders; sqlite3 alone all rows in one transaction, folders as they are.
Prints one JSON line. ``ratio`` is of medians, 1 is as fast as bare; DESIGN.md asks for 0.5 at 1,000,000 rows.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import statistics
import sys
import tempfile
import time

from backalaika.catalogue import open_catalogue
from backalaika.catalogue.rows import FILE, FileRow, RunStart, SourceFound

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


def time_catalogue(number: int, folder: str) -> tuple[float, float]:
    """Seconds that the catalogue takes to record the rows, and to list them again."""
    with open_catalogue(f"sqlite:///{folder}/catalogue.sqlite") as catalogue:
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
        return recorded - start, time.perf_counter() - recorded


def main() -> None:
    """Measure, and print the result."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    repeats = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    rows = make_rows(number, 1, 1)
    bare, recording, listing = [], [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            bare.append(time_bare(rows, folder))
            recorded, listed = time_catalogue(number, folder)
            recording.append(recorded)
            listing.append(listed)
    result = {
        "rows": number,
        "repeats": repeats,
        "bare_rows_a_second": round(number / statistics.median(bare)),
        "catalogue_rows_a_second": round(number / statistics.median(recording)),
        "listed_rows_a_second": round(number / statistics.median(listing)),
        "ratio": round(statistics.median(bare) / statistics.median(recording), 3),
        "spread_s": {
            "bare": [round(min(bare), 3), round(max(bare), 3)],
            "catalogue": [round(min(recording), 3), round(max(recording), 3)],
        },
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()

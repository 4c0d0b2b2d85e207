"""Inserting: how many rows a second the catalogue takes in, as a run records them.

The rows are made up, in the proportions of an office share, and go into a throw-away catalogue on the disk or server
of the configured one, with all its indexes, by the batch.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from ..catalogue.rows import FILE, FileRow, RunStart, SourceFound

BATCH = 5000
_FILES_A_FOLDER = 20
_YEARS_NS = 10**17


def insert_rate(db_uri: str, seconds: float, check: Callable[[], None]) -> float:
    """Rows a second; at least two batches, of which the first, which makes the tables warm, does not count.

    Args:
        db_uri: of the configured catalogue, which is left alone.
        seconds: how long to insert.
        check: called between batches; it may raise.

    Raises:
        CatalogueError: the database cannot be reached, or does not let a throw-away one be made.
        OSError: the folder cannot be written.
    """
    from ..catalogue.throwaway import throwaway_catalogue

    with throwaway_catalogue(db_uri) as catalogue:
        source = SourceFound("/srv/office", "office", "zip", BATCH, 0)
        run_id = catalogue.start_run(RunStart("bench", "/srv/backups/bench", "", 0, [source]))
        volume_id = catalogue.add_volume(run_id, "bench/vol001", 1, "/srv/backups/bench/vol001", None)
        archive_id = catalogue.add_archive(volume_id, "office.001.zip", "zip", 0)
        catalogue.record([], make_rows(0, volume_id, archive_id))
        spent, batches = 0.0, 0
        deadline = time.perf_counter() + seconds
        while not batches or time.perf_counter() < deadline:
            check()
            rows = make_rows(batches + 1, volume_id, archive_id)
            start = time.perf_counter()
            catalogue.record([], rows)
            spent += time.perf_counter() - start
            batches += 1
    return batches * BATCH / spent


def make_rows(number: int, volume_id: int, archive_id: int) -> list[FileRow]:
    """The rows of a batch; the same for the same number."""
    chance = random.Random(number)  # noqa: S311 - chance, not secrets
    rows = []
    for i in range(number * BATCH, (number + 1) * BATCH):
        mtime_ns = 1_700_000_000_000_000_000 + chance.randrange(_YEARS_NS)
        folder = b"/srv/office/department %d/project %d" % (i // 10_000, i // _FILES_A_FOLDER)
        name = b"letter to the customer %d.odt" % i
        size, digest = int(2 ** chance.uniform(6, 24)), chance.randbytes(16)
        looks = size, mtime_ns, mtime_ns + 1, 1_000_000 + i
        rows.append(FileRow(volume_id, archive_id, folder, name, FILE, *looks, digest, i // 100, i % 100 * 7000, None))
    return rows

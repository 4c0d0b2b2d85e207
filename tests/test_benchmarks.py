"""`python -m benchmarks` runs its rows on tiny trees, and says what it cannot run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]


def benchmarks(*arguments):
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=200)


@pytest.mark.slow
def test_rows_tell_ratio_spread_rates_and_memory_of_every_program():
    done = benchmarks("--only", "zst,small,hash,start", "--scale", "0.003", "--rounds", "2", "--json")

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["failed"] == []
    assert result["machine"]["cpus"] >= 1
    rows = {}
    for line in result["rows"]:
        rows.setdefault((line["row"], line["against"]), line)
    for key in (("zst", "zstd"), ("small", "zstd")):
        line = rows[key]
        low, high = line["ratio_spread"]
        assert low <= high
        assert line["files"] > 0
        for told in line["programs"].values():
            assert len(told["seconds"]) == 2
            assert told["files_a_second"] > 0
        assert line["programs"]["backalaika"]["peak_memory"] > 10_000_000
    assert rows["zst", "zstd"]["size_ratio"] < 1.5
    assert rows["start", "python -c pass"]["seconds_more"] > 0
    for row in ("zst", "small", "hash", "start"):
        assert row in done.stderr


def test_a_row_that_there_is_not_is_refused():
    done = benchmarks("--only", "zst,nothing")

    assert done.returncode == 2
    assert "there is no row 'nothing'" in done.stderr

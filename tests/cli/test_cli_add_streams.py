"""`backalaika add` of compressed files with which something is wrong: what is printed is ours, and names the file."""

from __future__ import annotations

import bz2
import gzip
import random
import subprocess
import sys

import pytest

SILENT = """
import os, sys
from backalaika.reading.pool import silence_libraries
silence_libraries()
os.write(2, b"a library's")
print("ours", file=sys.stderr)
os.write(2, b"a library's")
raise SystemError("ours too")
"""


@pytest.mark.timeout(120)
def test_lines_of_the_library_that_decodes_are_not_printed(home, tmp_path):
    pytest.importorskip("rapidgzip")
    root = tmp_path / "medium"
    root.mkdir()
    noise = random.Random(1).randbytes(9_000_000)
    (root / "followed.bz2").write_bytes(bz2.compress(noise[:5_000_000], 1) + b"something else")
    packed = gzip.compress(noise, 1)
    (root / "cut.gz").write_bytes(packed[: len(packed) * 2 // 3])
    err = home.run("add", "Streams", root, "--workers", "8", status=1).err

    lines = err.strip().splitlines()
    assert "Warning" not in err
    assert [line for line in lines if "is followed by other data" in line or "is cut" in line]
    said = ("not read as it should be: ", "2 problems:", "  not read as it should be: ", "Catalogued ", "")
    assert [line for line in lines if line and not line.startswith(said[:-1])] == []


def test_a_process_that_silences_libraries_still_says_what_goes_wrong(home):
    done = subprocess.run([sys.executable, "-c", SILENT], env=home.environment, capture_output=True, text=True)

    assert done.stderr.startswith("ours\nTraceback")
    assert done.stderr.endswith("SystemError: ours too\n")
    assert "a library's" not in done.stderr.replace('b"a library\'s"', "")

"""`backalaika add` on archives that nobody here made, compared with what other readers found in them.

They are no part of this repository, and lie beside it where there is room for them; each bit of memory counts.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
from memory import peak_memory
from starting import PROGRAM

ARCHIVES = Path(__file__).parents[3] / "shared" / "archives"
# What is entered: other kinds are listed as files.
CODECS = ("gz", "bz2", "xz", "zst")
ENTERED = {"zip", "7z", "iso", "tar", *(f"tar.{codec}" for codec in CODECS), *(f"{codec}-stream" for codec in CODECS)}
# Nothing that is read here is wrong with these.
SOUND = {
    "broken/libarchive__test_read_format_7zip_zstd.7z": "libarchive 3.6 knows no zstd in a 7z",
    "broken/libarchive__test_compat_lz4_skippable_frames_B4.tar.lz4": "lz4 is not entered, whatever is in it",
    "broken/rs-async-zip__zstd.data.zst": "zeros after a frame are padding to bsdtar and gzip",
}
# What others take for one of a kind that is not entered, and is entered here.
ENTERED_ALL_THE_SAME = {"odd/rc-zip__wine-zeroed.zip.bz2"}


@pytest.fixture(scope="module")
def expected():
    if not ARCHIVES.is_dir():
        pytest.skip(f"{ARCHIVES.parent.name}/{ARCHIVES.name} is not there")
    return [json.loads(line) for line in (ARCHIVES / "EXPECTED.jsonl").read_text().splitlines()]


@pytest.fixture
def added(home, expected):
    """Report, rows by the path of their archive, and memory."""
    told = home.root / "report.json"  # larger than what fits in a pipe that nobody reads meanwhile
    with told.open("w") as out:
        process = subprocess.Popen(
            [*PROGRAM, "add", "Archives", str(ARCHIVES), "--workers", "4", "--digest", "sha256", "--json"],
            stdout=out, stderr=subprocess.DEVNULL, env=home.environment, cwd=home.root,
        )  # fmt: skip
        peak = peak_memory(process)
    report = json.loads(told.read_text())
    rows = defaultdict(list)
    for line in home.run("files", "Archives", "--json", status=0, timeout=300).out.splitlines():
        row = json.loads(line)
        rows[row["archive"]].append(row)
    return process.returncode, report, rows, peak


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_archives_of_others_are_listed_as_other_readers_list_them(added, expected):
    status, report, rows, peak = added
    told = defaultdict(list)
    for problem in report["errors"] + report["notes"]:
        told[problem["path"].removeprefix(f"{ARCHIVES}/").partition("!/")[0]].append(problem["message"])

    assert (status, report["state"]) == (1, "complete")
    assert report["files"] == sum(len(files) for _, _, files in os.walk(ARCHIVES))
    assert peak < 500_000_000
    compared = 0
    for archive in expected:
        if (
            not archive["file"].startswith("wellformed/")
            or archive["kind"] not in ENTERED
            or not archive.get("members")
        ):
            continue
        if any("not known here" in message for message in told[archive["file"]]):
            continue  # PPMd, and what else README.md says
        assert members_found(rows[archive["file"]], archive) == members_expected(archive), archive["file"]
        compared += 1
    assert compared > 400
    silent = {
        archive["file"]
        for archive in expected
        if archive["file"].startswith("broken/")
        and archive["kind"] in ENTERED
        and archive["status"] != "ok"
        and not archive.get("without_error")
        and not told[archive["file"]]
    }
    assert silent == set(SOUND)
    not_entered = {archive["path"].removeprefix(f"{ARCHIVES}/"): archive["kind"] for archive in report["not_entered"]}
    others = {archive["file"]: archive["kind"] for archive in expected if archive["kind"] not in ENTERED | {"unknown"}}
    assert len(others) > 100
    assert {name for name in others if name not in not_entered and not told[name]} == ENTERED_ALL_THE_SAME
    broken = {archive["file"] for archive in expected if archive["file"].startswith("broken/")}
    assert {name for name in broken if name not in not_entered and not told[name]} <= SOUND.keys() | {
        archive["file"] for archive in expected if archive["kind"] in ENTERED
    }


def members_found(rows, archive):
    nameless = archive["kind"].endswith("-stream")
    found = []
    for row in rows:
        if row["kind"] == "file":
            # Where the encoding was guessed, and is not UTF-8, the bytes are what others list too.
            raw = bytes.fromhex(row.get("path_bytes", ""))
            name = row["path"] if raw.decode(errors="replace").encode() == raw else f"hex:{raw.hex()}"
            found.append(("" if nameless else name, row["size"], row["digest"]))
    return sorted(found)


def members_expected(archive):
    return sorted((name or "", size, digest) for name, size, digest, *_ in archive["members"])


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_archives_that_need_much_memory_are_decoded_one_after_another(home, tmp_path):
    """Each of these takes 120 MiB, there are four processes, and each file is large enough to be a task of its own."""
    root = tmp_path / "large windows"
    root.mkdir()
    content = "head -c 1100000 /dev/urandom; head -c 260000000 /dev/zero"
    pack = f"({content}) | xz --lzma2=preset=0,dict=120MiB > 0.xz"
    subprocess.run(pack, shell=True, check=True, timeout=200, cwd=root)
    for number in range(1, 12):
        shutil.copy(root / "0.xz", root / f"{number}.xz")
    command = [*PROGRAM, "add", "Large", str(root), "--workers", "4", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=home.environment, cwd=home.root) as process:
        peak = peak_memory(process)
        report = json.loads(process.communicate()[0])

    assert (process.returncode, report["errors"], report["members"]) == (0, [], 12)
    assert peak < 400_000_000


HANGS_ON_SECOND_READ = """
import os, time
read, seen = os.read, set()
def slow(descriptor, size):
    if os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")) == "a.zst":
        if "a" in seen:
            time.sleep(1000)
        seen.add("a")
    return read(descriptor, size)
os.read = slow
"""


@pytest.mark.timeout(120)
def test_a_process_that_hangs_while_it_has_much_memory_does_not_keep_it(home, tmp_path):
    root, shim = tmp_path / "large windows", tmp_path / "shim"
    root.mkdir()
    shim.mkdir()
    noise = os.urandom(1_000_000)
    for name in "abcd":
        pack = ["zstd", "-q", "--long=26", "-o", root / f"{name}.zst"]
        subprocess.run(pack, input=noise, check=True)  # of which it does not know the size, and makes the window large
    (shim / "sitecustomize.py").write_text(HANGS_ON_SECOND_READ)
    environment = home.environment | {"PYTHONPATH": f"{shim}:{home.environment['PYTHONPATH']}"}
    done = home.run(
        "add", "Large", root, "--workers", "3", "--timeout", "3", "--json", status=1, env=environment, timeout=100
    )  # fmt: skip

    assert [problem["path"] for problem in done.json()["errors"]] == [str(root / "a.zst")]
    rows = [json.loads(line) for line in home.run("files", "Large", "--json", status=0).out.splitlines()]
    assert {row["archive"] for row in rows if row["digest"] and row["archive"]} == {"b.zst", "c.zst", "d.zst"}

"""``backup --dry-run``: what it says, and that it writes nothing."""

import os
import random
import re

import pexpect
import pytest
from command_line import on_terminal

MIB = 1 << 20


def everything(home):
    """All files but those of the source, and but SQLite's own beside the catalogue, which reading it makes too."""
    files = (path for path in home.root.rglob("*") if "source" not in path.parts)
    return sorted(path for path in files if not path.name.endswith((".sqlite-shm", ".sqlite-wal")))


def noise(home, name, size):
    path = home.source / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(random.Random(name).randbytes(size))


def planned(home, path, *more, status=0):
    return home.run("backup", path, "--yes", "--dry-run", "--json", *more, status=status).json()


def test_nothing_is_written_not_even_a_catalogue(home):
    path = home.job()
    before = everything(home)

    done = home.run("backup", path, "--dry-run", "--yes", status=0)

    assert "4 files, 280 bytes" in done.out
    assert "an estimate, by 280 bytes of the content, compressed as samples" in done.out
    assert f"{home.source} " in next(line for line in done.out.splitlines() if line.startswith("vol001"))
    assert everything(home) == before
    assert home.processes() == []


def test_what_does_not_compress_is_planned_as_it_comes(home):
    for number in range(12):
        noise(home, f"{number % 3}/{number}.bin", 300_000)
    path = home.job("zst", more=f"config = dict(max_size={MIB}, volume_sizes=[0.5, 3])")

    plan = planned(home, path)
    report = home.run("backup", path, "--yes", "--json", status=0).json()

    planned_size = sum(volume["size"] for volume in plan["volumes"])
    assert plan["ratio"] is None
    assert (plan["files"], plan["bytes"]) == (report["files"], report["bytes"])
    assert report["archive_bytes"] * 0.99 <= planned_size <= report["archive_bytes"] * 1.02
    assert len(plan["volumes"]) == len(report["volumes"])
    assert all(volume["size"] <= volume["capacity"] for volume in plan["volumes"])
    assert all(volume["fill"] == volume["size"] / volume["capacity"] for volume in plan["volumes"])


@pytest.mark.parametrize("options", ["zip", "zst", "xz"])
def test_samples_tell_how_well_a_first_run_compresses(home, options):
    for number in range(60):
        words = random.Random(number).choices(["a word", "another one", "and", "a third, longer", "12345"], k=9000)
        (home.source / f"{number:02d}.txt").write_text(" ".join(words))
    noise(home, "film.bin", 3_000_000)
    noise(home, "photos/1.jpg", 400_000)
    path = home.job(options, more=f"config = dict(max_size={MIB})")

    plan = planned(home, path)
    report = home.run("backup", path, "--yes", "--json", status=0).json()

    planned_size = sum(volume["size"] for volume in plan["volumes"])
    assert 0 < plan["sampled_bytes"] <= plan["bytes"]
    assert report["archive_bytes"] * 0.9 < planned_size < report["archive_bytes"] * 1.1 < report["bytes"]
    assert abs(len(plan["volumes"]) - len(report["volumes"])) <= 1


def test_the_last_complete_run_gives_an_estimate_and_adds_no_run(home):
    for number in range(6):
        (home.source / f"{number}.txt").write_text("a word and a number: 12345\n" * 20_000)
    path = home.job("gz")
    report = home.run("backup", path, "--yes", "--json", status=0).json()
    runs, before = home.runs(), everything(home)

    plan = planned(home, path)
    shown = home.run("backup", path, "--yes", "--dry-run", status=0).out

    assert plan["ratio"] == report["archive_bytes"] / report["bytes"] < 0.1
    size = sum(volume["size"] for volume in plan["volumes"])
    assert report["archive_bytes"] / 2 < size < report["archive_bytes"] * 2 + 8192
    assert "an estimate" in shown
    assert home.runs() == runs
    assert everything(home) == before


def test_known_files_are_counted_and_not_planned(home):
    noise(home, "known.bin", 50_000)
    path = home.job()
    home.run("backup", path, "--yes", status=0)
    (home.source / "known.bin").rename(home.source / "renamed.bin")
    noise(home, "new.bin", 70_000)
    (home.source / "empty").touch()

    plan = planned(home, path, "--skip-known")

    assert (plan["known_files"], plan["known_bytes"]) == (5, 50_280)
    assert (plan["files"], plan["bytes"]) == (2, 70_000)
    assert "5 files, 50.3 kB known already" in home.run("backup", path, "--yes", "--dry-run", "--skip-known").out


def test_unused_media_and_files_that_are_cut_are_named(home):
    noise(home, "large.bin", 3_000_000)
    path = home.job("zip", more=f"config = dict(max_size={2 * MIB}, volume_sizes=[1, 0.5])")

    plan = planned(home, path)
    shown = home.run("backup", path, "--yes", "--dry-run", status=0)

    assert plan["errors"] == []
    assert plan["cut"] == [str(home.source / "large.bin")]
    assert sum(volume["size"] for volume in plan["volumes"]) > 3_000_000
    assert all(volume["size"] <= volume["capacity"] for volume in plan["volumes"])
    assert plan["unused"] == [MIB // 2]
    assert "Unused     a medium of 524 kB" in shown.out
    assert f"Cut        {home.source / 'large.bin'}: into parts" in shown.out


def test_each_source_is_told_apart(home):
    other = home.root / "source" / "other"
    other.mkdir()
    (other / "file").write_bytes(bytes(100_000))
    path = home.root / "two.py"
    path.touch(0o600)
    path.write_text(
        f"job = dict(name='two', sources=[({str(home.source)!r}, 'zip'), ({str(other)!r}, 'xz,separate_dirs')])\n"
    )

    plan = planned(home, str(path))

    assert [source["path"] for source in plan["sources"]] == [str(home.source), str(other)]
    assert [source["files"] for source in plan["sources"]] == [5, 1]
    assert [share["path"] for share in plan["volumes"][0]["sources"]] == [str(home.source), str(other)]


def test_what_would_stop_the_run_is_told(home):
    path = home.job()
    for file in list(home.source.iterdir()):
        file.unlink()

    plan = planned(home, path)

    assert plan["warnings"] == [f"{home.source}: this source is empty; is its share mounted?"]
    assert home.run("backup", path, "--yes", "--dry-run").err.startswith("the backup would ask or stop: ")


def test_a_source_that_may_be_empty_would_not_stop_the_run(home):
    path = home.job()
    for file in list(home.source.iterdir()):
        file.unlink()

    assert planned(home, path, "--allow-shrunk")["warnings"] == []
    assert home.run("backup", path, "--yes", "--dry-run", "--allow-shrunk", status=0).err == ""


def test_what_is_done_for_the_safety_of_each_volume_is_told(home):
    path = home.job()

    plain = home.run("backup", path, "--yes", "--dry-run", status=0).out
    verified = home.run("backup", path, "--yes", "--dry-run", "--verify=deep", status=0).out

    assert "Safety" not in plain
    assert "Safety     each volume is read back (deep)\n" in verified
    assert planned(home, path, "--verify")["verify"] == "sums"
    assert planned(home, path)["verify"] is None


# How many files are hashed at once, in this process and its threads.
COUNTS = """
import builtins, threading, time
import backalaika.run.hashing

lock, now, most = threading.Lock(), 0, 0

def digest_slowly(*arguments):
    global now, most
    with lock:
        now += 1
        most = max(most, now)
    time.sleep(0.05)
    result = digest(*arguments)
    with lock:
        now -= 1
    open({told!r}, "w").write(str(most))
    return result

digest, backalaika.run.hashing._digest_files = backalaika.run.hashing._digest_files, digest_slowly
"""


@pytest.mark.parametrize(
    ("switches", "config", "most"),
    [
        (("--readers", "1"), "", 1),
        (("--readers", "2", "--workers", "6"), "", 2),
        (("--workers", "3"), "", 3),
        (("--workers", "0"), "", 1),
        (("--readers", "4"), "config = dict(workers=2, readers=1)", 2),
        ((), "config = dict(workers=4, readers=3)", 3),
    ],
)
def test_no_more_files_are_hashed_at_a_time_than_a_run_would_read(home, switches, config, most):
    for number in range(1000):
        (home.source / f"{number}.bin").write_bytes(f"{number:04}".encode())
    home.run("backup", home.job(), "--yes", status=0)
    for path in home.source.iterdir():
        os.utime(path, (1, 1))
    told = home.root / "told"
    path = home.job(more=config + COUNTS.format(told=str(told)))

    plan = planned(home, path, "--skip-known", *switches)

    assert plan["known_files"] == 1004
    assert min(most, 2) <= int(told.read_text()) <= most


def test_a_source_that_is_missing_stops_it(home):
    line = home.refused("backup", home.job(source=home.root / "gone"), "--yes", "--dry-run")

    assert "does not exist" in line


def test_without_a_terminal_it_needs_no_comment(home):
    line = home.refused("backup", home.job(), "--dry-run")

    assert "--skip-known/--no-skip-known, --since" in line
    assert "--comment" not in line
    home.run("backup", home.job(), "--dry-run", "--no-skip-known", "--since", "all", status=0)


@pytest.mark.timeout(120)
def test_on_a_terminal_it_asks_what_matters_shows_bars_and_starts_nothing(home):
    noise(home, "half.bin", 500_000)
    path = home.job(more=f"config = dict(max_size={MIB})")
    terminal = on_terminal(home, "backup", path, "--dry-run", dimensions=(40, 120))
    terminal.expect("Skip files .*catalogue.*] ")
    terminal.sendline("")
    terminal.expect("modified since when.*all. ")
    terminal.sendline("")
    terminal.expect(pexpect.EOF)
    terminal.close()

    assert terminal.exitstatus == 0
    assert "comment" not in terminal.before
    assert "Press Enter" not in terminal.before
    shown = re.sub(r"\x1b\[[0-9;]*m", "", terminal.before)
    assert re.search(r"vol001 +━+╸?━* +48\.\d % ", shown), shown
    assert not os.path.exists(home.backups)

"""One title added twice: at once, or again after an interruption."""

import json
import os
import signal
import subprocess
import sys
import zipfile

import pytest
from command_line import wait_for
from databases import DATABASES, new_database

from backalaika.catalogue import open_catalogue
from backalaika.reading.medium import add_medium
from backalaika.reading.messages import Settings
from backalaika.reading.report import Medium
from backalaika.reading.watched import watched_tree

GOES_ON = """
import os, tracemalloc
from backalaika.catalogue import open_catalogue
from backalaika.catalogue.rows import FileRow
from backalaika.reading.earlier import compare
from backalaika.reading.messages import Settings
from backalaika.reading.watched import watched_tree
with open_catalogue({uri!r}) as catalogue, watched_tree({root!r}, Settings(), lambda: None, 0, 1) as tree:
    volume = catalogue.add_volume(None, "Many", None, {root!r}, None)
    rows = []
    for found in tree.walk(print):
        member = found.member
        folder, _, name = member.path.rpartition(b"/")
        values = (folder, name) if member.kind == "file" else (member.path, b"")
        rows.append(FileRow(volume, None, *values, member.kind, member.size, member.mtime_ns, *[None] * 6))
    catalogue.record([], rows)
    number = sum(row.kind == "file" for row in rows)
    del rows
    tracemalloc.start()
    kept = compare(catalogue, volume, tree, lambda path: False, lambda: None)
    now, peak = tracemalloc.get_traced_memory()
    assert kept.has_read(b"7/77") and not kept.has_read(b"7/none")
    print(number, now, peak)
"""


def listed(home, title):
    return [json.loads(line) for line in home.run("files", title, "--json", status=0).out.splitlines()]


@pytest.fixture
def big(tmp_path):
    root = tmp_path / "big"
    root.mkdir()
    for name in range(20):
        with zipfile.ZipFile(root / f"{name:02}.zip", "w") as out:
            out.writestr("noise", os.urandom(1 << 20))
            out.writestr("more", b"more")
    return root


@pytest.fixture
def slow(home, tmp_path):
    """An environment in which files named 1*.zip take their time."""
    folder = tmp_path / "slow"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import os, time\nreal = os.pread\n"
        "def slow(descriptor, *what):\n"
        "    if os.path.basename(os.readlink(f'/proc/self/fd/{descriptor}')).startswith('1'):\n"
        "        time.sleep(0.2)\n"
        "    return real(descriptor, *what)\n"
        "os.pread = slow\n"
    )
    return home.environment | {"PYTHONPATH": f"{folder}:{home.environment['PYTHONPATH']}"}


def begin(home, slow, root, *switches):
    """Begin to add a medium; it is at the slow half of its files, and the others are recorded."""
    process = home.start("add", "Big", root, "--workers", "1", *switches, env=slow)
    wait_for(lambda: "09.zip" in home.run("files", "Big").out)
    return process


def interrupt(process):
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130


@pytest.mark.timeout(120)
def test_a_medium_that_is_being_added_is_neither_added_at_once_nor_removed(home, big, slow):
    process = begin(home, slow, big)
    for command in (["add", "Big", big], ["remove", "Big", "--yes"]):
        refused = home.run(*command, status=2)
        assert f"'Big': is being catalogued by process {process.pid} on " in refused.err
        assert refused.err.strip().count("\n") == 0
    _, err = process.communicate(timeout=60)

    assert process.returncode == 0, err
    rows = listed(home, "Big")
    assert len(rows) == len({(row["archive"], row["path"]) for row in rows}) == 60
    home.run("remove", "Big", "--yes", status=0)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("switches", [["--no-hash"], ["--depth", "2"], ["--encoding", "cp866"], ["--digest", "sha256"]])
def test_an_add_goes_on_with_the_same_switches_only(home, big, slow, switches):
    interrupt(begin(home, slow, big))
    refused = home.run("add", "Big", big, *switches, status=2)

    assert "interrupted at" in refused.err
    assert "with --digest xxh3-128 --depth 1; go on with these, or remove it first" in refused.err
    assert refused.err.strip().count("\n") == 0


@pytest.mark.timeout(120)
def test_an_add_goes_on_with_the_same_limits_against_bombs_only(home, big, slow):
    config = home.root / ".backalaika"
    interrupt(begin(home, slow, big))
    config.write_text("config = dict(max_ratio=7)\n")
    config.chmod(0o600)
    refused = home.run("add", "Big", big, status=2)
    config.unlink()
    home.run("remove", "Big", "--yes", status=0)

    assert "with --digest xxh3-128 --depth 1; go on with these" in refused.err
    config.write_text("config = dict(max_members=70000)\n")
    config.chmod(0o600)
    interrupt(begin(home, slow, big))
    config.unlink()
    assert "--depth 1, with max_members=70000; go on with these" in home.run("add", "Big", big, status=2).err


@pytest.mark.timeout(120)
def test_what_changed_on_a_medium_before_an_add_goes_on_is_read_anew(home, big, slow):
    (big / "folder").mkdir()
    (big / "folder" / "gone.txt").write_text("gone")
    (big / "became").write_text("a file")
    interrupt(begin(home, slow, big))
    with zipfile.ZipFile(big / "03.zip", "w") as out:
        out.writestr("new", b"new")
    (big / "04.zip").unlink()
    (big / "folder" / "gone.txt").unlink()
    (big / "became").unlink()
    (big / "became").mkdir()
    home.run("add", "Big", big, status=0)
    went_on = listed(home, "Big")
    home.run("add", "Afresh", big, status=0)

    def what(rows):
        return sorted((row["archive"] or "", row["path"], row["kind"], row["digest"] or "") for row in rows)

    assert what(went_on) == what(listed(home, "Afresh"))
    assert [row["path"] for row in went_on if row["archive"] == "03.zip"] == ["new"]


@pytest.mark.timeout(120)
def test_damage_that_an_interrupted_add_met_is_told_by_the_one_that_goes_on(home, big, slow):
    def damage(name):
        whole = (big / name).read_bytes()
        (big / name).write_bytes(whole[:1000] + b"XXXX" + whole[1004:])

    sound = (big / "02.zip").read_bytes()
    damage("02.zip")
    damage("05.zip")
    interrupt(begin(home, slow, big))
    (big / "02.zip").write_bytes(sound)
    report = home.run("add", "Big", big, "--json", status=1)

    assert report.json()["resumed_files"] >= 9
    [problem] = report.json()["errors"]
    assert problem["path"].startswith(str(big / "05.zip"))
    assert "\n1 problem:" in report.err
    assert str(big / "05.zip") in report.err


@pytest.mark.timeout(120)
def test_an_add_that_goes_on_counts_what_was_recorded_before_and_takes_the_new_description(home, big, slow):
    interrupt(begin(home, slow, big, "-d", "old"))
    done = home.run("add", "Big", big, "-d", "new", "--json", status=0)
    [volume] = [json.loads(line) for line in home.run("volumes", "--json", status=0).out.splitlines()]

    report = done.json()
    assert report["resumed_files"] >= 9
    assert (report["files"], report["archives"], report["members"]) == (20, 20, 40)
    assert f"and 40 in archives ({report['resumed_files']} files were recorded before)" in done.err
    assert volume["description"] == "new"


@pytest.mark.timeout(120)
def test_the_progress_of_an_add_that_goes_on_is_of_all(big, tmp_path):
    class Watching:
        def __init__(self):
            self.files = self.size = 0

        def advance(self, files, size, name):
            self.files, self.size = self.files + files, self.size + size

        def problem(self, problem):
            raise AssertionError(problem)

    def stop():
        if watching.files > 5 and is_first:
            raise KeyboardInterrupt

    uri, medium = f"sqlite:///{tmp_path}/catalogue.sqlite", Medium("Big", str(big))
    with open_catalogue(uri) as catalogue, watched_tree(str(big), Settings(), lambda: None, 0, 1) as tree:
        for is_first in (True, False):
            watching = Watching()
            report = add_medium(catalogue, medium, tree, Settings(), watching, stop, 0, 1)
            assert (report.state == "interrupted") == is_first

    assert report.resumed_files > 5
    assert watching.files == 20
    assert watching.size == sum(path.stat().st_size for path in big.iterdir())


@pytest.mark.timeout(120)
def test_an_add_that_goes_on_holds_little_of_each_file_that_was_recorded(home, tmp_path):
    root = tmp_path / "many"
    for folder in range(20):
        (root / f"{folder}").mkdir(parents=True)
        for name in range(1000):
            (root / f"{folder}" / f"{name}").touch()
    uri = f"sqlite:///{tmp_path}/catalogue.sqlite"
    done = subprocess.run(
        [sys.executable, "-c", GOES_ON.format(root=str(root), uri=uri)],
        env=home.environment, capture_output=True, text=True, timeout=100, check=True,
    )  # fmt: skip
    resumed, after, at_most = map(float, done.stdout.split())

    assert resumed == 20_000
    assert after / resumed < 40
    assert at_most / resumed < 150


@pytest.mark.timeout(180)
@pytest.mark.parametrize("server", DATABASES)
def test_an_add_whose_database_fails_midway_has_failed_and_goes_on(home, big, slow, tmp_path, server):
    with new_database(DATABASES[server], tmp_path) as made:
        process = home.start("add", "Big", big, "--workers", "1", "--db", made.uri, env=slow)
        wait_for(lambda: "09.zip" in home.run("files", "Big", "--db", made.uri).out)
        made.do("ALTER TABLE files RENAME TO lost")
        out, err = process.communicate(timeout=60)
        made.do("ALTER TABLE lost RENAME TO files")

        [line] = err.splitlines()
        assert (process.returncode, out) == (3, "")
        assert "'Big' is not complete in the catalogue, and the same command goes on" in line
        assert home.run("add", "Big", big, "--db", made.uri, "--json", status=0).json()["resumed_files"] >= 9
        rows = [json.loads(it) for it in home.run("files", "Big", "--db", made.uri, "--json").out.splitlines()]
        assert len(rows) == len({(row["archive"], row["path"]) for row in rows}) == 60

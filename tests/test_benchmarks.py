"""`python -m benchmarks` runs its rows on tiny trees and on trees of users, and says what it cannot run."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]


def benchmarks(*arguments, module="benchmarks", **environment):
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(
        command, cwd=CHECKOUT, capture_output=True, text=True, timeout=550, env=os.environ | environment
    )


@pytest.fixture
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(CHECKOUT))


@pytest.fixture
def users_tree(tmp_path):
    """What a user may have: blanks and a newline in names, links, a dangling one, two names of a file, a FIFO."""
    tree = tmp_path / "a user's tree" / "my  $files"
    (tree / "sub folder").mkdir(parents=True)
    for number in range(30):
        (tree / "sub folder" / f"letter {number}.txt").write_text(f"dear customer {number}\n" * 500)
    (tree / "new\nline.txt").write_text("named by a program")
    (tree / "-x").write_text("an option?")
    (tree / "empty").touch()
    (tree / "another name").hardlink_to(tree / "-x")
    (tree / "folder").symlink_to("sub folder")
    (tree / "file").symlink_to("-x")
    (tree / "dangling").symlink_to("nowhere")
    os.mkfifo(tree / "fifo")
    return tree


def looks(tree):
    return {
        path: (status.st_mode, status.st_ino, status.st_nlink, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        for path in (tree.parent, tree, *tree.rglob("*"))
        for status in (path.lstat(),)
    }


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_rows_tell_ratio_spread_rates_and_memory_of_every_program():
    done = benchmarks("--only", "zst,small,hash,start,add,disc", "--scale", "0.003", "--rounds", "2", "--json")

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["failed"] == []
    assert result["machine"]["cpus"] >= 1
    rows = {}
    for line in result["rows"]:
        rows.setdefault((line["row"], line["against"]), line)
    for key in (("zst", "zstd"), ("small", "zstd"), ("add", "bsdtar -tf"), ("disc", "cat")):
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
    for row in ("zst", "small", "hash", "start", "add", "disc"):
        assert row in done.stderr
    assert "rows written: 0, wanted none" in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_rows_cope_with_what_a_users_tree_may_hold_and_leave_it_as_it_is(users_tree, tmp_path):
    before = looks(users_tree)
    wanted = ["gz", "zip", "small", "add", "hash", "restore", "one"]
    temporary = tmp_path / "temporary files"
    temporary.mkdir()

    done = benchmarks(users_tree, "--only", ",".join(wanted), "--rounds", "1", "--json", TMPDIR=str(temporary))

    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    result = json.loads(done.stdout)
    assert [line for line in result["rows"] if "missing" in line and "not installed" not in line["missing"]] == []
    assert {line["row"] for line in result["rows"]} == {*wanted, "second"}
    assert next(line["rows_written"] for line in result["rows"] if line["row"] == "second") == 0
    assert "fifo: a FIFO: not saved" in done.stderr
    if shutil.which("7z"):
        assert "7z is left out: it waits for ever at a FIFO" in done.stderr
    assert "files of 1 kB" not in done.stdout
    assert looks(users_tree) == before
    assert list(temporary.iterdir()) == []


def test_rows_without_their_peers_are_left_out_and_say_so(tmp_path):
    rows = "gz,zip,zst,bz2,xz,small,add,disc,hash,restore"

    done = benchmarks("--only", rows, "--scale", "0.0005", "--rounds", "1", "--json", PATH=str(tmp_path))

    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    told = {line["row"]: line["missing"] for line in json.loads(done.stdout)["rows"]}
    assert told.keys() == {*rows.split(","), "second"}
    for row, program in (("gz", "pigz"), ("small", "zstd"), ("add", "bsdtar"), ("restore", "zstd"), ("hash", "xxhsum")):
        assert "not installed" in told[row]
        assert program in told[row]
        assert f"{row:10} left out" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "zst,nothing"], "there is no row 'nothing'"),
        (["--rounds", "0"], "--rounds: 0 is no whole number from 1 on"),
        (["--scale", "0"], "--scale: 0 is not more than 0"),
        (["--chart", "chart.gif"], "must end in .svg or .png"),
        (["--from", "/nowhere/result.json", "--chart", "chart.svg"], "--from /nowhere/result.json"),
        ([str(CHECKOUT / "nowhere")], "nowhere: there is no such directory"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_measured(arguments, said):
    done = benchmarks(*arguments)

    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("importable")
def test_a_chart_without_matplotlib_is_refused_before_anything_is_measured(monkeypatch, capsys):
    from benchmarks.__main__ import main

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--only", "start", "--chart", "chart.svg"])

    with pytest.raises(SystemExit) as end:
        main()

    assert end.value.code == 2
    told = capsys.readouterr()
    assert "--chart needs matplotlib" in told.err
    assert told.out == ""


@pytest.mark.usefixtures("importable")
@pytest.mark.parametrize(("wanted", "reached"), [(0.5, True), (0.49, False), (None, None)])
def test_a_row_tells_the_ratio_of_medians_and_the_lowest_and_highest_of_a_pair(wanted, reached):
    from benchmarks.pairs import Run, Side, compared

    def side(*seconds):
        return Side(lambda watch: Run(0, b""), seconds=list(seconds))

    ours = side(1.0, 4.0, 2.0)
    peers = {"slow": side(9.0, 9.0, 9.0), "fast": side(4.0, 5.0, 1.0)}

    line = compared("row", "work", ours, peers, wanted, files=100, content=1000)

    assert line["against"] == "fast"
    assert line["ratio"] == 0.5  # of the medians 2 and 4; the median of the pairs' ratios is 0.8
    assert line["ratio_spread"] == [0.25, 2.0]
    assert line["reached"] is reached
    assert line["programs"]["fast"]["bytes_a_second"] == 250
    assert compared("row", "work", ours, peers, wanted, against="slow")["ratio"] == 0.222


@pytest.mark.usefixtures("importable")
def test_the_fill_is_that_of_the_emptiest_volume_but_the_last():
    from benchmarks.fill import judge, least_but_last

    assert least_but_last([0.995, 0.5, 0.2]) == 0.5
    assert least_but_last([0.5, 0.999]) == 0.5  # the emptiest counts, if it is not the last
    assert least_but_last([0.3]) is None
    assert judge([[0], [1], [2]], [99, 40, 100], 100)["least_fill_but_last"] == 0.4


@pytest.mark.usefixtures("importable")
def test_restored_files_take_the_room_of_two_rounds_however_many_there_are(tmp_path):
    from benchmarks.targets import Targets

    targets = Targets(tmp_path)
    for _ in range(6):
        targets.begin()
        assert list(targets.last.iterdir()) == []
        (targets.last / "folder").mkdir()
        (targets.last / "folder" / "file").write_bytes(bytes(1000))
        (targets.last / "folder" / "file").chmod(0o400)

    sizes = [path.stat().st_size for path in tmp_path.rglob("file")]
    assert len(sizes) == 6  # none is deleted
    assert sum(sizes) == 2000


@pytest.mark.parametrize("rows", [1, 300])
def test_few_rows_of_the_catalogue_are_found_too(rows):
    done = benchmarks(rows, "--repeats", "1", module="benchmarks.catalogue")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == rows

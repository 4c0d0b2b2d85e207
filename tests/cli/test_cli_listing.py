"""What the catalogue knows, on screens and in pipes; the switches of version 0.2; help and completion."""

import json
import os
import subprocess
import sys

import pytest
from starting import PROGRAM

HOSTILE = ["new\nline", "\x1b]0;title\x07\x1b[31mred", os.fsdecode(b"latin-\xe9"), "日本語", "\u202egpj.exe", "tab\t"]
COMMANDS = ["backup", "volumes", "files", "find", "remove"]


@pytest.fixture
def saved(home):
    """A home with one backup of files with hostile names; the title of its volume."""
    for name in HOSTILE:
        (home.source / name).write_text("x")
    home.run("backup", home.job("gz"), "--yes", status=0)
    return f"{home.folders()[0].name}/vol001"


def test_hostile_names_stay_on_their_line_and_cannot_steer_the_terminal(home, saved):
    text = home.run("files", saved, status=0).out

    assert text.replace("\n", "").isprintable()
    assert len(text.splitlines()) == 4 + len(HOSTILE) + 1  # and the directory
    assert r"new\nline" in text
    assert r"latin-\udce9" in text
    assert "日本語" in text


def test_hostile_names_are_whole_in_json(home, saved):
    lines = home.run("files", saved, "--json", status=0).out.splitlines()

    names = {os.path.basename(json.loads(line)["path"]) for line in lines}
    assert names >= set(HOSTILE)


def test_hostile_problems_cannot_steer_the_terminal_nor_spoil_the_report(home):
    for name in HOSTILE:
        os.mkfifo(home.source / name)

    done = home.run("backup", home.job("gz"), "--yes", "--json", status=1)

    assert {os.path.basename(error["path"]) for error in done.json()["errors"]} == set(HOSTILE)
    assert done.err.replace("\n", "").isprintable()


def test_a_terminal_of_another_encoding_gets_escapes(home, saved):
    environment = home.environment | {"PYTHONIOENCODING": "latin-1"}

    done = subprocess.run([*PROGRAM, "files", saved], env=environment, capture_output=True, timeout=60)

    assert done.returncode == 0, done.stderr
    assert rb"\u65e5" in done.stdout


def test_the_report_is_the_only_thing_on_standard_output(home):
    done = home.run("backup", home.job(), "--yes", "--json", "--comment", "before the move", status=0)

    report = done.json()
    assert report["state"] == "complete"
    assert report["files"] == 4
    assert report["comment"] == "before the move"
    assert report["folder"].endswith("-office-before-the-move")
    assert os.path.isdir(report["volumes"][0]["folder"])
    assert "Saved 4 files" in done.err


def test_the_switches_of_version_0_2_do_what_the_commands_do(home, saved):
    for switch, command in (
        (["-v"], ["volumes"]),
        (["-f", saved], ["files", saved]),
        (["-f", ""], ["files", ""]),
        ([f"-f{saved}"], ["files", saved]),
        (["-v", "--json"], ["volumes", "--json"]),
        (["-h"], ["--help"]),
    ):
        by_switch, by_name = home.run(*switch, status=0), home.run(*command, status=0)
        assert by_switch == by_name
        assert by_switch.out

    home.run("-j", home.job(), "--yes", status=0)
    assert len(home.folders()) == 2
    home.run("-r", saved, "--yes", status=0)
    assert saved not in home.run("-v", status=0).out


def test_the_files_of_all_volumes_are_listed_with_their_volume(home, saved):
    home.run("backup", home.job(), "--yes", status=0)

    lines = home.run("files", "", status=0).out.splitlines()

    assert {line.split()[0] for line in lines} == {f"{folder.name}/vol001" for folder in home.folders()}


def test_volumes_are_listed_as_json_one_a_line(home, saved):
    (line,) = home.run("volumes", "--json", status=0).out.splitlines()

    volume = json.loads(line)
    assert (volume["title"], volume["state"], volume["files"]) == (saved, "complete", 4 + len(HOSTILE))


def test_an_empty_catalogue_lists_nothing_and_a_person_is_told_so(home):
    for command, what in (("volumes", "no volumes"), ("runs", "no runs")):
        listed, as_json = home.run(command, status=0), home.run(command, "--json", status=0)
        assert (listed.out, as_json.out, as_json.err) == ("", "", "")
        assert f"The catalogue has {what} yet" in listed.err
    assert home.run("files", "", status=0).out == ""


@pytest.mark.parametrize("arguments", [["files", ""], ["files", "", "--json"], ["--help"]])
def test_a_reader_that_has_seen_enough_is_no_error(home, arguments):
    for i in range(3000):
        (home.source / f"a rather long name of a file, so that the pipe is soon full {i}").touch()
    if arguments != ["--help"]:
        home.run("backup", home.job("gz"), "--yes", status=0)

    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", '"$@" | head -1', "bash", *PROGRAM, *arguments],
        env=home.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1
    assert done.returncode == 0


def test_removing_a_volume_leaves_none_of_its_rows_and_all_files(home, saved):
    import sqlite3

    archives = sorted(home.backups.rglob("*.tar.gz"))

    done = home.run("remove", saved, "--yes", status=0)

    assert saved in done.err
    assert home.run("volumes", status=0).out == ""
    with sqlite3.connect(home.backups / "backalaika.sqlite") as catalogue:
        tables = {row[0] for row in catalogue.execute("select name from sqlite_master where type = 'table'")}
        counts = {
            table: catalogue.execute(f'select count(*) from "{table}"').fetchone()[0]
            for table in tables - {"alembic_version", "sqlite_sequence"}
            if not table.startswith("name_search_")  # FTS5's own, of which the next tells
        }
        catalogue.execute("CREATE VIRTUAL TABLE temp.terms USING fts5vocab(main, name_search, row)")
        assert catalogue.execute("SELECT count(*) FROM terms").fetchone() == (0,)
    assert counts
    # The run and what it found at its source too, for nothing of the job can be restored any more.
    assert {table for table, count in counts.items() if count} == set()
    assert sorted(home.backups.rglob("*.tar.gz")) == archives


CUT_OFF = """
import time
from backalaika.catalogue import open_catalogue, paging
def cut(seconds):
    raise SystemExit(9)
time.sleep, paging.FILES = cut, 2
open_catalogue({uri!r}).remove({title!r})
"""


@pytest.mark.parametrize("command", ["remove", "add", "rebuild", "backup"])
def test_who_goes_on_with_a_removal_that_was_cut_off_says_so_in_one_line(home, saved, command):
    volume = home.folders()[0] / "vol001"
    code = CUT_OFF.format(uri=f"sqlite:///{home.backups}/backalaika.sqlite", title=saved)
    cut = subprocess.run([sys.executable, "-c", code], env=home.environment, capture_output=True, timeout=60)
    assert cut.returncode == 9
    (home.root / "disc").mkdir()
    (home.root / "disc" / "a").write_text("a")
    asked = {
        "remove": ["remove", "nothing", "--yes"],
        "add": ["add", "Disc", home.root / "disc"],
        "rebuild": ["rebuild", volume],
        "backup": ["backup", home.job("gz"), "--yes"],
    }[command]
    done = home.run(*asked, status=2 if command == "remove" else 0)
    lines = [line for line in done.err.splitlines() if "cut off" in line]

    assert lines == [f"going on with a removal from the catalogue that was cut off: {volume}, up to 100,000 entries"]
    assert "cut off" not in home.run("add", "Again", home.root / "disc", status=0).err


def test_without_a_terminal_removing_wants_yes(home, saved):
    assert "--yes" in home.refused("remove", saved)
    assert saved in home.run("volumes", status=0).out


def test_removing_what_is_not_there_is_refused_before_anything_is_asked(home, saved):
    assert "no volume of this title; the nearest titles are" in home.refused("remove", saved[:-1])


def test_help_tells_examples_and_exit_statuses(home):
    text = " ".join(home.run("--help", status=0).out.split())
    assert "backalaika backup jobs/example.py" in text
    for status in ("0 all done", "1 done, but", "2 wrong usage", "3 the run failed", "130 interrupted"):
        assert status in text


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_each_command_tells_its_exit_statuses_and_an_example(home, command):
    long, short = home.run(command, "--help", status=0), home.run(command, "-h", status=0)

    assert long == short
    assert "Exit status: 0" in long.out
    assert f"backalaika {command}" in long.out.split("Examples:")[1]


@pytest.mark.parametrize(
    ("shell", "expected"), [("bash", "complete -o nosort"), ("zsh", "compdef"), ("fish", "complete ")]
)
def test_shells_get_their_completion(home, shell, expected):
    environment = home.environment | {"_BACKALAIKA_COMPLETE": f"{shell}_source"}

    done = subprocess.run(
        [PROGRAM[0], "-c", "import sys; sys.argv[0] = 'backalaika'; from backalaika.cli.main import main; main()"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert expected in done.stdout


def test_completion_knows_the_commands(home):
    environment = home.environment | {
        "_BACKALAIKA_COMPLETE": "bash_complete",
        "COMP_WORDS": "backalaika vol",
        "COMP_CWORD": "1",
    }

    done = subprocess.run(PROGRAM, env=environment, capture_output=True, text=True, timeout=60)

    assert done.stdout.split(",")[-1].strip() == "volumes"


def test_help_does_not_wait_for_heavy_libraries(home):
    done = subprocess.run(
        [PROGRAM[0], "-X", "importtime", "-m", "backalaika", "--help"],
        env=home.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )

    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "click" in imported
    assert not imported & {
        "sqlalchemy",
        "rich",
        "alembic",
        "psutil",
        "xxhash",
        "deflate",
        "zstandard",
        "multiprocessing",
    }


def test_a_medium_is_added_without_waiting_for_heavy_libraries(home):
    home.run("add", "first", str(home.source), status=0)  # makes the catalogue

    done = subprocess.run(
        [PROGRAM[0], "-X", "importtime", "-m", "backalaika", "add", "second", str(home.source)],
        env=home.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "xxhash" in imported
    assert not imported & {"sqlalchemy", "rich", "alembic", "asyncio"}


# A job whose processes tell what they have imported, and whether they are of the pool, when they read a file.
TELLS_MODULES = """
import os, sys
import backalaika.run.worker

read, main = os.readv, os.getpid()

def tell_and_read(descriptor, places):
    if os.getpid() != main:
        with open({diary!r}, "a") as diary:
            diary.write(" ".join(sys.modules) + "\\n")
    return read(descriptor, places)

backalaika.run.worker.read_into = tell_and_read
"""


@pytest.mark.parametrize("switches", [("--no-skip-known",), ("--skip-known", "--rehash")])
def test_no_worker_of_a_backup_carries_heavy_libraries(home, switches):
    diary = home.root / "diary"
    path = home.job(more=TELLS_MODULES.format(diary=str(diary)))

    for _ in range(2):  # one that makes the catalogue, and one that finds it
        diary.unlink(missing_ok=True)
        subprocess.run(
            [*PROGRAM, "backup", path, "--yes", "--workers", "2", *switches],
            env=home.environment,
            check=True,
            capture_output=True,
            timeout=60,
        )
        (home.source / "new.txt").write_text("new")

        told = [{name.partition(".")[0] for name in line.split()} for line in diary.read_text().splitlines()]
        assert told
        assert all("xxhash" in imported for imported in told)
        assert not set().union(*told) & {"sqlalchemy", "rich", "alembic", "asyncio", "psutil"}

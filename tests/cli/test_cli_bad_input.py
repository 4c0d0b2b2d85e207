"""Whatever is wrong is told in one line, before anything is written."""

import os
import shutil
import subprocess

import pytest
from starting import PROGRAM, without_privileges


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("job = dict(name='x', sources=[(\n", "job.py:1: syntax error"),
        ("config = dict()\n", "defines no job"),
        ("job = dict(name='x', sources=[('/', 'zipp')])\n", "did you mean 'zip'?"),
        ("job = dict(name='x', source=[('/', 'zip')])\n", "did you mean 'sources'?"),
        ("job = dict(name='x', sources=['/'])\nconfig = dict(max_sice=1)\n", "did you mean 'max_size'?"),
        ("job = dict(name='x', sources=['/'])\nconfig = dict(max_size='big')\n", "max_size in config is 'big'"),
        (
            "job = dict(name='x', sources=['/etc'])\nconfig = dict(max_size=1000)\n",
            "max_size has a volume of 1,000 bytes",
        ),
        ("raise RuntimeError('no share\\n\\x1b[31m today')\n", "job.py:1: this file's own code failed"),
        ("import sys; sys.exit('come back\\nlater')\n", "come back later"),
        ("job = 1\x00\n", "job.py"),
    ],
)
def test_a_job_file_that_is_wrong_is_refused_with_its_name_and_the_way_to_mend_it(home, text, expected):
    path = home.root / "job.py"
    path.write_text(text)
    path.chmod(0o600)

    line = home.refused("backup", str(path), "--yes")

    assert str(path) in line
    assert expected in line
    assert line.isprintable()
    assert not home.backups.exists()


def test_a_job_file_that_is_missing_is_named(home):
    assert "nosuch.py: there is no such file" in home.refused("backup", "nosuch.py", "--yes")


def test_the_name_of_a_missing_job_file_cannot_write_to_the_screen(home):
    line = home.refused("backup", "a\x1b[31m\nb\udcff.py", "--yes")

    assert line.isprintable()
    assert r"a\x1b[31m\nb\udcff.py" in line


def test_a_directory_is_no_job_file(home):
    assert str(home.source) in home.refused("backup", str(home.source), "--yes")


@pytest.mark.parametrize("mode", [0o602, 0o666])
def test_a_job_file_that_others_can_write_is_not_run(home, mode):
    proof = home.root / "it-ran"
    path = home.job(more=f"open({str(proof)!r}, 'w')")
    os.chmod(path, mode)

    line = home.refused("backup", path, "--yes")

    assert "chmod go-w" in line
    assert not proof.exists()


def test_settings_of_the_user_that_others_can_write_are_not_run_either(home):
    settings = home.root / ".backalaika"
    settings.write_text("config = dict(workers=1)\n")
    settings.chmod(0o666)

    assert ".backalaika" in home.refused("backup", home.job(), "--yes")
    assert ".backalaika" in home.refused("volumes")


def test_a_source_that_does_not_exist_is_named(home):
    line = home.refused("backup", home.job(source=home.root / "nosuch"), "--yes")

    assert f"{home.root}/nosuch: this source does not exist" in line


def test_a_source_that_is_a_file_is_refused(home):
    line = home.refused("backup", home.job(source=home.source / "0.txt"), "--yes")

    assert "0.txt: this source is not a directory" in line


def test_a_source_that_cannot_be_read_is_refused(home):
    home.source.chmod(0)
    try:
        line = home.refused("backup", home.job(), "--yes", preexec_fn=without_privileges)
    finally:
        home.source.chmod(0o700)

    assert "source: this source cannot be read" in line


@pytest.mark.parametrize("date", ["yesterday", "2008-13-01", "2008-02-30", "2999-01-01", "08-12-25"])
def test_a_bad_date_is_refused(home, date):
    line = home.refused("backup", home.job(), "--yes", "--since", date)

    assert repr(date) in line
    assert not home.backups.exists()


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("nonsense", "not the URI of a database"),
        ("oracle://scott:tiger@host/db", "oracle"),
        ("sqlite://", "names no file"),
        ("sqlite:///{home}/source", "is a directory"),
        ("sqlite:///{home}/source/0.txt", "file is not a database"),
        ("sqlite:////proc/nosuch/a.sqlite", "/proc/nosuch/a.sqlite"),
        ("postgresql://nando:tiger@localhost:1/db", "localhost"),
        ("mysql://nando:tiger@localhost:1/db", "localhost"),
        ("postgresql://nando:ti@ger/x@localhost/db", "not the URI of a database"),
    ],
)
def test_a_catalogue_that_cannot_be_opened_is_named_without_its_password(home, uri, expected):
    path = home.job(more=f"config = dict(db_uri={uri.format(home=home.root)!r})")

    line = home.refused("backup", path, "--yes")

    assert expected in line
    assert "tiger" not in line
    assert "ger/x" not in line
    home.assert_nothing_left()


def test_a_catalogue_that_may_not_be_written_is_named(home):
    closed = home.root / "closed"
    closed.mkdir()
    path = home.job(more=f"config = dict(db_uri='sqlite:///{closed}/a.sqlite')")
    closed.chmod(0o500)

    assert f"{closed}/a.sqlite" in home.refused("backup", path, "--yes", preexec_fn=without_privileges)


def test_a_destination_inside_a_source_is_refused(home):
    path = home.job(more=f"config = dict(dir_backups={str(home.source / 'deep' / 'backups')!r})")

    line = home.refused("backup", path, "--yes")

    assert "lies in the source" in line
    assert not (home.source / "deep").exists()


def test_a_destination_that_is_linked_into_a_source_is_refused(home):
    (home.source / "inside").mkdir()
    (home.root / "link").symlink_to(home.source / "inside")

    line = home.refused("backup", home.job(more=f"config = dict(dir_backups={str(home.root / 'link')!r})"), "--yes")

    assert "lies in the source" in line


def test_a_destination_inside_a_source_is_allowed_where_skip_files_leaves_it_out(home):
    inside = home.source / "backups"
    path = home.job(more=f"config = dict(dir_backups={str(inside)!r}, skip_files='backups')")

    report = home.run("backup", path, "--yes", "--json", status=0).json()

    assert report["files"] == 4
    assert report["folder"].startswith(str(inside))


def test_without_a_terminal_the_open_questions_are_named_by_their_switches(home):
    every = home.refused("backup", home.job())
    one = home.refused("backup", home.job(), "--skip-known", "--since", "all")

    assert "--skip-known/--no-skip-known, --since, --comment" in every
    assert "--yes" in every
    assert "--comment" in one
    assert "--since" not in one


def test_without_a_terminal_all_answers_are_as_good_as_yes(home):
    home.run("backup", home.job(), "--no-skip-known", "--since", "all", "--comment", "", status=0)

    assert len(home.folders()) == 1


def test_a_closed_standard_input_is_no_terminal(home):
    done = subprocess.run(
        ["sh", "-c", '"$@" <&-', "sh", *PROGRAM, "backup", home.job()],
        env=home.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 2
    assert "no terminal" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_empty_source_stops_the_run_before_it_starts(home):
    shutil.rmtree(home.source)
    home.source.mkdir()
    path = home.job()

    line = home.refused("backup", path, "--yes")

    assert f"{home.source}: this source is empty" in line
    assert "--allow-shrunk" in line
    home.run("backup", path, "--yes", "--allow-shrunk", status=0)


def test_a_source_that_lost_over_half_of_its_files_stops_the_run_before_it_starts(home):
    path = home.job()
    home.run("backup", path, "--yes", status=0)
    for name in ("0.txt", "1.txt"):
        (home.source / name).unlink()
    home.run("backup", path, "--yes", status=0)
    (home.source / "2.txt").unlink()
    home.run("backup", path, "--yes", status=0)

    for i in range(9):
        (home.source / f"more {i}").touch()
    home.run("backup", path, "--yes", status=0)
    for i in range(6):
        (home.source / f"more {i}").unlink()
    line = home.refused("backup", path, "--yes")

    assert "has 4 files, the last complete run found 10" in line
    home.run("backup", path, "--yes", "--allow-shrunk", status=0)


def test_another_job_may_have_fewer_files_in_the_same_source(home):
    home.run("backup", home.job(), "--yes", status=0)
    for name in ("0.txt", "1.txt", "2.txt"):
        (home.source / name).unlink()

    home.run("backup", home.job(name="other"), "--yes", status=0)


def test_a_destination_that_cannot_be_made_fails_in_one_line(home):
    path = home.job(more=f"config = dict(dir_backups={str(home.source / '0.txt' / 'backups')!r}, skip_files='0.txt')")

    done = home.run("backup", path, "--yes")

    assert done.status in (2, 3)
    assert len([line for line in done.err.splitlines() if "cannot be made" in line]) == 1
    assert "0.txt" in done.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["backpu", "job.py"], "did you mean backup?"),
        (["xyzzy"], "there is no command 'xyzzy'"),
        (["backup"], "FILE"),
        (["backup", "job.py", "--comments", "x"], "--comment"),
        (["backup", "job.py", "--workers", "-1"], "--workers"),
        (["backup", "job.py", "--workers", "many"], "--workers"),
        (["volumes", "too", "much"], "too much"),
        (["files"], "TITLE"),
        (["-j"], "FILE"),
        (["-f"], "TITLE"),
        (["-x"], "-x"),
        (["-a"], "TITLE"),
    ],
)
def test_a_wrong_command_line_is_one_line_too(home, arguments, expected):
    assert expected in home.refused(*arguments)


def test_of_an_unknown_volume_the_nearest_is_named(home):
    home.run("backup", home.job(), "--yes", status=0)
    title = f"{home.folders()[0].name}/vol001"

    for command in (["files", title[:-1] + "2"], ["remove", "--yes", title[:-1] + "2"]):
        assert title in home.refused(*command)
    assert "volumes" in home.refused("files", "something else")


@pytest.mark.parametrize(
    "switches", [("--yes",), ("--yes", "--no-skip-known"), ("--no-skip-known",), ("--yes", "--dry-run")]
)
def test_a_number_of_copies_is_refused_where_known_files_are_saved_all_the_same(home, switches):
    line = home.refused("backup", home.job(), "--copies", "2", *switches)

    assert "give --skip-known, or leave out --copies" in line
    home.run("backup", home.job(), "--yes", "--copies", "2", "--rehash", status=0)  # which implies it

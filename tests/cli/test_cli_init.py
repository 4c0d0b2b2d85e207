"""`backalaika init`: a job file that runs, and a `~/.backalaika` that changes nothing."""

import os
import stat

import pexpect
import pytest
from command_line import press

from backalaika.job.config import KEYS, make_config
from backalaika.job.loading import load_job, load_user_config


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_what_it_writes_is_private_and_runs_at_once(home):
    home.run("init", "office.py", "--source", str(home.source), "--format", "zst", status=0)

    assert mode(home.root / "office.py") == mode(home.root / ".backalaika") == 0o600
    report = home.run("backup", "office.py", "--yes", "--json", status=0).json()
    assert (report["job"], report["files"]) == ("office", 4)
    assert list(home.backups.glob("2*-office/vol001/source.001.tar.zst"))


def test_the_settings_it_writes_are_the_defaults_and_name_every_key(home):
    home.run("init", "--yes", status=0)

    text = (home.root / ".backalaika").read_text()
    assert [key for key in KEYS if f"    # {key}=" not in text] == []
    assert load_user_config(str(home.root)) == make_config(home=str(home.root))
    without_marks = "\n".join(
        line.replace("# ", "", 1) if line.startswith("    # ") and "=" in line.split()[1] else line
        for line in text.splitlines()
    )
    (home.root / ".backalaika").write_text(without_marks)
    assert load_user_config(str(home.root)) == make_config(home=str(home.root))


def test_by_default_it_saves_the_documents_as_zip(home):
    (home.root / "Documents").mkdir()

    home.run("init", "--yes", status=0)

    source = load_job(str(home.root / "work.py"), str(home.root)).sources[0]
    assert (source.path, source.format) == (str(home.root / "Documents"), "zip")


def test_without_documents_it_saves_the_home_but_not_the_backups_in_it(home):
    home.run("init", "--yes", status=0)

    first = home.run("backup", "work.py", "--yes", "--json", status=0).json()
    second = home.run("backup", "work.py", "--yes", "--json", status=0).json()
    assert first["files"] == second["files"] == 6  # the four of the source, and the two that were written


def test_nothing_is_overwritten(home):
    (home.root / "work.py").write_text("mine")
    assert "is there already, and is not overwritten" in home.refused("init", "--yes")
    assert (home.root / "work.py").read_text() == "mine"
    assert not (home.root / ".backalaika").exists()

    settings = home.root / ".backalaika"
    settings.write_text("config = dict(workers=1)\n")
    settings.chmod(0o600)
    done = home.run("init", "other.py", "--yes", status=0)
    assert "stays as it is" in done.out
    assert settings.read_text() == "config = dict(workers=1)\n"


def test_a_link_to_nowhere_is_something_that_is_there(home):
    (home.root / "work.py").symlink_to("elsewhere.py")

    assert "is there already" in home.refused("init", "--yes")
    assert not (home.root / "elsewhere.py").exists()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--format", "zip"), "give --source, or --yes"),
        ((), "give --source and --format, or --yes"),
        (("--source", "/none/such", "--yes"), "there is no such directory"),
        (("--source", "", "--yes"), "the path of a directory"),
        (("missing/job.py", "--yes"), "its directory is not there"),
        (("--format", "rar", "--yes"), "'rar' is not one of"),
    ],
)
def test_what_cannot_be_written_is_refused_in_one_line(home, arguments, part):
    assert part in home.refused("init", *arguments)
    assert not (home.root / "work.py").exists()


def test_names_that_python_or_utf_8_would_mind_are_quoted(home):
    names = ['it\'s a "folder"', "back\\slash", "Bücher\nzwei", os.fsdecode(b"\xff\xfe")]
    for number, name in enumerate(names):
        (home.root / name).mkdir()
        (home.root / name / "file").write_text("x")
        home.run("init", f"{number}.py", "--source", name, "--format", "gz", status=0)

        assert home.run("backup", f"{number}.py", "--yes", "--json", status=0).json()["files"] == 1


def test_a_place_from_which_it_would_not_be_run_is_told(home):
    open_to_all = home.root / "shared"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)

    done = home.run("init", "shared/job.py", "--source", str(home.source), "--yes", status=1)

    assert "everybody can write its directory" in done.err
    assert (open_to_all / "job.py").exists()


def test_on_a_terminal_it_asks_and_asks_again(talk, home):
    terminal = talk("init", "office.py")
    terminal.expect(r"Which directory is to be saved\? \[~\]: ")
    terminal.sendline("nowhere")
    terminal.expect("nowhere: there is no such directory")
    terminal.expect(r"Which directory is to be saved\? \[~\]: ")
    terminal.sendline("source")
    terminal.expect(r"How\? .*\[zip\]: ")
    terminal.sendline("")
    terminal.expect("Look at it, then: backalaika backup office.py")
    terminal.expect(pexpect.EOF)
    terminal.close()

    assert terminal.exitstatus == 0
    source = load_job(str(home.root / "office.py"), str(home.root)).sources[0]
    assert (source.path, source.format) == (str(home.source), "zip")


def test_ctrl_c_at_a_question_writes_nothing(talk, home):
    terminal = talk("init")
    terminal.expect("Which directory")
    press(terminal, "c")
    terminal.expect(pexpect.EOF)
    terminal.close()

    assert terminal.exitstatus == 130
    assert not (home.root / "work.py").exists()
    assert not (home.root / ".backalaika").exists()

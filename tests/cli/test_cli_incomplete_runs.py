"""Runs that ended early, as `volumes` shows them and `remove` cleans them up, and the question at the next start."""

import os
import signal

import pexpect
import pytest
from command_line import wait_for

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def crashed(home, big_source):
    """The folder of a run that was killed when its first archive was complete; its job is `office`."""
    process = home.start("backup", home.job("xz,separate_dirs", source=big_source), "--yes")
    wait_for(lambda: list(home.backups.glob("2*/vol001/a.001.tar.xz")) and home.runs()[-1][1], within_s=100)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    home.assert_nothing_left()
    (folder,) = home.folders()
    return folder


def test_an_incomplete_run_is_listed_with_what_can_be_done(home, crashed):
    done = home.run("volumes", status=0)

    (line,) = done.out.splitlines()
    assert line.endswith(f"{crashed.name}/vol001  INCOMPLETE (interrupted)")
    (advice,) = done.err.splitlines()
    assert f"The run {crashed.name} was interrupted" in advice
    assert "backalaika backup --resume JOBFILE" in advice
    assert "'office'" in advice
    assert f"backalaika remove {crashed.name}" in advice
    assert home.run("volumes", "--json", status=0).err == ""


def test_only_the_last_run_of_a_job_can_go_on(home, crashed):
    home.run("backup", home.job(), "--yes", status=0)

    (advice,) = home.run("volumes", status=0).err.splitlines()

    assert "--resume" not in advice
    assert f"backalaika remove {crashed.name}" in advice
    assert "did not end early" in home.refused("backup", home.job(), "--resume")


def test_a_run_that_is_writing_is_no_incomplete_one(home, big_source):
    process = home.start("backup", home.job("xz,separate_dirs", source=big_source), "--yes")
    wait_for(lambda: list(home.backups.glob("2*/vol001/a.001.tar.xz")) and home.runs()[-1][1], within_s=100)
    (folder,) = home.folders()

    done = home.run("volumes", status=0)

    assert done.out.strip().endswith("INCOMPLETE (running)")
    assert done.err == ""
    for title in (folder.name, f"{folder.name}/vol001"):
        assert "still writing" in home.run("remove", title, "--yes", status=2).err
    assert list(folder.rglob("*.partial"))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)


@pytest.mark.parametrize("of", ["volume", "run"])
def test_removing_cleans_up_what_is_unfinished_and_names_what_stays(home, crashed, of):
    mine = crashed / "vol001" / "download.partial"
    mine.write_bytes(b"the user's own")
    kept = sorted(path for path in crashed.glob("vol001/*") if not path.name.endswith(".partial"))
    title = crashed.name if of == "run" else f"{crashed.name}/vol001"
    assert "--yes" in home.refused("remove", title)
    assert list(crashed.glob("vol001/*.partial"))

    done = home.run("remove", title, "--yes", status=0)

    assert sorted(crashed.glob("vol001/*")) == sorted([*kept, mine])
    assert crashed / "vol001" / "a.001.tar.xz" in kept
    for path in [*kept, mine]:
        assert f"stays: {path}" in done.err
    listed = home.run("volumes", status=0)
    assert listed.out == ""
    assert listed.err.startswith("The catalogue has no volumes yet")
    assert home.runs() == []


def test_removing_a_run_of_which_nothing_is_complete_leaves_no_folder(home, crashed):
    for path in crashed.glob("vol001/*.tar.xz"):
        path.unlink()

    home.run("remove", crashed.name, "--yes", status=0)

    assert home.folders() == []
    assert home.runs() == []


def test_a_run_of_which_nothing_was_recorded_is_cleaned_up_by_its_name(home, crashed):
    import sqlite3

    with sqlite3.connect(home.backups / "backalaika.sqlite") as catalogue:
        for table in ("files", "frames", "archives", "volumes"):
            catalogue.execute(f"delete from {table}")
    assert crashed.name in home.run("volumes", status=0).err

    home.run("remove", crashed.name, "--yes", status=0)

    assert home.runs() == []
    assert not list(crashed.rglob("*.partial"))


def test_a_complete_run_is_not_removed_by_its_name(home):
    home.run("backup", home.job(), "--yes", status=0)
    (folder,) = home.folders()

    assert "no volume of this title" in home.run("remove", folder.name, "--yes", status=2).err
    assert home.runs() == [("complete", ["complete"])]


def test_the_question_before_cleaning_up_says_what_goes(home, crashed, talk):
    terminal = talk("remove", crashed.name)
    terminal.expect(r"delete the unfinished\s+files \(\*.partial\)")
    terminal.expect(":")
    terminal.sendline("n")
    terminal.expect("nothing more is done")

    assert list(crashed.rglob("*.partial"))
    assert len(home.runs()) == 1


@pytest.mark.parametrize("answer", ["", "n"])
def test_the_next_start_of_the_job_asks_whether_to_go_on(home, crashed, big_source, talk, answer):
    terminal = talk("backup", home.job("xz,separate_dirs", source=big_source))
    terminal.expect(f"The run {crashed.name} ended early")
    terminal.expect("Go on with it?.*: ")
    terminal.sendline(answer)
    if answer == "n":
        for question in ("Skip files", "since when", "comment"):
            terminal.expect(question)
            terminal.sendline("")
    terminal.expect("Press Enter to start")
    terminal.sendline("")
    before = [] if answer == "" else ["interrupted"]
    wait_for(lambda: [state for state, _ in home.runs()] == [*before, "running"])
    terminal.sendcontrol("c")  # random bytes take xz long: how it ends is tested elsewhere
    terminal.expect(pexpect.EOF)

    assert [state for state, _ in home.runs()] == [*before, "interrupted"]

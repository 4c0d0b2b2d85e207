"""The conversation on a real terminal."""

import os
import re
import sys

import pexpect
import pytest
from command_line import press
from starting import CHECKOUT

pytestmark = pytest.mark.timeout(120)


def ending(terminal):
    """The rest of what is on the terminal, and the exit status."""
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert "Traceback" not in terminal.before, terminal.before
    return terminal.before, terminal.exitstatus if terminal.exitstatus is not None else -terminal.signalstatus


def test_three_questions_then_the_plan_then_enter(home, talk):
    terminal = talk("backup", home.job("zip"))
    terminal.expect("Skip files .*catalogue.*] ")
    terminal.sendline("n")
    terminal.expect("modified since when.*all. ")
    terminal.sendline("25.12.2008")
    terminal.expect("'25.12.2008' is not a date")
    terminal.expect("modified since when.*all. ")
    terminal.sendline("2008-12-25 14:30")
    terminal.expect("brief comment.*none. ")
    terminal.sendline("before the move")
    terminal.expect("Press Enter to start")
    plan = terminal.before
    assert not home.folders()
    terminal.sendline("")
    rest, status = ending(terminal)

    assert status == 0
    assert "office" in plan
    assert re.search(rf"{home.source}\s+zip\s+4 files", plan)
    assert "2008-12-25 14:30" in plan
    assert f"{home.backups}, volumes of 4.56 GB" in plan
    assert re.search(r"Free\s+[\d.,]+ [MGT]B", plan)
    assert "Saved 4 files" in rest
    assert home.folders()[0].name.endswith("-office-before-the-move")


def test_a_number_of_copies_that_makes_no_difference_is_pointed_out(home, talk):
    terminal = talk("backup", home.job(), "--copies", "2", "--since", "all", "--comment", "")
    terminal.expect("Skip files .*catalogue.*] ")
    terminal.sendline("n")
    terminal.expect("--copies says when a file is known, and no known files are left out; so it makes no difference")
    terminal.expect("Press Enter to start")
    terminal.sendline("")

    assert ending(terminal)[1] == 0


def test_enter_alone_takes_the_defaults(home, talk):
    terminal = talk("-j", home.job())
    for question in ("Skip files", "since when", "comment", "Press Enter"):
        terminal.expect(question)
        terminal.sendline("")
    _, status = ending(terminal)

    assert status == 0
    assert home.folders()[0].name.endswith("-office")


def test_what_a_switch_has_answered_is_not_asked(home, talk):
    terminal = talk("backup", home.job(), "--no-skip-known", "--comment", "x")
    terminal.expect("since when")
    assert "Skip" not in terminal.before
    terminal.sendline("")
    terminal.expect("Press Enter")
    assert "comment" not in terminal.before
    terminal.sendline("")
    assert ending(terminal)[1] == 0


def test_yes_asks_nothing_on_a_terminal_either(home, talk):
    text, status = ending(talk("backup", home.job(), "--yes"))

    assert status == 0
    assert "Press Enter" not in text


@pytest.mark.parametrize("question", ["Skip files", "since when", "comment", "Press Enter"])
@pytest.mark.parametrize("key", ["c", "d"])
def test_ctrl_c_and_ctrl_d_at_a_question_leave_without_a_trace(home, talk, question, key):
    terminal = talk("backup", home.job())
    for asked in ("Skip files", "since when", "comment", "Press Enter"):
        terminal.expect(asked)
        if asked == question:
            press(terminal, key)
            break
        terminal.sendline("")
    _, status = ending(terminal)

    assert status == 130
    assert not home.folders()
    home.assert_nothing_left()


def test_a_source_that_has_shrunk_is_asked_about(home, talk):
    path = home.job()
    home.run("backup", path, "--yes", status=0)
    for name in ("0.txt", "1.txt", "2.txt"):
        (home.source / name).unlink()
    given = ("--no-skip-known", "--since", "all", "--comment", "")

    terminal = talk("backup", path, *given)
    terminal.expect("has 1 files, the last complete run found 4")
    terminal.expect("Back up all the same.*: ")
    terminal.sendline("")
    text, status = ending(terminal)
    assert status == 2
    assert "nothing was started" in text
    assert len(home.folders()) == 1

    terminal = talk("backup", path, *given)
    terminal.expect("Back up all the same.*: ")
    terminal.sendline("y")
    terminal.expect("Press Enter")
    terminal.sendline("")
    assert ending(terminal)[1] == 0


def test_the_bar_appears_above_nothing_and_ends_clean(home, talk):
    for i in range(8):
        (home.source / f"{i}.bin").write_bytes(os.urandom(1 << 20))
    os.mkfifo(home.source / "a\x1b[31mfifo")

    text, status = ending(talk("backup", home.job("xz"), "--yes"))

    assert status == 1
    assert "━" in text
    assert re.search(r"\d+/12 files", text)
    assert re.search(r"a\\x1b\[31mfifo: a FIFO", text)
    assert "\x1b[31mfifo" not in text
    # The cursor is shown again, and the last line is ours.
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert "Saved 12 files" in text.splitlines()[-1]


def test_ctrl_c_while_the_bar_runs_ends_clean(home, talk, big_source):
    terminal = talk("backup", home.job("xz,separate_dirs", source=big_source), "--yes")
    terminal.expect(r"[1-9]\d*/104 files")
    terminal.sendcontrol("c")
    text, status = ending(terminal)

    assert status == 130
    assert "INTERRUPTED after" in text
    assert text.rindex("\x1b[?25h") > text.rfind("\x1b[?25l")
    home.assert_nothing_left()


def test_a_terminal_that_is_closed_ends_the_run_in_order(home, talk, big_source):
    terminal = talk("backup", home.job("xz,separate_dirs", source=big_source), "--yes")
    terminal.expect(r"[1-9]\d*/104 files")
    terminal.ptyproc.fileobj.close()
    terminal.ptyproc.closed = terminal.closed = True

    home.assert_nothing_left(10)
    assert home.runs()[0][0] == "interrupted"


def test_removing_is_asked_on_a_terminal(home, talk):
    home.run("backup", home.job(), "--yes", status=0)
    title = f"{home.folders()[0].name}/vol001"

    terminal = talk("remove", title)
    terminal.expect(f"Remove {title} .*: ")
    terminal.sendline("n")
    assert ending(terminal)[1] == 130
    assert title in home.run("volumes", status=0).out

    terminal = talk("-r", title)
    terminal.expect(f"Remove {title} .*: ")
    terminal.sendline("y")
    assert ending(terminal)[1] == 0
    assert home.run("volumes", status=0).out == ""


def test_json_on_a_terminal_is_apart_from_the_conversation(home, talk, tmp_path):
    out = tmp_path / "report.json"
    command = f"cd {CHECKOUT}; {sys.executable} -m backalaika backup {home.job()} --json > {out}"
    terminal = pexpect.spawn("sh", ["-c", command], env=home.environment, encoding="utf-8", use_poll=True, timeout=30)
    for question in ("Skip files", "since when", "comment", "Press Enter"):
        terminal.expect(question)
        terminal.sendline("")
    _, status = ending(terminal)

    assert status == 0
    assert out.read_text().startswith('{"job": "office"')
    assert len(out.read_text().splitlines()) == 1

"""However a backup is stopped: no traceback, nothing left behind, and a catalogue that agrees with the disk."""

import json
import os
import random
import signal
import subprocess
import tarfile
import time

import psutil
import pytest
from command_line import wait_for

pytestmark = pytest.mark.timeout(120)


# With a thread of its own, the main process must not be forked.
THREAD = "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"


def start_and_wait(home, source, *arguments, more=""):
    """Start a backup of the big source; returns when its first archive is complete and the catalogue knows."""
    process = home.start("backup", home.job("xz,separate_dirs", source=source, more=more), "--yes", *arguments)
    try:
        wait_for(lambda: process.poll() is not None or list(home.backups.glob("2*/vol001/a.001.tar.xz")), 60)
        assert process.poll() is None, process.communicate()
        wait_for(lambda: home.runs()[-1][1])
    except BaseException:
        process.kill()
        raise
    return process


def assert_stopped_in_order(home, process):
    """It left with 130, named what is unfinished, and the catalogue agrees."""
    started = time.monotonic()
    out, err = process.communicate(timeout=20)
    assert time.monotonic() - started < 10
    report = json.loads(out)
    assert process.returncode == report["exit_status"] == 130, err
    assert "Traceback" not in err
    assert report["state"] == "interrupted"
    assert report["failure"] is None
    assert sorted(report["unfinished"]) == sorted(str(path) for path in home.backups.rglob("*.partial"))
    assert report["unfinished"]
    for path in report["unfinished"]:
        assert f"unfinished: {path}" in err
    assert home.runs()[-1] == ("interrupted", ["incomplete"])
    home.assert_nothing_left()


def assert_archives_are_valid(home, source):
    """Each archive that has its name can be read to its end and holds what the source has."""
    archives = sorted(home.backups.glob("2*/vol001/*.tar.xz"))
    assert archives
    for path in archives:
        with tarfile.open(path) as archive:
            members = {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}
        folder = path.name.split(".")[0]
        assert members == {f"source/{folder}/{file.name}": file.read_bytes() for file in (source / folder).iterdir()}


def test_ctrl_c_in_the_midst_of_a_run_leaves_finished_archives_and_nothing_else(home, big_source):
    process = start_and_wait(home, big_source, "--json")

    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all its processes

    assert_stopped_in_order(home, process)
    assert_archives_are_valid(home, big_source)


@pytest.mark.slow
def test_ctrl_c_ends_processes_that_were_not_forked_as_well(home, big_source):
    process = start_and_wait(home, big_source, "--json", more=THREAD)
    assert any("spawn_main" in " ".join(command) for _, command in home.processes())

    os.killpg(process.pid, signal.SIGINT)

    assert_stopped_in_order(home, process)
    assert_archives_are_valid(home, big_source)


@pytest.mark.slow
def test_killing_the_main_process_ends_processes_that_were_not_forked_as_well(home, big_source):
    process = start_and_wait(home, big_source, more=THREAD)

    os.kill(process.pid, signal.SIGKILL)

    process.communicate(timeout=20)
    home.assert_nothing_left(10)


@pytest.mark.slow
@pytest.mark.parametrize("to", ["main process", "all processes"])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_shutdown_and_a_closed_terminal_are_as_good_as_ctrl_c(home, big_source, name, to):
    process = start_and_wait(home, big_source, "--json")

    (os.kill if to == "main process" else os.killpg)(process.pid, getattr(signal, name))

    assert_stopped_in_order(home, process)


@pytest.mark.slow
def test_the_signal_of_a_supervisor_and_that_of_the_terminal_are_one_wish(home, big_source):
    process = start_and_wait(home, big_source, "--json")

    os.kill(process.pid, signal.SIGTERM)
    os.killpg(process.pid, signal.SIGINT)

    assert_stopped_in_order(home, process)


def test_a_second_ctrl_c_ends_a_run_that_waits_for_the_users_own_code(home, tmp_path):
    proof = tmp_path / "called"
    hook = f"import time\ndef after_volume(volume):\n    open({str(proof)!r}, 'w')\n    time.sleep(600)\n"
    process = home.start("backup", home.job(more=hook), "--yes")
    wait_for(proof.exists)

    os.killpg(process.pid, signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1.5)
    os.killpg(process.pid, signal.SIGINT)

    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in err
    home.assert_nothing_left()
    home.run("backup", home.job(), "--yes", status=0)
    assert home.runs() == [("interrupted", ["complete"]), ("complete", ["complete"])]


def test_ctrl_c_in_after_backup_leaves_a_complete_backup(home, tmp_path):
    proof = tmp_path / "called"
    hook = f"import time\ndef after_backup():\n    open({str(proof)!r}, 'w')\n    time.sleep(600)\n"
    process = home.start("backup", home.job(more=hook), "--yes", "--json")
    wait_for(proof.exists)

    os.killpg(process.pid, signal.SIGINT)

    out, err = process.communicate(timeout=20)
    assert "Traceback" not in err
    assert process.returncode == 1
    assert "after_backup() failed: interrupted" in json.loads(out)["errors"][0]["message"]
    assert home.runs() == [("complete", ["complete"])]
    home.assert_nothing_left()


def test_ctrl_c_while_the_job_files_own_code_runs_is_no_traceback(home, tmp_path):
    proof = tmp_path / "called"
    process = home.start("backup", home.job(more=f"import time\nopen({str(proof)!r}, 'w')\ntime.sleep(600)"), "--yes")
    wait_for(proof.exists)

    os.killpg(process.pid, signal.SIGINT)

    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    home.assert_nothing_left()


def test_ctrl_c_that_the_interpreter_would_swallow_is_obeyed(home):
    # As in a weak reference's call-back in the midst of an import: what it raises goes nowhere.
    lost = "import signal\nclass Ending:\n    def __del__(self):\n        signal.raise_signal(signal.SIGINT)\nEnding()"
    process = home.start("backup", home.job(more=lost), "--yes")

    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")
    assert "interrupted; nothing more is done" in err
    assert "Traceback" not in err
    home.assert_nothing_left()


def interrupt_after(home, job, delay_s):
    process = home.start("backup", job, "--yes")
    time.sleep(delay_s)
    try:
        os.killpg(process.pid, signal.SIGINT)
    except ProcessLookupError:
        pytest.fail("it ended before it was interrupted")
    _, err = process.communicate(timeout=20)
    assert "Error" not in err, (delay_s, err)
    assert "Warning" not in err, (delay_s, err)
    # Before the first line of ours, the interpreter itself answers.
    assert "Traceback" not in err or "/backalaika/" not in err, (delay_s, err)
    assert process.returncode in (130, -signal.SIGINT), (delay_s, err)
    home.assert_nothing_left()


def test_ctrl_c_during_the_start_leaves_nothing_behind(home, big_source):
    job = home.job("xz,separate_dirs", source=big_source)
    for delay_s in (0.05, 0.1, 0.15, 0.2, 0.3, 0.5):
        interrupt_after(home, job, delay_s)


@pytest.mark.slow
@pytest.mark.parametrize("more", ["", THREAD], ids=["forked", "not forked"])
def test_ctrl_c_at_any_moment_leaves_nothing_behind(home, big_source, more):
    job = home.job("xz,separate_dirs", source=big_source, more=more)
    moments = random.Random(6)
    for _ in range(25):
        interrupt_after(home, job, moments.uniform(0.05, 2))
    home.run("backup", home.job(), "--yes", status=0)
    assert {state for state, _ in home.runs()[:-1]} <= {"interrupted"}


def test_killing_the_main_process_ends_all_others_and_the_next_start_tells_the_catalogue(home, big_source):
    process = start_and_wait(home, big_source)
    assert len(home.processes()) > 2

    os.kill(process.pid, signal.SIGKILL)

    process.communicate(timeout=20)
    home.assert_nothing_left(10)
    assert home.runs() == [("running", ["incomplete"])]
    home.run("backup", home.job(), "--yes", status=0)
    assert home.runs() == [("interrupted", ["incomplete"]), ("complete", ["complete"])]
    assert_archives_are_valid(home, big_source)


def children(process):
    """The processes of a run by name of what they are: the writer has the output files open."""
    found = {"writer": [], "worker": []}
    for child in psutil.Process(process.pid).children(recursive=True):
        command = " ".join(child.cmdline())
        if "resource_tracker" in command:
            continue
        writes = any(file.path.endswith(".partial") for file in child.open_files())
        found["writer" if writes else "worker"].append(child.pid)
    return found


@pytest.mark.parametrize(("which", "expected"), [("worker", "a worker process died"), ("writer", "writes is gone")])
def test_a_process_that_is_killed_ends_the_run_with_one_line(home, big_source, which, expected):
    process = start_and_wait(home, big_source, "--json")
    victim = wait_for(lambda: children(process)[which])[0]

    os.kill(victim, signal.SIGKILL)

    out, err = process.communicate(timeout=30)
    report = json.loads(out)
    assert process.returncode == report["exit_status"] == 3, err
    assert expected in report["failure"]
    assert len([line for line in err.splitlines() if expected in line]) == 1
    assert "Traceback" not in err
    assert home.runs() == [("failed", ["incomplete"])]
    home.assert_nothing_left()
    assert_archives_are_valid(home, big_source)


def test_what_nohup_ignores_is_no_wish_to_stop(home, tmp_path):
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "a").write_bytes(b"a")
    hang_up = "import os, signal\ndef after_volume(volume):\n    os.kill(os.getpid(), signal.SIGHUP)\n"

    home.run(
        "backup",
        home.job("zip", source=tmp_path / "few", more=hang_up),
        "--yes",
        status=0,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )

"""`--nice`: all processes of a run step back."""

import os
import signal
import sys

import psutil
import pytest
from command_line import wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="priorities are asked for as Linux has them")


def priorities(home, source, *switches, more="", nice=0):
    """Of each process of a run under way: its niceness, and its class and level for disks."""
    job = home.job("xz", source=source, more=more)
    process = home.start("backup", job, "--yes", "--workers", "2", *switches, preexec_fn=lambda: os.nice(nice) and None)
    wait_for(lambda: process.poll() is not None or len(home.processes()) == 4)  # main, writer, two workers
    ones = [psutil.Process(pid) for pid, _ in home.processes()]
    assert len(ones) == 4
    found = {(one.nice(), *one.ionice()) for one in ones}
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    return found


def test_all_processes_of_a_nice_run_step_back(home, big_source):
    assert priorities(home, big_source, "--nice") == {(10, psutil.IOPRIO_CLASS_BE, 7)}


def test_without_it_they_do_not(home, big_source):
    own = psutil.Process()

    assert priorities(home, big_source) == {(own.nice(), *own.ionice())}


def test_the_key_does_the_same_and_the_switch_wins(home, big_source):
    own = psutil.Process()
    more = "config = dict(nice=True)"

    assert priorities(home, big_source, more=more) == {(10, psutil.IOPRIO_CLASS_BE, 7)}
    assert priorities(home, big_source, "--no-nice", more=more) == {(own.nice(), *own.ionice())}


def test_nobody_who_was_nicer_is_made_less_so(home, big_source):
    assert {nice for nice, *_ in priorities(home, big_source, "--nice", nice=15)} == {15}

"""A command that is forked by a server is like one in a new interpreter."""

import subprocess

import pytest
from starting import PROGRAM, environment_of, run_program


@pytest.fixture
def given(tmp_path):
    """Gives a command with a home of its own."""
    return lambda *words, **options: run_program([*PROGRAM, *words], environment_of(tmp_path), tmp_path, **options)


@pytest.mark.parametrize("words", [["volumes"], ["files", "no such\udcff"], ["find", "x", "--size", "?"], ["init"], []])
def test_it_says_the_same_and_leaves_with_the_same_status(given, words):
    forked = given(*words)
    fresh = given(*words, stdin=subprocess.DEVNULL)

    assert (forked.returncode, forked.stdout, forked.stderr) == (fresh.returncode, fresh.stdout, fresh.stderr)


def test_one_that_takes_too_long_is_ended_and_the_next_one_is_heard(given, tmp_path):
    job = tmp_path / "job.py"
    job.write_text("import time\ntime.sleep(100)\n")
    job.chmod(0o600)

    with pytest.raises(subprocess.TimeoutExpired):
        given("backup", str(job), "--yes", timeout_s=2)
    assert given("--version").stdout.startswith("backalaika")

import os
import signal

import pytest
from command_line import Home, on_terminal


@pytest.fixture(scope="session", autouse=True)
def hang_ups_are_heard():
    """Under nohup, or a runner that ignores them, the programs under test would inherit that."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def home(tmp_path):
    """A private home; what a failed test leaves running is ended."""
    made = Home(tmp_path / "home")
    yield made
    made.kill()


@pytest.fixture(scope="session")
def big_source(tmp_path_factory):
    """Two folders that are soon done, and two of 50 MB that take xz some time; random bytes."""
    source = tmp_path_factory.mktemp("big") / "source"
    for folder, files in (("a", 2), ("b", 2), ("c", 50), ("d", 50)):
        (source / folder).mkdir(parents=True)
        for number in range(files):
            (source / folder / f"{number}.bin").write_bytes(os.urandom(1 << 20))
    return source


@pytest.fixture
def talk(home):
    """Start a command on a terminal of its own."""
    started = []

    def start(*arguments):
        terminal = on_terminal(home, *arguments)
        started.append(terminal)
        return terminal

    yield start
    for terminal in started:
        terminal.close(force=True)

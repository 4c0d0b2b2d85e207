"""Job files on disk, and a home directory that is not the tester's own."""

import os
from pathlib import Path

import pytest


@pytest.fixture
def home(tmp_path, monkeypatch):
    folder = tmp_path / "home"
    folder.mkdir(mode=0o755)
    monkeypatch.setenv("HOME", os.fspath(folder))
    return folder


@pytest.fixture
def write(home):
    """Write a program that only its owner can write, whatever the umask; by default the job file."""

    def write(text: str, name: str = "work.py") -> Path:
        path = home / name
        path.write_bytes(os.fsencode(text))
        path.chmod(0o644)
        return path

    return write

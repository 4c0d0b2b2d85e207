"""The program under test as a process of its own, and started in little time.

Most commands take 0.7 s, and 0.4 s of them are the import of SQLAlchemy and Click. So a server, one for each process of
pytest's, imports these two and forks for each command. All that is ours is imported anew in the fork, as a new
interpreter would. A command that asks more of its process than arguments, a folder and a home gets a new interpreter.
"""

from __future__ import annotations

import ctypes
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import IO, Any

PROGRAM = [sys.executable, "-m", "backalaika"]
CHECKOUT = str(Path(__file__).resolve().parents[1])
_LIBRARIES = ("click", "sqlalchemy", "sqlalchemy.dialects.sqlite")
_LARGEST_REQUEST = 1 << 17
# Of what an interpreter asks its environment when it starts.
_SETTINGS = ("PYTHON", "LANG", "LC_", "LD_")


def environment_of(home: Path) -> dict[str, str]:
    """The environment of a program whose home directory this is."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "COV_", "_BACKALAIKA"))}
    return kept | {"HOME": str(home), "PYTHONPATH": CHECKOUT, "LANG": "C.UTF-8"}


def run_program(
    command: list[Any], environment: dict[str, str], folder: Path, timeout_s: float = 60, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Give a command, `PROGRAM` first, and wait for its end; ``options`` are more of `subprocess.run`'s."""
    command = [os.fsdecode(word) for word in command]
    server = None if options or command[: len(PROGRAM)] != PROGRAM else _server_for(environment)
    if server and server.free.acquire(blocking=False):
        try:
            return server.run(command, environment, folder, timeout_s)
        finally:
            server.free.release()
    return subprocess.run(
        command,
        env=environment,
        cwd=folder,
        timeout=timeout_s,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        **({"stdin": subprocess.DEVNULL} | options),
    )


class _Server:
    """The process that forks; it ends when this one does."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.settings = _settings(environment)
        self.free = threading.Lock()  # it does one command at a time
        self.is_lost = False
        self._socket, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(its.fileno())],
                # Nobody's home, or it would be taken for what the first command has left behind.
                env={name: value for name, value in environment.items() if name != "HOME"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[its.fileno()],
                start_new_session=True,
            )

    def run(
        self, command: list[str], environment: dict[str, str], folder: Path, timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        with open(os.devnull) as nothing, _empty_text() as out, _empty_text() as err:
            request = json.dumps([command[len(PROGRAM) :], environment, str(folder)]).encode()
            socket.send_fds(self._socket, [request], [file.fileno() for file in (nothing, out, err)])
            child = int(self._socket.recv(32))
            self._socket.settimeout(timeout_s)
            try:
                status = int(self._socket.recv(32))
            except BaseException as error:  # pytest's own limit of time, too
                os.kill(child, signal.SIGKILL)
                self.is_lost = True  # its next answer would be about this command
                self._socket.close()
                if isinstance(error, TimeoutError):
                    raise subprocess.TimeoutExpired(command, timeout_s) from None
                raise
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(command, status, out.read(), err.read())


def _empty_text() -> IO[str]:
    return tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogateescape")


_server: _Server | None = None


def _server_for(environment: dict[str, str]) -> _Server | None:
    """The server; None where an environment has other settings for the interpreter than it was started with."""
    global _server
    if _server is None or _server.is_lost:
        if environment.get("PYTHONPATH") != CHECKOUT:
            return None
        _server = _Server(environment)
    return _server if _server.settings == _settings(environment) else None


def _settings(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_SETTINGS)}


def _serve(requests: socket.socket) -> None:
    for name in _LIBRARIES:
        import_module(name)
    while True:
        request, descriptors, _, _ = socket.recv_fds(requests, _LARGEST_REQUEST, 3)
        if not request:
            return
        child = os.fork()
        if not child:
            requests.close()
            _become_program(json.loads(request), descriptors)
            return
        for descriptor in descriptors:
            os.close(descriptor)
        requests.send(b"%d" % child)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        try:
            requests.send(b"%d" % status)
        except BrokenPipeError:
            return  # nobody waited so long


def _become_program(request: Any, descriptors: list[int]) -> None:
    """Be what ``python -m backalaika`` would be, and leave with its exit status."""
    arguments, environment, folder = request
    for target, descriptor in enumerate(descriptors):
        os.dup2(descriptor, target)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(folder)
    sys.path[0] = folder
    sys.argv[1:] = arguments
    runpy.run_module("backalaika", run_name="__main__", alter_sys=True)


def without_privileges() -> None:
    """Run in a child before its program: permissions stop it, as they stop any user but root."""
    if os.geteuid() == 0:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            if prctl(24, capability, 0, 0, 0):  # PR_CAPBSET_DROP
                raise OSError(ctypes.get_errno(), "a capability cannot be dropped")


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))

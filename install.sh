#!/bin/sh
# Makes a virtual environment and installs into it: `sh install.sh [DIRECTORY [WHAT ...]]`.
#
# Without arguments, this checkout's package into .venv. It takes the first Python that is new enough, for the system's
# python3 may be an older one, and adds the Debian package without which Python makes no environments there.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
directory=${1:-$here/.venv}
if [ $# -gt 1 ]; then shift; else set -- "$here"; fi

for python in python3 python3.11 python3.12 python3.13 python3.14 none; do
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break
done
if [ "$python" = none ]; then
    echo "install.sh: neither python3 nor a python3.x on PATH is Python 3.11 or later; install one" >&2
    exit 1
fi
"$python" -c 'import ensurepip, venv' 2>/dev/null || sh "$here/tests/debian.sh" "$python-venv"

"$python" -m venv "$directory"
"$directory/bin/python" -m pip install --quiet --disable-pip-version-check "$@"

# Backalaika runs no job file that others can write, and git makes such files where the umask says so.
chmod go-w "$here/jobs" "$here"/jobs/*

#!/bin/sh
# Installs Debian packages: as root, or through sudo. `sh tests/debian.sh PACKAGE ...`
#
# Where that cannot be (another system, no network, no sudo) it says what to install by hand, and fails.
set -eu

give_up() {
    echo "$1: install these packages by hand (their names on Debian), then run the command again: $packages" >&2
    exit 1
}

packages=$*
command -v apt-get >/dev/null || give_up "this system has no apt-get"
if [ "$(id -u)" -eq 0 ]; then
    as_root=
else
    command -v sudo >/dev/null || give_up "you are not root, and there is no sudo"
    as_root=sudo
fi

# Another apt-get may be at work, on a machine that has just started.
apt_get() {
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@" </dev/null
}

echo "Installing Debian packages: $packages"
# One source of packages may be out of reach, and ours be in another: the installation tells.
apt_get update || echo "apt-get update failed; going on with the lists that are here" >&2
apt_get install --yes --no-install-recommends "$@" || give_up "apt-get install failed"

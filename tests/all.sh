#!/bin/sh
# All tests, on a machine that has nothing but Python 3.11: `sh tests/all.sh [TOX'S OPTIONS]`.
#
# The tests read every archive with the ordinary tools; those that are missing are installed first (Debian packages, as
# root or through sudo). tox gets a virtual environment of its own, and makes one for each of its parts.
set -eu
cd "$(dirname "$0")/.."

missing=
while read -r tool package; do
    command -v "$tool" >/dev/null || missing="$missing $package"
done <<'TOOLS'
unzip unzip
zip zip
bsdtar libarchive-tools
7z p7zip-full
zstd zstd
xz xz-utils
bzip2 bzip2
gzip gzip
tar tar
xxhsum xxhash
genisoimage genisoimage
par2 par2
TOOLS
# shellcheck disable=SC2086  # one word a package
[ -z "$missing" ] || sh tests/debian.sh $missing

sh install.sh .tox/runner 'tox>=4.21'
# Twice quiet: the last line is then pytest's own summary, and not tox's list of what it did.
.tox/runner/bin/tox run -qq "$@" </dev/null && exit
echo "tests/all.sh: not everything passed; look for FAIL above" >&2
exit 1

"""Small archives, made by the ordinary tools where these can make them."""

from __future__ import annotations

import subprocess
import zlib
from pathlib import Path
from struct import pack

CONTENT = {
    "a.txt": b"one\n",
    "folder/b.bin": bytes(range(256)) * 40,
    "folder/empty": b"",
    "folder/c d.txt": b"three" * 999,
}

MAKERS = {
    "x.zip": "cd {tree} && zip -qry {out} .",
    "x.tar": "tar cf {out} -C {tree} .",
    "x.tar.gz": "tar czf {out} -C {tree} .",
    "x.tgz": "bsdtar czf {out} --format pax -C {tree} .",
    "x.tar.bz2": "tar cjf {out} -C {tree} .",
    "x.tbz2": "tar c --format=v7 -C {tree} . | bzip2 > {out}",
    "x.tar.zst": "tar c -C {tree} . | zstd -q > {out}",
    "x.tar.xz": "tar c --format=ustar -C {tree} . | xz > {out}",
}


def make_tree(folder: Path) -> Path:
    """The files of `CONTENT`, and a link."""
    for name, content in CONTENT.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / "link").symlink_to("a.txt")
    return folder


def make(name: str, out: Path, tree: Path) -> Path:
    """One of `MAKERS`."""
    command = MAKERS[name].format(out=out, tree=tree)
    subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True)
    return out


def zip_of(members: list[tuple[bytes, bytes]], made_by: int = 0, flags: int = 0) -> bytes:
    """A zip of stored members whose names are any bytes."""
    body = directory = b""
    for name, content in members:
        common = pack("<5H3L2H", 20, flags, 0, 0, 33, zlib.crc32(content), len(content), len(content), len(name), 0)
        directory += b"PK\x01\x02" + pack("<H", made_by << 8 | 20) + common
        directory += pack("<3H2L", 0, 0, 0, 0, len(body)) + name
        body += b"PK\x03\x04" + common + name + content
    end = pack("<4H2LH", 0, 0, len(members), len(members), len(directory), len(body), 0)
    return body + directory + b"PK\x05\x06" + end

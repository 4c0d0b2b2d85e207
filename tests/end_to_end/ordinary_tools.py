"""The ordinary tools, each listing an archive and unpacking it; a tool that is missing fails its test."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import stat
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO

import zstandard
from trees_compared import NS, Thing, Tree, digest

_TAR_FLAGS = {"gz": "--gzip", "bz2": "--bzip2", "xz": "--xz", "zst": "--zstd"}
_DECODERS = {"gz": "gzip", "bz2": "bzip2", "xz": "xz", "zst": "zstd"}


def tool(name: str) -> str:
    """The path of a tool; without it the test fails."""
    path = shutil.which(name)
    assert path is not None, f"{name} is not installed; `sh tests/debian.sh` tells how"
    return path


def call(*command: str | bytes | Path, cwd: Path | None = None, timeout: float = 120, stdin=None) -> bytes:
    """What a tool prints; it must succeed, and it finds no umask in its way."""
    environment = os.environ | {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        [tool(str(command[0])), *command[1:]],
        cwd=cwd,
        capture_output=True,
        timeout=timeout,
        env=environment,
        umask=0,
        stdin=subprocess.DEVNULL if stdin is None else stdin,
    )
    assert done.returncode == 0, (command, done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


def codec_of(archive: Path) -> str:
    """gz, bz2, zst, xz or zip."""
    return archive.name.rsplit(".", 1)[1]


@contextmanager
def decoded(archive: Path) -> Iterator[IO[bytes]]:
    """The tar in an archive, as the codec's own tool gives it."""
    program = subprocess.Popen([tool(_DECODERS[codec_of(archive)]), "-dc", archive], stdout=subprocess.PIPE)
    assert program.stdout is not None
    try:
        yield program.stdout
    finally:
        program.stdout.close()
        status = program.wait(60)
    assert status == 0


def unpack_with_unzip(archive: Path, place: Path) -> None:
    call("unzip", "-q", archive, "-d", place)


def unpack_with_tar(archive: Path, place: Path) -> None:
    call("tar", "-xpf", archive, _TAR_FLAGS[codec_of(archive)], "-C", place)


def unpack_with_bsdtar(archive: Path, place: Path) -> None:
    call("bsdtar", "-xpf", archive, "-C", place)


def unpack_with_7z(archive: Path, place: Path, without: Iterable[bytes] = ()) -> None:
    """Unpack all but some members: 7z finds links that leave their folder dangerous, and stops at them."""
    how = ["x", "-y", f"-o{place}", *(b"-x!" + name for name in without)]
    if codec_of(archive) == "zip":
        call("7z", *how, archive)
        return
    tar = place.with_name(place.name + ".tar")
    if codec_of(archive) == "zst":
        with decoded(archive) as stream:
            tar.write_bytes(stream.read())
    else:
        tar.write_bytes(call("7z", "x", "-so", archive))
    call("7z", *how, tar)
    tar.unlink()


def names_by_unzip(archive: Path) -> list[bytes]:
    return call("unzip", "-Z1", archive).splitlines()


def names_by_tar(archive: Path) -> list[bytes]:
    listed = call("tar", "-tf", archive, _TAR_FLAGS[codec_of(archive)], "--quoting-style=literal")
    return listed.splitlines()


def names_by_bsdtar(archive: Path) -> list[bytes]:
    return call("bsdtar", "-tf", archive).splitlines()


def names_by_7z(archive: Path) -> list[bytes]:
    """Without the slashes at the ends of directories, which it leaves out."""
    if codec_of(archive) == "zip":
        listed = call("7z", "l", "-slt", archive)
    else:
        with decoded(archive) as stream:
            listed = call("7z", "l", "-slt", "-si", "-ttar", stdin=stream)
    entries = listed.split(b"----------\n", 1)[1]
    return [line[7:] for line in entries.splitlines() if line.startswith(b"Path = ")]


@contextmanager
def open_tar(archive: Path) -> Iterator[tarfile.TarFile]:
    """The archive as Python's tarfile sees it, one member after another."""
    codec = codec_of(archive)
    with open(archive, "rb") as file:
        if codec == "zst":
            stream: IO[bytes] = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        else:
            opener = {"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open}[codec]
            stream = opener(file)
        with stream, tarfile.open(fileobj=stream, mode="r|", encoding="utf-8", errors="surrogateescape") as tar:
            yield tar


def read_with_tarfile(archive: Path) -> Tree:
    """What lies in a tar; times are as exact as a float, a few hundred nanoseconds."""
    tree: Tree = {}
    groups: dict[bytes, set[bytes]] = {}
    with open_tar(archive) as tar:
        for member in tar:
            name, mtime_ns = os.fsencode(member.name), round(member.mtime * NS)
            if member.isdir():
                tree[name] = Thing("dir", member.mode, mtime_ns)
            elif member.issym():
                tree[name] = Thing("symlink", 0, mtime_ns, os.fsencode(member.linkname))
            elif member.islnk():
                first = os.fsencode(member.linkname)
                tree[name] = tree[first]
                groups.setdefault(first, {first}).add(name)
            else:
                content = tar.extractfile(member)
                assert content is not None
                tree[name] = Thing("file", member.mode, mtime_ns, digest(content.read()))
    for group in groups.values():
        for name in group:
            thing = tree[name]
            tree[name] = Thing(thing.kind, thing.mode, thing.mtime_ns, thing.content, frozenset(group))
    return tree


def read_with_zipfile(archive: Path) -> Tree:
    """What lies in a zip, by its central directory; times count in two seconds."""
    tree: Tree = {}
    with zipfile.ZipFile(archive) as zipped:
        for info in zipped.infolist():
            name = info.filename.rstrip("/").encode("utf-8" if info.flag_bits & 0x800 else "cp437")
            mode = info.external_attr >> 16
            mtime_ns = int(datetime(*info.date_time).timestamp()) * NS
            content = zipped.read(info)
            if info.is_dir():
                assert stat.S_ISDIR(mode)
                tree[name] = Thing("dir", stat.S_IMODE(mode), mtime_ns)
            elif stat.S_ISLNK(mode):
                tree[name] = Thing("symlink", 0, mtime_ns, content)
            else:
                assert stat.S_ISREG(mode)
                tree[name] = Thing("file", stat.S_IMODE(mode), mtime_ns, digest(content))
    return tree


def under(tree: Tree, label: str) -> Tree:
    """A tree with ``label/`` before its paths, as in an archive."""
    top = label.encode()

    def moved(path: bytes) -> bytes:
        return top + b"/" + path if path else top

    return {
        moved(path): Thing(
            thing.kind, thing.mode, thing.mtime_ns, thing.content, frozenset(moved(link) for link in thing.links)
        )
        for path, thing in tree.items()
    }


def decode_one_frame(codec: str, data: bytes) -> tuple[bytes, bytes]:
    """The first frame of ``data`` decoded, and what comes after it."""
    if codec == "gz":
        decoder = zlib.decompressobj(31)
    elif codec == "bz2":
        decoder = bz2.BZ2Decompressor()
    elif codec == "xz":
        decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ)
    else:
        decoder = zstandard.ZstdDecompressor().decompressobj()
    content = decoder.decompress(data)
    assert decoder.eof
    return content, decoder.unused_data


def first_member(tar: bytes) -> tuple[str, bytes]:
    """Name and content of the member that a piece of a tar begins with."""
    with tarfile.open(fileobj=io.BytesIO(tar), mode="r|", encoding="utf-8", errors="surrogateescape") as opened:
        member = opened.next()
        assert member is not None
        content = opened.extractfile(member) if member.isreg() else None
        return member.name + ("/" if member.isdir() else ""), content.read() if content else b""

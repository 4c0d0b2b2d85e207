"""MANIFEST.jsonl.gz, SUMS.xxh128 and README.txt: a volume tells all, with no other volume, catalogue or program."""

from __future__ import annotations

import hashlib
import os
import shutil
import zlib

import blake3
import ordinary_tools as tools
import pytest
from real_backups import FORMATS, digest_of, manifest_of
from trees_compared import NS, look, make_tree, noise, seen_by, write


@pytest.fixture(scope="module", params=FORMATS)
def saved(request, shared_office):
    """A backup of a bit of everything on some volumes, in each format."""
    office = shared_office("alone")
    make_tree(office.tree, large=1_500_000)
    for number, name in enumerate((b"new\nline", b"\xff", "ü".encode())):
        write(os.path.join(os.fsencode(office.tree), b"odd", name), b"%d" % number)
    write(office.tree / "more.bin", noise(2_000_000, 6))
    outcome = office.backup(options=request.param, max_size=2_500_000)
    assert len(outcome.volumes) > 1
    return office, outcome


def test_the_manifest_has_every_member_once_with_what_it_was(saved):
    office, outcome = saved
    source = tools.under(look(office.tree), "tree")
    lines = [line for volume in outcome.volumes for line in manifest_of(volume)]

    assert sorted(os.fsencode(line["path"]).rstrip(b"/") for line in lines) == sorted(source)
    for line in lines:
        path = os.fsencode(line["path"])
        thing = source[path.rstrip(b"/")]
        assert path.endswith(b"/") == (thing.kind == "dir")
        assert line["mtime_ns"] == thing.mtime_ns
        if line["kind"] == "file":
            assert line["digest"] == thing.content.hex()
            assert line["size"] == os.stat(os.path.join(os.fsencode(office.root), path)).st_size
        elif line["kind"] == "symlink":
            assert os.fsencode(line["target"]) == thing.content
        elif line["kind"] == "hardlink":
            assert os.fsencode(line["target"]) in thing.links


def test_xxhsum_prints_the_digests_of_the_manifest(saved):
    office, outcome = saved
    for volume in outcome.volumes:
        for line in manifest_of(volume):
            if line["kind"] == "file" and line["path"].isprintable():
                printed = tools.call("xxhsum", "-H2", office.root / line["path"])
                assert printed.split()[0].decode() == line["digest"]


def test_one_frame_alone_gives_the_member_that_the_manifest_says_begins_in_it(saved):
    office, outcome = saved
    for volume in outcome.volumes:
        for line in manifest_of(volume):
            archive = volume / line["archive"]
            data = archive.read_bytes()[line["frame"] :]
            if archive.suffix == ".zip":
                name, content = zip_member(data[line["offset"] :], line["size"])
            else:
                frame, rest = tools.decode_one_frame(tools.codec_of(archive), data)
                while len(frame) < line["offset"] + line["size"] + 8192 and rest:  # a large file goes on in the next
                    more, rest = tools.decode_one_frame(tools.codec_of(archive), rest)
                    frame += more
                name, content = tools.first_member(frame[line["offset"] :])
            assert os.fsencode(name) == os.fsencode(line["path"])
            if line["kind"] == "file":
                assert content == (office.root / os.fsdecode(name)).read_bytes()


def zip_member(data, size):
    """Name and content of the member whose local header stands first."""
    assert data[:4] == b"PK\3\4"
    method, packed = int.from_bytes(data[8:10], "little"), int.from_bytes(data[18:22], "little")
    name_size, extra = int.from_bytes(data[26:28], "little"), int.from_bytes(data[28:30], "little")
    start = 30 + name_size
    body = data[start + extra : start + extra + packed]
    return os.fsdecode(data[30:start]), zlib.decompress(body, -15, size) if method else body


def test_the_catalogue_has_the_same_frames_and_digests_as_the_manifest(saved):
    office, outcome = saved
    recorded = office.catalogued(
        "select archives.name, frames.offset, files.offset, files.digest, files.mtime_ns from files "
        "join archives on archives.id = files.archive_id "
        "join frames on frames.archive_id = archives.id and frames.number = files.frame"
    )
    told = [
        (
            line["archive"].encode(),
            line["frame"],
            line["offset"],
            line["digest"] and bytes.fromhex(line["digest"]),
            line["mtime_ns"],
        )
        for volume in outcome.volumes
        for line in manifest_of(volume)
    ]
    assert sorted(recorded, key=str) == sorted(told, key=str)


def test_frames_of_the_catalogue_decode_one_by_one_and_fill_their_archive(saved):
    office, outcome = saved
    for archive in outcome.archives:
        frames = office.catalogued(
            "select frames.offset, frames.size, raw_size from frames join archives on archives.id = archive_id "
            f"where name = cast('{archive.name}' as blob) order by frames.offset"
        )
        data = archive.read_bytes()
        position = 0
        for offset, size, raw_size in frames:
            assert offset == position
            position += size
            if archive.suffix != ".zip":
                content, rest = tools.decode_one_frame(tools.codec_of(archive), data[offset:position])
                assert (len(content), rest, raw_size % 512) == (raw_size, b"", 0)
        if archive.suffix != ".zip":
            assert tools.decode_one_frame(tools.codec_of(archive), data[position:]) == (bytes(1024), b"")


def test_xxhsum_accepts_every_file_of_a_volume(saved):
    _, outcome = saved
    for volume in outcome.volumes:
        tools.call("xxhsum", "-c", "SUMS.xxh128", cwd=volume)
        listed = {line[34:] for line in (volume / "SUMS.xxh128").read_text().splitlines()}
        assert listed == set(os.listdir(volume)) - {"SUMS.xxh128"}


def test_xxhsum_finds_a_flipped_bit(saved):
    office, outcome = saved
    copy = office.place() / "copy"
    shutil.copytree(outcome.volumes[0], copy)
    with open(copy / outcome.archives[0].name, "r+b") as archive:
        archive.seek(1000)
        byte = archive.read(1)[0]
        archive.seek(1000)
        archive.write(bytes([byte ^ 1]))

    with pytest.raises(AssertionError, match="FAILED"):
        tools.call("xxhsum", "-c", "SUMS.xxh128", cwd=copy)


def test_the_commands_of_the_readme_bring_the_whole_source_back(saved):
    office, outcome = saved
    place = office.place()
    for volume in outcome.volumes:
        shutil.copytree(volume, place, dirs_exist_ok=True)
        readme = (place / "README.txt").read_text()
        commands = [line.strip() for line in readme.splitlines() if "tree.0" in line]
        assert len(commands) == len([archive for archive in outcome.archives if archive.parent == volume])
        for command in commands:
            # unzip asks before it writes over what is there, and leaves out line ends in names if not told otherwise.
            tools.call("sh", "-c", command.replace("unzip", "unzip -qo -^", 1), cwd=place)
        find, check = (line.split(":", 1)[1] for line in readme.splitlines() if "xxhsum" in line or "zcat" in line)
        assert b"large" in tools.call("sh", "-c", find.replace("NAME", "large"), cwd=outcome.volumes[0])
        tools.call("sh", "-c", check, cwd=place)
    as_seen = {"unit_ns": NS, "hard_links": False, "link_times": False}
    found_files, expected = (
        {path: thing for path, thing in seen_by(tree, **as_seen).items() if thing.kind != "dir"}
        for tree in (look(place / "tree"), look(office.tree))
    )
    assert found_files == expected


def test_the_digest_of_each_archive_is_in_the_catalogue(saved):
    office, outcome = saved
    recorded = office.catalogued("select name, digest, size, state from archives order by id")
    assert recorded == [
        (archive.name.encode(), bytes.fromhex(digest_of(archive)), archive.stat().st_size, "complete")
        for archive in outcome.archives
    ]


@pytest.mark.parametrize("digest", ["sha256", "blake3"])
def test_another_digest_is_that_of_the_content(office, digest):
    write(office.tree / "small", b"content")
    write(office.tree / "large", b"content" * 900_000)

    volume = office.backup(options="gz", digest=digest).volumes[0]

    make = {"sha256": hashlib.sha256, "blake3": blake3.blake3}[digest]
    found = {line["path"]: line["digest"] for line in manifest_of(volume)}
    assert found["tree/small"] == make(b"content").hexdigest()
    assert found["tree/large"] == make(b"content" * 900_000).hexdigest()
    assert f"{digest} digest" in (volume / "README.txt").read_text()
    tools.call("xxhsum", "-c", "SUMS.xxh128", cwd=volume)

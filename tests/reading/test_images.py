"""Images of discs: what genisoimage and pycdlib write is listed, and what is damaged or hostile comes to an end."""

from __future__ import annotations

import hashlib
import io
import os
import random
import struct
import subprocess
import tracemalloc
import zlib
from pathlib import Path

import pycdlib
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import CONTENT, make_tree
from told import Told

from backalaika.errors import SourceError
from backalaika.reading import image, streams, udf
from backalaika.reading.messages import Settings
from backalaika.reading.seekable import AsFile, Seekable, of_bytes
from backalaika.reading.trees import tree_at
from backalaika.reading.watched import watched_tree
from backalaika.walk import Problem

LONG = "a name that is much longer than the eight and three of old, grüße 中.txt"
FORMS = {"rr": "-R", "joliet": "-J -joliet-long -D", "both": "-J -R", "udf": "-udf -D", "all": "-J -R -udf"}


def make_image(out: Path, tree: Path, switches: str) -> Path:
    command = ["genisoimage", "-quiet", "-input-charset", "utf-8", *switches.split(), "-o", out, tree]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return out


@pytest.fixture
def tree(tmp_path):
    """Files, a long name, a folder too deep for ISO 9660, a link, archives."""
    tree = make_tree(tmp_path / "tree")
    (tree / LONG).write_text("long")
    deep = tree / "1/2/3/4/5/6/7/8/9/10"
    deep.mkdir(parents=True)
    (deep / "bottom.txt").write_text("bottom")
    subprocess.run(["tar", "czf", tree / "inner.tar.gz", "-C", tree, "a.txt"], check=True)
    subprocess.run(["zip", "-q", tree / "inner.zip", "a.txt"], cwd=tree, check=True)
    for path in tree.rglob("*"):
        os.utime(path, ns=(0, 1_234_567_890_000_000_000), follow_symlinks=False)
    return tree


def sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def expected(tree: Path) -> dict[bytes, tuple[int, bytes]]:
    return {
        os.fsencode(path.relative_to(tree)): (path.stat().st_size, sha256(path.read_bytes()))
        for path in tree.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def listed(path: Path, **settings) -> tuple[list, list[Problem]]:
    problems: list[Problem] = []
    with watched_tree(str(path), Settings(**settings), lambda: None, 0, 1) as tree:
        return list(tree.walk(problems.append)), problems


@pytest.mark.parametrize("form", FORMS)
def test_an_image_on_a_medium_is_entered_with_the_archives_in_it(form, tree, tmp_path):
    path = make_image(tmp_path / "x.iso", tree, FORMS[form])
    told = Told(path)
    wanted = expected(tree)

    assert told.archives[b"x.iso"] == "iso"
    assert told.digests(b"x.iso") == wanted
    assert (
        told.digests(b"x.iso!/inner.zip") == told.digests(b"x.iso!/inner.tar.gz") == {b"a.txt": (4, sha256(b"one\n"))}
    )
    assert {row.mtime_ns for row in told.rows if row.archive == b"x.iso" and row.kind == "file"} == {
        1_234_567_890_000_000_000
    }
    assert told.rows[-1].digest == sha256(path.read_bytes())
    assert not told.troubles
    links = [(row.name, row.target) for row in told.rows if row.kind == "symlink"]
    assert links == ([(b"link", b"a.txt")] if "-R" in FORMS[form] else [])


@pytest.mark.parametrize("form", FORMS)
def test_an_image_as_a_medium_has_the_files_that_the_ordinary_tools_see(form, tree, tmp_path):
    path = make_image(tmp_path / "x.iso", tree, FORMS[form])
    found, problems = listed(path)
    there = subprocess.run(["bsdtar", "-tf", path], check=True, stdout=subprocess.PIPE).stdout.splitlines()

    assert not problems
    assert len(found) == len({name.rstrip(b"/") for name in there} - {b"."})
    if form != "udf":  # bsdtar knows none
        assert {there.member.path for there in found} == {name.rstrip(b"/") for name in there} - {b"."}


@pytest.mark.parametrize("udf", [None, "2.60"])
def test_an_image_of_pycdlib_is_read_as_pycdlib_reads_it(udf, tmp_path):
    disc = pycdlib.PyCdlib()
    disc.new(interchange_level=3, joliet=3, rock_ridge="1.09", udf=udf)
    paths = {"iso_path": "/D", "rr_name": "dir", "joliet_path": "/dir"} | ({"udf_path": "/dir"} if udf else {})
    disc.add_directory(**paths)
    for number in range(30):
        name = f"file {number}.bin"
        places = {"iso_path": f"/D/F{number}.;1", "rr_name": name, "joliet_path": f"/dir/{name}"}
        places |= {"udf_path": f"/dir/{name}"} if udf else {}
        content = bytes([number]) * (number * 1000)
        disc.add_fp(io.BytesIO(content), len(content), **places)
    disc.write(str(tmp_path / "x.iso"))
    disc.close()
    told = Told(tmp_path / "x.iso")

    assert told.digests(b"x.iso") == {
        f"dir/file {number}.bin".encode(): (number * 1000, sha256(bytes([number]) * (number * 1000)))
        for number in range(30)
    }
    assert not told.troubles


def test_archives_in_an_image_are_entered_where_nothing_is_hashed_too(tree, tmp_path):
    told = Told(make_image(tmp_path / "x.iso", tree, "-R"), hashing=False)

    assert told.digests(b"x.iso!/inner.zip") == told.digests(b"x.iso!/inner.tar.gz") == {b"a.txt": (4, None)}


def test_an_image_without_a_tree_of_iso_9660_is_read_by_its_udf(tree, tmp_path):
    path = make_image(tmp_path / "x.iso", tree, "-udf -D")
    content = bytearray(path.read_bytes())
    for number in range(16, 32):  # what tells of ISO 9660
        if content[number * 2048 + 1 : number * 2048 + 6] == b"CD001":
            content[number * 2048 : number * 2048 + 2048] = bytes(2048)
    path.write_bytes(content)
    assert content[32769:32774] != b"CD001"
    first = next(at for at in range(32768, 65536, 2048) if content[at + 1 : at + 6] == b"BEA01")
    content[32768:32774], content[first : first + 6] = content[first : first + 6], bytes(6)
    path.write_bytes(content)

    assert Told(path).digests(b"x.iso") == expected(tree)


def with_tag(descriptor: bytes) -> bytes:
    """A descriptor of UDF with the checksum of its tag put right."""
    tag = bytearray(descriptor[:16])
    tag[4] = (sum(tag) - tag[4]) & 0xFF
    return bytes(tag) + descriptor[16:]


@pytest.mark.parametrize("is_damaged", [False, True])
def test_entries_of_udf_may_lie_in_a_file_of_their_own(is_damaged, tree, tmp_path):
    # No tool here makes such a disc: the partition of an ordinary one is named as that file, in two extents.
    path = make_image(tmp_path / "x.iso", tree, "-udf -D")
    content = bytearray(path.read_bytes())
    blocks = range(0, len(content), 2048)
    [partition, *_] = [at for at in blocks if content[at : at + 2] == b"\5\0" and content[at + 25 : at + 29] == b"+NSR"]
    start, length = struct.unpack_from("<2L", content, partition + 188)
    file = with_tag(
        struct.pack("<HHBBHHHL", 261, 2, 0, 0, 0, 0, 0, 0)
        + struct.pack("<LHHHBBLHH", 0, 4, 0, 1, 0, 250, 0, 0, 0)
        + bytes(20)
        + struct.pack("<Q", length * 2048).ljust(112, b"\0")
        + struct.pack("<2L", 0, 16)
        + struct.pack("<4L", 10 * 2048, 0, (length - 10) * 2048, 10)
    )
    place = len(content) // 2048 - start
    content += (bytes(2048) if is_damaged else file.ljust(2048, b"\0")) + file.ljust(2048, b"\0")
    content += content[256 * 2048 : 257 * 2048]  # the anchor is told again at the end
    for at in blocks:
        if content[at : at + 2] == b"\x06\0" and b"*OSTA UDF Compliant" in content[at : at + 512]:
            map_of_it = struct.pack("<BBH", 2, 64, 0) + b"\0*UDF Metadata Partition".ljust(32, b"\0")
            map_of_it += struct.pack("<HHLL", 1, 0, place, place + 1).ljust(28, b"\0")
            struct.pack_into("<2L", content, at + 264, 70, 2)
            content[at + 446 : at + 510] = map_of_it
            struct.pack_into("<H", content, at + 256, 1)
    path.write_bytes(content)

    disc = of_bytes(bytes(content))
    files = [one for one in udf.members(disc, lambda path, why: pytest.fail(why)) if one and one.member.kind == "file"]
    assert {
        one.member.path: (one.member.size, sha256(image.content(disc, one).all_at(0, 1 << 20))) for one in files
    } == (expected(tree))


def test_files_are_told_in_the_order_of_the_disc(tree, tmp_path):
    sort = tmp_path / "sort"
    names = ["a.txt", "folder/c d.txt", "inner.zip", "folder/b.bin"]
    sort.write_text("".join(f"{tree}/{name} {number}\n" for number, name in enumerate(names)))
    path = make_image(tmp_path / "x.iso", tree, f"-R -sort {sort}")
    found = [there for there in listed(path)[0] if there.file is not None and there.file.size]
    ordered = [there.member.path.decode() for there in image.in_disc_order(found, lambda there: there.place)]
    told = [name.decode() for name in Told(path).paths(b"x.iso")]

    assert [name for name in ordered if name in names] == names[::-1]
    assert [name for name in told if name in names] == names[::-1]


def packed(content: bytes, block: int = 1 << 15) -> bytes:
    """A file as mkzftree packs it."""
    blocks = [zlib.compress(content[at : at + block]) for at in range(0, len(content), block)]
    blocks = [b"" if not content[number * block :][:block].strip(b"\0") else one for number, one in enumerate(blocks)]
    head = b"\x37\xe4\x53\x96\xc9\xdb\xd6\x07" + struct.pack("<LBBH", len(content), 4, 15, 0)
    at = len(head) + 4 * (len(blocks) + 1)
    pointers = struct.pack("<L", at)
    for one in blocks:
        at += len(one)
        pointers += struct.pack("<L", at)
    return head + pointers + b"".join(blocks)


def test_files_that_zisofs_packs_are_unpacked(tmp_path):
    (tmp_path / "tree").mkdir()
    content = random.Random(1).randbytes(50_000) + bytes(100_000) + b"end" * 9999
    (tmp_path / "tree" / "packed").write_bytes(packed(content))
    (tmp_path / "tree" / "cut").write_bytes(packed(content)[:30_000])
    told = Told(make_image(tmp_path / "x.iso", tmp_path / "tree", "-R -z"))

    assert told.digests(b"x.iso")[b"packed"] == (len(content), sha256(content))
    assert told.digests(b"x.iso")[b"cut"] == (len(content), None)
    assert [trouble.path for trouble in told.troubles] == [b"x.iso!/cut"]


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("form", ["both", "udf"])
def test_an_image_that_is_cut_gives_what_is_there(form, part, tree, tmp_path):
    (tree / "noise").write_bytes(random.Random(1).randbytes(3 << 20))
    path = make_image(tmp_path / "x.iso", tree, FORMS[form])
    os.truncate(path, int(path.stat().st_size * part))
    found, problems = listed(path)
    told = Told(path)

    assert told.troubles
    sound = {name: what for name, what in told.digests(b"x.iso").items() if what[1] is not None}
    assert sound.items() <= expected(tree).items()
    assert len(found) == len(expected(tree)) + sum(there.file is None for there in found)
    assert not problems
    [noise] = [there.file for there in found if there.member.path == b"noise"]
    loose = Told(path, tree=tree_at(str(path)), file=noise)
    assert loose.rows[-1].digest is None
    assert [trouble.message for trouble in loose.troubles] == ["is cut off: the image of the disc ends before"]


def test_a_file_that_is_no_image_is_refused_as_a_medium(tmp_path):
    (tmp_path / "x.iso").write_bytes(bytes(100_000))

    with pytest.raises(SourceError, match=r"x\.iso: is no image of a disc"):
        tree_at(str(tmp_path / "x.iso"))
    assert [trouble.message for trouble in Told(tmp_path / "x.iso").troubles] == ["is no iso, though its name says so"]


def test_of_very_many_problems_of_an_image_the_first_are_told_and_the_others_counted(tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_text("x")
    for number in range(130):
        os.mkfifo(tmp_path / "tree" / f"{number:03}")
    image = make_image(tmp_path / "disc.iso", tmp_path / "tree", "-R")
    found, problems = listed(image)

    assert [each.member.path for each in found if each.file] == [b"file"]
    assert [problem.path for problem in problems] == [
        *(f"{image}/{number:03}" for number in range(100)),
        str(image),
    ]
    assert problems[-1].message == "and 30 more problems"


def test_a_folder_that_leads_back_is_entered_once(tree, tmp_path):
    path = make_image(tmp_path / "x.iso", tree, "-R")
    content = bytearray(path.read_bytes())
    root = content[16 * 2048 + 156 + 2 :][:4]
    at = content.index(b"FOLDER\0") - 33  # its record: an even name of 6 takes a byte more
    content[at + 2 : at + 6] = root
    path.write_bytes(content)
    found, problems = listed(path)

    assert b"folder" in {there.member.path for there in found}
    assert [problem.message for problem in problems] == [
        "is damaged: it is a folder that was met before, and is not entered again"
    ]


def test_files_that_lie_over_each_other_end_at_the_limit(tmp_path):
    (tmp_path / "tree").mkdir()
    for number in range(400):
        (tmp_path / "tree" / f"{number:08}").write_bytes(b"x" * 2000)
    path = make_image(tmp_path / "x.iso", tmp_path / "tree", "-R")
    content = bytearray(path.read_bytes())
    size = 900_000  # each of them has, from the beginning of the disc
    for number in range(400):
        at = content.index(b"%08d" % number) - 33
        content[at + 2 : at + 6], content[at + 10 : at + 14] = bytes(4), struct.pack("<L", size)
    path.write_bytes(content)
    told = Told(path, max_ratio=10)
    found, problems = listed(path, max_ratio=10)

    assert "bomb" in told.troubles[-1].message
    assert len(told.rows) < 400
    assert "bomb" in problems[-1].message
    assert len(found) < 400
    assert "members" in Told(path, max_members=100).troubles[-1].message


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(form=st.sampled_from(["both", "udf"]), seed=st.integers(0, 1 << 32))
def test_any_damage_costs_an_error_or_content_and_ends(form, seed, tmp_path):
    path = tmp_path / f"{form}.iso"
    if not path.exists():
        (tmp_path / form).mkdir()
        make_image(path, make_tree(tmp_path / form), FORMS[form])
    chance = random.Random(seed)
    content = bytearray(path.read_bytes())
    last = 400_000 if form == "both" else len(content)
    used = [at for at in range(16 * 2048, min(last, len(content))) if content[at]]
    for _ in range(chance.randrange(1, 20)):
        content[chance.choice(used)] = chance.choice([0, 1, 127, 128, 255, chance.randrange(256)])
    members = []
    try:
        for found in image.members(of_bytes(bytes(content)), None, lambda path, message: members.append(message)):
            members.append(found.member.path)
            if found.member.kind == "file":
                image.content(of_bytes(bytes(content)), found).all_at(0, 100_000)
    except image.ArchiveError as error:
        members.append(str(error))

    assert members


def test_an_image_of_many_files_takes_no_more_memory_than_one_of_few(tmp_path):
    peaks = []
    for count in (500, 5_000):
        tree = tmp_path / str(count)
        for number in range(count):
            if not number % 250:
                (tree / str(number)).mkdir(parents=True)
            (tree / str(number // 250 * 250) / f"a file of this number {number}").touch()
        content = make_image(tmp_path / f"{count}.iso", tree, "-J -R").read_bytes()
        tracemalloc.start()
        source = Seekable(lambda offset, size, content=content: content[offset : offset + size], len(content))
        assert sum(there.member.kind == "file" for there in image.members(source, None, print)) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[1] < peaks[0] + 100_000


def test_nothing_of_an_archive_in_an_image_is_lost_for_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr("backalaika.reading.archives._MAX_IN_MEMORY", 100)
    tree = make_tree(tmp_path / "tree")
    subprocess.run(["zip", "-qry", tree / "inner.zip", "."], cwd=tree, check=True)
    inner = make_image(tree / "inner.iso", tree / "folder", "-R")
    told = Told(make_image(tmp_path / "x.iso", tree, "-R"), depth=2)
    wanted = {os.fsencode(name): (len(content), sha256(content)) for name, content in CONTENT.items()}

    assert told.digests(b"x.iso!/inner.zip") == wanted
    assert told.digests(b"x.iso!/inner.iso") == expected(tree / "folder")
    assert not told.troubles

    subprocess.run(["tar", "cf", tmp_path / "y.tar", "-C", tree, inner.name], check=True)
    outer = Told(tmp_path / "y.tar", depth=2)
    assert [trouble.path for trouble in outer.troubles] == [b"y.tar!/inner.iso"]
    assert outer.digests(b"y.tar")[b"inner.iso"] == (inner.stat().st_size, sha256(inner.read_bytes()))


@pytest.mark.parametrize("codec", ["gz", "bz2"])
def test_a_large_archive_in_an_image_is_decoded_by_several_threads(codec, tmp_path, monkeypatch):
    monkeypatch.setattr("backalaika.reading.streams._WORTH_THREADS", 1000)
    tree = tmp_path / "tree"
    tree.mkdir()
    content = random.Random(1).randbytes(3_000_000)
    (tmp_path / "noise").write_bytes(content)
    subprocess.run(["bsdtar", "-caf", tree / f"x.tar.{codec}", "-C", tmp_path, "noise"], check=True)
    path = make_image(tmp_path / "x.iso", tree, "-R")
    disc = tree_at(str(path))
    [file] = [there.file for there in listed(path)[0] if there.file is not None]
    used = []
    decoder = streams.ParallelStream
    monkeypatch.setattr(
        "backalaika.reading.entering.ParallelStream", lambda *given: used.append(type(given[0])) or decoder(*given)
    )
    told = Told(path, threads=4, tree=disc, file=file)

    assert used == [AsFile]
    assert told.digests(f"x.tar.{codec}".encode()) == {b"noise": (len(content), sha256(content))}
    assert told.rows[-1].digest == sha256((tree / f"x.tar.{codec}").read_bytes())
    assert not told.troubles

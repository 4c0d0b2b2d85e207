"""Entering: what is told of a file, and of all that is in it."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import random
import struct
import subprocess
import tarfile
import time
import tracemalloc
import zipfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import CONTENT, MAKERS, make, make_tree, zip_of
from told import Told

from backalaika.reading.messages import Trouble
from backalaika.reading.zips import beginning


def sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


EXPECTED = {os.fsencode(name): (len(content), sha256(content)) for name, content in CONTENT.items()}
KINDS = {"x.tgz": "tar.gz", "x.tbz2": "tar.bz2"}


@pytest.mark.parametrize("name", MAKERS)
def test_members_of_what_the_ordinary_tools_write_are_told(name, tmp_path):
    path = make(name, tmp_path / name, make_tree(tmp_path / "tree"))
    told = Told(path)

    assert told.archives == {name.encode(): KINDS.get(name, name[2:])}
    assert told.digests(name.encode()) == EXPECTED
    assert not told.troubles
    assert told.rows[-1].archive is None
    assert told.rows[-1].digest == sha256(path.read_bytes())


@pytest.mark.parametrize("name", MAKERS)
def test_the_content_tells_the_kind_where_the_name_lies(name, tmp_path):
    path = make(name, tmp_path / name, make_tree(tmp_path / "tree"))
    other = path.rename(tmp_path / "holidays.jpg")

    assert Told(other).digests(b"holidays.jpg") == EXPECTED


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
def test_a_cut_archive_is_reported_and_what_came_before_is_told(name, part, tmp_path):
    path = make(name, tmp_path / name, make_tree(tmp_path / "tree"))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole.rstrip(b"\0")) * part)])
    told = Told(path)

    assert told.troubles
    # A zip tells only in its directory what is a link.
    found = {path: what for path, what in told.digests(name.encode()).items() if path != b"link"}
    assert all(EXPECTED[path] == what for path, what in found.items() if what[1] is not None)
    assert told.ended == list(told.archives)
    assert told.rows[-1].digest == sha256(path.read_bytes())


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(list(MAKERS)), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=5))
def test_damage_never_ends_the_medium_and_never_changes_the_digest_of_the_file(tmp_path, name, damage):
    if not (tmp_path / name).exists():
        if not (tmp_path / "tree").exists():
            make_tree(tmp_path / "tree")
        make(name, tmp_path / name, tmp_path / "tree")
    content = bytearray((tmp_path / name).read_bytes())
    for place, byte in damage:
        content[int(place * (len(content) - 1))] = byte
    path = tmp_path / f"damaged-{name}"
    path.write_bytes(content)
    told = Told(path, depth=2)

    assert told.paths(None) == [path.name.encode()]
    assert told.rows[-1].digest == sha256(bytes(content))
    assert sorted(told.ended) == sorted(told.archives)


def test_without_hashing_members_are_listed_and_nothing_has_a_digest(tmp_path):
    tree = make_tree(tmp_path / "tree")
    for name in MAKERS:
        told = Told(make(name, tmp_path / name, tree), hashing=False)

        assert {path: size for path, (size, _) in told.digests(name.encode()).items()} == {
            path: size for path, (size, _) in EXPECTED.items()
        }
        assert not [row for row in told.rows if row.digest is not None]


def _nested(tree: Path, folder: Path) -> Path:
    inner = make("x.zip", folder / "inner.zip", tree)
    middle = folder / "middle.tar.gz"
    subprocess.run(["tar", "czf", middle, "-C", folder, inner.name], check=True)
    outer = folder / "outer.zip"
    subprocess.run(["zip", "-q", outer, middle.name], cwd=folder, check=True)
    return outer


def test_archives_in_archives_are_entered_to_the_depth_that_is_set(tmp_path):
    outer = _nested(make_tree(tmp_path / "tree"), tmp_path)
    chain = [b"outer.zip", b"outer.zip!/middle.tar.gz", b"outer.zip!/middle.tar.gz!/inner.zip"]

    for depth in range(5):
        told = Told(outer, depth=depth)
        assert list(told.archives) == chain[:depth]
    assert told.digests(chain[2]) == EXPECTED
    assert told.digests(chain[1]) == {
        b"inner.zip": ((size := (tmp_path / "inner.zip").stat().st_size), told.digests(chain[1])[b"inner.zip"][1])
    }
    assert size
    assert not told.troubles


def test_a_large_zip_in_an_archive_is_read_by_its_local_headers(tmp_path, monkeypatch):
    monkeypatch.setattr("backalaika.reading.archives._MAX_IN_MEMORY", 100)
    outer = _nested(make_tree(tmp_path / "tree"), tmp_path)
    told = Told(outer, depth=3)

    link = {b"link": (5, sha256(b"a.txt"))}  # only its directory would tell that it is one
    assert told.digests(b"outer.zip!/middle.tar.gz!/inner.zip") == EXPECTED | link
    assert not told.troubles


def test_a_zip_that_was_written_to_a_pipe_is_read_as_a_stream_when_its_end_is_missing(tmp_path):
    tree = make_tree(tmp_path / "tree")
    data = subprocess.run(["bash", "-c", "zip -qry - . | cat"], cwd=tree, capture_output=True, check=True).stdout
    path = tmp_path / "piped.zip"
    path.write_bytes(data[: data.index(b"PK\x01\x02")])
    told = Told(path)

    assert told.digests(b"piped.zip") == EXPECTED | {b"link": (5, sha256(b"a.txt"))}
    assert "directory at its end is missing" in told.troubles[0].message


@pytest.mark.parametrize(
    ("method", "name"),
    [
        (zipfile.ZIP_STORED, "stored"),
        (zipfile.ZIP_BZIP2, "bz2"),
        (zipfile.ZIP_LZMA, "lzma"),
        (zipfile.ZIP_DEFLATED, "deflate"),
    ],
)
def test_every_method_that_python_writes_is_read(method, name, tmp_path):
    path = tmp_path / f"{name}.zip"
    with zipfile.ZipFile(path, "w", method) as out:
        for member, content in CONTENT.items():
            out.writestr(member, content)
    told = Told(path)

    assert told.digests(path.name.encode()) == EXPECTED
    assert not told.troubles


def test_a_program_in_front_of_a_zip_does_no_harm(tmp_path):
    path = tmp_path / "setup.exe"
    path.write_bytes(b"MZ" + b"program " * 1000 + zip_of([(b"a", b"content")]))

    assert Told(path).digests(b"setup.exe") == {b"a": (7, sha256(b"content"))}


LETTERS = [(b"letter%d.docx" % number, zip_of([(b"word/%d.xml" % number, b"x" * 3000)])) for number in range(4)]


@pytest.mark.parametrize("missing", [1, 21, 23, 230, 400, 1500, 3400, 3700, 6000, 9000, 12000])
@pytest.mark.parametrize("hashing", [False, True])
def test_a_cut_zip_is_not_taken_for_a_zip_that_is_a_member_of_it(missing, hashing, tmp_path):
    path = tmp_path / "letters.zip"
    path.write_bytes(zip_of(LETTERS)[:-missing])
    told = Told(path, hashing=hashing)

    size = path.stat().st_size
    ends, end = {}, 0
    for name, content in LETTERS:
        end += 30 + len(name) + len(content)
        ends[name] = end
    whole = {name: (len(content), sha256(content) if hashing else None) for name, content in LETTERS}
    found = told.digests(b"letters.zip")
    assert told.troubles
    assert {name: what for name, what in found.items() if ends[name] <= size} == {
        name: what for name, what in whole.items() if ends[name] <= size
    }
    assert [digest for name, (_, digest) in found.items() if ends[name] > size] in ([], [None])


@pytest.mark.parametrize("damaged", [False, True])
def test_zips_that_were_joined_are_all_listed(damaged, tmp_path):
    parts = [LETTERS, [(b"other", b"o"), (b"more.zip", LETTERS[0][1])], LETTERS[2:], [(b"last", b"last"), (b"e", b"")]]
    path = tmp_path / "joined.zip"
    content = b"".join(zip_of(part) for part in parts)
    if damaged:  # the name of the last member in the last directory
        at = content.rindex(b"PK\1\2")
        content = content[:at] + b"XXXX" + content[at + 4 :]
    path.write_bytes(content)
    told = Told(path)

    assert told.paths(b"joined.zip") == [name for part in parts for name, _ in part]
    assert all(row.digest for row in told.rows)
    assert "other zips follow" in told.troubles[0].message


def test_a_cut_zip_behind_a_whole_one_and_a_zip_in_a_stream_are_listed_to_their_ends(tmp_path, monkeypatch):
    monkeypatch.setattr("backalaika.reading.archives._MAX_IN_MEMORY", 100)
    joined = zip_of([(b"a", b"a")]) + zip_of(LETTERS)[:-1500]
    (tmp_path / "x.zip").write_bytes(joined)
    (tmp_path / "x.tar").write_bytes(_tar({"x.zip": joined}))
    for path, archive, depth in ((tmp_path / "x.zip", b"x.zip", 1), (tmp_path / "x.tar", b"x.tar!/x.zip", 2)):
        told = Told(path, depth=depth)

        assert [*told.digests(archive)][:4] == [b"a", *(name for name, _ in LETTERS[:3])]
        assert any("cut" in trouble.message for trouble in told.troubles)


@pytest.mark.parametrize(
    ("names", "encoding"),
    [
        (["Café.txt", "Müller/Größe.doc"], "cp437"),
        (["Новая папка/Документ.txt", "Письма.doc"], "cp866"),
        (["写真/夏休み.jpg"], "cp932"),
    ],
)
def test_names_without_the_flag_are_guessed(names, encoding, tmp_path):
    path = tmp_path / "old.zip"
    path.write_bytes(zip_of([(name.encode(encoding), b"") for name in names]))

    assert Told(path).paths(b"old.zip") == [name.encode() for name in names]


def test_an_encoding_overrides_the_guess_and_what_it_cannot_decode_keeps_its_bytes(tmp_path):
    path = tmp_path / "old.zip"
    path.write_bytes(zip_of([(b"\x8f\xa8\xe1\xec\xac\xae", b""), (b"\xff\xfe", b"")]))

    assert Told(path, encoding="cp866").paths(b"old.zip")[0] == "Письмо".encode()
    assert Told(path, encoding="ascii").paths(b"old.zip")[1] == b"\xff\xfe"


def test_names_that_leave_the_folder_are_only_names(tmp_path):
    names = [b"../../etc/passwd", b"/etc/passwd", b"a//b", b"./c", b"d/../../e", b"x" * 60000]
    path = tmp_path / "evil.zip"
    path.write_bytes(zip_of([(name, b"") for name in names], made_by=3))

    assert Told(path).paths(b"evil.zip") == names


def test_encrypted_members_are_listed_without_digest(tmp_path):
    make_tree(tmp_path / "tree")
    subprocess.run(["zip", "-qr", "-P", "secret", tmp_path / "x.zip", "a.txt"], cwd=tmp_path / "tree", check=True)
    told = Told(tmp_path / "x.zip")

    assert told.digests(b"x.zip") == {b"a.txt": (4, None)}
    assert told.notes
    assert not told.troubles


def test_a_wrong_checksum_costs_the_one_member(tmp_path):
    path = tmp_path / "x.zip"
    path.write_bytes(zip_of([(b"a", b"good"), (b"b", b"bad!"), (b"c", b"good")]).replace(b"bad!", b"bad?"))
    told = Told(path)

    assert told.digests(b"x.zip") == {b"a": (4, sha256(b"good")), b"b": (4, None), b"c": (4, sha256(b"good"))}
    assert [trouble.path for trouble in told.troubles] == [b"x.zip!/b"]


def _tar(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_tars_that_were_joined_are_all_listed_and_told(compress, tmp_path):
    path = tmp_path / "joined.tgz"
    path.write_bytes(b"".join(compress(_tar({name: name.encode()})) for name in ("first", "second", "third")))
    told = Told(path)

    assert told.paths(b"joined.tgz") == [b"first", b"second", b"third"]
    assert ["goes on after its end" in trouble.message for trouble in told.troubles] == [True]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("compress", [bz2.compress, lzma.compress, lambda data: zstandard.compress(data)])
def test_a_bomb_ends_its_archive_with_an_error(compress, tmp_path, monkeypatch):
    monkeypatch.setattr("backalaika.reading.streams._HARMLESS", 1 << 20)
    path = tmp_path / "bomb"
    path.write_bytes(compress(_tar({"first": b"1", "zeros": bytes(40 << 20), "last": b"2"})))
    told = Told(path, max_ratio=100)

    assert told.digests(b"bomb") == {b"first": (1, sha256(b"1")), b"zeros": (40 << 20, None)}
    assert "max_ratio" in told.troubles[0].message


@pytest.mark.parametrize("threads", [1, 3])
def test_a_zip_whose_entries_share_one_stored_content_is_a_bomb(threads, tmp_path, monkeypatch):
    monkeypatch.setattr("backalaika.reading.streams._HARMLESS", 1 << 20)
    one = zip_of([(b"content", bytes(1 << 20))])
    end = one.rindex(b"PK\5\6")
    [start] = struct.unpack_from("<L", one, end + 16)
    directory = one[start:end] * 500
    counts = struct.pack("<HHLL", 500, 500, len(directory), start)
    path = tmp_path / "bomb.zip"
    path.write_bytes(one[:start] + directory + one[end : end + 8] + counts + b"\0\0")
    told = Told(path, threads, max_ratio=10)

    assert [trouble.message.partition(";")[0] for trouble in told.troubles] == [
        "grows to more than 10 times its size, as a bomb does"
    ]
    read = [row for row in told.rows if row.archive and row.digest]
    assert [row.digest for row in read] == [sha256(bytes(1 << 20))] * len(read)
    assert len(read) <= 10
    assert Told(path, threads, max_ratio=1000).troubles == []


@pytest.mark.parametrize("threads", [1, 3])
def test_of_very_many_problems_the_first_are_told_and_the_others_counted(threads, tmp_path):
    path = tmp_path / "many.zip"
    content = zip_of([(b"%d" % number, b"content") for number in range(1500)])
    path.write_bytes(content.replace(b"content", b"CONTENT"))
    told = Told(path, threads, max_members=1234)

    of_members = [trouble for trouble in told.troubles if trouble.path != b"many.zip"]
    assert [trouble.path for trouble in of_members] == [b"many.zip!/%d" % number for number in range(100)]
    assert {trouble.message for trouble in of_members} == {"is damaged: its content is not what its checksum says"}
    # What ends the archive is told all the same.
    of_the_archive = [trouble.message for trouble in told.troubles if trouble.path == b"many.zip"]
    assert "max_members" in of_the_archive[0]
    assert of_the_archive[1:] == ["and 1,134 more problems"]


def test_more_members_than_are_allowed_end_the_archive(tmp_path):
    path = tmp_path / "many.zip"
    path.write_bytes(zip_of([(b"%d" % number, b"") for number in range(100)]))
    told = Told(path, max_members=10)

    assert len(told.paths(b"many.zip")) == 10
    assert "max_members" in told.troubles[0].message


@pytest.mark.timeout(60)
def test_a_sparse_file_of_terabytes_is_listed_and_not_read(tmp_path):
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as out:
        out.truncate(1 << 40)
    subprocess.run(["tar", "cSf", tmp_path / "x.tar", "sparse"], cwd=tmp_path, check=True)
    told = Told(tmp_path / "x.tar")

    assert told.digests(b"x.tar") == {b"sparse": (1 << 40, None)}
    assert "max_ratio" in told.troubles[0].message


@pytest.mark.parametrize(
    "form", ["gnu", "posix --sparse-version=0.0", "posix --sparse-version=0.1", "posix --sparse-version=1.0"]
)
def test_sparse_files_have_the_digest_of_the_whole(form, tmp_path):
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as out:
        out.write(b"start")
        for place in (1 << 20, 3 << 20, 5 << 20, 7 << 20, 9 << 20, 11 << 20):
            out.seek(place)
            out.write(b"middle")
        out.truncate(12 << 20)
    subprocess.run(f"tar cSf x.tar --format={form} sparse", shell=True, cwd=tmp_path, check=True)
    told = Told(tmp_path / "x.tar")

    assert told.digests(b"x.tar") == {b"sparse": (12 << 20, sha256(sparse.read_bytes()))}
    assert not told.troubles


def test_links_and_hard_links_have_targets(tmp_path):
    tree = make_tree(tmp_path / "tree")
    (tree / "hard").hardlink_to(tree / "a.txt")
    told = Told(make("x.tar", tmp_path / "x.tar", tree))
    links = {row.kind: row.target for row in told.rows if row.target is not None}

    assert links["symlink"] == b"a.txt"
    assert links["hardlink"] in (b"./a.txt", b"./hard")


@pytest.mark.parametrize("codec", ["gz", "bz2"])
@pytest.mark.parametrize("fault", ["", "cut", "damaged", "trailing"])
def test_threads_read_what_one_reads_and_report_what_it_reports(codec, fault, tmp_path):
    pytest.importorskip("rapidgzip")
    noise = random.Random(1)
    data = _tar({f"{number}": noise.randbytes(500_000) for number in range(8)})
    packed = gzip.compress(data, 1) if codec == "gz" else bz2.compress(data, 1)
    if fault == "cut":
        packed = packed[: len(packed) * 2 // 3]
    elif fault == "damaged":
        packed = packed[: len(packed) // 2] + bytes(20) + packed[len(packed) // 2 + 20 :]
    elif fault == "trailing":
        packed += b"something else"
    path = tmp_path / f"x.tar.{codec}"
    path.write_bytes(packed)
    one, several = Told(path), Told(path, threads=4)

    assert several.rows == one.rows
    assert several.troubles == one.troubles
    assert bool(one.troubles) == bool(fault)


@pytest.mark.parametrize("codec", ["gz", "bz2"])
def test_threads_that_come_to_a_bad_sector_of_an_image_do_not_end_the_process(codec, tmp_path, monkeypatch):
    pytest.importorskip("rapidgzip")
    noise = random.Random(1)
    data = _tar({f"{number}": noise.randbytes(500_000) for number in range(20)})
    path = tmp_path / f"x.tar.{codec}"
    path.write_bytes((gzip if codec == "gz" else bz2).compress(data, 1))
    pread = os.pread

    def fail(descriptor: int, size: int, offset: int) -> bytes:
        if offset > 6_000_000:
            raise OSError(5, "Input/output error")
        return pread(descriptor, size, offset)

    monkeypatch.setattr("os.pread", fail)
    monkeypatch.setattr("backalaika.reading.trees._Folder.path_of", lambda tree, file: None)  # as in an image
    told = Told(path, threads=4)

    assert 5 < len(told.rows) < 20
    assert "Input/output error" in told.troubles[0].message


def test_files_that_only_look_like_archives_are_loose(tmp_path):
    for name, content in {"a": b"\x1f\x8b\x00\xff", "b": b"PK", "c.txt": b"BZh9 is not", "d": b""}.items():
        (tmp_path / name).write_bytes(content)
        told = Told(tmp_path / name)

        assert not told.archives
        assert not told.troubles
        assert told.rows[0].digest == sha256(content)


def test_a_file_that_cannot_be_read_is_told_without_digest(tmp_path, monkeypatch):
    (tmp_path / "bad").write_bytes(b"content")

    def fail(descriptor: int, size: int) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("backalaika.reading.streams.os.read", fail)
    told = Told(tmp_path / "bad")

    assert told.troubles == [Trouble(b"bad", "cannot be read: Input/output error")]
    assert told.rows[0].digest is None


@pytest.mark.parametrize("damaged", [False, True])
def test_members_of_a_zip_are_the_same_whether_threads_read_them_or_not(damaged, tmp_path):
    noise = random.Random(2)
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for number in range(150):
            out.writestr(f"{number}", noise.randbytes(noise.choice([10, 1000, 100_000, 300_000])))
    if damaged:
        content = bytearray(path.read_bytes())
        for place in range(50_000, len(content) - 50_000, len(content) // 7):
            content[place] ^= 255
        path.write_bytes(content)
    one, several = Told(path), Told(path, threads=3)

    assert several.rows == one.rows
    assert several.troubles == one.troubles
    assert bool(one.troubles) == damaged


def test_a_link_in_a_zip_whose_target_is_damaged_is_listed_all_the_same(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as out:
        for name in ("bad", "good"):
            link = zipfile.ZipInfo(name)
            link.create_system, link.external_attr = 3, 0o120777 << 16
            out.writestr(link, f"target of {name}")
    path.write_bytes(path.read_bytes().replace(b"target of bad", b"TARGET of bad"))
    told = Told(path)

    links = {row.name: row.target for row in told.rows if row.kind == "symlink"}
    assert links == {b"bad": None, b"good": b"target of good"}
    assert [(trouble.path, "checksum" in trouble.message) for trouble in told.troubles] == [(b"x.zip!/bad", True)]


@pytest.mark.parametrize("ticks", [2**64 - 1, 2**63, 2**62, 0])  # 0 is the year 1601
def test_a_time_that_no_file_can_have_is_left_for_that_of_dos(ticks, tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as out:
        member = zipfile.ZipInfo("a", (2009, 8, 15, 12, 0, 0))
        member.extra = struct.pack("<HHLHHQQQ", 0x000A, 32, 0, 1, 24, ticks, ticks, ticks)
        out.writestr(member, "x")
    [row] = [row for row in Told(path).rows if row.archive]

    assert row.mtime_ns == int(time.mktime((2009, 8, 15, 12, 0, 0, 0, 0, -1))) * 1_000_000_000


def test_of_the_target_of_a_link_only_its_beginning_is_kept_in_memory():
    tracemalloc.start()
    try:
        target = beginning(bytes(256 * 1024) for _ in range(400))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert target == bytes(65536)
    assert peak < 4_000_000

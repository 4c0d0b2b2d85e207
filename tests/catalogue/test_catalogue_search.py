"""What is found, on each database; and that finding it leaves and needs no more than it says."""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from catalogue_samples import file_row, save_volume, start_run
from databases import TestDatabase
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backalaika.catalogue import Catalogue, names, open_catalogue, recording
from backalaika.catalogue.database import CoreTransaction
from backalaika.catalogue.locating import of_ids
from backalaika.catalogue.name_index import FOLDED_TO_ASCII
from backalaika.catalogue.names import FTS, forget_names
from backalaika.catalogue.results import FileEntry, PictureEntry
from backalaika.catalogue.rows import COMPLETE, DIRECTORY, FILE, SYMLINK, FileRow
from backalaika.catalogue.wanted import Pattern, Wanted, folded

NAMES = [
    "budget.ods",
    "Budget 2009.ODS",
    "low-budget.txt",
    "caf\u00e9.txt",
    "cafe\u0301 2.txt",
    "CAF\u00c9 3.txt",
    "cafe.txt",
    "stra\u00dfe.txt",
    "100%_of\\it.txt",
    'say "ab".txt',
    "it's.txt",
    "new\nline.txt",
    "\udcff\udce9.bin",
    "日本語の名前.txt",
    "\U0001d54f\U0001f600\U0001f600.png",
    "report [final].doc",
    "x",
    "ab",
    "n" * 255,
]
FOLDERS = [
    "/srv/office",
    "/srv/Office/clients",
    "/srv/budget",
    "/srv/caf\u00e9",
    "/srv/\udce9",
    "/",
    "relative",
    "/srv/Stra\u00dfe",
    "/srv/o\ufb03ce 2",
    "/srv/20 \u212aelvin",
]


@pytest.mark.slow
def test_every_letter_that_is_searched_by_letters_of_ascii_is_known() -> None:
    letters = (chr(number) for number in range(128, sys.maxunicode + 1) if not 0xD800 <= number < 0xE000)
    found = {letter for letter in letters if any(piece.isascii() for piece in folded(letter))}

    assert found == set(FOLDED_TO_ASCII)


def paths(catalogue: Catalogue, **wanted: Any) -> list[str]:
    return sorted(entry.path for entry in catalogue.find(Wanted(**wanted)))


def named(catalogue: Catalogue, pattern: str, match_case: bool = False) -> list[str]:
    return paths(catalogue, pattern=Pattern(pattern, match_case))


@pytest.fixture
def full(catalogue: Catalogue) -> Catalogue:
    """A catalogue with all names in all folders, in one complete volume and one that is not."""
    run_id = start_run(catalogue)
    everything = [os.path.join(folder, name) for folder in FOLDERS for name in NAMES]
    save_volume(catalogue, run_id, "run/vol001", *everything[::2])
    volume_id = catalogue.add_volume(run_id, "run/vol002", 2, "/b", None)
    rows = [file_row(volume_id, None, path) for path in everything[1::2]]
    folder = file_row(volume_id, None, "/srv/office/x", name=b"", kind=DIRECTORY, digest=None)
    catalogue.record([], [*rows, folder])
    return catalogue


PATTERNS = [
    "budget", "BUDGET", "bud*", "*.ods", "*.txt", "*2009*", "é", "café", "É.", "ß", "strasse", "100%", "%", "_", "\\",
    '"', '"ab"', "'", "\n", "\udcff", "\udce9.b", "日本", "語の名", "\U0001f600", "[final]", "*[f]inal*", "x", "ab",
    "?", "??", "*", "nnn", "n" * 256, "no such name", "/x", "/", "office/", "office/b", "OFFICE", "office", "/bud",
    "/srv/office/budget.ods", "/srv/*", "*/budget/*", "*/office/*.txt", "*/x", "é/x", "/srv/\udce9/caf", "lat*",
    "/cl", "srv/b", "relative/budget", "/relative", "//", "e/c*",
    "strasse/b", "stra\u00dfe/b", "STRASSE/*.txt", "*asse/x", "fice 2/x", "kelvin/b", "\u212aelvin/b", "/kelvin",
]  # fmt: skip


def test_every_pattern_finds_on_each_database_what_a_look_at_every_path_finds(full: Catalogue) -> None:
    everything = list(full.files(""))
    for text in PATTERNS:
        for match_case in (False, True):
            pattern = Pattern(text, match_case)
            expected = [
                entry.path
                for entry in everything
                if pattern.matches(*(os.path.split(entry.path) if entry.kind != DIRECTORY else (entry.path, "")))
            ]
            assert named(full, text, match_case) == sorted(expected), text


LETTERS = "aAbB.é%_'\"\\\udce9日"


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(st.text(LETTERS, min_size=1, max_size=7), min_size=1, max_size=150),
    pattern=st.text(LETTERS + "*?/", min_size=1, max_size=5),
)
def test_any_part_of_any_name_is_found(catalogue: Catalogue, names: list[str], pattern: str) -> None:
    volume_id = catalogue.add_volume(None, "disc", None, None, None)
    catalogue.record([], [file_row(volume_id, None, f"a.é/{name}") for name in names])
    catalogue.finish_volume(volume_id, 1)
    wanted = Pattern(pattern)
    found = named(catalogue, pattern)
    catalogue.remove("disc")

    assert found == sorted(f"a.é/{name}" for name in names if wanted.matches("a.é", name))


def test_what_is_found_tells_its_volume_and_archive(catalogue: Catalogue) -> None:
    run_id = start_run(catalogue)
    save_volume(catalogue, run_id, "run/vol001", "/srv/office/plan.odt")
    disc = catalogue.add_volume(None, "Holidays 2009", None, "/media/cd", None)
    archive = catalogue.add_archive(disc, "old/outer.zip!/inner.tar.gz", "tar.gz")
    catalogue.record([], [file_row(disc, archive, "Plan.odt"), file_row(disc, None, "docs/planning.txt")])
    catalogue.finish_volume(disc, 1)

    assert list(catalogue.find(Wanted(Pattern("plan")))) == [
        FileEntry("run/vol001", "office.001.zip", "/srv/office/plan.odt", "file", 10, 1_000, b"d" * 16),
        FileEntry("Holidays 2009", "old/outer.zip!/inner.tar.gz", "Plan.odt", "file", 10, 1_000, b"d" * 16),
        FileEntry("Holidays 2009", None, "docs/planning.txt", "file", 10, 1_000, b"d" * 16),
    ]


def test_all_conditions_must_be_true_at_once(catalogue: Catalogue) -> None:
    volume_id = catalogue.add_volume(start_run(catalogue), "run/vol001", 1, "/b", None)
    rows = [
        file_row(volume_id, None, "/s/a.txt", size=10, mtime_ns=100),
        file_row(volume_id, None, "/s/a.odt", size=20, mtime_ns=200),
        file_row(volume_id, None, "/s/b.odt", size=30, mtime_ns=300, digest=bytes.fromhex("abcdef" + "00" * 13)),
        file_row(volume_id, None, "/s/a.link", size=10, kind=SYMLINK, digest=None),
        file_row(volume_id, None, "/s/a", name=b"", size=10, kind=DIRECTORY, digest=None),
    ]
    catalogue.record([], rows)
    for complete in (False, True):
        if complete:  # then by what is known
            catalogue.finish_volume(volume_id, 1)
        assert paths(catalogue, size=(10, 20)) == ["/s/a.odt", "/s/a.txt"]
        assert paths(catalogue, size=(None, 10)) == ["/s/a.txt"]
        assert paths(catalogue, size=(21, None)) == ["/s/b.odt"]
        assert paths(catalogue, mtime_ns=(200, 300)) == ["/s/a.odt"]
        assert paths(catalogue, mtime_ns=(300, 999)) == ["/s/b.odt"]
        assert paths(catalogue, pattern=Pattern("*.odt"), size=(None, 20)) == ["/s/a.odt"]
        assert paths(catalogue, pattern=Pattern("s/a"), size=(11, None)) == ["/s/a.odt"]
        assert paths(catalogue, digest="abcdef") == paths(catalogue, digest="abcde") == ["/s/b.odt"]
        assert paths(catalogue, digest="abcdef", pattern=Pattern("a")) == []
        assert paths(catalogue, digest="abcd", size=(30, 30), mtime_ns=(300, 301)) == ["/s/b.odt"]
        assert paths(catalogue, digest="abce") == []


def test_a_digest_may_begin_with_any_digits(catalogue: Catalogue) -> None:
    digests = [b"\xff" * 16, b"\xff" * 15 + b"\xfe", b"\0" * 16, b"\xff" * 32]
    volume_id = catalogue.add_volume(None, "disc", None, None, None)
    catalogue.record([], [file_row(volume_id, None, f"{i}", digest=digest) for i, digest in enumerate(digests)])
    catalogue.finish_volume(volume_id, 1)

    assert paths(catalogue, digest="f" * 5) == paths(catalogue, digest="f" * 30) == ["0", "1", "3"]
    assert paths(catalogue, digest="f" * 31 + "e") == ["1"]
    assert paths(catalogue, digest="f" * 32) == ["0", "3"]
    assert paths(catalogue, digest="0" * 32) == ["2"]


def test_a_content_is_found_by_each_of_its_digests(catalogue: Catalogue) -> None:
    run_id = start_run(catalogue)
    save_volume(catalogue, run_id, "run/vol001", "/srv/a", digest=b"x" * 16)
    save_volume(catalogue, run_id, "run/vol002", "/srv/b", digest=b"s" * 32)
    save_volume(catalogue, run_id, "run/vol003", "/srv/c", digest=b"x" * 16, size=11)
    catalogue.add_volume(None, "disc", None, None, None, digest="sha256")

    assert catalogue.digests_in_use() == ["sha256", "xxh3-128"]
    assert paths(catalogue, contents=((10, b"x" * 16), (10, b"s" * 32))) == ["/srv/a", "/srv/b"]
    assert paths(catalogue, contents=()) == []


def part_row(volume_id: int, number: int, **values: Any) -> FileRow:
    return file_row(volume_id, None, "/srv/big", part=number, **{"digest": b"%d" % number * 16} | values)


WHOLE = (12, b"w" * 16)
FIRST = {"size": 7, "part_offset": 0}
LAST = {"size": 5, "part_offset": 7, "whole_size": 12, "whole_digest": WHOLE[1]}


def add_disc(catalogue: Catalogue, title: str, *parts: dict[str, Any]) -> None:
    """A medium that was added by hand: only the last part of a file tells of the whole there."""
    volume_id = catalogue.add_volume(None, title, None, "/m", None)
    catalogue.record([], [part_row(volume_id, **values) for values in parts])
    catalogue.finish_volume(volume_id, 12)


def parts_found(catalogue: Catalogue) -> list[tuple[str, str]]:
    by_content, by_digest = (
        list(catalogue.find(wanted)) for wanted in (Wanted(contents=(WHOLE,)), Wanted(digest="7777"))
    )
    assert by_content == by_digest
    return sorted((entry.volume, entry.path[-1]) for entry in by_content)


def test_a_file_that_was_cut_is_found_on_media_that_were_added_by_hand(catalogue: Catalogue) -> None:
    add_disc(catalogue, "one", {"number": 1, **FIRST})
    assert parts_found(catalogue) == []
    add_disc(catalogue, "two", {"number": 2, **LAST})
    assert parts_found(catalogue) == [("one", "1"), ("two", "2")]
    add_disc(catalogue, "copy of two", {"number": 2, **LAST})
    assert parts_found(catalogue) == [("copy of two", "2"), ("one", "1"), ("two", "2")]
    add_disc(catalogue, "both", {"number": 1, **FIRST, "mtime_ns": 5}, {"number": 2, **LAST, "mtime_ns": 5})
    assert [volume for volume, _ in parts_found(catalogue)] == ["both", "both", "copy of two", "one", "two"]

    catalogue.remove("one")
    assert parts_found(catalogue) == [("both", "1"), ("both", "2")]


@pytest.mark.parametrize(
    "other",
    [
        {"mtime_ns": 2_000},  # of another version
        {"size": 6},  # it does not reach to where the last one begins
        {"number": 3},
        {"digest": b"x" * 16},  # together with the right one: which of them it is, nothing tells
    ],
)
def test_parts_of_other_versions_on_other_media_are_not_taken_for_those_of_a_file(
    catalogue: Catalogue, other: dict[str, Any]
) -> None:
    add_disc(catalogue, "two", {"number": 2, **LAST})
    add_disc(catalogue, "other", {"number": 1, **FIRST, **other})
    if "digest" in other:
        add_disc(catalogue, "one", {"number": 1, **FIRST})

    assert parts_found(catalogue) == []


def test_of_a_file_that_changed_while_its_run_was_interrupted_the_newest_parts_are_found(catalogue: Catalogue) -> None:
    volume_id = catalogue.add_volume(start_run(catalogue), "run/vol001", 1, "/b", None)
    older = part_row(volume_id, 1, **FIRST, whole_size=12, mtime_ns=7), part_row(volume_id, 1, size=6, part_offset=0)
    catalogue.record([], [*older, part_row(volume_id, 1, **FIRST), part_row(volume_id, 2, **LAST)])
    catalogue.finish_volume(volume_id, 12)

    assert [entry.size for entry in catalogue.find(Wanted(contents=(WHOLE,)))] == [7, 5]
    assert {entry.mtime_ns for entry in catalogue.find(Wanted(contents=(WHOLE,)))} == {1_000}


def test_an_older_part_from_before_the_run_went_on_is_none_of_the_file_in_whatever_order_it_is_rebuilt(
    catalogue: Catalogue,
) -> None:
    run_id = start_run(catalogue)
    older, newer = FIRST | {"mtime_ns": 7, "digest": b"o" * 16}, FIRST | {"mtime_ns": 9}
    for volume, part, row in ((1, 1, older), (3, 2, LAST | {"mtime_ns": 9}), (2, 1, newer)):
        volume_id = catalogue.add_volume(run_id, f"run/vol00{volume}", volume, "/b", None)
        catalogue.record([], [part_row(volume_id, part, **row)])
        catalogue.finish_volume(volume_id, 12)
    entry = PictureEntry(b"", b"", b"/srv", b"copy", FILE, *WHOLE[:1], 1, WHOLE[1], *[None] * 6, 1)

    assert catalogue.known_digests({WHOLE}) == {WHOLE}
    (last,) = catalogue.members([entry])
    with catalogue._looking() as transaction:
        parts = sorted((row.part, row.digest) for row in of_ids(transaction, [last])[last])
    assert parts == [(1, b"1" * 16), (2, b"2" * 16)]


def test_a_file_of_which_the_last_volume_was_rebuilt_first_is_whole_all_the_same(catalogue: Catalogue) -> None:
    run_id = start_run(catalogue)
    for number, rows in ((2, [LAST]), (1, [FIRST | {"size": 6, "mtime_ns": 7}, FIRST])):
        volume_id = catalogue.add_volume(run_id, f"run/vol00{number}", number, "/b", None)
        catalogue.record([], [part_row(volume_id, number, **row) for row in rows])
        catalogue.finish_volume(volume_id, 12)
    entry = PictureEntry(b"", b"", b"/srv", b"copy", FILE, *WHOLE[:1], 1, WHOLE[1], *[None] * 6, 1)

    assert parts_found(catalogue) == [("run/vol001", "1"), ("run/vol002", "2")]
    assert catalogue.known_digests({WHOLE}) == {WHOLE}
    (last,) = catalogue.members([entry])
    with catalogue._looking() as transaction:
        assert sorted((row.part, row.size) for row in of_ids(transaction, [last])[last]) == [(1, 7), (2, 5)]
    catalogue.finish_run(run_id, COMPLETE, 2, 1, 12, 0, 0)
    catalogue.remove("run/vol001")
    assert (parts_found(catalogue), catalogue.known_digests({WHOLE})) == ([], set())
    assert catalogue.members([entry]) == [None]


def test_a_file_that_was_cut_is_found_by_its_whole_content_with_all_of_its_parts(catalogue: Catalogue) -> None:
    run_id, other = start_run(catalogue), start_run(catalogue, "other")
    for run, title in ((run_id, "run/vol001"), (other, "other/vol001")):
        volume_id = catalogue.add_volume(run, title, 1, "/b", None)
        end = None if run == other else b"w" * 16  # of the other one the last part is missing
        catalogue.record([], [
            part_row(volume_id, 1, size=7, part_offset=0, whole_size=12),
            part_row(volume_id, 2, size=5, part_offset=7, whole_size=12, whole_digest=end),
        ])  # fmt: skip
        catalogue.finish_volume(volume_id, 12)

    found = list(catalogue.find(Wanted(contents=((12, b"w" * 16),))))
    assert [(entry.volume, entry.path, entry.size) for entry in found] == [
        ("run/vol001", "/srv/big.part001", 7),
        ("run/vol001", "/srv/big.part002", 5),
    ]
    assert {entry.path for entry in catalogue.find(Wanted(digest="77777777"))} == {
        "/srv/big.part001",
        "/srv/big.part002",
    }


def test_duplicates_follow_each_other_the_largest_first_and_empty_files_do_not_count(catalogue: Catalogue) -> None:
    run_id = start_run(catalogue)
    volume_id = catalogue.add_volume(run_id, "run/vol001", 1, "/b", None)
    contents = {"a": (5, b"1"), "b": (7, b"2"), "c": (5, b"1"), "d": (7, b"3"), "e": (0, b"0"), "f": (0, b"0")}
    catalogue.record(
        [],
        [
            file_row(volume_id, None, f"/s/{name}", size=size, digest=digest * 16)
            for name, (size, digest) in contents.items()
        ],
    )
    catalogue.finish_volume(volume_id, 1)
    save_volume(catalogue, run_id, "run/vol002", "/s/b.copy", size=7, digest=b"2" * 16)
    unfinished = catalogue.add_volume(run_id, "run/vol003", 3, "/b", None)
    catalogue.record([], [file_row(unfinished, None, "/s/d.copy", size=7, digest=b"3" * 16)])

    def found(**more: Any) -> list[str]:
        return [entry.path for entry in catalogue.find(Wanted(duplicates=True, **more))]

    assert found() == ["/s/b", "/s/b.copy", "/s/a", "/s/c"]
    assert found(size=(6, None)) == ["/s/b", "/s/b.copy"]
    assert found(size=(None, 6)) == ["/s/a", "/s/c"]
    assert found(pattern=Pattern("*.copy")) == []
    assert found(pattern=Pattern("b")) == ["/s/b", "/s/b.copy"]
    assert found(contents=((5, b"1" * 16),)) == ["/s/a", "/s/c"]
    assert found(digest="3131") == ["/s/a", "/s/c"]


def test_a_content_that_is_there_thousands_of_times_is_told_without_the_others(catalogue: Catalogue) -> None:
    run_id = start_run(catalogue)
    save_volume(catalogue, run_id, "run/vol001", *(f"/s/{i % 7}/{i}" for i in range(6000)))
    save_volume(catalogue, run_id, "run/vol002", "/s/x", "/s/y", size=11)
    found = [entry.path for entry in catalogue.find(Wanted(duplicates=True))]

    assert found[:2] == ["/s/x", "/s/y"]
    assert len(found) == len(set(found)) == 6002
    assert len(list(catalogue.find(Wanted(contents=((10, b"d" * 16),))))) == 6000


def test_searching_may_be_left_off_in_the_middle(catalogue: Catalogue) -> None:
    save_volume(catalogue, start_run(catalogue), "run/vol001", *(f"/srv/{i % 300}/f{i}" for i in range(6000)))
    for wanted in (Wanted(Pattern("f")), Wanted(Pattern("/f")), Wanted(size=(1, None)), Wanted(duplicates=True)):
        for _ in range(4):  # with the others more than the pool has connections
            next(iter(catalogue.find(wanted)))

    assert sum(1 for _ in catalogue.find(Wanted(Pattern("*f*")))) == 6000


def test_volumes_that_share_the_ids_of_their_files_are_told_apart(catalogue: Catalogue) -> None:
    run_id = start_run(catalogue)
    volumes = [catalogue.add_volume(run_id, f"run/vol00{i}", i, "/b", None) for i in range(3)]
    for i in range(9):
        rows = [file_row(volumes[j % 3], None, f"/srv/{j % 3}-{i}-{j}") for j in range(300)]
        catalogue.record([], rows)
    for volume_id in volumes[:2]:
        catalogue.finish_volume(volume_id, 1)

    for j in range(3):
        found = list(catalogue.find(Wanted(Pattern(f"{j}-*"))))
        assert len(found) == len({entry.path for entry in found}) == 900
        assert {entry.volume for entry in found} == {f"run/vol00{j}"}


def test_two_may_search_and_list_while_one_records_and_removes(catalogue: Catalogue, db_uri: str) -> None:
    run_id = start_run(catalogue)
    save_volume(catalogue, run_id, "run/vol000", *(f"/srv/plan {i}" for i in range(300)))
    stop = threading.Event()
    seen: list[set[str]] = []

    def look(ask: Callable[[Catalogue], Iterator[FileEntry]]) -> None:
        with open_catalogue(db_uri) as own:
            while not stop.is_set():
                volumes = Counter(entry.volume for entry in ask(own))
                assert set(volumes.values()) == {300}  # each volume whole
                seen.append(set(volumes))

    with ThreadPoolExecutor(2) as readers:
        looks = [
            readers.submit(look, lambda own: own.find(Wanted(Pattern("plan")))),
            readers.submit(look, lambda own: own.files("")),
        ]
        try:
            for i in range(1, 6):
                save_volume(catalogue, run_id, f"run/vol00{i}", *(f"/srv/plan {j}" for j in range(300)))
                catalogue.drop_volume(i)
        finally:
            stop.set()
        for done in looks:
            done.result(timeout=60)

    assert seen
    assert all(seen)


@pytest.fixture
def lists(database: TestDatabase) -> Callable[[], int]:
    """How many lists of names there are, after a look whether SQLite's index fits them."""

    def count() -> int:
        if database.backend == "sqlite":
            database.do(f"INSERT INTO {FTS} ({FTS}, rank) VALUES ('integrity-check', 1)")
        return int(database.ask("SELECT count(*) FROM name_lists")[0][0])

    return count


def test_removing_a_volume_leaves_nothing_of_it_to_be_found(catalogue: Catalogue, lists: Callable[[], int]) -> None:
    run_id = start_run(catalogue)
    for title in ("v1", "v2"):
        save_volume(catalogue, run_id, title, *(f"/srv/{title}/budget {i}" for i in range(1000)))
    catalogue.finish_run(run_id, COMPLETE, 2, 2000, 20, 0, 0)
    assert lists() == 2 * -(-1000 // 64)
    catalogue.remove("v1")

    assert lists() == -(-1000 // 64)
    assert {entry.volume for entry in catalogue.find(Wanted(Pattern("budget")))} == {"v2"}
    catalogue.remove("v2")
    assert lists() == 0
    assert named(catalogue, "*") == []


def test_a_complete_volume_without_lists_gets_them_when_something_is_searched(
    catalogue: Catalogue, database: TestDatabase, lists: Callable[[], int]
) -> None:
    save_volume(catalogue, start_run(catalogue), "v1", "/srv/budget.ods")
    with catalogue._writing() as connection:
        forget_names(CoreTransaction(connection), 1)

    assert named(catalogue, "udget") == ["/srv/budget.ods"]
    assert lists() == 1
    assert named(catalogue, "udget") == ["/srv/budget.ods"]


@pytest.mark.parametrize(("silence_s", "number"), [(80_000, 0), (90_000, 1)])
def test_lists_that_another_host_began_are_made_by_whoever_searches_a_day_later(
    catalogue: Catalogue, lists: Callable[[], int], silence_s: int, number: int
) -> None:
    save_volume(catalogue, start_run(catalogue), "v1", "/srv/budget.ods")
    with catalogue._changing() as transaction:
        forget_names(transaction, 1)
        values = {"seen": time.time() - silence_s}
        transaction.change("UPDATE volumes SET host = 'gone', pid = 7, pid_seen = :seen", values)

    assert named(catalogue, "udget") == ["/srv/budget.ods"]
    assert lists() == number


def test_who_may_only_read_finds_what_has_no_lists(sqlite_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_catalogue(f"sqlite:///{sqlite_file}") as catalogue:
        save_volume(catalogue, start_run(catalogue), "v1", "/srv/budget.ods")
        with catalogue._writing() as connection:
            forget_names(CoreTransaction(connection), 1)
        with catalogue._reading() as connection:
            connection.exec_driver_sql("PRAGMA query_only = ON")
        assert named(catalogue, "udget") == ["/srv/budget.ods"]
        with sqlite3.connect(sqlite_file) as plain:
            assert plain.execute("SELECT count(*) FROM name_lists").fetchone() == (0,)


def test_without_the_index_the_lists_alone_are_searched(full: Catalogue, database: TestDatabase) -> None:
    before = {text: named(full, text) for text in PATTERNS}
    if database.backend == "sqlite":
        database.do(f"DROP TABLE {FTS}")
    elif database.backend == "postgresql":
        database.do(f"DROP INDEX {FTS}")

    assert {text: named(full, text) for text in PATTERNS} == before


def test_a_part_of_a_name_is_looked_up_in_an_index(full: Catalogue, database: TestDatabase) -> None:
    if database.backend == "sqlite":
        plan = database.ask("EXPLAIN QUERY PLAN SELECT rowid FROM name_search WHERE name_search MATCH 'bud'")
        assert "VIRTUAL TABLE INDEX" in str(plan)
    elif database.backend == "postgresql":
        with database.engine().connect() as connection:
            connection.exec_driver_sql("SET enable_seqscan = off")
            plan = connection.exec_driver_sql("EXPLAIN SELECT id FROM name_lists WHERE names LIKE '%%budget%%'").all()
        assert FTS in str(plan)
    else:
        pytest.skip("MySQL has no such index; its lists are read from first to last")


def test_a_volume_whose_finishing_was_cut_off_is_searched_whole_and_finished_later(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, lists: Callable[[], int]
) -> None:
    """Lists of names are made before it is complete, some at a time, and are of no use until it is."""
    volume_id = catalogue.add_volume(start_run(catalogue), "run/vol001", 1, "/b", None)
    catalogue.record([], [file_row(volume_id, None, f"/s/plan {number}.odt") for number in range(300)])
    monkeypatch.setattr(names, "FETCHED", 64)
    monkeypatch.setattr(names, "_PAGES", 1)
    make, left = names.list_some_names, [2]

    def cut_off(*arguments: Any) -> int | None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return make(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(recording, "list_some_names", cut_off)
        with pytest.raises(KeyboardInterrupt):
            catalogue.finish_volume(volume_id, 1)

    assert lists() == 2
    assert [row.state for row in catalogue.volumes()] == ["incomplete"]
    assert len(named(catalogue, "plan")) == 300
    assert named(catalogue, "plan 299.") == ["/s/plan 299.odt"]
    catalogue.record([], [file_row(volume_id, None, "/s/plan 300.odt")])
    assert len(named(catalogue, "plan")) == 301
    catalogue.finish_volume(volume_id, 1)
    assert lists() == 5
    assert len(named(catalogue, "plan")) == 301
    assert named(catalogue, "plan 299.") == ["/s/plan 299.odt"]

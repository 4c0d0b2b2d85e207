from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backalaika.catalogue.wanted import Pattern, searchable

# Few characters, so that much is found: capitals, an accent in both ways, wildcards' own characters, a lone byte.
ALPHABET = "aAbBéÉe\u0301ßsS.[]^!-% _\\'\"\udce9日"
NAMES = st.text(ALPHABET, min_size=1, max_size=8)
PATTERNS = st.text(ALPHABET + "*?", min_size=1, max_size=5)


@pytest.mark.parametrize(
    ("pattern", "found", "not_found"),
    [
        ("budget", ["budget", "My BUDGET 2009.ods", "low-budget"], ["budge", "bud get"]),
        ("*.ods", [".ods", "a.ods", "A.ODS"], ["a.ods.bak", "ods"]),
        ("bud*", ["budget", "BUD"], ["low-budget"]),
        ("b?d", ["bad", "BED"], ["bd", "abed", "beds"]),
        ("[ab]*.txt", ["a.txt", "boo.txt"], ["c.txt"]),
        ("[!ab]*", ["c"], ["a", "B"]),
        ("report [final]", ["the report [final].doc"], ["report f"]),  # no wildcard, so no set of characters either
        ("100%", ["100% of it"], ["100 of it"]),
        ("a_c", ["a_c"], ["abc"]),
        ("É", ["é", "e\u0301", "É"], ["e", "E"]),
        ("STRASSE", ["straße"], ["strase"]),
    ],
)
def test_a_pattern_finds_what_people_mean(pattern: str, found: list[str], not_found: list[str]) -> None:
    wanted = Pattern(pattern)

    assert [name for name in found if wanted.matches("/srv", name)] == found
    assert [name for name in not_found if wanted.matches("/srv", name)] == []


def test_case_matters_if_it_is_said() -> None:
    assert Pattern("Budget", match_case=True).matches("", "Budget.ods")
    assert not Pattern("Budget", match_case=True).matches("", "budget.ods")
    assert not Pattern("B*", match_case=True).matches("", "budget.ods")


def test_a_pattern_with_a_slash_is_one_of_paths() -> None:
    assert Pattern("clients/mil").matches("/srv/clients", "miller.doc")
    assert Pattern("clients/mil").matches("/srv/Clients/Miller", "a.doc")
    assert not Pattern("clients/mil").matches("/srv/clients/a", "miller.doc")
    assert Pattern("/srv/*/a.doc").matches("/srv/clients/miller", "a.doc")
    assert not Pattern("srv/*/a.doc").matches("/srv/clients/miller", "a.doc")


def test_a_folder_is_found_by_its_own_name_not_by_that_of_the_one_above() -> None:
    assert Pattern("holiday").matches("/srv/Holidays", "")
    assert not Pattern("srv").matches("/srv/Holidays", "")
    assert not Pattern("holiday").matches("/srv/Holidays", "a.jpg")


@given(names=st.lists(NAMES, min_size=1, max_size=5), pattern=PATTERNS)
def test_a_list_holds_all_pieces_of_the_pattern_that_one_of_its_names_matches(names: list[str], pattern: str) -> None:
    wanted = Pattern(pattern)
    text = searchable(f"/{'/'.join(names)}/")
    text.encode()  # no database would take anything else

    if any(wanted.matches("/srv", name) for name in names):
        assert all(piece in text for piece in wanted.pieces)


PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


@given(
    path=PATHS, pattern=st.lists(PATTERNS | st.just(""), min_size=2, max_size=3).map("/".join), absolute=st.booleans()
)
def test_the_folder_and_name_of_a_path_that_matches_are_not_passed_over(
    path: str, pattern: str, absolute: bool
) -> None:
    folder, name = os.path.split(f"/{path}" if absolute else path)
    wanted = Pattern(pattern)

    if wanted.matches(folder, name):
        in_name = all(piece in searchable(f"/{name}/") for piece in wanted.pieces)
        assert wanted.is_in(folder) if wanted.begins and not in_name else wanted.may_begin_in(folder) or wanted.begins
        assert in_name or not wanted.is_glob

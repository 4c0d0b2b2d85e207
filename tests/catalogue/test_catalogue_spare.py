"""Which volumes are spare: whatever is thrown away with all of them is there in another way; on every database."""

from __future__ import annotations

from typing import Any

from catalogue_samples import file_row, save_volume, start_run
from hypothesis import given
from hypothesis import strategies as st

from backalaika.catalogue import Catalogue
from backalaika.catalogue.sparing import Ways, spare

VOLUMES = st.integers(0, 7)
WAYS = st.frozensets(st.frozensets(VOLUMES, min_size=1, max_size=3), min_size=1, max_size=4)
WHOLE: dict[str, Any] = {"whole_size": 15, "whole_digest": b"w" * 16}


def there(ways: Ways, left: set[int]) -> bool:
    return any(way <= left for way in ways)


@given(st.permutations(range(8)), st.lists(WAYS), st.sets(VOLUMES, max_size=3))
def test_what_all_spare_volumes_have_is_left_in_a_healthy_way_and_no_more_of_them_could_go(
    order: list[int], contents: list[Ways], damaged: set[int]
) -> None:
    gone = set(spare(order, contents, damaged))
    healthy = set(order) - gone - damaged

    def concerned(some: set[int]) -> list[Ways]:
        return [ways for ways in contents if any(way & some for way in ways)]

    assert all(there(ways, healthy) for ways in concerned(gone))
    for volume in set(order) - gone:
        assert not all(there(ways, healthy - {volume}) for ways in concerned({volume}))


def save_parts(catalogue: Catalogue, run_id: int | None, name: str, number: int, **values: Any) -> None:
    """A volume with the first or the second part of a file of which both have the same size in all runs."""
    last = {"size": 5, "part_offset": 10, "digest": b"2" * 16, **WHOLE}
    part = {1: {"part_offset": 0, "digest": b"1" * 16, "whole_size": 15}, 2: last}[number]
    save(catalogue, run_id, f"{name}/vol00{number}", part=number, **part | values)


def save(catalogue: Catalogue, run_id: int | None, title: str, path: str = "/srv/office/mbox", **values: Any) -> None:
    if run_id is None:
        volume_id = catalogue.add_volume(None, title, None, f"/m/{title}", None)
        catalogue.record([], [file_row(volume_id, None, path, **values)])
        catalogue.finish_volume(volume_id, 500)
    else:
        save_volume(catalogue, run_id, title, path, **values)


def test_of_a_file_that_was_cut_in_two_runs_the_parts_of_one_stay(catalogue: Catalogue) -> None:
    first, second = start_run(catalogue), start_run(catalogue, at_ns=2)
    for run_id, name, number in ((first, "a", 1), (second, "b", 1), (second, "b", 2), (first, "a", 2)):
        save_parts(catalogue, run_id, name, number)

    assert catalogue.spare_volumes() == ["a/vol001", "a/vol002"]


def test_a_part_that_a_longer_version_begins_with_too_is_still_needed(catalogue: Catalogue) -> None:
    for name, end in (("a", b"2"), ("b", b"3")):
        run_id = start_run(catalogue, at_ns=ord(name))
        save_parts(catalogue, run_id, name, 1)
        save_parts(catalogue, run_id, name, 2, digest=end * 16, whole_digest=end * 16)

    assert catalogue.spare_volumes() == []


def test_an_uncut_copy_stands_for_all_parts_and_they_for_it(catalogue: Catalogue) -> None:
    run_id = start_run(catalogue)
    for number in (1, 2):
        save_parts(catalogue, run_id, "a", number)
    save(catalogue, start_run(catalogue, at_ns=2), "b/vol001", size=15, digest=b"w" * 16)
    assert catalogue.spare_volumes() == ["a/vol001", "a/vol002"]

    save(catalogue, run_id, "a/vol003", path="/srv/office/c", digest=b"c" * 16)
    save(catalogue, run_id, "a/vol004", path="/srv/office/c", digest=b"c" * 16)
    assert catalogue.spare_volumes() == ["a/vol001", "a/vol002", "a/vol003"]


def test_a_part_without_the_others_is_kept_unless_it_is_elsewhere_too(catalogue: Catalogue) -> None:
    run_id = start_run(catalogue)
    save_parts(catalogue, run_id, "a", 2)
    assert catalogue.spare_volumes() == []

    run_id = start_run(catalogue, at_ns=2)
    for number in (1, 2):
        save_parts(catalogue, run_id, "b", number)
    assert catalogue.spare_volumes() == ["a/vol002"]


def test_a_part_on_a_medium_that_was_added_is_needed_with_those_of_its_own_file(catalogue: Catalogue) -> None:
    for number in (1, 2):
        save_parts(catalogue, None, "medium", number)
    run_id = start_run(catalogue)
    save_parts(catalogue, run_id, "run", 1)  # of another file that begins alike
    save_parts(catalogue, run_id, "run", 2, digest=b"3" * 16, whole_digest=b"3" * 16)
    assert catalogue.spare_volumes() == []

    save_parts(catalogue, None, "copy", 1)
    assert catalogue.spare_volumes() == ["medium/vol001"]


def test_a_volume_that_was_seen_damaged_keeps_no_other_from_being_needed_until_it_is_whole(
    catalogue: Catalogue,
) -> None:
    run_id = start_run(catalogue)
    for title in ("run/vol001", "run/vol002"):
        save(catalogue, run_id, title)
    numbers = {title: catalogue.volume_id(title) for title in ("run/vol001", "run/vol002")}

    catalogue.enter_verified(numbers["run/vol002"], 10)
    catalogue.enter_damaged(numbers["run/vol002"], 20)
    assert catalogue.spare_volumes() == ["run/vol002"]
    assert list(catalogue.verified_at().values()) == [None, None]
    assert [(volume.verified_at_ns, volume.damaged_at_ns) for volume in catalogue.volumes()] == [(None, None), (10, 20)]
    catalogue.enter_damaged(numbers["run/vol001"], 30)
    assert catalogue.spare_volumes() == []  # each may have what the other has lost
    catalogue.enter_verified(numbers["run/vol002"], 40)
    assert catalogue.spare_volumes() == ["run/vol001"]
    assert list(catalogue.verified_at().values()) == [None, 40]


def test_a_file_without_digest_may_be_anything_so_that_its_namesake_does_not_stand_for_it(catalogue: Catalogue) -> None:
    for title in ("one", "two"):
        save(catalogue, None, title, digest=None)

    assert catalogue.spare_volumes() == []

"""The planner fills media in their order, leaves no piece out, and needs few volumes."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backalaika.planner import LARGE_PART, Media, Medium, Rooms, Shelf, plan_volumes

CAPACITIES = st.integers(0, 100)
MEDIA = st.builds(Media, st.lists(CAPACITIES, max_size=6).map(tuple), CAPACITIES)
SIZES = st.lists(st.integers(0, 120), max_size=40)
CD = 700 << 20


@given(st.lists(st.integers(-1, 9), max_size=20), st.integers(0, 10), st.integers(0, 22))
def test_the_first_room_that_is_large_enough_is_found(rooms: list[int], least: int, start: int) -> None:
    expected = next((i for i in range(start, len(rooms)) if rooms[i] >= least), None)

    assert Rooms(rooms).first(least, start) == expected


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(-1, 9), st.integers(0, 10)), max_size=30))
def test_rooms_that_change_are_found_as_they_are(changes: list[tuple[int, int, int]]) -> None:
    rooms, plain = Rooms(), []
    for i, room, least in changes:
        if i < len(plain):
            rooms.put(i, room)
            plain[i] = room
        else:
            rooms.append(room)
            plain.append(room)
        assert rooms.first(least) == next((j for j, there in enumerate(plain) if there >= least), None)


@given(SIZES, MEDIA)
def test_a_plan_overfills_no_medium_and_uses_each_once(sizes: list[int], media: Media) -> None:
    plan = plan_volumes(sizes, media)

    for volume, capacity in zip(plan.volumes, plan.capacities, strict=True):
        assert volume
        assert sum(sizes[i] for i in volume) <= capacity
    assert not Counter(c for c in plan.capacities if c != media.max_size) - Counter(media.sizes)


@given(SIZES, MEDIA)
def test_every_piece_is_placed_once_or_is_too_large_for_all_media_left(sizes: list[int], media: Media) -> None:
    plan = plan_volumes(sizes, media)
    placed = [i for volume in plan.volumes for i in volume]

    assert sorted(placed + plan.too_large) == list(range(len(sizes)))
    unused = Counter(media.sizes) - Counter(plan.capacities)
    assert all(sizes[i] > max((media.max_size, *unused)) for i in plan.too_large)


@given(SIZES, MEDIA)
def test_the_same_sizes_give_the_same_plan(sizes: list[int], media: Media) -> None:
    assert plan_volumes(sizes, media) == plan_volumes(tuple(sizes), media)


@given(st.integers(0, 120), MEDIA)
def test_candidates_are_volumes_in_use_then_media_in_their_order_then_new_ones(least: int, media: Media) -> None:
    shelf = Shelf(media)
    volume = shelf.take(Medium(None))
    places = list(shelf.candidates(least))

    expected: list[int | Medium] = [volume] if least <= media.max_size else []
    expected += [Medium(i) for i, size in enumerate(media.sizes) if least <= size]
    assert places == expected + [Medium(None)] * (least <= media.max_size)
    for i, place in enumerate(places):
        assert list(shelf.candidates(least, place)) == places[i:]


def test_a_medium_too_small_for_a_large_piece_takes_what_comes_later() -> None:
    plan = plan_volumes([50, 9, 8], Media((10, 20), 60))

    assert [list(volume) for volume in plan.volumes] == [[0, 1], [2]]
    assert plan.capacities == [60, 10]


def test_large_pieces_come_first_and_small_ones_fill_up_in_their_order() -> None:
    small = [1000 // LARGE_PART] * 20
    plan = plan_volumes([*small, 400, 600, 300], Media((), 1000))

    assert list(plan.volumes[0])[:2] == [21, 20]
    assert [i for volume in plan.volumes for i in volume if i < 20] == list(range(20))


def test_a_piece_that_is_too_large_costs_no_medium() -> None:
    plan = plan_volumes([5, 1000, 5], Media((10,), 20))

    assert ([list(volume) for volume in plan.volumes], plan.too_large) == ([[0, 2]], [1])


def _office(maker: random.Random, count: int, most: int) -> list[int]:
    """Sizes as offices have them: most of some 10 kB, a few of hundreds of megabytes."""
    return [min(int(maker.lognormvariate(10.5, 2.4)), most) for _ in range(count)]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 3000), st.integers(1, 60))
def test_no_more_volumes_than_the_best_bound_and_one(seed: int, count: int, volumes: int) -> None:
    sizes = _office(random.Random(seed), count, CD)
    capacity = max(sum(sizes) // volumes, max(sizes), 1)
    plan = plan_volumes(sizes, Media((), capacity))
    by_sum = -(-sum(sizes) // capacity)
    by_large = sum(size * 2 > capacity for size in sizes)

    assert not plan.too_large
    assert len(plan.volumes) <= max(by_sum, by_large) + 1


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32))
def test_every_volume_but_the_last_is_filled(seed: int) -> None:
    sizes = _office(random.Random(seed), 3000, 1 << 20)
    plan = plan_volumes(sizes, Media((), 64 << 20))
    fills = [sum(sizes[i] for i in volume) / (64 << 20) for volume in plan.volumes]

    assert all(fill >= 0.99 for fill in fills[:-1])


# Its own maximum, and not that of the process that started it, which getrusage(2) begins with.
MILLION = """
import random
from array import array
from backalaika.planner import Media, plan_volumes
maker = random.Random(1)
sizes = array("q", (int(maker.lognormvariate(10, 2.2)) for _ in range(1_000_000)))
plan = plan_volumes(sizes, Media((50 << 20,), 700 << 20))
assert sum(map(len, plan.volumes)) == 1_000_000
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:")))
"""


@pytest.mark.timeout(120)
def test_a_million_files_are_planned_in_300_megabytes() -> None:
    done = subprocess.run([sys.executable, "-c", MILLION], check=True, capture_output=True, text=True)

    assert 10_000 < int(done.stdout) < 300_000

"""The planner gives each piece a medium, in order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backalaika.planner import Media, Next, TooLarge, next_medium, plan_volumes

CAPACITIES = st.integers(0, 100)
MEDIA = st.builds(Media, st.lists(CAPACITIES, max_size=6).map(tuple), CAPACITIES)
SIZES = st.lists(st.integers(0, 120), max_size=40)


@given(st.integers(0, 120), MEDIA)
def test_a_piece_gets_the_first_medium_that_holds_it_or_is_too_large_for_all(need: int, media: Media) -> None:
    decision = next_medium(need, media)

    if isinstance(decision, TooLarge):
        assert need > decision.largest == max(*media.sizes, media.max_size, 0)
        return
    assert need <= decision.capacity
    assert all(need > capacity for capacity in decision.passed_over)
    assert decision.media.max_size == media.max_size


@given(st.integers(0, 120), MEDIA)
def test_media_are_used_passed_over_and_reported_or_left_and_none_is_forgotten(need: int, media: Media) -> None:
    decision = next_medium(need, media)

    if isinstance(decision, Next):
        used = (*decision.passed_over, decision.capacity, *decision.media.sizes)
        assert used in (media.sizes, (*media.sizes, media.max_size))


@given(SIZES, MEDIA)
def test_a_plan_overfills_no_medium_and_uses_them_in_their_order(sizes: list[int], media: Media) -> None:
    left = list(media.sizes)
    for volume in plan_volumes(sizes, media):
        total = sum(sizes[i] for i in volume)
        while left and left[0] < total:
            left.pop(0)
        capacity = left.pop(0) if left else media.max_size
        assert total <= capacity


@given(SIZES, MEDIA)
def test_a_plan_places_every_piece_once_in_order_unless_it_fits_on_no_medium_left(
    sizes: list[int], media: Media
) -> None:
    plan = plan_volumes(sizes, media)
    placed = [i for volume in plan for i in volume]

    assert placed == sorted(set(placed))
    assert all(plan)
    assert all(sizes[i] > media.max_size for i in range(len(sizes)) if i not in placed)


@given(SIZES, CAPACITIES)
def test_with_media_of_one_size_what_fits_is_placed_and_no_two_neighbours_would_fit_in_one(
    sizes: list[int], capacity: int
) -> None:
    plan = plan_volumes(sizes, Media((), capacity))
    totals = [sum(sizes[i] for i in volume) for volume in plan]

    assert [i for volume in plan for i in volume] == [i for i, size in enumerate(sizes) if size <= capacity]
    assert all(total + sizes[after[0]] > capacity for total, after in zip(totals, plan[1:], strict=False))


@given(SIZES, MEDIA)
def test_the_same_sizes_give_the_same_plan(sizes: list[int], media: Media) -> None:
    assert plan_volumes(sizes, media) == plan_volumes(tuple(sizes), media)


def test_media_that_are_too_small_are_passed_over_and_reported() -> None:
    assert next_medium(50, Media((10, 20, 60, 70), 100)) == Next(60, Media((70,), 100), (10, 20))
    assert next_medium(80, Media((10, 20), 100)) == Next(100, Media((), 100), (10, 20))


def test_a_piece_too_large_for_all_names_the_largest() -> None:
    assert next_medium(101, Media((10, 60), 100)) == TooLarge(100)
    assert next_medium(101, Media((10, 60), 20)) == TooLarge(60)


def test_a_piece_that_is_too_large_costs_no_medium() -> None:
    assert plan_volumes([5, 1000, 5], Media((10,), 20)) == [[0, 2]]

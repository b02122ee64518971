"""What prompts add up to, which masks are stale, and the plan of what to propagate: rules on plain values."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vidseg.annotate.plan import PAST, legs, reach, sweep, vouchers
from vidseg.annotate.rows import MaskInfo, PromptInfo, add_up, anchors, describe, is_stale, ranges
from vidseg.types import Box, Click


def prompt(kind: str, number: int = 1, **value) -> PromptInfo:
    return PromptInfo(number, 1, 1, 0, kind, value, "")


def mask(frame: int, **fields) -> MaskInfo:
    return MaskInfo(1, 1, frame, **{**describe(np.ones((2, 2), bool)), **fields})


RLE = {"size": [2, 2], "counts": "04"}


def test_clicks_and_boxes_of_a_frame_belong_together() -> None:
    said = add_up(
        [prompt("click", x=1, y=2, on=True), prompt("box", box=[0, 0, 4, 4]), prompt("click", x=3, y=4, on=False)]
    )
    assert said.clicks == (Click(1, 2, True), Click(3, 4, False))
    assert said.box == Box(0, 0, 4, 4)
    assert said.mask is None and said.needs_model


def test_drawing_supersedes_what_was_clicked_and_later_clicks_correct_it() -> None:
    said = add_up([prompt("click", x=1, y=2, on=True), prompt("brush", rle=RLE), prompt("click", x=3, y=4, on=False)])
    assert (said.clicks, said.mask, said.settled) == ((Click(3, 4, False),), RLE, 0)
    assert not add_up([prompt("polygon", rle=RLE)]).needs_model


def test_a_chosen_candidate_keeps_the_click_that_led_to_it_and_stands_until_the_next() -> None:
    prompts = [prompt("click", x=1, y=2, on=True), prompt("mask", origin="candidate", rle=RLE)]
    said = add_up(prompts)
    assert (said.clicks, said.mask, said.settled, said.needs_model) == ((Click(1, 2, True),), RLE, 1, False)
    said = add_up([*prompts, prompt("click", x=3, y=4, on=False)])
    assert (said.mask, said.settled, said.needs_model) == (RLE, 1, True)


def test_the_first_click_on_a_propagated_mask_corrects_it() -> None:
    said = add_up([prompt("click", x=1, y=2, on=False, base=RLE)])
    assert (said.mask, said.settled, said.needs_model) == (RLE, 0, True)


def test_a_propagated_mask_is_stale_when_its_origin_changes_or_goes() -> None:
    known = anchors([(0, 1)])
    made = mask(5, origin=0, revision=known.revisions[0], seen=1)
    assert not is_stale(made, known)
    assert is_stale(made, anchors([(0, 1), (0, 2)]))
    assert is_stale(made, anchors([(0, 2)]))
    assert is_stale(made, anchors([]))


def test_a_new_prompt_makes_only_the_masks_stale_that_are_nearer_to_it() -> None:
    before = anchors([(0, 1)])
    masks = [mask(n, origin=0, revision=before.revisions[0], seen=1) for n in range(1, 30)]
    after = anchors([(0, 1), (20, 2)])
    assert [made.frame for made in masks if is_stale(made, after)] == [*range(11, 20), *range(21, 30)]


def test_a_new_prompt_behind_another_one_changes_nothing_before_that() -> None:
    before = anchors([(0, 1), (10, 2)])
    made = mask(5, origin=0, revision=before.revisions[0], seen=2)
    assert not is_stale(made, anchors([(0, 1), (10, 2), (12, 3)]))


def test_what_a_person_drew_is_never_stale() -> None:
    assert not is_stale(mask(5, source="edited", origin=99), anchors([(0, 1)]))


def test_ranges_join_neighbours() -> None:
    assert ranges([1, 2, 3, 7, 9, 10]) == [[1, 4], [7, 8], [9, 11]]
    assert ranges([]) == []


def test_between_two_prompts_each_frame_takes_the_nearer_ones_pass() -> None:
    known = anchors([(0, 1), (10, 2)])
    found = legs(1, known, needed=set(range(1, 10)), fresh=(), start=0, stop=15, direction="both")
    assert {(leg.direction, leg.origin): leg.targets for leg in found} == {
        (1, 0): (1, 2, 3, 4, 5),
        (-1, 10): (9, 8, 7, 6),
    }


def test_with_agreement_both_passes_go_all_the_way() -> None:
    known = anchors([(0, 1), (4, 2)])
    every = {1, 2, 3}
    found = legs(1, known, needed=every, fresh=(), start=0, stop=9, direction="both", agree=every)
    assert [leg.targets for leg in found] == [(1, 2, 3), (3, 2, 1)]
    known_forward = legs(1, known, needed=(), fresh=(), start=0, stop=9, direction="both", agree=every, passed=every)
    assert [leg.targets for leg in known_forward] == [(3, 2, 1)]


def test_a_leg_starts_behind_the_last_mask_that_is_up_to_date() -> None:
    known = anchors([(0, 1)])
    (leg,) = legs(1, known, needed={50, 51}, fresh=set(range(1, 50)), start=0, stop=60, direction="forward")
    assert list(leg.frames) == [50, 51]
    (leg,) = legs(1, known, needed={50}, fresh=set(range(1, 40)), start=0, stop=60, direction="forward")
    assert leg.first == 40
    (leg,) = legs(1, known, needed={50}, fresh=(), start=0, stop=60, direction="forward")
    assert leg.first == 1


def test_frames_that_are_up_to_date_are_not_visited_again() -> None:
    known = anchors([(0, 1)])
    fresh = set(range(2, 50))
    found = legs(1, known, needed={1, 50}, fresh=fresh, start=0, stop=60, direction="forward")
    assert sweep(found, 1) == [1, 50]
    assert len(range(2, 50)) > PAST


@given(
    st.sets(st.integers(0, 30), max_size=4), st.sets(st.integers(0, 30)), st.sets(st.integers(0, 30)),
    st.sampled_from(["forward", "backward", "both"]), st.booleans(),
)  # fmt: skip
def test_a_plan_reaches_exactly_what_can_be_reached_and_never_crosses_a_prompt(
    prompted: set[int], needed: set[int], fresh: set[int], direction: str, agreement: bool
) -> None:
    known = anchors([(frame, frame + 1) for frame in prompted])
    needed, fresh = needed - prompted, fresh - needed
    agree = (
        {frame for frame in needed if None not in known.around(frame)} if agreement and direction == "both" else set()
    )
    found = legs(1, known, needed=needed, fresh=fresh, start=0, stop=31, direction=direction, agree=agree)
    reached = {frame for leg in found for frame in leg.targets}
    sides = {"forward": (0,), "backward": (1,), "both": (0, 1)}[direction]
    assert reached == {frame for frame in needed if any(known.around(frame)[side] is not None for side in sides)}
    for leg in found:
        assert not set(leg.frames) & prompted
        assert leg.origin in known.around(leg.first)
        assert set(leg.targets) <= set(leg.frames)
        assert len(vouchers(known, leg)) == min(4, len(prompted))
        assert vouchers(known, leg)[-1] == leg.origin


def test_how_far_propagation_reaches() -> None:
    known = anchors([(10, 1), (20, 2)])

    def span(frame: int, direction: str, how: str, **kw) -> tuple[int, int] | None:
        options = {"start": None, "stop": None, **kw}
        return reach(known, frame=frame, frames=40, direction=direction, reach=how, **options)

    assert span(12, "forward", "all") == (10, 40)
    assert span(12, "forward", "next_prompt") == (10, 20)
    assert span(5, "forward", "all") == (10, 40)
    assert span(15, "backward", "all") == (0, 21)
    assert span(15, "backward", "next_prompt") == (10, 21)
    assert span(15, "both", "all") == (0, 40)
    assert span(15, "both", "next_prompt") == (10, 20)
    assert span(15, "both", "range", start=3, stop=9) == (3, 9)
    assert reach(anchors([]), frame=0, frames=9, direction="both", reach="all", start=None, stop=None) is None

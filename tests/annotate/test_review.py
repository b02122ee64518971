"""Ranking: what is likely wrong comes first, what a person made is not suspected."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidseg.annotate.lane import Lane
from vidseg.annotate.review import APART, Annotated, Suspect, doubt, percent, signs, worst
from vidseg.annotate.rows import Anchors, MaskInfo, anchors, describe, is_stale
from vidseg.types import Box


def mask(frame: int, **fields) -> MaskInfo:
    plain = {"size": (100, 100), "counts": "", "area": 400, "box": Box(10, 10, 30, 30), "pieces": 1}
    return MaskInfo(1, fields.pop("object", 1), frame, **{**plain, "score": 0.98, "iou": 0.9, **fields})


CALM = [mask(n) for n in range(20)]


def lane(masks: list[MaskInfo]) -> Lane:
    flags = ("propagated", "edited", "imported")
    return Lane.of(
        [
            (m.frame, m.area, *m.box, m.pieces, m.score, m.iou, m.agreement, m.origin, m.revision, m.seen,
             *(m.source == flag for flag in flags), m.state == "accepted", m.state == "rejected")
            for m in masks
        ]
    )  # fmt: skip


def annotated(masks: list[MaskInfo], *, number: int = 1, prompts: int = 0) -> Annotated:
    """An object with these masks, none of them out of date."""
    return Annotated(number, lane(masks), np.zeros(len(masks), bool), prompts)


def look(masks: list[MaskInfo], frame: int) -> Suspect:
    """The suspicion of one frame, with all others accepted."""
    shown = [m if m.frame == frame else dataclasses.replace(m, state="accepted") for m in masks]
    (found,) = worst([annotated(shown)], limit=9)
    return found


def odd_one(odd: MaskInfo) -> Suspect:
    return look([odd if one.frame == odd.frame else one for one in CALM], odd.frame)


def test_calm_masks_are_not_suspected() -> None:
    assert set(doubt(signs(lane(CALM), np.zeros(20, bool)))) == {0.0}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"iou": 0.3}, r"the model is unsure \(29%\)"),
        ({"score": 0.4}, "the model is unsure"),
        ({"agreement": 0.2}, r"passes disagree \(IoU 0.20\)"),
        ({"area": 1200}, "area jumps by 3.0 times"),
        ({"box": Box(60, 60, 80, 80)}, "moves by 3.5 of its size"),
        ({"pieces": 4}, "falls into 4 pieces"),
        ({"area": 0, "box": Box(0, 0, 0, 0), "score": 0.02}, "disappears"),
    ],
)
def test_each_sign_raises_suspicion_and_is_named(change: dict, reason: str) -> None:
    found = odd_one(mask(10, **change))
    assert found.suspicion > 0.1
    assert any(re.search(reason, text) for text in found.reasons), found.reasons


def test_a_jump_from_both_neighbours_is_told_once_and_as_the_larger_one() -> None:
    masks = [mask(9), mask(10, box=Box(60, 60, 80, 80)), mask(11, box=Box(30, 30, 50, 50))]
    assert look(masks, 10).reasons == ("moves by 3.5 of its size",)


def test_more_signs_are_more_suspicious_and_never_beyond_one() -> None:
    one = odd_one(mask(10, iou=0.4)).suspicion
    two = odd_one(mask(10, iou=0.4, agreement=0.3)).suspicion
    three = odd_one(mask(10, iou=0.4, agreement=0.3, area=4000)).suspicion
    assert 0 < one < two < three <= 1


@pytest.mark.parametrize("source", ["prompted", "edited", "imported"])
def test_what_a_person_made_is_not_suspected(source: str) -> None:
    assert odd_one(mask(10, iou=0.1, area=9000, source=source)).suspicion == 0


def test_stale_masks_are_worth_a_look() -> None:
    stale = np.arange(20) == 5
    (found,) = worst([Annotated(1, lane(CALM), stale, 0)], limit=1)
    assert (found.frame, found.reasons) == (5, ("a prompt nearby has changed since",))


def test_a_still_object_that_stays_away_is_calm() -> None:
    away = [mask(n, area=0, box=Box(0, 0, 0, 0), score=0.02) for n in range(5)]
    assert max(doubt(signs(lane(away), np.zeros(5, bool)))) == 0


def test_the_worst_come_first_and_apart() -> None:
    one = [mask(n, iou=0.3 + abs(n - 50) / 200) for n in range(100)]
    two = [mask(n, object=2, iou=0.31 if n == 51 else 0.9) for n in range(100)]
    objects = [annotated(one), annotated(two, number=2)]
    ordered = worst(objects, limit=4)
    assert [(found.object, found.frame) for found in ordered] == [(1, 50), (2, 51), (1, 45), (1, 55)]
    frames = [found.frame for found in worst(objects, limit=50) if found.object == 1]
    assert min(abs(a - b) for a in frames for b in frames if a != b) >= APART


def test_the_frame_that_is_looked_at_is_only_proposed_if_there_is_no_other() -> None:
    masks = [mask(n, iou=0.2 if n == 3 else 0.9) for n in range(10)]
    everything = [annotated(masks)]
    assert worst(everything, limit=1)[0].frame == 3
    assert worst(everything, limit=1, but=3)[0].frame >= 3 + APART  # nor a neighbour, which is wrong as it is
    assert worst([annotated(masks[3:4])], limit=1, but=3)[0].frame == 3


def test_without_any_sign_the_frame_whose_correction_reaches_most_comes_first() -> None:
    masks = [mask(n, source="prompted" if n in (0, 8) else "propagated") for n in range(20)]
    assert worst([annotated(masks)], limit=1)[0].frame == 15  # two thirds of the way to the end


@pytest.mark.parametrize("seed", range(8))
def test_frames_are_ranked_by_the_doubt_that_a_correction_would_mend(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames = sorted(rng.choice(60, 40, replace=False).tolist())
    said = set(rng.choice(frames, 4, replace=False).tolist())
    prompted, accepted = sorted(said)[:3], max(said)
    masks = [
        mask(
            n,
            iou=rng.uniform(0.2, 0.9),
            source="prompted" if n in prompted else "propagated",
            state="accepted" if n == accepted else "unreviewed",
        )
        for n in frames
    ]
    shown, calm = lane(masks), np.zeros(len(masks), bool)
    doubted = dict(zip(frames, 0.1 + doubt(signs(shown, calm)), strict=True))

    def left(told: set[int]) -> float:
        return sum(doubted[n] * min(abs(n - one) for one in told) for n in frames)

    worth = {n: left(said) - left(said | {n}) for n in frames}
    found = [one.frame for one in worst([Annotated(1, shown, calm, 0)], limit=40, apart=1)]
    assert found[: 40 - len(said)] == sorted(set(frames) - said, key=lambda n: -worth[n])


def test_doubt_counts_for_more_where_a_correction_mends_more_frames() -> None:
    masks = [mask(n, source="prompted" if n == 0 else "propagated") for n in range(20)]
    masks[2], masks[12] = mask(2, score=0.2, iou=0.3), mask(12, score=0.3, iou=0.4)
    named = [one.frame for one in worst([annotated(masks)], limit=20, apart=1)]
    assert named.index(12) < named.index(2)
    masks[12] = mask(12)
    masks[3] = mask(3, score=0.1, iou=0.1)
    named = [one.frame for one in worst([annotated(masks)], limit=20, apart=1)]
    assert named.index(3) < named.index(4)


def first_of(left: list[MaskInfo], right: list[MaskInfo]) -> int:
    """Which of two objects with these masks is to be looked at first: 1 or 2."""
    return worst([annotated(left), annotated(right, number=2)], limit=1)[0].object


def test_objects_whose_corrections_changed_little_come_later() -> None:
    doubtful = [mask(n, iou=0.4) for n in range(20)]

    def looked_at(**fields) -> list[MaskInfo]:
        return [mask(0, source="prompted"), *(mask(5, iou=0.4, **fields) if m.frame == 5 else m for m in doubtful[1:])]

    little, much = (looked_at(source="prompted", agreement=left) for left in (0.99, 0.7))
    kept, new = looked_at(state="accepted"), looked_at(source="prompted")
    assert first_of(little, much) == 2 and first_of(much, little) == 1
    assert first_of(kept, much) == 2 and first_of(kept, little) == 2
    assert first_of(little, new) == 2 and first_of(new, much) == 2


def test_objects_whose_looks_took_many_prompts_come_later() -> None:
    masks = [mask(0, source="prompted"), *(mask(n, iou=0.4) for n in range(1, 20))]

    def first(left: int, right: int) -> Suspect:
        return worst([annotated(masks, prompts=left), annotated(masks, number=2, prompts=right)], limit=1)[0]

    assert (first(8, 2).object, first(2, 8).object) == (2, 1)
    few, many = first(1, 99), first(5, 99)
    assert few.worth / many.worth == pytest.approx(
        (1 + 8 / 2) / (1 + 4 / 2)
    )  # three were expected before the first look


def test_frames_accepted_side_by_side_tell_no_more_than_one() -> None:
    def accepted(*frames: int) -> list[MaskInfo]:
        states = {n: "accepted" if n in frames else "unreviewed" for n in range(1, 30)}
        return [mask(0, source="prompted"), *(mask(n, iou=0.4, state=state) for n, state in states.items())]

    (together,), (apart,) = (worst([annotated(accepted(*frames))], limit=1) for frames in ((9, 10, 11), (9, 11, 13)))
    assert together.worth > 1.5 * apart.worth


def test_nothing_is_proposed_where_all_is_reviewed() -> None:
    masks = [mask(n, state="accepted" if n % 2 else "rejected") for n in range(6)]
    assert worst([annotated(masks)], limit=9) == []
    assert worst([annotated([])], limit=9) == []


def test_percent_marks_frames_without_a_value() -> None:
    assert percent(lane([mask(1), mask(3)]), np.array([0.5, 1.0]), 4) == [-1, 50, -1, 100]


@given(
    st.sets(st.integers(0, 20), max_size=4), st.sets(st.integers(0, 20), max_size=4), st.integers(0, 20),
    st.integers(0, 12), st.sampled_from(["propagated", "edited"]),
)  # fmt: skip
def test_columns_are_stale_where_single_masks_are(
    first: set[int], later: set[int], origin: int, seen: int, source: str
) -> None:
    before = anchors([(frame, n + 1) for n, frame in enumerate(sorted(first))])
    known: Anchors = anchors(
        [(frame, n + 1) for n, frame in enumerate(sorted(first))] + [(frame, n + 9) for n, frame in enumerate(later)]
    )
    made = {"origin": origin, "revision": before.revisions.get(origin, 7), "seen": seen, "source": source}
    masks = [mask(n, **made) for n in range(21)]
    assert lane(masks).stale(known).tolist() == [is_stale(one, known) for one in masks]


def test_columns_are_as_sure_as_single_masks() -> None:
    masks = [
        mask(0),
        mask(1, area=0, score=0.1),
        mask(2, source="edited", iou=0.1),
        mask(3, source="imported", iou=0.0),
    ]
    assert lane(masks).confidence.tolist() == [one.confidence for one in masks]


def test_pieces_are_counted_with_diagonal_neighbours() -> None:
    pixels = np.zeros((9, 9), bool)
    pixels[1, 1] = pixels[2, 2] = pixels[6, 6] = True
    assert describe(pixels)["pieces"] == 2
    assert describe(np.zeros((4, 4), bool))["pieces"] == 0


def test_fields_of_a_mask_follow_from_its_pixels() -> None:
    pixels = np.zeros((6, 8), bool)
    pixels[2:4, 3:7] = True
    fields = describe(pixels)
    assert (fields["area"], fields["box"], fields["pieces"]) == (8, Box(3, 2, 7, 4), 1)
    made = dataclasses.replace(mask(0), size=(6, 8), counts=fields["counts"])
    assert (made.decode() == pixels).all()

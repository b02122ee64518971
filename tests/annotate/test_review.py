"""Ranking: what is likely wrong comes first, what a person made is not suspected."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from vidseg.annotate.review import APART, Suspect, percent, suspect, suspects, worst
from vidseg.annotate.rows import MaskInfo, describe
from vidseg.types import Box


def mask(frame: int, **fields) -> MaskInfo:
    plain = {"size": (100, 100), "counts": "", "area": 400, "box": Box(10, 10, 30, 30), "pieces": 1}
    return MaskInfo(1, 1, frame, **{**plain, "score": 0.98, "iou": 0.9, **fields})


CALM = [mask(n) for n in range(20)]


def doubt(odd: MaskInfo) -> Suspect:
    around = [odd if one.frame == odd.frame else one for one in CALM]
    return suspects(around, [False] * len(around))[odd.frame]


def test_calm_masks_are_not_suspected() -> None:
    assert {one.suspicion for one in suspects(CALM, [False] * 20)} == {0.0}


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
    found = doubt(mask(10, **change))
    assert found.suspicion > 0.1
    assert any(re.search(reason, text) for text in found.reasons), found.reasons


def test_more_signs_are_more_suspicious_and_never_beyond_one() -> None:
    one = doubt(mask(10, iou=0.4)).suspicion
    two = doubt(mask(10, iou=0.4, agreement=0.3)).suspicion
    three = doubt(mask(10, iou=0.4, agreement=0.3, area=4000)).suspicion
    assert 0 < one < two < three <= 1


@pytest.mark.parametrize("source", ["prompted", "edited", "imported"])
def test_what_a_person_made_is_not_suspected(source: str) -> None:
    assert doubt(mask(10, iou=0.1, area=9000, source=source)).suspicion == 0


def test_stale_masks_are_worth_a_look() -> None:
    assert suspect(CALM[5], CALM[4], CALM[6], stale=True).reasons == ("a prompt nearby has changed since",)


def test_a_still_object_that_stays_away_is_calm() -> None:
    away = [mask(n, area=0, box=Box(0, 0, 0, 0), score=0.02) for n in range(5)]
    assert max(one.suspicion for one in suspects(away, [False] * 5)) == 0


def test_the_worst_come_first_and_apart() -> None:
    found = [Suspect(1, n, 1 - abs(n - 50) / 100, ()) for n in range(100)] + [Suspect(2, 51, 0.92, ())]
    ordered = worst(found, limit=4)
    assert (ordered[0].object, ordered[0].frame) == (1, 50)
    assert [(one.object, one.frame) for one in ordered] == [(1, 50), (1, 45), (1, 55), (2, 51)]
    frames = [one.frame for one in worst(found, limit=50) if one.object == 1]
    assert min(abs(a - b) for a in frames for b in frames if a != b) >= APART


def test_percent_marks_frames_without_a_value() -> None:
    assert percent({1: 0.5, 3: 1.0}, 4) == [-1, 50, -1, 100]


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

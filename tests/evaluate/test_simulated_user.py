"""The simulated user's rules: where clicks fall, what is drawn by seed, what is corrected."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled import scene_of

from vidseg.errors import DataError
from vidseg.evaluate import user
from vidseg.types import Box


def disc(size: tuple[int, int], x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.indices(size)
    return (columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2 < radius**2


def test_the_click_is_the_centre_of_the_largest_part() -> None:
    mask = disc((60, 80), 20.5, 30.5, 12) | disc((60, 80), 65.5, 30.5, 9)
    (click,) = user.prompt("click", 1, 0, mask).clicks
    assert (click.x, click.y, click.on) == (20.5, 30.5, True)


def test_the_edge_of_the_picture_is_an_edge_of_the_object() -> None:
    mask = np.zeros((21, 40), bool)
    mask[:, :21] = True
    (click,) = user.prompt("click", 1, 0, mask).clicks
    assert (click.x, click.y) == (10.5, 10.5)


def test_equally_deep_pixels_are_drawn_by_seed_sequence_object_and_frame() -> None:
    mask = np.zeros((9, 200), bool)
    mask[2:7, 2:198] = True  # one deep line of 192 equal pixels

    def x(object_id: int = 1, frame: int = 0, key: str = "a", seed: int = 0) -> float:
        return user.prompt("click", object_id, frame, mask, key=key, seed=seed).clicks[0].x

    assert x() == x()
    assert len({x(), x(object_id=2), x(frame=1), x(key="b"), x(seed=1)}) == 5


def test_three_clicks_are_spread_and_safely_inside() -> None:
    mask = np.zeros((30, 100), bool)
    mask[5:25, 5:95] = True
    clicks = user.prompt("clicks3", 1, 0, mask).clicks
    assert len(clicks) == 3
    deep = user.depth(mask)
    assert all(deep[int(c.y), int(c.x)] >= deep.max() / 3 for c in clicks)
    assert clicks[0] == user.prompt("click", 1, 0, mask).clicks[0]
    assert min(np.hypot(a.x - b.x, a.y - b.y) for a, b in itertools.combinations(clicks, 2)) > 15
    assert max(abs(c.x - clicks[0].x) for c in clicks) > 35


@given(st.integers(0, 500), st.sampled_from(["click", "clicks3"]))
@settings(max_examples=20, deadline=None)
def test_every_click_lies_on_the_object(frame: int, kind: str) -> None:
    mask = scene_of("user").draw(frame)[1] == 2
    for click in user.prompt(kind, 2, frame, mask).clicks:
        assert mask[int(click.y), int(click.x)]


def test_a_mask_of_one_pixel_gives_three_clicks_on_it() -> None:
    mask = np.zeros((5, 6), bool)
    mask[2, 4] = True
    assert {(c.x, c.y) for c in user.prompt("clicks3", 1, 0, mask).clicks} == {(4.5, 2.5)}


def test_box_and_mask_are_the_tightest_box_and_the_mask() -> None:
    mask = np.zeros((10, 12), bool)
    mask[2:5, 3:9] = True
    assert user.prompt("box", 4, 7, mask).box == Box(3, 2, 9, 5)
    given = user.prompt("mask", 4, 7, mask)
    assert (given.object, given.frame) == (4, 7)
    assert given.mask is mask


def test_a_correction_adds_what_is_missing_or_removes_what_is_too_much() -> None:
    truth = disc((60, 80), 20.5, 30.5, 12)
    extra = disc((60, 80), 60.5, 20.5, 9)
    assert user.correction(truth | extra, truth) == (60.5, 20.5, False)
    assert user.correction(extra, truth) == (20.5, 30.5, True)
    assert user.correction(truth, truth) is None


def test_an_empty_mask_and_an_unknown_kind_are_refused() -> None:
    with pytest.raises(DataError, match="object 3 of dog is not visible on frame 5: nothing to prompt"):
        user.prompt("mask", 3, 5, np.zeros((4, 4), bool), key="dog")
    with pytest.raises(DataError, match="unknown prompt 'clicks'; choose one of mask, box, click, clicks3"):
        user.prompt("clicks", 1, 0, np.ones((4, 4), bool))

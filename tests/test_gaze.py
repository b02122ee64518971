"""The window goes along with the objects: in time, not by leaps, and never so that one is cut off or forgotten."""

import numpy as np
import pytest
import torch

from vidseg.gaze import around, next_window, region
from vidseg.types import Box, Click, Prompt
from vidseg.window import Window, whole

SIZE = (200, 400)
ALL = whole(SIZE)


def share(window):
    return window.size[1] / SIZE[1]


def test_it_has_the_shape_of_the_picture_and_shows_all_objects_with_room_around():
    window = around([(100, 50, 200, 90), (150, 60, 260, 120)], SIZE, 1.5)
    assert window.size[1] == 2 * window.size[0] == pytest.approx(1.5 * 160, abs=1)
    assert window.left < 100 and window.right > 260 and window.top < 50 and window.bottom > 120
    assert (window.left + window.right) / 2 == pytest.approx(180, abs=1)


@pytest.mark.parametrize("edges", [(0, 0, 150, 60), (390, 190, 400, 200), (0, 0, 400, 200), (-5, 150, 300, 240)])
def test_it_stays_within_the_picture(edges):
    window = around([edges], SIZE, 1.5)
    assert window.left >= 0 and window.top >= 0 and window.right <= 400 and window.bottom <= 200


def test_it_never_comes_closer_than_shows_what_is_around():
    assert share(around([(200, 100, 204, 104)], SIZE, 1.5)) == 0.4


def test_nothing_to_look_at_shows_everything():
    assert around([], SIZE, 1.5) == ALL


def test_it_follows_at_once_grows_at_once_and_shrinks_slowly():
    before = around([(100, 50, 200, 100)], SIZE, 2.0)
    moved = next_window(before, before, [(130, 60, 230, 110)], SIZE, 2.0)
    assert moved.size == before.size and moved.left == before.left + 30
    grown = next_window(before, before, [(75, 40, 225, 110)], SIZE, 2.0)
    assert share(grown) == pytest.approx(0.75, abs=0.01)
    shrunk = next_window(ALL, ALL, [(150, 50, 250, 100)], SIZE, 2.0)
    assert share(shrunk) == pytest.approx(0.85, abs=0.01)


def test_it_grows_where_it_cuts_an_object_off_but_not_at_the_edge_of_the_picture():
    before = Window(0, 50, 200, 150)
    inside = next_window(before, before, [(0, 75, 100, 125)], SIZE, 1.5)
    assert share(inside) < 0.5
    cut = next_window(before, before, [(100, 75, 200, 125)], SIZE, 1.5)
    assert share(cut) == pytest.approx(0.625, abs=0.01)


def test_it_widens_until_everything_is_in_view_while_an_object_is_out_of_sight():
    window, other = Window(100, 50, 260, 130), (150, 70, 200, 90)
    for lost in ([None], [other, None]):
        seen = [window]
        while seen[-1] != ALL:
            seen.append(next_window(seen[-1], seen[-1], lost, SIZE, 1.5))
            assert share(seen[-1]) > share(seen[-2]) and len(seen) < 10


def test_answers_are_spread_over_the_picture_and_seen_again():
    window = Window(40, 20, 120, 60)
    logits = torch.full((1, 10, 20), -5.0)
    logits[:, 2:6, 5:15] = 5.0
    spread = window.spread(logits, SIZE)
    assert spread.shape == (1, *SIZE) and (spread[0, :20] == -10).all() and (spread[0, :, 120:] == -10).all()
    assert window.edges(logits)[0] == pytest.approx((60, 28, 100, 44))
    assert ALL.edges(spread)[0] == pytest.approx((60, 28, 100, 44), abs=1)
    assert torch.equal(window.seen(spread, (10, 20)) > 0, logits > 0)
    assert window.edges(torch.full((1, 4, 4), -1.0)) == [None]


def test_all_of_a_prompt_is_moved_into_a_window():
    mask = np.zeros(SIZE, bool)
    mask[30, 50] = True
    moved = Window(40, 20, 120, 60).moved(Prompt(1, 0, clicks=(Click(50, 30),), box=Box(45, 25, 200, 50)))
    assert moved.clicks[0][:2] == (10, 10) and moved.box is not None and moved.box[:2] == (5, 5) and moved.box.x2 < 80
    cut = Window(40, 20, 120, 60).moved(Prompt(1, 0, mask=mask)).mask
    assert cut is not None and cut.shape == (40, 80) and cut[10, 10] and cut.sum() == 1


def test_a_window_shows_a_prompt_if_all_that_it_points_at_lies_within():
    window, mask = Window(40, 20, 120, 60), np.zeros(SIZE, bool)
    mask[20:60, 40:120] = True
    assert window.shows(Prompt(1, 0, clicks=(Click(119, 59),), box=Box(40, 20, 120, 60)))
    assert window.shows(Prompt(1, 0, mask=mask))
    mask[60, 119] = True
    for prompt in (
        Prompt(1, 0, clicks=(Click(120, 59),)),
        Prompt(1, 0, box=Box(39, 20, 120, 60)),
        Prompt(1, 0, mask=mask),
    ):
        assert not window.shows(prompt)


GRID = (16, 32)  # cells of SIZE: 12.5 pixels high and wide


def seen(trace, window=ALL):
    """Left, top, right and bottom of the region, in pixels of the picture."""
    roi = region(trace, window, GRID)
    y, x = window.size[0] / GRID[0], window.size[1] / GRID[1]
    return (
        window.left + roi.left * x,
        window.top + roi.top * y,
        window.left + roi.right * x,
        window.top + roi.bottom * y,
    )


@pytest.mark.parametrize("trace", [(), ((10, 10, 20, 20),), (None, (10, 10, 20, 20)), ((10, 10, 20, 20), None)])
def test_an_object_that_was_not_seen_twice_may_be_anywhere(trace):
    assert region(trace, ALL, GRID).is_all


def test_one_that_stands_still_is_looked_for_around_its_place_in_no_less_than_a_quarter_of_the_window():
    left, top, right, bottom = seen([(199, 99, 201, 101)] * 2)
    assert (right - left, bottom - top) == (100, 75) and (left + right, top + bottom) == (400, 200)
    left, top, right, bottom = seen([(60, 50, 260, 150)] * 2)
    assert left < 40 and right > 280 and top < 30 and bottom > 170 and right - left < 400


def test_the_faster_it_moves_the_wider_it_is_looked_for():
    widths = [seen([(150 - by, 80, 230 - by, 120), (150, 80, 230, 120)]) for by in (0, 40, 80)]
    assert widths[0][2] - widths[0][0] < widths[1][2] - widths[1][0] < widths[2][2] - widths[2][0]
    assert widths[1][0] <= 110 and widths[1][2] >= 270
    assert [w[3] - w[1] for w in widths] == [125, 125, 125]


def test_one_that_comes_to_light_on_one_side_is_looked_for_on_the_other_too():
    hidden = seen([(100, 80, 240, 120), (100, 80, 140, 120)])
    assert hidden[0] == 0 and hidden[2] >= 240


@pytest.mark.parametrize("edges", [(0, 0, 30, 20), (380, 190, 400, 200), (-50, 20, 10, 60), (300, 150, 460, 240)])
@pytest.mark.parametrize("window", [ALL, Window(200, 100, 400, 200)])
def test_regions_stay_within_the_window(edges, window):
    roi = region([edges] * 2, window, GRID)
    assert 0 <= roi.top < roi.bottom <= GRID[0] and 0 <= roi.left < roi.right <= GRID[1] and roi.grid == GRID


def test_there_are_few_sizes_of_regions():
    sizes = {region([(100, 50, 100 + w, 50 + w / 2)] * 2, ALL, GRID).size for w in range(1, 300)}
    assert 3 <= len(sizes) <= 25

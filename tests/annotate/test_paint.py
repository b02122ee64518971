"""Brush, polygon and local corrections, checked against geometry."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vidseg.annotate import paint
from vidseg.types import Click

SIZE = (40, 60)
ROWS, COLUMNS = np.mgrid[0 : SIZE[0], 0 : SIZE[1]] + 0.5


def distance(points: list[tuple[float, float]]) -> np.ndarray:
    """The distance of every pixel's centre to a polyline."""
    ends = pairwise(points) if len(points) > 1 else [(points[0], points[0])]
    found = np.full(SIZE, np.inf)
    for (x1, y1), (x2, y2) in ends:
        dx, dy = x2 - x1, y2 - y1
        length = dx * dx + dy * dy
        t = np.clip(((COLUMNS - x1) * dx + (ROWS - y1) * dy) / length, 0, 1) if length else 0.0
        found = np.minimum(found, np.hypot(COLUMNS - x1 - t * dx, ROWS - y1 - t * dy))
    return found


places = st.tuples(st.floats(0, 60), st.floats(0, 40))


@settings(max_examples=60, deadline=None)
@given(st.lists(places, min_size=1, max_size=5), st.floats(2, 12))
def test_a_brush_covers_what_is_within_its_radius(points: list[tuple[float, float]], radius: float) -> None:
    stroke = paint.brush(SIZE, points, radius)
    away = distance(points)
    assert stroke[away < radius - 1.5].all()
    assert not stroke[away > radius + 1.5].any()


def test_the_smallest_brush_paints_the_pixel_under_it() -> None:
    stroke = paint.brush(SIZE, [(10.5, 20.5), (10.5, 20.5)], 0.5)
    assert np.argwhere(stroke).tolist() == [[20, 10]]


def test_a_polygon_is_filled_to_its_edge() -> None:
    filled = paint.polygon(SIZE, [(10.5, 5.5), (20.5, 5.5), (20.5, 15.5), (10.5, 15.5)])
    expected = np.zeros(SIZE, bool)
    expected[5:16, 10:21] = True
    assert (filled == expected).all()


def test_points_far_outside_are_harmless() -> None:
    assert paint.polygon(SIZE, [(-1e6, -1e6), (1e6, -1e6), (1e6, 1e6), (-1e6, 1e6)]).all()
    assert not paint.brush(SIZE, [(-1e6, 5), (-9e5, 5)], 10).any()


def test_modes_add_erase_and_replace() -> None:
    mask, stroke = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    mask[0, :4], stroke[0, 2:6] = True, True
    assert paint.combine(mask, stroke, "add")[0, :7].tolist() == [True] * 6 + [False]
    assert paint.combine(mask, stroke, "erase")[0, :4].tolist() == [True, True, False, False]
    assert (paint.combine(mask, stroke, "replace") == stroke).all()
    assert (paint.combine(None, stroke, "add") == stroke).all()
    assert not paint.combine(None, stroke, "erase").any()


def test_a_correction_changes_only_what_hangs_together_with_the_click() -> None:
    before = np.zeros(SIZE, bool)
    before[5:20, 5:20] = True
    after = before.copy()
    after[5:20, 20:25] = True  # where the person clicked
    after[30:35, 50:55] = True  # somewhere else
    found = paint.local_change(before, after, Click(22, 10))
    assert found[10, 22] and not found[32, 52]
    assert (found[:, :20] == before[:, :20]).all()


def test_a_click_away_from_all_changes_takes_the_answer_whole() -> None:
    before, after = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    after[30:35, 50:55] = True
    assert (paint.local_change(before, after, Click(5, 5)) == after).all()

"""Segment everything: the grid, the filters and the suppression of duplicates, on answers that are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vidseg.automatic import Grid, Proposal, grid, propose, suppress
from vidseg.errors import ConfigError
from vidseg.image import encode
from vidseg.model import Sam2
from vidseg.model.config import PRESETS


@given(st.tuples(st.integers(8, 2000), st.integers(8, 2000)), st.integers(1, 32))
def test_the_grid_is_even_and_stays_inside(size: tuple[int, int], points: int) -> None:
    clicks = grid(size, points)
    height, width = size
    assert all(0 < click.x < width and 0 < click.y < height and click.on for click in clicks)
    columns, rows = len({click.x for click in clicks}), len({click.y for click in clicks})
    assert columns * rows == len(clicks) and max(columns, rows) == points
    assert np.isclose(np.mean([click.x for click in clicks]), width / 2)
    assert np.isclose(np.mean([click.y for click in clicks]), height / 2)


@dataclass
class Answers:
    """Stands in for an encoded picture: a click answers with the square that it lies in, at three qualities."""

    size: tuple[int, int] = (64, 64)
    asked: int = 0

    def prompt_many(self, clicks):
        self.asked += len(clicks)
        logits = torch.full((len(clicks), 3, 16, 16), -8.0)
        iou = torch.tensor([0.9, 0.8, 0.2]).repeat(len(clicks), 1)
        for row, click in enumerate(clicks):
            x, y = int(click.x) // 32 * 8, int(click.y) // 32 * 8
            logits[row, 0, y : y + 8, x : x + 8] = 8.0  # sure
            logits[row, 1, y : y + 8, x : x + 8] = 0.5  # hangs on the threshold
            logits[row, 2, :8] = 8.0  # not believed in
        return logits, iou


def test_every_square_is_proposed_once_and_only_by_its_good_candidate() -> None:
    image = Answers()
    found = propose(image, Grid(points=8))  # type: ignore[arg-type]
    assert image.asked == 64
    assert len(found) == 4
    assert all(one.stability == 1 and np.isclose(one.iou, 0.9) for one in found)
    assert (sum(one.mask.astype(int) for one in found) == 1).mean() > 0.9
    assert all(one.mask.shape == image.size and one.mask.dtype == bool for one in found)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"min_iou": 0.95}, 0),
        ({"min_stability": 0.0, "max_overlap": 1.0}, 8),
        ({"min_area": 0.3}, 0),
        ({"max_area": 0.2}, 0),
        ({"min_iou": 0.0, "max_overlap": 0.3, "min_stability": 0.0}, 4),
    ],
)
def test_each_filter_does_what_it_says(options: dict, count: int) -> None:
    clicks = {"points": 2}
    assert len(propose(Answers(), Grid(**clicks, **options))) == count  # type: ignore[arg-type]


def square(x: int, side: int, quality: float) -> Proposal:
    mask = np.zeros((40, 60), bool)
    mask[5 : 5 + side, x : x + side] = True
    return Proposal(mask, quality, 1.0)


def test_of_overlapping_masks_the_better_one_is_kept() -> None:
    good, poor, other = square(5, 20, 0.9), square(6, 20, 0.8), square(35, 20, 0.7)
    assert suppress([poor, other, good], 0.7) == [good, other]
    assert suppress([poor, other, good], 0.95) == [good, poor, other]


def test_nested_masks_are_both_kept_and_empty_ones_never() -> None:
    part, whole, empty = square(5, 8, 0.9), square(5, 25, 0.8), square(5, 0, 0.99)
    assert suppress([part, whole, empty], 0.5) == [part, whole]
    assert suppress([empty], 0.5) == []


@pytest.mark.parametrize("bad", [{"points": 0}, {"points": 500}, {"min_iou": 1.5}, {"max_overlap": -0.1}])
def test_settings_out_of_range_are_refused(bad: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad)) if "points" not in bad else "points a side"):
        Grid(**bad)


def test_it_runs_on_a_model() -> None:
    torch.manual_seed(0)
    model = Sam2(PRESETS["tiny-test"]).eval()
    image = encode(model, np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8))
    found = propose(image, Grid(points=3, min_iou=0, min_stability=0, min_area=0, max_area=1, max_overlap=1))
    assert found and all(one.mask.shape == (48, 64) and 0 <= one.iou <= 1 and 0 <= one.stability <= 1 for one in found)
    assert propose(image, Grid(points=3, min_iou=1.0)) == []

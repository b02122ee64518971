"""Regions in training are those of a tracker."""

from __future__ import annotations

import numpy as np
import torch

from vidseg.gaze import region
from vidseg.model.memory_attention import MemoryAttention
from vidseg.model.roi import Roi, levelled
from vidseg.train.near import near_cells
from vidseg.window import whole


def boxes(rng: np.random.Generator, count: int, grid: tuple[int, int]) -> torch.Tensor:
    """Logits (count, 4h, 4w) of rectangles somewhere, one in eight empty."""
    h, w = (4 * cells for cells in grid)
    logits = torch.full((count, h, w), -5.0)
    for one in logits:
        top, left = int(rng.integers(h - 1)), int(rng.integers(w - 1))
        if rng.random() > 1 / 8:
            one[top : top + 1 + int(rng.integers(h // 2)), left : left + 1 + int(rng.integers(w // 2))] = 5.0
    return logits


def test_cells_are_the_region_that_a_tracker_looks_in() -> None:
    rng = np.random.default_rng(0)
    smaller = 0
    for grid in ((28, 48), (10, 16), (32, 32)):
        window = whole((4 * grid[0], 4 * grid[1]))
        before, last = boxes(rng, 60, grid), boxes(rng, 60, grid)
        last[:30] = before[:30].roll(2, dims=2)  # things that move little
        near = near_cells([before, last], grid)
        assert near is not None
        traces = zip(window.edges(before), window.edges(last), strict=True)
        for cells, trace in zip(near, traces, strict=True):
            roi = region(trace, window, grid)
            expected = torch.zeros(grid, dtype=torch.bool)
            expected[roi.top : roi.bottom, roi.left : roi.right] = True
            assert torch.equal(cells, expected)
            smaller += not roi.is_all
    assert smaller > 60


def test_after_a_prompt_objects_are_looked_for_everywhere() -> None:
    assert near_cells([], (4, 4)) is None
    assert near_cells([torch.ones(1, 16, 16)], (4, 4)) is None


def test_levelled_maps_have_the_mean_of_the_region_around_it() -> None:
    maps = torch.arange(12.0).reshape(1, 1, 3, 4).requires_grad_()
    near = torch.zeros(1, 3, 4, dtype=torch.bool)
    near[:, 1:, :2] = True
    level = levelled(maps, near)
    assert level[0, 0].tolist() == [[6.5] * 4, [4, 5, 6.5, 6.5], [8, 9, 6.5, 6.5]]
    level.sum().backward()
    assert maps.grad is not None and maps.grad[0, 0, 0].abs().sum() == 0 and maps.grad[0, 0, 1, 0] == 3


def test_what_is_attended_to_in_training_is_what_a_tracker_attends_to() -> None:
    layers = MemoryAttention(16, 8, num_layers=2, dim_feedforward=32)
    features, memory = torch.randn(1, 16, 4, 6), torch.randn(2, 24 + 3, 8)
    told = {"grid": (4, 6), "memory": memory, "memory_position": memory, "pointers": 3}
    rois = [Roi(0, 1, 3, 5, (4, 6)), Roi(1, 2, 4, 6, (4, 6))]
    near = torch.zeros(2, 4, 6, dtype=torch.bool)
    for cells, roi in zip(near, rois, strict=True):
        cells[roi.top : roi.bottom, roi.left : roi.right] = True
    begun = layers.begin(features, features)
    with torch.no_grad():
        torch.testing.assert_close(layers(begun, near=near, **told), layers(begun, rois=rois, **told))
        assert not torch.allclose(layers(begun, near=near, **told), layers(begun, **told), atol=0.1)

"""Regions of a frame's map: cut out and put back in their places, and attended to as if all of the frame was."""

import pytest
import torch
from golden import seeded_model

from vidseg.model.memory_attention import MemoryAttention
from vidseg.model.roi import Roi, cells_of, cropped, everywhere, filled

GRID = (6, 8)
ROIS = [Roi(1, 2, 4, 6, GRID), Roi(3, 4, 6, 8, GRID)]


def inside(roi, s=1):
    return slice(s * roi.top, s * roi.bottom), slice(s * roi.left, s * roi.right)


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("s", [1, 4])
def test_parts_are_cut_out_and_put_back_in_their_places(rows, s):
    maps = torch.randn(rows, 3, s * GRID[0], s * GRID[1])
    parts = cropped(maps, ROIS)
    assert parts.shape == (2, 3, s * 3, s * 4)
    back, blank = filled(parts, ROIS), filled(parts, ROIS, outside=-10.0)
    for n, roi in enumerate(ROIS):
        here = maps[n % rows][(slice(None), *inside(roi, s))]
        torch.testing.assert_close(parts[n], here)
        for whole, outside in ((back, here.mean(dim=(1, 2))), (blank, torch.full((3,), -10.0))):
            torch.testing.assert_close(whole[n][(slice(None), *inside(roi, s))], here)
            beyond = torch.ones(s * GRID[0], s * GRID[1], dtype=torch.bool)
            beyond[inside(roi, s)] = False
            torch.testing.assert_close(whole[n][:, beyond], outside[:, None].expand(-1, int(beyond.sum())))


def test_cells_are_numbered_as_the_rows_of_the_whole_map_are_read():
    numbers = torch.arange(48.0).reshape(1, 1, *GRID)
    cells = cells_of(ROIS, device=torch.device("cpu"))
    torch.testing.assert_close(cells.float(), cropped(numbers, ROIS).flatten(1))
    assert everywhere(GRID).is_all and not ROIS[0].is_all and ROIS[0].area == 12


@pytest.mark.parametrize("layers", [1, 3])
def test_in_its_region_an_object_sees_the_memory_as_without_one(layers):
    attend = MemoryAttention(16, 8, num_layers=layers, dim_feedforward=32)
    features, memory = torch.randn(1, 16, *GRID), torch.randn(2, 2 * 48 + 5, 8)
    told = {"grid": GRID, "memory": memory, "memory_position": torch.randn_like(memory), "pointers": 5}
    with torch.no_grad():
        begun = attend.begin(features, features)
        whole, near = attend(begun, **told), attend(begun, **told, rois=ROIS)
    torch.testing.assert_close(cropped(near, ROIS), cropped(whole, ROIS), atol=1e-5, rtol=1e-5)
    assert near.shape == whole.shape and (near[0, :, 0] == near[0, :, :1, 0]).all()  # beyond it all is alike


def test_in_its_region_a_memory_is_what_it_is_without_one_but_for_the_edges():
    model = seeded_model("tiny-test")
    vision, logits = torch.randn(1, 32, 16, 16), torch.randn(2, 64, 64) * 4
    rois = [Roi(0, 0, 16, 12, (16, 16)), Roi(0, 4, 16, 16, (16, 16))]
    with torch.no_grad():
        whole = model.encode_memory(vision, logits, torch.ones(2), binarise=False)
        near = model.encode_memory(vision, logits, torch.ones(2), binarise=False, rois=rois)
    far_in = [Roi(0, 0, 16, 5, (16, 16)), Roi(0, 11, 16, 16, (16, 16))]  # the convolutions reach seven cells
    torch.testing.assert_close(cropped(near, far_in), cropped(whole, far_in), atol=1e-4, rtol=1e-4)
    assert near.shape == whole.shape and (near[0, :, :, 12:] == near[0, :, :1, 12:13]).all()

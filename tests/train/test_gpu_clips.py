"""Clips drawn by torch: the same pictures and masks as the numpy path draws from the same matrices."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from test_stills import BLUE, CALM, RED, inner, write_still
from test_video_folders import LAYOUTS

from vidseg.errors import DataError
from vidseg.train import gpu_clips, layers, warp
from vidseg.train.clip import IGNORE
from vidseg.train.gpu_atlas import build
from vidseg.train.gpu_clips import GpuClips, _without_rim, draw
from vidseg.train.gpu_plan import Plan
from vidseg.train.sources import Recipe, Stills, VideoFolders

SHAPE = {"batch": 6, "frames": 3, "size": (48, 80), "objects": 3}
PLAIN = Recipe(extras=0, leave=0, shadow=0)


@pytest.fixture(autouse=True)
def one_thread(use_threads):
    use_threads(1)


@pytest.fixture
def stills(tmp_path: Path) -> Stills:
    for number in range(3):
        write_still(tmp_path / "stills", str(number))
    return Stills(tmp_path / "stills")


@pytest.fixture
def no_look(monkeypatch) -> None:
    monkeypatch.setattr(gpu_clips, "apply_look", lambda image, looks, noise: image.round().to(torch.uint8))


def plan_of(forward: np.ndarray, *, bend: warp.Waves | None = None, label: int | None = None, **changes) -> Plan:
    """A plan of one clip: the first picture under `forward` (T, 2, 3), or only its object `label`."""
    frames = len(forward)
    count = 1 if label is None else 2
    inverse = np.tile(np.eye(2, 3), (1, count, frames, 1, 1))
    inverse[0, -1] = warp.invert(forward)
    bends = np.zeros((1, count, 3, 2)), np.zeros((1, count, 3, 2)), np.zeros((1, count, frames, 3))
    if bend is not None:
        bends[0][0, -1], bends[1][0, -1], bends[2][0, -1] = bend.amplitude, bend.number, bend.phase
    table = np.zeros((1, 256), np.uint8)
    if label is None:
        table[0, :3] = [0, 1, 2]
    plain = Plan(
        entry=np.zeros((1, count, frames), np.int64),
        level=np.zeros((1, count), np.int64),
        label=np.full((1, count), label or 0),
        number=np.array([[0, 7]])[:, :count],
        used=np.ones((1, count), bool),
        inverse=inverse,
        amplitude=bends[0],
        wave=bends[1],
        phase=bends[2],
        present=np.ones((1, count, frames)),
        shadow=np.zeros((1, count)),
        shadow_shift=np.zeros((1, count, 2)),
        tint=np.tile(np.eye(3), (1, count, 1, 1)),
        table=table,
        beyond=np.array([IGNORE]),
    )
    return replace(plain, **changes)


def path(frames: int = 2, *, scale: float = 0.8) -> np.ndarray:
    steady = np.zeros(frames)
    return warp.affine(
        np.array([[40.0, 24], [44, 20]]),
        np.array([70.0, 45]),
        scale=steady + scale,
        angle=steady + 0.2,
        stretch=steady + 0.1,
        shear=steady,
    )


def pages_and_picture(stills: Stills):
    pages, _ = build([stills], [], short_side=90, device="cpu", threads=1)
    return pages, stills.picture(0, 90)


def test_a_moved_picture_is_the_one_that_opencv_moves(stills):
    pages, (image, labels) = pages_and_picture(stills)
    bend = warp.waves(np.random.default_rng(0), 2, 140, strength=0.3, speed=0.4)
    drawn, marked = draw(pages, plan_of(path(scale=0.4), bend=bend), size=(48, 80))
    expected, moved = layers.move_picture(image, labels, path(scale=0.4), size=(48, 80), bend=bend)
    assert np.abs(drawn[0].numpy() - expected).mean() < 1.5
    assert (marked[0].numpy() == moved).mean() > 0.98
    assert set(np.unique(marked)) == {0, 1, 2, IGNORE}


def test_a_cut_out_lies_where_opencv_puts_it_and_shows_only_its_own_colour(stills):
    pages, (_, labels) = pages_and_picture(stills)
    drawn, marked = draw(pages, plan_of(path(), label=1), size=(48, 80))
    moved = [
        cv2.warpAffine((labels == 1).astype(np.uint8), matrix, (80, 48), flags=cv2.INTER_LINEAR) for matrix in path()
    ]
    expected = np.stack(
        [cv2.erode(mask, np.ones((3, 3), np.uint8)) for mask in moved]
    )  # its outermost pixels are dropped
    assert ((marked[0].numpy() == 7) == expected).mean() > 0.99
    for image, mask in zip(drawn[0].numpy(), marked[0].numpy() == 7, strict=True):
        np.testing.assert_allclose(image[inner(mask, 3)], np.broadcast_to(RED, (inner(mask, 3).sum(), 3)), atol=1)
        # The soft edge mixes the red with what lies below and with nothing of the grey it was cut from.
        assert image[mask][:, 0].min() > 150


def test_a_cut_out_brings_no_rim_of_its_old_surroundings():
    colour = torch.zeros(1, 2, 20, 30, 3)
    alpha = torch.zeros(1, 2, 20, 30)
    alpha[:, :, 5:15, 8:22] = 1
    colour[:, :, 5:15, 8:22] = 255  # a mask drawn one pixel too wide, on white
    colour[:, :, 6:14, 9:21] = torch.tensor([200.0, 30, 30])
    alpha[:, 1, 5:15, 8:22] = 0
    alpha[:, 1, 9:11, 8:22] = 1  # too thin to lose anything
    cut, soft = _without_rim(colour, alpha)
    solid = torch.zeros(20, 30, dtype=torch.bool)
    solid[6:14, 9:21] = True
    assert torch.equal(soft[0, 0] > 0.5, solid)
    seen = cut[0, 0][soft[0, 0] > 0]
    torch.testing.assert_close(seen, torch.tensor([200.0, 30, 30]).expand_as(seen))
    assert (soft[0, 1, 9:11, 9:21] > 0.5).all()


def test_the_half_size_level_shows_the_same_as_the_full_one(stills):
    pages, _ = pages_and_picture(stills)
    full = plan_of(path(scale=0.5), label=2)
    inverse = full.inverse.copy()
    inverse[:, 1] *= 0.5
    inverse[:, 1, :, :, 2] -= 0.25
    half = replace(full, inverse=inverse, level=np.array([[0, 1]]))
    masks = [draw(pages, plan, size=(48, 80))[1] == 7 for plan in (full, half)]
    assert (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum() > 0.9


def test_absent_layers_leave_no_trace(stills):
    pages, _ = pages_and_picture(stills)
    present = np.ones((1, 2, 2))
    present[0, 1, 1] = 0
    drawn, marked = draw(pages, plan_of(path(), label=1, present=present), size=(48, 80))
    assert (marked[0, 0] == 7).any() and not (marked[0, 1] == 7).any()
    bare, _ = draw(pages, plan_of(np.tile(np.eye(2, 3), (2, 1, 1))), size=(48, 80))
    torch.testing.assert_close(drawn[0, 1], bare[0, 1])


def test_a_shadow_darkens_beside_the_cut_out(stills):
    pages, _ = pages_and_picture(stills)
    shaded = plan_of(path(), label=1, shadow=np.array([[0, 0.5]]), shadow_shift=np.array([[[0, 0], [10.0, 4.0]]]))
    dark, marked = draw(pages, shaded, size=(48, 80))
    plain, _ = draw(pages, plan_of(path(), label=1), size=(48, 80))
    assert (dark <= plain + 1e-3).all() and (dark < plain - 20).any()
    torch.testing.assert_close(dark[marked == 7], plain[marked == 7], atol=40, rtol=0)


@pytest.mark.parametrize(
    "kind", [{"whole": 1.0, "apart": 0.0}, {"whole": 0.0, "apart": 1.0}, {"whole": 0.0, "apart": 0.0}]
)
def test_pixels_inside_a_mask_have_the_colour_of_the_object(stills, no_look, kind):
    clips = GpuClips([stills], short_side=90, device="cpu", recipe=replace(PLAIN, **kind))
    seen = 0
    for number in range(3):
        batch = clips.batch(number, seed=0, **SHAPE)
        for image, mask in zip(batch.images.flatten(0, 1).numpy(), batch.masks.flatten(0, 1).numpy(), strict=True):
            for one in mask:
                colours = image[inner(one)].astype(int)
                distance = np.minimum(np.abs(colours - RED).max(1, initial=0), np.abs(colours - BLUE).max(1, initial=0))
                assert (distance < 12).all()
                seen += len(colours)
    assert seen > 2000


def test_a_batch_is_what_stack_would_give(stills, tmp_path):
    LAYOUTS["plain"](tmp_path / "video")
    clips = GpuClips([stills], [VideoFolders(tmp_path / "video")], short_side=72, device="cpu", video_share=0.4)
    for number in range(4):
        batch = clips.batch(number, seed=0, **SHAPE)
        assert batch.images.shape == (6, 3, 48, 80, 3) and batch.images.dtype == torch.uint8
        assert batch.masks.shape == (6, 3, 3, 48, 80) and batch.masks.dtype == torch.bool
        assert batch.ignore.shape == (6, 3, 48, 80)
        assert batch.exists[:, 0].all() and (batch.exists[:, :-1] >= batch.exists[:, 1:]).all()
        assert (batch.masks[:, 0].any(-1).any(-1) == batch.exists).all()
        assert (batch.valid == batch.exists[:, None]).all()
        assert (batch.masks.sum(dim=2) <= 1).all() and not (batch.masks.any(2) & batch.ignore).any()


def test_batches_depend_on_seed_and_number_alone_and_can_be_resumed(stills):
    make = {"short_side": 72, "device": "cpu"}
    one = GpuClips([stills], **make)
    one.batch(0, seed=4, **SHAPE)
    resumed = next(GpuClips([stills], **make).batches(seed=4, start=2, **SHAPE))
    torch.testing.assert_close(one.batch(2, seed=4, **SHAPE).images, resumed.images)
    assert (one.batch(3, seed=4, **SHAPE).images != resumed.images).any()


def test_drawing_in_small_groups_changes_no_mask(stills):
    whole, parts = (GpuClips([stills], short_side=72, device="cpu", pixels_at_once=n) for n in (10**9, 1))
    torch.testing.assert_close(whole.batch(0, seed=1, **SHAPE).masks, parts.batch(0, seed=1, **SHAPE).masks)


def test_objects_that_leave_are_absent_in_some_frame(stills):
    clips = GpuClips(
        [stills], short_side=72, device="cpu", recipe=Recipe(whole=0, apart=0, leave=1, extras=0, fast=0.2)
    )
    batch = clips.batch(0, seed=0, **{**SHAPE, "frames": 5})
    gone = ~batch.masks.any(-1).any(-1) & batch.exists[:, None]
    assert gone.any() and not gone[:, 0].any()


@pytest.mark.parametrize("live", [0.0, 1.0])
def test_a_live_cut_out_shows_the_frames_of_a_video(stills, tmp_path, live, monkeypatch):
    LAYOUTS["plain"](tmp_path / "video")
    plans = []
    monkeypatch.setattr(gpu_clips, "draw", lambda pages, plan, size: plans.append(plan) or draw(pages, plan, size=size))
    recipe = replace(PLAIN, whole=0, apart=0, live=live)
    clips = GpuClips(
        [stills], [VideoFolders(tmp_path / "video")], short_side=72, device="cpu", video_share=0.0, recipe=recipe
    )
    batch = clips.batch(0, seed=0, **SHAPE)
    frames = np.concatenate(clips.contents.videos)
    (plan,) = plans
    cut_outs = plan.entry[:, 1:][plan.used[:, 1:]]
    assert len(cut_outs) >= 6
    assert np.isin(cut_outs, frames).all() == bool(live) and np.isin(cut_outs, frames).any() == bool(live)
    assert (cut_outs[:, 0] != cut_outs[:, 1]).all() == bool(live)
    assert batch.masks[:, 0].any(-1).any(-1).any(-1).all()


def test_broken_files_are_noted_and_nothing_left_is_an_error(tmp_path, stills):
    write_still(tmp_path / "stills", "broken")
    (tmp_path / "stills" / "broken.webp").write_bytes(b"no picture")
    source = Stills(tmp_path / "stills")
    GpuClips([source], short_side=72, device="cpu")
    assert [Path(skip.path).name for skip in source.report()] == ["broken.webp"]
    write_still(tmp_path / "bad", "broken")
    (tmp_path / "bad" / "broken.webp").write_bytes(b"no picture")
    with pytest.raises(DataError, match="no picture could be read for the GPU"):
        GpuClips([Stills(tmp_path / "bad")], short_side=72, device="cpu")


@pytest.mark.gpu
def test_a_gpu_draws_the_masks_that_the_cpu_draws(stills):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    masks = [GpuClips([stills], short_side=72, device=d).batch(0, seed=1, **SHAPE).masks.cpu() for d in ("cpu", "cuda")]
    assert (masks[0] == masks[1]).float().mean() > 0.999


def test_pictures_without_a_usable_object_are_an_error(tmp_path):
    LAYOUTS["plain"](tmp_path)
    for path in (tmp_path / "set" / "sequence").glob("*.png"):
        Image.fromarray(np.zeros((72, 128), np.uint8)).save(path)
    with pytest.raises(DataError, match="no object of 24 pixels or more in any picture"):
        GpuClips([], [VideoFolders(tmp_path)], short_side=72, device="cpu")


def test_sources_are_drawn_by_their_weights(stills, tmp_path):
    write_still(tmp_path / "other", "one")
    LAYOUTS["plain"](tmp_path / "video")
    videos = [VideoFolders(tmp_path / "video", max_stride=n) for n in (1, 3)]
    sources = {"short_side": 48, "device": "cpu", "threads": 1}
    _, plain = build([stills, Stills(tmp_path / "other")], videos, **sources)
    np.testing.assert_allclose(plain.still_odds, 0.25)
    _, weighted = build([stills, Stills(tmp_path / "other")], videos, weights=[1, 3, 1, 4], **sources)
    np.testing.assert_allclose(weighted.still_odds, [1 / 12] * 3 + [3 / 4])
    np.testing.assert_allclose(weighted.video_odds, [0.2, 0.8])
    assert weighted.strides.tolist() == [1, 3]


@pytest.mark.parametrize(
    ("gap", "merge", "colours"), [(0, 1.0, {1: 2}), (0, 0.0, {1: 1, 2: 1}), (20, 1.0, {1: 1, 2: 1})]
)
def test_objects_that_touch_count_as_one_where_they_are_merged(tmp_path, no_look, gap, merge, colours):
    """`colours`: for each number of objects in a clip, of how many colours its first one is."""
    write_still(tmp_path, "pair", objects=((30, 20, 60, 60, RED), (60 + gap, 20, 90 + gap, 60, BLUE)))
    recipe = replace(CALM, whole=1.0, apart=0.0, merge=merge)
    clips = GpuClips([Stills(tmp_path)], short_side=90, recipe=recipe, device="cpu")
    batch = clips.batch(0, seed=0, **SHAPE)
    seen = {}
    for image, masks, exists in zip(batch.images, batch.masks, batch.exists, strict=True):
        inside = image[0].numpy()[inner(masks[0, 0].numpy())].astype(int)
        seen[int(exists.sum())] = sum((np.abs(inside - colour).max(1) < 12).any() for colour in (RED, BLUE))
    assert seen == colours

"""One batch through the model: what is prompted how, what the losses see, and that gradients run through memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from vidseg.model.config import PRESETS
from vidseg.model.sam2 import Sam2
from vidseg.train import user
from vidseg.train.clip import stack
from vidseg.train.losses import LossConfig, means, total
from vidseg.train.model_step import (
    Correction,
    StepConfig,
    fit_input,
    forget_positions,
    make_batch,
    precision,
    run_batch,
    target_of,
)
from vidseg.train.sources import Scenes
from vidseg.train.user import KINDS, PromptConfig
from vidseg.window import OUTSIDE

LOSSES = LossConfig()
MASK = PromptConfig(mask=1, sloppy=0, box=0, click=0, correct=0)


@pytest.fixture(scope="module")
def model():
    forget_positions()
    torch.manual_seed(0)
    made = Sam2(PRESETS["tiny-test"]).train()
    torch.nn.init.constant_(made.sam_mask_decoder.pred_obj_score_head.layers[-1].bias, 3.0)  # objects are there
    return made


def clips(count=2, frames=3, objects=2):
    source = Scenes()
    return [
        source.clip(np.random.default_rng([5, i]), frames=frames, size=(64, 96), objects=objects) for i in range(count)
    ]


def batch_of(made, prompts, number=0):
    return make_batch(stack(made), prompts, seed=1, number=number)


def test_rows_are_the_objects_that_exist():
    made = clips(4, objects=3)
    batch = batch_of(made, PromptConfig())
    counts = [clip.masks.shape[1] for clip in made]
    assert len(set(counts)) > 1
    assert torch.bincount(batch.clip).tolist() == counts
    assert np.array_equal(batch.masks[0].numpy(), made[0].masks[:, 0])
    assert sorted(torch.cat(batch.kinds).tolist()) == list(range(sum(counts)))
    for clip in range(4):  # a clip has one kind of prompt
        rows = set(torch.nonzero(batch.clip == clip).flatten().tolist())
        assert sum(bool(rows & set(kind.tolist())) for kind in batch.kinds) == 1


def test_draws_depend_on_seed_number_and_place_alone():
    made = clips(4)
    whole = batch_of(made, PromptConfig(), number=3)
    part = make_batch(stack(made[2:]), PromptConfig(), seed=1, number=3, first=2)
    rows = whole.clip >= 2
    assert torch.equal(whole.uniform[rows][:, :, :4], part.uniform[:, :, :4])
    assert whole.correction == part.correction
    assert not torch.equal(whole.uniform, batch_of(made, PromptConfig(), number=4).uniform)


def test_tensors_already_on_the_device_give_the_same_losses_as_arrays(model):
    arrays = stack(clips(2, frames=2))
    tensors = {key: torch.from_numpy(value) for key, value in arrays.items()}
    box = PromptConfig(mask=0, sloppy=0, box=1, click=0, correct=0)
    with torch.no_grad():
        found = [
            means(run_batch(model, make_batch(given, box, seed=0, number=0), LOSSES, box)[0])
            for given in (arrays, tensors)
        ]
    for name, value in found[0].items():
        assert_close(value, found[1][name])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_prompt_trains(model, kind):
    prompts = PromptConfig(**{**dict.fromkeys(KINDS, 0.0), kind: 1.0, "correct": 0.0})
    batch = batch_of(clips(), prompts)
    sums, results = run_batch(model, batch, LOSSES, prompts)
    expected = batch.known.sum() - (batch.known[:, 0].sum() if kind in ("mask", "sloppy") else 0)
    assert sums.rows == expected
    assert len(results) == 3 and results[0].logits.shape == (len(batch.clip), 16, 24)
    assert torch.isfinite(total(means(sums), LOSSES))
    if kind == "mask":
        seen = torch.nn.functional.interpolate(results[0].logits[:, None], (64, 96), mode="bilinear")[:, 0] > 0
        overlap = (seen & batch.masks[:, 0]).sum() / (seen | batch.masks[:, 0]).sum()
        assert overlap > 0.9
    if kind == "click":
        assert (results[0].points.labels == user.ON).any(dim=1).all()


def test_gradient_runs_through_memory_to_its_encoder(model):
    model.zero_grad()
    batch = batch_of(clips(), MASK)
    sums, _ = run_batch(model, batch, LOSSES, MASK)
    total(means(sums), LOSSES).backward()
    for part in (model.memory_encoder, model.memory_attention, model.obj_ptr_proj, model.image_encoder):
        assert sum(p.grad.abs().sum() for p in part.parameters() if p.grad is not None) > 0
    assert model.maskmem_tpos_enc.grad.abs().sum() > 0


def test_training_works_after_tracking_in_the_same_process(model):
    batch = batch_of(clips(1), MASK)
    with torch.inference_mode():
        run_batch(model, batch, LOSSES, MASK)
    forget_positions()
    sums, _ = run_batch(model, batch, LOSSES, MASK)
    total(means(sums), LOSSES).backward()
    assert model.maskmem_tpos_enc.grad is not None


def test_objects_prompted_by_clicks_can_be_remembered_as_they_truly_are(model):
    click = PromptConfig(mask=0, sloppy=0, box=0, click=1, correct=0, truth=1)
    batch = batch_of(clips(1, objects=1), click)
    with torch.no_grad():
        results = {truth: run_batch(model, batch, LOSSES, replace(click, truth=truth)) for truth in (0.0, 1.0)}
        given = run_batch(model, batch_of(clips(1, objects=1), MASK), LOSSES, MASK)[1][0]
    told = results[1.0][1][0]
    assert torch.equal(told.logits > 0, given.logits > 0)
    assert not torch.equal(told.logits > 0, results[0.0][1][0].logits > 0)
    assert not torch.equal(results[0.0][1][1].logits, results[1.0][1][1].logits)
    first = [means(results[truth][0])["focal"] for truth in (0.0, 1.0)]
    assert all(torch.isfinite(value) for value in first)


def test_without_memory_its_parts_get_no_gradient(model):
    model.zero_grad()
    batch = batch_of(clips(), MASK)
    sums, _ = run_batch(model, batch, LOSSES, MASK, StepConfig(memory=False))
    total(means(sums), LOSSES).backward()
    assert all(p.grad is None for p in model.memory_attention.parameters())
    assert all(p.grad is None for p in model.memory_encoder.parameters())


def test_with_regions_nothing_is_found_beyond_them_and_a_correction_begins_anew(model, monkeypatch):
    traces = []

    def left_half(trace, grid):
        traces.append(len(trace))
        if len(trace) < 2:
            return None
        cells = torch.zeros(len(trace[0]), *grid, dtype=torch.bool)
        cells[:, :, : grid[1] // 2] = True
        return cells

    monkeypatch.setattr("vidseg.train.model_step.near_cells", left_half)
    batch = batch_of(clips(frames=4), MASK)._replace(correction=Correction(2, 1))
    plain = run_batch(model, batch._replace(correction=None), LOSSES, MASK)[1]
    assert traces == []
    run_batch(model, batch, LOSSES, MASK, StepConfig(regions=True))
    assert traces == [0, 1, 2, 1]
    model.zero_grad()
    sums, results = run_batch(model, batch._replace(correction=None), LOSSES, MASK, StepConfig(regions=True))
    half = results[2].logits.shape[-1] // 2
    assert torch.equal(results[1].logits, plain[1].logits)
    assert (results[2].logits[..., half:] == OUTSIDE).all()
    assert not (results[2].logits[..., :half] == OUTSIDE).any()
    assert not torch.allclose(results[2].logits[..., :half], plain[2].logits[..., :half])
    total(means(sums), LOSSES).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_later_frames_depend_on_the_mask_of_the_first(model):
    batch = batch_of(clips(1, objects=1), MASK)
    other = batch.masks.clone()
    other[:, 0] = other[:, 0].roll(20, dims=-1)
    with torch.no_grad():
        one = run_batch(model, batch, LOSSES, MASK)[1][2].logits
        two = run_batch(model, batch._replace(masks=other), LOSSES, MASK)[1][2].logits
    assert not torch.allclose(one, two, atol=1e-4)


def test_clips_together_are_the_sum_of_clips_alone(model):
    made = clips(2)
    with torch.no_grad():
        together, _ = run_batch(model, batch_of(made, MASK), LOSSES, MASK)
        alone = [run_batch(model, batch_of([clip], MASK), LOSSES, MASK)[0] for clip in made]
    for whole, first, second in zip(together, *alone, strict=True):
        assert_close(whole, first + second, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("config", [StepConfig(chunk=2), StepConfig(checkpointing=True)])
@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_saving_memory_changes_no_number(model, config, dtype):
    batch = batch_of(clips(1), MASK)
    results = []
    for way in (StepConfig(), config):
        model.zero_grad()
        with precision(torch.device("cpu"), dtype):
            sums, _ = run_batch(model, batch, LOSSES, MASK, way)
        loss = total(means(sums), LOSSES)
        loss.backward()
        results.append((loss.detach(), model.image_encoder.trunk.patch_embed.proj.weight.grad.clone()))
    exact = {"atol": 1e-5, "rtol": 1e-4} if dtype is None else {"atol": 5e-3, "rtol": 0.05}
    assert_close(results[0], results[1], **exact)


@pytest.mark.parametrize("clicks", [1, 3])
def test_corrected_frame_gets_its_clicks_and_counts_once_more_for_each(model, clicks):
    batch = batch_of(clips(), MASK)._replace(correction=Correction(2, clicks))
    with torch.no_grad():
        sums, results = run_batch(model, batch, LOSSES, MASK)
        plain, _ = run_batch(model, batch._replace(correction=None), LOSSES, MASK)
    assert [result.points is not None for result in results] == [True, False, True]
    assert results[2].points.labels.shape[1] == clicks
    assert sums.rows == plain.rows + clicks * batch.known[:, 2].sum()


@pytest.mark.parametrize("kind", ["box", "click"])
def test_first_frame_is_corrected_where_it_was_clicked_or_boxed(model, kind):
    prompts = PromptConfig(**{**dict.fromkeys(KINDS, 0.0), kind: 1.0, "truth": 0.0})
    batch = batch_of(clips(), prompts)._replace(correction=Correction(0, 2))
    with torch.no_grad():
        sums, results = run_batch(model, batch, LOSSES, prompts)
        plain, before = run_batch(model, batch._replace(correction=None), LOSSES, prompts)
    given = before[0].points.labels.shape[1]
    assert results[0].points.labels.shape[1] == given + 2
    assert torch.equal(results[0].points.points[:, :given], before[0].points.points)
    assert sums.rows == plain.rows + 2 * batch.known[:, 0].sum()
    wrong = F.interpolate(before[0].logits[:, None], size=batch.masks.shape[-2:], mode="bilinear")[:, 0] > 0
    counts = ~batch.ignore[:, 0].index_select(0, batch.clip)
    assert torch.equal(
        results[0].points.points[:, given], user.correction(wrong, batch.masks[:, 0], counts).points[:, 0]
    )


def test_exact_masks_are_not_corrected_on_the_first_frame(model):
    batch = batch_of(clips(), MASK)._replace(correction=Correction(0, 2))
    with torch.no_grad():
        sums, results = run_batch(model, batch, LOSSES, MASK)
        plain, _ = run_batch(model, batch._replace(correction=None), LOSSES, MASK)
    assert sums.rows == plain.rows
    assert (results[0].points.labels == user.PAD).all()


def test_corrections_come_as_often_as_asked_on_every_frame_with_every_number_of_clicks():
    prompts = PromptConfig(correct=0.5, clicks=2)
    drawn = [make_batch(stack(clips(1, objects=1)), prompts, seed=0, number=n).correction for n in range(60)]
    assert {one for one in drawn if one} == {Correction(t, n) for t in range(3) for n in (1, 2)}
    assert 15 <= sum(one is None for one in drawn) <= 45


def test_frames_without_annotation_and_absent_objects_are_told_apart(model):
    made = clips(1, objects=1)[0]
    masks, valid = made.masks.copy(), made.valid.copy()
    masks[1], valid[2] = False, False
    batch = batch_of([replace(made, masks=masks, valid=valid)], MASK)
    absent, unknown = target_of(model, batch, 1, LOSSES), target_of(model, batch, 2, LOSSES)
    assert (absent.known.item(), absent.present.item()) == (1, 0)
    assert (unknown.known.item(), unknown.present.item()) == (0, 0)


def test_targets_are_averaged_over_the_decoders_cells_or_kept_whole(model):
    batch = batch_of(clips(1, objects=1), MASK)
    small, full = target_of(model, batch, 0, LOSSES), target_of(model, batch, 0, LossConfig(full_size=True))
    assert small.mask.shape == (1, 16, 24) and full.mask.shape == (1, 64, 96)
    assert_close(small.mask.sum() * 16, full.mask.sum())
    ignored = batch._replace(ignore=torch.ones_like(batch.ignore))
    assert target_of(model, ignored, 0, LOSSES).weight.sum() == 0


def test_full_size_losses_are_finite(model):
    losses = LossConfig(full_size=True)
    with torch.no_grad():
        sums, _ = run_batch(model, batch_of(clips(1), MASK), losses, MASK)
    assert torch.isfinite(total(means(sums), losses))


def test_square_models_get_squares_and_others_what_the_clips_are(model):
    batch = batch_of(clips(1, objects=1), MASK)
    assert fit_input(model, batch) is batch
    square = Sam2(replace(PRESETS["tiny-test"], square=True, image_size=64))
    fitted = fit_input(square, batch)
    assert fitted.images.shape[-2:] == fitted.masks.shape[-2:] == fitted.ignore.shape[-2:] == (64, 64)
    assert fitted.masks.sum() == pytest.approx(batch.masks.sum().item() * 64 / 96, rel=0.1)


def test_precision_on_a_cpu_is_bfloat16_with_plain_attention():
    before = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()
    with precision(torch.device("cpu"), torch.bfloat16):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
        assert not torch.backends.cuda.flash_sdp_enabled()
    assert torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed() == before
    with precision(torch.device("cpu"), None):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32

"""Losses: values worked out by hand, what is left out, and sums that add up."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from vidseg.train.losses import (
    LossConfig,
    Sums,
    Target,
    dice_loss,
    focal_loss,
    frame_sums,
    mask_iou,
    means,
    total,
)

CONFIG = LossConfig()


def target(mask: torch.Tensor, *, known: float = 1, present: float = 1) -> Target:
    rows = torch.ones(len(mask))
    return Target(mask, torch.ones_like(mask), rows * known, rows * present)


def half_mask(rows: int = 1) -> torch.Tensor:
    mask = torch.zeros(rows, 4, 4)
    mask[:, :, 2:] = 1
    return mask


def test_focal_loss_of_an_undecided_pixel():
    logits, mask = torch.zeros(1, 1, 4, 4), half_mask()[:, None]
    expected = 0.25 * torch.log(torch.tensor(2.0)) * 0.5  # (1 - p)^2 ln 2, alpha and 1 - alpha average to a half
    assert_close(focal_loss(logits, mask, torch.ones_like(mask), alpha=0.25, gamma=2)[0, 0], expected)


def test_focal_loss_with_no_gamma_and_no_alpha_is_cross_entropy():
    logits, mask = torch.randn(2, 3, 4, 4), half_mask(2)[:, None]
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, mask.expand_as(logits), reduction="none")
    found = focal_loss(logits, mask, torch.ones_like(mask), alpha=-1, gamma=0)
    assert_close(found, expected.mean(dim=(2, 3)), atol=1e-5, rtol=1e-5)


def test_dice_loss_is_zero_for_a_perfect_and_one_for_an_opposite_mask():
    mask = half_mask()[:, None]
    logits = torch.cat([200 * mask - 100, 100 - 200 * mask], dim=1)
    assert_close(dice_loss(logits, mask, torch.ones_like(mask)), torch.tensor([[0.0, 1 - 1 / 17]]))


def test_mask_iou_counts_pixels():
    mask = half_mask()[:, None].bool()
    wrong = torch.zeros_like(mask)
    wrong[..., 1:3] = True
    assert_close(mask_iou(torch.cat([mask, wrong], dim=1), mask, torch.ones(1, 1, 4, 4)), torch.tensor([[1, 1 / 3]]))
    empty = torch.zeros_like(mask)
    assert mask_iou(empty, empty, torch.ones(1, 1, 4, 4)).item() == 1


def test_only_the_best_candidate_is_taught():
    mask = half_mask()
    good, bad = 4 * mask - 2, 2 - 4 * mask
    candidates = torch.stack([bad, good, bad], dim=1).requires_grad_()
    sums = frame_sums(candidates, torch.zeros(1, 3), torch.zeros(1), target(mask), CONFIG)
    (sums.focal + sums.dice).backward()
    assert candidates.grad[0, 1].abs().sum() > 0
    assert candidates.grad[0, [0, 2]].abs().sum() == 0
    assert sums.overlap == 1


def test_spread_teaches_the_other_candidates_their_share():
    mask = half_mask()
    candidates = torch.stack([2 - 4 * mask, 4 * mask - 2, 2 - 4 * mask], dim=1).requires_grad_()
    score = torch.zeros(1)
    plain = frame_sums(candidates, torch.zeros(1, 3), score, target(mask), CONFIG)
    spread = frame_sums(candidates, torch.zeros(1, 3), score, target(mask), CONFIG, spread=0.3)
    each = [frame_sums(candidates[:, i : i + 1], torch.zeros(1, 1), score, target(mask), CONFIG) for i in range(3)]
    assert_close(spread.dice, 0.7 * plain.dice + 0.1 * sum(one.dice for one in each))
    spread.dice.backward()
    assert all(candidates.grad[0, i].abs().sum() > 0 for i in range(3))


def test_promised_overlap_is_taught_on_all_candidates_or_on_the_best():
    mask = half_mask()
    candidates = torch.stack([2 - 4 * mask, 4 * mask - 2, 2 - 4 * mask], dim=1)
    promised = torch.tensor([[0.3, 0.4, 0.5]])
    every = frame_sums(candidates, promised, torch.zeros(1), target(mask), CONFIG)
    best = frame_sums(candidates, promised, torch.zeros(1), target(mask), LossConfig(best_iou_only=True))
    assert_close(every.iou, torch.tensor((0.3 + 0.6 + 0.5) / 3))
    assert_close(best.iou, torch.tensor(0.6))


def test_an_absent_object_teaches_the_score_alone():
    candidates = torch.randn(1, 3, 4, 4, requires_grad=True)
    score = torch.zeros(1, requires_grad=True)
    sums = frame_sums(candidates, torch.rand(1, 3), score, target(torch.zeros(1, 4, 4), present=0), CONFIG)
    assert (sums.focal, sums.dice, sums.iou, sums.masks, sums.rows) == (0, 0, 0, 0, 1)
    total(means(sums), CONFIG).backward()
    assert score.grad.item() == pytest.approx(0.5)
    assert candidates.grad is None or candidates.grad.abs().sum() == 0


def test_a_frame_without_annotation_teaches_nothing():
    sums = frame_sums(
        torch.randn(2, 3, 4, 4), torch.rand(2, 3), torch.ones(2), target(half_mask(2), known=0, present=0), CONFIG
    )
    assert all(part == 0 for part in sums)


def test_ignored_pixels_change_nothing():
    mask, weight = half_mask(), torch.ones(1, 4, 4)
    weight[:, 0] = 0
    candidates = torch.randn(1, 3, 4, 4)
    other = candidates.clone()
    other[:, :, 0] = -other[:, :, 0] * 5
    rows = torch.ones(1)
    found = [
        frame_sums(c, torch.full((1, 3), 0.5), rows, Target(mask, weight, rows, rows), CONFIG)
        for c in (candidates, other)
    ]
    for a, b in zip(*found, strict=True):
        assert_close(a, b)


def test_sums_of_parts_equal_the_sum_of_the_whole():
    mask, candidates = half_mask(3), torch.randn(3, 3, 4, 4)
    iou, score = torch.rand(3, 3), torch.randn(3)
    goal = Target(mask, torch.ones_like(mask), torch.ones(3), torch.tensor([1.0, 0.0, 1.0]))
    whole = frame_sums(candidates, iou, score, goal, CONFIG)
    first = frame_sums(candidates[:1], iou[:1], score[:1], Target(*(part[:1] for part in goal)), CONFIG)
    rest = frame_sums(candidates[1:], iou[1:], score[1:], Target(*(part[1:] for part in goal)), CONFIG)
    for a, b in zip(whole, first.plus(rest), strict=True):
        assert_close(a, b)


def test_means_divide_by_the_counts_given():
    sums = Sums(*(torch.tensor(float(value)) for value in (6, 4, 2, 10, 3, 2, 5)))
    assert {name: value.item() for name, value in means(sums).items()} == {
        "focal": 3,
        "dice": 2,
        "iou": 1,
        "score": 2,
        "overlap": 1.5,
    }
    assert means(sums, sums.plus(sums))["focal"] == 1.5
    assert total(means(sums), CONFIG) == 20 * 3 + 2 + 1 + 2

"""Cameras for tensors: nothing changes by default, and each effect does what it says."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from vidseg.train.gpu_look import Looks, _turns, apply_look, random_looks

PLAIN = Looks(
    gamma=np.ones(2),
    gain=np.ones((2, 3, 3)),
    contrast=np.ones((2, 3)),
    offset=np.zeros(2),
    grey=np.zeros(2, bool),
    turn=np.tile(np.eye(3), (2, 1, 1)),
    kernels=np.full((2, 9, 9), 1 / 81),
    blurred=np.zeros(2, bool),
    noise=np.zeros(2),
    coarseness=np.zeros(2),
)
SECOND = np.array([False, True])


@pytest.fixture
def picture() -> torch.Tensor:
    smooth = torch.nn.functional.interpolate(torch.rand(6, 3, 5, 5, generator=torch.manual_seed(0)), size=(20, 36))
    return (smooth * 200 + 20).permute(0, 2, 3, 1).view(2, 3, 20, 36, 3)


def look(picture: torch.Tensor, **changes) -> torch.Tensor:
    return apply_look(picture, replace(PLAIN, **changes), torch.Generator().manual_seed(0)).float()


def test_a_plain_camera_changes_nothing(picture):
    torch.testing.assert_close(look(picture), picture.round())


@pytest.mark.parametrize(
    "changes",
    [
        {"blurred": SECOND},
        {"grey": SECOND},
        {"turn": _turns(np.array([0, 2.0]))},
        {"noise": SECOND * 5.0},
        {"coarseness": SECOND * 10.0},
        {"gamma": np.array([1, 1.3])},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_an_effect_changes_its_clip_and_no_other(picture, changes):
    seen = look(picture, **changes)
    torch.testing.assert_close(seen[0], picture[0].round())
    assert (seen[1] - picture[1].round()).abs().mean() > 0.5


def test_turned_colours_keep_their_brightness_and_grey_stays_grey(picture):
    seen = look(picture, turn=_turns(np.array([0, 2 * np.pi / 3])))[1]
    torch.testing.assert_close(seen, picture[1].round()[..., [2, 0, 1]], atol=1, rtol=0)  # a third of a turn
    grey = picture.mean(dim=-1, keepdim=True).expand_as(picture)
    torch.testing.assert_close(look(grey, turn=_turns(np.array([1.0, 4.0]))), grey.round(), atol=1, rtol=0)


def test_blur_and_compression_keep_the_mean_and_take_detail(picture):
    for changes in ({"blurred": SECOND}, {"coarseness": SECOND * 12.0}):
        seen = look(picture, **changes)[1]
        assert abs(seen.mean() - picture[1].mean()) < 2
        assert seen.std() < picture[1].std() + 1


def test_compression_with_a_tiny_step_is_the_picture_itself(picture):
    torch.testing.assert_close(look(picture, coarseness=SECOND * 0.01), picture.round(), atol=1.5, rtol=0)


def test_random_cameras_have_blurs_that_sum_to_one_and_a_look_for_every_clip():
    looks = random_looks(np.random.default_rng(0), 50, 4)
    np.testing.assert_allclose(looks.kernels.sum(axis=(1, 2)), 1)
    assert looks.gain.shape == (50, 4, 3) and looks.rows(slice(3, 5)).gain.shape == (2, 4, 3)
    assert looks.blurred.any() and not looks.blurred.all()

"""A linear layer gives the same whether it is a product or a convolution, and is the latter where shapes pass."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vidseg.model import linear
from vidseg.model.linear import Linear, passing_shapes


@pytest.mark.parametrize("shape", [(48,), (5, 48), (2, 7, 48), (2, 3, 4, 48)])
@pytest.mark.parametrize("bias", [True, False])
def test_both_forms_give_the_same(shape, bias):
    layer = Linear(48, 20, bias=bias).bfloat16()
    x = torch.randn(shape).bfloat16()
    with torch.inference_mode():
        plain = layer(x)
        with passing_shapes():
            passing = layer(x)
    assert passing.shape == plain.shape
    torch.testing.assert_close(passing, plain, atol=0.02, rtol=0.02)


@pytest.fixture
def convolved(monkeypatch):
    """The shapes of what was convolved."""
    shapes, convolve = [], F.conv2d

    def watched(x, *args):
        shapes.append(tuple(x.shape))
        return convolve(x, *args)

    monkeypatch.setattr(linear.F, "conv2d", watched)
    return shapes


def test_only_passing_shapes_in_bfloat16_of_which_nothing_is_learned_are_convolved(convolved):
    exact, layer = Linear(8, 4), Linear(8, 4).bfloat16()
    x = torch.randn(3, 8)
    with torch.no_grad():
        layer(x.bfloat16())
        with passing_shapes():
            exact(x)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                layer(x.bfloat16())
    with passing_shapes():
        layer(x.bfloat16()).sum().backward()
    assert convolved == []
    with torch.no_grad(), passing_shapes():
        layer(x.bfloat16())
    assert convolved == [(1, 8, 1, 3)]
    with torch.no_grad():
        layer(x.bfloat16())
    assert len(convolved) == 1


def test_weights_are_those_of_torchs_own():
    own, theirs = Linear(8, 4), nn.Linear(8, 4)
    own.load_state_dict(theirs.state_dict())
    x = torch.randn(3, 8)
    torch.testing.assert_close(own(x), theirs(x))

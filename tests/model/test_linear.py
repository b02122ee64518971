"""A linear layer with its activation gives the same in every form, and takes the form that suits its input."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vidseg.model import linear
from vidseg.model.linear import Linear, passing_shapes


@pytest.mark.parametrize("shape", [(48,), (5, 48), (2, 7, 48), (2, 3, 4, 48)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", [None, F.relu, F.gelu, F.silu])
def test_all_forms_give_the_same(shape, bias, activation):
    layer = Linear(48, 20, bias=bias).bfloat16()
    x = torch.randn(shape).bfloat16()
    expected = F.linear(x.float(), layer.weight.float(), None if layer.bias is None else layer.bias.float())
    expected = activation(expected) if activation else expected
    with torch.inference_mode():
        plain = layer(x, activation)
        with passing_shapes():
            passing = layer(x, activation)
    for found in (plain, passing):
        assert found.dtype == torch.bfloat16
        torch.testing.assert_close(found.float(), expected, atol=0.02, rtol=0.02)


@pytest.fixture
def fused(monkeypatch):
    """What a processor that fuses layers has fused: the forms, and the activations' names."""
    done = []

    def multiply(x, weight, bias, name, scalars, form):
        done.append(("product", name))
        return F.linear(x, weight, bias)

    def convolve(x, weight, bias, padding, stride, dilation, groups, name, scalars, form):
        done.append(("convolution", name))
        return F.conv2d(x, weight, bias)

    monkeypatch.setattr(linear, "fuses_layers", lambda: True)
    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", multiply)
    monkeypatch.setattr(torch.ops.mkldnn, "_convolution_pointwise", convolve)
    return done


def test_passing_shapes_are_convolved_and_others_multiplied(fused):
    layer, x = Linear(8, 4).bfloat16(), torch.randn(3, 8).bfloat16()
    with torch.no_grad():
        layer(x, F.gelu)
        with passing_shapes():
            layer(x, F.relu)
        layer(x)
    assert fused == [("product", "gelu"), ("convolution", "relu"), ("product", "none")]


def test_only_what_is_computed_in_bfloat16_and_taught_nothing_is_fused(fused, monkeypatch):
    exact, layer, x = Linear(8, 4), Linear(8, 4).bfloat16(), torch.randn(3, 8)
    with torch.no_grad():
        exact(x)
        layer(x.bfloat16(), F.silu)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            layer(x.bfloat16())
    layer(x.bfloat16()).sum().backward()
    monkeypatch.setattr(linear, "fuses_layers", lambda: False)
    with torch.no_grad():
        layer(x.bfloat16())
    assert fused == []


def test_weights_are_those_of_torchs_own():
    own, theirs = Linear(8, 4), nn.Linear(8, 4)
    own.load_state_dict(theirs.state_dict())
    x = torch.randn(3, 8)
    torch.testing.assert_close(own(x), theirs(x))

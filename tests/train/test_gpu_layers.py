"""The layers for training on a GPU compute what the usual ones do, and a quickened model learns the same.

Without a GPU the kernels are interpreted, which is slow, so all is small here.
"""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vidseg.model import PRESETS, Sam2
from vidseg.model.layers import MLP, LayerNorm2d
from vidseg.train import gpu_layers
from vidseg.train.gpu_layers import column_sums, layer_norm, linear, quicken

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
pytest.importorskip("triton", reason="the kernels need triton")

ROWS = {4: 700, 48: 77, 128: 35, 384: 9}
EXACT, ROUGH = {"atol": 2e-5, "rtol": 2e-5}, {"atol": 2e-2, "rtol": 2e-2}
HALF = torch.bfloat16


def normal(*shape, seed=0, dtype=torch.float32):
    made = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return made.to(DEVICE, dtype)


def autocast(enabled=True):
    return torch.autocast(DEVICE, HALF, enabled=enabled)


def check_norm(x, *, half=False, eps=1e-6):
    """`layer_norm` of `x`, and its gradients, against torch's in float64."""
    channels = x.shape[-1]
    weight, bias, slope = 1 + normal(channels, seed=1) / 4, normal(channels, seed=2), normal(*x.shape, seed=3)
    given = [x.detach().requires_grad_(), weight.requires_grad_(), bias.requires_grad_()]
    with autocast(half):
        found = layer_norm(*given, eps)
    assert found.dtype == (HALF if half else x.dtype) and found.shape == x.shape
    slope = slope.to(found.dtype)
    gradients = torch.autograd.grad(found, given, slope)
    assert [g.dtype for g in gradients] == [t.dtype for t in given]

    exact = [t.detach().double().requires_grad_() for t in given]
    wanted = F.layer_norm(exact[0], (channels,), exact[1], exact[2], eps)
    expected = torch.autograd.grad(wanted, exact, slope.double())
    torch.testing.assert_close(found.double(), wanted, **(ROUGH if found.dtype == HALF else EXACT))
    torch.testing.assert_close(gradients[0].double(), expected[0], **(ROUGH if x.dtype == HALF else EXACT))
    for i in (1, 2):  # sums are kept in float32 whatever is summed
        torch.testing.assert_close(gradients[i].double(), expected[i], atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("channels", ROWS)
@pytest.mark.parametrize(("dtype", "half"), [(torch.float32, False), (torch.float32, True), (HALF, True)])
def test_layer_norm_and_its_gradients_are_those_of_torch(channels, dtype, half):
    check_norm(3 * normal(ROWS[channels], channels, dtype=dtype) + 2, half=half)


def test_bfloat16_stays_bfloat16_without_autocast():
    check_norm(normal(5, 48, dtype=HALF))


def test_rows_may_lie_in_any_way():
    check_norm(normal(2, 48, 3, 5).permute(0, 2, 3, 1))
    check_norm(normal(2, 48, 3, 5).contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1))
    check_norm(normal(7, 3 * 48)[:, 48:96])
    check_norm(normal(3, 100, 12)[:, 1])
    check_norm(normal(1, 12).expand(6, 12))


def test_a_slope_that_is_not_contiguous_is_no_trouble():
    x, weight, bias = normal(6, 20).requires_grad_(), normal(20), normal(20)
    (found,) = torch.autograd.grad(layer_norm(x, weight, bias, 1e-6).sum(), x)
    (wanted,) = torch.autograd.grad(F.layer_norm(x, (20,), weight, bias, 1e-6).sum(), x)
    torch.testing.assert_close(found, wanted, **EXACT)


def test_no_rows_give_no_rows_and_gradients_of_0():
    x, weight, bias = (normal(*shape).requires_grad_() for shape in ((0, 48), (48,), (48,)))
    found = layer_norm(x, weight, bias, 1e-6)
    assert found.shape == (0, 48)
    assert not any(g.any() for g in torch.autograd.grad(found.sum(), [x, weight, bias]))


def test_programs_share_the_rows_when_there_are_many(monkeypatch):
    monkeypatch.setattr(gpu_layers, "_PROGRAMS", 3)
    check_norm(normal(16 * 8 + 5, 128))
    x = normal(32 * 17 + 5, 130)
    torch.testing.assert_close(column_sums(x), x.sum(0), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("shape", [(0, 12), (1, 4), (7, 48), (5000, 6), (300, 300), (9, 1), (65, 2100)])
@pytest.mark.parametrize("dtype", [torch.float32, HALF])
def test_column_sums_are_exact(shape, dtype):
    x = normal(*shape, dtype=dtype)
    found = column_sums(x)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), x.double().sum(0), atol=2e-4, rtol=1e-5)


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, HALF])
def test_linear_is_that_of_torch_under_autocast(biased, dtype):
    given = [normal(3, 40, 24, dtype=dtype), normal(20, 24, seed=1), normal(20, seed=2)]
    given = [t.requires_grad_() for t in given[: 2 + biased]]
    bias = given[2] if biased else None
    with autocast():
        found, wanted = linear(given[0], given[1], bias), F.linear(given[0], given[1], bias)
    assert found.dtype == HALF
    slope = normal(3, 40, 20, seed=3, dtype=HALF)
    torch.testing.assert_close(found, wanted)
    gradients, expected = (torch.autograd.grad(out, given, slope) for out in (found, wanted))
    for i, (gradient, other) in enumerate(zip(gradients, expected, strict=True)):
        assert gradient.dtype == given[i].dtype
        torch.testing.assert_close(gradient, other, **ROUGH)
    if biased:
        torch.testing.assert_close(gradients[2].double(), slope.double().sum((0, 1)), **EXACT)


def test_linear_computes_only_the_gradients_that_are_asked_for():
    x, weight, bias = normal(5, 8), normal(6, 8), normal(6).requires_grad_()
    with autocast():
        linear(x, weight, bias).sum().backward()
    assert x.grad is None and weight.grad is None
    torch.testing.assert_close(bias.grad, torch.full_like(bias, 5))


def test_linear_without_autocast_is_exactly_that_of_torch():
    x, weight, bias = normal(5, 8), normal(6, 8), normal(6)
    assert torch.equal(linear(x, weight, bias), F.linear(x, weight, bias))


class Tiny(nn.Module):
    """One of each kind of layer that is quickened, and some that are not."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 12, 2, stride=2)
        self.map_norm = LayerNorm2d(12)
        self.norm = nn.LayerNorm(12)
        self.bare = nn.LayerNorm(12, elementwise_affine=False)
        self.mlp = MLP(12, 20, 5, 2, activation=F.gelu)

    def forward(self, images):
        x = self.map_norm(self.patches(images)).flatten(2).transpose(1, 2)
        return self.mlp(x + self.bare(self.norm(x)))


@pytest.mark.parametrize("half", [False, True])
def test_a_quickened_model_has_the_gradients_of_the_plain_one(monkeypatch, half):
    monkeypatch.setattr(gpu_layers, "_applies", lambda _: torch.is_grad_enabled())
    torch.manual_seed(0)
    plain = Tiny().to(DEVICE)
    quick = copy.deepcopy(plain)
    quicken(quick)
    again = copy.deepcopy(quick)
    images = normal(2, 3, 6, 10)
    for model in (plain, quick, again):
        with autocast(half):
            loss = model(images).float().square().mean()
        loss.backward()
    for name, parameter in plain.named_parameters():
        limit = 0.03 * parameter.grad.abs().max().item() if half else 1e-5
        for other in (quick, again):
            found = other.get_parameter(name).grad
            torch.testing.assert_close(found, parameter.grad, atol=limit, rtol=0.05 if half else 1e-4)


def test_quickening_changes_nothing_where_nothing_is_learnt(monkeypatch):
    model = Tiny().to(DEVICE)
    keys, kinds = list(model.state_dict()), [type(module) for module in model.modules()]
    images = normal(1, 3, 4, 4)
    with torch.no_grad():
        wanted = model(images)
        quicken(model)
        for name in ("layer_norm", "linear"):
            monkeypatch.setattr(gpu_layers, name, None)
        assert torch.equal(model(images), wanted)
    assert list(model.state_dict()) == keys and [type(module) for module in model.modules()] == kinds


def test_layers_of_the_cpu_compute_as_ever():
    assert not gpu_layers._applies(torch.zeros(2, 4))


def test_all_linear_layers_and_norms_of_a_network_are_quickened():
    model = Sam2(PRESETS["tiny-test"])
    kinds = (nn.Linear, nn.LayerNorm)
    quickened = [module for module in model.modules() if isinstance(module, kinds)]
    quicken(model)
    assert len(quickened) > 20 and all("forward" in vars(module) for module in quickened)

"""Attention: the fast paths give the plain result, positions turn as they should."""

import pytest
import torch
import torch.nn.functional as F

from vidseg.model import attention
from vidseg.model.attention import Attention, RotaryAttention, weighted_values
from vidseg.model.memory_attention import MemoryAttention
from vidseg.model.positions import cubic_weights, rotary_table, rotate, sine_grid, sine_time


@pytest.mark.parametrize("keys", [40, 8200])
def test_narrow_values_give_the_plain_result_however_they_are_computed(keys, monkeypatch):
    monkeypatch.setattr(attention, "_TILE", 256)
    q, k, v = torch.randn(2, 1, 300, 32), torch.randn(2, 1, keys, 32), torch.randn(2, 1, keys, 8)
    plain = (q @ k.transpose(-1, -2) / 32**0.5).softmax(-1) @ v
    with torch.no_grad():
        torch.testing.assert_close(weighted_values(q, k, v), plain, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("shape", [(1, 1, 1100, 9000), (2, 1, 300, 8200), (50, 2, 16, 16), (25, 4, 49, 196)])
def test_bfloat16_gives_the_plain_result_on_either_kind_of_processor(shape, fused, monkeypatch):
    monkeypatch.setattr(attention, "fuses_bfloat16", lambda: fused)
    batch, heads, queries, keys = shape
    q, k = (1.5 * torch.randn(batch, heads, n, 32).bfloat16() for n in (queries, keys))
    v = torch.randn(batch, heads, keys, 8).bfloat16()
    plain = (q.float() @ k.float().transpose(-1, -2) / 32**0.5).softmax(-1) @ v.float()
    with torch.no_grad():
        error = weighted_values(q, k, v).float() - plain
    assert error.std() < 0.03 * plain.std()
    assert error.abs().max() < 0.5 * plain.std()


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.bfloat16, 0.02)])
@pytest.mark.parametrize("keys", [1, 8, 15])
def test_attention_to_a_few_keys_gives_the_plain_result(keys, dtype, close, monkeypatch):
    q, k, v = (torch.randn(2, 4, n, c).to(dtype) for n, c in ((100, 16), (keys, 16), (keys, 8)))
    plain = (q.float() @ k.float().transpose(-1, -2) / 4).softmax(-1) @ v.float()
    monkeypatch.setattr(F, "scaled_dot_product_attention", None)  # slow with so few keys
    with torch.no_grad():
        torch.testing.assert_close(weighted_values(q, k, v).float(), plain, atol=close, rtol=close)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_spare_keys_are_not_attended_to(dtype, fused, monkeypatch):
    monkeypatch.setattr(attention, "fuses_bfloat16", lambda: fused)
    q, k, v = (torch.randn(2, 1, n, 16).to(dtype) for n in (30, 40, 40))
    with torch.no_grad():
        found = weighted_values(q, k, v, spare=8)
        expected = weighted_values(q, k[..., :32, :], v[..., :32, :])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("fused", [True, False])
def test_a_growing_number_of_pointers_asks_for_one_shape_of_product(fused, monkeypatch):
    monkeypatch.setattr(attention, "fuses_bfloat16", lambda: fused)
    layers = MemoryAttention(16, 8, num_layers=1, dim_feedforward=32).bfloat16()
    shapes = []
    layers.layers[0].cross_attn_image.k_proj.register_forward_pre_hook(lambda _, told: shapes.append(told[0].shape))
    features, memory = torch.randn(1, 16, 4, 8).bfloat16(), torch.randn(1, 64 + 32, 8).bfloat16()
    with torch.no_grad():
        for pointers in (2, 15, 32):
            tokens = memory[:, : 64 + pointers]
            begun = layers.begin(features, features)
            told = {"grid": (4, 8), "memory": tokens, "memory_position": tokens, "pointers": pointers}
            answer = layers(begun, **told)
            monkeypatch.setattr(attention, "_ROUND", 1)
            plain = layers(begun, **told)
            monkeypatch.setattr(attention, "_ROUND", 32)
            torch.testing.assert_close(answer, plain, atol=0.02, rtol=0.02)
    assert [shape[-2] for shape in shapes[::2]] == [96, 96, 96]  # every other one is of the plain answer


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_features_of_one_frame_serve_all_objects(layers, dtype, monkeypatch):
    monkeypatch.setattr(attention, "fuses_bfloat16", lambda: False)
    attend = MemoryAttention(16, 8, num_layers=layers, dim_feedforward=32).to(dtype)
    features, memory = torch.randn(1, 16, 4, 8).to(dtype), torch.randn(3, 64 + 6, 8).to(dtype)
    told = {"grid": (4, 8), "memory": memory, "memory_position": memory, "pointers": 6}
    with torch.no_grad():
        one = attend(attend.begin(features, features), **told)
        each = features.expand(3, -1, -1, -1)
        torch.testing.assert_close(one, attend(attend.begin(each, each), **told), atol=0.02, rtol=0.02)
    assert one.shape == (3, 16, 4, 8) and not torch.allclose(one[0], one[1], atol=0.05)


def test_values_averaged_before_their_projection_give_the_same_numbers():
    layer = RotaryAttention(32, 1, kv_in_dim=8)
    q, memory = torch.randn(2, 12, 32), torch.randn(2, 12 * 3 + 4, 8)
    with torch.no_grad():
        narrow = layer(q, memory, memory, grid=(3, 4), unplaced=4)
    wide = layer(q, memory, memory, grid=(3, 4), unplaced=4)
    torch.testing.assert_close(narrow, wide.detach(), atol=1e-5, rtol=1e-5)


def test_attention_equals_torchs_own():
    ours, theirs = Attention(32, 4), torch.nn.MultiheadAttention(32, 4, batch_first=True)
    weight = torch.cat([ours.q_proj.weight, ours.k_proj.weight, ours.v_proj.weight])
    bias = torch.cat([ours.q_proj.bias, ours.k_proj.bias, ours.v_proj.bias])
    theirs.load_state_dict(
        {
            "in_proj_weight": weight,
            "in_proj_bias": bias,
            "out_proj.weight": ours.out_proj.weight,
            "out_proj.bias": ours.out_proj.bias,
        }
    )
    q, k = torch.randn(2, 5, 32), torch.randn(2, 7, 32)
    torch.testing.assert_close(ours(q, k, k), theirs(q, k, k)[0], atol=1e-5, rtol=1e-5)


def test_rotary_scores_depend_on_the_distance_alone():
    table = rotary_table(6, 6, 16)
    q = rotate(torch.randn(1, 16).expand(36, 16), table)
    k = rotate(torch.randn(1, 16).expand(36, 16), table)
    scores = (q @ k.T).reshape(6, 6, 6, 6)
    torch.testing.assert_close(scores[1, 1, 3, 4], scores[2, 0, 4, 3], atol=1e-4, rtol=1e-4)
    assert (scores[1, 1, 3, 4] - scores[1, 1, 4, 3]).abs() > 1e-3


def test_pointer_keys_are_not_turned():
    layer = RotaryAttention(8, 1)
    q, k = torch.randn(1, 4, 8), torch.randn(1, 6, 8)
    swapped = torch.cat([k[:, :4], k[:, 4:].flip(1)], dim=1)
    answers = [layer(q, keys, keys, grid=(2, 2), unplaced=2) for keys in (k, swapped)]
    torch.testing.assert_close(*answers)
    turned = [layer(q, keys[:, 2:], keys[:, 2:], grid=(2, 2)) for keys in (k, swapped)]
    assert not torch.allclose(*turned)


@pytest.mark.parametrize("size", [(16, 24), (7, 7), (5, 9)])
def test_cubic_weights_resize_as_torch_does(size):
    cells = torch.randn(1, 3, 7, 7)
    resized = cubic_weights(7, size[0]) @ cells @ cubic_weights(7, size[1]).T
    torch.testing.assert_close(resized, F.interpolate(cells, size=size, mode="bicubic"), atol=1e-5, rtol=0)


def test_sine_codes_tell_places_and_ages_apart():
    grid = sine_grid(5, 7, 16)
    assert grid.shape == (16, 5, 7)
    assert len({tuple(c) for c in grid.flatten(1).T.tolist()}) == 35
    ages = sine_time(torch.linspace(-1, 1, 31), 32)
    assert F.normalize(ages).unique(dim=0).shape == (31, 32)


def test_tables_made_while_tracking_can_be_trained_with_later():
    rotary_table.cache_clear()
    with torch.inference_mode():
        rotary_table(3, 4, 8)
    layer = RotaryAttention(8, 1)
    x = torch.randn(1, 12, 8)
    layer(x, x, x, grid=(3, 4)).sum().backward()
    assert layer.q_proj.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("fused", [True, False])
def test_attention_works_under_autocast_without_gradients(fused, monkeypatch):
    monkeypatch.setattr(attention, "fuses_bfloat16", lambda: fused)
    q, k, v = (torch.randn(1, 1, 40, 16) for _ in range(3))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = attention.weighted_values(q.bfloat16(), k.bfloat16(), v[..., :8])
    expected = torch.softmax(q @ k.transpose(-1, -2) / 4, dim=-1) @ v[..., :8]
    torch.testing.assert_close(found.float(), expected, atol=0.05, rtol=0.05)

"""The optimiser's side: the shape of the schedule, who gets which rate, what is frozen, the moving average."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from vidseg.errors import ConfigError
from vidseg.model.config import PRESETS
from vidseg.model.sam2 import Sam2
from vidseg.train.config import OptimiserConfig
from vidseg.train.schedule import Average, factor_at, freeze, make_optimiser, parameter_groups, rate_factor, set_rate


@pytest.fixture(scope="module")
def model():
    return Sam2(PRESETS["tiny-test"])


def test_rate_rises_holds_and_falls_like_a_cosine():
    config = OptimiserConfig(warmup=10, hold=0.5, final=0.1)
    rates = [factor_at(step, 110, config) for step in range(110)]
    assert_close(rates[:10], [(i + 1) / 10 for i in range(10)])
    assert rates[10:60] == [1.0] * 50
    assert rates[85] == pytest.approx(0.55)
    assert all(a > b for a, b in itertools.pairwise(rates[60:]))
    assert rates[-1] == pytest.approx(0.1, abs=0.002)


def test_rate_without_warmup_begins_at_the_top():
    assert factor_at(0, 10, OptimiserConfig(warmup=0)) == 1.0


def test_every_parameter_is_in_one_group_and_vectors_are_not_decayed(model):
    groups = parameter_groups(model, OptimiserConfig(decay=0.1))
    counts = {0.0: 0, 0.1: 0}
    for group in groups:
        for parameter in group["params"]:
            assert (parameter.squeeze().ndim >= 2) == (group["weight_decay"] == 0.1)
            counts[group["weight_decay"]] += 1
    assert sum(counts.values()) == len(list(model.parameters())) and min(counts.values()) > 10


def test_rates_follow_the_longest_prefix_and_the_depth_of_the_trunk():
    config = OptimiserConfig(rates={"image_encoder": 0.5, "image_encoder.neck": 0.2}, trunk_decay=0.5)
    assert rate_factor("memory_encoder.x", 4, config) == 1.0
    assert rate_factor("image_encoder.neck.x", 4, config) == 0.2
    assert rate_factor("image_encoder.trunk.blocks.3.norm1.weight", 4, config) == 0.5
    assert rate_factor("image_encoder.trunk.blocks.1.norm1.weight", 4, config) == 0.5 * 0.25
    assert rate_factor("image_encoder.trunk.patch_embed.proj.weight", 4, config) == 0.5 * 0.0625


def test_set_rate_multiplies_by_each_groups_factor(model):
    optimiser = make_optimiser(model, OptimiserConfig(rates={"image_encoder": 0.1}))
    set_rate(optimiser, 2.0)
    assert {group["lr"] for group in optimiser.param_groups} == {2.0, 0.2}


def test_prefix_without_parameters_is_named(model):
    with pytest.raises(ConfigError, match="rates: no parameter begins with 'trunk'; the parts are image_encoder"):
        parameter_groups(model, OptimiserConfig(rates={"trunk": 0.1}))
    with pytest.raises(ConfigError, match="frozen: no parameter begins with 'neck'"):
        freeze(model, ["neck"])


def test_nothing_left_to_train_is_an_error():
    layer = nn.Linear(2, 2)
    freeze(layer, ["weight", "bias"])
    with pytest.raises(ConfigError, match="every parameter is frozen"):
        parameter_groups(layer, OptimiserConfig())


def test_average_follows_slowly_and_swaps_back():
    layer = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(layer.weight)
    average = Average(layer, 0.9)
    nn.init.ones_(layer.weight)
    average.update(layer, 10**6)
    assert average.state()["weight"].item() == pytest.approx(0.1)
    average.swap(layer)
    assert layer.weight.item() == pytest.approx(0.1)
    average.swap(layer)
    assert layer.weight.item() == 1


def test_young_average_forgets_faster():
    layer = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(layer.weight)
    average = Average(layer, 0.999)
    nn.init.ones_(layer.weight)
    average.update(layer, 0)
    assert average.state()["weight"].item() == pytest.approx(0.9)


def test_average_loads_what_it_gave():
    layer = nn.Linear(2, 2)
    other = Average(nn.Linear(2, 2), 0.9)
    other.load(Average(layer, 0.9).state())
    assert torch.equal(other.state()["weight"], layer.weight)

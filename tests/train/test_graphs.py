"""Recorded steps give the numbers of plain ones. Recording itself needs a GPU; the copying around it does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from vidseg.errors import ConfigError
from vidseg.model.config import PRESETS
from vidseg.model.sam2 import Sam2
from vidseg.train.clip import stack
from vidseg.train.config import OptimiserConfig, SourceConfig, StageConfig, TrainConfig
from vidseg.train.distributed import Place
from vidseg.train.graphs import Graphs
from vidseg.train.model_step import forget_positions, make_batch
from vidseg.train.run import choose_device, gradients
from vidseg.train.sources import Scenes

CONFIG = TrainConfig(
    sources=(SourceConfig("scenes"),), stages=(StageConfig(3, (64, 96), 3, 4),), model="tiny-test", dtype="float32"
)


def batches(device, count):
    source = Scenes()
    for number in range(count):
        made = [source.clip(np.random.default_rng([number, i]), frames=3, size=(64, 96), objects=1) for i in range(4)]
        yield make_batch(stack(made), CONFIG.prompts, seed=1, number=number, device=device, alike=True)


def check_same_numbers(device):
    forget_positions()
    torch.manual_seed(0)
    model = Sam2(PRESETS["tiny-test"]).to(device).train()
    graphs = Graphs(lambda batch: gradients(model, CONFIG, CONFIG.prompts, batch), model.parameters())
    corrected = set()
    for batch in batches(device, 6):
        corrected.add(batch.correction)
        model.zero_grad()
        expected = gradients(model, CONFIG, CONFIG.prompts, batch)
        wanted = model.image_encoder.trunk.patch_embed.proj.weight.grad.clone()
        assert graphs.fits(batch)
        torch.testing.assert_close(graphs(batch), expected, atol=1e-4, rtol=1e-4)
        found = model.image_encoder.trunk.patch_embed.proj.weight.grad
        torch.testing.assert_close(found, wanted, atol=1e-3, rtol=1e-3)
    assert len(corrected) > 1


def test_the_numbers_of_every_batch_are_its_own():
    check_same_numbers(torch.device("cpu"))


@pytest.mark.gpu
def test_a_gpu_repeats_what_was_recorded():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    check_same_numbers(torch.device("cuda"))


def test_a_batch_of_another_shape_does_not_fit():
    graphs = Graphs(lambda batch: batch.images.float().sum(), [])
    batch = next(batches("cpu", 1))
    graphs(batch)
    assert graphs.fits(batch)
    assert not graphs.fits(batch._replace(images=batch.images[..., :32]))
    assert not graphs.fits(batch._replace(masks=batch.masks[:2]))


def test_kinds_stay_in_their_places():
    kinds = [[rows.tolist() for rows in batch.kinds] for batch in batches("cpu", 3)]
    assert kinds[0] == kinds[1] == kinds[2]
    assert len([rows for rows in kinds[0] if rows]) > 1


def test_several_processes_are_refused():
    with pytest.raises(ConfigError, match=r"graphs take one process, not 2; set graphs to false"):
        choose_device(replace(CONFIG, graphs=True), Place(0, 2, 0))


def test_several_batches_a_step_are_refused():
    with pytest.raises(ConfigError, match=r"graphs take one batch a step; set optimiser.accumulate to 1"):
        replace(CONFIG, graphs=True, optimiser=OptimiserConfig(accumulate=2))

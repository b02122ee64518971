"""The start from random weights: masks leave a trace in what memory attention gives."""

import pytest
import torch

from vidseg.memory import Limits, Memory, MemoryBank, memory_tokens
from vidseg.model import PRESETS, Sam2
from vidseg.train.initial import start_local


def trace_of_a_mask(model: Sam2) -> float:
    """How much two masks differ in the features conditioned on them, against the size of the features."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 3, 64, 96, generator=generator)
    answers = []
    with torch.no_grad():
        features = model.encode_image(image)
        for side in (slice(0, 32), slice(64, 96)):
            mask = torch.zeros(1, 1, 64, 96)
            mask[..., 16:48, side] = 1
            decoded = model.decode_mask(features.vision, features.high_res, mask)
            stored = model.encode_memory(features.vision, decoded.logits, decoded.score, binarise=True)
            bank = MemoryBank().remember(Memory(0, stored, decoded.pointer), prompted=True, limits=Limits())
            tokens = memory_tokens(model, bank, 1, limits=Limits())
            answers.append(model.attend(features.vision, features.position, tokens))
    return float((answers[0] - answers[1]).std() / answers[0].std())


@pytest.mark.parametrize("preset", ["tiny-test", "nano"])
def test_a_mask_is_seen_much_better_from_the_local_start(preset):
    torch.manual_seed(0)
    model = Sam2(PRESETS[preset]).eval()
    before = trace_of_a_mask(model)
    start_local(model)
    assert trace_of_a_mask(model) > max(0.05, 5 * before)


def test_an_empty_mask_prompt_does_not_drown_the_other_gradients():
    torch.manual_seed(0)
    model = Sam2(PRESETS["tiny-test"])
    start_local(model)
    encoder = model.sam_prompt_encoder
    encoder(masks=torch.zeros(1, 1, 16, 16))[1].square().sum().backward()
    sizes = [float(p.grad.norm()) for p in encoder.mask_downscaling.parameters() if p.grad is not None]
    assert max(sizes) < 100 * min(size for size in sizes if size)


def test_the_start_is_drawn_from_the_seed():
    models = []
    for _ in range(2):
        model = Sam2(PRESETS["tiny-test"])
        torch.manual_seed(3)
        start_local(model)
        models.append(model)
    for name, value in models[0].sam_mask_decoder.state_dict().items():
        assert torch.equal(value, models[1].sam_mask_decoder.state_dict()[name])

"""The network's parts: official keys, documented examples, sizes chosen at run time."""

import json
from dataclasses import replace

import pytest
import torch
from golden import seeded_model

from vidseg.errors import ConfigError
from vidseg.model import (
    PRESETS,
    FpnNeck,
    Hiera,
    HieraConfig,
    ImageEncoder,
    MemoryEncoder,
    PromptEncoder,
    Sam2,
    Sam2Config,
)
from vidseg.model.layers import LayerNorm2d, Magnify
from vidseg.model.sam2 import best_candidate

RELEASED = {  # tensors, numbers
    "sam2.1-tiny": (471, 38_962_754),
    "sam2.1-small": (519, 46_060_610),
    "sam2.1-base-plus": (615, 80_850_434),
    "sam2.1-large": (903, 224_446_898),
    "sam2-tiny": (468, 38_946_242),
    "sam2-small": (516, 46_044_098),
    "sam2-base-plus": (612, 80_833_922),
    "sam2-large": (900, 224_430_386),
}


def on_meta(name: str) -> Sam2:
    with torch.device("meta"):
        return Sam2(PRESETS[name])


@pytest.mark.parametrize("name", RELEASED)
def test_presets_have_the_released_number_of_tensors_and_values(name):
    state = on_meta(name).state_dict()
    assert (len(state), sum(v.numel() for v in state.values())) == RELEASED[name]


@pytest.mark.parametrize("name", ["sam2.1-tiny", "sam2.1-small", "sam2.1-base-plus", "sam2.1-large", "sam2-tiny"])
def test_keys_and_shapes_are_the_official_ones(name, shared):
    official = json.loads((shared / "golden" / f"{name}.keys.json").read_text())["keys"]
    assert {k: list(v.shape) for k, v in on_meta(name).state_dict().items()} == official


@pytest.mark.parametrize(("name", "most"), [("nano", 8_000_000), ("pico", 4_000_000)])
def test_the_small_models_are_small(name, most):
    assert sum(p.numel() for p in on_meta(name).parameters()) <= most


def test_a_config_survives_json():
    for config in PRESETS.values():
        assert Sam2Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_an_unknown_config_key_is_named():
    with pytest.raises(ConfigError, match="unknown HieraConfig keys: depth"):
        Sam2Config.from_dict({"trunk": {"depth": 3}})


@pytest.mark.parametrize("wrong", [{"image_size": 500}, {"memory_dim": 60}])
def test_sizes_that_do_not_fit_are_refused(wrong):
    with pytest.raises(ConfigError, match="must"):
        Sam2Config(**wrong)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((480, 854), (224, 384)), ((854, 480), (384, 224)), ((500, 500), (384, 384)), ((10, 4000), (32, 384))],
)
def test_input_keeps_the_aspect_ratio_where_the_model_is_not_square(size, expected):
    assert PRESETS["nano"].input_size(size) == expected


def test_a_stride_that_is_not_possible_is_refused():
    with pytest.raises(ConfigError, match="stride 4 is not possible; use 16"):
        Sam2Config(stride=4)


@pytest.mark.parametrize(("stride", "grid"), [(16, (4, 6)), (8, (8, 12))])
def test_the_stride_is_that_of_features_memories_and_a_quarter_of_it_that_of_masks(stride, grid):
    model = Sam2(replace(PRESETS["tiny-test"], stride=stride)).eval()
    with torch.no_grad():
        frame = model.encode_image(torch.randn(1, 3, 64, 96))
        decoded = model.decode(model.attend(frame.vision, frame.position, None), frame.high_res, multimask=False)
        stored = model.encode_memory(frame.vision, decoded.logits, decoded.score, binarise=False)
        given = model.decode_mask(frame.vision, frame.high_res, torch.ones(1, 1, 64, 96))
    assert frame.vision.shape[-2:] == stored.shape[-2:] == grid
    assert decoded.logits.shape[-2:] == given.logits.shape[-2:] == (4 * grid[0], 4 * grid[1])


def test_narrowing_takes_channels_from_memory_attention_alone():
    wide, narrow = (Sam2(replace(PRESETS["tiny-test"], memory_narrowing=n)).state_dict() for n in (1, 2))
    changed = {name for name in wide if wide[name].shape != narrow[name].shape}
    assert changed and all(name.startswith("memory_attention.layers.0.") and "attn" in name for name in changed)


def test_a_mask_that_never_falls_back_is_computed_without_the_candidates():
    model = Sam2(replace(PRESETS["tiny-test"], stability_threshold=1.0, stability_delta=0.0)).eval()
    features = model.encode_image(torch.randn(1, 3, 64, 128))
    conditioned = model.attend(features.vision, features.position, None)
    point = torch.tensor([[[40.0, 30.0]]])

    def decoded():
        return model.decode(
            conditioned,
            features.high_res,
            points=point,
            labels=torch.ones(1, 1, dtype=torch.int32),
            mask=None,
            multimask=False,
        )

    with torch.inference_mode():
        expected = decoded()
        model.sam_mask_decoder.stability_threshold = 0.0
        for n in (1, 2, 3):
            model.sam_mask_decoder.output_hypernetworks_mlps[n] = torch.nn.Identity()  # fails beside the others
        found = decoded()
    for name in ("candidates", "iou", "pointer", "score"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_a_layer_norm_by_sums_is_the_layer_norm_and_keeps_the_precision(dtype, close):
    norm = LayerNorm2d(4)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = torch.randn(2, 4, 5, 6)
    found = norm.to(dtype).by_sums(x.to(dtype))
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), norm.float()(x), atol=close, rtol=close)


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("side", [2, 3])
def test_magnifying_is_a_transposed_convolution(dtype, close, side):
    magnify = Magnify(8, 5, side)
    theirs = torch.nn.ConvTranspose2d(8, 5, kernel_size=side, stride=side)
    theirs.load_state_dict(magnify.state_dict())
    magnify.to(dtype)
    x = torch.randn(2, 8, 4, 6)
    with torch.no_grad():
        found, expected = magnify(x.to(dtype)), theirs(x)
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), expected, atol=close, rtol=close)


def test_square_models_take_a_square():
    assert PRESETS["sam2.1-tiny"].input_size((480, 854)) == (1024, 1024)


# The examples that users of other SAM encoders know, with the same arguments.


def test_prompt_encoder_example():
    encoder = PromptEncoder(256, (64, 64), (1024, 1024), 16)
    points = (torch.rand(1, 5, 2), torch.randint(0, 4, (1, 5)))
    sparse, dense = encoder(points, torch.rand(1, 2, 2), torch.rand(1, 1, 256, 256))
    assert sparse.shape == (1, 7, 256)
    assert dense.shape == (1, 256, 64, 64)
    assert encoder.get_dense_pe().shape == (1, 256, 64, 64)


def test_prompt_encoder_brings_masks_to_the_size_it_needs():
    encoder = PromptEncoder(32, (8, 8), (128, 128), 16)
    assert encoder(masks=torch.rand(2, 1, 50, 70))[1].shape == (2, 32, 8, 8)


def test_prompt_encoder_without_a_prompt_gives_no_tokens():
    sparse, dense = PromptEncoder(32, (8, 8), (128, 128), 16)()
    assert sparse.shape == (1, 0, 32)
    assert dense.shape == (1, 32, 8, 8)


def test_labels_choose_different_embeddings_and_padding_hides_the_place():
    encoder = PromptEncoder(32, (8, 8), (128, 128), 16)
    places = torch.tensor([[[10.0, 20.0]]]).repeat(5, 1, 1)
    tokens = encoder((places, torch.tensor([[-1], [0], [1], [2], [3]])))[0][:, 0]
    assert len({tuple(t.tolist()) for t in tokens}) == 5
    moved = encoder((places + 30, torch.tensor([[-1], [0], [1], [2], [3]])))[0][:, 0]
    assert [torch.equal(a, b) for a, b in zip(tokens, moved, strict=True)] == [True, False, False, False, False]


@pytest.mark.parametrize("side", [64, 256, 1024])
def test_memory_encoder_example(side):
    encoded = MemoryEncoder(out_dim=256, in_dim=256)(torch.randn(1, 256, 64, 64), torch.randn(1, 1, side, side))
    assert encoded["vision_features"].shape == (1, 256, 64, 64)
    assert encoded["vision_pos_enc"][0].shape == (1, 256, 64, 64)


def test_memory_encoder_can_skip_the_sigmoid():
    encoder = MemoryEncoder(out_dim=16, in_dim=32)
    features, logits = torch.randn(1, 32, 4, 4), torch.randn(1, 1, 64, 64)
    once = encoder(features, logits)["vision_features"]
    assert torch.equal(once, encoder(features, logits.sigmoid(), skip_mask_sigmoid=True)["vision_features"])


@pytest.mark.parametrize("fuse", ["sum", "avg"])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_fpn_neck_example(fuse, interpolation):
    neck = FpnNeck(256, [64, 128, 256, 512], fuse_type=fuse, fpn_interp_model=interpolation)
    maps = [torch.randn(1, c, s, s) for c, s in zip([512, 256, 128, 64], [64, 32, 16, 8], strict=True)]
    outputs, positions = neck(maps)
    assert [tuple(x.shape) for x in outputs] == [(1, 256, s, s) for s in (64, 32, 16, 8)]
    assert [x.shape for x in positions] == [x.shape for x in outputs]


def test_fpn_neck_sums_the_coarser_level_only_where_told():
    neck = FpnNeck(4, [8, 8], fpn_interp_model="nearest", fpn_top_down_levels=[1])
    maps = [torch.randn(1, 8, 4, 4), torch.randn(1, 8, 2, 2)]
    assert torch.equal(neck(maps)[0][0], neck.convs[1](maps[0]))
    joined = FpnNeck(4, [8, 8], fpn_interp_model="nearest")
    joined.load_state_dict(neck.state_dict())
    above = joined.convs[0](maps[1]).repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(joined(maps)[0][0], neck.convs[1](maps[0]) + above)


@pytest.mark.parametrize("wrong", [{"fuse_type": "max"}, {"fpn_interp_model": "cubic"}])
def test_fpn_neck_refuses_unknown_ways(wrong):
    with pytest.raises(ConfigError, match="is unknown"):
        FpnNeck(8, [8], **wrong)


def test_hiera_example():
    maps = Hiera(embed_dim=96, num_heads=1, stages=(2, 3, 16, 3))(torch.randn(1, 3, 224, 224))
    assert [tuple(m.shape) for m in maps] == [(1, 96 * 2**i, 56 // 2**i, 56 // 2**i) for i in range(4)]


def test_image_encoder_drops_the_coarsest_maps():
    trunk = Hiera(16, 1, stages=(1, 1, 1, 1), window_spec=(4, 4, 4, 4), global_att_blocks=(), local_conv=3)
    encoder = ImageEncoder(trunk, FpnNeck(32, trunk.channel_list), scalp=1)
    encoded = encoder(torch.randn(2, 3, 64, 96))
    assert [tuple(m.shape) for m in encoded["backbone_fpn"]] == [(2, 32, 16, 24), (2, 32, 8, 12), (2, 32, 4, 6)]
    assert encoded["vision_features"] is encoded["backbone_fpn"][-1]
    assert len(encoded["vision_pos_enc"]) == 3


def test_windows_survive_partition_and_back():
    from vidseg.model.hiera import partition, unpartition

    x = torch.randn(2, 9, 13, 3)
    windows = partition(x, 4)
    assert windows.shape == (2 * 3 * 4, 4, 4, 3)
    assert torch.equal(unpartition(windows, (9, 13)), x)


def test_a_window_block_does_not_see_other_windows():
    from vidseg.model.hiera import MultiScaleBlock

    block = MultiScaleBlock(8, 8, 1, window=4, pool=False)
    x = torch.randn(1, 8, 8, 8)
    changed = x.clone()
    changed[:, 4:, 4:] = 0
    same = block(x)[:, :4, :4]
    torch.testing.assert_close(block(changed)[:, :4, :4], same)


@pytest.mark.parametrize("size", [(64, 96), (128, 128), (160, 256)])
def test_every_verb_takes_any_input_size(size):
    model = seeded_model("tiny-test")
    h, w = size[0] // 16, size[1] // 16
    features = model.encode_image(torch.randn(1, 3, *size))
    assert features.vision.shape == (1, 32, h, w)
    assert [x.shape[-2:] for x in features.high_res] == [(4 * h, 4 * w), (2 * h, 2 * w)]
    conditioned = model.attend(features.vision, features.position, None)
    decoded = model.decode(conditioned, features.high_res, multimask=True)
    assert decoded.logits.shape == (1, 4 * h, 4 * w)
    assert decoded.candidates.shape == (1, 3, 4 * h, 4 * w)
    memory = model.encode_memory(features.vision, decoded.logits, decoded.score, binarise=False)
    assert memory.shape == (1, 16, h, w)


def test_a_mask_is_its_own_answer():
    model = seeded_model("tiny-test")
    features = model.encode_image(torch.randn(1, 3, 64, 64))
    mask = torch.zeros(2, 1, 64, 64)
    mask[0, :, 16:40, 8:32] = 1
    both = features.take(torch.tensor([0, 0]))
    decoded = model.decode_mask(both.vision, both.high_res, mask)
    assert torch.equal(decoded.logits[0] > 0, mask[0, 0, ::4, ::4] > 0)
    assert decoded.score.tolist() == [10.0, -10.0]
    torch.testing.assert_close(decoded.pointer[1], model.no_obj_ptr[0])


def test_an_absent_object_has_the_absent_mask_and_pointer():
    model = seeded_model("tiny-test", score_bias=-30)
    features = model.encode_image(torch.randn(1, 3, 64, 64))
    decoded = model.decode(model.attend(features.vision, features.position, None), features.high_res, multimask=True)
    assert (decoded.logits == -1024).all()
    assert not (decoded.candidates == -1024).any()
    torch.testing.assert_close(decoded.pointer, model.no_obj_ptr)


def test_a_single_mask_that_is_not_stable_gives_way_to_the_best_candidate():
    features_of = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    answers = {}
    for threshold in (0.0, 1.1):
        model = seeded_model("tiny-test")
        model.sam_mask_decoder.stability_threshold = threshold
        f = model.encode_image(features_of)
        conditioned = model.attend(f.vision, f.position, None)
        answers[threshold] = model.decode(conditioned, f.high_res, multimask=False).logits
        candidates = model.decode(conditioned, f.high_res, multimask=True)
    assert torch.equal(answers[1.1], candidates.logits)
    assert not torch.equal(answers[0.0], candidates.logits)


@pytest.mark.parametrize(("margin", "chosen"), [(0.0, [0, 2]), (0.1, [1, 2]), (0.9, [2, 2])])
def test_of_candidates_that_are_nearly_as_good_the_largest_is_chosen(margin, chosen):
    candidates = torch.full((2, 3, 4, 4), -1.0)
    candidates[:, 0, 0], candidates[:, 1, :2], candidates[:, 2, :3] = 1, 1, 1
    iou = torch.tensor([[0.7, 0.65, 0.2], [0.1, 0.3, 0.5]])
    assert best_candidate(candidates, iou, margin=margin).tolist() == chosen


def test_the_margin_between_candidates_is_the_configs():
    answers = {}
    for margin in (0.0, 1.0):
        model = seeded_model("tiny-test")
        model.config = replace(model.config, candidate_margin=margin)
        f = model.encode_image(torch.randn(16, 3, 64, 64, generator=torch.Generator().manual_seed(1)))
        answers[margin] = model.decode(model.attend(f.vision, f.position, None), f.high_res, multimask=True)
    best, largest = answers[0.0], answers[1.0]
    assert torch.equal(best.best, best.iou.argmax(dim=1))
    assert torch.equal(largest.best, (largest.candidates > 0).flatten(2).sum(dim=2).argmax(dim=1))
    assert not torch.equal(best.best, largest.best)


def test_trunk_description_lists_channels_coarse_to_fine():
    assert HieraConfig(embed_dim=96).channels == (768, 384, 192, 96)

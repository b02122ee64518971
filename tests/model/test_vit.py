"""SAM 1's image encoder: shapes, the released parameter counts, equality with a peer, export."""

import pytest
import torch
import torch.nn.functional as F

from vidseg.model.vit import VIT_PRESETS, ImageEncoderViT, relative_positions

SMALL = {
    "img_size": 160,
    "patch_size": 16,
    "embed_dim": 32,
    "depth": 3,
    "num_heads": 2,
    "out_chans": 16,
    "use_rel_pos": True,
    "window_size": 4,
    "global_attn_indexes": (1,),
}
PEER_NAMES = [
    ("layers.", "blocks."),
    ("layer_norm", "norm"),
    ("patch_embed.projection", "patch_embed.proj"),
    ("neck.conv1", "neck.0"),
    ("neck.norm1", "neck.1"),
    ("neck.conv2", "neck.2"),
    ("neck.norm2", "neck.3"),
]


def randomised(model: torch.nn.Module) -> torch.nn.Module:
    """The model with every parameter drawn, position tables too (they start at zero)."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            scale = 0.3 if parameter.ndim == 1 else parameter[0].numel() ** -0.5
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    return model.eval()


def official_key(peer_key: str) -> str:
    for theirs, ours in PEER_NAMES:
        peer_key = peer_key.replace(theirs, ours)
    return peer_key


def peer_encoder(image_size: int, *, window_size: int = 4):
    """transformers' encoder with the sizes of SMALL and random weights."""
    sam = pytest.importorskip("transformers.models.sam.modeling_sam", reason="transformers is not installed")
    config = sam.SamVisionConfig(
        image_size=image_size,
        patch_size=SMALL["patch_size"],
        hidden_size=SMALL["embed_dim"],
        num_hidden_layers=SMALL["depth"],
        num_attention_heads=SMALL["num_heads"],
        output_channels=SMALL["out_chans"],
        window_size=window_size,
        global_attn_indexes=list(SMALL["global_attn_indexes"]),
        attn_implementation="eager",
    )
    return randomised(sam.SamVisionEncoder(config))


def test_documented_example_gives_the_documented_shape():
    encoder = ImageEncoderViT(img_size=224, patch_size=16, embed_dim=768, depth=12, num_heads=12).eval()
    with torch.inference_mode():
        assert encoder(torch.randn(1, 3, 224, 224)).shape == (1, 256, 14, 14)


@pytest.mark.parametrize(
    ("name", "parameters"), [("sam-vit-b", 89_670_912), ("sam-vit-l", 308_278_272), ("sam-vit-h", 637_026_048)]
)
def test_presets_have_the_released_number_of_parameters(name, parameters):
    with torch.device("meta"):
        encoder = ImageEncoderViT(**VIT_PRESETS[name])
    assert sum(p.numel() for p in encoder.parameters()) == parameters


def test_state_dict_has_the_names_and_shapes_of_the_peer():
    with torch.device("meta"):
        encoder = ImageEncoderViT(**VIT_PRESETS["sam-vit-b"])
        sam = pytest.importorskip("transformers.models.sam.modeling_sam", reason="transformers is not installed")
        peer = sam.SamVisionEncoder(sam.SamVisionConfig())
    ours = {key: value.shape for key, value in encoder.state_dict().items()}
    assert ours == {official_key(key): value.shape for key, value in peer.state_dict().items()}
    assert {"blocks.0.attn.rel_pos_h", "blocks.0.mlp.lin1.weight", "neck.3.bias", "pos_embed"} < set(ours)


@pytest.mark.parametrize("window_size", [5, 4])  # the grid is 10x10: windows of 5 fit, windows of 4 need padding
def test_equal_to_the_peer_under_the_same_weights(window_size):
    peer = peer_encoder(160, window_size=window_size)
    encoder = ImageEncoderViT(**{**SMALL, "window_size": window_size}).eval()
    encoder.load_state_dict({official_key(key): value for key, value in peer.state_dict().items()}, strict=True)
    images = torch.randn(2, 3, 160, 160, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = peer(images).last_hidden_state
        assert expected.std() > 0.1
        torch.testing.assert_close(encoder(images), expected, atol=2e-5, rtol=1e-5)


def test_at_another_size_relative_positions_are_interpolated_as_by_the_peer():
    encoder = randomised(ImageEncoderViT(**SMALL))
    peer = peer_encoder(192)
    weights = encoder.state_dict()
    tables = [name for name, _ in peer.named_parameters() if "layers.1.attn.rel_pos" in name]
    for name in tables:  # the peer makes its tables for its own size; ours stay those of 160 pixels
        setattr(peer.layers[1].attn, name.rsplit(".", 1)[1], torch.nn.Parameter(weights[official_key(name)]))
    weights["pos_embed"] = F.interpolate(weights["pos_embed"].permute(0, 3, 1, 2), (12, 12), mode="bicubic").permute(
        0, 2, 3, 1
    )
    peer.load_state_dict({key: weights[official_key(key)] for key in peer.state_dict()}, strict=True)
    images = torch.randn(1, 3, 192, 192, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = peer(images).last_hidden_state
        torch.testing.assert_close(encoder(images), expected, atol=2e-5, rtol=1e-5)


def test_oblong_images_are_accepted():
    encoder = randomised(ImageEncoderViT(**SMALL))
    with torch.inference_mode():
        assert encoder(torch.randn(1, 3, 96, 208)).shape == (1, 16, 6, 13)


def test_a_side_that_is_no_multiple_of_the_patch_is_refused():
    with pytest.raises(ValueError, match="image is 100x160; both sides must be multiples of 16"):
        ImageEncoderViT(**SMALL)(torch.zeros(1, 3, 100, 160))


def test_relative_positions_depend_on_distance_only():
    table = torch.arange(7.0)[:, None]  # distances -3..3
    expected = torch.tensor([[3.0, 2, 1, 0], [4, 3, 2, 1], [5, 4, 3, 2], [6, 5, 4, 3]])
    torch.testing.assert_close(relative_positions(table, 4)[..., 0], expected)


def test_images_in_a_batch_do_not_see_each_other():
    encoder = randomised(ImageEncoderViT(**SMALL))
    images = torch.randn(2, 3, 160, 160)
    with torch.inference_mode():
        torch.testing.assert_close(encoder(images)[1:], encoder(images[1:]), atol=1e-5, rtol=1e-5)


def test_without_positions_the_tables_do_not_exist():
    encoder = ImageEncoderViT(**{**SMALL, "use_rel_pos": False}, use_abs_pos=False)
    assert not [key for key in encoder.state_dict() if "pos" in key]


def test_exported_program_computes_the_same():
    encoder = randomised(ImageEncoderViT(**SMALL))
    images = torch.randn(1, 3, 160, 160)
    program = torch.export.export(encoder, (torch.zeros(1, 3, 160, 160),))
    with torch.inference_mode():
        torch.testing.assert_close(program.module()(images), encoder(images), atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.*torch.jit.*:DeprecationWarning")
def test_traced_graph_computes_the_same():
    encoder = randomised(ImageEncoderViT(**SMALL))
    images = torch.randn(1, 3, 160, 160)
    with torch.inference_mode():
        traced = torch.jit.trace(encoder, torch.zeros(1, 3, 160, 160))
        torch.testing.assert_close(traced(images), encoder(images), atol=1e-5, rtol=1e-5)

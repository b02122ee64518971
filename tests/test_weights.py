"""Loading weights: formats, files that are wrong or hostile, names, devices and number formats."""

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from vidseg import processor, registry, weights
from vidseg.checkpoint import official_names, read_checkpoint
from vidseg.errors import ConfigError, WeightsError
from vidseg.model.config import PRESETS, HieraConfig, Sam2Config
from vidseg.model.sam2 import Sam2
from vidseg.model.vit import VIT_PRESETS, ImageEncoderViT
from vidseg.picture import normalise
from vidseg.scene import make_scene
from vidseg.train.distil import difference
from vidseg.weights import load_image_encoder, load_model, preferred_dtype, save_model

CPU = torch.device("cpu")
TINY = PRESETS["tiny-test"]


@pytest.fixture(autouse=True)
def no_cache_of_this_machine(tmp_path, monkeypatch):
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    monkeypatch.setenv("VIDSEG_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def model() -> Sam2:
    torch.manual_seed(0)
    return Sam2(TINY).eval()


@pytest.fixture
def saved(model, tmp_path) -> Path:
    save_model(model, tmp_path / "mine.safetensors")
    return tmp_path / "mine.safetensors"


@pytest.fixture
def small_release(monkeypatch) -> Sam2Config:
    """A stand-in for sam2.1-tiny, of the same depth but narrow, so that its files are small."""
    config = replace(TINY, name="sam2.1-tiny", trunk=HieraConfig(embed_dim=8), d_model=32)
    older = replace(config, name="sam2-tiny", pointer_time=False, no_object_memory=False)
    for preset in (config, older):
        monkeypatch.setitem(PRESETS, preset.name, preset)
    return config


def meta_file(path: Path, config: Sam2Config) -> dict[str, torch.Tensor]:
    """Write random weights in the layout of Meta's releases and return them."""
    tensors = Sam2(config).state_dict()
    torch.save({"model": tensors}, path)
    return tensors


# ---- formats


def test_a_saved_model_is_read_back_whole(model, saved):
    loaded = load_model(saved)
    assert loaded.config == TINY
    assert not loaded.training
    assert loaded.state_dict().keys() == model.state_dict().keys()
    for key, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_a_loaded_model_computes_what_the_saved_one_did(model, saved):
    images = torch.randn(1, 3, 128, 96)
    with torch.inference_mode():
        assert torch.equal(load_model(saved).encode_image(images).vision, model.encode_image(images).vision)


def test_half_precision_in_the_file_becomes_float32(model, tmp_path):
    save_model(model, tmp_path / "half.safetensors", dtype=torch.float16)
    loaded = load_model(tmp_path / "half.safetensors")
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    torch.testing.assert_close(loaded.no_mem_embed, model.no_mem_embed.detach(), atol=1e-4, rtol=1e-3)
    assert (tmp_path / "half.safetensors").stat().st_size < 0.6 * sum(4 * p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", ["sam2.1-tiny", "sam2-tiny"])
def test_meta_files_tell_their_size_and_version(name, small_release, tmp_path):
    tensors = meta_file(tmp_path / "weights.pt", PRESETS[name])
    loaded = load_model(tmp_path / "weights.pt", dtype="float32")
    assert loaded.config == PRESETS[name]
    assert all(torch.equal(loaded.state_dict()[key], value) for key, value in tensors.items())


@pytest.mark.parametrize("name", [name for name in PRESETS if name.startswith("sam2")])
def test_every_released_size_is_told_from_its_keys(name, tmp_path, monkeypatch):
    with torch.device("meta"):
        tensors = Sam2(PRESETS[name]).state_dict()
    monkeypatch.setattr("vidseg.checkpoint.read_tensors", lambda path: (tensors, {}))
    assert read_checkpoint(tmp_path / "weights.pt").config == PRESETS[name]


def hub_model(config: Sam2Config):
    """transformers' model with the sizes of the released `config`, on no device: only its names and shapes count."""
    peer = pytest.importorskip("transformers", reason="transformers is not installed")
    trunk = config.trunk
    widths = list(reversed(trunk.channels))
    backbone = peer.Sam2HieraDetConfig(
        hidden_size=trunk.embed_dim,
        num_attention_heads=trunk.num_heads,
        blocks_per_stage=list(trunk.stages),
        embed_dim_per_stage=widths,
        num_attention_heads_per_stage=[trunk.num_heads * 2**i for i in range(4)],
        window_size_per_stage=list(trunk.window_spec),
        global_attention_blocks=list(trunk.global_att_blocks),
        window_positional_embedding_background_size=list(trunk.window_pos_embed_bkg_spatial_size),
    )
    vision = peer.Sam2VisionConfig(backbone_config=backbone, backbone_channel_list=list(trunk.channels))
    with torch.device("meta"):
        return peer.Sam2VideoModel(
            peer.Sam2VideoConfig(
                vision_config=vision,
                enable_temporal_pos_encoding_for_object_pointers=config.pointer_time,
                enable_occlusion_spatial_embedding=config.no_object_memory,
            )
        )


@pytest.mark.parametrize("name", ["sam2.1-tiny", "sam2-tiny", "sam2.1-base-plus"])
def test_hub_keys_become_exactly_the_official_ones(name):
    hub = official_names(hub_model(PRESETS[name]).state_dict())
    with torch.device("meta"):
        ours = Sam2(PRESETS[name]).state_dict()
    assert {key: value.shape for key, value in hub.items()} == {key: value.shape for key, value in ours.items()}


def test_hub_keys_become_those_recorded_from_the_release(shared):
    recorded = json.loads((shared / "golden" / "sam2.1-tiny.keys.json").read_text())["keys"]
    hub = official_names(hub_model(PRESETS["sam2.1-tiny"]).state_dict())
    assert {key: list(value.shape) for key, value in hub.items()} == recorded


@pytest.fixture(scope="module")
def hub_pair(tmp_path_factory):
    """A hub model with random weights, and what `load_model` makes of its model.safetensors."""
    peer = hub_model(PRESETS["sam2.1-tiny"]).to_empty(device="cpu").eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in peer.state_dict().values():
            scale = tensor[0].numel() ** -0.5 if tensor.ndim > 1 else 0.1
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * scale)
    folder = tmp_path_factory.mktemp("hub")
    save_file({key: value.contiguous() for key, value in peer.state_dict().items()}, folder / "model.safetensors")
    return peer, load_model(folder, dtype="float32", image_size=128)


def test_a_hub_file_encodes_images_as_the_hub_model_does(hub_pair):
    peer, loaded = hub_pair
    image = torch.randn(1, 3, 128, 128)
    with torch.inference_mode():
        expected = peer.vision_encoder(image).fpn_hidden_states
        actual = loaded.image_encoder(image)["backbone_fpn"]
    assert len(actual) == len(expected) == 3
    for ours, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_a_hub_file_makes_memories_and_pointers_as_the_hub_model_does(hub_pair):
    peer, loaded = hub_pair
    vision, mask, token = torch.randn(1, 256, 8, 8), torch.randn(1, 1, 128, 128), torch.randn(2, 256)
    with torch.inference_mode():
        memory = loaded.memory_encoder(vision, mask, skip_mask_sigmoid=True)["vision_features"]
        torch.testing.assert_close(memory, peer.memory_encoder(vision, mask)[0], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(loaded.obj_ptr_proj(token), peer.object_pointer_proj(token), atol=1e-5, rtol=1e-5)
    points = torch.cat([embedding.weight for embedding in loaded.sam_prompt_encoder.point_embeddings])
    assert torch.equal(points, peer.prompt_encoder.point_embed.weight)


# ---- files that cannot be used


class Evil:
    """Unpickled carelessly, it runs a command."""

    def __init__(self, proof: Path):
        self.proof = proof

    def __reduce__(self):
        return os.system, (f"touch {self.proof}",)


MESSAGE = {
    "zip": r"weights.pt contains objects that can run code \(posix.system\); nothing was run",
    "legacy": r"weights.pt contains objects that can run code \(posix.system\); nothing was run",
    "pickle": r"weights.pt is damaged, or a pickle but no checkpoint; nothing in it was run",
}


@pytest.mark.parametrize("write", MESSAGE)
def test_code_in_a_file_is_refused_and_not_run(write, tmp_path):
    path, proof = tmp_path / "weights.pt", tmp_path / "was_here"
    content = {"model": {"image_encoder.trunk.pos_embed": torch.zeros(1), "x": Evil(proof)}}
    if write == "pickle":
        path.write_bytes(pickle.dumps(Evil(proof)))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=write == "zip")
    with pytest.raises(WeightsError, match=MESSAGE[write]):
        load_model(path)
    assert not proof.exists()
    if write == "pickle":
        pickle.loads(path.read_bytes())
        assert proof.exists()  # the trap does work when it is stepped on


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no checkpoint but empty"),
        (b"<!DOCTYPE html><html>not found</html>", "but a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "but a Git LFS pointer"),
        (b"hello, this is a text file", "but something else; expected a .pt or .safetensors file"),
        (b"PK\x03\x04 and then nothing of a zip archive", "is damaged or cut short"),
        (b"\x80\x02 and then nothing of a pickle", "is damaged, or a pickle but no checkpoint"),
        (b"\xff\xff\xff\xff\xff\xff\xff\x7f{}", "is damaged or cut short"),
    ],
)
def test_what_is_no_checkpoint_is_named(content, message, tmp_path):
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message) as error:
        load_model(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kept", [0.3, 0.999])
def test_truncated_files_are_named(kept, small_release, saved, tmp_path):
    meta_file(tmp_path / "weights.pt", small_release)
    for path in (tmp_path / "weights.pt", saved):
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * kept)])
        with pytest.raises(WeightsError, match=r"\(.* bytes\) is damaged or cut short: .*copy it again"):
            load_model(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds no model weights but a list"),
        ({"epoch": 3, "lr": 0.1}, "holds no model weights but a dict with 'epoch', 'lr'"),
        ({"model": {"step": 1}}, "holds no model weights but a dict with 'step'"),
        ({"conv1.weight": torch.zeros(1)}, r"holds no SAM 2 model \(its first tensor is conv1.weight\)"),
        ({}, r"holds no SAM 2 model \(it is empty\)"),
        (
            {"image_encoder.blocks.0.attn.qkv.weight": torch.zeros(1)},
            "holds no SAM 2 model but SAM 1",
        ),
        (
            {"image_encoder.trunk.patch_embed.proj.weight": torch.zeros(77, 3, 7, 7)},
            "a trunk of 0 blocks with 77 channels, which is none of sam2.1-tiny",
        ),
    ],
)
def test_other_contents_are_named(content, message, tmp_path):
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(WeightsError, match=message):
        load_model(tmp_path / "weights.pt")


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_a_torchscript_program_is_refused(tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "weights.pt")
    with pytest.raises(WeightsError, match="is a TorchScript program, not a checkpoint"):
        load_model(tmp_path / "weights.pt")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"nowhere.pt does not exist; give the path"):
        load_model(tmp_path / "nowhere.pt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("no_obj_ptr"), "lacks no_obj_ptr: not the weights"),
        (lambda tensors: tensors.update(extra=torch.zeros(1), more=torch.zeros(1)), "has unknown extra and 1 more"),
        (lambda tensors: tensors.update(no_obj_ptr=torch.zeros(1, 7)), "has, in another shape, no_obj_ptr: not"),
    ],
)
def test_tensors_that_do_not_fit_are_named(change, message, small_release, tmp_path):
    tensors = dict(Sam2(small_release).state_dict())
    change(tensors)
    torch.save({"model": tensors}, tmp_path / "weights.pt")
    with pytest.raises(WeightsError, match=message):
        load_model(tmp_path / "weights.pt")


def test_a_config_of_a_later_version_is_refused(model, tmp_path):
    config = json.dumps({**TINY.to_dict(), "telepathy": True})
    save_file(model.state_dict(), tmp_path / "new.safetensors", {"format": "vidseg-1", "config": config})
    with pytest.raises(WeightsError, match="cannot read: unknown Sam2Config keys: telepathy"):
        load_model(tmp_path / "new.safetensors")


def test_a_save_that_fails_leaves_the_old_file(model, saved, monkeypatch):
    before = saved.read_bytes()
    monkeypatch.setattr("vidseg.checkpoint.save_file", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save_model(model, saved)
    assert saved.read_bytes() == before


# ---- names


def test_the_shipped_model_loads_by_name_and_by_default(saved, monkeypatch):
    monkeypatch.setattr(weights, "shipped_path", lambda name: saved)
    assert load_model("nano").config == load_model().config == TINY


def test_a_copy_without_the_shipped_model_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "shipped_path", lambda name: tmp_path / f"{name}.safetensors")
    with pytest.raises(WeightsError, match=r"this copy of vidseg lacks nano.safetensors"):
        load_model()


@pytest.mark.parametrize("name", registry.SHIPPED)
def test_the_shipped_files_hold_the_models_of_their_names(name):
    model = load_model(name, device="cpu", dtype="float32")
    assert model.config == PRESETS[name]
    assert all(weight.isfinite().all() for weight in model.parameters())


def test_pico_sees_as_nano_does():
    nano, pico = (load_model(name, device="cpu", dtype="float32") for name in ("nano", "pico"))
    image = make_scene(size=(224, 384)).draw(0)[0].image
    assert difference(pico, nano, normalise(torch.from_numpy(image).permute(2, 0, 1)[None])) < 0.02
    rest = {key: weight for key, weight in pico.state_dict().items() if not key.startswith("image_encoder.")}
    assert all(torch.equal(weight, nano.state_dict()[key]) for key, weight in rest.items())


def test_the_shipped_path_is_inside_the_package():
    assert registry.shipped_path("nano") == Path(weights.__file__).parent / "shipped" / "nano.safetensors"


def test_a_cached_release_loads_by_name(small_release, tmp_path, monkeypatch):
    path = tmp_path / "cache" / "sam2.1_hiera_tiny.pt"
    path.parent.mkdir()
    meta_file(path, small_release)
    release = replace(registry.RELEASES["sam2.1-tiny"], size_bytes=path.stat().st_size)
    monkeypatch.setitem(registry.RELEASES, "sam2.1-tiny", release)
    assert load_model("sam2.1-tiny", dtype="float32").config == small_release


def test_a_release_that_is_not_here_is_not_fetched_unasked():
    with pytest.raises(WeightsError, match=r"not on this machine; run: vidseg models download sam2\.1-tiny"):
        load_model("sam2.1-tiny")


def test_an_unknown_name_gets_the_nearest_one():
    with pytest.raises(WeightsError, match=r"unknown model 'sam2.1-tniy'; did you mean sam2.1-tiny\? Known are nano, "):
        load_model("sam2.1-tniy")


def test_a_checkpoint_may_stand_in_for_a_name_if_it_is_of_that_model(small_release, tmp_path):
    meta_file(tmp_path / "weights.pt", small_release)
    for name in ("sam2.1-tiny", "nano"):
        assert load_model(name, checkpoint=tmp_path / "weights.pt", dtype="float32").config == small_release
    with pytest.raises(WeightsError, match=r"holds sam2.1-tiny, not sam2.1-large; leave the model's name out"):
        load_model("sam2.1-large", checkpoint=tmp_path / "weights.pt")


def test_a_folder_must_hold_one_checkpoint(saved):
    assert load_model(saved.parent).config == TINY
    (saved.parent / "second.pt").touch()
    with pytest.raises(WeightsError, match=r"holds 2 checkpoints \(mine.safetensors, second.pt\)"):
        load_model(saved.parent)
    (saved.parent / "empty").mkdir()
    with pytest.raises(WeightsError, match="holds no checkpoint; give the path"):
        load_model(saved.parent / "empty")


def test_the_input_size_can_be_chosen(saved):
    assert load_model(saved, image_size=256).config == replace(TINY, image_size=256)
    with pytest.raises(ConfigError, match="image_size 200 must be a positive multiple of 32"):
        load_model(saved, image_size=200)


# ---- devices and number formats

AVX2_ONLY = "flags\t\t: fpu sse4_2 fma avx2 f16c\n"
AVX512_ONLY = "flags\t\t: fpu avx2 avx512f avx512bw avx512vl avx512dq avx512_vnni\n"
ZEN4 = "flags\t\t: fpu avx2 avx512f avx512_bf16\n"
SAPPHIRE_RAPIDS = "flags\t\t: fpu avx2 avx512f avx512_bf16 amx_bf16 amx_tile\n"
GRAVITON3 = "Features\t: fp asimd sve bf16 i8mm\n"
GRAVITON2 = "Features\t: fp asimd asimddp\n"


@pytest.fixture
def cpu(monkeypatch, tmp_path):
    """Pretend to run on a processor with this /proc/cpuinfo."""

    def pretend(cpuinfo: str) -> None:
        (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nmodel name\t: bf16 in a name\n{cpuinfo}")
        monkeypatch.setattr(processor, "_CPUINFO", tmp_path / "cpuinfo")

    return pretend


@pytest.mark.parametrize(
    ("cpuinfo", "native", "fused", "layers"),
    [
        (AVX2_ONLY, False, True, False),
        (AVX512_ONLY, False, True, False),
        (ZEN4, True, False, True),
        (SAPPHIRE_RAPIDS, True, True, True),
        (GRAVITON3, True, False, False),
        (GRAVITON2, False, True, False),
        ("", False, True, False),
    ],
)
def test_the_processor_is_asked_for_bfloat16(cpuinfo, native, fused, layers, cpu):
    cpu(cpuinfo)
    assert processor.computes_bfloat16() is native
    assert processor.fuses_bfloat16.__wrapped__() is fused
    assert processor.fuses_layers.__wrapped__() is layers


def test_layers_are_not_fused_by_a_torch_without_the_operators(cpu, monkeypatch):
    cpu(SAPPHIRE_RAPIDS)
    monkeypatch.setattr(processor.torch.ops, "mkldnn", object())
    assert not processor.fuses_layers.__wrapped__()


def test_without_cpuinfo_the_answer_is_no(monkeypatch, tmp_path):
    monkeypatch.setattr(processor, "_CPUINFO", tmp_path / "absent")
    assert processor.cpu_flags() == frozenset()
    assert not processor.computes_bfloat16()


@pytest.mark.parametrize(
    ("name", "image_size", "cpuinfo", "expected"),
    [
        ("sam2.1-tiny", 1024, SAPPHIRE_RAPIDS, torch.bfloat16),
        ("sam2-large", 512, ZEN4, torch.bfloat16),
        ("sam2.1-tiny", 224, SAPPHIRE_RAPIDS, torch.float32),
        ("sam2.1-tiny", 1024, AVX2_ONLY, torch.float32),
        ("sam2.1-tiny", 1024, AVX512_ONLY, torch.float32),
        ("nano", 512, SAPPHIRE_RAPIDS, torch.bfloat16),
    ],
)
def test_auto_is_bfloat16_only_where_it_pays(name, image_size, cpuinfo, expected, cpu):
    cpu(cpuinfo)
    assert preferred_dtype(replace(PRESETS[name], image_size=image_size), CPU) == expected


@pytest.mark.parametrize(("capability", "expected"), [((8, 0), torch.bfloat16), ((7, 5), torch.float32)])
def test_auto_on_cuda_depends_on_the_generation(capability, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert preferred_dtype(PRESETS["nano"], torch.device("cuda")) == expected


def test_the_dtype_asked_for_is_the_dtype_loaded(saved, cpu):
    cpu(SAPPHIRE_RAPIDS)
    for name, dtype in {"float32": torch.float32, "bfloat16": torch.bfloat16}.items():
        assert load_model(saved, dtype=name).dtype == load_model(saved, dtype=dtype).dtype == dtype


def test_slow_bfloat16_is_given_with_a_warning(saved, cpu):
    cpu(AVX2_ONLY)
    with pytest.warns(UserWarning, match="does not compute bfloat16 natively"):
        assert load_model(saved, dtype="bfloat16").dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", ["int8", torch.int8, "half"])
def test_other_dtypes_are_refused(dtype, saved):
    with pytest.raises(ConfigError, match=r"unknown dtype .*; expected auto, float32, bfloat16, float16"):
        load_model(saved, dtype=dtype)


def test_devices_that_are_not_here_are_refused(saved, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert load_model(saved).device == CPU
    with pytest.raises(ConfigError, match="device 'cuda' is not available here"):
        load_model(saved, device="cuda")
    with pytest.raises(ConfigError, match="unknown device 'gpu'; expected auto, cpu, cuda"):
        load_model(saved, device="gpu")


def test_auto_takes_cuda_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert processor.choose_device() == torch.device("cuda")
    assert processor.choose_device("cuda:0") == torch.device("cuda:0")
    with pytest.raises(ConfigError, match="device 'cuda:1' is not available here"):
        processor.choose_device("cuda:1")


# ---- SAM 1


def test_the_image_encoder_of_a_sam_1_checkpoint_loads(tmp_path, monkeypatch):
    preset = {**VIT_PRESETS["sam-vit-b"], "img_size": 64, "embed_dim": 24, "depth": 2, "num_heads": 2}
    monkeypatch.setitem(VIT_PRESETS, "sam-vit-b", preset)
    encoder = ImageEncoderViT(**preset).eval()
    tensors = {f"image_encoder.{key}": value for key, value in encoder.state_dict().items()}
    torch.save({**tensors, "mask_decoder.iou_token.weight": torch.zeros(1)}, tmp_path / "sam_vit_b.pth")
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(load_image_encoder(tmp_path / "sam_vit_b.pth")(images), encoder(images))


def test_a_file_without_a_sam_1_encoder_is_refused(saved):
    with pytest.raises(WeightsError, match="holds no SAM 1 image encoder; expected one of sam-vit-b"):
        load_image_encoder(saved)

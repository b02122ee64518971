"""Read a file of weights without trusting it: Meta's `.pt`, the Hugging Face layout, and vidseg's own format.

A checkpoint comes from anywhere, so nothing in it is ever executed, and whatever is wrong with it is said in one line.
Out comes a state dict under the official names and the config that it fits; building the model is for `weights`.

vidseg's own format is safetensors whose metadata hold the model's config as JSON.
"""

from __future__ import annotations

import json
import pickle
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vidseg.errors import ConfigError, WeightsError
from vidseg.model.config import PRESETS, Sam2Config

__all__ = ["Checkpoint", "official_name", "official_names", "read_checkpoint", "read_tensors", "write_checkpoint"]

_FORMAT = "vidseg-1"


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """What a file holds: tensors under the official names, and the config of the model that they fit."""

    tensors: dict[str, Tensor]
    config: Sam2Config


def read_checkpoint(path: Path) -> Checkpoint:
    """Read the weights of a whole SAM 2 model, or of vidseg's own; the file tells which.

    Tensors keep the number format of the file.

    Raises:
        WeightsError: no such file, damaged, no checkpoint, with code inside, or of another model.
    """
    tensors, metadata = read_tensors(path)
    if metadata.get("format") == _FORMAT:
        return Checkpoint(tensors, _own_config(path, metadata))
    if any(key.startswith("vision_encoder.") for key in tensors):
        tensors = official_names(tensors)
    return Checkpoint(tensors, _recognise(path, tensors))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """Read the tensors of a file under their own names, and its metadata (empty for `.pt`).

    Raises:
        WeightsError: no such file, damaged, no checkpoint, or with code inside.
    """
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except FileNotFoundError:
        raise WeightsError(f"{path} does not exist; give the path of a checkpoint file") from None
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}") from error
    if start[8:9] == b"{":  # eight bytes of length, then JSON
        return _read_safetensors(path)
    if start.startswith((b"PK", b"\x80")):
        return _read_pickled(path), {}
    raise WeightsError(f"{path} is no checkpoint but {_guess(start)}; expected a .pt or .safetensors file")


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], config: Sam2Config) -> None:
    """Write tensors and config in vidseg's format, first to `*.part`."""
    part = path.with_name(path.name + ".part")
    metadata = {"format": _FORMAT, "config": json.dumps(config.to_dict())}
    save_file({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}, part, metadata)
    part.replace(path)


def official_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn the keys of the Hugging Face layout into the official ones by the rules of `HUB_KEYS`.

    Tensors that no rule knows keep their names, so that strict loading names them.
    """
    tensors = dict(tensors)
    points = tensors.pop("prompt_encoder.point_embed.weight", None)
    if points is not None:  # one table of four rows there, four tables of one row here
        for row in range(len(points)):
            tensors[f"sam_prompt_encoder.point_embeddings.{row}.weight"] = points[row : row + 1]
    return {official_name(key): tensor for key, tensor in tensors.items()}


def _times(factor: int, offset: int, template: str) -> Callable[[re.Match[str]], str]:
    """A replacement in which `#` is the matched number times `factor` plus `offset`."""
    return lambda match: template.replace("#", str(int(match[1]) * factor + offset))


HUB_KEYS: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    # tensors of the model itself
    (r"^no_memory_embedding$", "no_mem_embed"),
    (r"^no_memory_positional_encoding$", "no_mem_pos_enc"),
    (r"^memory_temporal_positional_encoding$", "maskmem_tpos_enc"),
    (r"^no_object_pointer$", "no_obj_ptr"),
    (r"^occlusion_spatial_embedding_parameter$", "no_obj_embed_spatial"),
    (r"^temporal_positional_encoding_projection_layer\.", "obj_ptr_tpos_proj."),
    (r"^object_pointer_proj\.", "obj_ptr_proj."),
    # the Fourier matrix is there once for the picture and once for prompts; they are the same
    (
        r"^(shared_image_embedding|prompt_encoder\.shared_embedding)\.positional_embedding$",
        "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
    ),
    # image encoder
    (r"^vision_encoder\.backbone\.", "image_encoder.trunk."),
    (r"^vision_encoder\.neck\.convs\.(\d+)\.", r"image_encoder.neck.convs.\1.conv."),
    (r"patch_embed\.projection\.", "patch_embed.proj."),
    # prompt encoder
    (r"^prompt_encoder\.mask_embed\.conv1\.", "prompt_encoder.mask_downscaling.0."),
    (r"^prompt_encoder\.mask_embed\.layer_norm1\.", "prompt_encoder.mask_downscaling.1."),
    (r"^prompt_encoder\.mask_embed\.conv2\.", "prompt_encoder.mask_downscaling.3."),
    (r"^prompt_encoder\.mask_embed\.layer_norm2\.", "prompt_encoder.mask_downscaling.4."),
    (r"^prompt_encoder\.mask_embed\.conv3\.", "prompt_encoder.mask_downscaling.6."),
    (r"^prompt_encoder\.", "sam_prompt_encoder."),
    # mask decoder
    (r"^mask_decoder\.upscale_conv1\.", "mask_decoder.output_upscaling.0."),
    (r"^mask_decoder\.upscale_layer_norm\.", "mask_decoder.output_upscaling.1."),
    (r"^mask_decoder\.upscale_conv2\.", "mask_decoder.output_upscaling.3."),
    (r"^mask_decoder\.", "sam_mask_decoder."),
    # memory encoder
    (r"\.mask_downsampler\.layers\.(\d+)\.conv\.", _times(3, 0, ".mask_downsampler.encoder.#.")),
    (r"\.mask_downsampler\.layers\.(\d+)\.layer_norm\.", _times(3, 1, ".mask_downsampler.encoder.#.")),
    (r"\.mask_downsampler\.final_conv\.", ".mask_downsampler.encoder.12."),
    (r"^memory_encoder\.feature_projection\.", "memory_encoder.pix_feat_proj."),
    (r"^memory_encoder\.projection\.", "memory_encoder.out_proj."),
    (r"^memory_encoder\.memory_fuser\.", "memory_encoder.fuser."),
    (r"^(memory_encoder\.fuser\.layers\.\d+)\.scale$", r"\1.gamma"),
    (r"\.depthwise_conv\.", ".dwconv."),
    (r"\.pointwise_conv(\d)\.", r".pwconv\1."),
    # everywhere: three-layer heads keep their middle in `layers.0`; a block's MLP has no middle
    (r"(_head|_mlps\.\d+|_ptr_proj)\.layers\.0\.", r"\1.layers.1."),
    (r"(_head|_mlps\.\d+|_ptr_proj)\.proj_out\.", r"\1.layers.2."),
    (r"\.proj_in\.", ".layers.0."),
    (r"\.proj_out\.", ".layers.1."),
    (r"\.o_proj\.", ".out_proj."),
    (r"\blayer_norm", "norm"),
)
"""Hugging Face keys -> official keys: every rule is applied in order with `re.sub`."""


def official_name(key: str) -> str:
    """Return the official name of a tensor of the Hugging Face layout."""
    for pattern, replacement in HUB_KEYS:
        key = re.sub(pattern, replacement, key)
    return key


def _recognise(path: Path, tensors: Mapping[str, Tensor]) -> Sam2Config:
    """Tell the preset from the width and depth of the trunk, and 2.1 from 2.0 by the tensors that came with it."""
    patch = tensors.get("image_encoder.trunk.patch_embed.proj.weight")
    if patch is None:
        raise WeightsError(f"{path} holds no SAM 2 model{_hint(tensors)}; expected one of {', '.join(_released())}")
    depth = len({key.split(".")[3] for key in tensors if key.startswith("image_encoder.trunk.blocks.")})
    newer = "obj_ptr_tpos_proj.weight" in tensors
    for config in _released().values():
        trunk = config.trunk
        if (trunk.embed_dim, sum(trunk.stages), config.pointer_time) == (patch.shape[0], depth, newer):
            return config
    raise WeightsError(
        f"{path} holds a trunk of {depth} blocks with {patch.shape[0]} channels, "
        f"which is none of {', '.join(_released())}"
    )


def _released() -> dict[str, Sam2Config]:
    return {name: config for name, config in PRESETS.items() if name.startswith("sam2")}


def _hint(tensors: Mapping[str, Tensor]) -> str:
    if "image_encoder.blocks.0.attn.qkv.weight" in tensors:
        return " but SAM 1 (its image encoder can be read with load_image_encoder)"
    return f" (its first tensor is {min(tensors)})" if tensors else " (it is empty)"


def _own_config(path: Path, metadata: Mapping[str, str]) -> Sam2Config:
    try:
        return Sam2Config.from_dict(json.loads(metadata["config"]))
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        raise WeightsError(f"{path} has a model config this version of vidseg cannot read: {error}") from error


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, ValueError, OSError) as error:
        raise _damaged(path, error) from error


def _read_pickled(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if found := re.search(r"GLOBAL (\S+)", str(error)):
            raise WeightsError(
                f"{path} contains objects that can run code ({found[1]}); nothing was run: "
                "use a file that holds tensors only"
            ) from error
        raise WeightsError(f"{path} is damaged, or a pickle but no checkpoint; nothing in it was run") from error
    except Exception as error:  # a broken pickle or zip may raise anything at all
        if "TorchScript" in str(error):
            raise WeightsError(f"{path} is a TorchScript program, not a checkpoint; it was not run") from error
        raise _damaged(path, error) from error
    if isinstance(content, dict) and isinstance(content.get("model"), dict):
        content = content["model"]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise WeightsError(f"{path} holds no model weights but {_describe(content)}; expected tensors by name")
    return content


def _describe(content: Any) -> str:
    if isinstance(content, dict):
        return f"a dict with {', '.join(map(repr, list(content)[:4])) or 'nothing in it'}"
    return f"a {type(content).__name__}"


def _damaged(path: Path, error: Exception) -> WeightsError:
    reason = str(error).split("\n", 1)[0][:120]
    return WeightsError(
        f"{path} ({path.stat().st_size:,} bytes) is damaged or cut short: {reason}; download or copy it again"
    )


def _guess(start: bytes) -> str:
    if not start:
        return "empty"
    if start.startswith(b"version https://"):
        return "a Git LFS pointer (run git lfs pull)"
    if start.lstrip()[:1] == b"<":
        return "a web page (the download got an error page)"
    return "something else"

"""Names and files -> ready models, and back: `load_model`, `save_model`.

Where files come from is in `registry` and `downloads`, how they are read in `checkpoint`. What is decided here, once
and for the model's whole life, is the device and the number format. Nothing is downloaded without being asked for, and
nothing falls back silently: what was asked for is what is loaded, or there is an error.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vidseg.checkpoint import Checkpoint, read_checkpoint, read_tensors, write_checkpoint
from vidseg.downloads import find_cached
from vidseg.errors import ConfigError, WeightsError
from vidseg.model.config import Sam2Config
from vidseg.model.sam2 import Sam2
from vidseg.model.vit import VIT_PRESETS, ImageEncoderViT
from vidseg.processor import choose_device, computes_bfloat16
from vidseg.registry import RELEASES, SHIPPED, shipped_path, unknown_model

__all__ = ["choose_dtype", "load_image_encoder", "load_model", "preferred_dtype", "save_model", "weights_digest"]

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_LARGE = 256  # pixels of input from which bfloat16 pays on a CPU that computes it
_SUFFIXES = (".pt", ".pth", ".safetensors")


def load_model(
    name_or_path: str | os.PathLike[str] = "nano",
    *,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    checkpoint: str | os.PathLike[str] | None = None,
    image_size: int | None = None,
) -> Sam2:
    """Load a model, ready to track, in evaluation mode and without gradients.

    Args:
        name_or_path: "nano" (comes with vidseg), a name that `vidseg models` lists and that is on this machine, a
            checkpoint file (Meta's .pt, a Hugging Face model.safetensors, or what `save_model` wrote), or a folder with
            one such file. Sizes and versions are told from the file.
        device: "auto" is CUDA where there is one, else the CPU.
        dtype: "float32", "bfloat16", "float16", or "auto" for `preferred_dtype`.
        checkpoint: a file to read instead of the one that belongs to the name. If it holds another of Meta's models
            than the named one, that is an error; with the default name the file decides.
        image_size: side of the network's input in pixels, a multiple of 32, if not the one the model was trained at.

    Raises:
        WeightsError: unknown name, not on this machine, or a file that cannot be used.
        ConfigError: a device, dtype or image size that cannot be used.
    """
    chosen_device = choose_device(device)
    path = _file_of(name_or_path if checkpoint is None else Path(checkpoint))
    found = read_checkpoint(path)
    if checkpoint is not None and name_or_path in RELEASES and found.config.name != name_or_path:
        raise WeightsError(f"{path} holds {found.config.name}, not {name_or_path}; leave the model's name out")
    config = found.config if image_size is None else replace(found.config, image_size=image_size)
    chosen_dtype = choose_dtype(dtype, config, chosen_device)
    model = _build(path, replace(found, config=config))
    return model.to(device=chosen_device, dtype=chosen_dtype)


def save_model(model: Sam2, path: str | os.PathLike[str], *, dtype: torch.dtype | None = None) -> None:
    """Write weights and config to a .safetensors file that `load_model` reads back.

    `dtype` is the number format in the file, by default the model's own; float16 halves the file, and is loaded as
    float32. The file appears under its name only when it is complete.
    """
    tensors = {key: value if dtype is None else value.to(dtype) for key, value in model.state_dict().items()}
    write_checkpoint(Path(path), tensors, model.config)


def weights_digest(model: Sam2) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of all weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def preferred_dtype(config: Sam2Config, device: torch.device) -> torch.dtype:
    """Return the number format that `dtype="auto"` means for a model on a device.

    CUDA: bfloat16 from the Ampere generation on, float32 before. CPU: bfloat16 where the processor computes it
    natively and the input has 256 pixels or more; smaller ones gain nothing. Elsewhere float32. Measured on one AMX
    core: a frame of nano at 512 takes 89 ms instead of 153, and over six sequences J changed by 0.001.
    """
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
        return torch.bfloat16 if native else torch.float32
    if device.type == "cpu" and config.image_size >= _LARGE and computes_bfloat16():
        return torch.bfloat16
    return torch.float32


def choose_dtype(dtype: str | torch.dtype, config: Sam2Config, device: torch.device) -> torch.dtype:
    """Resolve a number format by name; "auto" is `preferred_dtype`. Warns of bfloat16 where the CPU has to emulate it.

    Raises:
        ConfigError: a format that models are not run in.
    """
    if dtype == "auto":
        return preferred_dtype(config, device)
    chosen = _DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if chosen is None or chosen not in _DTYPES.values():
        raise ConfigError(f"unknown dtype {str(dtype)!r}; expected auto, {', '.join(_DTYPES)}")
    if chosen == torch.bfloat16 and device.type == "cpu" and not computes_bfloat16():
        warnings.warn("this processor does not compute bfloat16 natively: expect to wait; use float32", stacklevel=3)
    return chosen


def load_image_encoder(path: str | os.PathLike[str]) -> ImageEncoderViT:
    """Load the image encoder of a SAM 1 checkpoint (`sam_vit_{b,l,h}_*.pth`), in evaluation mode, float32 on the CPU.

    Raises:
        WeightsError: the file cannot be used or holds no SAM 1 image encoder.
    """
    path = Path(path)
    tensors, _ = read_tensors(path)
    prefix = "image_encoder."
    tensors = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    patch = tensors.get("patch_embed.proj.bias")
    width = 0 if patch is None else len(patch)
    preset = next((preset for preset in VIT_PRESETS.values() if preset["embed_dim"] == width), None)
    if preset is None or "pos_embed" not in tensors:
        raise WeightsError(f"{path} holds no SAM 1 image encoder; expected one of {', '.join(VIT_PRESETS)}")
    with torch.device("meta"), _Unfilled():
        encoder = ImageEncoderViT(**preset)
    _load_strictly(path, encoder, tensors)
    return encoder


def _file_of(name_or_path: str | os.PathLike[str]) -> Path:
    """Find the file that a name or path stands for."""
    if isinstance(name_or_path, str) and name_or_path in SHIPPED:
        path = shipped_path(name_or_path)
        if not path.is_file():
            raise WeightsError(f"this copy of vidseg lacks {path.name}; reinstall it or give a checkpoint file")
        return path
    if isinstance(name_or_path, str) and name_or_path in RELEASES:
        cached = find_cached(RELEASES[name_or_path])
        if cached is None:
            raise WeightsError(f"{name_or_path} is not on this machine; run: vidseg models download {name_or_path}")
        return cached
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        return _only_checkpoint_in(path)
    if isinstance(name_or_path, str) and not path.exists() and path.suffix not in _SUFFIXES:
        raise unknown_model(name_or_path)
    return path


def _only_checkpoint_in(folder: Path) -> Path:
    files = sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES)
    if len(files) != 1:
        listed = f"{len(files)} checkpoints ({', '.join(path.name for path in files)})" if files else "no checkpoint"
        raise WeightsError(f"folder {folder} holds {listed}; give the path of one .pt or .safetensors file")
    return files[0]


class _Unfilled(TorchFunctionMode):
    """New modules have no random weights: no time is spent on them, and the global generator is left alone.

    With the meta device alone, torch would import a second and 80 MB of itself to pretend to draw them.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__module__", None) == nn.init.__name__:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def _build(path: Path, checkpoint: Checkpoint) -> Sam2:
    with torch.device("meta"), _Unfilled():
        model = Sam2(checkpoint.config)
    _load_strictly(path, model, checkpoint.tensors)
    return model


def _load_strictly(path: Path, module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put the tensors, as float32, in place of the module's, which must be exactly these; ready for inference."""
    expected = {key: value.shape for key, value in module.state_dict().items()}
    problems = (
        ("lacks", sorted(set(expected) - set(tensors))),
        ("has unknown", sorted(set(tensors) - set(expected))),
        ("has, in another shape,", sorted(k for k in expected if k in tensors and tensors[k].shape != expected[k])),
    )
    for verb, keys in problems:
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise WeightsError(f"{path} {verb} {keys[0]}{more}: not the weights of this model")
    module.load_state_dict({key: value.float() for key, value in tensors.items()}, strict=True, assign=True)
    module.eval().requires_grad_(False)

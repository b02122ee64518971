"""The same model elsewhere, to compare with in one run: transformers' Sam2VideoModel and the official sam2 package.

Both get our weights and our input pixels, one click an object, and a memory filled with copies as ours is. Neither is
needed by vidseg; a peer that cannot be imported is an error that says so.
"""

from __future__ import annotations

import io
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vidseg.bench.stages import Parts
from vidseg.bench.subjects import FIRST, Subject
from vidseg.checkpoint import official_name
from vidseg.errors import VidsegError
from vidseg.model import Sam2, Sam2Config
from vidseg.picture import full_size, prepare
from vidseg.types import Click, Frame

_FRAMES = 100_000  # a peer that must know the length of the video is told this


class TransformersSubject:
    """`transformers.Sam2VideoModel`, streaming."""

    name = "transformers"

    def __init__(self, ours: Sam2, first: Frame, clicks: Sequence[Click], *, dtype: torch.dtype) -> None:
        try:
            import transformers
        except ImportError:
            raise _missing("transformers", "pip install 'transformers>=5'") from None
        from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

        self.ours, self.size = ours, first.image.shape[:2]
        config = hub_config(ours.config)
        self.model = transformers.Sam2VideoModel(config).eval()
        self.model.load_state_dict(hub_tensors(self.model.state_dict(), ours.state_dict()))
        self.model.to(device=ours.device, dtype=dtype)
        self.parts: Parts = _forwards(self.model, "vision_encoder", "mask_decoder")
        self.session = Sam2VideoInferenceSession(
            video_height=self.size[0], video_width=self.size[1], inference_device=ours.device, dtype=dtype
        )
        self._prompt(first, clicks, dtype)

    @torch.inference_mode()
    def _prompt(self, first: Frame, clicks: Sequence[Click], dtype: torch.dtype) -> None:
        for number, point in enumerate(_on_input(self.ours.config, clicks, self.size), start=1):
            index = self.session.obj_id_to_idx(number)
            points = {"point_coords": point[None, None].to(dtype), "point_labels": torch.ones(1, 1, 1).int()}
            self.session.add_point_inputs(index, 0, points)
            self.session.obj_with_new_inputs.append(number)
        self.model(inference_session=self.session, frame=prepare(self.ours, first.image))
        for outputs in self.session.output_dict_per_obj.values():
            outputs["non_cond_frame_outputs"] = dict.fromkeys(range(1, FIRST), outputs["cond_frame_outputs"][0])

    @torch.inference_mode()
    def follow(self, frame: Frame) -> Tensor:
        """See `Subject`."""
        pixels = prepare(self.ours, frame.image)
        answer = self.model(inference_session=self.session, frame=pixels, frame_idx=frame.index)
        logits = answer.pred_masks[:, 0]
        (full_size(logits, self.size) > 0).cpu().numpy()
        return logits.float()


class OfficialSubject:
    """The official package's `SAM2VideoPredictor`; bfloat16 by autocast, as its README does it."""

    name = "sam2"

    def __init__(self, ours: Sam2, first: Frame, clicks: Sequence[Click], *, dtype: torch.dtype) -> None:
        self.ours, self.size = ours, first.image.shape[:2]
        self.dtype = dtype
        self.model = _official_model(ours)
        self.parts: Parts = _forwards(self.model, "image_encoder", "sam_mask_decoder")
        with tempfile.TemporaryDirectory() as folder, self._mode():
            from PIL import Image

            Image.new("RGB", (8, 8)).save(Path(folder, "00000.jpg"))  # it reads a folder; ours are the pixels it gets
            self.state = self.model.init_state(folder)
        self.state |= {"num_frames": _FRAMES, "video_height": self.size[0], "video_width": self.size[1]}
        self.state["cached_features"] = {}
        with self._mode():
            self._prompt(first, clicks)
        self.frames = self.model.propagate_in_video(self.state, start_frame_idx=FIRST)

    def _prompt(self, first: Frame, clicks: Sequence[Click]) -> None:
        self.state["images"] = {0: prepare(self.ours, first.image)[0]}
        for number, click in enumerate(clicks, start=1):
            self.model.add_new_points_or_box(self.state, 0, number, points=[[click.x, click.y]], labels=[1])
        self.model.propagate_in_video_preflight(self.state)
        for outputs in self.state["output_dict_per_obj"].values():
            outputs["non_cond_frame_outputs"] = dict.fromkeys(range(1, FIRST), outputs["cond_frame_outputs"][0])

    def follow(self, frame: Frame) -> Tensor:
        """See `Subject`."""
        with self._mode():
            self.state["images"] = {frame.index: prepare(self.ours, frame.image)[0]}
            index, _, masks = next(self.frames)
            assert index == frame.index
            (masks > 0).cpu().numpy()
        outputs = self.state["output_dict_per_obj"].values()
        return torch.cat([o["non_cond_frame_outputs"][index]["pred_masks"][:, 0] for o in outputs]).float()

    @contextmanager
    def _mode(self) -> Iterator[None]:
        """Autocast where asked for; its progress bars and its warning about a missing extension are kept quiet."""
        half = self.dtype != torch.float32
        autocast = torch.autocast(self.ours.device.type, self.dtype) if half else nullcontext()
        with torch.inference_mode(), autocast, redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield


PEERS: dict[str, Callable[..., Subject]] = {"sam2": OfficialSubject, "transformers": TransformersSubject}
"""Peers by the name that `vidseg bench --peer` takes."""


def hub_config(config: Sam2Config) -> Any:
    """Return transformers' config for one of the released sizes, at any input size."""
    import transformers

    _check_released(config, "transformers")
    trunk, side = config.trunk, config.image_size
    backbone = transformers.Sam2HieraDetConfig(
        hidden_size=trunk.embed_dim,
        image_size=[side, side],
        num_attention_heads=trunk.num_heads,
        blocks_per_stage=list(trunk.stages),
        embed_dim_per_stage=list(reversed(trunk.channels)),
        num_attention_heads_per_stage=[trunk.num_heads * 2**i for i in range(len(trunk.stages))],
        window_size_per_stage=list(trunk.window_spec),
        global_attention_blocks=list(trunk.global_att_blocks),
        window_positional_embedding_background_size=list(trunk.window_pos_embed_bkg_spatial_size),
    )
    vision = transformers.Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=list(trunk.channels),
        backbone_feature_sizes=[[side // stride] * 2 for stride in (4, 8, 16)],
    )
    return transformers.Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config={"image_size": side},
        image_size=side,
        memory_attention_rope_feat_sizes=[side // 16, side // 16],
        enable_temporal_pos_encoding_for_object_pointers=config.pointer_time,
        enable_occlusion_spatial_embedding=config.no_object_memory,
    )


def hub_tensors(names: Mapping[str, Tensor], official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors of the official layout under the hub's `names`."""
    points = "sam_prompt_encoder.point_embeddings"
    table = torch.cat([official[f"{points}.{row}.weight"] for row in range(4)])
    special = {"prompt_encoder.point_embed.weight": table}
    return {name: special[name] if name in special else official[official_name(name)] for name in names}


def _official_model(ours: Sam2) -> Any:
    _check_released(ours.config, "sam2")
    try:
        from sam2.build_sam import build_sam2_video_predictor
    except ImportError as error:
        raise _missing("sam2", "see https://github.com/facebookresearch/sam2", error) from None
    version, size = ours.config.name.split("-", 1)
    letter = "b+" if size == "base-plus" else size[0]
    model = build_sam2_video_predictor(
        f"configs/{version}/{version}_hiera_{letter}.yaml",
        device=str(ours.device),
        hydra_overrides_extra=[f"++model.image_size={ours.config.image_size}"],
    )
    model.load_state_dict({key: value.float() for key, value in ours.state_dict().items()})
    return model


def _check_released(config: Sam2Config, peer: str) -> None:
    if not config.name.startswith("sam2"):
        raise VidsegError(f"{peer} has no model like {config.name}; compare one of SAM 2's sizes, such as sam2.1-tiny")


def _forwards(model: Any, image_encoder: str, mask_decoder: str) -> Parts:
    return {
        "image encoder": (getattr(model, image_encoder), "forward"),
        "memory attention": (model.memory_attention, "forward"),
        "mask decoder": (getattr(model, mask_decoder), "forward"),
        "memory encoder": (model.memory_encoder, "forward"),
    }


def _on_input(config: Sam2Config, clicks: Sequence[Click], size: tuple[int, int]) -> list[Tensor]:
    h, w = config.input_size(size)
    return [torch.tensor([[click.x * w / size[1], click.y * h / size[0]]]) for click in clicks]


def _missing(peer: str, how: str, error: ImportError | None = None) -> VidsegError:
    reason = f" ({error})" if error else ""
    return VidsegError(f"cannot compare with {peer}: it cannot be imported{reason}; {how}, or leave --peer out")

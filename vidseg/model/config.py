"""What a model is made of: frozen dataclasses, and the presets that have names.

Of the 91 values in Meta's eight released files eleven ever differ: seven describe the trunk, four tell 2.1 from 2.0.
The rest are defaults here; `nano`, `pico` and the test preset change the widths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from vidseg.errors import ConfigError

PATCH_STRIDE = 4  # pixels a trunk token of the first stage stands for
COARSEST = 32  # the trunk's last stage; input sides are multiples of it


@dataclass(frozen=True, slots=True)
class HieraConfig:
    """The trunk: widths double and the grid halves at every stage.

    Attributes:
        embed_dim: channels of the first stage.
        num_heads: attention heads of the first stage; doubles with the width.
        stages: blocks a stage.
        window_spec: window side a stage, in tokens.
        global_att_blocks: indices of the blocks that attend to the whole picture.
        window_pos_embed_bkg_spatial_size: grid of the learned background position embedding.
        local_conv: side of a depthwise convolution before every block (0: none, as in SAM 2). Gives a trunk that
            is trained from scratch on little data the locality that pretraining would give.
    """

    embed_dim: int = 96
    num_heads: int = 1
    stages: tuple[int, ...] = (1, 2, 7, 2)
    window_spec: tuple[int, ...] = (8, 4, 14, 7)
    global_att_blocks: tuple[int, ...] = (5, 7, 9)
    window_pos_embed_bkg_spatial_size: tuple[int, int] = (7, 7)
    local_conv: int = 0

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the stages, coarse to fine, as the neck lists them."""
        return tuple(self.embed_dim * 2**i for i in reversed(range(len(self.stages))))


@dataclass(frozen=True, slots=True)
class Sam2Config:
    """All that the network's code must know; `name` is for people.

    Attributes:
        image_size: pixels; the side of the square input, or the long side where `square` is off.
        square: SAM 2 squashes every picture to a square; off, the input keeps the video's aspect ratio.
        stride: pixels that a token of the feature map stands for which is conditioned on memory and remembered: 16 as
            in SAM 2, or 8. Masks are decoded at a quarter of it. A small input leaves few tokens at 16: 24 x 14 of
            384 x 224 pixels, where SAM 2 has 64 x 64.
        d_model: channels of the feature maps after the neck.
        memory_dim: channels of a memory; divides `d_model`.
        num_maskmem: memory slots in time: one for prompted frames and `num_maskmem - 1` for the last frames.
        memory_layers, memory_feedforward: depth and hidden width of memory attention.
        memory_narrowing: queries, keys and values of memory attention have `d_model` divided by this channels.
        decoder_depth, decoder_heads, decoder_feedforward: the two-way transformer of the mask decoder.
        track_candidates: on frames without a prompt choose the best of three candidates by predicted IoU (SAM 2),
            rather than the single mask. From random weights one mask learns faster, and no judge is needed.
        draw_clicks: clicks and boxes are also drawn into the mask prompt (off in SAM 2): a small network trained from
            nothing sees a drawn disc at once, and learns late to find a coded place.
        second_look: where an object is prompted, answer once more in a window so many times as wide and high
            as it, encoded from close by, and follow it through such a window (0: no, as in SAM 2; see
            `vidseg.second_look` and `vidseg.gaze`).
        candidate_margin: of the candidates whose predicted IoU is at most so much below the best one's, the one with
            the largest mask is chosen (0: the best one, as in SAM 2): who clicks once means a thing more often than a
            part of it.
        pointer_time: pointers carry a signed code of their age (2.1; off in 2.0).
        no_object_memory: memories of frames without the object carry a learned mark (2.1; off in 2.0).
        stability_delta, stability_threshold: single-mask output falls back to the best of the three candidates
            where its area changes too much between logits of +-delta (SAM 2's inference default).
    """

    name: str = "custom"
    trunk: HieraConfig = field(default_factory=HieraConfig)
    image_size: int = 1024
    square: bool = True
    stride: int = 16
    d_model: int = 256
    memory_dim: int = 64
    num_maskmem: int = 7
    memory_layers: int = 4
    memory_feedforward: int = 2048
    memory_narrowing: int = 1
    decoder_depth: int = 2
    decoder_heads: int = 8
    decoder_feedforward: int = 2048
    track_candidates: bool = True
    draw_clicks: bool = False
    second_look: float = 0.0
    candidate_margin: float = 0.0
    pointer_time: bool = True
    no_object_memory: bool = True
    stability_delta: float = 0.05
    stability_threshold: float = 0.98

    def __post_init__(self) -> None:
        if self.d_model % self.memory_dim:
            raise ConfigError(f"memory_dim {self.memory_dim} must divide d_model {self.d_model}")
        if self.stride not in (8, 16):
            raise ConfigError(f"stride {self.stride} is not possible; use 16 (as SAM 2) or 8")
        if self.image_size < COARSEST or self.image_size % COARSEST:
            raise ConfigError(f"image_size {self.image_size} must be a positive multiple of {COARSEST}, such as 512")

    def input_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the network's input (h, w) in pixels for a picture of `size` (H, W)."""
        if self.square:
            return self.image_size, self.image_size
        h, w = size
        short = round(min(h, w) / max(h, w) * self.image_size / COARSEST) * COARSEST
        short = max(COARSEST, short)
        return (short, self.image_size) if h <= w else (self.image_size, short)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that `from_dict` reads back, fit for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Sam2Config:
        """Build a config from plain values; raises ConfigError for a key it does not know."""
        trunk = _build(HieraConfig, values.get("trunk", {}))
        return _build(cls, {**values, "trunk": trunk})


def _build(cls: type, values: Mapping[str, Any]) -> Any:
    unknown = set(values) - {f.name for f in fields(cls)}
    if unknown:
        raise ConfigError(f"unknown {cls.__name__} keys: {', '.join(sorted(unknown))}")
    return cls(**{key: tuple(v) if isinstance(v, list) else v for key, v in values.items()})


_TINY = HieraConfig()
_SMALL = HieraConfig(stages=(1, 2, 11, 2), global_att_blocks=(7, 10, 13))
_BASE_PLUS = HieraConfig(
    embed_dim=112,
    num_heads=2,
    stages=(2, 3, 16, 3),
    global_att_blocks=(12, 16, 20),
    window_pos_embed_bkg_spatial_size=(14, 14),
)
_LARGE = HieraConfig(
    embed_dim=144, num_heads=2, stages=(2, 6, 36, 4), global_att_blocks=(23, 33, 43), window_spec=(8, 4, 16, 8)
)
_SIZES = {"tiny": _TINY, "small": _SMALL, "base-plus": _BASE_PLUS, "large": _LARGE}


def _presets() -> dict[str, Sam2Config]:
    presets = {}
    for size, trunk in _SIZES.items():
        config = Sam2Config(name=f"sam2.1-{size}", trunk=trunk)
        presets[config.name] = config
        old = replace(config, name=f"sam2-{size}", pointer_time=False, no_object_memory=False)
        presets[old.name] = old
    narrow = HieraConfig(embed_dim=16, stages=(1, 1, 2, 1), window_spec=(8, 4, 4, 4), global_att_blocks=(3,))
    presets["tiny-test"] = Sam2Config(
        name="tiny-test",
        trunk=narrow,
        image_size=128,
        square=False,
        d_model=32,
        memory_dim=16,
        memory_layers=1,
        memory_feedforward=64,
        decoder_heads=4,
        decoder_feedforward=64,
    )
    presets["nano"] = Sam2Config(
        name="nano",
        trunk=HieraConfig(
            embed_dim=48, stages=(1, 2, 7, 1), window_spec=(8, 6, 6, 3), global_att_blocks=(5, 7, 9), local_conv=3
        ),
        image_size=384,
        square=False,
        stride=8,
        d_model=128,
        memory_dim=64,
        num_maskmem=2,
        memory_layers=1,
        memory_feedforward=512,
        memory_narrowing=2,
        decoder_heads=4,
        decoder_feedforward=512,
        track_candidates=False,
        draw_clicks=True,
        second_look=1.6,
        candidate_margin=0.03,
        stability_threshold=0.0,
    )
    nano = presets["nano"]
    presets["pico"] = replace(nano, name="pico", trunk=replace(nano.trunk, embed_dim=32))
    return presets


PRESETS: dict[str, Sam2Config] = _presets()

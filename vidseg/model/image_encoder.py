"""From an image to a pyramid of feature maps of one width: trunk, then neck."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from vidseg.errors import ConfigError
from vidseg.model.positions import sine_grid


class FpnNeck(nn.Module):
    """A feature pyramid without output convolutions: 1x1 laterals and, on some levels, what comes from above.

    Args:
        d_model: channels of every output.
        backbone_channel_list: channels of the inputs, coarse to fine.
        fpn_interp_model: "nearest" or "bilinear" upsampling on the way down.
        fuse_type: "sum" or "avg" of lateral and top-down map.
        fpn_top_down_levels: levels (0 = finest) that receive the top-down map; all of them if not given.

    Source: FPN (arXiv 1612.03144), as changed in SAM 2 (arXiv 2408.00714), section 4, "Image encoder".
    """

    def __init__(
        self,
        d_model: int,
        backbone_channel_list: Sequence[int],
        *,
        fpn_interp_model: Literal["nearest", "bilinear"] = "bilinear",
        fuse_type: Literal["sum", "avg"] = "sum",
        fpn_top_down_levels: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if fuse_type not in ("sum", "avg"):
            raise ConfigError(f"fuse_type {fuse_type!r} is unknown; use 'sum' or 'avg'")
        if fpn_interp_model not in ("nearest", "bilinear"):
            raise ConfigError(f"fpn_interp_model {fpn_interp_model!r} is unknown; use 'nearest' or 'bilinear'")
        self.d_model = d_model
        self.convs = nn.ModuleList()
        for channels in backbone_channel_list:
            lateral = nn.Sequential()
            lateral.add_module("conv", nn.Conv2d(channels, d_model, kernel_size=1))
            self.convs.append(lateral)
        levels = range(len(self.convs)) if fpn_top_down_levels is None else fpn_top_down_levels
        self.fpn_top_down_levels = tuple(levels)
        self.fpn_interp_model = fpn_interp_model
        self.fuse_type = fuse_type

    def forward(self, maps: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Map the trunk's maps, fine to coarse, to as many (B, d_model, h, w) maps and their sine codes."""
        outputs: list[Tensor] = []
        above: Tensor | None = None
        for conv, level in zip(self.convs, reversed(range(len(maps))), strict=True):
            x = conv(maps[level])
            if above is not None and level in self.fpn_top_down_levels:
                x = x + F.interpolate(above.float(), scale_factor=2.0, mode=self.fpn_interp_model).to(x.dtype)
                if self.fuse_type == "avg":
                    x = x / 2
            above = x
            outputs.insert(0, x)
        return outputs, [position_of(x) for x in outputs]


def position_of(x: Tensor) -> Tensor:
    """Return the sine code for a (B, C, h, w) map, expanded to its shape."""
    code = sine_grid(x.shape[-2], x.shape[-1], x.shape[1], device=x.device, dtype=x.dtype)
    return code[None].expand(x.shape[0], -1, -1, -1)


class ImageEncoder(nn.Module):
    """Trunk and neck; `scalp` drops that many of the coarsest maps."""

    def __init__(self, trunk: nn.Module, neck: FpnNeck, scalp: int = 0) -> None:
        super().__init__()
        self.trunk = trunk
        self.neck = neck
        self.scalp = scalp

    def forward(self, images: Tensor) -> dict[str, Tensor | list[Tensor]]:
        """Map (B, 3, H, W) to `backbone_fpn` (maps, fine to coarse), `vision_pos_enc`, `vision_features` (coarsest)."""
        maps, positions = self.neck(self.trunk(images))
        keep = len(maps) - self.scalp
        return {"vision_features": maps[keep - 1], "vision_pos_enc": positions[:keep], "backbone_fpn": maps[:keep]}

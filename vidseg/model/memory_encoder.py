"""The memory encoder: a mask and the frame's own features, fused into one narrow feature map to remember.

Source: SAM 2 (arXiv 2408.00714), section 4, "Memory encoder"; blocks from ConvNeXt (arXiv 2201.03545).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidseg.model.image_encoder import position_of
from vidseg.model.layers import LayerNorm2d
from vidseg.model.linear import Linear


class MaskDownSampler(nn.Module):
    """3x3 convolutions of stride 2, each with four times the channels, until `stride`; then 1x1 to `embed_dim`."""

    def __init__(self, embed_dim: int, stride: int = 16) -> None:
        super().__init__()
        self.encoder = nn.Sequential()
        channels = 1
        for _ in range(stride.bit_length() - 1):
            self.encoder.append(nn.Conv2d(channels, channels * 4, kernel_size=3, stride=2, padding=1))
            channels *= 4
            self.encoder.append(LayerNorm2d(channels))
            self.encoder.append(nn.GELU())
        self.encoder.append(nn.Conv2d(channels, embed_dim, kernel_size=1))

    def forward(self, masks: Tensor) -> Tensor:
        """Map (N, 1, stride * h, stride * w) to (N, embed_dim, h, w)."""
        return self.encoder(masks)


class CXBlock(nn.Module):
    """ConvNeXt block: 7x7 depthwise convolution, then a pointwise MLP of four times the width."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, kernel_size=7, padding=3, groups=dim)
        self.norm = LayerNorm2d(dim)
        self.pwconv1 = Linear(dim, 4 * dim)
        self.pwconv2 = Linear(4 * dim, dim)
        self.gamma = nn.Parameter(torch.full((dim,), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) to the same shape."""
        y = self.norm(self.dwconv(x)).permute(0, 2, 3, 1)
        y = self.gamma * self.pwconv2(self.pwconv1(y, F.gelu))
        return x + y.permute(0, 3, 1, 2)


class Fuser(nn.Module):
    """A stack of ConvNeXt blocks."""

    def __init__(self, dim: int, *, num_layers: int = 2) -> None:
        super().__init__()
        self.layers = nn.ModuleList(CXBlock(dim) for _ in range(num_layers))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) to the same shape."""
        for layer in self.layers:
            x = layer(x)
        return x


class MemoryEncoder(nn.Module):
    """Encode a frame and its mask.

    Args:
        out_dim: channels of the memory.
        in_dim: channels of the frame's features.
        stride: pixels of the input that one of their cells stands for, a power of two.
    """

    def __init__(self, out_dim: int, in_dim: int = 256, *, stride: int = 16) -> None:
        super().__init__()
        self.stride = stride
        self.mask_downsampler = MaskDownSampler(in_dim, stride)
        self.pix_feat_proj = nn.Conv2d(in_dim, in_dim, kernel_size=1)
        self.fuser = Fuser(in_dim)
        self.out_proj = nn.Conv2d(in_dim, out_dim, kernel_size=1) if out_dim != in_dim else nn.Identity()

    def forward(
        self, pix_feat: Tensor, masks: Tensor, *, skip_mask_sigmoid: bool = False
    ) -> dict[str, Tensor | list[Tensor]]:
        """Return `vision_features` (N, out_dim, h, w) and `vision_pos_enc`, a list with its sine code.

        Args:
            pix_feat: (N or 1, in_dim, h, w).
            masks: (N, 1, H, W) logits, or values as they are where `skip_mask_sigmoid`; brought to the size of the
                input, (stride * h, stride * w), where they have another.
        """
        if not skip_mask_sigmoid:
            masks = masks.sigmoid()
        size = (pix_feat.shape[-2] * self.stride, pix_feat.shape[-1] * self.stride)
        if masks.shape[-2:] != size:
            masks = F.interpolate(masks.float(), size=size, mode="bilinear", align_corners=False)
        x = self.pix_feat_proj(pix_feat) + self.mask_downsampler(masks.to(pix_feat.dtype))
        x = self.out_proj(self.fuser(x))
        return {"vision_features": x, "vision_pos_enc": [position_of(x)]}

"""Clicks, boxes and masks to embeddings for the mask decoder.

Labels of points: 1 on the object, 0 off it, 2 and 3 the corners of a box, -1 padding.
Source: Segment Anything (arXiv 2304.02643), section 3 and appendix A, "Prompt encoder".
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidseg.model.layers import LayerNorm2d


class PositionEmbeddingRandom(nn.Module):
    """Random Fourier code of places in [0, 1] x [0, 1]; the frequencies are drawn once and stored.

    Source: Fourier features (arXiv 2006.10739).
    """

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, num_pos_feats: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", nn.init.normal_(torch.empty(2, num_pos_feats)))

    def forward(self, places: Tensor) -> Tensor:
        """Map (..., 2) places (x, y) to (..., 2 * num_pos_feats); computed in float32."""
        matrix = self.positional_encoding_gaussian_matrix
        angle = 2 * math.pi * ((2 * places.float() - 1) @ matrix.float())
        return torch.cat((angle.sin(), angle.cos()), dim=-1).to(matrix.dtype)

    def grid(self, h: int, w: int) -> Tensor:
        """Return the (2 * num_pos_feats, h, w) code of the centres of a grid's cells."""
        device = self.positional_encoding_gaussian_matrix.device
        y = (torch.arange(h, device=device) + 0.5) / h
        x = (torch.arange(w, device=device) + 0.5) / w
        places = torch.stack((x[None].expand(h, w), y[:, None].expand(h, w)), dim=-1)
        return self(places).permute(2, 0, 1)


class PromptEncoder(nn.Module):
    """Encode prompts.

    Args:
        embed_dim: channels of the embeddings.
        image_embedding_size: (h, w) of the feature map the decoder works on.
        input_image_size: (H, W) in pixels of the network's input, the scale of the coordinates.
        mask_in_chans: hidden channels of the mask path.

    Both sizes are defaults: `forward` and `get_dense_pe` take others for an input of another size.
    """

    def __init__(
        self,
        embed_dim: int,
        image_embedding_size: tuple[int, int],
        input_image_size: tuple[int, int],
        mask_in_chans: int,
    ) -> None:
        super().__init__()
        self.embed_dim = embed_dim
        self.image_embedding_size = image_embedding_size
        self.input_image_size = input_image_size
        self.pe_layer = PositionEmbeddingRandom(embed_dim // 2)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, embed_dim) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, embed_dim)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, mask_in_chans // 4, kernel_size=2, stride=2),
            LayerNorm2d(mask_in_chans // 4),
            nn.GELU(),
            nn.Conv2d(mask_in_chans // 4, mask_in_chans, kernel_size=2, stride=2),
            LayerNorm2d(mask_in_chans),
            nn.GELU(),
            nn.Conv2d(mask_in_chans, embed_dim, kernel_size=1),
        )
        self.no_mask_embed = nn.Embedding(1, embed_dim)

    def get_dense_pe(self, size: tuple[int, int] | None = None) -> Tensor:
        """Return the (1, embed_dim, h, w) position code of the feature map."""
        return self.pe_layer.grid(*(size or self.image_embedding_size))[None]

    def forward(
        self,
        points: tuple[Tensor, Tensor] | None = None,
        boxes: Tensor | None = None,
        masks: Tensor | None = None,
        *,
        grid: tuple[int, int] | None = None,
        image_size: tuple[int, int] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Embed prompts for N objects.

        Args:
            points: (N, P, 2) pixels (x, y) of the network's input and (N, P) labels.
            boxes: (N, 4) xyxy pixels, or (N, B, 2) corners.
            masks: (N, 1, a, b) logits; brought to four times the grid where they have another size.
            grid, image_size: override the sizes given to the constructor.

        Returns:
            sparse (N, K, embed_dim): points, then a padding token where no box closes the list, then box corners;
            dense (N, embed_dim, h, w).
        """
        grid = grid or self.image_embedding_size
        scale = image_size or self.input_image_size
        sparse = [t for t in (self._points(points, boxes, scale), self._boxes(boxes, scale)) if t is not None]
        n = self._count(points, boxes, masks)
        weight = self.no_mask_embed.weight
        tokens = torch.cat(sparse, dim=1) if sparse else weight.new_zeros(n, 0, self.embed_dim)
        if masks is None:
            dense = weight[:, :, None, None].expand(n, -1, *grid)
        else:
            dense = self._masks(masks, grid)
        return tokens, dense

    def _points(
        self, points: tuple[Tensor, Tensor] | None, boxes: Tensor | None, scale: tuple[int, int]
    ) -> Tensor | None:
        if points is None:
            return None
        places, labels = points
        if boxes is None:
            places = F.pad(places, (0, 0, 0, 1))
            labels = F.pad(labels, (0, 1), value=-1)
        code = self._code(places, scale)
        table = torch.cat((self.not_a_point_embed.weight, *self._weights()))
        return torch.where(labels[..., None] < 0, 0, code) + table[(labels + 1).long()]

    def _boxes(self, boxes: Tensor | None, scale: tuple[int, int]) -> Tensor | None:
        if boxes is None:
            return None
        code = self._code(boxes.reshape(-1, 2, 2), scale)
        return code + torch.cat(self._weights()[2:])

    def _weights(self) -> list[Tensor]:
        return [cast(nn.Embedding, e).weight for e in self.point_embeddings]

    def _code(self, places: Tensor, scale: tuple[int, int]) -> Tensor:
        x, y = (places.float() + 0.5).unbind(-1)  # a pixel's centre
        return self.pe_layer(torch.stack((x / scale[1], y / scale[0]), dim=-1))

    def _masks(self, masks: Tensor, grid: tuple[int, int]) -> Tensor:
        size = (4 * grid[0], 4 * grid[1])
        if masks.shape[-2:] != size:
            masks = F.interpolate(masks.float(), size=size, mode="bilinear", antialias=True)
        return self.mask_downscaling(masks.to(self.no_mask_embed.weight.dtype))

    @staticmethod
    def _count(points: tuple[Tensor, Tensor] | None, boxes: Tensor | None, masks: Tensor | None) -> int:
        if points is not None:
            return points[0].shape[0]
        if boxes is not None:
            return boxes.reshape(-1, 2, 2).shape[0]
        return 1 if masks is None else masks.shape[0]

"""The mask decoder: a two-way transformer between prompt tokens and the feature map, then upscaling with skip features.

Source: Segment Anything (arXiv 2304.02643), appendix A; SAM 2 (arXiv 2408.00714), section 4 and appendix D.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidseg.model.attention import Attention
from vidseg.model.layers import MLP, LayerNorm2d, Magnify


class TwoWayAttentionBlock(nn.Module):
    """Tokens attend to themselves and to the image, then the image attends to the tokens."""

    def __init__(self, embedding_dim: int, num_heads: int, *, mlp_dim: int, skip_first_layer_pe: bool) -> None:
        super().__init__()
        self.self_attn = Attention(embedding_dim, num_heads)
        self.norm1 = nn.LayerNorm(embedding_dim)
        self.cross_attn_token_to_image = Attention(embedding_dim, num_heads, downsample_rate=2)
        self.norm2 = nn.LayerNorm(embedding_dim)
        self.mlp = MLP(embedding_dim, mlp_dim, embedding_dim, 2)
        self.norm3 = nn.LayerNorm(embedding_dim)
        self.norm4 = nn.LayerNorm(embedding_dim)
        self.cross_attn_image_to_token = Attention(embedding_dim, num_heads, downsample_rate=2)
        self.skip_first_layer_pe = skip_first_layer_pe

    def forward(self, queries: Tensor, keys: Tensor, *, query_pe: Tensor, key_pe: Tensor) -> tuple[Tensor, Tensor]:
        """Update tokens (N, K, C) and image (N, L, C)."""
        if self.skip_first_layer_pe:
            queries = self.self_attn(queries, queries, queries)
        else:
            q = queries + query_pe
            queries = queries + self.self_attn(q, q, queries)
        queries = self.norm1(queries)
        k = keys + key_pe
        queries = self.norm2(queries + self.cross_attn_token_to_image(queries + query_pe, k, keys))
        queries = self.norm3(queries + self.mlp(queries))
        keys = self.norm4(keys + self.cross_attn_image_to_token(k, queries + query_pe, queries))
        return queries, keys


class TwoWayTransformer(nn.Module):
    """`depth` two-way blocks and a last attention of the tokens to the image."""

    def __init__(self, depth: int, embedding_dim: int, *, num_heads: int, mlp_dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TwoWayAttentionBlock(embedding_dim, num_heads, mlp_dim=mlp_dim, skip_first_layer_pe=i == 0)
            for i in range(depth)
        )
        self.final_attn_token_to_image = Attention(embedding_dim, num_heads, downsample_rate=2)
        self.norm_final_attn = nn.LayerNorm(embedding_dim)

    def forward(self, image: Tensor, image_pe: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Map image (N, C, h, w), its position code (1, C, h, w) and tokens (N, K, C) to tokens and (N, h * w, C)."""
        keys, key_pe = image.flatten(2).transpose(1, 2), image_pe.flatten(2).transpose(1, 2)
        queries = tokens
        for layer in self.layers:
            queries, keys = layer(queries, keys, query_pe=tokens, key_pe=key_pe)
        attended = self.final_attn_token_to_image(queries + tokens, keys + key_pe, keys)
        return self.norm_final_attn(queries + attended), keys


class MaskPrediction(NamedTuple):
    """What the decoder says: logits (N, M, 4h, 4w), predicted IoU (N, M), tokens (N, M', C), score logit (N, 1)."""

    logits: Tensor
    iou: Tensor
    tokens: Tensor
    score: Tensor


class MaskDecoder(nn.Module):
    """Prompt tokens and a feature map to masks, their predicted IoU and an object score.

    Output 0 is the single mask; outputs 1-3 are the candidates for an ambiguous prompt. Where a single mask is asked
    for outside training and its area changes too much between logits of +-`stability_delta`, the candidate with the
    highest predicted IoU takes its place.
    `fine` decoders work on a feature map of stride 8 and give masks of stride 2 (SAM 2's: 16 and 4).
    """

    def __init__(
        self,
        transformer: TwoWayTransformer,
        transformer_dim: int,
        *,
        num_multimask_outputs: int = 3,
        iou_head_hidden_dim: int = 256,
        stability_delta: float = 0.05,
        stability_threshold: float = 0.98,
        fine: bool = False,
    ) -> None:
        super().__init__()
        c = transformer_dim
        self.transformer = transformer
        self.num_mask_tokens = num_multimask_outputs + 1
        self.iou_token = nn.Embedding(1, c)
        self.mask_tokens = nn.Embedding(self.num_mask_tokens, c)
        self.obj_score_token = nn.Embedding(1, c)
        self.output_upscaling = nn.Sequential(
            Magnify(c, c // 4),
            LayerNorm2d(c // 4),
            nn.GELU(),
            Magnify(c // 4, c // 8),
            nn.GELU(),
        )
        self.conv_s0: nn.Module = nn.Conv2d(c, c // 8, kernel_size=1)
        if fine:
            self.conv_s0 = nn.Sequential(
                nn.Conv2d(3, c // 8, kernel_size=3, stride=2, padding=1),
                nn.GELU(),
                nn.Conv2d(c // 8, c // 8, kernel_size=3, padding=1),
            )
        self.conv_s1 = nn.Conv2d(c, c // 4, kernel_size=1)
        self.output_hypernetworks_mlps = nn.ModuleList(MLP(c, c, c // 8, 3) for _ in range(self.num_mask_tokens))
        self.iou_prediction_head = MLP(c, iou_head_hidden_dim, self.num_mask_tokens, 3, sigmoid_output=True)
        self.pred_obj_score_head = MLP(c, c, 1, 3)
        self.stability_delta = stability_delta
        self.stability_threshold = stability_threshold

    def skip_features(self, finest: Tensor, finer: Tensor) -> tuple[Tensor, Tensor]:
        """Narrow the maps (B, C, 4h, 4w) and (B, C, 2h, 2w) to C / 8 and C / 4 channels, once for all objects.

        A `fine` decoder, whose masks are finer than the finest map, takes the picture (B, 3, 8h, 8w) as `finest`.
        """
        return self.conv_s0(finest), self.conv_s1(finer)

    def forward(
        self,
        image: Tensor,
        image_pe: Tensor,
        *,
        sparse: Tensor,
        dense: Tensor,
        high_res: tuple[Tensor, Tensor],
        multimask: bool,
    ) -> MaskPrediction:
        """Predict masks for N objects.

        Args:
            image: (N, C, h, w) features; image_pe: their (1, C, h, w) position code.
            sparse, dense: the prompt encoder's (N, K, C) and (N, C, h, w).
            high_res: `skip_features`, (N or 1, C / 8, 4h, 4w) and (N or 1, C / 4, 2h, 2w).
            multimask: three candidates and their tokens instead of one mask and its token.
        """
        falls_back = not self.training and self.stability_threshold > 0
        wanted = self.num_mask_tokens if multimask or self.training or falls_back else 1
        logits, iou, tokens, score = self._predict(image, image_pe, sparse, dense, high_res, wanted)
        if multimask:
            return MaskPrediction(logits[:, 1:], iou[:, 1:], tokens[:, 1:], score)
        if falls_back:
            logits, iou = self._stable(logits, iou)
        return MaskPrediction(logits[:, :1], iou[:, :1], tokens[:, :1], score)

    def _predict(
        self,
        image: Tensor,
        image_pe: Tensor,
        sparse: Tensor,
        dense: Tensor,
        high_res: tuple[Tensor, Tensor],
        wanted: int,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        own = torch.cat((self.obj_score_token.weight, self.iou_token.weight, self.mask_tokens.weight))
        tokens = torch.cat((own.expand(sparse.shape[0], -1, -1), sparse), dim=1)
        tokens, pixels = self.transformer(image + dense, image_pe, tokens)
        up1, norm, act1, up2, act2 = self.output_upscaling
        x = pixels.transpose(1, 2).unflatten(2, image.shape[-2:])
        x = act1(norm(up1(x) + high_res[1]))
        x = act2(up2(x) + high_res[0])
        mask_tokens = tokens[:, 2 : 2 + wanted]
        kernels = torch.stack(
            [mlp(t) for mlp, t in zip(self.output_hypernetworks_mlps, mask_tokens.unbind(1), strict=False)], dim=1
        )
        logits = (kernels @ x.flatten(2)).unflatten(2, x.shape[-2:])
        iou = self.iou_prediction_head(tokens[:, 1])[:, :wanted]
        return logits, iou, mask_tokens, self.pred_obj_score_head(tokens[:, 0])

    def _stable(self, logits: Tensor, iou: Tensor) -> tuple[Tensor, Tensor]:
        rows = torch.arange(logits.shape[0], device=logits.device)
        best = iou[:, 1:].argmax(dim=1) + 1
        stable = stability(logits[:, 0], delta=self.stability_delta) >= self.stability_threshold
        chosen = torch.where(stable, 0, best)
        return logits[rows, chosen][:, None], iou[rows, chosen][:, None]


def stability(logits: Tensor, *, delta: float) -> Tensor:
    """Return how little each mask's area changes between logits of +-`delta`, (...,) in [0, 1], for (..., H, W)."""
    inner = (logits > delta).flatten(-2).sum(-1)
    outer = (logits > -delta).flatten(-2).sum(-1)
    return torch.where(outer > 0, inner / outer, 1.0)


def resize_logits(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring (N, M, h, w) logits to `size` bilinearly, in float32."""
    return F.interpolate(logits.float(), size=size, mode="bilinear", align_corners=False)

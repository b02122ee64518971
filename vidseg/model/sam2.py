"""SAM 2 as four verbs: encode an image, attend to memory, decode masks, encode a memory.

`Sam2` holds weights and knows nothing of time: which memories a frame sees is decided in `vidseg.memory`, what happens
to an object over frames in `vidseg.tracker`. Parameter names are the official ones.
Source: SAM 2 (arXiv 2408.00714), section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidseg.model.config import PATCH_STRIDE, Sam2Config
from vidseg.model.hiera import Hiera
from vidseg.model.image_encoder import FpnNeck, ImageEncoder, position_of
from vidseg.model.layers import MLP
from vidseg.model.linear import Linear, passing_shapes
from vidseg.model.mask_decoder import MaskDecoder, TwoWayTransformer, resize_logits
from vidseg.model.memory_attention import MemoryAttention
from vidseg.model.memory_encoder import MemoryEncoder
from vidseg.model.positions import sine_time
from vidseg.model.prompt_encoder import PromptEncoder
from vidseg.model.roi import Roi, cropped, filled

_DISC, _DRAWN, _BOXED = 8.0, 20.0, 5.0  # spread of a drawn click in input pixels; logits at its centre; in a box
ABSENT = -1024.0  # logit of every pixel where the object is not in the frame
_FED_BACK = 32.0  # logits given back to the decoder are clamped to this, as in SAM 2
_MEMORY_SCALE, _MEMORY_BIAS = 20.0, -10.0  # mask probabilities are spread to -10..10 before they are remembered


class ImageFeatures(NamedTuple):
    """B encoded frames: features (B, C, h, w), their sine code, and skip maps (B, C/8, 4h, 4w), (B, C/4, 2h, 2w)."""

    vision: Tensor
    position: Tensor
    high_res: tuple[Tensor, Tensor]

    def take(self, rows: Tensor | slice) -> ImageFeatures:
        """Return the features of some frames, or of one frame for each of several objects."""
        return ImageFeatures(self.vision[rows], self.position[rows], (self.high_res[0][rows], self.high_res[1][rows]))


class MemoryTokens(NamedTuple):
    """What N objects remember: tokens and position codes (N, K, Cm); the last `pointers` tokens have no place."""

    tokens: Tensor
    position: Tensor
    pointers: int


class Decoded(NamedTuple):
    """Masks of N objects on one frame.

    logits (N, 4h, 4w) float32: the chosen mask, ABSENT everywhere where the score is not positive.
    candidates (N, M, 4h, 4w): as the decoder made them; iou (N, M): their predicted IoU; best (N,): the chosen one.
    pointer (N, C); score (N,): logit of "the object is in this frame".
    """

    logits: Tensor
    candidates: Tensor
    iou: Tensor
    best: Tensor
    pointer: Tensor
    score: Tensor


class Sam2(nn.Module):
    """The whole network for a `Sam2Config`; weights are random until loaded."""

    def __init__(self, config: Sam2Config) -> None:
        super().__init__()
        self.config = config
        c, m = config.d_model, config.memory_dim
        levels = len(config.trunk.channels)
        level = (config.stride // PATCH_STRIDE).bit_length() - 1  # of the map that is conditioned; 0 is the finest
        neck = FpnNeck(c, config.trunk.channels, fpn_interp_model="nearest", fpn_top_down_levels=range(level, levels))
        self.image_encoder = ImageEncoder(Hiera(**asdict(config.trunk)), neck, scalp=levels - 1 - level)
        self.memory_attention = MemoryAttention(
            c,
            m,
            num_layers=config.memory_layers,
            dim_feedforward=config.memory_feedforward,
            narrowing=config.memory_narrowing,
        )
        self.memory_encoder = MemoryEncoder(m, c, stride=config.stride)
        side = config.image_size
        cells = side // config.stride
        self.sam_prompt_encoder = PromptEncoder(c, (cells, cells), (side, side), 16)
        self.sam_mask_decoder = MaskDecoder(
            TwoWayTransformer(
                config.decoder_depth, c, num_heads=config.decoder_heads, mlp_dim=config.decoder_feedforward
            ),
            c,
            stability_delta=config.stability_delta,
            stability_threshold=config.stability_threshold,
            fine=config.stride == 8,
        )
        self.mask_downsample = nn.Conv2d(1, 1, kernel_size=config.stride // 4, stride=config.stride // 4)
        self.obj_ptr_proj = MLP(c, c, c, 3)
        self.maskmem_tpos_enc = _small(config.num_maskmem, 1, 1, m)
        self.no_mem_embed = _small(1, 1, c)
        self.no_mem_pos_enc = _small(1, 1, c)  # unused; the checkpoints have it
        self.no_obj_ptr = _small(1, c)
        if config.pointer_time:
            self.obj_ptr_tpos_proj = Linear(c, m)
        if config.no_object_memory:
            self.no_obj_embed_spatial = _small(1, m)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.no_mem_embed.device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the weights."""
        return self.no_mem_embed.dtype

    def encode_image(self, images: Tensor) -> ImageFeatures:
        """Encode normalised images (B, 3, H, W), H and W multiples of 32."""
        images = images.to(self.dtype, memory_format=torch.channels_last)
        *finer, coarse = self.image_encoder(images)["backbone_fpn"]
        finest = finer[0] if len(finer) > 1 else images
        return ImageFeatures(coarse, position_of(coarse), self.sam_mask_decoder.skip_features(finest, finer[-1]))

    def begin(self, vision: Tensor, position: Tensor) -> Tensor:
        """Do the part of `attend` that is the same whatever is remembered: for callers who attend several times."""
        return self.memory_attention.begin(vision, position)

    def attend(
        self,
        vision: Tensor,
        position: Tensor,
        memory: MemoryTokens | None,
        *,
        begun: Tensor | None = None,
        rois: Sequence[Roi] = (),
        near: Tensor | None = None,
    ) -> Tensor:
        """Condition features (N or 1, C, h, w) on what N objects remember; without memory a learned mark is added.

        `begun` is what `begin` gave for these features, if it was asked before; `rois`, one for each object and of one
        size, say where it is looked for, to save time (see `vidseg.model.roi`); `near` (N, h, w) says so in training.
        """
        if memory is None:
            return vision + self.no_mem_embed.reshape(1, -1, 1, 1)
        return self.memory_attention(
            self.begin(vision, position) if begun is None else begun,
            grid=(vision.shape[-2], vision.shape[-1]),
            memory=memory.tokens,
            memory_position=memory.position,
            pointers=memory.pointers,
            rois=rois,
            near=near,
        )

    def decode(
        self,
        conditioned: Tensor,
        high_res: tuple[Tensor, Tensor],
        *,
        points: Tensor | None = None,
        labels: Tensor | None = None,
        mask: Tensor | None = None,
        multimask: bool,
    ) -> Decoded:
        """Decode N objects' masks from conditioned features (N, C, h, w).

        Args:
            conditioned: what `attend` returned; high_res: skip maps of the frame, N or 1 rows.
            points, labels: (N, P, 2) pixels of the network's input and (N, P) labels (see `PromptEncoder`);
                a frame without a prompt has none.
            mask: (N, 1, 4h, 4w) logits to refine.
            multimask: choose the best of three candidates by predicted IoU, rather than the single mask.
        """
        n, grid = conditioned.shape[0], (conditioned.shape[-2], conditioned.shape[-1])
        if points is None or labels is None:
            points = torch.zeros(n, 1, 2, device=conditioned.device)
            labels = torch.full((n, 1), -1, device=conditioned.device)
        elif self.config.draw_clicks:
            mask = drawn(points, labels, grid, mask, stride=self.config.stride)
        size = (grid[0] * self.config.stride, grid[1] * self.config.stride)
        sparse, dense = self.sam_prompt_encoder((points, labels), None, mask, grid=grid, image_size=size)
        predicted = self.sam_mask_decoder(
            conditioned,
            self.sam_prompt_encoder.get_dense_pe(grid),
            sparse=sparse,
            dense=dense,
            high_res=high_res,
            multimask=multimask,
        )
        rows = torch.arange(n, device=conditioned.device)
        best = best_candidate(predicted.logits, predicted.iou, margin=self.config.candidate_margin)
        score = predicted.score[:, 0]
        present = score > 0
        logits = torch.where(present[:, None, None], predicted.logits[rows, best].float(), ABSENT)
        pointer = self._pointer(predicted.tokens[rows, best.clamp(max=predicted.tokens.shape[1] - 1)], present)
        return Decoded(logits, predicted.logits, predicted.iou, best, pointer, score)

    def decode_mask(self, vision: Tensor, high_res: tuple[Tensor, Tensor], mask: Tensor) -> Decoded:
        """Take masks (N, 1, H, W) of 0 and 1, at the input's size, as the answer; the decoder makes their pointers.

        The object is in the frame where its mask is not empty; the predicted IoU is 1.
        """
        mask = mask.to(torch.float32)
        small = self.mask_downsample(mask.to(vision.dtype))
        pointer = self.decode(vision, high_res, mask=small, multimask=False).pointer
        present = mask.flatten(1).any(dim=1)
        size = (vision.shape[-2] * 4, vision.shape[-1] * 4)
        logits = F.interpolate(mask * 20 - 10, size=size, mode="bilinear", align_corners=False, antialias=True)
        ones = mask.new_ones(mask.shape[0], 1)
        best = torch.zeros(mask.shape[0], dtype=torch.long, device=mask.device)
        score = torch.where(present, 10.0, -10.0)
        return Decoded(logits[:, 0], logits, ones, best, self._absent_pointer(pointer, present), score)

    def encode_memory(
        self, vision: Tensor, logits: Tensor, score: Tensor, *, binarise: bool, rois: Sequence[Roi] = ()
    ) -> Tensor:
        """Fuse features (N or 1, C, h, w) with mask logits (N, 4h, 4w) into memories (N, Cm, h, w).

        `binarise` is for frames that a person prompted: the mask is remembered as it was seen, 0 or 1. Elsewhere its
        probabilities are. A frame without the object (score not positive) is marked. `rois` are as for `attend`.
        """
        if rois:
            parts = cropped(vision, rois), cropped(logits[:, None], rois)[:, 0]
            with passing_shapes():
                return filled(self.encode_memory(*parts, score, binarise=binarise), rois)
        size = (vision.shape[-2] * self.config.stride, vision.shape[-1] * self.config.stride)
        full = resize_logits(logits[:, None], size)
        spread = ((full > 0).float() if binarise else full.sigmoid()) * _MEMORY_SCALE + _MEMORY_BIAS
        features = self.memory_encoder(vision, spread, skip_mask_sigmoid=True)["vision_features"]
        if self.config.no_object_memory:
            absent = (score <= 0).to(features.dtype)
            features = features + absent[:, None, None, None] * self.no_obj_embed_spatial[..., None, None]
        return features

    def pointer_times(self, ages: Tensor) -> Tensor:
        """Return (K, Cm) codes of K signed pointer ages, as fractions of the longest age kept; zeros in SAM 2.0."""
        if not self.config.pointer_time:
            return ages.new_zeros(ages.shape[0], self.config.memory_dim, dtype=self.dtype)
        with passing_shapes():  # there are as many as frames were seen, up to sixteen
            return self.obj_ptr_tpos_proj(sine_time(ages, self.config.d_model).to(self.dtype))

    def _pointer(self, token: Tensor, present: Tensor) -> Tensor:
        return self._absent_pointer(self.obj_ptr_proj(token), present)

    def _absent_pointer(self, pointer: Tensor, present: Tensor) -> Tensor:
        return torch.where(present[:, None], pointer, self.no_obj_ptr)


def best_candidate(logits: Tensor, iou: Tensor, *, margin: float = 0.0) -> Tensor:
    """Which (N,) of the candidates (N, M, h, w) is the answer, by predicted IoU (N, M).

    Of those at most `margin` below the best it is the one with the largest mask.
    """
    if margin <= 0 or iou.shape[1] == 1:
        return iou.argmax(dim=1)
    near = iou >= iou.amax(dim=1, keepdim=True) - margin
    areas = (logits > 0).flatten(2).sum(dim=2)
    return torch.where(near, areas, -1).argmax(dim=1)


def fed_back(logits: Tensor) -> Tensor:
    """Return an answer's logits (N, 4h, 4w) as the mask prompt (N, 1, 4h, 4w) with which it is corrected."""
    return logits[:, None].clamp(-_FED_BACK, _FED_BACK)


def _small(*shape: int) -> nn.Parameter:
    """A parameter of small random numbers."""
    return nn.Parameter(nn.init.normal_(torch.empty(shape), std=0.02))


def drawn(points: Tensor, labels: Tensor, grid: tuple[int, int], mask: Tensor | None, *, stride: int = 16) -> Tensor:
    """Draw clicks and boxes as logits (N, 1, 4h, 4w), onto `mask` where there is one.

    A click is a soft disc, positive on the object and negative off it; the inside of a box is slightly positive.
    `points` (N, P, 2) in input pixels, `labels` (N, P) as in `PromptEncoder`; a box is the first two points. A cell of
    `grid` stands for `stride` pixels.
    Source: discs as click maps, RITM (arXiv 2102.06583), section 3.2.
    """
    side = stride // 4
    x = (torch.arange(grid[1] * 4, device=points.device) + 0.5) * side
    y = (torch.arange(grid[0] * 4, device=points.device) + 0.5) * side
    px, py = points[..., 0, None, None] + 0.5, points[..., 1, None, None] + 0.5
    discs = torch.exp(-((x - px) ** 2 + (y[:, None] - py) ** 2) / (2 * _DISC**2))
    sign = (labels == 1).float() - (labels == 0).float()
    logits = _DRAWN * (discs * sign[..., None, None]).sum(dim=1)
    if points.shape[1] > 1:
        within = (x >= px[:, 0]) & (x <= px[:, 1]) & (y[:, None] >= py[:, 0]) & (y[:, None] <= py[:, 1])
        logits = logits + _BOXED * (within & (labels[:, 0] == 2)[:, None, None])
    return logits[:, None] if mask is None else mask + logits[:, None]

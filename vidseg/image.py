"""One picture: encode it once, prompt it many times. SAM 2 without time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vidseg.model import ImageFeatures, Sam2, fed_back
from vidseg.picture import full_size, prepare, prompt_tensors
from vidseg.prompt_check import check_prompts
from vidseg.types import Box, Click, Frame, Prompt


@dataclass(frozen=True, slots=True, eq=False)
class ImageResult:
    """Three candidate masks for one prompt, the most likely first.

    Attributes:
        size: the picture's (H, W).
        logits: (M, h, w) mask logits at low resolution; above 0 is the object. M is 3, or 1 for a mask prompt.
        iou: (M,) predicted IoU of each candidate, falling.
        score: logit that there is an object at all.
    """

    size: tuple[int, int]
    logits: Tensor
    iou: Tensor
    score: float

    def masks(self) -> np.ndarray:
        """Return (M, H, W) bool masks at the picture's size."""
        return (full_size(self.logits, self.size) > 0).cpu().numpy()


@dataclass(frozen=True, slots=True, eq=False)
class EncodedImage:
    """An encoded picture of `size` (H, W), ready for any number of prompts."""

    model: Sam2
    size: tuple[int, int]
    features: ImageFeatures

    @torch.inference_mode()
    def prompt(
        self, clicks: Sequence[Click] = (), *, box: Box | None = None, refine: ImageResult | None = None
    ) -> ImageResult:
        """Return candidates for the object that clicks and a box point at.

        Args:
            clicks: positive and negative points, pixels of the picture.
            box: a rectangle around the object.
            refine: an earlier result; its best mask is the start, and the clicks correct it.

        Raises:
            PromptError: neither click nor box, or one outside the picture.
        """
        prompt = Prompt(1, 0, clicks=tuple(clicks), box=box)
        check_prompts([prompt], index=0, size=self.size)
        given = prompt_tensors(self.model, prompt, self.size)
        before = None if refine is None else fed_back(refine.logits[:1])
        f = self.features
        conditioned = self.model.attend(f.vision, f.position, None)
        decoded = self.model.decode(
            conditioned, f.high_res, points=given.points, labels=given.labels, mask=before, multimask=True
        )
        order = decoded.iou[0].argsort(descending=True)
        return ImageResult(
            self.size, decoded.candidates[0, order].float(), decoded.iou[0, order].float(), float(decoded.score[0])
        )

    @torch.inference_mode()
    def prompt_many(self, clicks: Sequence[Click]) -> tuple[Tensor, Tensor]:
        """Answer many single clicks, each for an object of its own, in one batch.

        Returns:
            candidates (P, 3, h, w), low-resolution logits, and their predicted IoU (P, 3), in no order.
        """
        h, w = self.model.config.input_size(self.size)
        scale = torch.tensor((w / self.size[1], h / self.size[0]), device=self.model.device)
        points = torch.tensor([(c.x, c.y) for c in clicks], device=self.model.device) * scale
        labels = torch.tensor([int(c.on) for c in clicks], device=self.model.device)
        f = self.features
        conditioned = self.model.attend(f.vision, f.position, None).expand(len(clicks), -1, -1, -1)
        decoded = self.model.decode(
            conditioned, f.high_res, points=points[:, None], labels=labels[:, None], multimask=True
        )
        return decoded.candidates.float(), decoded.iou.float()


@torch.inference_mode()
def encode(model: Sam2, image: np.ndarray | Frame) -> EncodedImage:
    """Encode an (H, W, 3) uint8 RGB picture, or a frame, for prompting."""
    pixels = image.image if isinstance(image, Frame) else image
    size = (pixels.shape[0], pixels.shape[1])
    return EncodedImage(model, size, model.encode_image(prepare(model, pixels)))

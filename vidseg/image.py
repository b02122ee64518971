"""One picture: encode it once, prompt it many times. SAM 2 without time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from vidseg.correction import Told, tell_all
from vidseg.model import ImageFeatures, Sam2, fed_back
from vidseg.picture import full_size, prepare
from vidseg.prompt_check import check_prompts
from vidseg.second_look import View, decode
from vidseg.types import Box, Click, Frame, Prompt
from vidseg.window import whole


@dataclass(frozen=True, slots=True, eq=False)
class ImageResult:
    """Three candidate masks for one prompt, the most likely first; models that look twice have seen that one from close
    by (see `vidseg.second_look`).

    Attributes:
        size: the picture's (H, W).
        logits: (M, h, w) mask logits at low resolution; above 0 is the object. M is 3.
        iou: (M,) predicted IoU of each candidate, falling; the first may be less by `Sam2Config.candidate_margin`.
        score: logit that there is an object at all.
        prompt, told: what was said, and the answer from close by, which `refine` goes on from.
    """

    size: tuple[int, int]
    logits: Tensor
    iou: Tensor
    score: float
    prompt: Prompt
    told: Told | None = None

    def masks(self) -> np.ndarray:
        """Return (M, H, W) bool masks at the picture's size."""
        masks = (full_size(self.logits, self.size) > 0).cpu().numpy()
        if self.told is not None and self.told.closer is not None:
            masks[0] = (self.told.closer.logits > 0).cpu().numpy()
        return masks


@dataclass(frozen=True, slots=True, eq=False)
class EncodedImage:
    """An encoded picture of `size` (H, W), ready for any number of prompts.

    With the `picture` itself, (H, W, 3) uint8, models that look twice answer prompts from close by.
    """

    model: Sam2
    size: tuple[int, int]
    features: ImageFeatures
    picture: np.ndarray | None = None

    @torch.inference_mode()
    def prompt(
        self, clicks: Sequence[Click] = (), *, box: Box | None = None, refine: ImageResult | None = None
    ) -> ImageResult:
        """Return candidates for the object that clicks and a box point at.

        Args:
            clicks: positive and negative points, pixels of the picture.
            box: a rectangle around the object.
            refine: an earlier result; its best mask is the start, and the clicks that it did not know yet correct it.

        Raises:
            PromptError: neither click nor box, or one outside the picture.
        """
        prompt = Prompt(1, 0, clicks=tuple(clicks), box=box)
        check_prompts([prompt], index=0, size=self.size)
        if refine is not None and refine.told is not None:
            prompt = _together(refine.prompt, prompt)
        view = View(whole(self.size), self.features)
        conditioned = self.model.attend(self.features.vision, self.features.position, None)
        decoding = partial(decode, self.model, view, conditioned)
        told = None
        if self.picture is not None and self.model.config.second_look:
            before, known = (None, 0) if refine is None else (refine.told, len(refine.prompt.clicks))
            told = tell_all(
                self.model,
                prompt,
                self.picture,
                decode=lambda part, guess: decoding(part, guess, multimask=guess is None and part.box is None),
                before=before,
                known=known,
            )
        if told is not None and told.decoded.candidates.shape[1] > 1:
            decoded = told.decoded  # what the first click could have meant
        else:
            decoded = decoding(prompt, None if refine is None else fed_back(refine.logits[:1]), multimask=True)
        best = int(decoded.best[0])
        order = [best, *(n for n in decoded.iou[0].argsort(descending=True).tolist() if n != best)]
        logits = decoded.candidates[0, order].float()
        if told is not None and told.closer is not None:
            logits[:1] = view.window.seen(told.closer.logits[None], (logits.shape[1], logits.shape[2]))
        return ImageResult(self.size, logits, decoded.iou[0, order].float(), float(decoded.score[0]), prompt, told)

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
    return EncodedImage(model, size, model.encode_image(prepare(model, pixels)), pixels)


def _together(before: Prompt, prompt: Prompt) -> Prompt:
    """What was said before, and what is new in a prompt."""
    new = (click for click in prompt.clicks if click not in before.clicks)
    return Prompt(1, 0, clicks=(*before.clicks, *new), box=prompt.box or before.box)

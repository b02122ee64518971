"""vidseg: click an object in one frame and its mask follows it through the video.

    import vidseg

    model = vidseg.load_model()
    prompt = vidseg.Prompt(1, 0, clicks=(vidseg.Click(320, 180),))
    for result in vidseg.track(model, vidseg.open_video("dog.mp4"), [prompt]):
        print(result.frame, result.boxes())

The names below are the public ones. They are imported when first used, so that parts that need no torch stay light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vidseg.adaptation import Adaptation
    from vidseg.errors import VidsegError
    from vidseg.image import EncodedImage, ImageResult, encode
    from vidseg.learner import Example, adapt, examples_of, followed
    from vidseg.memory import Limits
    from vidseg.tracker import Setting, TrackerState, TrackResult, remove, step, track
    from vidseg.types import Box, Click, Frame, Prompt
    from vidseg.video import open_video
    from vidseg.weights import load_model

__version__ = "0.1.0"

_HOMES = {
    "Adaptation": "adaptation",
    "Box": "types",
    "Click": "types",
    "EncodedImage": "image",
    "Example": "learner",
    "Frame": "types",
    "ImageResult": "image",
    "Limits": "memory",
    "Prompt": "types",
    "Setting": "tracker",
    "TrackResult": "tracker",
    "TrackerState": "tracker",
    "VidsegError": "errors",
    "adapt": "learner",
    "encode": "image",
    "examples_of": "learner",
    "followed": "learner",
    "load_model": "weights",
    "open_video": "video",
    "remove": "tracker",
    "step": "tracker",
    "track": "tracker",
}

__all__ = [
    "Adaptation",
    "Box",
    "Click",
    "EncodedImage",
    "Example",
    "Frame",
    "ImageResult",
    "Limits",
    "Prompt",
    "Setting",
    "TrackResult",
    "TrackerState",
    "VidsegError",
    "adapt",
    "encode",
    "examples_of",
    "followed",
    "load_model",
    "open_video",
    "remove",
    "step",
    "track",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vidseg' has no attribute {name!r}")
    return getattr(importlib.import_module(f"vidseg.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

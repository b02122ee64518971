"""Small moving scenes with exactly known masks, for tests, demos and the README: numpy and OpenCV, no files to fetch.

A scene is a value made from a seed; any of its frames can be drawn at any time, without those before it. Its objects
are textured blobs that bend, turn and wander over a textured background and hide one another (the higher id is in
front). They are made to check and to show tracking; scenes for training, with far more variety, live in
`vidseg.train`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vidseg.errors import ConfigError
from vidseg.types import Click, Frame

__all__ = ["Scene", "make_scene", "write_scene"]

_TEXTURE = 256  # side of a texture in its own pixels


@dataclass(frozen=True, slots=True, eq=False)
class _Blob:
    """One object: an outline r(angle, time) around a wandering centre. Angles in radians, lengths in pixels."""

    radius: float
    centre: np.ndarray  # (2, 2): for x and y, the middle of the path and how far it swings
    rate: np.ndarray  # (2,) swings of x and y, radians a second
    phase: np.ndarray  # (2,)
    turn: float  # radians a second
    waves: np.ndarray  # (K, 3): height relative to the radius, phase, radians a second, of the lobes k = 2, 3, ...
    texture: np.ndarray  # (S, S, 3) float32 0-255

    def position(self, seconds: float) -> np.ndarray:
        """The centre (x, y) at a time."""
        return self.centre[:, 0] + self.centre[:, 1] * np.sin(self.rate * seconds + self.phase)

    def outline(self, angle: np.ndarray, seconds: float) -> np.ndarray:
        """The distance from the centre to the edge in each direction."""
        reach = np.ones_like(angle)
        for k, (height, phase, rate) in enumerate(self.waves, start=2):
            reach += np.float32(height) * np.cos(k * angle + np.float32(phase + rate * seconds))
        return reach * np.float32(self.radius)


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A scene to draw frames of.

    Attributes:
        size: (H, W) of a frame in pixels.
        fps: frames a second.
        blobs: the objects in the order of their ids, which are 1, 2, ...; later ones are in front.
        background: (H', W', 3) float32, larger than a frame: the view drifts over it.
    """

    size: tuple[int, int]
    fps: float
    blobs: tuple[_Blob, ...]
    background: np.ndarray

    def draw(self, index: int) -> tuple[Frame, np.ndarray]:
        """Return the frame `index` (>= 0) and its (H, W) uint8 index mask: the id of the object seen, 0 elsewhere.

        Edges are smooth in the picture; in the mask a pixel belongs to the object that covers its centre.
        """
        seconds = index / self.fps
        image = self._backdrop(seconds)
        mask = np.zeros(self.size, np.uint8)
        for number, blob in enumerate(self.blobs, start=1):
            _paint(blob, number, seconds, image, mask)
        return Frame(index, seconds, np.clip(image, 0, 255).astype(np.uint8)), mask

    def click(self, index: int, object: int = 1) -> Click:
        """Return a click at the point of an object's visible part that is farthest from its edge.

        Raises ConfigError if the object is not visible in that frame.
        """
        seen = self.draw(index)[1] == object
        if not seen.any():
            raise ConfigError(f"object {object} is hidden in frame {index} of the scene; choose another frame")
        depth = cv2.distanceTransform(np.pad(seen, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
        y, x = np.unravel_index(int(depth.argmax()), depth.shape)
        return Click(float(x) + 0.5, float(y) + 0.5)

    def frames(self, count: int) -> Iterator[Frame]:
        """Yield the first `count` frames, as a video does."""
        return (self.draw(index)[0] for index in range(count))

    def _backdrop(self, seconds: float) -> np.ndarray:
        height, width = self.size
        spare = np.array(self.background.shape[:2]) - self.size
        y, x = 0.5 * spare * (1 + 0.8 * np.sin([0.31 * seconds, 0.23 * seconds + 1]))
        shift = np.array([[1, 0, x], [0, 1, y]], np.float32)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(self.background, shift, (width, height), flags=flags)


def make_scene(seed: int = 0, *, size: tuple[int, int] = (96, 128), objects: int = 2, fps: float = 25.0) -> Scene:
    """Return the scene of a seed: `objects` blobs (1-255) on frames of `size` (H, W).

    Raises ConfigError if there are too many objects, or the size is below 16 pixels.
    """
    if not 1 <= objects <= 255 or min(size) < 16 or fps <= 0:
        raise ConfigError(
            f"a scene with {objects} objects of {size[1]}x{size[0]} pixels at {fps:g} frames a second cannot be made; "
            "expected 1-255 objects, sides of at least 16 pixels and a rate above 0"
        )
    random = np.random.default_rng(seed)
    height, width = size
    large = (height + height // 4 + 2, width + width // 4 + 2)
    background = _texture(random, large, colour=random.uniform(70, 150, 3), contrast=26.0)
    hues = (random.uniform() + np.arange(objects) / objects) % 1.0  # evenly spread, so that neighbours differ
    return Scene(size, fps, tuple(_blob(random, size, hue) for hue in hues), background)


def write_scene(scene: Scene, path: str | Path, *, frames: int) -> Path:
    """Write the first `frames` frames: an H.264 file if `path` ends in .mp4, else a folder of PNGs 00000.png ...

    Returns the path. Raises OSError if it cannot be written.
    """
    path = Path(path)
    if path.suffix == ".mp4":
        from vidseg.video.writer import OverlayWriter

        with OverlayWriter(path, scene.size, fps=scene.fps) as writer:
            for frame in scene.frames(frames):
                writer.write(frame.image, frame.seconds)
        return path
    path.mkdir(parents=True, exist_ok=True)
    for frame in scene.frames(frames):
        coded = cv2.imencode(".png", cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR))[1]
        (path / f"{frame.index:05d}.png").write_bytes(coded.tobytes())
    return path


def _blob(random: np.random.Generator, size: tuple[int, int], hue: float) -> _Blob:
    height, width = size
    extent = np.array([width, height], float)
    middle = extent * random.uniform(0.35, 0.65, 2)
    swing = extent * random.uniform(0.12, 0.28, 2)
    lobes = 4
    heights = random.uniform(0.3, 1.0, lobes) * np.array([0.22, 0.14, 0.07, 0.05])
    waves = np.stack([heights, random.uniform(0, 2 * np.pi, lobes), random.uniform(-2.2, 2.2, lobes)], axis=1)
    colour = _rgb(360 * hue, random.uniform(0.45, 0.9), 0.85)
    return _Blob(
        radius=min(size) * random.uniform(0.15, 0.23),
        centre=np.stack([middle, swing], axis=1),
        rate=random.uniform(0.5, 1.3, 2),
        phase=random.uniform(0, 2 * np.pi, 2),
        turn=random.uniform(-0.8, 0.8),
        waves=waves,
        texture=_texture(random, (_TEXTURE, _TEXTURE), colour=colour, contrast=38.0),
    )


def _rgb(hue: float, saturation: float, value: float) -> np.ndarray:
    """The (3,) float32 RGB colour, 0-255, of a hue in degrees."""
    return cv2.cvtColor(np.array([[[hue, saturation, value]]], np.float32), cv2.COLOR_HSV2RGB)[0, 0] * 255


def _texture(random: np.random.Generator, size: tuple[int, int], *, colour: np.ndarray, contrast: float) -> np.ndarray:
    """Noise of several scales around a colour: (H, W, 3) float32, about 0-255."""
    height, width = size
    texture = np.zeros((height, width, 3), np.float32)
    for cells in (3, 7, 17, 41):
        noise = random.standard_normal((cells, cells, 3)).astype(np.float32)
        noise = 0.6 * noise.mean(axis=2, keepdims=True) * 3**0.5 + 0.5 * noise  # mostly light and dark, some colour
        texture += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC) * (3 / cells) ** 0.35
    return np.float32(colour) + np.float32(contrast) * texture


def _paint(blob: _Blob, number: int, seconds: float, image: np.ndarray, mask: np.ndarray) -> None:
    """Draw one blob over `image` and `mask`, in place; outside its bounding square nothing is computed."""
    height, width = mask.shape
    x, y = blob.position(seconds)
    reach = blob.radius * (1 + float(np.abs(blob.waves[:, 0]).sum())) + 2
    x0, x1 = max(0, int(x - reach)), min(width, int(x + reach) + 2)
    y0, y1 = max(0, int(y - reach)), min(height, int(y + reach) + 2)
    if x0 >= x1 or y0 >= y1:
        return
    across = np.arange(x0, x1, dtype=np.float32) + np.float32(0.5 - x)
    down = np.arange(y0, y1, dtype=np.float32)[:, None] + np.float32(0.5 - y)
    distance = np.hypot(across, down)
    angle = np.arctan2(down, across) - np.float32(blob.turn * seconds)
    edge = blob.outline(angle, seconds)
    # The texture bends with the outline: the edge is always at the same distance in texture space.
    stretch = np.float32(0.46 * _TEXTURE) * distance / edge
    skin = cv2.remap(
        blob.texture,
        _TEXTURE / 2 + stretch * np.cos(angle),
        _TEXTURE / 2 + stretch * np.sin(angle),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    skin = (
        skin * (1.08 - 0.4 * np.clip(distance / edge, 0, 1) ** 3)[..., None]
    )  # darker towards the edge: it looks round
    cover = np.clip(edge - distance + 0.5, 0, 1)[..., None]
    part = image[y0:y1, x0:x1]
    part += (skin - part) * cover
    mask[y0:y1, x0:x1][edge > distance] = number

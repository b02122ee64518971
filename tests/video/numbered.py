"""Small videos made on the spot, each frame with its number written in its pixels."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS = 8


def picture(number: int, size: tuple[int, int]) -> np.ndarray:
    """A frame that says its number: eight upright stripes, the bits from the left, bright for 1.

    A strip of shaded grey at the bottom changes from frame to frame, so that an encoder has something to predict.
    """
    height, width = size
    bits = [number >> (BITS - 1 - bit) & 1 for bit in range(BITS)]
    columns = np.asarray(bits)[np.arange(width) * BITS // width]
    image = np.repeat((40 + 175 * columns).astype(np.uint8)[None], height, axis=0)
    image[-height // 4 :] = (np.arange(width) * 3 + number * 7) % 200 + 20
    return np.repeat(image[..., None], 3, axis=2)


def number(image: np.ndarray) -> int:
    """Read the number of a frame made by `picture`."""
    height, width = image.shape[:2]
    columns = (np.arange(BITS) + 0.5) * width / BITS
    values = image[height // 3, columns.astype(int)].mean(axis=1)
    return int(sum((value > 128) << (BITS - 1 - bit) for bit, value in enumerate(values)))


def numbers(frames: Iterable) -> list[int]:
    """Read the numbers of frames."""
    return [number(frame.image) for frame in frames]


def write_video(
    path: Path,
    *,
    count: int = 40,
    size: tuple[int, int] = (48, 64),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    fps: int = 25,
    times: Iterable[Fraction] | None = None,
    time_base: Fraction = Fraction(1, 600),
    options: dict[str, str] | None = None,
    rotation: int = 0,
    matrix: tuple[int, int, int, int] | None = None,
    container_options: dict[str, str] | None = None,
    first: int = 0,
) -> Path:
    """Write a video of numbered frames with the given codec, times and size."""
    moments = [Fraction(i, fps) for i in range(count)] if times is None else list(times)
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        stream.height, stream.width, stream.pix_fmt = *size, pix_fmt
        stream.codec_context.time_base = Fraction(1, fps) if codec in ("mpeg4", "mpeg2video") else time_base
        if rotation:
            stream.set_display_rotation(rotation)
        if matrix:
            a, b, c, d = (65536 * value for value in matrix)
            stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        for i, moment in enumerate(moments):
            frame = av.VideoFrame.from_ndarray(picture(first + i, size), format="rgb24")
            base = stream.codec_context.time_base
            frame.pts, frame.time_base = round(moment / base), base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path

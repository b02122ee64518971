"""Show that memory does not grow with a stream: the process's memory against the frame number, as a table and a plot.

python demos/memory_curve.py [--frames 3000] [--objects 3] [--model nano] [--out memory.png]
"""

import argparse
import os
from pathlib import Path

import cv2
import numpy as np

import vidseg
from vidseg.scene import make_scene


def resident_mib() -> float:
    """Memory of this process now, in MiB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def plot(frames: list[int], mib: list[float], path: str) -> None:
    """Draw the curve from 0 MiB up, with its ends written on it."""
    height, width, edge = 300, 640, 40
    picture = np.full((height, width, 3), 255, np.uint8)
    x = edge + np.array(frames) / max(*frames, 1) * (width - 2 * edge)
    y = height - edge - np.array(mib) / (1.2 * max(mib)) * (height - 2 * edge)
    cv2.line(picture, (edge, height - edge), (width - edge, height - edge), (160, 160, 160))
    cv2.polylines(picture, [np.stack([x, y], 1).round().astype(np.int32)], False, (180, 60, 20), 2, cv2.LINE_AA)
    text = f"{mib[0]:.0f} MiB at frame {frames[0]}, {mib[-1]:.0f} MiB at frame {frames[-1]}"
    cv2.putText(picture, text, (edge, edge), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (40, 40, 40), 1, cv2.LINE_AA)
    cv2.imwrite(path, picture)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=3000)
    parser.add_argument("--objects", type=int, default=3)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--out", default="memory.png")
    args = parser.parse_args()

    model = vidseg.load_model(args.model)
    state, frames, mib = vidseg.TrackerState(), [], []
    for frame in make_scene(objects=args.objects).frames(args.frames):
        prompts = [vidseg.Prompt(i + 1, 0, clicks=(vidseg.Click(30 + 20 * i, 48),)) for i in range(args.objects)]
        state, _ = vidseg.step(model, state, frame, prompts if frame.index == 0 else [])
        if frame.index % 100 == 0 or frame.index == args.frames - 1:
            frames.append(frame.index)
            mib.append(resident_mib())
            print(f"frame {frame.index:5d}: {mib[-1]:.1f} MiB")
    late = [m for f, m in zip(frames, mib, strict=True) if f >= 200]
    print(f"growth after frame 200: {max(late) - late[0]:.1f} MiB" if late else "too few frames to tell")
    plot(frames, mib, args.out)


if __name__ == "__main__":
    main()

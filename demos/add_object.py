"""Add an object while others are being tracked, and remove one later; nothing restarts, the others are not disturbed.

python demos/add_object.py [VIDEO] [--model nano]
"""

import argparse
from pathlib import Path

import vidseg

FIRST = vidseg.Prompt(object=1, frame=0, clicks=(vidseg.Click(160, 99),))
SECOND = vidseg.Prompt(object=2, frame=10, box=vidseg.Box(445, 70, 580, 224))
REMOVE_FIRST_AT = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", nargs="?", default=Path(__file__).with_name("clip.mp4"))
    parser.add_argument("--model", default="nano")
    args = parser.parse_args()

    model = vidseg.load_model(args.model)
    state = vidseg.TrackerState()
    for frame in vidseg.open_video(args.video):
        if frame.index == REMOVE_FIRST_AT:
            state = vidseg.remove(state, 1)
        prompts = [prompt for prompt in (FIRST, SECOND) if prompt.frame == frame.index]
        state, result = vidseg.step(model, state, frame, prompts)
        areas = {id: int(mask.sum()) for id, mask in zip(result.ids, result.masks(), strict=True)}
        print(f"frame {frame.index}: pixels of each object {areas}")


if __name__ == "__main__":
    main()

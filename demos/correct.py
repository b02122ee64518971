"""Correct a mask in mid-video: a click on the frame where it went wrong changes that frame and those after it.

python demos/correct.py [VIDEO] [--click X,Y] [--wrong F:X,Y] [--model nano]
"""

import argparse
from pathlib import Path

import vidseg


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", nargs="?", default=Path(__file__).with_name("clip.mp4"))
    parser.add_argument("--click", default="160,99", help="on the object, in frame 0")
    parser.add_argument("--wrong", default="12:250,180", help="a place that is not the object, with its frame")
    parser.add_argument("--model", default="nano")
    args = parser.parse_args()

    model = vidseg.load_model(args.model)
    x, y = map(float, args.click.split(","))
    at, place = args.wrong.split(":")
    wrong = vidseg.Click(*map(float, place.split(",")), on=False)
    state = vidseg.TrackerState()
    for frame in vidseg.open_video(args.video):
        prompts = [vidseg.Prompt(1, 0, clicks=(vidseg.Click(x, y),))] if frame.index == 0 else []
        state, result = vidseg.step(model, state, frame, prompts)
        if frame.index == int(at):
            before = result.masks()[0]
            # The same frame again, now with a correction: the object's memory and mask here are fed back.
            state, result = vidseg.step(model, state, frame, [vidseg.Prompt(1, frame.index, clicks=(wrong,))])
            changed = int((before ^ result.masks()[0]).sum())
            print(f"frame {frame.index}: the correction changed {changed} pixels")
        print(f"frame {frame.index}: {int(result.masks()[0].sum())} pixels")


if __name__ == "__main__":
    main()

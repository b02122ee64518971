"""Click an object in the first frame of a video, get its mask in all of them.

python demos/click_to_track.py [VIDEO] [--click X,Y] [--model nano] [--out FILE.mp4]
"""

import argparse
from pathlib import Path

import vidseg
from vidseg.video import OverlayWriter, draw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", nargs="?", default=Path(__file__).with_name("clip.mp4"))
    parser.add_argument("--click", default="160,99")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--out", default="tracked.mp4")
    args = parser.parse_args()

    model = vidseg.load_model(args.model)
    video = vidseg.open_video(args.video)
    x, y = map(float, args.click.split(","))
    prompt = vidseg.Prompt(object=1, frame=0, clicks=(vidseg.Click(x, y),))

    with OverlayWriter(args.out, video.size, fps=video.fps) as writer:
        for result in vidseg.track(model, video, [prompt]):
            masks = result.masks()  # (objects, H, W) bool
            writer.write(draw(video[result.frame].image, masks, result.ids), result.seconds)
            print(f"frame {result.frame}: {int(masks[0].sum())} pixels, box {result.boxes()[0].tolist()}")


if __name__ == "__main__":
    main()

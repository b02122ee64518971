"""Encode a picture once and prompt it many times: three candidate masks for each click, with predicted quality.

python demos/one_image.py [PICTURE] [--click X,Y ...] [--model nano] [--out FILE.png]
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

import vidseg
from vidseg.video import draw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", nargs="?", help="default: a frame of the README's clip")
    parser.add_argument("--click", action="append", help="can be repeated: one object each")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--out", default="segmented.png")
    args = parser.parse_args()

    if args.picture:
        image = np.array(Image.open(args.picture).convert("RGB"))
    else:
        image = vidseg.open_video(Path(__file__).with_name("clip.mp4"))[0].image
    picture = vidseg.encode(vidseg.load_model(args.model), image)  # the slow part, once
    best = []
    for click in args.click or ["160,99", "445,151"]:
        x, y = map(float, click.split(","))
        result = picture.prompt([vidseg.Click(x, y)])  # as often as you like
        best.append(result.masks()[0])
        print(f"click {click}: predicted IoU of the candidates {[round(iou, 2) for iou in result.iou.tolist()]}")
    Image.fromarray(draw(image, np.stack(best), range(1, len(best) + 1))).save(args.out)


if __name__ == "__main__":
    main()

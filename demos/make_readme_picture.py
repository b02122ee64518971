"""Make docs/tracked.webp, the moving picture of the README: the result of its first command, as the files hold it.

vidseg track demos/clip.mp4 --click 0:160,99 --click 0:445,151@2
python demos/make_readme_picture.py [--tracks demos/clip-tracks] [--out docs/tracked.webp]
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from vidseg import open_video
from vidseg.masks.palette import read_index, split
from vidseg.tracks import read_tracks
from vidseg.video import colour, draw

HERE = Path(__file__).parent
WIDTH, EVERY = 480, 2  # pixels; every second frame, at half the rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--video", default=HERE / "clip.mp4")
    parser.add_argument("--tracks", type=Path, default=HERE / "clip-tracks")
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "tracked.webp")
    args = parser.parse_args()

    video = open_video(args.video)
    clicks = [(p["object"], p["frame"], *click[:2]) for p in read_tracks(args.tracks / "tracks.json").header.prompts
              for click in p.get("clicks", [])]  # fmt: skip
    pictures = []
    for frame in video[::EVERY]:
        masks = split(read_index(args.tracks / "masks" / f"{frame.index:05d}.png"))
        picture = draw(
            frame.image, np.stack([*masks.values()]) if masks else np.zeros((0, *video.size), bool), [*masks]
        )
        for id, at, x, y in clicks:
            if at <= frame.index < at + 8:  # the click is shown for a moment
                rows, columns = np.ogrid[: video.size[0], : video.size[1]]
                distance = np.hypot(rows + 0.5 - y, columns + 0.5 - x)
                picture[distance < 7] = 255
                picture[distance < 5] = colour(id)
        pictures.append(Image.fromarray(picture).resize((WIDTH, WIDTH * video.size[0] // video.size[1]), Image.LANCZOS))
    duration = round(1000 * EVERY / (video.fps or 25))
    pictures[0].save(
        args.out, save_all=True, append_images=pictures[1:], duration=duration, loop=0, quality=60, method=4
    )
    print(f"{args.out}: {len(pictures)} pictures, {args.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()

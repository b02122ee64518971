"""Make demos/clip.mp4, the clip of the README: two objects whose true masks are known. Needs no model.

python demos/make_clip.py [--out FILE.mp4]
"""

import argparse
from pathlib import Path

from vidseg.scene import make_scene, write_scene

SCENE = make_scene(2, size=(360, 640), objects=2)
FRAMES = 90


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=Path(__file__).with_name("clip.mp4"))
    path = write_scene(SCENE, parser.parse_args().out, frames=FRAMES)
    for object in (1, 2):
        x, y, _ = SCENE.click(0, object)
        print(f"{path}: object {object} is at {x:g},{y:g} on frame 0")


if __name__ == "__main__":
    main()

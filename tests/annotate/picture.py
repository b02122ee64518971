"""Make docs/annotator.webp, the README's picture of the page: two objects of the demo's clip, followed and in review.

python tests/annotate/picture.py [--model NAME] [--out FILE]
"""

from __future__ import annotations

import argparse
import tempfile
from io import BytesIO
from pathlib import Path

import numpy as np
from measure import annotating
from PIL import Image

from vidseg.scene import make_scene

ROOT = Path(__file__).parents[2]
SCENE = make_scene(2, size=(360, 640), objects=2)  # as in demos/make_clip.py
NAMES, PROMPTED = ("red blob", "green blob"), (0, 20, 40, 60, 80)


def corners(frame: int, number: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """The corners of a box around an object, as a person draws it."""
    y, x = np.nonzero(SCENE.draw(frame)[1] == number)
    return (int(x.min()) - 2, int(y.min()) - 2), (int(x.max()) + 3, int(y.max()) + 3)


def main() -> None:
    """Annotate the clip and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano", help="a name or a file (default: nano)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "annotator.webp")
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        annotating(ROOT / "demos" / "clip.mp4", Path(folder), args.model) as (view, _),
    ):
        page = view.page
        for number, name in enumerate(NAMES, start=1):
            page.keyboard.press("n")
            for frame in PROMPTED:
                view.go(frame)
                view.drag(*corners(frame, number))
                view.settle()
            page.keyboard.press("F2")
            page.keyboard.type(name)
            page.keyboard.press("Enter")
            view.settle()
        view.go(0)
        page.keyboard.press("g")
        page.locator(".job").wait_for()
        page.locator(".job").wait_for(state="detached", timeout=0)
        page.keyboard.press("Escape")
        for _ in range(30):
            page.keyboard.press("Enter")
            view.settle()
            page.keyboard.press("ArrowRight")
        page.keyboard.press("w")
        view.settle()
        page.mouse.move(0, 0)
        page.locator(".notice").first.wait_for(state="detached")
        page.wait_for_timeout(2000)  # thumbnails
        picture = Image.open(BytesIO(page.screenshot()))
    picture.save(args.out, quality=88, method=6)


if __name__ == "__main__":
    main()

"""What the labelled data sets of these tests are made of: scenes whose masks are known."""

from collections.abc import Callable
from pathlib import Path

import cv2

from vidseg.scene import Scene, make_scene

SIZE = (48, 64)
Make = Callable[..., Path]


def scene_of(name: str, objects: int = 2) -> Scene:
    return make_scene(sum(map(ord, name)), size=SIZE, objects=objects)


def write_pictures(folder: Path, scene: Scene, count: int) -> None:
    folder.mkdir(parents=True)
    for frame in scene.frames(count):
        cv2.imwrite(str(folder / f"{frame.index:05d}.jpg"), frame.image[..., ::-1])

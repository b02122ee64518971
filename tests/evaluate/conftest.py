"""Small labelled data sets on disk, made from scenes whose masks are known, in every layout."""

import json
from pathlib import Path

import numpy as np
import pytest
from labelled import SIZE, Make, scene_of, write_pictures

from vidseg.masks import palette, rle
from vidseg.scene import write_scene


@pytest.fixture
def davis(tmp_path: Path) -> Make:
    """Writes a DAVIS folder: `make(objects=2, names=("a", "b"), frames=6, ends="480p", binary=False)`."""

    def make(
        *, objects: int = 2, names: tuple[str, ...] = ("a", "b"), frames: int = 6, inner: str = "480p",
        binary: bool = False,
    ) -> Path:  # fmt: skip
        root = tmp_path / "data"
        for name in names:
            scene = scene_of(name, objects)
            write_pictures(root / "JPEGImages" / inner / name, scene, frames)
            for index in range(frames):
                mask = scene.draw(index)[1]
                if binary:
                    mask = np.where(mask > 0, 255, 0).astype(np.uint8)
                palette.write_index(root / "Annotations" / inner / name / f"{index:05d}.png", mask)
        return root

    return make


@pytest.fixture
def youtubevos(tmp_path: Path) -> Path:
    """Sequence "late" of 11 frames, every fifth annotated; object 2 is first labelled on frame 5."""
    root, scene = tmp_path / "youtubevos", scene_of("late")
    write_pictures(root / "JPEGImages" / "late", scene, 11)
    for index in (0, 5, 10):
        mask = scene.draw(index)[1]
        if index == 0:
            mask[mask == 2] = 0
        palette.write_index(root / "Annotations" / "late" / f"{index:05d}.png", mask)
    (root / "meta.json").write_text(json.dumps({"videos": {"late": {"objects": {"1": {}, "2": {}}}}}))
    return root


@pytest.fixture
def sav(tmp_path: Path) -> Path:
    """SA-V's validation form: video "v" of 13 frames, objects 000 and 001 on every fourth, which overlap."""
    root, scene = tmp_path / "sav", scene_of("v")
    write_pictures(root / "JPEGImages_24fps" / "v", scene, 13)
    for index in range(0, 13, 4):
        mask = scene.draw(index)[1]
        for name, one in (("000", mask > 0), ("001", mask == 2)):
            palette.write_index(root / "Annotations_6fps" / "v" / name / f"{index:05d}.png", one.astype(np.uint8))
    return root


@pytest.fixture
def masklets(tmp_path: Path) -> Path:
    """SA-V's training form: video "sav_1" of 9 frames with the objects 7 and 9, the second absent at first."""
    root, scene = tmp_path / "masklets", scene_of("sav_1")
    root.mkdir()
    write_scene(scene, root / "sav_1.mp4", frames=9)
    found = [scene.draw(index)[1] for index in (0, 4, 8)]
    coded = [[rle.encode(mask == 1), rle.encode((mask == 2) & (k > 0))] for k, mask in enumerate(found)]
    content = {"masklet": coded, "masklet_id": [7, 9], "video_height": float(SIZE[0]), "video_width": float(SIZE[1])}
    (root / "sav_1_manual.json").write_text(json.dumps(content))
    return root


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A folder a sequence with pictures and index PNGs side by side; pixels of value 255 are not labelled."""
    root, scene = tmp_path / "plain", scene_of("p")
    write_pictures(root / "p", scene, 5)
    for index in range(5):
        mask = scene.draw(index)[1]
        mask[:4] = 255
        palette.write_index(root / "p" / f"{index:05d}.png", mask)
    return root

"""`vidseg image` as a person uses it."""

import json

import numpy as np
import pytest
from PIL import Image

from vidseg.cli import main
from vidseg.image import encode
from vidseg.masks import palette, rle
from vidseg.types import Box, Click


@pytest.fixture
def vidseg(tmp_path, scene, tiny_checkpoint, capsys, monkeypatch):
    """Call `vidseg image` in a folder with photo.png; return (exit code, stdout, stderr)."""
    Image.fromarray(scene.draw(0)[0].image).save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)

    def call(*argv):
        return main(["image", *argv, "--model", str(tiny_checkpoint), "--device", "cpu"]), *capsys.readouterr()

    return call


def test_three_candidates_are_written_the_most_likely_first(vidseg, tmp_path, scene, tiny_model):
    code, out, err = vidseg("photo.png", "--click", "40,40", "--negative-click", "100,10")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("mask-1.png  predicted IoU ") and lines[-1] == "results in photo-masks"
    expected = encode(tiny_model, scene.draw(0)[0].image).prompt([Click(40, 40), Click(100, 10, False)])
    found = json.loads((tmp_path / "photo-masks" / "masks.json").read_text())
    assert found["size"] == [80, 128]
    assert [m["iou"] for m in found["masks"]] == sorted((m["iou"] for m in found["masks"]), reverse=True)
    for candidate, mask in zip(found["masks"], expected.masks(), strict=True):
        written = palette.read_index(tmp_path / "photo-masks" / candidate["file"])
        np.testing.assert_array_equal(written, mask.astype(np.uint8) * 255)
        np.testing.assert_array_equal(rle.decode(candidate["segmentation"]), mask)
        assert candidate["area_px"] == mask.sum()
    with Image.open(tmp_path / "photo-masks" / "overlay.png") as overlay:
        assert overlay.size == (128, 80)


def test_a_box_and_json(vidseg, scene, tiny_model):
    code, out, err = vidseg("photo.png", "--box", "20,20,60,60", "--json", "--out", "here")
    assert (code, err) == (0, "")
    first = encode(tiny_model, scene.draw(0)[0].image).prompt(box=Box(20, 20, 60, 60)).masks()[0]
    np.testing.assert_array_equal(rle.decode(json.loads(out)[0]["segmentation"]), first)


def test_quiet_prints_nothing(vidseg):
    assert vidseg("photo.png", "--click", "40,40", "--quiet") == (0, "", "")


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["photo.png"], 2, "nothing to segment: give at least one --click or a --box"),
        (["photo.png", "--click", "0:4,4"], 2, "argument --click: '0:4,4' is not X,Y; expected 2 numbers in pixels"),
        (["photo.png", "--box", "1,2"], 2, "argument --box: '1,2' is not X1,Y1,X2,Y2"),
        (["photo.png", "--click", "128,4"], 1, "outside the picture of 128x80 pixels"),
        (["photo.png", "--click", "nan,4"], 1, "outside the picture"),
        (["absent.png", "--click", "4,4"], 1, "absent.png does not exist; give the path of a picture"),
        (["text.png", "--click", "4,4"], 1, "text.png cannot be read as a picture"),
    ],
)
def test_every_mistake_gets_one_line_and_leaves_nothing(vidseg, tmp_path, argv, code, message):
    (tmp_path / "text.png").write_text("no picture")
    got, out, err = vidseg(*argv)
    assert message in err
    assert (got, out, err.count("\n")) == (code, "", 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photo.png", "text.png"]

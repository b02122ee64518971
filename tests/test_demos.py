"""Every demo runs, and does what it says."""

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from vidseg.cli import main
from vidseg.video import open_video
from vidseg.weights import load_model, save_model

DEMOS = Path(__file__).resolve().parents[1] / "demos"


@pytest.fixture
def demo(tmp_path, monkeypatch, capsys):
    """Run a demo in an empty folder; return what it printed, line by line."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, *argv) -> list[str]:
        monkeypatch.setattr(sys, "argv", [name, *map(str, argv)])
        runpy.run_path(str(DEMOS / name), run_name="__main__")
        return capsys.readouterr().out.splitlines()

    return run


def test_click_to_track(demo, demo_clip, tiny_checkpoint, tmp_path):
    lines = demo("click_to_track.py", demo_clip, "--model", tiny_checkpoint)
    assert len(lines) == 26 and lines[25].startswith("frame 25: ")
    assert len(open_video(tmp_path / "tracked.mp4")) == 26


def test_stream(demo, tiny_checkpoint):
    lines = demo("stream.py", "--model", tiny_checkpoint, "--frames", 4)
    assert [line.split(":")[0] for line in lines] == ["0.00 s", "0.04 s", "0.08 s", "0.12 s"]


def test_correct(demo, demo_clip, tiny_checkpoint):
    lines = demo("correct.py", demo_clip, "--model", tiny_checkpoint, "--wrong", "3:240,100")
    changed = int(lines[3].removeprefix("frame 3: the correction changed ").split()[0])
    assert changed > 0 and len(lines) == 27


def test_add_object(demo, demo_clip, tiny_checkpoint):
    lines = demo("add_object.py", demo_clip, "--model", tiny_checkpoint)
    objects = [[int(part.split(":")[0]) for part in line.split("{")[1].split(", ")] for line in lines]
    assert objects == [[1]] * 10 + [[1, 2]] * 10 + [[2]] * 6


def test_one_image(demo, tiny_checkpoint, tmp_path):
    lines = demo("one_image.py", "--model", tiny_checkpoint)
    assert len(lines) == 2 and "predicted IoU" in lines[0]
    with Image.open(tmp_path / "segmented.png") as picture:
        assert picture.size == (640, 360)


def test_make_clip(tmp_path, monkeypatch, capsys):
    """The clip in the repository is the one that this makes."""
    made = runpy.run_path(str(DEMOS / "make_clip.py"))
    kept = open_video(DEMOS / "clip.mp4")
    assert len(kept) == made["FRAMES"]
    assert abs(kept[50].image.astype(int) - made["SCENE"].draw(50)[0].image).mean() < 6
    made["main"].__globals__["FRAMES"] = 2
    monkeypatch.setattr(sys, "argv", ["make_clip.py", "--out", str(tmp_path / "clip.mp4")])
    made["main"]()
    assert capsys.readouterr().out.splitlines()[0].endswith("object 1 is at 160.5,99.5 on frame 0")
    assert len(open_video(tmp_path / "clip.mp4")) == 2


def test_make_readme_picture(demo, demo_clip, tiny_checkpoint, tmp_path):
    track = [
        "track",
        str(demo_clip),
        "--click",
        "0:160,99",
        "--model",
        str(tiny_checkpoint),
        "--out",
        "tracks",
        "--no-overlay",
    ]
    assert main(track) == 0
    demo("make_readme_picture.py", "--video", demo_clip, "--tracks", tmp_path / "tracks", "--out", tmp_path / "a.webp")
    with Image.open(tmp_path / "a.webp") as picture:
        assert (picture.size, picture.n_frames) == ((480, 270), 13)


def test_every_demo_is_short_and_tested():
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.rglob("test_*.py"))
    for path in sorted(DEMOS.glob("*.py")):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 60, path
        assert f'"{path.name}"' in tests, path


def test_memory_curve(demo, tiny_checkpoint, tmp_path):
    lines = demo("memory_curve.py", "--model", tiny_checkpoint, "--frames", 301)
    growth = float(lines[-1].split(":")[1].split()[0])
    assert lines[-1].startswith("growth after frame 200") and growth < 10
    with Image.open(tmp_path / "memory.png") as curve:
        assert curve.size == (640, 300)


def test_average_weights(demo, tiny_checkpoint, tmp_path):
    before = load_model(tiny_checkpoint, device="cpu", dtype="float32")
    after = load_model(tiny_checkpoint, device="cpu", dtype="float32")
    with torch.no_grad():
        for one in after.parameters():
            one.add_(1)
    save_model(after, tmp_path / "after.safetensors")
    demo("average_weights.py", tiny_checkpoint, "after.safetensors", "--share", "0.25", "--out", "averaged.safetensors")
    averaged = load_model(tmp_path / "averaged.safetensors", device="cpu", dtype="float32")
    for one, found in zip(before.parameters(), averaged.parameters(), strict=True):
        torch.testing.assert_close(found, one + 0.25, rtol=0, atol=2e-3)


def test_accuracy_speed(demo, tmp_path):
    for name, score, rate in (("small", 60.0, 20.0), ("large", 70.04, 8.0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(
            json.dumps({"j_and_f": score, "speed": {"seconds": 1.0, "frames_per_second": rate}})
        )
    lines = demo("accuracy_speed.py", tmp_path / "small", tmp_path / "large")
    assert lines == ["small: J&F 60.0, 50 ms a frame", "large: J&F 70.0, 125 ms a frame"]
    with Image.open(tmp_path / "accuracy-speed.png") as picture:
        assert picture.size == (704, 440)

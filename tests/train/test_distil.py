"""Distillation: what a student begins with, that it learns, that a run goes on where it was, and the command."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from vidseg.cli import main
from vidseg.errors import ConfigError, DataError
from vidseg.model import PRESETS, Sam2
from vidseg.picture import normalise
from vidseg.scene import make_scene
from vidseg.train import distil as module
from vidseg.train.distil import DistilConfig, difference, distil, draw, narrowed, pictures
from vidseg.train.metrics import read_rows
from vidseg.weights import load_model

SHORT = DistilConfig(width=8, steps=12, batch=1)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(module, "SIZES", ((64, 96), (96, 64)))


@pytest.fixture(scope="module")
def teacher():
    torch.manual_seed(0)
    return Sam2(PRESETS["tiny-test"]).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for n in range(4):
        picture = Image.fromarray(make_scene(n, size=(60, 100)).draw(n)[0].image)
        picture.save(folder / f"{n}.jpg")
        picture.save(folder / f"{n}.png")
    return folder


def weights(model: Sam2) -> dict[str, torch.Tensor]:
    return {name: weight for name, weight in model.state_dict().items() if name.startswith("image_encoder.trunk")}


def test_a_student_has_a_narrower_trunk_and_all_the_rest(teacher):
    student = narrowed(teacher, 8, name="half")
    assert student.config == replace(teacher.config, name="half", trunk=replace(teacher.config.trunk, embed_dim=8))
    narrow, wide = student.state_dict(), teacher.state_dict()
    for name, weight in wide.items():
        if narrow[name].shape == weight.shape:
            assert torch.equal(narrow[name], weight)
    assert {name for name in wide if narrow[name].shape == wide[name].shape} >= {
        name for name in wide if not name.startswith("image_encoder.")
    }
    first = "image_encoder.trunk.patch_embed.proj.weight"
    assert torch.equal(narrow[first], wide[first][::2])
    inner = "image_encoder.trunk.blocks.0.mlp.layers.0.weight"
    torch.testing.assert_close(narrow[inner], wide[inner][::2, ::2] * 2**0.5)


@pytest.mark.parametrize("width", [0, 16, 20])
def test_a_width_that_is_not_narrower_is_refused(teacher, width):
    with pytest.raises(ConfigError, match=f"a width of {width} is not possible; give one below the teacher's 16"):
        narrowed(teacher, width, name="x")


def test_the_difference_is_a_share_of_what_the_features_vary(teacher):
    images = normalise(torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8))
    assert difference(teacher, teacher, images) == 0
    away = narrowed(teacher, 8, name="x")
    with torch.no_grad():
        for weight in away.image_encoder.parameters():
            weight.zero_()
    with torch.no_grad():
        maps = teacher.image_encoder(images)["backbone_fpn"]
    expected = np.mean([float(one.square().mean() / one.var()) for one in maps])
    assert difference(away, teacher, images).item() == pytest.approx(expected, rel=1e-4)


def test_pictures_are_found_at_any_depth_and_masks_are_not(folder, tmp_path):
    (tmp_path / "deep").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "deep" / "a.WEBP")
    assert [path.name for path in pictures([folder, tmp_path])].count("a.WEBP") == 1
    assert len(pictures([folder, tmp_path])) == 5
    with pytest.raises(DataError, match="no JPEG or WebP file"):
        pictures([tmp_path / "none"])


@pytest.mark.parametrize("size", [(20, 30), (64, 96), (200, 120)])
def test_parts_of_pictures_have_the_size_asked_for_and_differ(folder, size):
    rng = np.random.default_rng(0)
    drawn = [draw(folder / "0.jpg", size, rng) for _ in range(4)]
    assert all(one.shape == (*size, 3) and one.dtype == np.uint8 for one in drawn)
    assert not (drawn[0] == drawn[1]).all()


def test_a_damaged_picture_is_named(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"a\.jpg cannot be read as a picture"):
        draw(tmp_path / "a.jpg", (8, 8), np.random.default_rng(0))


def test_damaged_pictures_are_left_out_and_named_once(teacher, folder, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    reports = list(distil(teacher, pictures([folder, tmp_path]), SHORT, tmp_path / "x"))
    assert len(reports) == SHORT.steps
    (news,) = [report.news for report in reports if report.news]
    assert news == f"{tmp_path / 'a.jpg'} cannot be read as a picture, and is left out"
    with pytest.raises(DataError, match="none of 1 pictures can be read"):
        list(distil(teacher, [tmp_path / "a.jpg"], SHORT, tmp_path / "y"))


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"batch": 0}, {"rate": 0.0}, {"rate": float("nan")}])
def test_a_config_by_which_nothing_is_learned_is_refused(wrong):
    with pytest.raises(ConfigError, match="nothing is learned so"):
        replace(SHORT, **wrong)


def test_a_student_learns_to_see_as_its_teacher_does(teacher, folder, tmp_path):
    config = replace(SHORT, steps=60, batch=2, rate=5e-3)
    list(distil(teacher, pictures([folder]), config, tmp_path / "half", log_every=10))
    rows = read_rows(tmp_path / "half/metrics.csv")
    assert [row["step"] for row in rows] == [10, 20, 30, 40, 50, 60]
    assert rows[-1]["difference"] < 0.5 * rows[0]["difference"]
    learned = load_model(tmp_path / "half/last.safetensors", device="cpu", dtype="float32")
    assert learned.config.name == "half" and learned.config.trunk.embed_dim == 8
    images = normalise(torch.from_numpy(make_scene(9, size=(64, 96)).draw(0)[0].image).permute(2, 0, 1)[None])
    begun = narrowed(teacher, 8, name="begun")
    assert difference(learned, teacher, images) < 0.5 * difference(begun, teacher, images)
    rest = {name: weight for name, weight in learned.state_dict().items() if not name.startswith("image_encoder.")}
    assert all(torch.equal(weight.half(), teacher.state_dict()[name].half()) for name, weight in rest.items())


def test_what_is_taken_over_keeps_its_digits_whatever_is_computed_in(teacher, folder, tmp_path):
    (report,) = distil(
        teacher, pictures([folder]), replace(SHORT, steps=1), tmp_path / "x", dtype=torch.bfloat16, log_every=1
    )
    assert 0 < report.metrics["difference"] < 3
    learned = load_model(tmp_path / "x/last.safetensors", device="cpu", dtype="float32").state_dict()
    rest = {name: weight for name, weight in learned.items() if not name.startswith("image_encoder.")}
    assert all(torch.equal(weight.half(), teacher.state_dict()[name].half()) for name, weight in rest.items())


def test_a_run_that_was_stopped_comes_to_the_same_weights(teacher, folder, tmp_path):
    paths = pictures([folder])
    list(distil(teacher, paths, SHORT, tmp_path / "whole" / "x", log_every=3))
    halves, steps = tmp_path / "halves" / "x", []
    steps += [report.step for report in distil(teacher, paths, SHORT, halves, log_every=3, stop=lambda: True)]
    steps += [
        report.step for report in distil(teacher, paths, SHORT, halves, log_every=3, stop=lambda: len(steps) == 5)
    ]
    kept = json.dumps(read_rows(halves / "metrics.csv"))
    steps += [report.step for report in distil(teacher, paths, SHORT, halves, log_every=3)]
    assert steps == list(range(1, 13))
    assert json.dumps(read_rows(halves / "metrics.csv")).startswith(kept[:-1])
    whole, pieced = (
        load_model(tmp_path / name / "x" / "last.safetensors", device="cpu") for name in ("whole", "halves")
    )
    for name, weight in weights(whole).items():
        assert torch.equal(weight, weights(pieced)[name]), name
    assert list(distil(teacher, paths, SHORT, halves)) == []


def test_another_config_or_teacher_is_not_continued(teacher, folder, tmp_path):
    list(distil(teacher, pictures([folder]), replace(SHORT, steps=2), tmp_path / "x"))
    other = copy.deepcopy(teacher)
    with torch.no_grad():
        other.no_mem_embed.add_(1)
    for model, config in ((teacher, SHORT), (other, replace(SHORT, steps=2))):
        with pytest.raises(ConfigError, match="another config or teacher"):
            list(distil(model, pictures([folder]), config, tmp_path / "x"))


def test_the_command(folder, tiny_checkpoint, tmp_path, capsys):
    out = tmp_path / "narrow"
    command = ["distil", str(folder), "--model", str(tiny_checkpoint), "--out", str(out)]
    command += ["--width", "8", "--steps", "3", "--batch", "1"]
    assert main([*command, "--minutes", "0"]) == 0
    assert main(command) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [str(out / "last.safetensors")] * 2
    assert "step 3/3  differs by 1." in printed.err
    assert load_model(out / "last.safetensors").config.name == "narrow"
    assert main(["distil", str(tmp_path / "none"), "--out", str(out)]) == 1
    assert "no JPEG or WebP file there; give folders of pictures" in capsys.readouterr().err

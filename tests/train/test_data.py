"""From a config's sources to batches: what is built, what is refused, the same clips again."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from vidseg.errors import ConfigError, DataError
from vidseg.train.clip import stack
from vidseg.train.config import HeldOutConfig, SourceConfig, StageConfig, TrainConfig
from vidseg.train.data import build_source, check_sources, fixed_clips, gpu_source, stage_batches, subset_clips
from vidseg.train.sources import Mixture, Scenes, Stills, VideoFolders

STAGE = StageConfig(2, (64, 64), 2, 2, 1)
CONFIG = TrainConfig(sources=(SourceConfig("scenes"),), stages=(STAGE,), model="tiny-test", workers=0)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with two stills and one video of three frames, each picture with its index PNG."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for name in ("stills/a", "stills/b", "videos/one/0", "videos/one/1", "videos/one/2"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(f"{path}.jpg", rng.integers(0, 255, (80, 100, 3), dtype=np.uint8))
        mask = np.zeros((80, 100), np.uint8)
        mask[20:60, 30:70] = 1
        cv2.imwrite(f"{path}.png", mask)
    return folder


def test_sources_are_mixed_by_weight(root):
    mixed = build_source(
        [
            SourceConfig("stills", ("stills",), 3.0, {"recipe": {"whole": 1.0}}),
            SourceConfig("videos", ("vid*",), 1.0, {"max_stride": 1}),
        ],
        root,
    )
    assert isinstance(mixed, Mixture)
    assert [type(source) for source in mixed.sources] == [Stills, VideoFolders]
    assert mixed.sources[0].recipe.whole == 1.0 and mixed.sources[1].max_stride == 1
    assert mixed.shares.tolist() == [0.75, 0.25]
    assert isinstance(build_source([SourceConfig("scenes")], root), Scenes)


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (SourceConfig("stills", ("nowhere",)), DataError, "no such data: .*nowhere; set data_root"),
        (SourceConfig("videos", ("videos",), 1.0, {"strides": 3}), ConfigError, "'videos' has no setting 'strides'"),
        (SourceConfig("stills", ("stills",), 1.0, {"recipe": {"bent": 1}}), ConfigError, "recipe: unknown setting"),
    ],
)
def test_mistakes_in_sources_are_named(root, source, error, message):
    with pytest.raises(error, match=message):
        build_source([source], root)


def first(config, start=0, rank=0, count=1):
    batches = stage_batches(config, Scenes(), STAGE, start=start, rank=rank)
    return [next(batches) for _ in range(count)]


def test_batches_can_be_taken_up_anywhere_and_differ_between_processes():
    three = first(CONFIG, count=3)
    assert np.array_equal(three[2]["images"], first(CONFIG, start=2)[0]["images"])
    assert not np.array_equal(three[0]["images"], first(CONFIG, rank=1)[0]["images"])
    assert three[0]["images"].shape == (2, 2, 64, 64, 3)


def test_batches_of_two_processes_are_halves_of_the_double_batch():
    double = next(stage_batches(CONFIG, Scenes(), replace(STAGE, batch=4), start=3))
    halves = [first(CONFIG, start=3, rank=rank)[0] for rank in range(2)]
    for name, whole in double.items():
        assert np.array_equal(np.concatenate([half[name] for half in halves]), whole)


def test_subset_comes_again_and_again():
    config = replace(CONFIG, subset=2)
    pool = {clip.images.tobytes() for clip in subset_clips(config, Scenes())}
    for batch in first(config, count=4):
        assert {images.tobytes() for images in batch["images"]} == pool


def test_fixed_clips_are_fixed():
    one, two = (fixed_clips(Scenes(), 2, seed=3, frames=2, size=(64, 64), objects=1) for _ in range(2))
    assert np.array_equal(stack(one)["images"], stack(two)["images"])
    assert not np.array_equal(one[0].images, one[1].images)


def test_clips_on_the_device_have_the_layout_of_stacked_ones(root):
    config = replace(
        CONFIG, data_root=str(root), sources=(SourceConfig("stills", ("stills",)), SourceConfig("videos", ("videos",)))
    )
    source = gpu_source(config, STAGE, torch.device("cpu"))
    batch = next(stage_batches(config, source, STAGE, start=0))
    expected = first(CONFIG)[0]
    assert batch.keys() == expected.keys()
    assert {key: tuple(value.shape) for key, value in batch.items()} == {
        key: value.shape for key, value in expected.items()
    }
    with pytest.raises(ConfigError, match="clips_on_gpu takes stills and videos only"):
        gpu_source(CONFIG, STAGE, torch.device("cpu"))


def test_sources_on_the_device_are_mixed_by_weight(root):
    stills = [SourceConfig("stills", ("stills",), weight) for weight in (1.0, 3.0)]
    config = replace(CONFIG, data_root=str(root), sources=(*stills, SourceConfig("videos", ("videos",), 4.0)))
    source = gpu_source(config, STAGE, torch.device("cpu"))
    assert source.video_share == 0.5
    np.testing.assert_allclose(source.contents.still_odds, [0.125, 0.125, 0.375, 0.375])


def test_what_clips_on_the_device_cannot_do_is_said(root):
    one, other = (SourceConfig("stills", ("stills",), 1.0, {"recipe": {"whole": whole}}) for whole in (0.5, 1.0))
    with pytest.raises(ConfigError, match="one recipe for all stills"):
        gpu_source(replace(CONFIG, data_root=str(root), sources=(one, other)), STAGE, torch.device("cpu"))
    with pytest.raises(ConfigError, match="makes new clips all the time; leave subset out"):
        gpu_source(replace(CONFIG, data_root=str(root), sources=(one,), subset=2), STAGE, torch.device("cpu"))


def test_a_check_names_what_cannot_be_used_in_any_source(root, tmp_path):
    for place in ("stills", "held-out"):
        (tmp_path / place).mkdir()
        for name in ("good", "bad"):
            for suffix in ("jpg", "png"):
                (tmp_path / place / f"{name}.{suffix}").write_bytes((root / f"stills/a.{suffix}").read_bytes())
        (tmp_path / place / "bad.jpg").write_bytes(b"no picture")
    kept = HeldOutConfig(every=1, sources=(SourceConfig("stills", ("held-out",)),))
    sources = (SourceConfig("stills", ("stills",)), SourceConfig("scenes"))
    found = check_sources(replace(CONFIG, data_root=str(tmp_path), sources=sources, held_out=kept))
    assert [skip.path for skip in found] == [str(tmp_path / place / "bad.jpg") for place in ("stills", "held-out")]

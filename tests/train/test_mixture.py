"""Mixtures draw from their sources by weight."""

import numpy as np
import pytest
from test_loader import Noise
from test_stills import write_still
from test_video_folders import LAYOUTS

from vidseg.errors import DataError
from vidseg.train.clip import Skip, Source
from vidseg.train.sources import Mixture, Scenes, Stills, VideoFolders, mixture

SHAPE = {"frames": 2, "size": (24, 32), "objects": 1}


def test_clips_come_in_shares_of_the_weights():
    mixed = mixture([Scenes(name="a"), Scenes(name="b"), Scenes(name="c")], [3, 1, 0])
    names = [mixed.clip(np.random.default_rng(seed), **SHAPE).source[0] for seed in range(60)]
    assert 35 <= names.count("a") <= 55 and names.count("a") + names.count("b") == 60


def test_one_source_stays_itself():
    source = Scenes()
    assert mixture([source], [2]) is source


@pytest.mark.parametrize("weights", [[1], [1, -1], [0, 0]])
def test_weights_that_do_not_fit_are_refused(weights):
    with pytest.raises(DataError, match="weight"):
        mixture([Scenes(), Scenes()], weights)


def test_reports_are_joined_and_what_is_noted_is_kept_once():
    first, second = Noise(), Noise()
    mixed = Mixture([first, second], [1, 1])
    second.note([Skip("x", "bad")])
    mixed.note([Skip("x", "bad"), Skip("y", "bad")])
    assert mixed.report() == (Skip("y", "bad"), Skip("x", "bad"))


def test_videos_borrow_passing_things_from_the_stills_beside_them(tmp_path):
    write_still(tmp_path / "stills", "one")
    LAYOUTS["plain"](tmp_path / "video")
    stills, videos = Stills(tmp_path / "stills"), VideoFolders(tmp_path / "video", extras_share=1.0)
    bare = videos.clip(np.random.default_rng(1), **SHAPE)
    mixture([videos, stills], [1, 1])
    assert videos.extras is stills
    assert (videos.clip(np.random.default_rng(1), **SHAPE).images != bare.images).any()


def test_every_source_keeps_the_promise_of_a_source(tmp_path):
    write_still(tmp_path / "stills", "one")
    LAYOUTS["plain"](tmp_path / "video")
    sources = [Stills(tmp_path / "stills"), VideoFolders(tmp_path / "video"), Scenes()]
    for source in [*sources, mixture(sources, [1, 1, 1])]:
        assert isinstance(source, Source) and len(source) > 0
        assert source.clip(np.random.default_rng(0), **SHAPE).images.shape == (2, 24, 32, 3)

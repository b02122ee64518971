"""Fixtures of the video tests."""

from pathlib import Path

import pytest
from numbered import write_video


@pytest.fixture
def make_video(tmp_path):
    """Write a video of numbered frames into the test's own folder; see `write_video` for the settings."""

    def make(name: str = "clip.mp4", **settings) -> Path:
        return write_video(tmp_path / name, **settings)

    return make

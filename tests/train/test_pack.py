"""Packs hold what the folders hold, reduced, and are read by the same sources."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_stills import write_still
from test_video_folders import LAYOUTS

from vidseg.errors import DataError
from vidseg.train.sources import Stills, VideoFolders
from vidseg.train.sources.pack import pack
from vidseg.train.sources.store import Cache, Store

SHAPE = {"frames": 3, "size": (32, 48), "objects": 2}


def test_pictures_that_are_small_enough_are_copied_and_give_the_same_clips(tmp_path):
    for number in range(4):
        write_still(tmp_path / "stills" / "set", str(number))
    parts, skips = pack(tmp_path / "stills", tmp_path / "packed", short_side=90)
    assert [part.name for part in parts] == ["packed-000.zip"] and skips == ()
    one, other = (
        Stills(root).clip(np.random.default_rng(2), **SHAPE)
        for root in (tmp_path / "stills", tmp_path / "packed-000.zip")
    )
    np.testing.assert_array_equal(one.images, other.images)
    np.testing.assert_array_equal(one.masks, other.masks)


def test_larger_pictures_and_masks_are_reduced_alike(tmp_path):
    write_still(tmp_path / "stills", "one", size=(90, 140))
    parts, _ = pack(tmp_path / "stills", tmp_path / "packed", short_side=45)
    with zipfile.ZipFile(parts[0]) as part:
        sizes = {name: Image.open(part.open(name)).size for name in part.namelist()}
    assert sizes == {"one.png": (70, 45), "one.webp": (70, 45)}


def test_no_part_is_larger_than_asked_and_all_parts_together_are_a_source(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(6):
        write_still(tmp_path / "stills", str(number))
        noise = Image.fromarray(rng.integers(0, 256, (90, 140, 3), dtype=np.uint8))
        noise.save(tmp_path / "stills" / f"{number}.webp", lossless=True)
    parts, _ = pack(tmp_path / "stills", tmp_path / "packed" / "p", short_side=90, part_mib=0.1)
    assert len(parts) > 2 and max(part.stat().st_size for part in parts) <= 0.1 * 2**20
    assert len(Stills(parts)) == len(Stills(tmp_path / "packed")) == 6


@pytest.mark.parametrize("layout", ["davis", "sa-v", "plain"])
def test_video_layouts_survive_packing(tmp_path, layout):
    LAYOUTS[layout](tmp_path / "video")
    parts, _ = pack(tmp_path / "video", tmp_path / "packed", short_side=48)
    source = VideoFolders(parts)
    assert len(source) == 1 and source.clip(np.random.default_rng(0), **SHAPE).masks[0].any()


def test_broken_files_are_left_out_and_named(tmp_path):
    write_still(tmp_path / "stills", "one")
    (tmp_path / "stills" / "two.webp").write_bytes(b"no picture")
    _, skips = pack(tmp_path / "stills", tmp_path / "packed", short_side=90)
    assert [(Path(skip.path).name, skip.reason) for skip in skips] == [("two.webp", "cannot be decoded as an image")]


def test_nothing_to_pack_is_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="nothing was packed"):
        pack(tmp_path / "empty", tmp_path / "packed", short_side=90)


def test_a_root_that_is_neither_folder_nor_pack_is_refused(tmp_path):
    with pytest.raises(DataError, match="neither a folder nor a pack"):
        Store(tmp_path / "absent")


def test_a_damaged_pack_is_refused(tmp_path):
    (tmp_path / "bad.zip").write_bytes(b"not a zip")
    with pytest.raises(DataError, match="not a readable zip file"):
        Store(tmp_path / "bad.zip")


def test_the_cache_drops_what_was_used_longest_ago():
    made = []
    cache = Cache(limit_mb=2e-6)
    for key in "abaca":
        cache.get(key, lambda key=key: (made.append(key), 1))
    assert made == ["a", "b", "c"]
    cache.get("b", lambda: (made.append("b"), 1))
    assert made == ["a", "b", "c", "b"]

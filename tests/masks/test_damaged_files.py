"""Files with damage at random places: every reader returns masks or raises MaskFormatError in one line."""

import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidseg.errors import MaskFormatError
from vidseg.masks import formats, rle
from vidseg.masks.annotation import Annotation, Track, checked
from vidseg.types import Box

NOISE = np.random.default_rng(1).random((4, 12, 16)) < 0.4
TRACKS = tuple(
    Track(number, "a", "car", {f: rle.encode(NOISE[f]) for f in range(3)}, {0: 0.5}, {3: Box(1, 2, 3, 4)})
    for number in (1, 2)
)
CLIP = Annotation("clip", (12, 16), 4, TRACKS, (0.0, 0.1, 0.2, 0.3), 10.0)
JUNK = [
    b"null",
    b"-1",
    b"1e999",
    b"NaN",
    b'"',
    b"{}",
    b"[]",
    b"9" * 20,
    b"0",
    b"\xff",
    b"\x00",
    b"x",
    b",",
    b"1.5",
    b"true",
]
WORD = re.compile(rb'[\w.\-]+|"[^"]*"|\[[^\[\]]*\]')


def damage(content, data):
    """Cut out, insert or replace something at one place."""
    words = [match.span() for match in WORD.finditer(content)]
    how = data.draw(st.sampled_from(["cut", "insert", "replace"]))
    if how == "replace" and words:
        start, stop = data.draw(st.sampled_from(words))
    else:
        start = data.draw(st.integers(0, len(content)))
        stop = start + (data.draw(st.sampled_from([1, 4, 50])) if how == "cut" else 0)
    return content[:start] + (b"" if how == "cut" else data.draw(st.sampled_from(JUNK))) + content[stop:]


@pytest.mark.parametrize("name", formats.READABLE)
@settings(max_examples=15)
@given(data=st.data())
def test_damaged_files_are_read_or_refused_in_one_line(name, data):
    with tempfile.TemporaryDirectory() as folder:
        formats.find(name).write(CLIP, folder)
        files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        path = data.draw(st.sampled_from(files))
        path.write_bytes(damage(path.read_bytes(), data))
        try:
            found = formats.find(name, reading=True).read(folder)
            videos = checked(found)
        except MaskFormatError as error:
            assert "\n" not in str(error)
        else:
            assert all(
                rle.decode(mask).shape == one.size for one in videos for t in one.tracks for mask in t.masks.values()
            )


@pytest.mark.parametrize(
    ("name", "file", "old", "new", "message"),
    [
        ("sav", "clip_manual.json", '"video_frame_count": 4.0', '"video_frame_count": 1e15', "videos have at most"),
        ("sav", "clip_manual.json", '"video_height": 12.0', '"video_height": 1e8', "more than any picture"),
        ("coco-video", "annotations/instances.json", '"length": 4', '"length": 99999999999', "videos have at most"),
        ("mots", "instances_txt/clip.txt", "0 1002", "99999999999 1002", "videos have at most"),
        ("cvat", "clip.xml", "<size>4<", "<size>99999999999<", "videos have at most"),
        ("yolo-seg", "data.yaml", '"frames": 4', '"frames": 99999999999', "videos have at most"),
        ("yolo-seg", "data.yaml", '"frames": 4', '"frames": 4, "frame_names": ["a"]', "4 frames and 1 frame names"),
    ],
)
def test_absurd_lengths_and_sizes_are_refused_before_memory_is_taken(tmp_path, name, file, old, new, message):
    formats.find(name).write(CLIP, tmp_path)
    path = tmp_path / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(MaskFormatError, match=message):
        formats.find(name).read(path if name == "mots" else tmp_path)

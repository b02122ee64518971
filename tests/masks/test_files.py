import json

import numpy as np
import pytest
from PIL import Image

from vidseg.errors import MaskFormatError
from vidseg.masks import files


def test_a_file_that_was_not_finished_leaves_the_old_one_and_no_trace(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), files.replacing(path) as file:
        file.write("new")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_json_lists_are_drawn_from_iterators_as_they_are_written(tmp_path):
    seen = []

    def items():
        for n in range(3):
            seen.append((tmp_path / "a.json.part").exists())
            yield {"n": n}

    files.write_json(tmp_path / "a.json", {"first": [1], "items": items(), "none": iter(()), "last": "x"})
    assert seen == [True] * 3
    assert files.read_json(tmp_path / "a.json") == {
        "first": [1],
        "items": [{"n": 0}, {"n": 1}, {"n": 2}],
        "none": [],
        "last": "x",
    }
    files.write_json(tmp_path / "b.json", iter([1, 2]))
    assert json.loads((tmp_path / "b.json").read_text()) == [1, 2]


def test_numbers_that_json_does_not_know_are_refused(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "a.json", {"score": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"), [("{", "is not JSON"), ("[" * 100_000, "is not JSON"), (None, "cannot be")]
)
def test_damaged_and_missing_json_is_named(tmp_path, text, message):
    if text is not None:
        (tmp_path / "a.json").write_text(text)
    with pytest.raises(MaskFormatError, match=rf"a\.json {message}"):
        files.read_json(tmp_path / "a.json")


def test_sixteen_bit_pngs_keep_their_numbers(tmp_path):
    pixels = np.array([[0, 1, 255, 256, 65535]], np.uint16)
    files.write_png(tmp_path / "a.png", pixels)
    with Image.open(tmp_path / "a.png") as image:
        assert np.array(image).astype(int).tolist() == pixels.tolist()

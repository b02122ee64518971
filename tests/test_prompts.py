"""Prompts written as text: what is read, and what every mistake is told."""

import json

import numpy as np
import pytest
from PIL import Image

from vidseg.errors import MaskFormatError, PromptError
from vidseg.masks import palette, rle
from vidseg.prompts import from_json, merge_prompts, parse_box, parse_click, parse_mask, read_prompts, to_json
from vidseg.types import Box, Click, Prompt


def said(prompt):
    """All of a prompt, comparable."""
    mask = None if prompt.mask is None else rle.encode(prompt.mask)
    return prompt.object, prompt.frame, prompt.clicks, prompt.box, mask


@pytest.mark.parametrize(
    ("text", "object", "frame", "x", "y"),
    [("0:320,180", 1, 0, 320, 180), ("12:45.5,80@2", 2, 12, 45.5, 80), ("3:-1,1e2@255", 255, 3, -1, 100)],
)
def test_a_click_is_read(text, object, frame, x, y):
    assert said(parse_click(text)) == (object, frame, (Click(x, y, True),), None, None)
    assert parse_click(text, on=False).clicks == (Click(x, y, False),)


def test_a_box_is_read():
    assert said(parse_box("4:1,2,30.5,40@7")) == (7, 4, (), Box(1, 2, 30.5, 40), None)


@pytest.mark.parametrize(
    "text", ["320,180", "a:1,2", "0:1", "0:1,2,3", "0:x,y", "0:", "", "1.5:2,3", "0:1,2@", "0:1,2@b"]
)
def test_a_click_of_another_form_is_refused(text):
    with pytest.raises(PromptError, match=r"is not F:X,Y\[@ID\]; expected .* such as 0:320,180@2"):
        parse_click(text)


def test_a_box_needs_four_numbers():
    with pytest.raises(PromptError, match=r"'0:1,2,3' is not F:X1,Y1,X2,Y2\[@ID\]; expected 4 numbers"):
        parse_box("0:1,2,3")


def test_object_ids_start_at_one():
    with pytest.raises(PromptError, match="names the object 0; object ids start at 1"):
        parse_click("0:1,2@0")


def test_an_index_mask_gives_a_prompt_for_each_object(tmp_path):
    index = np.zeros((6, 8), np.uint8)
    index[:2], index[4:, 3:] = 3, 9
    palette.write_index(tmp_path / "a@b:c.png", index)
    prompts = parse_mask(f"5:{tmp_path}/a@b:c.png")
    assert [(p.object, p.frame) for p in prompts] == [(3, 5), (9, 5)]
    np.testing.assert_array_equal(prompts[1].mask, index == 9)


def test_a_black_and_white_picture_is_one_object(tmp_path):
    picture = np.zeros((6, 8), np.uint8)
    picture[2:] = 255
    Image.fromarray(picture).save(tmp_path / "mask.png")
    (prompt,) = parse_mask(f"0:{tmp_path}/mask.png")
    assert prompt.object == 1
    np.testing.assert_array_equal(prompt.mask, picture > 0)


def test_with_an_id_a_picture_is_the_mask_of_that_object(tmp_path):
    soft = np.tile(np.array([0, 100, 127, 128, 254], np.uint8), (4, 1))
    Image.fromarray(soft).convert("RGB").save(tmp_path / "soft.png")
    (prompt,) = parse_mask(f"0:{tmp_path}/soft.png@6")
    assert prompt.object == 6
    np.testing.assert_array_equal(prompt.mask, soft >= 127)


def test_with_an_id_an_index_mask_gives_that_object_alone(tmp_path):
    index = np.array([[0, 1, 2]], np.uint8)
    palette.write_index(tmp_path / "index.png", index)
    (prompt,) = parse_mask(f"0:{tmp_path}/index.png@2")
    np.testing.assert_array_equal(prompt.mask, index == 2)
    with pytest.raises(PromptError, match="holds the objects 1, 2 but no object 5; give one of their ids"):
        parse_mask(f"0:{tmp_path}/index.png@5")


@pytest.mark.parametrize("suffix", ["", "@1"])
def test_an_unusable_mask_is_named(tmp_path, suffix):
    with pytest.raises(MaskFormatError, match=r"nowhere\.png does not exist"):
        parse_mask(f"0:{tmp_path}/nowhere.png{suffix}")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG nothing")
    with pytest.raises(MaskFormatError, match="cannot be read as a picture"):
        parse_mask(f"0:{tmp_path}/broken.png{suffix}")
    palette.write_index(tmp_path / "empty.png", np.zeros((3, 3), np.uint8))
    with pytest.raises(PromptError, match="every pixel is 0"):
        parse_mask(f"0:{tmp_path}/empty.png{suffix}")


def test_json_says_the_same_again():
    mask = np.eye(5, dtype=bool)
    prompts = [
        Prompt(1, 0, clicks=(Click(1, 2), Click(3.5, 4, False))),
        Prompt(2, 7, box=Box(0, 1, 2, 3)),
        Prompt(3, 2, mask=mask),
    ]
    again = from_json(json.loads(json.dumps(to_json(prompts))))
    assert [said(p) for p in again] == [said(p) for p in prompts]


def test_a_file_of_prompts_is_read_with_masks_beside_it(tmp_path):
    palette.write_index(tmp_path / "mask.png", np.array([[0, 1], [1, 1]], np.uint8))
    entries = [{"frame": 0, "clicks": [[1, 2, False]]}, {"frame": 3, "object": 2, "mask": "mask.png"}]
    for content in (entries, {"prompts": entries, "other": 1}):
        (tmp_path / "p.json").write_text(json.dumps(content))
        first, second = read_prompts(tmp_path / "p.json")
        assert said(first) == (1, 0, (Click(1, 2, False),), None, None)
        assert (second.object, second.frame, int(second.mask.sum())) == (2, 3, 3)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (7, r"prompts\[0\] is 7; expected an object such as"),
        ({"frame": 0, "click": [[1, 2]]}, r"unknown key 'click'; did you mean 'clicks'\?"),
        ({"frame": 0, "zzz": 1}, "unknown key 'zzz'; expected object, frame, clicks, box, mask"),
        ({"clicks": [[1, 2]]}, r"prompts\[0\].frame is None; expected a whole number"),
        ({"frame": 1.5, "clicks": [[1, 2]]}, "frame is 1.5; expected a whole number"),
        ({"frame": True, "clicks": [[1, 2]]}, "frame is True; expected a whole number"),
        ({"frame": 0, "object": "cat", "box": [1, 2, 3, 4]}, "object is 'cat'; expected a whole number"),
        ({"frame": 0, "clicks": 3}, r"clicks is 3; expected a list of \[x, y\] or \[x, y, on\]"),
        ({"frame": 0, "clicks": [[1]]}, r"clicks\[0\] is \[1\]; expected a list of 2 or 3 numbers"),
        ({"frame": 0, "clicks": [["a", 2]]}, "expected a list of 2 or 3 numbers"),
        ({"frame": 0, "box": [1, 2, 3]}, r"box is \[1, 2, 3\]; expected a list of 4 numbers"),
        ({"frame": 0, "mask": 5}, "mask is 5; expected the path of a picture or a COCO RLE"),
        ({"frame": 0, "mask": {"size": [2, 2], "counts": [3]}}, r"prompts\[0\].mask: RLE counts add up to 3"),
        ({"frame": 0}, "says nothing of its object; expected clicks, a box or a mask"),
    ],
)
def test_every_mistake_in_json_is_named_with_its_place(entry, message):
    with pytest.raises(PromptError, match=message):
        from_json([entry])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"cannot read the prompts .*p\.json: No such file"),
        ("{", r"are not JSON"),
        ('{"a": 1}', 'have no list "prompts"; expected'),
        ("3", 'have no list "prompts"; expected'),
    ],
)
def test_a_file_that_holds_no_prompts_is_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "p.json").write_text(content)
    with pytest.raises(PromptError, match=message):
        read_prompts(tmp_path / "p.json")


def test_prompts_with_one_id_on_one_frame_belong_together():
    merged = merge_prompts(
        [
            Prompt(2, 5, clicks=(Click(1, 1),)),
            Prompt(1, 5, box=Box(0, 0, 9, 9)),
            Prompt(1, 0, clicks=(Click(2, 2),)),
            Prompt(1, 5, clicks=(Click(3, 3), Click(4, 4, False))),
            Prompt(1, 5, clicks=(Click(3, 3),)),
        ]
    )
    assert [said(p) for p in merged] == [
        (1, 0, (Click(2, 2),), None, None),
        (1, 5, (Click(3, 3), Click(4, 4, False)), Box(0, 0, 9, 9), None),
        (2, 5, (Click(1, 1),), None, None),
    ]


@pytest.mark.parametrize("twice", [{"box": Box(0, 0, 1, 1)}, {"mask": np.ones((2, 2), bool)}])
def test_two_boxes_or_masks_for_one_object_on_one_frame_are_refused(twice):
    with pytest.raises(PromptError, match=r"two (boxes|masks) for object 1 on frame 4; give one"):
        merge_prompts([Prompt(1, 4, **twice), Prompt(1, 4, **twice)])

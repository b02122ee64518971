"""The scenes that other tests trust: they must be what they say."""

import cv2
import numpy as np
import pytest

from vidseg.errors import ConfigError
from vidseg.scene import make_scene, write_scene


def test_a_frame_is_the_same_whenever_and_in_whatever_order_it_is_drawn():
    first, second = make_scene(3), make_scene(3)
    later, earlier = first.draw(7), first.draw(2)
    np.testing.assert_array_equal(second.draw(2)[0].image, earlier[0].image)
    np.testing.assert_array_equal(second.draw(7)[1], later[1])
    assert (later[0].index, later[0].seconds) == (7, 7 / 25)
    assert not np.array_equal(make_scene(4).draw(2)[0].image, earlier[0].image)


def test_the_mask_is_where_the_object_is_drawn():
    with_one, with_two = make_scene(5, objects=1), make_scene(5, objects=2)
    alone, both = with_one.draw(0), with_two.draw(0)
    assert set(np.unique(both[1])) == {0, 1, 2}
    inside = cv2.erode((alone[1] == 1).astype(np.uint8), np.ones((3, 3))) > 0
    far = cv2.dilate((alone[1] == 1).astype(np.uint8), np.ones((3, 3))) == 0
    bare = with_one.__class__(with_one.size, with_one.fps, (), with_one.background).draw(0)[0].image
    changed = (bare != alone[0].image).any(axis=2)
    assert changed[inside].mean() > 0.95
    assert not changed[far].any()


def test_objects_move_and_change_their_shape():
    scene = make_scene(1, objects=1)
    masks = [scene.draw(index)[1] > 0 for index in (0, 20, 40)]
    centres = [np.argwhere(mask).mean(axis=0) for mask in masks]
    assert np.linalg.norm(centres[0] - centres[2]) > 3
    assert len({int(mask.sum()) for mask in masks}) == 3


@pytest.mark.parametrize("seed", range(4))
def test_a_click_lies_on_the_visible_part_of_its_object(seed):
    scene = make_scene(seed, objects=2)
    for object in (1, 2):
        x, y, on = scene.click(0, object)
        assert on
        assert scene.draw(0)[1][int(y), int(x)] == object


def test_an_object_that_is_not_seen_cannot_be_clicked():
    with pytest.raises(ConfigError, match="object 9 is hidden in frame 0"):
        make_scene().click(0, 9)


@pytest.mark.parametrize("wrong", [{"objects": 0}, {"objects": 256}, {"size": (8, 100)}, {"fps": 0.0}])
def test_a_scene_that_cannot_be_made_says_why(wrong):
    with pytest.raises(ConfigError, match="cannot be made; expected 1-255 objects"):
        make_scene(**wrong)


def test_a_folder_of_frames_holds_the_very_pixels(tmp_path):
    scene = make_scene(2, size=(32, 40))
    folder = write_scene(scene, tmp_path / "frames", frames=3)
    assert sorted(path.name for path in folder.iterdir()) == ["00000.png", "00001.png", "00002.png"]
    read = cv2.imread(str(folder / "00002.png"))[..., ::-1]
    np.testing.assert_array_equal(read, scene.draw(2)[0].image)

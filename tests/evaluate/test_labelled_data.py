"""Every layout is recognised and read; what cannot be used is named."""

import json
from pathlib import Path

import numpy as np
import pytest
from labelled import SIZE, Make, scene_of

from vidseg.errors import DataError, MaskFormatError
from vidseg.evaluate import open_dataset
from vidseg.evaluate.methods import video_of
from vidseg.evaluate.protocols import PROTOCOLS, Task, find_protocol
from vidseg.masks import palette, rle


@pytest.mark.parametrize("inner", ["480p", "."])
def test_davis_with_and_without_480p(davis: Make, inner: str) -> None:
    dataset = open_dataset(davis(inner=inner))
    assert (dataset.layout, [video.name for video in dataset.videos]) == ("davis", ["a", "b"])
    video = dataset.videos[0]
    assert video.labels.frames() == tuple(range(6))
    truth = video.labels.read(3)
    index = scene_of("a").draw(3)[1]
    assert truth.size == SIZE
    assert all(np.array_equal(truth.masks[n], index == n) for n in (1, 2))


def test_zeros_and_255_call_for_davis_2016_and_ids_for_davis_2017(davis: Make) -> None:
    assert find_protocol("auto", open_dataset(davis(binary=True))).name == "davis2016"


def test_ids_call_for_davis_2017(davis: Make) -> None:
    assert find_protocol("auto", open_dataset(davis())).name == "davis2017"


def test_davis_2016_merges_all_objects_and_leaves_out_both_ends(davis: Make) -> None:
    task = Task(open_dataset(davis()).videos[0], PROTOCOLS["davis2016"])
    assert task.starts == {1: 0}
    assert task.counted(1) == (1, 2, 3, 4)
    assert np.array_equal(task.truth(2)[0], scene_of("a").draw(2)[1][None] > 0)


def test_davis_2017_takes_the_objects_of_the_first_mask_and_255_as_background(davis: Make) -> None:
    root = davis(names=("a",))
    later = root / "Annotations/480p/a/00003.png"
    index = palette.read_index(later)
    index[0], index[1] = 9, 255
    palette.write_index(later, index)
    task = Task(open_dataset(root).videos[0], PROTOCOLS["davis2017"])
    assert task.objects == (1, 2)
    masks, void = task.truth(3)
    assert void is None
    assert not masks[:, :2].any()


def test_youtubevos_prompts_an_object_where_it_appears_and_scores_it_afterwards(youtubevos: Path) -> None:
    dataset = open_dataset(youtubevos)
    task = Task(dataset.videos[0], find_protocol("auto", dataset))
    assert (dataset.layout, task.protocol.name) == ("youtubevos", "youtubevos")
    assert task.starts == {1: 0, 2: 5}
    assert [task.counted(n) for n in (1, 2)] == [(5, 10), (10,)]


def test_sav_keeps_a_folder_an_object_and_leaves_out_both_ends(sav: Path) -> None:
    dataset = open_dataset(sav)
    task = Task(dataset.videos[0], find_protocol("auto", dataset))
    assert (dataset.layout, task.protocol.name) == ("sav", "sav")
    assert [task.name(n) for n in task.objects] == ["000", "001"]
    assert [task.counted(n) for n in task.objects] == [(4, 8), (4, 8)]
    index = scene_of("v").draw(4)[1]
    assert np.array_equal(task.truth(4)[0], np.stack([index > 0, index == 2]))
    assert len(video_of(task)) == 13


def test_sav_counts_for_each_object_the_frames_it_was_annotated_on(sav: Path) -> None:
    (sav / "Annotations_6fps/v/001/00012.png").unlink()
    task = Task(open_dataset(sav).videos[0], PROTOCOLS["sav"])
    assert [task.counted(n) for n in task.objects] == [(4, 8), (4,)]


def test_sav_counts_a_late_object_from_its_first_appearance_on(sav: Path) -> None:
    for frame in (0, 4):
        palette.write_index(sav / f"Annotations_6fps/v/001/{frame:05d}.png", np.zeros(SIZE, np.uint8))
    task = Task(open_dataset(sav).videos[0], PROTOCOLS["sav"])
    assert [task.counted(n) for n in task.objects] == [(4, 8), (8,)]


def test_masklet_files_belong_to_every_fourth_frame_of_a_video(masklets: Path) -> None:
    dataset = open_dataset(masklets)
    task = Task(dataset.videos[0], find_protocol("auto", dataset))
    assert (dataset.layout, task.protocol.name) == ("sav-json", "sav")
    assert task.starts == {1: 0, 2: 4}
    assert [task.name(n) for n in task.objects] == ["7", "9"]
    assert np.array_equal(task.truth(8)[0], np.stack([scene_of("sav_1").draw(8)[1] == n for n in (1, 2)]))
    assert len(video_of(task)) == 9


def test_plain_folders_hold_pictures_and_masks_side_by_side(plain: Path) -> None:
    dataset = open_dataset(plain)
    task = Task(dataset.videos[0], find_protocol("auto", dataset))
    assert (dataset.layout, task.protocol.name) == ("plain", "all")
    assert task.counted(1) == (1, 2, 3, 4)
    void = task.truth(1)[1]
    assert void is not None
    assert void[:4].all() and not void[4:].any()
    assert video_of(task).size == SIZE


def test_a_folder_of_masks_alone_is_one_sequence(tmp_path: Path) -> None:
    for name in ("frame2", "frame10", "frame1"):
        palette.write_index(tmp_path / "only" / f"{name}.png", np.eye(4, dtype=np.uint8))
    (video,) = open_dataset(tmp_path / "only").videos
    assert (video.name, video.stems) == ("only", ("frame1", "frame2", "frame10"))
    with pytest.raises(DataError, match="sequence only has masks but no pictures"):
        video_of(Task(video, PROTOCOLS["all"]))


def test_masks_belong_to_pictures_by_name_not_by_position(davis: Make) -> None:
    root = davis(names=("a",))
    for frame in (0, 1, 4):
        (root / f"Annotations/480p/a/{frame:05d}.png").unlink()
    assert open_dataset(root).videos[0].labels.frames() == (2, 3, 5)


def test_sequences_are_chosen_by_name_in_the_order_given(davis: Make) -> None:
    dataset = open_dataset(davis())
    assert [video.name for video in dataset.select(("b", "a")).videos] == ["b", "a"]
    with pytest.raises(DataError, match="has no sequence 'c'; it has a, b"):
        dataset.select(("c",))


def test_a_sequence_without_pictures_is_skipped_and_named(davis: Make) -> None:
    root = davis()
    for path in (root / "JPEGImages/480p/a").iterdir():
        path.unlink()
    dataset = open_dataset(root)
    assert [video.name for video in dataset.videos] == ["b"]
    assert len(dataset.skipped) == 1
    assert dataset.skipped[0].startswith("a: no pictures in ")


def test_masks_that_belong_to_no_picture_are_named(davis: Make) -> None:
    root = davis(names=("a",))
    for path in list((root / "Annotations/480p/a").iterdir()):
        path.rename(path.with_name(f"x{path.name}"))
    with pytest.raises(DataError, match=r"holds no labelled video \(a: no mask in .* belongs to a picture\)"):
        open_dataset(root)


@pytest.mark.parametrize("layout", ["davis", "sav", "plain"])
def test_a_mask_without_a_picture_among_others_is_counted_and_named(layout: str, request) -> None:
    made = request.getfixturevalue(layout)
    root = made(names=("a",)) if layout == "davis" else made
    assert open_dataset(root).skipped == ()
    lone = next(root.rglob("00004.jpg"))
    lone.unlink()
    (line,) = open_dataset(root).skipped
    assert line.startswith(f"{lone.parent.name}: ") and "masks belong to no picture, the first being" in line
    assert line.endswith("00004.png")


def test_an_object_that_never_appears_is_named(sav: Path, youtubevos: Path, masklets: Path) -> None:
    assert all(open_dataset(root).videos[0].absent() == () for root in (sav, youtubevos, masklets))
    meta = {"videos": {"late": {"objects": {"1": {}, "2": {}, "9": {}}}}}
    (youtubevos / "meta.json").write_text(json.dumps(meta))
    palette.write_index(sav / "Annotations_6fps/v/002/00004.png", np.zeros(SIZE, np.uint8))
    content = json.loads((masklets / "sav_1_manual.json").read_text())
    for coded in content["masklet"]:
        coded[1] = rle.encode(np.zeros(SIZE, bool))
    (masklets / "sav_1_manual.json").write_text(json.dumps(content))
    assert [open_dataset(root).videos[0].absent() for root in (sav, youtubevos, masklets)] == [
        ("v: object 002 is listed and never appears in a mask",),
        ("late: object 9 is listed and never appears in a mask",),
        ("sav_1: object 9 is listed and never appears in a mask",),
    ]


@pytest.mark.parametrize("content", ["[", "[]", '{"videos": {"late": {}}}'])
def test_a_file_that_is_no_list_of_objects_is_named(youtubevos: Path, content: str) -> None:
    (youtubevos / "meta.json").write_text(content)
    dataset = open_dataset(youtubevos)
    assert dataset.layout == "youtubevos" and dataset.videos[0].absent() == ()
    assert dataset.skipped[0].startswith(f"{youtubevos / 'meta.json'}: not a list of videos and objects")


def test_pictures_of_two_kinds_are_refused(davis: Make) -> None:
    root = davis(names=("a",))
    (root / "JPEGImages/480p/a/00000.jpg").rename(root / "JPEGImages/480p/a/00000.jpeg")
    with pytest.raises(DataError, match="have different endings; expected one kind"):
        open_dataset(root)


def test_a_missing_or_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere is not a folder"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no labelled video"):
        open_dataset(tmp_path)


def test_an_unlabelled_first_frame_is_named(davis: Make) -> None:
    root = davis(names=("a",))
    palette.write_index(root / "Annotations/480p/a/00000.png", np.zeros(SIZE, np.uint8))
    with pytest.raises(DataError, match="sequence a: no object is labelled in its first annotated frame"):
        _ = Task(open_dataset(root).videos[0], PROTOCOLS["davis2017"]).starts


def test_a_damaged_mask_is_named(davis: Make) -> None:
    root = davis(names=("a",))
    path = root / "Annotations/480p/a/00002.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(MaskFormatError, match=r"00002\.png cannot be read"):
        Task(open_dataset(root).videos[0], PROTOCOLS["davis2017"]).truth(2)


def test_objects_of_one_frame_must_have_one_size(sav: Path) -> None:
    palette.write_index(sav / "Annotations_6fps/v/001/00004.png", np.ones((5, 6), np.uint8))
    with pytest.raises(DataError, match=r"00004\.png is \(6, 5\) pixels"):
        open_dataset(sav).videos[0].labels.read(4)


@pytest.mark.parametrize(("content", "message"), [("[", "expected JSON"), ("{}", "has no 'masklet'")])
def test_a_file_that_is_no_masklet_file_is_named(masklets: Path, content: str, message: str) -> None:
    (masklets / "sav_1_manual.json").write_text(content)
    with pytest.raises(MaskFormatError, match=message):
        open_dataset(masklets)


def test_masklets_without_their_video_are_skipped(masklets: Path) -> None:
    (masklets / "sav_2_manual.json").write_text(json.dumps({}))
    dataset = open_dataset(masklets)
    assert [video.name for video in dataset.videos] == ["sav_1"]
    assert dataset.skipped[0].startswith("sav_2: ")


def test_an_unknown_protocol_is_refused(plain: Path) -> None:
    with pytest.raises(DataError, match="unknown protocol 'davis'; choose one of auto, davis2016"):
        find_protocol("davis", open_dataset(plain))

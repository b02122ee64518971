"""DAVIS, YouTube-VOS and MOTS: folders of PNGs, and the text form of MOTS."""

import json

import numpy as np
import pytest
from PIL import Image

from vidseg.errors import MaskFormatError
from vidseg.masks import files, palette, rle
from vidseg.masks.annotation import Annotation, Track
from vidseg.masks.formats import davis, mots, youtube_vos

coco = pytest.importorskip("pycocotools.mask", reason="pycocotools reads the run lengths of MOTS files")

LEFT = np.zeros((4, 6), bool)
LEFT[:, :3] = True
ANNOTATION = Annotation(
    "clip",
    (4, 6),
    3,
    (
        Track(1, category="car", masks={0: rle.encode(LEFT), 2: rle.encode(~LEFT)}),
        Track(2, category="pedestrian", masks={0: rle.encode(~LEFT)}),
        Track(3, category="tram", masks={1: rle.encode(LEFT)}),
    ),
)


def test_davis_folders_hold_palette_pngs_of_every_frame(tmp_path):
    davis.write(ANNOTATION, tmp_path)
    names = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*"))
    assert names == [*(f"Annotations/clip/0000{n}.png" for n in range(3)), "ImageSets/all.txt"]
    with Image.open(tmp_path / "Annotations" / "clip" / "00000.png") as image:
        assert image.mode == "P"
        assert image.getpalette()[: 3 * 3] == [0, 0, 0, 128, 0, 0, 0, 128, 0]
        np.testing.assert_array_equal(np.array(image), np.where(LEFT, 1, 2))
    assert (tmp_path / "ImageSets" / "all.txt").read_text() == "clip\n"


@pytest.mark.parametrize("inside", ["", "Annotations/clip", "Annotations"])
def test_davis_is_read_from_the_root_one_video_or_the_folder_of_videos(tmp_path, inside):
    davis.write(ANNOTATION, tmp_path)
    (back,) = davis.read(tmp_path / inside)
    assert back.video == "clip"
    assert [t.masks for t in back.tracks] == [t.masks for t in ANNOTATION.tracks]


def test_the_original_layout_with_a_resolution_folder_is_read(tmp_path):
    davis.write(ANNOTATION, tmp_path / "480p")
    (tmp_path / "root" / "Annotations").mkdir(parents=True)
    (tmp_path / "480p" / "Annotations").rename(tmp_path / "root" / "Annotations" / "480p")
    assert [a.video for a in davis.read(tmp_path / "root")] == ["clip"]


def test_frame_names_that_skip_numbers_are_kept(tmp_path):
    for n in (0, 5, 10):
        palette.write_index(tmp_path / "clip" / f"{n:05d}.png", LEFT.astype(np.uint8))
    (back,) = davis.read(tmp_path)
    assert back.frame_names == ("00000", "00005", "00010")
    assert sorted(back.tracks[0].masks) == [0, 1, 2]
    davis.write(back, tmp_path / "again")
    assert sorted(p.name for p in (tmp_path / "again" / "Annotations" / "clip").iterdir()) == [
        "00000.png",
        "00005.png",
        "00010.png",
    ]


def test_masks_of_two_sizes_in_one_video_are_refused(tmp_path):
    palette.write_index(tmp_path / "00000.png", np.zeros((4, 6), np.uint8))
    palette.write_index(tmp_path / "00001.png", np.zeros((6, 4), np.uint8))
    with pytest.raises(MaskFormatError, match=r"00001\.png is 4x6; the first mask of its video is 6x4"):
        davis.read(tmp_path)


def test_real_davis_masks_survive(shared, tmp_path):
    folder = shared / "data" / "davis-dev" / "Annotations" / "blackswan"
    (annotation,) = davis.read(folder)
    assert annotation.size == (480, 854)
    assert [track.id for track in annotation.tracks] == [255]  # grey masks, 0 and 255
    davis.write(annotation, tmp_path)
    first = palette.read_index(tmp_path / "Annotations" / "blackswan" / "00000.png")
    np.testing.assert_array_equal(first, palette.read_index(folder / "00000.png"))
    assert davis.read(tmp_path) == [annotation]


def test_youtube_vos_meta_lists_categories_and_frames(tmp_path):
    youtube_vos.write(ANNOTATION, tmp_path)
    meta = json.loads((tmp_path / "meta.json").read_text())
    assert meta["videos"]["clip"]["objects"] == {
        "1": {"category": "car", "frames": ["00000", "00002"]},
        "2": {"category": "pedestrian", "frames": ["00000"]},
        "3": {"category": "tram", "frames": ["00001"]},
    }


def test_a_meta_json_of_another_kind_is_refused_and_missing_objects_have_no_category(tmp_path):
    youtube_vos.write(ANNOTATION, tmp_path)
    (tmp_path / "meta.json").write_text('{"videos": {"clip": {"objects": {"1": {"category": "cat"}}}}}')
    (back,) = youtube_vos.read(tmp_path)
    assert [t.category for t in back.tracks] == ["cat", "object", "object"]
    (tmp_path / "meta.json").write_text('["videos"]')
    with pytest.raises(MaskFormatError, match=r'meta\.json has no "videos"'):
        youtube_vos.read(tmp_path)


def test_mots_pngs_and_text_follow_the_conventions(tmp_path):
    mots.write(ANNOTATION, tmp_path)
    with Image.open(tmp_path / "instances" / "clip" / "000000.png") as image:
        assert image.mode.startswith("I")
        pixels = np.array(image)
    np.testing.assert_array_equal(pixels, np.where(LEFT, 1001, 2002))
    lines = [line.split(" ") for line in (tmp_path / "instances_txt" / "clip.txt").read_text().splitlines()]
    assert [line[:5] for line in lines] == [
        ["0", "1001", "1", "4", "6"],
        ["0", "2002", "2", "4", "6"],
        ["1", "3003", "3", "4", "6"],
        ["2", "1001", "1", "4", "6"],
    ]
    theirs = coco.area([{"size": [int(h), int(w)], "counts": counts} for _, _, _, h, w, counts in lines])
    assert theirs.tolist() == [12] * 4
    assert (tmp_path / "classes.txt").read_text() == "1 car\n2 pedestrian\n3 tram\n"


def test_mots_text_and_pngs_are_read_alike(tmp_path):
    mots.write(ANNOTATION, tmp_path)
    for path in ("", "instances", "instances/clip", "instances_txt", "instances_txt/clip.txt"):
        (back,) = mots.read(tmp_path / path)
        assert back == ANNOTATION


def test_mots_instances_above_999_are_dealt_anew_and_equal_ones_of_two_classes_told_apart(tmp_path):
    tracks = (
        Track(1000, category="car", masks={0: rle.encode(LEFT)}),
        Track(4, category="pedestrian", masks={0: rle.encode(~LEFT)}),
        Track(1, category="pedestrian", masks={1: rle.encode(LEFT)}),
    )
    report = mots.write(Annotation("clip", (4, 6), 2, tracks), tmp_path)
    assert report.lost("ids") == 1
    (back,) = mots.read(tmp_path)
    assert [(t.id, t.category) for t in back.tracks] == [(1001, "car"), (2001, "pedestrian"), (2004, "pedestrian")]


def test_mots_has_room_for_62_categories_of_ones_own_and_999_objects_of_one(tmp_path):
    many = tuple(Track(n, category=f"c{n}") for n in range(1, 63))
    mots.write(Annotation("clip", (4, 6), 1, many), tmp_path)
    numbers = [int(line.split()[0]) for line in (tmp_path / "classes.txt").read_text().splitlines()]
    assert numbers == [n for n in range(3, 66) if n != 10]
    with pytest.raises(MaskFormatError, match="one too many"):
        mots.write(Annotation("clip", (4, 6), 1, (*many, Track(70, category="x"))), tmp_path)
    with pytest.raises(MaskFormatError, match="1000 objects of category 'car'; MOTS holds 999"):
        mots.write(Annotation("clip", (4, 6), 1, tuple(Track(n, category="car") for n in range(1, 1001))), tmp_path)


def test_ignored_regions_of_mots_are_a_crowd(tmp_path):
    (tmp_path / "a.txt").write_text("0 10000 10 4 6 " + rle.encode(LEFT)["counts"] + "\n")
    (back,) = mots.read(tmp_path / "a.txt")
    assert back.tracks == (Track(10000, "", "ignore", {0: rle.encode(LEFT)}, crowd=True),)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 1001 1 4 6", "has 5 columns"),
        ("x 1001 1 4 6 0", "is 'x'; expected a whole number"),
        ("0 1001 2 4 6 0", "has the id 1001 for class 2"),
        ("0 1001 1 4 7 l0", "is for 7x4 pixels; the frames are 6x4"),
        ("0 1001 1 4 6 zz", "line 2"),
        ("5 1002 1 4 6 h0", "object 1002 is on frame 5 twice"),
    ],
)
def test_damaged_lines_of_mots_are_named(tmp_path, line, message):
    good = "5 1002 1 4 6 " + rle.encode(LEFT)["counts"]
    (tmp_path / "a.txt").write_text(f"{good}\n{line}\n")
    with pytest.raises(MaskFormatError, match=rf"a\.txt: line 2.*{message}|{message}"):
        mots.read(tmp_path / "a.txt")


def test_eight_bit_pngs_are_no_mots_masks(tmp_path):
    palette.write_index(tmp_path / "000000.png", np.zeros((4, 6), np.uint8))
    with pytest.raises(MaskFormatError, match="pixel type P; MOTS masks are 16-bit"):
        mots.read(tmp_path)


def test_mots_masks_of_two_sizes_damaged_pngs_and_empty_texts_are_named(tmp_path):
    mots.write(ANNOTATION, tmp_path)
    first, second = (tmp_path / "instances" / "clip" / f"00000{n}.png" for n in (0, 1))
    files.write_png(second, np.zeros((5, 6), np.uint16))
    with pytest.raises(MaskFormatError, match=r"000001\.png is 6x5; the first of its video is not"):
        mots.read(tmp_path)
    first.write_bytes(first.read_bytes()[:50])
    with pytest.raises(MaskFormatError, match=r"000000\.png cannot be read as a picture"):
        mots.read(tmp_path)
    (tmp_path / "instances_txt" / "clip.txt").write_text("")
    with pytest.raises(MaskFormatError, match=r"clip\.txt is empty; it does not say how large the frames are"):
        mots.read(tmp_path / "instances_txt")

"""`vidseg track` as a person uses it: what it prints, what it leaves, what it says to every mistake."""

import json
import shutil

import numpy as np
import pytest

from vidseg.cli import main
from vidseg.masks import palette
from vidseg.scene import write_scene
from vidseg.tracks import read_tracks
from vidseg.video import open_video


@pytest.fixture
def own(clip, tmp_path):
    """A folder with the clip, and nothing else."""
    shutil.copy(clip, tmp_path / "clip.mp4")
    return tmp_path


@pytest.fixture
def vidseg(own, tiny_checkpoint, capsys, monkeypatch):
    """Call `vidseg track` in that folder; return (exit code, stdout, stderr)."""
    monkeypatch.chdir(own)

    def call(*argv, model=tiny_checkpoint):
        code = main(["track", *map(str, argv), "--model", str(model), "--dtype", "float32", "--device", "cpu"])
        return code, *capsys.readouterr()

    return call


CLICK = ("--click", "0:40,40")


def test_results_go_beside_the_source_and_are_summed_up(vidseg, own):
    code, out, err = vidseg("clip.mp4", *CLICK)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("24 frames, 1 object, ") and "decode" in lines[0] and "model" in lines[0]
    assert lines[-2].startswith("peak memory ")
    assert lines[-1] == f"results in {own / 'clip-tracks'}"
    assert sorted(item.name for item in own.iterdir()) == ["clip-tracks", "clip.mp4"]
    assert len(list((own / "clip-tracks" / "masks").glob("*.png"))) == 24


def test_json_is_printed_instead(vidseg):
    code, out, err = vidseg("clip.mp4", *CLICK, "--json", "--no-overlay", "--out", "x")
    summary = json.loads(out)
    assert (code, err, summary["frames"], summary["objects"], summary["folder"]) == (0, "", 24, 1, "x")
    assert summary["frames_per_second"]["total"] > 0 and summary["peak_memory_mb"] > 0


def test_quiet_prints_nothing(vidseg):
    assert vidseg("clip.mp4", *CLICK, "--quiet") == (0, "", "")


def test_all_forms_of_prompts_can_be_mixed(vidseg, own):
    index = np.zeros((80, 128), np.uint8)
    index[10:30, 10:30], index[40:60, 60:90] = 3, 4
    palette.write_index(own / "index.png", index)
    palette.write_index(own / "one.png", (index == 3).astype(np.uint8) * 255)
    more = {"prompts": [{"object": 6, "frame": 2, "box": [5, 5, 50, 50]}]}
    (own / "more.json").write_text(json.dumps(more))
    options = [*CLICK, "--negative-click", "0:100,10", "--click", "4:44,40", "--box", "1:20,20,60,60@2"]
    options += ["--mask", "0:index.png", "--mask", "3:one.png@5", "--prompts", "more.json", "--no-overlay"]
    code, _, err = vidseg("clip.mp4", *options)
    assert (code, err) == (0, "")
    tracks = read_tracks(own / "clip-tracks" / "tracks.json")
    said = {(p["frame"], p["object"]): set(p) - {"frame", "object"} for p in tracks.header.prompts}
    assert said == {
        (0, 1): {"clicks"},
        (4, 1): {"clicks"},
        (1, 2): {"box"},
        (0, 3): {"mask"},
        (0, 4): {"mask"},
        (3, 5): {"mask"},
        (2, 6): {"box"},
    }
    assert tracks.header.prompts[0]["clicks"] == [[40.0, 40.0], [100.0, 10.0, False]]
    assert [found.id for found in tracks.frames[-1].objects] == [1, 2, 3, 4, 5, 6]
    again = vidseg("clip.mp4", "--prompts", "clip-tracks/tracks.json", "--out", "again", "--no-overlay")
    assert again[0] == 0
    assert (own / "again" / "tracks.json").read_bytes() == (own / "clip-tracks" / "tracks.json").read_bytes()


@pytest.mark.parametrize(
    ("options", "direction", "start", "stop"),
    [
        (["--start", "2", "--end", "9"], "forward", 2, 9),
        (["--reverse"], "reverse", 0, 24),
        (["--both-ways", "--end", "12"], "both", 0, 12),
    ],
)
def test_range_and_direction_are_passed_on(vidseg, own, options, direction, start, stop):
    assert vidseg("clip.mp4", "--click", "5:40,40", *options, "--no-overlay", "--quiet")[0] == 0
    header = read_tracks(own / "clip-tracks" / "tracks.json").header
    assert (header.direction, header.start, header.stop) == (direction, start, stop)
    assert len(list((own / "clip-tracks" / "masks").iterdir())) == stop - start


def test_a_folder_and_a_glob_are_sources_too(vidseg, own, scene):
    write_scene(scene, own / "frames", frames=3)
    for source, out in (("frames", "frames-tracks"), ("frames/*.png", "frames-png-tracks")):
        assert vidseg(source, *CLICK, "--quiet")[0] == 0
        assert len(open_video(own / out / "overlay.mp4")) == 3


def test_a_finished_run_is_resumed_in_no_time_and_replaced_only_when_told(vidseg):
    assert vidseg("clip.mp4", *CLICK, "--no-overlay")[0] == 0
    code, out, _ = vidseg("clip.mp4", *CLICK, "--resume", "--no-overlay")
    assert (code, out.splitlines()[0][:9]) == (0, "24 frames")
    code, _, err = vidseg("clip.mp4", *CLICK)
    assert code == 1 and "already holds a finished run; give --overwrite" in err
    assert vidseg("clip.mp4", "--click", "0:50,40", "--overwrite", "--no-overlay")[0] == 0


def test_the_image_size_can_be_chosen(vidseg, own):
    assert vidseg("clip.mp4", *CLICK, "--image-size", "64", "--quiet", "--no-overlay")[0] == 0
    assert read_tracks(own / "clip-tracks" / "tracks.json").header.model["image_size"] == 64


def test_a_progress_bar_is_shown_on_a_terminal_only(vidseg, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    code, _, err = vidseg("clip.mp4", *CLICK, "--no-overlay")
    assert code == 0 and "24/24" in err


def test_the_model_can_be_adapted_first_and_its_weights_used_again(vidseg, own, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    code, _, err = vidseg("clip.mp4", *CLICK, "--no-overlay", "--adapt=2")
    assert code == 0 and "adapting" in err and "2/2" in err and "24/24" in err
    header = read_tracks(own / "clip-tracks" / "tracks.json").header
    assert header.model["adaptation"]["steps"] == 2
    weights = own / "clip-tracks" / "adapted.safetensors"
    assert vidseg("clip.mp4", *CLICK, "--quiet", "--no-overlay", "--out", "again", model=weights)[0] == 0
    other = read_tracks(own / "again" / "tracks.json").header.model
    assert other["digest"] != header.model["digest"] and "adaptation" not in other


def broken(own):
    (own / "broken.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(2000))


def empty(own):
    (own / "empty.mp4").write_bytes(b"")


def no_frames(own):
    (own / "nothing").mkdir()


def small_mask(own):
    palette.write_index(own / "small.png", np.ones((8, 8), np.uint8))


def speck(own):
    mask = np.zeros((80, 128), np.uint8)
    mask[40, 40] = 1
    palette.write_index(own / "speck.png", mask)


def in_the_way(own):
    (own / "clip-tracks").write_text("a file")


MISTAKES = [
    (["absent.mp4", *CLICK], 1, "absent.mp4", None),
    (["broken.mp4", *CLICK], 1, "broken.mp4", broken),
    (["empty.mp4", *CLICK], 1, "empty.mp4", empty),
    (["nothing", *CLICK], 1, "holds no images", no_frames),
    (["*.jpg", *CLICK], 1, "no file matches", None),
    (["clip.mp4"], 2, "nothing to track: give at least one --click", None),
    (["clip.mp4", "--click", "40,40"], 2, "argument --click: '40,40' is not F:X,Y[@ID]", None),
    (["clip.mp4", "--box", "0:1,2,3"], 2, "argument --box: '0:1,2,3' is not F:X1,Y1,X2,Y2[@ID]", None),
    (["clip.mp4", "--click", "24:40,40"], 1, "frame 24 is past the end of clip.mp4 (24 frames, 0-23)", None),
    (["clip.mp4", "--click=-1:40,40"], 1, "frame -1 is before the start", None),
    (["clip.mp4", "--click", "0:128,40"], 1, "outside the picture of 128x80 pixels", None),
    (["clip.mp4", "--click", "0:nan,40"], 1, "outside the picture", None),
    (["clip.mp4", "--click", "0:40,40@0"], 2, "object ids start at 1", None),
    (["clip.mp4", "--click", "0:40,40@256"], 1, "does not fit an index PNG", None),
    (["clip.mp4", "--box", "0:50,50,40,60"], 1, "has no area", None),
    (["clip.mp4", "--box", "0:1,2,30,40", "--box", "0:1,2,30,41"], 1, "two boxes for object 1 on frame 0", None),
    (["clip.mp4", "--mask", "0:small.png"], 1, "masks must match", small_mask),
    (["clip.mp4", "--mask", "0:absent.png"], 1, "absent.png does not exist", None),
    (["clip.mp4", "--mask", "0:clip.mp4"], 1, "cannot be read as a picture", None),
    (["clip.mp4", "--prompts", "absent.json"], 1, "cannot read the prompts absent.json", None),
    (["clip.mp4", "--prompts", "clip.mp4"], 1, "the prompts clip.mp4 are not JSON", None),
    (["clip.mp4", *CLICK, "--start", "5"], 1, "outside the range that is tracked, 5-23", None),
    (["clip.mp4", *CLICK, "--end", "99"], 1, "end 99 is outside clip.mp4", None),
    (["clip.mp4", *CLICK, "--reverse", "--both-ways"], 2, "not allowed with argument", None),
    (["clip.mp4", *CLICK, "--resume", "--overwrite"], 2, "--resume and --overwrite exclude each other", None),
    (["clip.mp4", *CLICK, "--adapt", "0"], 2, "'0' is no number of steps", None),
    (["--adapt", "clip.mp4", *CLICK], 2, "'clip.mp4' is no number of steps; give one from 1, or put --adapt", None),
    (["clip.mp4", "--mask", "0:speck.png", "--adapt"], 1, "nothing to adapt to: no mask has 16 pixels", speck),
    (["clip.mp4", *CLICK, "--image-size", "100"], 1, "multiple of 32", None),
    (["clip.mp4", *CLICK, "--checkpoint", "absent.pt"], 1, "absent.pt", None),
    (["clip.mp4", *CLICK], 1, "clip-tracks", in_the_way),
    (["clip.mp4", *CLICK, "--out", "/proc/none/x"], 1, "/proc/none", None),
]


def named(value) -> str:
    return getattr(value, "__name__", str(value)[:60])


@pytest.mark.parametrize(("argv", "code", "message", "prepare"), MISTAKES, ids=named)
def test_every_mistake_gets_one_line_and_leaves_nothing(vidseg, own, argv, code, message, prepare):
    if prepare is not None:
        prepare(own)
    before = sorted(own.rglob("*"))
    got, out, err = vidseg(*argv)
    assert message in err
    assert (got, out, err.count("\n")) == (code, "", 1)
    assert err.startswith("vidseg: ") and "internal error" not in err
    assert sorted(own.rglob("*")) == before


@pytest.mark.parametrize(("model", "message"), [("nonsense", "nonsense"), ("clip.mp4", "clip.mp4")])
def test_a_model_that_is_none_leaves_nothing(vidseg, own, model, message):
    code, out, err = vidseg("clip.mp4", *CLICK, model=model)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert message in err
    assert [item.name for item in own.iterdir()] == ["clip.mp4"]


def test_a_damaged_frame_is_told_and_counted(vidseg, own, scene):
    folder = write_scene(scene, own / "frames", frames=3)
    (folder / "00002.png").write_bytes((folder / "00002.png").read_bytes()[:900])
    code, out, err = vidseg("frames", *CLICK)
    assert code == 0
    assert "1 frame could not be decoded, and left blank; tracks.json says why" in out
    assert err.startswith("vidseg: frame 2 of frames") and err.count("\n") == 1

"""A run from source to files: right, the same after every way of being stopped, nothing left of one that cannot be."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from golden import looks

import vidseg.run as run_module
from vidseg.adaptation import Adaptation
from vidseg.errors import ConfigError, PromptError, VideoError, VidsegError
from vidseg.job import Job
from vidseg.learner import as_masks, examples_of
from vidseg.masks import palette
from vidseg.result import TrackResult
from vidseg.run import _exclusive, run_job
from vidseg.scene import write_scene
from vidseg.tracker import track
from vidseg.tracks import read_tracks
from vidseg.types import Click, Frame, Prompt
from vidseg.video import open_video
from vidseg.weights import load_model

PROMPTS = (Prompt(1, 6, (Click(40.0, 40.0),)), Prompt(2, 9, (Click(90.0, 30.0),)), Prompt(1, 14, (Click(50.0, 45.0),)))


@pytest.fixture(params=[0.0, 1.6], ids=["whole-frames", "gaze"])
def model(tiny_model, request):
    return looks(tiny_model, request.param)


def files(folder: Path) -> dict[str, bytes]:
    """Everything in a folder but the video, by name."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".mp4")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def do(model, clip, folder, *, prompts=PROMPTS, resume=False, overwrite=False, progress=None, notice=None, **asked):
    with open_video(clip) as video:
        return run_job(
            model,
            video,
            Job(folder, prompts, **asked),
            resume=resume,
            overwrite=overwrite,
            progress=progress,
            notice=notice,
        )


def exclusive(result):
    """The index mask of a result: where objects overlap, the larger logit wins."""
    logits = result.full_logits().numpy()
    ids = np.array([0, *result.ids], np.uint8)
    return ids[np.where((logits > 0).any(0), logits.argmax(0) + 1, 0)]


def undecided(result):
    """(H, W) bool: where the best two answers, no object among them, are equal but for rounding."""
    logits = np.concatenate([np.zeros((1, *result.size)), result.full_logits().numpy()])
    second, first = np.sort(logits, axis=0)[-2:]
    return first - second < 1e-3


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_the_files_hold_what_track_yields(model, clip, tmp_path, direction, threads, use_threads):
    """Exactly so on one thread; on two, objects in lanes round otherwise than in one batch."""
    use_threads(threads)
    summary = do(model, clip, tmp_path / "out", direction=direction)
    with open_video(clip) as video:
        results = {r.frame: r for r in track(model, video, PROMPTS, reverse=direction == "reverse")}
        assert len(open_video(tmp_path / "out" / "overlay.mp4")) == len(video) == 24
    tracks = read_tracks(tmp_path / "out" / "tracks.json")
    assert [found.frame for found in tracks.frames] == list(range(24))
    assert len(results) == (18 if direction == "forward" else 15)
    for found in tracks.frames:
        index = palette.read_index(tmp_path / "out" / "masks" / f"{found.frame:05d}.png")
        expected = exclusive(results[found.frame]) if found.frame in results else np.zeros((80, 128), np.uint8)
        differs = index != expected
        if threads > 1 and found.frame in results:
            differs &= ~undecided(results[found.frame])
        assert not differs.any()
        np.testing.assert_array_equal(found.index((80, 128)), index)
        assert len(found.objects) == (2 if found.frame in results else 0)
    assert (summary.frames, summary.objects, summary.skipped) == (24, 2, 0)
    assert sorted(item.name for item in (tmp_path / "out").iterdir()) == ["masks", "overlay.mp4", "tracks.json"]


def test_both_ways_join_the_two_directions(model, clip, tmp_path):
    for direction in ("forward", "reverse", "both"):
        do(model, clip, tmp_path / direction, prompts=PROMPTS[:1], direction=direction, overlay=False)
    both, forward, reverse = (files(tmp_path / direction) for direction in ("both", "forward", "reverse"))
    for frame in range(24):
        name = f"masks/{frame:05d}.png"
        assert both[name] == (forward if frame >= 6 else reverse)[name]


def test_both_ways_masks_and_records_agree_where_two_sweeps_meet(model, clip, tmp_path):
    do(model, clip, tmp_path, direction="both", overlay=False)
    met = 0
    for found in read_tracks(tmp_path / "tracks.json").frames:
        index = palette.read_index(tmp_path / "masks" / f"{found.frame:05d}.png")
        assert [o.id for o in found.objects] == [1, 2]
        np.testing.assert_array_equal(found.index((80, 128)), index)
        met += 6 <= found.frame < 9 and {1, 2} <= set(np.unique(index))
    assert met, "the two sweeps never met: choose other prompts"


def test_the_range_limits_everything(model, clip, tmp_path):
    summary = do(model, clip, tmp_path, start=5, stop=16)
    assert summary.frames == 11
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == [f"{n:05d}.png" for n in range(5, 16)]
    assert len(open_video(tmp_path / "overlay.mp4")) == 11


@pytest.mark.parametrize("direction", ["forward", "both"])
def test_a_run_killed_at_many_moments_ends_as_if_it_had_not_been(
    tiny_checkpoint, tiny_model, clip, tmp_path, direction
):
    kills = "1,0.05,11,0.1,12,0.03,27"
    program = Path(__file__).with_name("interrupted_run.py")
    command = [sys.executable, program, clip, tiny_checkpoint, tmp_path / "killed", direction, kills]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 4
    whole = [*command[:4], tmp_path / "whole", direction, ""]
    subprocess.run(list(map(str, whole)), check=True, capture_output=True, timeout=120)
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    count = len(open_video(tmp_path / "whole" / "overlay.mp4"))
    assert len(open_video(tmp_path / "killed" / "overlay.mp4")) == count == 22


ADAPTATION = Adaptation(steps=2, batch=1, frames=2)


def test_a_job_with_an_adaptation_is_tracked_by_the_adapted_model_which_is_kept(model, clip, tmp_path):
    told = []
    with open_video(clip) as video:
        job = Job(tmp_path / "out", PROMPTS, overlay=False, adaptation=ADAPTATION)
        run_job(model, video, job, adapting=told.append)
    assert [step.number for step in told] == [1, 2]
    adapted = load_model(tmp_path / "out" / "adapted.safetensors", device="cpu")
    with open_video(clip) as video:
        learned = as_masks(PROMPTS, examples_of(model, video, PROMPTS))
    do(adapted, clip, tmp_path / "same", overlay=False, prompts=learned)
    do(model, clip, tmp_path / "plain", overlay=False)
    here, same, plain = (files(tmp_path / name) for name in ("out", "same", "plain"))
    masks = [name for name in plain if name.startswith("masks")]
    assert len(masks) == 24
    assert all(here[name] == same[name] for name in masks) and any(here[name] != plain[name] for name in masks)


def test_an_interrupted_adapted_run_goes_on_with_the_weights_it_began_with(model, clip, tmp_path, monkeypatch):
    do(model, clip, tmp_path / "whole", adaptation=ADAPTATION, overlay=False)

    def interrupt(done, total):
        if done == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="9 of 24 frames"):
        do(model, clip, tmp_path / "cut", adaptation=ADAPTATION, overlay=False, progress=interrupt)
    with pytest.raises(ConfigError, match="another model"):
        do(model, clip, tmp_path / "cut", overlay=False, resume=True)
    monkeypatch.setattr(run_module, "adapt", lambda *args, **fields: pytest.fail("it was adapted again"))
    do(model, clip, tmp_path / "cut", adaptation=ADAPTATION, overlay=False, resume=True)
    cut, whole = files(tmp_path / "cut"), files(tmp_path / "whole")
    assert len(cut.pop("adapted.safetensors")) == len(whole.pop("adapted.safetensors"))  # its keys have no order
    assert cut == whole
    do(model, clip, tmp_path / "cut", overlay=False, overwrite=True)
    assert not (tmp_path / "cut" / "adapted.safetensors").exists()


def test_an_adaptation_that_is_interrupted_leaves_nothing(model, clip, tmp_path):
    def interrupt(step):
        raise KeyboardInterrupt

    with open_video(clip) as video, pytest.raises(KeyboardInterrupt):
        job = Job(tmp_path / "out", PROMPTS, adaptation=ADAPTATION)
        run_job(model, video, job, adapting=interrupt)
    assert not (tmp_path / "out").exists()


def test_a_pixel_that_objects_claim_alike_is_the_first_ones():
    logits = torch.full((2, 4, 4), 3.0)
    logits[1, 0] = 5.0
    result = TrackResult(0, 0.0, (4, 4), (1, 2), logits, torch.ones(2), torch.ones(2))
    masks, rows = _exclusive(result, frozenset({1, 2}))
    assert rows == [0, 1]
    assert masks.sum(axis=0).tolist() == [[1] * 4] * 4
    assert masks[1].any(axis=1).tolist() == [True, False, False, False]


def ctrl_c_at(frame):
    """Press Ctrl-C when so many frames are written."""

    def progress(done, total):
        if done == frame:
            os.kill(os.getpid(), signal.SIGINT)

    return progress


def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(model, clip, tmp_path):
    with pytest.raises(KeyboardInterrupt, match=r"interrupted after \d+ of 24 frames; .* --resume goes on"):
        do(model, clip, tmp_path / "a", progress=ctrl_c_at(9))
    assert not (tmp_path / "a" / "tracks.json").exists()
    seen = []
    do(model, clip, tmp_path / "a", resume=True, progress=lambda done, total: seen.append((done, total)))
    assert 9 <= seen[0][0] <= 14 and seen[-1] == (24, 24)
    do(model, clip, tmp_path / "b")
    assert files(tmp_path / "a") == files(tmp_path / "b")


def full_after(count, path, monkeypatch):
    """Let the disk be full when `count` masks are written."""
    real, left = palette.write_index, [count]

    def write_index(target, index):
        if left[0] == 0:
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        left[0] -= 1
        real(target, index)

    monkeypatch.setattr(palette, "write_index", write_index)
    return left


def test_a_full_disk_keeps_what_is_done_and_the_run_goes_on_later(model, clip, tmp_path, monkeypatch):
    left = full_after(7, tmp_path, monkeypatch)
    with pytest.raises(
        VidsegError, match=r"00007\.png: No space left on device; stopped after 7 of 24 frames, .* --resume"
    ):
        do(model, clip, tmp_path / "a")
    for path in (tmp_path / "a" / "masks").iterdir():
        assert palette.read_index(path).shape == (80, 128)
    left[0] = 1000
    do(model, clip, tmp_path / "a", resume=True)
    do(model, clip, tmp_path / "b")
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_a_disk_that_is_full_from_the_start_leaves_nothing(model, clip, tmp_path, monkeypatch):
    full_after(0, tmp_path, monkeypatch)
    with pytest.raises(OSError, match="No space left"):
        do(model, clip, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_disk_too_full_to_begin_leaves_nothing(model, clip, tmp_path, monkeypatch):
    def dump(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("vidseg.run_folder.json.dump", dump)
    with pytest.raises(OSError, match="No space left"):
        do(model, clip, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_masks_that_a_power_cut_emptied_are_written_again(model, clip, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        do(model, clip, tmp_path / "a", progress=ctrl_c_at(9))
    (tmp_path / "a" / "masks" / "00007.png").write_bytes(b"")
    (tmp_path / "a" / "masks" / "00003.png").unlink()
    do(model, clip, tmp_path / "a", resume=True)
    do(model, clip, tmp_path / "b")
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_a_finished_run_is_not_done_again_but_its_overlay_can_be_added(model, clip, tmp_path):
    do(model, clip, tmp_path, overlay=False)
    before = files(tmp_path)
    seen = []
    summary = do(model, clip, tmp_path, resume=True, progress=lambda *_: seen.append(1))
    assert (summary.frames, seen) == (24, [])
    assert files(tmp_path) == before
    assert len(open_video(tmp_path / "overlay.mp4")) == 24


def test_results_are_not_overwritten_unless_told_so(model, clip, tmp_path):
    do(model, clip, tmp_path, stop=16)
    with pytest.raises(ConfigError, match="already holds a finished run; give --overwrite to replace it"):
        do(model, clip, tmp_path)
    do(model, clip, tmp_path, prompts=PROMPTS[:2], stop=12, overwrite=True)
    assert len(list((tmp_path / "masks").iterdir())) == 12
    with pytest.raises(KeyboardInterrupt):
        do(model, clip, tmp_path, overwrite=True, progress=ctrl_c_at(3))
    with pytest.raises(ConfigError, match=r"an unfinished run \(continue it with --resume\)"):
        do(model, clip, tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="files are not locked on Windows")
def test_two_processes_do_not_write_to_one_folder(model, clip, tmp_path):
    refused = []

    def meanwhile(done, total):
        if done == 3:
            for how in ({"resume": True}, {"overwrite": True}):
                with pytest.raises(ConfigError, match="another process is tracking into") as error:
                    do(model, clip, tmp_path / "a", **how)
                refused.append(error)

    do(model, clip, tmp_path / "a", overlay=False, progress=meanwhile)
    assert len(refused) == 2
    do(model, clip, tmp_path / "b", overlay=False)
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_a_journal_that_was_cut_off_says_so(model, clip, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        do(model, clip, tmp_path, progress=ctrl_c_at(3))
    (tmp_path / "unfinished" / "journal.jsonl").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"checkpoint.json is damaged \(journal.jsonl is shorter than \d+ bytes\)"):
        do(model, clip, tmp_path, resume=True)


def test_a_folder_that_is_somebody_elses_is_left_alone(model, clip, tmp_path):
    (tmp_path / "masks").mkdir()
    for how in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(ConfigError, match="masks is in the way and no vidseg run made it"):
            do(model, clip, tmp_path, **how)
    assert [item.name for item in tmp_path.iterdir()] == ["masks"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompts": PROMPTS[:2]}, "had another set of prompts"),
        ({"stop": 20}, r"had another stop \(24, now 20\)"),
        ({"direction": "both"}, r"another direction \(forward, now both\)"),
    ],
)
@pytest.mark.parametrize("finished", [False, True])
def test_another_job_is_not_resumed(model, clip, tmp_path, change, message, finished):
    if finished:
        do(model, clip, tmp_path, overlay=False)
    else:
        with pytest.raises(KeyboardInterrupt):
            do(model, clip, tmp_path, overlay=False, progress=ctrl_c_at(3))
    before = files(tmp_path)
    with pytest.raises(ConfigError, match=message):
        do(model, clip, tmp_path, resume=True, **change)
    assert files(tmp_path) == before


def test_another_source_is_not_resumed(model, clip, scene, tmp_path):
    do(model, clip, tmp_path / "out", overlay=False)
    other = write_scene(scene, tmp_path / "clip.mp4", frames=25)
    with pytest.raises(ConfigError, match="had another content of the source"):
        do(model, other, tmp_path / "out", stop=24, resume=True)


@pytest.mark.parametrize("name", ["job.json", "checkpoint.json"])
def test_a_damaged_run_says_so(model, clip, tmp_path, name):
    with pytest.raises(KeyboardInterrupt):
        do(model, clip, tmp_path, progress=ctrl_c_at(3))
    (tmp_path / "unfinished" / name).write_text("{")
    with pytest.raises(ConfigError, match=f"{name} (cannot be read|is damaged) .* give --overwrite to start again"):
        do(model, clip, tmp_path, resume=True)


def test_a_frame_that_cannot_be_decoded_is_blank_and_told(model, scene, tmp_path):
    folder = write_scene(scene, tmp_path / "frames", frames=8)
    (folder / "00005.png").write_bytes((folder / "00005.png").read_bytes()[:900])
    (folder / "00007.png").write_bytes((folder / "00007.png").read_bytes()[:900])
    told = []
    asked = (Prompt(1, 1, (Click(40.0, 40.0),)), Prompt(2, 2, (Click(90.0, 30.0),)))
    for direction in ("forward", "reverse", "both"):
        out = tmp_path / direction
        summary = do(model, folder, out, prompts=asked, direction=direction, notice=told.append)
        assert (summary.frames, summary.skipped) == (8, 2)
        frames = read_tracks(out / "tracks.json").frames
        assert [bool(found.skipped) for found in frames] == [n in (5, 7) for n in range(8)]
        assert not palette.read_index(out / "masks" / "00005.png").any()
        assert len(open_video(out / "overlay.mp4")) == 6
    assert all("0000" in message for message in told) and len(told) >= 6


def test_a_prompt_on_a_frame_that_cannot_be_decoded_is_refused(model, scene, tmp_path):
    folder = write_scene(scene, tmp_path / "frames", frames=4)
    (folder / "00002.png").write_bytes((folder / "00002.png").read_bytes()[:900])
    with pytest.raises(VideoError, match="frame 2 of frames has a prompt but cannot be decoded; prompt another frame"):
        do(model, folder, tmp_path / "out", prompts=(Prompt(1, 2, (Click(40.0, 40.0),)),), notice=print)


class Stream:
    """A live source: length unknown, ends when somebody has had enough."""

    name, path, size, fps, known_length = "camera 0", None, (80, 128), 25.0, False

    def __init__(self, scene, count, error=None):
        self.frames_left, self.error = [scene.draw(n)[0] for n in range(count)], error

    def frames(self, start=0, stop=None, *, reverse=False, on_error=None):
        yield from self.frames_left[start:stop]
        if self.error:
            raise self.error


@pytest.mark.parametrize("error", [None, KeyboardInterrupt(), VideoError("camera 0 is gone")])
def test_a_stream_is_tracked_until_it_ends_is_stopped_or_breaks_off(model, scene, tmp_path, error):
    prompts, told = (Prompt(1, 2, (Click(40.0, 40.0),)), Prompt(2, 5, (Click(90.0, 30.0),))), []
    summary = run_job(model, Stream(scene, 9, error), Job(tmp_path, prompts), notice=told.append)
    assert told == (["camera 0 is gone"] if isinstance(error, VideoError) else [])
    assert (summary.frames, summary.objects) == (9, 2)
    frames = read_tracks(tmp_path / "tracks.json").frames
    assert [len(found.objects) for found in frames] == [0, 0, 1, 1, 1, 2, 2, 2, 2]
    assert len(open_video(tmp_path / "overlay.mp4")) == 9


def test_a_stream_that_gives_nothing_leaves_nothing(model, scene, tmp_path):
    with pytest.raises(VideoError, match="camera 0 is gone"):
        run_job(model, Stream(scene, 0, VideoError("camera 0 is gone")), Job(tmp_path / "out", PROMPTS))
    assert not (tmp_path / "out").exists()


def test_an_empty_stream_says_so_and_an_early_end_too(model, scene, tmp_path):
    with pytest.raises(VideoError, match="camera 0 gave no frame; is it connected"):
        run_job(model, Stream(scene, 0), Job(tmp_path / "out", PROMPTS, overlay=False))
    assert not (tmp_path / "out").exists()
    told = []
    assert run_job(model, Stream(scene, 12), Job(tmp_path, PROMPTS), notice=told.append).frames == 12
    assert told == ["camera 0 ended before frame 14, whose prompt was not used"]


def test_a_stream_that_fills_the_disk_keeps_its_masks(model, scene, tmp_path, monkeypatch):
    full_after(4, tmp_path, monkeypatch)
    with pytest.raises(VidsegError, match=r"No space left .* stopped after 4 frames, whose masks are in"):
        run_job(model, Stream(scene, 20), Job(tmp_path / "out", PROMPTS))
    assert len(list((tmp_path / "out" / "masks").iterdir())) == 4


def test_no_model_is_adapted_to_a_stream(model, scene, tmp_path):
    with pytest.raises(VideoError, match="no model can be adapted beforehand; save it to a file"):
        run_job(model, Stream(scene, 3), Job(tmp_path / "out", PROMPTS, adaptation=ADAPTATION))
    assert not (tmp_path / "out").exists()


def test_a_stream_cannot_be_resumed(model, scene, tmp_path):
    with pytest.raises(ConfigError, match="camera 0 is a stream and cannot be resumed"):
        run_job(model, Stream(scene, 3), Job(tmp_path, PROMPTS), resume=True)


def test_a_bug_in_the_model_leaves_nothing_and_is_not_hidden(model, clip, tmp_path, monkeypatch):
    def broken(*args, **options):
        raise PromptError("the first frame fails")

    monkeypatch.setattr(run_module, "advance", broken)
    with pytest.raises(PromptError, match="the first frame fails"):
        do(model, clip, tmp_path / "out", prompts=(Prompt(1, 0, (Click(40.0, 40.0),)),))
    assert not (tmp_path / "out").exists()


def test_nothing_is_kept_of_frames_that_are_written(model, scene, tmp_path, monkeypatch):
    """At no time are there more frames than the two queues and the three threads hold."""
    alive, most = set(), [0]

    class Counted(np.ndarray):
        def __del__(self):
            alive.discard(id(self))

    def frames(self, start=0, stop=None, **_):
        for n in range(60):
            image = scene.draw(n % 4)[0].image.view(Counted)
            alive.add(id(image))
            most[0] = max(most[0], len(alive))
            frame = Frame(n, n / 25, image)
            del image
            yield frame
            del frame

    monkeypatch.setattr(Stream, "frames", frames)
    run_job(model, Stream(scene, 0), Job(tmp_path, (Prompt(1, 0, (Click(40.0, 40.0),)),), overlay=False))
    assert json.loads((tmp_path / "tracks.json").read_text())["frames"][-1]["frame"] == 59
    assert 1 < most[0] <= 16

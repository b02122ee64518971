"""What can be asked of a run, and in which sweeps it is done."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vidseg.errors import ConfigError, PromptError, VideoError
from vidseg.job import Job, check_job, describe, plan
from vidseg.types import Box, Click, Prompt
from vidseg.video import open_video

HERE = Click(5, 5)


class Stream:
    """A video of unknown length."""

    name, path, size, fps, known_length = "camera 0", None, (80, 128), None, False


def job(*prompts, **options):
    return Job(Path("out"), tuple(prompts) or (Prompt(1, 0, (HERE,)),), **options)


def test_the_range_is_the_whole_video_unless_told_otherwise(clip):
    with open_video(clip) as video:
        assert check_job(job(), video).stop == 24
        assert check_job(job(stop=10), video).stop == 10
    assert check_job(job(), Stream()).stop is None


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (job(start=24), VideoError, r"start 24 is outside clip\.mp4 \(24 frames, 0-23\)"),
        (job(start=-1), VideoError, "start -1 is outside"),
        (job(stop=25), VideoError, "end 25 is outside .* the end itself is not tracked"),
        (job(start=5, stop=5), VideoError, "start 5 and end 5 leave no frame"),
        (job(direction="up"), ConfigError, "unknown direction 'up'; expected forward, reverse, both"),
        (Job(Path("out"), ()), PromptError, "nothing to track: no prompt was given"),
        (job(Prompt(1, 24, (HERE,))), PromptError, "frame 24 is past the end of .* prompts use 0-based frame numbers"),
        (job(Prompt(1, -1, (HERE,))), PromptError, "frame -1 is before the start of"),
        (job(start=3), PromptError, "the prompt on frame 0 is outside the range that is tracked, 3-23"),
        (job(Prompt(1, 9, (HERE,)), stop=9), PromptError, "outside the range that is tracked, 0-8"),
        (job(Prompt(256, 0, (HERE,))), PromptError, "object id 256 does not fit an index PNG"),
        (job(Prompt(0, 0, (HERE,))), PromptError, "ids start at 1"),
        (job(Prompt(1, 0, (Click(128, 5),))), PromptError, "outside the picture of 128x80"),
        (job(Prompt(1, 0, (Click(float("nan"), 5),))), PromptError, "outside the picture"),
        (job(Prompt(1, 0, box=Box(9, 9, 9, 20))), PromptError, "no area"),
        (job(Prompt(1, 0, mask=np.ones((3, 3), bool))), PromptError, "masks must match"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_done(clip, wrong, error, message):
    with open_video(clip) as video, pytest.raises(error, match=message):
        check_job(wrong, video)


@pytest.mark.parametrize("direction", ["reverse", "both"])
def test_a_stream_has_no_way_back(direction):
    with pytest.raises(VideoError, match="camera 0 is a stream, which cannot be tracked in reverse"):
        check_job(job(direction=direction), Stream())


def test_one_direction_is_one_sweep_that_is_blank_before_the_first_prompt():
    asked = job(Prompt(1, 4, (HERE,)), Prompt(2, 7, (HERE,)), start=1, stop=10)
    (forward,) = plan(asked)
    assert list(forward.order()) == list(range(1, 10))
    assert [frame for frame in forward.order() if forward.is_blank(frame)] == [1, 2, 3]
    (back,) = plan(replace(asked, direction="reverse"))
    assert list(back.order()) == list(range(9, 0, -1))
    assert [frame for frame in back.order() if back.is_blank(frame)] == [9, 8]
    assert forward.ids_on(1) == back.ids_on(9) == {1, 2}


def test_both_ways_take_each_object_on_each_frame_from_one_sweep():
    prompts = [Prompt(id, frame, (HERE,)) for id, frame in ((1, 0), (2, 4), (2, 8), (3, 6))]
    sweeps = plan(job(*prompts, direction="both", stop=10))
    taken = sorted((frame, id) for todo in sweeps for frame in todo.order() for id in todo.ids_on(frame))
    assert taken == [(frame, id) for frame in range(10) for id in (1, 2, 3)]
    forward, back = sweeps
    assert (forward.reverse, back.reverse, back.first, back.ids) == (False, True, 6, {2, 3})


def test_both_ways_from_the_first_frame_are_one_way():
    assert len(plan(job(direction="both", stop=10))) == 1


def test_what_is_left_of_a_sweep():
    (forward,) = plan(job(stop=5))
    (back,) = plan(job(stop=5, direction="reverse"))
    assert list(forward.left_after(3).order()) == [4]
    assert list(back.left_after(3).order()) == [2, 1, 0]
    assert list(forward.left_after(4).order()) == list(back.left_after(0).order()) == []


def test_the_header_changes_with_all_that_decides_the_result(clip, tmp_path, tiny_model):
    with open_video(clip) as video:
        header = describe(check_job(job(), video), tiny_model, video)
        assert header == describe(check_job(job(), video), tiny_model, video)
        assert header != describe(check_job(job(Prompt(1, 0, (Click(6, 5),))), video), tiny_model, video)
    assert (header.size, header.start, header.stop) == ((80, 128), 0, 24)
    assert header.model["name"] == "tiny-test" and header.model["device"] == "cpu"
    changed = bytearray(clip.read_bytes())
    changed[-5] ^= 1
    (tmp_path / "clip.mp4").write_bytes(changed)
    with open_video(tmp_path / "clip.mp4") as video:
        assert describe(check_job(job(), video), tiny_model, video).source["digest"] != header.source["digest"]


def test_the_weights_are_part_of_the_header(clip, tiny_model):
    with open_video(clip) as video:
        before = describe(job(), tiny_model, video).model["digest"]
        tiny_model.no_mem_embed.add_(1)
        try:
            assert describe(job(), tiny_model, video).model["digest"] != before
        finally:
            tiny_model.no_mem_embed.sub_(1)

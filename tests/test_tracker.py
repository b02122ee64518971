"""Tracking: one transition on a value, the same from a stream, a file, a saved state or a batch of objects."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from golden import looks, seeded_model

import vidseg
from vidseg import Box, Click, Frame, Limits, Prompt, Setting, TrackerState, step, track
from vidseg.errors import PromptError, VideoError, VidsegError
from vidseg.model import PRESETS, Sam2, linear
from vidseg.model.linear import Linear
from vidseg.tracker import advance, limits_of, look_at, prime, sweep
from vidseg.window import Window

SIZE = (60, 100)
SETTING = Setting(Limits(pointers=9))


@pytest.fixture(scope="module", params=[0.0, 1.6], ids=["whole-frames", "gaze"])
def model(request):
    return looks(seeded_model("tiny-test"), request.param)


@pytest.fixture(scope="module")
def clip():
    rng = np.random.default_rng(0)
    background = rng.integers(0, 255, (*SIZE, 3))
    frames = []
    for i in range(12):
        image = background.copy()
        image[10:40, 5 + 4 * i : 35 + 4 * i] = (250, 40, 10)
        frames.append(Frame(i, i / 10, image.astype(np.uint8)))
    return frames


def click(object=1, frame=0, x=20.0, y=25.0, on=True):
    return Prompt(object, frame, clicks=(Click(x, y, on),))


def run(model, frames, prompts, *, state=None, setting=SETTING):
    """Step through frames as a live caller would."""
    state = state or TrackerState()
    results = []
    for frame in frames:
        state, result = step(model, state, frame, [p for p in prompts if p.frame == frame.index], setting=setting)
        results.append(result)
    return state, results


def same(a, b, *, atol=1e-4):
    assert a.ids == b.ids
    torch.testing.assert_close(a.logits, b.logits, atol=atol, rtol=0)
    torch.testing.assert_close(a.score, b.score, atol=atol, rtol=0)
    assert (a.masks() == b.masks()).mean() > 0.999


@pytest.mark.parametrize("lanes", [2, 3, 8])
def test_objects_followed_in_lanes_come_out_as_in_one_batch(model, clip, lanes):
    later = click(4, frame=2, x=60.0)  # sees other times than the rest, so it is in no batch with them
    prompts = [click(1), Prompt(2, 0, box=Box(40, 10, 80, 50)), click(3, x=90.0), later]
    state, expected = run(model, clip[:6], prompts)
    beside, results = run(model, clip[:6], prompts, setting=SETTING._replace(lanes=lanes))
    assert beside.ids == state.ids
    for result, wanted in zip(results, expected, strict=True):
        same(result, wanted)


def test_step_by_step_equals_track(model, clip):
    prompts = [click(1), Prompt(2, 0, box=Box(40, 10, 80, 50))]
    _, stepped = run(model, clip, prompts)
    tracked = list(track(model, clip, prompts, limits=SETTING.limits))
    assert [r.frame for r in tracked] == list(range(12))
    for a, b in zip(stepped, tracked, strict=True):
        same(a, b, atol=0)


def test_a_stream_and_a_file_agree_when_no_later_prompt_exists(model, clip):
    live = list(track(model, iter(clip), [click()], limits=SETTING.limits))
    for a, b in zip(live, track(model, clip, [click()], limits=SETTING.limits), strict=True):
        same(a, b, atol=0)


def test_a_file_sees_later_prompts_early_and_a_stream_does_not(model, clip):
    prompts = [click(), click(frame=8, x=60)]
    once = list(track(model, clip, [click()]))
    primed, live = list(track(model, clip, prompts)), list(track(model, iter(clip), prompts))
    for early in range(1, 8):
        same(live[early], once[early], atol=0)
    assert (primed[3].logits - once[3].logits).abs().max() > 1e-3


def test_a_primed_prompt_is_answered_alone_on_its_frame(model, clip):
    alone = next(iter(track(model, [Frame(0, 0.8, clip[8].image)], [click(x=60)])))
    primed = list(track(model, clip, [click(), click(frame=8, x=60)]))
    same(primed[8], alone, atol=0)


def test_a_state_saved_and_loaded_in_mid_video_changes_nothing(model, clip, tmp_path):
    prompts = [click(1), click(2, frame=3, x=50)]
    _, whole = run(model, clip, prompts)
    state, _ = run(model, clip[:6], prompts)
    state.save(tmp_path / "state.pt")
    loaded = TrackerState.load(tmp_path / "state.pt")
    assert loaded.frame == 5 and loaded.ids == (1, 2)
    assert [t.trace for t in loaded.tracks] == [t.trace for t in state.tracks] and len(loaded.tracks[0].trace) == 2
    _, rest = run(model, clip[6:], prompts, state=loaded)
    for a, b in zip(whole[6:], rest, strict=True):
        same(a, b, atol=0)
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]


@pytest.mark.parametrize("content", [b"", b"not a state", None])
def test_a_file_that_is_no_state_is_refused(content, tmp_path):
    path = tmp_path / "x.pt"
    if content is not None:
        path.write_bytes(content)
    else:
        torch.save({"weights": torch.zeros(2)}, path)
    with pytest.raises(VidsegError, match="is not a saved tracker state"):
        TrackerState.load(path)


def test_objects_together_equal_each_alone(model, clip):
    prompts = [click(1), Prompt(2, 0, box=Box(40, 10, 80, 50)), click(3, frame=2, x=70, y=50)]
    _, together = run(model, clip, prompts)
    for prompt in prompts:
        _, alone = run(model, clip, [prompt])
        for a, b in zip(together[prompt.frame :], alone[prompt.frame :], strict=True):
            row = a.ids.index(prompt.object)
            torch.testing.assert_close(a.logits[row], b.logits[0], atol=1e-4, rtol=0)
            torch.testing.assert_close(a.score[row], b.score[0], atol=1e-4, rtol=0)


def test_other_ids_only_permute_the_results(model, clip):
    prompts = [click(1), click(2, x=70)]
    renamed = [replace(p, object={1: 40, 2: 7}[p.object]) for p in reversed(prompts)]
    _, first = run(model, clip[:5], prompts)
    _, second = run(model, clip[:5], renamed)
    for a, b in zip(first, second, strict=True):
        assert b.ids == (7, 40)
        torch.testing.assert_close(a.logits, b.logits.flip(0), atol=1e-4, rtol=0)


def test_stepping_leaves_the_old_state_usable(model, clip):
    state, _ = run(model, clip[:4], [click()])
    step(model, state, clip[4], setting=SETTING)
    _, again = step(model, state, clip[4], setting=SETTING)
    _, whole = run(model, clip[:5], [click()])
    same(again, whole[4], atol=0)


def test_a_correction_changes_its_frame_and_is_remembered(model, clip):
    state, before = run(model, clip[:6], [click()])
    corrected, at = step(model, state, clip[5], [click(frame=5, x=80, y=50, on=False)], setting=SETTING)
    assert (at.logits - before[5].logits).abs().max() > 1e-3
    assert [m.frame for m in corrected.tracks[0].bank.prompted] == [0, 5]
    _, after = run(model, clip[6:], [], state=corrected)
    _, plain = run(model, clip[6:], [], state=state)
    assert all((a.logits - b.logits).abs().max() > 1e-3 for a, b in zip(after, plain, strict=True))


def test_a_corrected_frame_keeps_its_mask(model, clip):
    state, _ = run(model, clip[:6], [click()])
    corrected, at = step(model, state, clip[5], [click(frame=5, x=80, y=50, on=False)], setting=SETTING)
    _, again = step(model, corrected, clip[5], setting=SETTING)
    same(at, again, atol=0)


def test_a_correction_on_a_new_frame_first_follows_the_object_there(model, clip):
    state, _ = run(model, clip[:5], [click()])
    negative = click(frame=5, x=80, y=50, on=False)
    _, live = step(model, state, clip[5], [negative], setting=SETTING)
    followed, _ = step(model, state, clip[5], setting=SETTING)
    _, in_two = step(model, followed, clip[5], [negative], setting=SETTING)
    same(live, in_two, atol=0)


def test_models_that_look_closely_hold_a_mask_back_where_it_is_not_clicked(model, clip, monkeypatch):
    asked = []

    def inertia(mask, clicks):
        asked.append((mask, clicks))
        return np.where(mask, 1e6, -1e6).astype(np.float32)  # nothing moves it

    monkeypatch.setattr("vidseg.tracker.inertia", inertia)
    state, before = run(model, clip[:6], [click()])
    assert not asked  # a first prompt corrects nothing
    first, _ = step(model, TrackerState(), clip[0], [click()], setting=SETTING)
    step(model, first, clip[0], [click(x=80, y=50, on=False)], setting=SETTING)
    assert not asked  # and its answer is free to change
    box = Prompt(1, 5, box=vidseg.Box(5, 5, 40, 40))
    step(model, state, clip[5], [box], setting=SETTING)
    assert not asked  # a box says all of what is meant
    _, at = step(model, state, clip[5], [click(frame=5, x=80, y=50, on=False)], setting=SETTING)
    if not model.config.second_look:
        assert not asked
        return
    ((mask, (where,)),) = asked
    assert (mask == (state.tracks[0].logits[0] > 0).numpy()).all()
    top, left, height, width = state.window.top, state.window.left, *state.window.size
    assert (where.y, where.x) == pytest.approx(
        (min(50 - top, height) * mask.shape[0] / height, min(80 - left, width) * mask.shape[1] / width), abs=0.1
    )
    assert not where.on and ((at.logits > 0) == (before[5].logits > 0)).all()


def test_a_correction_of_one_object_leaves_the_others_alone(model, clip):
    state, before = run(model, clip[:5], [click(1), click(2, x=70)])
    _, after = step(model, state, clip[4], [click(1, frame=4, x=80, y=50, on=False)], setting=SETTING)
    assert torch.equal(after.logits[1], before[4].logits[1])
    assert not torch.equal(after.logits[0], before[4].logits[0])


def test_a_mask_prompt_is_its_own_result(model, clip):
    mask = np.zeros(SIZE, bool)
    mask[12:36, 8:40] = True
    _, result = step(model, TrackerState(), clip[0], [Prompt(1, 0, mask=mask)])
    overlap = (result.masks()[0] & mask).sum() / (result.masks()[0] | mask).sum()
    assert overlap > 0.9
    assert result.visible.tolist() == [True]


def test_objects_come_and_go_at_any_time(model, clip):
    state, _ = run(model, clip[:3], [click(1)])
    state, _ = step(model, state, clip[3], [click(9, frame=3, x=70)], setting=SETTING)
    assert state.ids == (1, 9)
    state = vidseg.remove(state, 1)
    state, result = step(model, state, clip[4], setting=SETTING)
    assert result.ids == (9,)
    with pytest.raises(PromptError, match="there is no object 1 to remove; objects now: 9"):
        vidseg.remove(state, 1)


def test_a_stream_without_objects_gives_empty_results(model, clip):
    _, result = step(model, TrackerState(), clip[0])
    assert result.ids == () and result.masks().shape == (0, *SIZE) and result.boxes().shape == (0, 4)


def test_reverse_goes_from_the_last_prompted_frame_to_the_first(model, clip):
    results = list(track(model, clip, [click(frame=6)], reverse=True))
    assert [r.frame for r in results] == [6, 5, 4, 3, 2, 1, 0]
    mirrored = [Frame(6 - f.index, f.seconds, f.image) for f in clip[6::-1]]
    for a, b in zip(results, track(model, mirrored, [click(frame=0)]), strict=True):
        same(a, b, atol=0)


def test_reverse_starts_from_the_prompted_memories_unless_stepped_from_a_swept_state(model, clip):
    forward, _ = run(model, clip, [click(frame=0), click(frame=6, x=50)])
    setting = SETTING._replace(reverse=True)
    _, with_memories = step(model, forward, clip[8], setting=setting)
    state = prime(model, clip, [click(frame=0), click(frame=6, x=50)], limits=SETTING.limits)
    _, without = next(sweep(model, state, [clip[8]], setting=setting))
    assert (with_memories.logits - without.logits).abs().max() > 1e-3


def test_a_stream_cannot_be_tracked_in_reverse(model, clip):
    with pytest.raises(VideoError, match="a stream cannot be tracked in reverse"):
        next(track(model, iter(clip), [click()], reverse=True))


def test_skipped_frames_are_counted_in_time(model, clip):
    _, results = run(model, [clip[0], clip[1], clip[7]], [click()])
    assert [r.frame for r in results] == [0, 1, 7]
    near = Frame(2, 0.2, clip[7].image)
    _, nearer = run(model, [clip[0], clip[1], near], [click()])
    assert (results[2].logits - nearer[2].logits).abs().max() > 1e-4


def test_exclusive_objects_do_not_overlap(model, clip):
    prompts = [click(1), click(2, x=25), click(3, y=50)]
    _, free = run(model, clip[:3], prompts)
    _, exclusive = run(model, clip[:3], prompts, setting=SETTING._replace(exclusive=True))
    assert max(r.masks().sum(0).max() for r in free) > 1
    low = [(r.logits > 0).sum(0).max() for r in exclusive]
    assert max(low) <= 1


def test_memory_is_rounded_to_bfloat16_and_bounded(model, clip):
    state, _ = run(model, clip, [click()])
    bank = state.tracks[0].bank
    assert bank.recent[0].features.dtype == torch.bfloat16
    assert (len(bank.prompted), len(bank.recent), len(bank.pointers)) == (1, 6, 9)
    assert limits_of(model) == Limits()


def test_a_model_with_few_time_codes_sees_as_many_memories_as_it_has(clip):
    torch.manual_seed(0)
    short = Sam2(replace(PRESETS["tiny-test"], num_maskmem=3)).eval()
    state, results = run(short, clip, [click()], setting=Setting())
    assert len(results) == len(clip)
    assert [memory.frame for memory in state.tracks[0].bank.recent] == [10, 11]


def test_results_convert_to_supervision(model, clip):
    pytest.importorskip("supervision")
    _, results = run(model, clip[:2], [click(4)])
    detections = results[1].to_supervision()
    assert detections.tracker_id.tolist() == [4]
    assert np.array_equal(detections.xyxy, results[1].boxes())
    assert np.array_equal(detections.mask, results[1].masks())


def test_supervision_missing_names_the_install_line(model, clip, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "supervision", None)
    _, results = run(model, clip[:1], [click()])
    with pytest.raises(VidsegError, match=r"pip install 'vidseg\[supervision\]'"):
        results[0].to_supervision()


MASK = np.ones(SIZE, bool)


@pytest.mark.parametrize(
    ("prompts", "says"),
    [
        ([click(frame=3)], "was given with frame 0"),
        ([click(0)], "object id 0 is not positive"),
        ([click(1), click(1)], "two prompts for object 1 on frame 0"),
        ([Prompt(1, 0)], "says nothing"),
        ([click(x=100)], r"click \(100, 25\) for object 1 on frame 0 is outside the picture of 100x60"),
        ([click(x=float("nan"))], "is outside the picture"),
        ([click(y=-1)], "is outside the picture"),
        ([Prompt(1, 0, box=Box(10, 10, 10, 40))], "has no area"),
        ([Prompt(1, 0, box=Box(10, 10, float("inf"), 40))], "has no area"),
        ([Prompt(1, 0, box=Box(110, 10, 140, 40))], "is outside the picture"),
        ([Prompt(1, 0, mask=np.ones((30, 40), bool))], "the mask for object 1 on frame 0 is 40x30"),
        ([Prompt(1, 0, mask=~MASK)], "is empty"),
        ([Prompt(1, 0, mask=MASK, clicks=(Click(1, 1),))], "a mask stands alone"),
    ],
)
def test_prompts_that_cannot_be_used_are_refused(model, clip, prompts, says):
    with pytest.raises(PromptError, match=says):
        step(model, TrackerState(), clip[0], prompts)


def test_tracking_nothing_is_refused(model, clip):
    with pytest.raises(PromptError, match="nothing to track"):
        next(track(model, clip, []))


def test_a_mask_is_encoded_in_no_other_window_than_the_one_that_follows(model, clip, monkeypatch):
    mask = np.zeros(SIZE, bool)
    mask[10:20, 40:55] = True
    prompt = Prompt(1, 0, mask=mask)
    state, _ = step(model, TrackerState(), clip[0], [prompt])
    encoded, encode = [], model.encode_image
    monkeypatch.setattr(model, "encode_image", lambda images: encoded.append(images) or encode(images))
    again, _ = advance(model, TrackerState(), clip[0], [prompt], view=look_at(model, clip[0], state.window))
    assert len(encoded) == 1 and again.window == state.window
    torch.testing.assert_close(again.tracks[0].logits, state.tracks[0].logits)


def test_frames_may_become_smaller_or_larger_on_the_way(model, clip):
    state, _ = step(model, TrackerState(), clip[0], [click()], setting=SETTING)
    for index, size in enumerate([(30, 50), (120, 200), SIZE], start=1):
        image = np.ascontiguousarray(np.resize(clip[index].image, (*size, 3)))
        for number in (2 * index, 2 * index + 1):
            state, result = step(model, state, Frame(number, number / 10, image), setting=SETTING)
            assert result.masks().shape == (1, *size)


def test_the_gaze_of_the_shipped_model_goes_along_with_a_small_object():
    model, size = vidseg.load_model("nano", device="cpu"), (180, 320)
    state, seen = TrackerState(), []
    rows, columns = np.mgrid[: size[0], : size[1]]
    for index in range(10):
        disc = np.hypot(columns - 60 - 14 * index, rows - 60 - 4 * index) < 16
        image = np.where(disc[..., None], (220, 60, 30), (90, 110, 120)).astype(np.uint8)
        prompts = [Prompt(1, 0, mask=disc)] if index == 0 else []
        state, result = step(model, state, Frame(index, index / 25, image), prompts)
        mask = result.masks()[0]
        assert (mask & disc).sum() > 0.8 * (mask | disc).sum()
        seen.append(result.window)
    assert all(window.size == (72, 128) for window in seen)
    lefts = [window.left for window in seen]
    assert lefts[0] == lefts[2] == 0 and lefts == sorted(lefts) and lefts[-1] > 60


def test_an_object_is_looked_for_where_it_was_only_where_the_model_looks_closely(model, clip, monkeypatch):
    monkeypatch.setattr("vidseg.gaze.STRIDE", 0)  # on eight by five cells
    asked, attend = [], model.attend
    monkeypatch.setattr(model, "attend", lambda *a, **k: asked.append(k.get("rois", ())) or attend(*a, **k))
    box = np.zeros(SIZE, bool)
    box[20:30, 20:35] = True
    state, _ = run(model, clip[:1], [Prompt(1, 0, mask=box)])
    places = [(20.0, 20.0, 35.0, 30.0)] * 2
    for trace, frame, near in (
        (places, 1, True),
        (places[:1], 1, False),
        ((None, places[0]), 1, False),
        (places, 2, False),
    ):
        asked.clear()
        before = replace(state, tracks=(replace(state.tracks[0], trace=tuple(trace)),))
        after, result = step(model, before, clip[frame], setting=SETTING)
        assert [bool(rois) for rois in asked] == [near and model.config.second_look > 0]
        if asked[0]:
            (roi,), s = asked[0], result.logits.shape[-1] // asked[0][0].grid[1]
            beyond = torch.ones_like(result.logits, dtype=torch.bool)
            beyond[:, s * roi.top : s * roi.bottom, s * roi.left : s * roi.right] = False
            assert beyond.any() and (result.logits[beyond] == -10).all()
        assert len(after.tracks[0].trace) == (2 if frame == 1 else 1)


def test_nobody_asks_where_objects_are_for_a_model_that_looks_at_whole_frames(model, clip, monkeypatch):
    asked, edges = [], Window.edges
    monkeypatch.setattr(Window, "edges", lambda self, logits: asked.append(len(logits)) or edges(self, logits))
    mask = np.zeros(SIZE, bool)
    mask[10:40, 5:35] = True
    run(model, clip[:3], [Prompt(1, 0, mask=mask)])
    assert bool(asked) == (model.config.second_look > 0)


def test_shapes_pass_in_prompts_and_regions_and_stay_while_the_whole_window_is_followed(model, clip, monkeypatch):
    monkeypatch.setattr("vidseg.gaze.STRIDE", 0)
    parts = ("image_encoder", "memory_attention", "memory_encoder", "sam_mask_decoder")
    names = {module: name for name in parts for module in getattr(model, name).modules()}
    told: dict[str, set[bool]] = {}
    forward = Linear.forward

    def watched(self, x, *activation):
        told.setdefault(names.get(self, "rest"), set()).add(linear._passing.get())
        return forward(self, x, *activation)

    monkeypatch.setattr(Linear, "forward", watched)
    view = look_at(model, clip[0])
    box = np.zeros(SIZE, bool)
    box[20:30, 20:35] = True
    told.clear()
    state, _ = advance(model, TrackerState(), clip[0], [click(), Prompt(2, 0, mask=box)], view=view)
    assert set().union(*told.values()) == {True}
    told.clear()
    step(model, replace(state, tracks=state.tracks[1:], gaze=()), clip[1], setting=SETTING)
    assert set().union(*(told[name] for name in parts)) == {False}
    told.clear()
    places = ((20.0, 20.0, 35.0, 30.0),) * 2
    step(model, replace(state, tracks=(replace(state.tracks[1], trace=places),), gaze=()), clip[1], setting=SETTING)
    near = {model.config.second_look > 0}
    assert told["memory_encoder"] == near and near <= told["memory_attention"]
    assert told["image_encoder"] == told["sam_mask_decoder"] == {False}

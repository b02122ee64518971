"""The numbers of the official SAM 2, recorded under seeded random weights (see the golden README).

The recorded session, in vidseg's terms: both objects prompted on frame 0 and stepped to frame 9; a correction stepped
from the state after frame 4, and on to frame 9; then back in reverse from that last state, whose memories of the
forward pass SAM 2 still sees. The clip has ten frames, so SAM 2 divides pointer ages by nine.
"""

import json

import numpy as np
import pytest
import torch
from golden import TOLERANCE, golden_frames, seeded_model

from vidseg import Box, Click, Limits, Prompt, Setting, TrackerState, step
from vidseg.picture import prepare

FORWARD = Setting(Limits(pointers=9))
REVERSE = FORWARD._replace(reverse=True)
FIRST = [Prompt(1, 0, clicks=(Click(480, 270),)), Prompt(2, 0, box=Box(300, 100, 620, 420))]
CORRECTION = [Prompt(1, 4, clicks=(Click(200, 150, False),))]


class Recorded:
    """One recorded session: compares a result with its rows."""

    def __init__(self, folder, name):
        self.rows = dict(np.load(folder / f"{name}.npz"))
        keys = zip(self.rows["phase"], self.rows["frame"], self.rows["object"], strict=True)
        self.row = {tuple(map(int, key)): i for i, key in enumerate(keys)}

    def compare(self, phase, state, result):
        for track, logits, score, iou in zip(state.tracks, result.logits, result.score, result.iou, strict=True):
            i = self.row.get((phase, result.frame, track.id))
            if i is None:
                continue
            close(logits[::2, ::2], self.rows["logits_s2"][i])
            close(score, np.ravel(self.rows["score"])[i])
            close(pointer_of(track), self.rows["pointer"][i])
            expected = self.rows["iou"][i]
            if not np.isnan(expected).all():
                close(iou, np.nanmax(expected))


def pointer_of(track):
    kept = {m.frame: m.pointer for m in (*track.bank.pointers, *track.bank.prompted)}
    return kept[track.frame][0]


def close(ours, theirs):
    assert np.abs(np.asarray(ours) - theirs).max() <= TOLERANCE


@pytest.fixture(scope="module")
def frames(shared):
    return golden_frames(shared)


def test_the_weights_are_drawn_as_the_recording_drew_them(shared):
    sums = json.loads((shared / "golden" / "sam2.1-tiny.checksums.json").read_text())
    sums = sums.get("checksums", sums)
    state = seeded_model("sam2.1-tiny").state_dict()
    for key, value in state.items():
        total = value.double()
        assert [float(total.sum()), float(total.abs().sum())] == pytest.approx(sums[key], rel=1e-4, abs=1e-2), key


def test_inside_the_network_at_the_first_frame(shared, frames):
    recorded = np.load(shared / "golden" / "sam2.1-tiny.npz")
    model = seeded_model("sam2.1-tiny")
    with torch.inference_mode():
        image = prepare(model, frames[0].image)
        features = model.encode_image(image)
    assert np.array_equal(image[..., ::8, ::8].numpy(), recorded["input_s8"])
    close(features.high_res[0][..., ::16, ::16], recorded["fpn0_s8"])
    close(features.high_res[1][..., ::16, ::16], recorded["fpn1_s8"])
    close(features.vision[..., ::8, ::8], recorded["fpn2_s8"])
    close(features.position[..., ::8, ::8], recorded["pos2_s8"])


def test_prompts_and_the_first_tracked_frames(shared, frames):
    recorded = Recorded(shared / "golden", "sam2.1-tiny")
    model = seeded_model("sam2.1-tiny")
    state, result = step(model, TrackerState(), frames[0], FIRST, setting=FORWARD)
    recorded.compare(0, state, result)
    for track in state.tracks:
        ours = track.bank.prompted[0].features[..., ::8, ::8].float().numpy()
        theirs = recorded.rows[f"maskmem_f0_obj{track.id}_s8"]
        # Noise of the size below turns a few values to the neighbouring bfloat16.
        assert (np.abs(ours - theirs) <= np.abs(theirs) / 128 + TOLERANCE).all()
        assert (ours == theirs).mean() > 0.95
    for frame in frames[1:3]:
        state, result = step(model, state, frame, setting=FORWARD)
        recorded.compare(1, state, result)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sam2.1-tiny", "sam2.1-small", "sam2-tiny"])
def test_the_whole_session(name, shared, frames):
    recorded, model = Recorded(shared / "golden", name), seeded_model(name)
    state, result = step(model, TrackerState(), frames[0], FIRST, setting=FORWARD)
    recorded.compare(0, state, result)
    after = {}
    for frame in frames[1:]:
        state, result = step(model, state, frame, setting=FORWARD)
        recorded.compare(1, state, result)
        after[frame.index] = state
    state, result = step(model, after[4], frames[4], CORRECTION, setting=FORWARD)
    recorded.compare(2, state, result)
    for frame in frames[4:]:
        state, result = step(model, state, frame, setting=FORWARD)
        recorded.compare(3, state, result)
    # SAM 2 repeats the answer of a corrected frame when it comes by again, so frame 4 is left to the forward pass.
    for frame in frames[8:4:-1]:
        state, result = step(model, state, frame, setting=REVERSE)
        recorded.compare(4, state, result)


def test_an_absent_object(shared, frames):
    recorded = dict(np.load(shared / "golden" / "sam2.1-tiny-occluded.npz"))
    model = seeded_model("sam2.1-tiny", score_bias=0.0)
    setting = Setting(Limits(pointers=9))
    state, result = step(model, TrackerState(), frames[0], FIRST[:1], setting=setting)
    results = [(state, result)]
    for frame in frames[1:2]:
        results.append(step(model, results[-1][0], frame, setting=setting))
    for state, result in results:
        row = list(recorded["frame"]).index(result.frame)
        assert (result.logits == -1024).all()
        close(result.score, np.ravel(recorded["score"])[row])
        close(pointer_of(state.tracks[0]), recorded["ptr"][row])


def test_pointer_ages_divided_by_fifteen_differ_from_a_short_clip(shared, frames):
    model = seeded_model("tiny-test")
    answers = []
    for limits in (Limits(pointers=9), Limits()):
        state, _ = step(model, TrackerState(), frames[0], FIRST[:1], setting=Setting(limits))
        state, result = step(model, state, frames[1], setting=Setting(limits))
        answers.append(result.logits)
    assert (answers[0] - answers[1]).abs().max() > TOLERANCE / 10

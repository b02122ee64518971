"""transformers' Sam2VideoModel as a second opinion, under the same random weights: the video loop at 256 px."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from golden import TOLERANCE, seeded_state

from vidseg import Box, Click, Frame, Prompt, track
from vidseg.bench.peers import hub_config, hub_tensors
from vidseg.model import PRESETS, Sam2
from vidseg.picture import prepare

transformers = pytest.importorskip("transformers")
SIDE, FRAMES = 256, 18  # from 16 frames on, pointer ages are divided by 15
FOLLOWED = 7
CLICK = Click(100.0, 120.0)
BOX = Box(60.0, 40.0, 180.0, 200.0)


@pytest.fixture(scope="module")
def pair():
    config = replace(PRESETS["sam2.1-tiny"], image_size=SIDE)
    with torch.device("meta"):
        ours = Sam2(config)
    shapes = {key: tuple(value.shape) for key, value in ours.state_dict().items()}
    ours.load_state_dict(seeded_state(shapes), assign=True)
    ours.eval().requires_grad_(False)
    peer = transformers.Sam2VideoModel(hub_config(config)).eval()
    peer.load_state_dict(hub_tensors(peer.state_dict(), ours.state_dict()))
    return ours, peer


@pytest.fixture(scope="module")
def clip():
    """Square frames at the network's size, so that neither side resizes."""
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 255, (SIDE // 8, SIDE // 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    return [Frame(i, i / 25, np.roll(texture, 4 * i, axis=1)) for i in range(FRAMES)]


def peer_answers(peer, ours, clip, *, prompted: int, reverse: bool) -> dict[int, np.ndarray]:
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

    video = torch.cat([prepare(ours, frame.image) for frame in clip])
    session = Sam2VideoInferenceSession(video=video, video_height=SIDE, video_width=SIDE, dtype=torch.float32)
    points = {1: ([CLICK[:2]], [1]), 2: ([BOX[:2], BOX[2:]], [2, 3])}
    for number, (places, labels) in points.items():
        index = session.obj_id_to_idx(number)
        given = {"point_coords": torch.tensor([[places]]), "point_labels": torch.tensor([[labels]]).int()}
        session.add_point_inputs(index, prompted, given)
        session.obj_with_new_inputs.append(number)
    answers = {}
    with torch.inference_mode():
        peer(inference_session=session, frame_idx=prompted)
        for answer in peer.propagate_in_video_iterator(
            session, start_frame_idx=prompted, max_frame_num_to_track=FOLLOWED, reverse=reverse
        ):
            answers[answer.frame_idx] = answer.pred_masks[:, 0].numpy()
    return answers


@pytest.mark.parametrize("reverse", [False, True])
def test_a_click_and_a_box_followed_through_a_clip(pair, clip, reverse):
    ours, peer = pair
    prompted = 10 if reverse else 0
    theirs = peer_answers(peer, ours, clip, prompted=prompted, reverse=reverse)
    prompts = [Prompt(1, prompted, clicks=(CLICK,)), Prompt(2, prompted, box=BOX)]
    results = list(islice(track(ours, clip, prompts, reverse=reverse), FOLLOWED + 1))
    assert set(theirs) == {result.frame for result in results}
    for result in results:
        difference = np.abs(result.logits.numpy() - theirs[result.frame]).max()
        assert difference <= TOLERANCE, f"frame {result.frame}: {difference:.1e}"

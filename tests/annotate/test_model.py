"""The annotator on a real network (tiny, random weights): the verbs do what the tracker does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapes
import torch
from golden import looks

from vidseg import cli
from vidseg.annotate import Project, Session, open_session
from vidseg.annotate.model import ModelSegmenter
from vidseg.annotate.segmenter import Answer
from vidseg.errors import VideoError
from vidseg.gaze import region
from vidseg.inertia import inertia
from vidseg.masks import rle
from vidseg.model import Sam2
from vidseg.model.config import PRESETS
from vidseg.second_look import Closer, View, window_at
from vidseg.tracker import track
from vidseg.types import Box, Click, Frame, Prompt

FRAMES = 9


@pytest.fixture(scope="module")
def network() -> Sam2:
    torch.manual_seed(0)
    model = Sam2(PRESETS["tiny-test"]).eval().requires_grad_(False)
    with torch.no_grad():  # a random network sees no object anywhere; this one sees it everywhere
        model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(5.0)
    return model


@pytest.fixture(scope="module")
def segmenter(network: Sam2) -> ModelSegmenter:
    return ModelSegmenter(network)


def frame(index: int) -> Frame:
    return Frame(index, index / 24, shapes.draw(index))


def test_following_a_mask_is_what_track_does(network: Sam2, segmenter: ModelSegmenter) -> None:
    masks = shapes.truth(0)
    prompts = [Prompt(number, 0, mask=mask) for number, mask in masks.items()]
    expected = [result.masks() for result in track(network, [frame(n) for n in range(8)], prompts)]
    first = segmenter.encode(frame(0))
    tracks = [segmenter.begin([segmenter.memorise(first, mask)], []) for mask in masks.values()]
    for n in range(1, 8):
        results = segmenter.follow(tracks, segmenter.encode(frame(n)))
        tracks = [one for one, _ in results]
        for (_, found), mask in zip(results, expected[n], strict=True):
            assert (found.mask == mask).all()
            assert 0 <= found.iou <= 1 and found.score > 0.5
    assert sum(mask.sum() for mask in expected[7]) > 0


@pytest.mark.parametrize("times", [0.0, 1.6])
def test_following_backwards_is_what_track_does(network: Sam2, times: float, monkeypatch: pytest.MonkeyPatch) -> None:
    traces: list[Any] = []
    monkeypatch.setattr("vidseg.tracker.region", lambda trace, *rest: traces.append(trace) or region(trace, *rest))
    network = looks(network, times)
    segmenter = ModelSegmenter(network)
    mask = shapes.truth(7)[1]
    frames = [frame(n) for n in range(8)]
    expected = {r.frame: r for r in track(network, frames, [Prompt(1, 7, mask=mask)], reverse=True)}
    in_track, traces[:] = [*traces], []
    trail = segmenter.begin([segmenter.memorise(segmenter.encode(frame(7)), mask)], [], reverse=True)
    for n in range(6, -1, -1):
        assert not times or trail.gaze[0] == expected[n].window
        ((trail, found),) = segmenter.follow([trail], segmenter.encode(frame(n)))
        assert (found.mask == expected[n].masks()[0]).all()
    assert traces == in_track and len(traces) == (7 if times else 0)  # it is looked for in the same places


def test_frames_on_the_way_are_encoded_once_through_the_window_that_is_wanted(network: Sam2, monkeypatch) -> None:
    network = looks(network, 1.6)
    segmenter = ModelSegmenter(network)
    trail = segmenter.begin([segmenter.memorise(segmenter.encode(frame(0)), shapes.truth(0)[2])], [])
    sizes, encode = [], network.encode_image
    monkeypatch.setattr(network, "encode_image", lambda images: sizes.append(images.shape) or encode(images))
    coming = segmenter.encode_ahead(lambda: frame(1))()
    for n in range(2, 6):
        encoded, ahead = coming, segmenter.encode_ahead(lambda n=n: frame(n))
        ((trail, _),) = segmenter.follow([trail], encoded)
        coming = ahead()
    assert len(sizes) == 5


def test_objects_that_look_elsewhere_are_followed_in_one_window(network: Sam2) -> None:
    segmenter = ModelSegmenter(looks(network, 1.6))
    first = segmenter.encode(frame(0))
    both = [segmenter.begin([segmenter.memorise(first, mask)], []) for mask in shapes.truth(0).values()]
    assert both[0].gaze != both[1].gaze
    (one, _), (other, _) = segmenter.follow(both, segmenter.encode(frame(1)))
    assert one.gaze == other.gaze and len(one.gaze) == 2


def test_an_object_followed_alone_or_with_others_has_the_same_masks(segmenter: ModelSegmenter) -> None:
    first, second = segmenter.encode(frame(0)), segmenter.encode(frame(1))
    both = [segmenter.begin([segmenter.memorise(first, mask)], []) for mask in shapes.truth(0).values()]
    together = [found.mask for _, found in segmenter.follow(both, second)]
    alone = [segmenter.follow([one], second)[0][1].mask for one in both]
    assert all((a == b).all() for a, b in zip(together, alone, strict=True))
    assert segmenter.follow([], second) == []


def test_one_click_has_three_candidates_best_first_and_more_clicks_one(segmenter: ModelSegmenter) -> None:
    encoded = segmenter.encode(frame(0))
    answer = segmenter.segment(encoded, clicks=[Click(12, 15)], ambiguous=True)
    assert answer.masks.shape == (3, *shapes.SIZE) and answer.masks.dtype == bool
    assert list(answer.iou) == sorted(answer.iou, reverse=True)
    one = segmenter.segment(encoded, clicks=[Click(12, 15), Click(80, 50, False)], box=Box(2, 4, 22, 26))
    assert one.masks.shape == (1, *shapes.SIZE) and 0 <= one.score <= 1


def test_a_first_guess_changes_the_answer(segmenter: ModelSegmenter) -> None:
    encoded = segmenter.encode(frame(0))
    click = [Click(90, 60)]  # on the very corner: allowed by the page, outside for the tracker
    plain = segmenter.segment(encoded, clicks=click).masks[0]
    guided = segmenter.segment(encoded, clicks=click, mask=shapes.truth(0)[2]).masks[0]
    assert (plain != guided).any()


CLICKS = [Click(12, 15), Click(80, 50, False), Click(30, 20)]


@pytest.mark.parametrize("box", [None, Box(2, 4, 22, 26)])
def test_each_click_corrects_the_answer_before_it(network: Sam2, segmenter: ModelSegmenter, box: Box | None) -> None:
    encoded = segmenter.encode(frame(0))
    guesses = []

    def watched(*args: object, mask: torch.Tensor | None = None, **named: object) -> object:
        guesses.append(mask)
        decoded = decode(*args, mask=mask, **named)
        logits.append(decoded.logits[:, None])
        return decoded

    logits: list[torch.Tensor] = []
    decode = network.decode
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "decode", watched)
        ModelSegmenter(network).segment(encoded, clicks=CLICKS, box=box)
    assert len(guesses) == (3 if box is None else 4) and guesses[0] is None
    assert all(torch.equal(g, one.clamp(-32, 32)) for g, one in zip(guesses[1:], logits[:-1], strict=True))


@pytest.mark.parametrize("box", [None, Box(2, 4, 22, 26)])
def test_clicks_added_and_taken_back_one_by_one_are_answered_as_all_at_once(network: Sam2, box: Box | None) -> None:
    used = ModelSegmenter(network)
    encoded = used.encode(frame(0))
    for clicks in (CLICKS[:1], CLICKS[:2], CLICKS, CLICKS[:2], [CLICKS[0], CLICKS[2]], CLICKS, CLICKS[1:]):
        anew = ModelSegmenter(network).segment(encoded, clicks=clicks, box=box)
        found = used.segment(encoded, clicks=clicks, box=box)
        assert np.array_equal(found.masks, anew.masks) and found.iou == anew.iou


def test_answers_on_one_frame_or_mask_are_not_taken_for_another(network: Sam2) -> None:
    used, masks = ModelSegmenter(network), shapes.truth(0)
    places = [(used.encode(frame(n)), mask) for n in (0, 1) for mask in (None, *masks.values())]
    for encoded, mask in [*places, *places[::-1]]:
        anew = ModelSegmenter(network).segment(encoded, clicks=CLICKS[:2], mask=mask)
        found = used.segment(encoded, clicks=CLICKS[:2], mask=mask)
        assert np.array_equal(found.masks, anew.masks) and found.iou == anew.iou


def test_an_empty_mask_can_be_remembered(segmenter: ModelSegmenter) -> None:
    memory = segmenter.memorise(segmenter.encode(frame(0)), np.zeros(shapes.SIZE, bool))
    ((_, found),) = segmenter.follow([segmenter.begin([memory], [])], segmenter.encode(frame(1)))
    assert found.mask.shape == shapes.SIZE


@pytest.fixture
def session(tmp_path: Path, segmenter: ModelSegmenter) -> Iterator[Session]:
    clip = shapes.write(tmp_path / "clip", frames=FRAMES)
    with open_session(tmp_path / "p.vidseg", videos=[clip], load=lambda: segmenter) as found:
        found.project.set_settings({"repropagate": "off"})
        yield found


def test_a_correction_sees_what_was_said_on_the_first_and_the_nearest_frame(
    session: Session, segmenter: ModelSegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.do("object.add", video=1)
    session.do("object.add", video=1)
    for at in (0, 2, 5, 8):
        mask = rle.encode(shapes.truth(at)[1])
        session.do("prompt.mask", video=1, object=1, frame=at, rle=mask)
    session.do("propagate.start", video=1, objects=None, direction="forward", frame=0, reach="all")
    session.wait(60)
    asked = []
    plain = segmenter.segment

    def watched(*args: Any, memories: Any = (), **named: Any) -> Any:
        asked.append([one.memory.frame for one in memories])
        return plain(*args, memories=memories, **named)

    monkeypatch.setattr(segmenter, "segment", watched)
    shown = session.do("hover", video=1, frame=4, x=30.0, y=20.0, object=1)
    session.do("prompt.click", video=1, object=1, frame=4, x=30.0, y=20.0, on=True)
    session.do("prompt.click", video=1, object=2, frame=4, x=80.0, y=50.0, on=True)
    assert asked == [[0, 5], [0, 5], []]
    found = session.project.mask(1, 1, 4)
    assert found is not None and rle.decode(shown["rle"]).tolist() == found.decode().tolist()
    alone = plain(session.encoded(1, 4), clicks=[Click(30, 20)], mask=shapes.truth(4)[1]).masks
    memories = [session.memory(1, 1, 0)]
    aware = plain(session.encoded(1, 4), clicks=[Click(30, 20)], mask=shapes.truth(4)[1], memories=memories).masks
    assert (alone != aware).any()


def test_a_correction_changes_the_mask_only_where_it_was_clicked(
    session: Session, segmenter: ModelSegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    square, answers = np.zeros(shapes.SIZE, bool), []
    square[20:40, 20:40] = True

    def eager(*_: Any, clicks: Any, mask: Any, **__: Any) -> Answer:
        """Do what the last click says, and forget another corner of the mask with every click."""
        answers.append(mask)
        x, y, on = int(clicks[-1].x), int(clicks[-1].y), clicks[-1].on
        after = mask.copy()
        after[y - 2 : y + 2, x - 2 : x + 2] = on
        after[20:23, 20 + 4 * len(clicks) : 23 + 4 * len(clicks)] = False
        return Answer(after[None], (0.9,))

    session.do("object.add", video=1)
    session.do("prompt.mask", video=1, object=1, frame=0, rle=rle.encode(square))
    monkeypatch.setattr(segmenter, "segment", eager)
    session.do("prompt.click", video=1, object=1, frame=0, x=35.0, y=35.0, on=False)
    session.do("prompt.click", video=1, object=1, frame=0, x=50.0, y=50.0, on=True)
    expected = square.copy()
    expected[33:37, 33:37] = False
    assert np.array_equal(answers[-1], expected)
    expected[48:52, 48:52] = True
    found = session.project.mask(1, 1, 0)
    assert found is not None and np.array_equal(found.decode(), expected)


def test_a_whole_round_with_clicks_a_correction_and_both_passes(session: Session) -> None:
    session.do("object.add", video=1)
    session.do("prompt.click", video=1, object=1, frame=0, x=12.0, y=15.0, on=True)
    session.do("propagate.start", video=1, objects=None, direction="forward", frame=0, reach="all")
    session.wait(60)
    session.do("prompt.click", video=1, object=1, frame=6, x=24.0, y=15.0, on=True)
    session.do("propagate.start", video=1, objects=None, direction="both", frame=0, reach="all")
    session.wait(60)
    masks = list(session.project.masks(1))
    assert [mask.frame for mask in masks] == list(range(FRAMES))
    assert all(mask.agreement is not None for mask in masks[1:6])
    assert session.project.check() == []


def test_interrupted_or_not_a_propagation_gives_the_same_masks(session: Session) -> None:
    session.do("object.add", video=1)
    session.do("prompt.click", video=1, object=1, frame=0, x=12.0, y=15.0, on=True)
    session.do("propagate.start", video=1, objects=None, direction="forward", frame=0, reach="all")
    session.wait(60)
    whole = [mask.counts for mask in session.project.masks(1)]
    session.do("undo")
    for stop in (4, FRAMES):
        span = {"reach": "range", "start": 0, "stop": stop}
        session.do("propagate.start", video=1, objects=None, direction="forward", frame=0, **span)
        session.wait(60)
    again = list(session.project.masks(1))
    assert [mask.counts for mask in again][:4] == whole[:4]
    # After the break the past is remembered as masks, not as the network's own numbers: close, not equal.
    overlaps = [mask.decode() == one for mask, one in zip(again, decode(session, whole), strict=True)]
    assert np.mean(overlaps) > 0.9


def decode(session: Session, counts: list[str]) -> Iterator[np.ndarray]:
    yield from (rle.decode({"size": list(shapes.SIZE), "counts": one}) for one in counts)


@pytest.fixture
def beginning(tmp_path: Path, network: Sam2, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the folder at hand: a model, and a project on five frames of which one object has nothing yet."""
    from vidseg.weights import save_model

    monkeypatch.chdir(tmp_path)
    save_model(network, "tiny.safetensors")
    with open_session("p.vidseg", videos=[shapes.write(tmp_path / "clip", frames=5)]) as session:
        session.do("object.add", video=1)


@pytest.mark.usefixtures("beginning")
def test_vidseg_project_propagate_brings_masks_up_to_date(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_session("p.vidseg") as session:
        session.do("prompt.polygon", video=1, object=1, frame=3, mode="add", points=[[5, 5], [30, 5], [30, 30]])
    command = ["project", "propagate", "p.vidseg", "--model"]
    assert cli.main([*command, "nowhere.pt"]) == 1
    assert "nowhere.pt" in capsys.readouterr().err
    assert cli.main([*command, "tiny.safetensors"]) == 0
    assert capsys.readouterr().out == "p.vidseg: masks are up to date\n"
    with Project.open("p.vidseg", readonly=True) as project:
        assert [mask.frame for mask in project.masks(1)] == list(range(5))
    (tmp_path / "clip").rename(tmp_path / "gone")
    with Project.open("p.vidseg") as project:
        project.store.connection.execute("DELETE FROM mask WHERE source = 'propagated'")
    assert cli.main([*command, "tiny.safetensors"]) == 1
    assert "propagation failed: " in (error := capsys.readouterr().err) and "is not there any more" in error


@pytest.mark.usefixtures("beginning")
def test_vidseg_project_learn_adapts_the_model_and_propagates_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["project", "learn", "p.vidseg", "--model", "tiny.safetensors"]
    assert cli.main([*command, "--steps", "2"]) == 1
    assert "nothing to learn from" in capsys.readouterr().err
    with open_session("p.vidseg") as session:
        session.do("prompt.polygon", video=1, object=1, frame=3, mode="add", points=[[5, 5], [30, 5], [30, 30]])
    assert cli.main([*command, "--steps", "0"]) == 1
    assert "steps is not a whole number from 1 to 2000" in capsys.readouterr().err
    assert cli.main([*command, "--steps", "2"]) == 0
    assert capsys.readouterr().out == "p.vidseg: masks are up to date\n"
    with Project.open("p.vidseg", readonly=True) as project:
        assert project.learned().masks == 1 and len(project.learned().weights or b"") > 10_000
        lane = project.lane(1, 1)
        assert lane.where(~lane.stale(project.anchors(1, 1))) == list(range(5))


def test_a_frame_encoded_ahead_is_the_frame(segmenter: ModelSegmenter) -> None:
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    taken = segmenter.encode_ahead(lambda: Frame(3, 0.3, image))()
    expected = segmenter.encode(Frame(3, 0.3, image))
    assert taken.frame.index == 3
    torch.testing.assert_close(taken.features.vision, expected.features.vision, atol=1e-5, rtol=1e-5)


def test_what_fails_ahead_is_raised_when_it_is_asked_for(segmenter: ModelSegmenter) -> None:
    def broken() -> Frame:
        raise VideoError("frame 7 is broken")

    threads = torch.get_num_threads()
    take = segmenter.encode_ahead(broken)
    with pytest.raises(VideoError, match="frame 7 is broken"):
        take()
    assert torch.get_num_threads() == threads


@pytest.fixture(scope="module")
def twice(network: Sam2) -> ModelSegmenter:
    """The same network, but it looks a second time at what is prompted."""
    model = Sam2(replace(network.config, second_look=1.6)).eval().requires_grad_(False)
    model.load_state_dict(network.state_dict())
    return ModelSegmenter(model)


def test_a_click_is_answered_from_close_by_and_the_next_one_begins_there(
    segmenter: ModelSegmenter, twice: ModelSegmenter
) -> None:
    encoded, plain = twice.encode(frame(0)), segmenter.encode(frame(0))
    box = Box(20, 10, 50, 34)
    once, again = segmenter.segment(plain, box=box).masks[0], twice.segment(encoded, box=box).masks[0]
    assert (once != again).any()
    clicks = [Click(35, 22), Click(24, 14, False)]
    both = twice.segment(encoded, box=box, clicks=clicks).masks[0]
    assert (both != again).any()
    assert (both == ModelSegmenter(twice._model).segment(encoded, box=box, clicks=clicks).masks[0]).all()
    assert (twice.segment(encoded, box=box).masks[0] == again).all()  # a click taken back


def test_of_three_candidates_the_best_is_looked_at_closer(segmenter: ModelSegmenter, twice: ModelSegmenter) -> None:
    click = [Click(35, 22)]
    plain = segmenter.segment(segmenter.encode(frame(0)), clicks=click, ambiguous=True)
    closer = twice.segment(twice.encode(frame(0)), clicks=click, ambiguous=True)
    assert closer.iou == plain.iou
    assert (closer.masks[1:] == plain.masks[1:]).all()
    assert (closer.masks[0] == twice.segment(twice.encode(frame(0)), clicks=click).masks[0]).all()


def test_a_mask_is_corrected_around_the_click_and_stays_elsewhere(twice: ModelSegmenter) -> None:
    encoded, mask = twice.encode(frame(0)), shapes.truth(0)[1]
    clicks = [Click(5, 5, False), Click(60, 40)]
    found = twice.segment(encoded, clicks=clicks, mask=mask).masks[0]
    around = np.zeros_like(mask)
    window = window_at(mask.shape, clicks[-1])
    around[window.top : window.bottom, window.left : window.right] = True
    assert 0 < around.sum() < mask.size / 4
    assert (found == mask)[~around].all() and (found != mask)[around].any()
    other = twice.segment(encoded, clicks=[clicks[-1]], mask=mask).masks[0]
    assert (other == mask)[~around].all()


def test_a_correction_is_the_mean_of_two_answers_and_does_not_reach_far(
    twice: ModelSegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded, mask = twice.encode(frame(0)), np.zeros(shapes.SIZE, bool)
    mask[:, 40:] = True
    click, led = Click(38, 30), []

    def answer(model: Sam2, view: View, prompt: Prompt, size: tuple[int, int], *, before: torch.Tensor) -> Closer:
        led.append((before > 0).numpy())
        return Closer(torch.full(size, 5.0 if len(led) == 1 else 1.0), torch.ones(1, 1))  # all of it, say both

    monkeypatch.setattr("vidseg.correction.answer", answer)
    monkeypatch.setattr("vidseg.correction.cut", lambda picture, logits, prompt: logits)
    found = twice.segment(encoded, clicks=[click], mask=mask).masks[0]
    assert len(led) == 2 and (led[1] == mask).all() and (led[0] != mask).any()
    assert found[mask].all() and found[30, 34:40].all()  # a mean of 3 is surer than what holds it there,
    assert window_at(mask.shape, click).left < 30 and not found[30, :32].any()  # and not than what holds it here


@pytest.mark.parametrize(("box", "free"), [(None, 4), (Box(20, 10, 50, 34), 3)])
def test_after_a_few_clicks_a_first_answer_too_changes_around_the_click_only(
    twice: ModelSegmenter, box: Box | None, free: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = []

    def noted(mask: np.ndarray, clicks: list[Click]) -> np.ndarray:
        held.append(clicks)
        return inertia(mask, clicks)

    monkeypatch.setattr("vidseg.correction.inertia", noted)
    monkeypatch.setattr("vidseg.correction.cut", lambda picture, logits, prompt: -torch.ones_like(logits))
    encoded, clicks, far = twice.encode(frame(0)), [Click(35, 22)] * free, Click(80, 50)
    before = twice.segment(encoded, box=box, clicks=clicks).masks[0]
    assert not held
    after = twice.segment(encoded, box=box, clicks=[*clicks, far]).masks[0]
    window = window_at(before.shape, far)
    around = np.zeros_like(before)
    around[window.top : window.bottom, window.left : window.right] = True
    assert held == [[far]] and not after[around].any()
    assert before[~around].any() and (after == before)[~around].all()


def test_a_correction_is_cut_where_it_is_looked_at_and_nowhere_else(
    twice: ModelSegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded, mask = twice.encode(frame(0)), shapes.truth(0)[1]
    y, x = np.argwhere(mask).mean(axis=0)
    monkeypatch.setattr("vidseg.correction.cut", lambda picture, logits, prompt: torch.ones_like(logits))
    found = twice.segment(encoded, clicks=[Click(x, y)], mask=mask).masks[0]
    window = window_at(mask.shape, Click(x, y))
    around = np.zeros_like(mask)
    around[window.top : window.bottom, window.left : window.right] = True
    assert not mask[around].all() and found[around].all()
    assert (~around).any() and (found == mask)[~around].all()


def test_looking_closer_is_the_same_network_on_more_pixels(segmenter: ModelSegmenter, network: Sam2) -> None:
    closer = segmenter.looking(closer=True)
    plain, near = (one.encode(frame(0)).view().features.vision.shape for one in (segmenter, closer))
    assert near[-1] == plain[-1] * 160 // 128  # a third more, in whole cells
    assert closer.looking(closer=False).encode(frame(0)).view().features.vision.shape == plain
    assert closer._model.no_mem_embed is network.no_mem_embed and network.config.image_size == 128
    mask = closer.segment(closer.encode(frame(0)), clicks=[Click(35, 22)]).masks[0]
    assert mask.shape == shapes.SIZE


def test_models_of_squares_look_no_closer() -> None:
    model = Sam2(replace(PRESETS["tiny-test"], square=True)).eval().requires_grad_(False)
    closer = ModelSegmenter(model).looking(closer=True)
    assert closer.encode(frame(0)).view().features.vision.shape[-2:] == (8, 8)

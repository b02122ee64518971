"""Runs over a data set: what is summed up how, what is kept, what is resumed; and the interactive mode."""

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from labelled import Make, scene_of

from vidseg import evaluate
from vidseg.errors import ConfigError
from vidseg.evaluate.interactive import correct
from vidseg.evaluate.methods import Copy, Tracker
from vidseg.evaluate.output import Output
from vidseg.evaluate.protocols import PROTOCOLS, Task
from vidseg.evaluate.results import ObjectResult, Results, SequenceResult, summarise
from vidseg.evaluate.run import prompts_of
from vidseg.masks import palette
from vidseg.model import Sam2
from vidseg.types import Prompt

Answers = Iterator[tuple[int, np.ndarray]]


def one(name: str, *scores: float) -> ObjectResult:
    return ObjectResult(name, tuple(range(1, len(scores) + 1)), scores, tuple(score / 2 for score in scores))


def test_a_set_averages_objects_not_sequences() -> None:
    results = Results(
        (SequenceResult("a", (one("1", 1.0), one("2", 0.4)), 3), SequenceResult("b", (one("1", 0.1),), 3))
    )
    assert results.j == pytest.approx(50)
    assert results.f == pytest.approx(25)
    assert results.j_and_f == pytest.approx(37.5)
    content = results.to_json()
    assert content["sequences"]["a"]["j"] == pytest.approx(70)
    assert content["sequences"]["a"]["objects"]["2"]["j"] == pytest.approx(40)
    assert (content["j_and_f"], content["j"], content["f"]) == (37.5, 50, 25)


def test_an_object_without_a_scored_frame_does_not_count() -> None:
    assert summarise([one("1", 0.5), one("2")]).j == pytest.approx(50)
    empty = Results((SequenceResult("a", (one("1"),), 2),)).to_json()
    assert empty["j_and_f"] is None
    json.dumps(empty, allow_nan=False)


def test_a_result_survives_its_file(tmp_path: Path) -> None:
    result = SequenceResult("a", (one("1", 0.25, 0.5),), 4, 1.5, (10.0, 20.0))
    output = Output(tmp_path)
    output.finish(result)
    assert output.finished("a") == result
    assert output.finished("b") is None


def test_the_curve_of_a_set_keeps_the_last_value_of_a_sequence_that_ended_early() -> None:
    alone = (one("1", 0.5, 0.5),)
    results = Results(
        (SequenceResult("a", alone, 3, curve=(50.0, 100.0)), SequenceResult("b", alone, 3, curve=(10.0, 20.0, 30.0)))
    )
    assert results.curve == (30, 60, 65)
    assert results.to_json()["curve"] == [30, 60, 65]


def test_the_curve_of_a_set_counts_every_object_alike_and_leaves_out_what_has_no_score() -> None:
    pair = (one("1", 0.5, 0.5), one("2", 0.5, 0.5))
    results = Results(
        (
            SequenceResult("a", pair, 3, curve=(60.0, 90.0)),
            SequenceResult("b", (one("1", 0.5, 0.5), one("2")), 3, curve=(30.0, 30.0)),
            SequenceResult("c", (one("1"),), 3, curve=(float("nan"),)),
        )
    )
    assert results.curve == (50, 70)


class Counted:
    """Copies the first mask and counts the sequences asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def follow(self, task: Task, prompts: Sequence[Prompt]) -> Answers:
        self.asked.append(task.video.name)
        return Copy().follow(task, prompts)


def test_finished_sequences_are_read_not_computed(davis: Make, tmp_path: Path) -> None:
    dataset, output = evaluate.open_dataset(davis()), Output(tmp_path / "out")
    first, second = Counted(), Counted()
    (before,) = evaluate.each(first, dataset.select(("b",)), output=output)
    after = list(evaluate.each(second, dataset, output=output))
    assert (first.asked, second.asked) == (["b"], ["a"])
    assert after[1] == before


def test_a_sequence_that_was_stopped_midway_is_done_again(davis: Make, tmp_path: Path) -> None:
    class Stopped(Counted):
        def follow(self, task: Task, prompts: Sequence[Prompt]) -> Answers:
            for answer in super().follow(task, prompts):
                if task.video.name == "b" and answer[0] == 3:
                    raise KeyboardInterrupt
                yield answer

    dataset, output = evaluate.open_dataset(davis()), Output(tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        list(evaluate.each(Stopped(), dataset, output=output))
    again = Counted()
    found = list(evaluate.each(again, dataset, output=output))
    assert again.asked == ["b"]
    assert [result.objects for result in found] == [s.objects for s in evaluate.run(Copy(), dataset).sequences]


def test_written_masks_score_the_same_as_the_run_that_wrote_them(davis: Make, sav: Path, tmp_path: Path) -> None:
    for number, folder in enumerate((davis(), sav)):
        dataset, output = evaluate.open_dataset(folder), Output(tmp_path / f"out{number}")
        found = list(evaluate.each(Copy(), dataset, output=output))
        read = evaluate.run(evaluate.SavedMasks(output.folder / "masks"), dataset)
        assert [result.objects for result in read.sequences] == [result.objects for result in found]


def test_written_masks_are_index_pngs(davis: Make, tmp_path: Path) -> None:
    dataset, output = evaluate.open_dataset(davis(names=("a",))), Output(tmp_path)
    list(evaluate.each(Copy(), dataset, output=output))
    files = sorted(output.masks_of("a").iterdir())
    assert [file.name for file in files] == [f"{frame:05d}.png" for frame in range(6)]
    assert np.array_equal(palette.read_index(files[5]), scene_of("a").draw(0)[1])


def test_a_video_longer_than_its_labels_is_written_to_its_end(masklets: Path, tmp_path: Path) -> None:
    path = masklets / "sav_1_manual.json"
    content = json.loads(path.read_text())
    content["masklet"] = content["masklet"][:2]
    path.write_text(json.dumps(content))
    list(evaluate.each(evaluate.Flow(), evaluate.open_dataset(masklets), output=Output(tmp_path / "out")))
    names = sorted(file.name for file in (tmp_path / "out/masks/sav_1/7").iterdir())
    assert names == [f"{frame:05d}.png" for frame in range(9)]


def test_other_settings_in_the_same_folder_are_refused(tmp_path: Path) -> None:
    Output(tmp_path).claim({"prompt": "mask", "seed": 0})
    Output(tmp_path).finish(SequenceResult("a", (), 3))
    Output(tmp_path).claim({"prompt": "mask", "seed": 0})
    with pytest.raises(ConfigError, match=r"results of other settings \(prompt was 'mask', now 'box'\); give another"):
        Output(tmp_path).claim({"prompt": "box", "seed": 0})


def test_a_start_that_finished_nothing_does_not_claim_its_folder(tmp_path: Path) -> None:
    Output(tmp_path).claim({"model": "nanoo"})
    Output(tmp_path).claim({"model": "nano"})
    assert json.loads((tmp_path / "settings.json").read_text()) == {"model": "nano"}


def test_corrections_are_clicks_on_the_worst_mask(davis: Make) -> None:
    """A method that gets right exactly what was clicked: every correction must go to the worst frame left."""
    task = Task(evaluate.open_dataset(davis(objects=1, names=("a",))).videos[0], PROTOCOLS["davis2017"])
    seen: list[list[Prompt]] = []

    class Obedient:
        def follow(self, task: Task, prompts: Sequence[Prompt]) -> Answers:
            seen.append(list(prompts))
            right = {prompt.frame for prompt in prompts}
            for frame in range(6):
                masks = task.truth(frame)[0].copy()
                if frame not in right:
                    masks[:, : 24 + 4 * frame] = False  # the later, the worse
                yield frame, masks

    result = correct(Obedient(), task, prompts_of(task, "mask"), corrections=3)
    asked = [{prompt.frame for prompt in prompts} for prompts in seen]
    assert [len(frames) for frames in asked] == [1, 2, 3, 4]
    worst = [(frames - before).pop() for before, frames in itertools.pairwise(asked)]
    truth = {frame: task.truth(frame)[0][0] for frame in range(6)}
    shares = {frame: mask[24 + 4 * frame :].sum() / mask.sum() for frame, mask in truth.items() if frame}
    assert worst == sorted(shares, key=lambda frame: shares[frame])[:3]
    click = next(prompt for prompt in seen[1] if prompt.frame == worst[0]).clicks[0]
    assert click.on
    assert truth[worst[0]][int(click.y), int(click.x)]
    assert list(result.curve) == sorted(result.curve)
    assert len(result.curve) == 4


def test_corrections_end_where_nothing_is_wrong(davis: Make) -> None:
    class Perfect:
        def follow(self, task: Task, prompts: Sequence[Prompt]) -> Answers:
            for frame in range(6):
                yield frame, task.truth(frame)[0]

    (result,) = evaluate.each(Perfect(), evaluate.open_dataset(davis(names=("a",))), corrections=5)
    assert result.curve == (100,)


def test_a_model_can_be_corrected(davis: Make, tiny_model: Sam2) -> None:
    dataset = evaluate.open_dataset(davis(names=("a",), frames=5))
    method = Tracker(tiny_model, corrected=True)
    (result,) = evaluate.each(method, dataset, prompt="click", corrections=2)
    assert len(result.curve) == 3
    assert result.frames == 5


def test_clicks_on_one_frame_add_up(davis: Make) -> None:
    task = Task(evaluate.open_dataset(davis(objects=1, names=("a",))).videos[0], PROTOCOLS["davis2017"])
    counts: list[int] = []

    class OneBadFrame:
        def follow(self, task: Task, prompts: Sequence[Prompt]) -> Answers:
            counts.append(sum(len(prompt.clicks) for prompt in prompts if prompt.frame == 3))
            for frame in range(6):
                masks = task.truth(frame)[0]
                yield frame, ~masks if frame == 3 else masks

    correct(OneBadFrame(), task, prompts_of(task, "click"), corrections=3)
    assert counts == [0, 1, 2, 3]

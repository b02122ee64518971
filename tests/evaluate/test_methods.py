"""What the methods answer: the baselines, folders of masks, and a model with random weights."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from labelled import SIZE, Make, scene_of

from vidseg import evaluate
from vidseg.errors import DataError, MaskFormatError
from vidseg.evaluate.methods import Copy, Flow, SavedMasks, Tracker, merged
from vidseg.evaluate.protocols import PROTOCOLS, Task
from vidseg.evaluate.run import prompts_of
from vidseg.masks import palette
from vidseg.model import Sam2
from vidseg.tracker import TrackResult


def task_of(folder: Path, protocol: str) -> Task:
    return Task(evaluate.open_dataset(folder).videos[0], PROTOCOLS[protocol])


def test_copy_answers_every_frame_with_the_first_masks(davis: Make) -> None:
    task = task_of(davis(), "davis2017")
    answers = list(Copy().follow(task, prompts_of(task, "mask")))
    assert [frame for frame, _ in answers] == list(range(6))
    assert all(np.array_equal(masks, task.truth(0)[0]) for _, masks in answers)


def test_copy_begins_a_late_object_where_it_appears(youtubevos: Path) -> None:
    task = task_of(youtubevos, "youtubevos")
    answers = dict(Copy().follow(task, prompts_of(task, "mask")))
    assert not answers[4][1].any()
    assert np.array_equal(answers[9][1], task.truth(5)[0][1])
    assert not (answers[9][0] & answers[9][1]).any()


def test_flow_follows_a_scene_better_than_copying(davis: Make) -> None:
    folder = davis(names=("a",), frames=12)
    copied, flowed = (evaluate.run(method, folder) for method in (Copy(), Flow()))
    assert flowed.j_and_f > copied.j_and_f + 5
    assert flowed.sequences[0].frames == 12


def test_flow_of_several_objects_never_overlaps(davis: Make) -> None:
    task = task_of(davis(frames=8), "davis2017")
    for _, masks in Flow().follow(task, prompts_of(task, "mask")):
        assert masks.sum(axis=0).max() <= 1


def test_baselines_need_masks(davis: Make) -> None:
    with pytest.raises(DataError, match="the baselines copy and flow start from masks"):
        evaluate.run(Copy(), davis(), prompt="click")


@pytest.mark.parametrize("prompt", ["mask", "box", "click", "clicks3"])
def test_a_model_is_scored_with_every_prompt(davis: Make, tiny_model: Sam2, prompt: str) -> None:
    found = evaluate.run(tiny_model, davis(names=("a",), frames=4), prompt=prompt)
    (sequence,) = found.sequences
    assert [one.frames for one in sequence.objects] == [(1, 2), (1, 2)]
    assert sequence.frames == 4
    assert sequence.seconds is not None and sequence.seconds > 0
    assert 0 <= found.j_and_f <= 100


def test_a_model_answers_the_first_frame_with_the_given_mask_at_its_own_resolution(
    davis: Make, tiny_model: Sam2
) -> None:
    task = task_of(davis(objects=1), "davis2017")
    frame, masks = next(iter(Tracker(tiny_model).follow(task, prompts_of(task, "mask"))))
    assert frame == 0
    assert evaluate.region(masks[0], task.truth(0)[0][0]) > 0.75


def test_objects_together_are_scored_as_each_alone_but_for_shared_pixels(sav: Path, tiny_model: Sam2) -> None:
    task = task_of(sav, "sav")
    prompts = prompts_of(task, "mask")
    together = dict(Tracker(tiny_model).follow(task, prompts))
    alone = dict(Tracker(tiny_model).follow(task, prompts[:1]))
    assert all(np.array_equal(together[frame][0], alone[frame][0]) for frame in alone)


def test_a_late_object_has_no_mask_before_its_prompt(youtubevos: Path, tiny_model: Sam2) -> None:
    task = task_of(youtubevos, "youtubevos")
    answers = dict(Tracker(tiny_model).follow(task, prompts_of(task, "mask")))
    assert sorted(answers) == list(range(11))
    assert not any(answers[frame][1].any() for frame in range(5))


def result_of(logits: list[float], ids: tuple[int, ...]) -> TrackResult:
    planes = torch.tensor(logits)[:, None, None].expand(-1, 12, 16)
    ones = torch.ones(len(ids))
    return TrackResult(3, 0.0, SIZE, ids, planes, ones, ones)


def test_a_pixel_goes_to_the_highest_logit_unless_objects_may_overlap(davis: Make, sav: Path) -> None:
    exclusive, overlapping = task_of(davis(), "davis2017"), task_of(sav, "sav")
    result = result_of([1.0, 2.0], (1, 2))
    assert [mask.all() for mask in merged(result, exclusive)] == [False, True]
    assert [mask.all() for mask in merged(result, overlapping)] == [True, True]


def test_masks_come_in_the_tasks_order_whatever_the_results(davis: Make) -> None:
    task = task_of(davis(), "davis2017")
    found = merged(result_of([3.0, -1.0], (2, 1)), task)
    assert [mask.any() for mask in found] == [False, True]


def saved(folder: Path, root: Path, scene: str = "a") -> Path:
    for frame in range(6):
        palette.write_index(folder / "a" / f"{frame:05d}.png", scene_of(scene).draw(frame)[1])
    return root


def test_right_masks_of_another_program_score_100(davis: Make, tmp_path: Path) -> None:
    root = saved(tmp_path / "other", davis(names=("a",)))
    found = evaluate.run(SavedMasks(tmp_path / "other"), root)
    assert (found.j, found.f) == (100, 100)


def test_davis_2016_takes_any_value_of_a_saved_mask_for_the_object(davis: Make, tmp_path: Path) -> None:
    root = saved(tmp_path / "other", davis(names=("a",), binary=True))
    assert evaluate.run(SavedMasks(tmp_path / "other"), root).j_and_f == 100


def test_saved_masks_of_overlapping_objects_lie_in_a_folder_each(sav: Path, tmp_path: Path) -> None:
    for frame in range(0, 13, 4):
        index = scene_of("v").draw(frame)[1]
        for name, mask in (("000", index > 0), ("001", index == 2)):
            palette.write_index(tmp_path / "other" / "v" / name / f"{frame:05d}.png", mask.astype(np.uint8))
    assert evaluate.run(SavedMasks(tmp_path / "other"), sav).j_and_f == 100


def test_missing_saved_masks_are_named(davis: Make, tmp_path: Path) -> None:
    root = saved(tmp_path / "other", davis())
    with pytest.raises(DataError, match=r"other/b is missing: no masks for sequence b"):
        evaluate.run(SavedMasks(tmp_path / "other"), root)
    (tmp_path / "other" / "a" / "00002.png").unlink()
    with pytest.raises(MaskFormatError, match=r"00002\.png does not exist"):
        evaluate.run(SavedMasks(tmp_path / "other"), root)


def test_an_unknown_object_in_saved_masks_is_named(davis: Make, tmp_path: Path) -> None:
    root = saved(tmp_path / "other", davis(names=("a",)))
    palette.write_index(tmp_path / "other" / "a" / "00002.png", np.full(SIZE, 7, np.uint8))
    with pytest.raises(DataError, match=r"00002\.png holds the object 7, but sequence a has the objects 1, 2"):
        evaluate.run(SavedMasks(tmp_path / "other"), root)


def test_saved_masks_of_another_size_are_refused(davis: Make, tmp_path: Path) -> None:
    root = saved(tmp_path / "other", davis(names=("a",)))
    palette.write_index(tmp_path / "other" / "a" / "00003.png", np.ones((10, 20), np.uint8))
    with pytest.raises(DataError, match=r"sequence a, frame 00003: the masks are 20x10 pixels, the labels 64x48"):
        evaluate.run(SavedMasks(tmp_path / "other"), root)


def test_a_choice_of_sequences_does_not_change_the_protocol(davis: Make) -> None:
    root = davis()
    for path in (root / "Annotations/480p/a").iterdir():
        palette.write_index(path, (palette.read_index(path) > 0).astype(np.uint8) * 255)
    with pytest.raises(DataError, match="sequence a: no object is labelled"):  # DAVIS-2017's rules, as b calls for
        evaluate.run(Copy(), root, sequences=["a"])


class Silent:
    """A method without an answer."""

    def follow(self, task: Task, prompts: object) -> Iterator[tuple[int, np.ndarray]]:
        return iter(())


def test_frames_without_an_answer_count_as_empty(davis: Make) -> None:
    found = evaluate.run(Silent(), davis(objects=1))
    assert (found.j, found.f) == (0, 0)
    assert found.sequences[0].objects[0].frames == (1, 2, 3, 4)

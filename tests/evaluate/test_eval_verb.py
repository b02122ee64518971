"""`vidseg eval` on the command line, and the ladder of baselines on real video."""

import json
from pathlib import Path

import numpy as np
import pytest
from labelled import SIZE, Make, scene_of

from vidseg import tracker
from vidseg.cli import main
from vidseg.evaluate import Copy, run
from vidseg.masks import palette

SEQUENCES = ("blackswan", "breakdance", "dog", "drift-straight", "horsejump-high", "kite-surf")
COPIED = dict(zip(SEQUENCES, (44.0, 20.2, 25.5, 7.8, 14.4, 23.0), strict=True))
FLOWED = dict(zip(SEQUENCES, (71.4, 22.2, 53.4, 45.9, 37.8, 31.8), strict=True))


def results_in(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def test_a_baseline_writes_masks_table_plot_sheet_and_results(davis: Make, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert main(["eval", str(davis(binary=True)), "--baseline", "copy", "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert shown == (out / "table.md").read_text()
    found = results_in(out)
    assert set(found["sequences"]) == {"a", "b"}
    assert found["j_and_f"] == pytest.approx((found["j"] + found["f"]) / 2, abs=1e-3)
    assert f"{found['j_and_f']:.1f}" in shown.splitlines()[-1]
    assert found["settings"]["protocol"] == "davis2016"
    assert found["command"].startswith("vidseg eval ") and "--baseline copy" in found["command"]
    assert (out / "worst.jpg").is_file()
    assert len(list((out / "masks" / "b").glob("*.png"))) == 6


def test_the_model_can_be_adapted_to_each_video_first(davis: Make, tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = str(davis(frames=4))
    command = ["eval", folder, "--checkpoint", str(tiny_checkpoint), "--device", "cpu", "--dtype", "float32", "--out"]
    assert main([*command, str(tmp_path / "plain")]) == 0
    assert main([*command, str(tmp_path / "adapted"), "--adapt=3"]) == 0
    plain, adapted = (results_in(tmp_path / name) for name in ("plain", "adapted"))
    assert adapted["settings"]["adapt"] == 3 and "adapt" not in plain["settings"]
    assert "--adapt 3" in adapted["command"]
    assert adapted["j_and_f"] != plain["j_and_f"]
    assert main([*command, str(tmp_path / "x"), "--adapt", "--baseline", "copy"]) == 2


def test_a_checkpoint_is_measured_and_a_second_run_only_reads(
    davis: Make, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = str(davis(frames=4)), str(tmp_path / "out")
    command = [
        "eval",
        folder,
        "--checkpoint",
        str(tiny_checkpoint),
        "--prompt",
        "click",
        "--device",
        "cpu",
        "--out",
        out,
    ]
    assert main([*command, "--sequences", "b"]) == 0
    first = results_in(tmp_path / "out")
    assert list(first["sequences"]) == ["b"]
    assert first["settings"]["checkpoint"]["bytes"] == tiny_checkpoint.stat().st_size
    assert main(command) == 0
    second = results_in(tmp_path / "out")
    assert list(second["sequences"]) == ["a", "b"]
    assert second["sequences"]["b"] == first["sequences"]["b"]
    monkeypatch.setattr("vidseg.cli.eval.load", lambda args: pytest.fail("the model was loaded without need"))
    assert main(command) == 0
    assert results_in(tmp_path / "out") == second


def test_other_settings_need_another_folder(davis: Make, tmp_path: Path, capsys) -> None:
    folder, out = str(davis()), str(tmp_path / "out")
    assert main(["eval", folder, "--baseline", "copy", "--out", out]) == 0
    assert main(["eval", folder, "--baseline", "flow", "--out", out]) == 1
    assert "baseline was 'copy', now 'flow'" in capsys.readouterr().err


def test_interactive_writes_a_curve(davis: Make, tiny_checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    folder = str(davis(names=("a",), frames=4))
    command = ["eval", folder, "--model", str(tiny_checkpoint), "--interactive", "2", "--out", str(out)]
    assert main([*command, "--prompt", "click", "--device", "cpu"]) == 0
    found = results_in(out)
    assert len(found["curve"]) == 3
    assert found["curve"][-1] == pytest.approx(found["j_and_f"], abs=1e-3)


def test_a_policy_limits_what_a_frame_sees(
    davis: Make, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    real = tracker.track

    def track(*args, limits, **more):
        seen.append(limits)
        return real(*args, limits=limits, **more)

    monkeypatch.setattr(tracker, "track", track)
    command = ["eval", str(davis(names=("a",), frames=4)), "--checkpoint", str(tiny_checkpoint)]
    assert main([*command, "--out", str(tmp_path / "own")]) == 0
    assert main([*command, "--out", str(tmp_path / "less"), "--policy", "recent=1, prompted=2"]) == 0
    assert [(one.prompted, one.recent, one.pointers) for one in seen] == [(4, 6, 15), (2, 1, 15)]
    assert json.loads((tmp_path / "less" / "results.json").read_text())["settings"]["policy"] == "recent=1, prompted=2"


def test_masks_of_another_program_are_scored_again_every_time(davis: Make, tmp_path: Path) -> None:
    folder, other, out = str(davis(names=("a",))), tmp_path / "other", tmp_path / "out"
    for frame in range(6):
        palette.write_index(other / "a" / f"{frame:05d}.png", scene_of("a").draw(frame)[1])
    command = ["eval", folder, "--masks", str(other), "--out", str(out)]
    assert main(command) == 0
    assert results_in(out)["j_and_f"] == 100
    assert not (out / "masks").exists()
    palette.write_index(other / "a" / "00002.png", scene_of("a").draw(0)[1] * 0)
    assert main(command) == 0
    assert results_in(out)["j_and_f"] == pytest.approx(75)


def test_sequences_can_be_listed_in_a_file(davis: Make, tmp_path: Path) -> None:
    (tmp_path / "val.txt").write_text("b\na\n")
    command = ["eval", str(davis()), "--baseline", "copy", "--sequences", str(tmp_path / "val.txt")]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    assert list(results_in(tmp_path / "out")["sequences"]) == ["b", "a"]


def test_an_object_that_never_appears_is_said_and_counted(sav: Path, tmp_path: Path, capsys) -> None:
    palette.write_index(sav / "Annotations_6fps/v/002/00000.png", np.zeros(SIZE, np.uint8))
    assert main(["eval", str(sav), "--baseline", "copy", "--out", str(tmp_path / "out")]) == 0
    line = "v: object 002 is listed and never appears in a mask"
    assert f"vidseg: skipped {line}" in capsys.readouterr().err
    assert results_in(tmp_path / "out")["skipped"] == [line]
    assert run(Copy(), sav).skipped == (line,)


def test_skipped_sequences_are_said_and_counted(davis: Make, tmp_path: Path, capsys) -> None:
    root = davis()
    for path in (root / "JPEGImages/480p/a").iterdir():
        path.unlink()
    assert main(["eval", str(root), "--baseline", "copy", "--out", str(tmp_path / "out")]) == 0
    assert "vidseg: skipped a: no pictures" in capsys.readouterr().err
    assert len(results_in(tmp_path / "out")["skipped"]) == 1


def test_labels_of_the_first_frame_alone_give_masks_and_no_score(davis: Make, tmp_path: Path, capsys) -> None:
    root = davis(names=("a",))
    for frame in range(1, 6):
        (root / f"Annotations/480p/a/{frame:05d}.png").unlink()
    assert main(["eval", str(root), "--baseline", "copy", "--out", str(tmp_path / "out")]) == 0
    assert "vidseg: not scored: a: no frame to score" in capsys.readouterr().err
    found = results_in(tmp_path / "out")
    assert (found["j_and_f"], len(found["skipped"])) == (None, 1)
    assert len(list((tmp_path / "out/masks/a").iterdir())) == 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--interactive", "-1"], "--interactive -1 is below 0"),
        (["--interactive", "2", "--baseline", "copy"], "--interactive corrects a model"),
        (["--baseline", "copy", "--prompt", "box"], "--baseline copy starts from the first mask"),
        (["--policy", "recent=few"], "--policy 'recent=few' is not possible; expected prompted=N (from 1), recent=N"),
        (["--policy", "recent=1", "--baseline", "copy"], "--policy is about a model's memory"),
    ],
)
def test_options_that_do_not_fit_together_are_wrong_usage(
    davis: Make, tmp_path: Path, capsys, options: list[str], message: str
) -> None:
    assert main(["eval", str(davis()), "--out", str(tmp_path / "out"), *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_copying_gives_the_first_row_of_the_ladder(shared: Path, tmp_path: Path) -> None:
    assert main(["eval", str(shared / "data/davis-dev"), "--baseline", "copy", "--out", str(tmp_path / "out")]) == 0
    found = results_in(tmp_path / "out")
    assert found["settings"]["protocol"] == "davis2016"
    assert {name: round(one["j_and_f"], 1) for name, one in found["sequences"].items()} == COPIED
    assert round(found["j_and_f"], 1) == 22.5


@pytest.mark.slow
def test_optical_flow_gives_the_second_row_of_the_ladder(shared: Path, tmp_path: Path) -> None:
    """Flow differs a little between builds of OpenCV and of JPEG decoders, and errors add up over a video."""
    assert main(["eval", str(shared / "data/davis-dev"), "--baseline", "flow", "--out", str(tmp_path / "out")]) == 0
    found = results_in(tmp_path / "out")
    assert {name: one["j_and_f"] for name, one in found["sequences"].items()} == pytest.approx(FLOWED, abs=2)
    assert found["j_and_f"] == pytest.approx(43.8, abs=0.7)

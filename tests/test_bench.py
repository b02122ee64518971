"""`vidseg bench`: what is counted and timed, the full memory, peers, and the command. Nothing here asserts a speed."""

import json
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vidseg.bench import Case, bench, machine, table
from vidseg.bench.run import STAGES
from vidseg.bench.stages import watched
from vidseg.bench.subjects import FIRST, VidsegSubject, build_model, draw_weights, spread_clicks
from vidseg.cli import main
from vidseg.errors import ConfigError, VidsegError
from vidseg.model import PRESETS, Sam2
from vidseg.model.linear import Linear, passing_shapes
from vidseg.scene import make_scene, write_scene
from vidseg.types import Frame

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def quick_rates(monkeypatch):
    """One matrix product is enough where no speed is asserted."""
    monkeypatch.setattr("vidseg.bench.run.matrix_rate", lambda dtype, device: 1e11)


def frame(index: int) -> Frame:
    image, _ = make_scene(size=(96, 128)).draw(index)
    return Frame(index, index / 25, image.image)


# ---- counting and timing from outside


class Parts(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(64, 32)

    def mix(self, x):
        return self.linear(x)

    def attend(self, x):
        return F.scaled_dot_product_attention(x, x, x)


@torch.inference_mode()
def test_products_are_counted_by_stage():
    parts = Parts()
    with watched({"mixing": (parts, "mix"), "attention": (parts, "attend")}, CPU, counting=True) as stages:
        parts.mix(torch.ones(10, 64))
        parts.mix(torch.ones(10, 64))
        parts.attend(torch.ones(2, 3, 100, 16))
    assert stages.flops == {"mixing": 2 * (2 * 10 * 64 * 32), "attention": 2 * 3 * (4 * 100 * 100 * 16)}
    assert not stages.seconds


@torch.inference_mode()
def test_layers_that_the_processor_fuses_are_counted_too():
    layer = Linear(64, 32).bfloat16()
    x = torch.ones(2, 5, 64).bfloat16()
    with watched({"layers": (layer, "forward")}, CPU, counting=True) as stages:
        layer.forward(x, F.gelu)
        assert stages.flops == {"layers": 2 * 2 * 5 * 64 * 32}
        with passing_shapes():
            layer.forward(x)
    assert stages.flops == {"layers": 2 * (2 * 2 * 5 * 64 * 32)}


@torch.inference_mode()
def test_a_stage_may_be_two_methods():
    parts = Parts()
    with watched({"both": (parts, "mix", "attend")}, CPU, counting=True) as stages:
        parts.mix(torch.ones(10, 64))
        parts.attend(torch.ones(2, 3, 100, 16))
    assert stages.flops == {"both": 2 * 10 * 64 * 32 + 2 * 3 * (4 * 100 * 100 * 16)}
    assert not {"mix", "attend"} & vars(parts).keys()


def test_watching_ends_with_the_block():
    parts = Parts()
    with watched({"mixing": (parts, "mix")}, CPU) as stages:
        parts.mix(torch.ones(1, 64))
    seconds = stages.seconds["mixing"]
    assert seconds > 0
    parts.mix(torch.ones(1, 64))
    assert stages.seconds == {"mixing": seconds}
    assert "mix" not in vars(parts)


def test_watching_ends_although_a_stage_fails():
    parts = Parts()
    with pytest.raises(RuntimeError), watched({"mixing": (parts, "mix")}, CPU):
        parts.mix(torch.ones(1, 65))
    assert "mix" not in vars(parts)


# ---- the machine


def test_the_rate_of_a_slow_format_is_found_with_small_products(monkeypatch):
    for rate, largest in ((1e6, 256), (1e13, 2048)):
        sides: list[int] = []
        monkeypatch.setattr(machine, "_product_rate", lambda side, *_, r=rate, s=sides: s.append(side) or r)
        assert machine.matrix_rate(torch.bfloat16, CPU, seconds=0.0) == rate
        assert max(sides) == largest


def test_the_first_product_of_a_device_does_not_count(monkeypatch):
    sides = []

    def rate(side, dtype, device):
        sides.append(side)
        return 1e12 if len(sides) > 1 else 1e6  # libraries are loaded first

    monkeypatch.setattr(machine, "_product_rate", rate)
    assert machine.matrix_rate(torch.float32, CPU, seconds=0.0) == 1e12
    assert max(sides) == 2048


def test_a_matrix_rate_is_measured():
    assert machine._product_rate(64, torch.float32, CPU) > 0


def test_peak_memory_sees_an_allocation():
    machine.reset_peak_memory(CPU)
    before = machine.peak_memory(CPU)
    np.ones(200_000_000, np.uint8).sum()
    assert machine.peak_memory(CPU) > before


def test_the_machine_is_described():
    described = machine.describe_machine(CPU)
    assert described["device"] == "cpu"
    assert described["threads"] == torch.get_num_threads()
    assert described["processor"]


# ---- vidseg as a subject


def test_drawn_weights_are_those_of_the_recorded_reference(shared):
    recorded = json.loads((shared / "golden" / "sam2.1-tiny.checksums.json").read_text())
    state = build_model(PRESETS["sam2.1-tiny"], CPU).state_dict()
    keys = [key for key in recorded if key in state]
    assert len(keys) == len(state)
    for key in keys:
        found = (state[key].double().sum().item(), state[key].double().abs().sum().item())
        assert found == pytest.approx(recorded[key], rel=1e-4, abs=1e-3), key


def test_drawing_twice_gives_the_same_weights():
    a, b = Sam2(PRESETS["tiny-test"]), Sam2(PRESETS["tiny-test"])
    draw_weights(a)
    draw_weights(b)
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_the_memory_is_full_from_the_first_timed_frame_on():
    model = build_model(PRESETS["tiny-test"], CPU)
    subject = VidsegSubject(model, frame(0), spread_clicks(2, (96, 128)))

    def sizes():
        banks = [track.bank for track in subject.state.tracks]
        return [(len(bank.prompted), len(bank.recent), len(bank.pointers)) for bank in banks]

    assert sizes() == [(1, 6, 15)] * 2
    assert subject.follow(frame(FIRST)).shape == (2, 24, 32)
    assert sizes() == [(1, 6, 15)] * 2
    assert subject.state.tracks[0].bank.recent[-1].frame == FIRST


def test_clicks_are_inside_the_picture_and_apart():
    clicks = spread_clicks(4, (540, 960))
    assert [(click.x, click.y) for click in clicks] == [(120, 270), (360, 270), (600, 270), (840, 270)]


# ---- cases


def test_a_case_is_measured_by_stage():
    described, case = bench([Case("tiny-test", objects=2)], frames=1)
    assert described["matrix_gflop_per_second"] == {"float32": 100.0}
    assert case["case"]["objects"] == 2
    assert case["case"]["image_size"] == 128
    assert case["picture"] == [540, 960]
    assert case["peak_memory_bytes"] > 1e7
    assert case["decode_video"] > 0
    (result,) = case["results"]
    assert (result["name"], result["dtype"]) == ("vidseg", "float32")
    assert list(result["stages"]) == list(STAGES)
    assert sum(result["stages"].values()) == pytest.approx(result["frame"])
    assert result["processor"] > 0
    assert all(result["gflop"][stage] > 0 for stage in STAGES[:-1])
    assert result["bound"]["image encoder"] == pytest.approx(result["gflop"]["image encoder"] / 100)
    json.dumps(case)


def test_the_input_size_changes_the_work():
    _, small, large = bench([Case("tiny-test"), Case("tiny-test", image_size=256)], frames=1)
    work = [case["results"][0]["gflop"]["image encoder"] for case in (small, large)]
    assert work[1] > 3 * work[0]


def test_a_short_clip_is_repeated(tmp_path):
    clip = write_scene(make_scene(size=(64, 96)), tmp_path / "frames", frames=2)
    _, case = bench([Case("tiny-test")], source=str(clip), frames=3)
    assert case["frames"] == 3
    assert case["picture"] == [64, 96]


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (Case("huge"), "unknown model 'huge'; expected one of sam2.1-tiny"),
        (Case("tiny-test", objects=0), "cannot follow 0 objects"),
        (Case("tiny-test", image_size=100), "image_size 100 must be a positive multiple of 32"),
        (Case("tiny-test", dtype="int4"), "unknown dtype 'int4'"),
        (Case("tiny-test", peer="sam9"), "unknown peer 'sam9'; expected one of sam2, transformers"),
    ],
)
def test_impossible_cases_are_refused_before_anything_is_measured(case, message):
    with pytest.raises(ConfigError, match=message):
        next(bench([case]))


def test_no_frames_are_refused():
    with pytest.raises(ConfigError, match="cannot time 0 frames"):
        next(bench([Case("tiny-test")], frames=0))


def test_the_table_has_a_line_for_every_stage():
    described, case = bench([Case("tiny-test", objects=3)], frames=1)
    assert "GFLOP/s in float32" in table(described)
    lines = table(case).splitlines()
    assert lines[0] == "tiny-test at 128 px, 3 objects"
    assert [stage for stage in STAGES if any(line.strip().startswith(stage) for line in lines)] == list(STAGES)
    assert any("peak memory" in line for line in lines)


# ---- peers


def test_transformers_takes_turns_and_gets_the_same_masks():
    pytest.importorskip("transformers", reason="transformers is not installed")
    case = Case("sam2.1-tiny", objects=2, image_size=128, dtype="float32", peer="transformers")
    _, described = bench([case], frames=2)
    assert [result["name"] for result in described["results"]] == ["vidseg", "transformers"]
    assert described["largest_logit_difference"] < 5e-4
    assert described["lowest_mask_iou"] > 0.999
    assert described["ratio_to_peer"] > 0
    assert described["processor_ratio_to_peer"] > 0
    assert "peak_memory_bytes" not in described
    ours, peer = (result["gflop"] for result in described["results"])
    assert peer["image encoder"] == pytest.approx(ours["image encoder"], rel=0.02)
    assert "of the processor time; logits differ by at most" in table(described)


def test_the_official_package_takes_turns_and_gets_the_same_masks():
    pytest.importorskip("sam2", reason="the official sam2 package is not installed")
    case = Case("sam2.1-tiny", objects=2, image_size=128, dtype="float32", peer="sam2")
    _, described = bench([case], frames=2)
    assert described["largest_logit_difference"] < 5e-4
    assert described["lowest_mask_iou"] > 0.999


@pytest.mark.parametrize("peer", ["transformers", "sam2"])
def test_a_peer_that_is_not_installed_is_named(peer, monkeypatch):
    monkeypatch.setitem(sys.modules, peer, None)
    monkeypatch.setitem(sys.modules, f"{peer}.build_sam", None)
    monkeypatch.setattr("vidseg.bench.peers._check_released", lambda *_: None)
    with pytest.raises(VidsegError, match=f"cannot compare with {peer}: it cannot be imported"):
        list(bench([Case("tiny-test", peer=peer)], frames=1))


@pytest.mark.parametrize("peer", ["transformers", "sam2"])
def test_a_model_that_the_peer_does_not_have_is_named(peer):
    pytest.importorskip("transformers", reason="transformers is not installed")
    with pytest.raises(VidsegError, match=f"{peer} has no model like tiny-test"):
        list(bench([Case("tiny-test", peer=peer)], frames=1))


# ---- the command


def test_the_command_measures_every_combination_and_writes_json(tmp_path, capsys):
    path = tmp_path / "speed.json"
    arguments = ["--model", "tiny-test", "--objects", "1,2", "--image-size", "64,128", "--frames", "1"]
    assert main(["bench", *arguments, "--json", "--out", str(path)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [(c["case"]["image_size"], c["case"]["objects"]) for c in printed["cases"]] == [
        (64, 1),
        (64, 2),
        (128, 1),
        (128, 2),
    ]
    assert printed["machine"]["threads"] == torch.get_num_threads()
    assert json.loads(path.read_text()) == printed
    assert list(tmp_path.iterdir()) == [path]


def test_the_command_prints_a_table(capsys):
    assert main(["bench", "--model", "tiny-test", "--frames", "1"]) == 0
    assert "tiny-test at 128 px, 1 object\n" in capsys.readouterr().out


def test_wrong_options_are_one_line(capsys):
    assert main(["bench", "--model", "tiny"]) == 1
    assert capsys.readouterr().err.startswith("vidseg: unknown model 'tiny'; expected one of")
    assert main(["bench", "--objects", "one"]) == 2
    assert "'one' is no list of whole numbers, such as 1,4" in capsys.readouterr().err
    assert main(["bench", "--model", "nano,,nano"]) == 2
    assert "has an empty name" in capsys.readouterr().err

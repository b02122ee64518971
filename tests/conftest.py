"""Fixtures that several test files share."""

import os
import shutil
from pathlib import Path

import pytest
from require import make_report

if "PYTEST_XDIST_WORKER" in os.environ:  # the workers share the processor; torch reads this when it is imported
    os.environ.setdefault("OMP_NUM_THREADS", "1")
if shutil.which("nvidia-smi") is None:  # kernels are interpreted; triton, which others import too, reads this once
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    return make_report(item, (yield))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real videos and reference numbers beside the checkout; skips the test where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("needs the shared data folder beside the checkout (real videos, golden numbers)")
    return folder


@pytest.fixture
def use_threads():
    """Set how many threads torch uses here, until the test ends."""
    import torch

    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_model():
    """The smallest model, with seeded random weights, that finds something in every frame."""
    import torch

    from vidseg.model import PRESETS, Sam2

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Sam2(PRESETS["tiny-test"]).eval().requires_grad_(False)
    model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(4.0)
    return model


@pytest.fixture(scope="session")
def tiny_checkpoint(tiny_model, tmp_path_factory) -> Path:
    """A file with the tiny model, for `--model`."""
    from vidseg.weights import save_model

    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_model(tiny_model, path)
    return path


@pytest.fixture(scope="session")
def scene():
    """Two objects, 128x80."""
    from vidseg.scene import make_scene

    return make_scene(0, size=(80, 128))


@pytest.fixture(scope="session")
def clip(scene, tmp_path_factory) -> Path:
    """24 frames of the scene as an H.264 file; tests must not write beside it."""
    from vidseg.scene import write_scene

    return write_scene(scene, tmp_path_factory.mktemp("clip") / "clip.mp4", frames=24)


@pytest.fixture(scope="session")
def demo_clip(tmp_path_factory) -> Path:
    """The first 26 frames of demos/clip.mp4; tests must not write beside it."""
    import runpy

    from vidseg.scene import write_scene

    scene = runpy.run_path(str(Path(__file__).resolve().parents[1] / "demos" / "make_clip.py"))["SCENE"]
    return write_scene(scene, tmp_path_factory.mktemp("demo") / "clip.mp4", frames=26)

"""What the README shows works: its Python runs, its commands run or parse, its links lead somewhere."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

import vidseg.weights
from vidseg.cli import build_parser, main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """The `vidseg ...` commands of the console blocks."""
    lines = [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines()]
    parts = [part.strip() for line in lines for part in line.split("&&")]
    return [part for part in parts if part.startswith("vidseg ")]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, demo_clip):
    """A folder that looks like the repository's root to the examples."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "demos").mkdir()
    shutil.copy(demo_clip, folder / "demos" / "clip.mp4")
    return folder


@pytest.fixture
def tiny_everywhere(monkeypatch, tiny_model, workplace):
    """Work in that folder, with the smallest model under every name."""
    monkeypatch.chdir(workplace)
    monkeypatch.setattr(vidseg.weights, "load_model", lambda *args, **options: tiny_model)


def test_the_commands_and_then_the_python_run_as_they_stand(tiny_everywhere, workplace, capsys):
    tracking = [command for command in commands() if command.startswith("vidseg track") and "--model" not in command]
    assert len(tracking) >= 4
    for command in tracking:
        assert main(shlex.split(command)[1:]) == 0, capsys.readouterr().err
    shown: dict = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), shown)
    out = capsys.readouterr().out
    assert "26 frames, 2 objects" in out
    assert "frame 25, 1.00 s: object 2" in out
    assert shown["result"].masks().shape == (3, 360, 640)
    assert len(shown["tracks"].frames) == 26


def test_every_other_command_is_one_that_vidseg_takes():
    for command in commands():
        assert build_parser().parse_args(shlex.split(command)[1:]).verb


def test_the_prompts_file_is_one_that_vidseg_reads(tmp_path):
    from vidseg.masks import palette
    from vidseg.prompts import read_prompts

    (text,) = blocks("json")
    (tmp_path / "prompts.json").write_text(text)
    palette.write_index(tmp_path / "third.png", np.eye(4, dtype=np.uint8) * 3)
    assert [prompt.object for prompt in read_prompts(tmp_path / "prompts.json")] == [1, 2, 3]


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_the_check_installs_and_tests_as_the_readme_says():
    (command,) = [line for block in blocks("console") for line in block.splitlines() if "pytest" in line]
    install, test = command.removeprefix("$ ").split(" && ")
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert install.replace("pip install", "pip install -q") in script
    assert script.rstrip().endswith(test)


def test_the_install_table_names_the_extras_there_are():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("[project.optional-dependencies]")[2]
    extras = re.findall(r"^(\w+) = \[", text.partition("\n\n[")[0], flags=re.MULTILINE)
    named = {name for group in re.findall(r"`pip install .*?\.\[([a-z,]+)\]", README) for name in group.split(",")}
    assert named == set(extras)

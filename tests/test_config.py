"""The settings reader: what it accepts, what it refuses and how it says so."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pytest

from vidseg.config import from_dict, read_config, to_dict, write_config
from vidseg.errors import ConfigError


@dataclass(frozen=True)
class Stage:
    steps: int
    size: tuple[int, int] = (64, 64)


@dataclass(frozen=True)
class Settings:
    name: str
    rate: float = 1e-3
    kind: Literal["warm", "cold"] = "warm"
    path: str | None = None
    fast: bool = True
    weights: dict[str, float] = field(default_factory=dict)
    stages: tuple[Stage, ...] = ()


def write(folder, text):
    path = folder / "settings.yaml"
    path.write_text(text)
    return path


def test_file_becomes_a_checked_dataclass(tmp_path):
    text = "name: a\nrate: 1e-4\nweights: {x: 1}\nstages:\n  - {steps: 3, size: [32, 64]}\n  - {steps: 4}\n"
    settings = read_config(write(tmp_path, text), Settings)
    assert settings == Settings("a", 1e-4, weights={"x": 1.0}, stages=(Stage(3, (32, 64)), Stage(4)))
    assert isinstance(settings.weights["x"], float)


def test_written_config_reads_back_equal(tmp_path):
    settings = Settings("ä", 0.5, "cold", "somewhere", False, {"x": 2.0}, (Stage(1, (8, 9)),))
    write_config(settings, tmp_path / "resolved.yaml")
    assert read_config(tmp_path / "resolved.yaml", Settings) == settings
    assert list(tmp_path.iterdir()) == [tmp_path / "resolved.yaml"]
    assert to_dict(settings)["stages"] == [{"steps": 1, "size": [8, 9]}]


def test_changes_override_the_file_and_reach_into_groups(tmp_path):
    path = write(tmp_path, "name: a\nweights: {x: 1}\n")
    settings = read_config(path, Settings, changes=["rate=2e-2", "weights.y=3", "kind=cold"])
    assert (settings.rate, settings.weights, settings.kind) == (0.02, {"x": 1.0, "y": 3.0}, "cold")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\nrat: 1\n", r"unknown setting 'rat'; did you mean 'rate'\?"),
        ("name: a\nzzz: 1\n", "unknown setting 'zzz'; known: name, rate"),
        ("rate: 1\n", "'name' is missing"),
        ("name: 3\n", "name is 3; expected text"),
        ("name: a\nrate: fast\n", "rate is 'fast'; expected a number"),
        ("name: a\nfast: 1\n", "fast is 1; expected true or false"),
        ("name: a\nkind: hot\n", "kind is 'hot'; expected one of warm, cold"),
        ("name: a\nstages: [{steps: 1.5}]\n", r"stages\[0\]: steps is 1.5; expected a whole number"),
        ("name: a\nstages: [{steps: 1, size: [1]}]\n", r"size has 1 values; expected 2"),
        ("name: a\nstages: 3\n", "stages is 3; expected a list"),
        ("name: a\nweights: 3\n", "weights is 3; expected `name: value` lines"),
        ("name: [\n", "not valid YAML"),
        ("- a\n", "holds a list of 1; expected `key: value` lines"),
    ],
)
def test_mistakes_are_named(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        read_config(write(tmp_path, text), Settings)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read the config .*absent.yaml: No such file"):
        read_config(tmp_path / "absent.yaml", Settings)


@pytest.mark.parametrize("change", ["rate", "=3"])
def test_change_without_key_or_value_is_refused(tmp_path, change):
    with pytest.raises(ConfigError, match="expected KEY=VALUE"):
        read_config(write(tmp_path, "name: a\n"), Settings, changes=[change])


def test_change_inside_a_plain_value_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="name holds 'a', not named settings"):
        read_config(write(tmp_path, "name: a\n"), Settings, changes=["name.x=3"])


def test_empty_optional_is_none():
    assert from_dict(Settings, {"name": "a", "path": None}).path is None

"""`vidseg models`: the list, and downloads by name."""

import hashlib
import json
from dataclasses import replace

import pytest

from vidseg import registry
from vidseg.cli import main
from vidseg.cli.models import list_models
from vidseg.model.config import PRESETS
from vidseg.model.sam2 import Sam2
from vidseg.registry import RELEASES, SHIPPED
from vidseg.weights import save_model


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    monkeypatch.setenv("VIDSEG_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A small published file that a file:// address stands for."""
    (tmp_path / "weights.pt").write_bytes(b"weights")
    release = replace(
        RELEASES["sam2.1-tiny"],
        url=(tmp_path / "weights.pt").as_uri(),
        size_bytes=7,
        sha256=hashlib.sha256(b"weights").hexdigest(),
    )
    monkeypatch.setitem(RELEASES, "sam2.1-tiny", release)
    return release


def test_the_list_names_every_model_with_its_source_and_licence(capsys):
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["model", "parameters", "size", "licence"]
    assert [line.split()[0] for line in lines[1:]] == [*SHIPPED, *RELEASES]
    for line in lines[1:]:
        assert ("non-commercial" if line.split()[0] in SHIPPED else "Apache-2.0") in line
    large = next(line for line in lines if line.startswith("sam2.1-large"))
    assert "224.4 M" in large
    assert "898 MB" in large
    assert large.split()[-2:] == [RELEASES["sam2.1-large"].url, "-"]


def test_the_json_list_says_where_files_are(published, cache, capsys):
    (cache / "weights.pt").write_bytes(b"weights")
    assert main(["models", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["sam2.1-tiny"] == {
        "name": "sam2.1-tiny",
        "parameters": 38_962_754,
        "size_bytes": 7,
        "source": published.url,
        "licence": "Apache-2.0",
        "path": str(cache / "weights.pt"),
    }
    assert rows["sam2.1-large"]["path"] is None
    assert rows["sam2-small"]["size_bytes"] is None


def test_the_shipped_model_is_counted_from_its_file(tmp_path, monkeypatch):
    path = tmp_path / "nano.safetensors"
    monkeypatch.setattr(registry, "shipped_path", lambda name: path)
    row = list_models()[0]
    assert (row["parameters"], row["path"]) == (None, None)
    assert row["source"].endswith("missing from this copy")
    model = Sam2(PRESETS["tiny-test"])
    save_model(model, path)
    row = list_models()[0]
    assert row["parameters"] == sum(tensor.numel() for tensor in model.state_dict().values())
    assert (row["size_bytes"], row["path"]) == (path.stat().st_size, str(path))


def test_download_puts_the_file_into_the_cache_and_prints_its_path(published, cache, capsys):
    assert main(["models", "download", "nano", "sam2.1-tiny"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{cache / 'weights.pt'}\n"
    assert captured.err == ""
    assert (cache / "weights.pt").read_bytes() == b"weights"


def test_an_unknown_name_stops_the_download_of_all(published, cache, capsys):
    assert main(["models", "download", "sam2.1-tiny", "sam3"]) == 1
    assert "vidseg: unknown model 'sam3'; " in capsys.readouterr().err
    assert list(cache.iterdir()) == []


def test_a_failed_download_is_one_line(published, capsys, monkeypatch):
    monkeypatch.setitem(RELEASES, "sam2.1-tiny", replace(published, url=f"{published.url}.gone"))
    assert main(["models", "download", "sam2.1-tiny"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("vidseg: cannot download sam2.1-tiny (")
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", RELEASES)
def test_every_release_has_its_preset(name):
    assert PRESETS[name].name == name

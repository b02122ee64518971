"""Downloads against a server on this machine that can break off, lie, or ignore ranges."""

import hashlib
import http.server
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from vidseg import downloads
from vidseg.downloads import cache_folder, download, find_cached
from vidseg.errors import WeightsError
from vidseg.registry import RELEASES, Release

CONTENT = bytes(range(256)) * 4096  # 1 MiB
OTHER = CONTENT[::-1]


@dataclass
class Server:
    """A file server; `breaks` are the numbers of bytes after which the next answers break off."""

    url: str = ""
    content: bytes = CONTENT
    breaks: list[int] = field(default_factory=list)
    ranges: bool = True
    status: int = 0
    asked: list[str | None] = field(default_factory=list)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            wanted = self.headers.get("Range")
            state.asked.append(wanted)
            if state.status:
                self.send_error(state.status)
                return
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and state.ranges else 0
            if start >= len(state.content):
                self.send_error(416)
                return
            body = state.content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: state.breaks.pop(0)] if state.breaks else body)

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setattr(downloads, "_PAUSE_SECONDS", 0.0)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        state.url = f"http://127.0.0.1:{httpd.server_port}/weights.pt"
        yield state
        httpd.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    monkeypatch.setenv("VIDSEG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def release(server) -> Release:
    return replace(
        RELEASES["sam2.1-tiny"],
        url=server.url,
        size_bytes=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
    )


def test_a_download_is_complete_and_reports_its_progress(release, cache):
    seen = []
    path = download(release, progress=lambda done, total: seen.append((done, total)))
    assert path == cache / "weights.pt"
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert list(cache.iterdir()) == [path]


def test_what_is_there_is_not_fetched_again(release, server):
    download(release)
    assert download(release).read_bytes() == CONTENT
    assert server.asked == [None]


def test_what_the_hub_cache_holds_is_not_fetched_again(release, server, tmp_path):
    snapshot = tmp_path / "huggingface" / "hub" / "models--facebook--sam2.1-hiera-tiny" / "snapshots" / "1"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"weights")
    assert download(release) == snapshot / "model.safetensors"
    assert server.asked == []


def test_a_broken_connection_is_continued_where_it_broke(release, server):
    server.breaks = [300_000, 200_000]
    assert download(release).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=300000-", "bytes=500000-"]


def test_an_interrupted_download_is_continued_by_the_next_call(release, server, cache):
    server.breaks = [100_000, 0]
    with pytest.raises(WeightsError, match=r"weights.pt stopped after 100,000 bytes .*run it again to continue"):
        download(release)
    assert not (cache / "weights.pt").exists()
    assert download(release).read_bytes() == CONTENT
    assert server.asked[-1] == "bytes=100000-"


def test_a_server_without_ranges_starts_over(release, server, cache):
    cache.mkdir()
    (cache / "weights.pt.part").write_bytes(CONTENT[:1000])
    server.ranges = False
    assert download(release).read_bytes() == CONTENT


def test_a_leftover_of_another_file_is_thrown_away(release, cache):
    cache.mkdir()
    (cache / "weights.pt.part").write_bytes(OTHER[:1000])
    assert download(release).read_bytes() == CONTENT


def test_a_complete_leftover_is_only_checked(release, cache, server):
    cache.mkdir()
    (cache / "weights.pt.part").write_bytes(CONTENT)
    assert download(release).read_bytes() == CONTENT
    assert server.asked == [f"bytes={len(CONTENT)}-"]


def test_a_wrong_sum_is_refused_and_nothing_is_left(release, server, cache):
    server.content = OTHER
    with pytest.raises(WeightsError, match=r"has SHA-256 [0-9a-f]{12}…, expected .*: not the released file"):
        download(release)
    assert list(cache.iterdir()) == []


def test_a_file_of_another_length_is_refused(release, server, cache):
    server.content = b"<html>please log in</html>"
    with pytest.raises(WeightsError, match="has 26 bytes, expected 1,048,576"):
        download(release)
    assert list(cache.iterdir()) == []


def test_a_file_of_unknown_length_is_judged_by_its_sum(release):
    assert download(replace(release, size_bytes=None)).read_bytes() == CONTENT


def test_without_a_network_the_error_says_which_file_goes_where(release, server, cache):
    nobody = replace(release, url=re.sub(r":\d+/", ":9/", server.url))
    with pytest.raises(WeightsError) as error:
        download(nobody)
    assert f"fetch {nobody.url} on another machine and put it at {cache / 'weights.pt'}" in str(error.value)


def test_a_file_put_there_by_hand_is_used_offline(release, server, cache):
    cache.mkdir()
    (cache / "weights.pt").write_bytes(CONTENT)
    assert download(release) == cache / "weights.pt"
    assert server.asked == []


def test_an_http_error_is_named(release, server):
    server.status = 404
    with pytest.raises(WeightsError, match=r"cannot download sam2.1-tiny \(HTTP 404 Not Found\)"):
        download(release)


def test_a_full_disk_is_noticed_before_the_download(release, server, monkeypatch):
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(WeightsError, match=r"weights.pt needs 1,048,576 more bytes but .* has 1,000 free"):
        download(release)
    assert server.asked == []


def test_a_cache_that_cannot_be_written_is_named(release, cache):
    cache.write_text("a file where the folder should be")
    with pytest.raises(WeightsError, match=r"cannot write .*weights.pt: File exists; make room or set VIDSEG_CACHE"):
        download(release)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"VIDSEG_CACHE": "/a", "HF_HOME": "/b", "XDG_CACHE_HOME": "/c"}, "/a"),
        ({"HF_HOME": "/b", "XDG_CACHE_HOME": "/c"}, "/b/vidseg"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/vidseg"),
        ({}, "/home/me/.cache/vidseg"),
    ],
)
def test_cache_folder_follows_the_environment(environment, expected, monkeypatch):
    for name in ("VIDSEG_CACHE", "HF_HOME"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", "/home/me")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert str(cache_folder()) == expected


@pytest.mark.parametrize("file_name", ["sam2.1_hiera_tiny.pt", "model.safetensors"])
def test_weights_in_the_hub_cache_are_found(file_name, tmp_path):
    release = replace(RELEASES["sam2.1-tiny"], size_bytes=7)
    repository = tmp_path / "huggingface" / "hub" / "models--facebook--sam2.1-hiera-tiny"
    for revision in ("older", "current"):
        (repository / "snapshots" / revision).mkdir(parents=True)
        (repository / "snapshots" / revision / file_name).write_bytes(b"weights")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("current")
    assert find_cached(release) == repository / "snapshots" / "current" / file_name


def test_a_hub_cache_elsewhere_is_honoured(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "elsewhere"))
    snapshot = tmp_path / "elsewhere" / "models--facebook--sam2-hiera-base-plus" / "snapshots" / "1"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"weights")
    assert find_cached(RELEASES["sam2-base-plus"]) == snapshot / "model.safetensors"


def test_a_file_of_the_wrong_length_is_not_taken_for_the_release(release, cache):
    cache.mkdir()
    (cache / "weights.pt").write_bytes(CONTENT[:-1])
    assert find_cached(release) is None


def test_registry_entries_are_complete():
    assert len(RELEASES) == 8
    for name, release in RELEASES.items():
        assert release.name == name
        assert re.fullmatch(r"[0-9a-f]{64}", release.sha256)
        assert release.url.startswith("https://dl.fbaipublicfiles.com/segment_anything_2/")
        assert release.size_bytes is None or 0 < release.size_bytes - 4 * release.parameters < 1e6
    assert len({release.sha256 for release in RELEASES.values()}) == 8
    assert RELEASES["sam2.1-base-plus"].file_name == "sam2.1_hiera_base_plus.pt"
    assert RELEASES["sam2-tiny"].url.endswith("/072824/sam2_hiera_tiny.pt")

"""Measure the annotator as a person meets it: the real command, the real page in a Chromium, on drawn 480p clips.

    python tests/annotate/measure.py click         from the click to the mask on the screen
    python tests/annotate/measure.py learn         how long the model learns, and clicks meanwhile
    python tests/annotate/measure.py propagate     frames a second in the page, against `vidseg track`
    python tests/annotate/measure.py memory        of the server and of the page over a long video

These are measurements, not tests: close other programs, and give a --model. docs/annotate.md keeps what was printed.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from browser import View, chromium

from vidseg.scene import Scene, make_scene, write_scene

SIZE = (480, 854)
MASK_APPEARS = """([x, y]) => { window.waited = new Promise((resolve) => {
    const canvas = document.getElementById("masks"), at = document.getElementById("overlay").dataset;
    const ratio = canvas.width / canvas.clientWidth;
    const place = [Number(at.left) + x * at.scale, Number(at.top) + y * at.scale].map((one) => one * ratio - 15);
    const seen = () => canvas.getContext("2d").getImageData(...place, 31, 31).data.some((value) => value > 0);
    addEventListener("pointerup", (event) => {
        const look = () => (seen() ? resolve(performance.now() - event.timeStamp) : requestAnimationFrame(look));
        requestAnimationFrame(look);
    }, {once: true, capture: true});
}); }"""
FRAMES_COUNTED = """() => { window.counted = [];
    new MutationObserver(() => {
        const text = document.querySelector("#jobs .number")?.textContent ?? "";
        const done = parseInt(text), last = window.counted.at(-1)?.[0];
        if (done > 0 && done !== last) window.counted.push([done, performance.now()]);
    }).observe(document.getElementById("jobs"), {subtree: true, childList: true, characterData: true}); }"""


@contextmanager
def annotating(clip: Path, folder: Path, model: str) -> Iterator[tuple[View, psutil.Process]]:
    """`vidseg annotate` on a clip in a process of its own, its page in a browser, the model loaded."""
    command = [sys.executable, "-m", "vidseg", "annotate", str(clip), "--project", str(folder / "project.vidseg")]
    with subprocess.Popen(
        [*command, "--model", model, "--no-browser"], stdout=subprocess.PIPE, text=True
    ) as server, chromium() as engine:  # fmt: skip
        try:
            assert server.stdout is not None
            address = re.search(r"http\S+", server.stdout.readline())
            assert address is not None, "the server did not start"
            with View.open(engine, address.group()) as view:
                view.page.locator("#status.ready").wait_for()
                view.settle()
                yield view, psutil.Process(server.pid)
        finally:
            server.terminate()


def click(model: str, folder: Path, frames: int) -> None:
    """Time first clicks on frames just reached and on frames rested upon, and second clicks."""
    scene = make_scene(3, size=SIZE)
    clip = write_scene(scene, folder / "clip.mp4", frames=frames)
    taken: dict[str, list[float]] = {"first click, frame just reached": [], "first click, after a rest": [], "next": []}
    with annotating(clip, folder, model) as (view, _):
        for frame in range(1, frames):
            view.page.keyboard.press("n")
            view.page.keyboard.press("ArrowRight")
            view.until(lambda at=frame: view.frame == at, "the next frame is shown")
            rested = frame % 2 == 0
            if rested:
                view.page.wait_for_timeout(400)
                view.settle()
            name = "first click, after a rest" if rested else "first click, frame just reached"
            taken[name].append(_click(view, scene, frame, 1))
            view.settle()
            if rested:
                view.page.keyboard.press("n")
                taken["next"].append(_click(view, scene, frame, 2))
                view.settle()
    for name, found in taken.items():
        middle = statistics.median(found)
        print(f"{name}: median {middle:.0f} ms, {min(found):.0f} to {max(found):.0f}, of {len(found)}")


def _click(view: View, scene: Scene, frame: int, number: int) -> float:
    """Click the middle of an object; return the milliseconds from the button's release to pixels of a mask there."""
    x, y, _ = scene.click(frame, number)
    view.page.evaluate(MASK_APPEARS, [x, y])
    view.click(x, y)
    return float(view.page.evaluate("window.waited"))


def learn(model: str, folder: Path, frames: int) -> None:
    """Time learning from one click while nothing else is asked for, then clicks while it learns again; and memory."""
    scene = make_scene(3, size=SIZE)
    clip = write_scene(scene, folder / "clip.mp4", frames=frames)
    with annotating(clip, folder, model) as (view, server):
        view.click(*scene.click(0)[:2])
        view.settle()
        learning = view.page.locator("#learning-job")
        before, began = _megabytes(server), time.monotonic()
        view.page.keyboard.press("Shift+L")
        learning.wait_for()
        learning.wait_for(state="detached", timeout=0)
        taken = time.monotonic() - began
        view.page.keyboard.press("Shift+L")
        learning.wait_for()
        clicks = []
        for frame in range(1, frames):
            view.page.keyboard.press("n")
            view.go(frame)
            clicks.append(_click(view, scene, frame, 1))
            view.settle()
        assert learning.is_visible(), "it had learned before the last click; take fewer frames"
        print(f"learned in {taken:.0f} s; server {before:.0f} MB before, {_megabytes(server):.0f} while it learns")
    print(f"click while it learns: median {statistics.median(clicks):.0f} ms, {min(clicks):.0f} to {max(clicks):.0f}")


def propagate(model: str, folder: Path, frames: int, rounds: int = 3) -> None:
    """Time the frames of a propagation as the page counts them, and of `vidseg track` with and without its overlay."""
    scene = make_scene(3, size=SIZE)
    clip = write_scene(scene, folder / "clip.mp4", frames=frames)
    found: dict[str, list[float]] = {"page": [], "vidseg track": [], "vidseg track --no-overlay": []}
    for number in range(rounds):
        inside = folder / str(number)
        inside.mkdir()
        found["page"].append(_in_page(clip, scene, inside, model))
        found["vidseg track"].append(_by_track(clip, scene, inside / "drawn", model))
        found["vidseg track --no-overlay"].append(_by_track(clip, scene, inside / "bare", model, "--no-overlay"))
        print(", ".join(f"{name} {rates[-1]:.2f}" for name, rates in found.items()), flush=True)
    page, *others = (statistics.median(rates) for rates in found.values())
    print(f"median: page {page:.2f} frames a second", end="")
    for name, other in zip(list(found)[1:], others, strict=True):
        print(f"; {name} {other:.2f}, the page {1 - page / other:.0%} slower", end="")
    print()


def _in_page(clip: Path, scene: Scene, folder: Path, model: str) -> float:
    with annotating(clip, folder, model) as (view, _):
        x, y, _ = scene.click(0)
        view.click(x, y)
        view.settle()
        view.page.evaluate(FRAMES_COUNTED)
        view.page.keyboard.press("f")
        view.page.locator(".job").wait_for()
        view.page.locator(".job").wait_for(state="detached", timeout=0)
        return _rate(view.page.evaluate("window.counted"))


def _rate(counted: list[list[float]]) -> float:
    """Frames a second after the tenth frame, from [frames done, milliseconds]."""
    (first, began), (last, ended) = next(one for one in counted if one[0] >= 10), counted[-1]
    return 1000 * (last - first) / (ended - began)


def _by_track(clip: Path, scene: Scene, out: Path, model: str, *options: str) -> float:
    x, y, _ = scene.click(0)
    command = [sys.executable, "-m", "vidseg", "track", str(clip), "--click", f"0:{x},{y}", "--out", str(out)]
    subprocess.run([*command, "--model", model, *options], check=True, stdout=subprocess.DEVNULL)
    written = sorted(path.stat().st_mtime_ns / 1e6 for path in (out / "masks").glob("*.png"))
    return _rate([[frame, when] for frame, when in enumerate(written)])


def memory(model: str, folder: Path, frames: int) -> None:
    """Print the memory of the server and of the page while a video is propagated, then played to its end."""
    scene = make_scene(3, size=SIZE)
    clip = write_scene(scene, folder / "clip.mp4", frames=frames)
    with annotating(clip, folder, model) as (view, server):
        x, y, _ = scene.click(0)
        view.click(x, y)
        view.settle()
        print("frames done, server MB, page MB")
        view.page.evaluate(FRAMES_COUNTED)
        view.page.keyboard.press("f")
        view.page.locator(".job").wait_for()

        def done() -> int:
            counted = view.page.evaluate("window.counted.at(-1)?.[0]") or 0
            return int(counted) + 1 if view.page.locator(".job").count() else frames

        _sample(view, server, done, frames, every=frames // 10, say="propagated")
        view.page.locator(".job").wait_for(state="detached", timeout=0)
        view.page.keyboard.press("Home")
        view.page.locator("[aria-label=Speed]").select_option("4")
        view.page.keyboard.press("Space")
        _sample(view, server, lambda: view.frame + 1, frames, every=frames // 5, say="played")


def _sample(view: View, server: psutil.Process, done: Callable[[], int], frames: int, *, every: int, say: str) -> None:
    for mark in range(every, frames + 1, every):
        while done() < mark:
            view.page.wait_for_timeout(200)
        page = max(_megabytes(one) for one in psutil.Process().children(recursive=True) if _is_page(one))
        print(f"{mark} {say}, {_megabytes(server):.0f}, {page:.0f}", flush=True)


def _is_page(process: psutil.Process) -> bool:
    return "--type=renderer" in process.cmdline()


def _megabytes(process: psutil.Process) -> float:
    """What a process holds for itself: resident without shared pages."""
    found = process.memory_info()
    return (found.rss - found.shared) / 1e6


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("click", "learn", "propagate", "memory"))
    parser.add_argument("--model", default="nano", help="a name or a file (default: nano)")
    parser.add_argument("--frames", type=int, help="length of the clip (default: 31, 16, 90 and 3000)")
    args = parser.parse_args()
    measures = {"click": (click, 31), "learn": (learn, 16), "propagate": (propagate, 90), "memory": (memory, 3000)}
    measure, frames = measures[args.what]
    with tempfile.TemporaryDirectory() as folder:
        measure(args.model, Path(folder), args.frames or frames)


if __name__ == "__main__":
    main()

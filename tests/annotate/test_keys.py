"""Every key of the help, pressed in a real browser: each does what the help promises, and none is left out."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import shapes
from browser import Serving, View

from vidseg.annotate import Session

Condition = Callable[[], Any]
Press = Callable[[str, Condition], None]

FRAMES = 24
HERE = 12  # the frame at which the page opens
DISC, SQUARE = 1, 2  # the objects that are there, by their numbers in `shapes`
CLICKED = (4, 12, 20)  # the frames on which the disc was clicked; the square was on HERE
ON_DISC, ON_SQUARE = (36.5, 15.5), (67.5, 40.5)  # where the two are on HERE


@pytest.fixture
def view(engine: Any, serving: Serving, session: Session) -> Iterator[View]:
    """A tab at frame HERE of a project with the disc and the square; nothing is propagated or selected."""
    for _ in (DISC, SQUARE):
        session.do("object.add", video=1)
    clicks = [(DISC, frame, 12.5 + 2 * frame, 15.5) for frame in CLICKED]
    for object, frame, x, y in [*clicks, (SQUARE, HERE, *ON_SQUARE)]:
        session.do("prompt.click", video=1, object=object, frame=frame, x=x, y=y, on=True)
    with View.open(engine, f"{serving.address}#video=1&frame={HERE}") as found:
        yield found


def read_help(view: View) -> dict[str, dict[str, str]]:
    """What the page's table of commands promises, by topic and key."""
    groups = view.page.evaluate(
        "async () => { const { commands } = await import('/static/commands.js');"
        " return commands({}).map((group) => [group.title,"
        " group.commands.flatMap(({ keys, text }) => keys.map((key) => [key, text]))]); }"
    )
    return {title: dict(promises) for title, promises in groups}


def typed(key: str) -> str:
    """A key of the help as it is typed on an American keyboard, in Playwright's words."""
    key = {"?": "Shift+Slash", "+": "Shift+Equal"}.get(key, key.replace("Ctrl", "Control"))
    return re.sub(r"\b[A-Z]$", lambda letter: letter[0].lower(), key)


# What the project holds


def ids(session: Session) -> list[int]:
    return [known.id for known in session.project.objects(1)]


def frames(session: Session, object: int) -> set[int]:
    return {mask.frame for mask in session.project.masks(1, object)}


def followed(session: Session, object: int) -> list[int]:
    """The shape that each mask of an object shows exactly, frame by frame."""
    masks = [(mask.decode(), shapes.truth(mask.frame)) for mask in session.project.masks(1, object)]
    return [number for mask, truth in masks for number in truth if np.array_equal(mask, truth[number])]


def prompts_here(session: Session, object: int) -> int:
    return len(session.project.prompts(1, object, start=HERE, stop=HERE + 1))


def judged(session: Session, state: str) -> set[tuple[int, int]]:
    """The (object, frame) of the masks in a state of review."""
    return {(mask.object, mask.frame) for mask in session.project.masks(1) if mask.state == state}


def propagate_all(session: Session) -> None:
    session.do("propagate.start", video=1, direction="both", frame=HERE, reach="all")
    session.wait(20)


# What the page shows


def texts(view: View, selector: str) -> list[str]:
    return view.page.locator(selector).all_text_contents()


def listed(view: View, selector: str = ".object") -> list[int]:
    """The objects of the list, in its order."""
    return view.page.locator(selector).evaluate_all("all => all.map((one) => Number(one.dataset.object))")


def picture(view: View, name: str) -> float:
    """The `scale`, `left` or `top` of the picture on the screen."""
    return float(view.page.locator("#overlay").get_attribute(f"data-{name}"))


# What a key is to bring about


def at(view: View, frame: int) -> Condition:
    return lambda: view.frame == frame


def there(view: View, selector: str, number: int = 1) -> Condition:
    return lambda: view.page.locator(selector).count() == number


def reads(view: View, selector: str, *wanted: str) -> Condition:
    return lambda: texts(view, selector) == list(wanted)


def selected(view: View, *wanted: int) -> Condition:
    return lambda: listed(view, ".object.current") == list(wanted)


def opened(view: View, title: str) -> Condition:
    return reads(view, "dialog[open] h2", title)


def tool(view: View, name: str) -> Condition:
    return there(view, f"#tool-{name}[aria-pressed=true]")


def scaled(view: View, scale: float) -> Condition:
    return lambda: picture(view, "scale") == pytest.approx(scale)


def done(session: Session, wanted: set[int]) -> Condition:
    """The disc has masks on these frames, and nothing is at work any more."""
    return lambda: not session.jobs() and frames(session, DISC) == wanted


# The topics of the help


def player(view: View, session: Session, press: Press) -> None:
    steps = {"ArrowRight": 13, "D": 14, "ArrowLeft": 13, "A": 12}
    leaps = {"Shift+ArrowRight": 22, "Shift+ArrowLeft": 12, "Shift+D": 22, "Shift+A": 12}
    marks = {"Home": 0, "PageDown": 4, ".": 12, "End": FRAMES - 1, "PageUp": 20, ",": 12}
    for key, frame in {**steps, **leaps, **marks}.items():
        press(key, at(view, frame))
    press("J", there(view, "#frame-input:focus"))
    view.page.keyboard.type("8")
    view.page.keyboard.press("Enter")
    view.until(at(view, 8), "the frame of that number is shown")

    view.page.get_by_label("Speed").select_option("0.1")
    pause = view.page.locator("#pause")
    press("Space", lambda: view.frame > 8)
    press("Space", lambda: not pause.is_visible())
    stopped = view.frame
    press("Shift+Space", lambda: view.frame < stopped)


def objects(view: View, session: Session, press: Press) -> None:
    keyboard = view.page.keyboard
    propagate_all(session)
    for _ in range(7):
        session.do("object.add", video=1)
    view.until(there(view, ".object", 9), "all nine are listed")
    for number in range(1, 10):
        press(str(number), selected(view, number))
    press("ArrowUp", selected(view, 8))
    press("ArrowDown", selected(view, 9))

    press("N", selected(view))
    view.click(*ON_SQUARE)
    view.until(selected(view, 10), "the next click makes a new object")
    press("F2", there(view, ".name-input:focus"))
    for text, key in (("box", "Tab"), ("toy", "Enter")):
        keyboard.type(text)
        keyboard.press(key)
    view.until(reads(view, ".current .names span", "box", "toy"), "it has that name and class")
    for key, sign in (("H", ".current.hidden"), ("L", ".current [aria-label='Unlock box']")):
        press(key, there(view, sign))
        press(key, there(view, sign, 0))
    done = session.project.store.history()[2]
    twice = (
        "for (const n of [1, 2]) document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'l', bubbles: true}))"
    )
    view.page.evaluate(twice)
    view.until(lambda: session.project.store.history()[2] == done + 2, "both presses are answered")
    assert not any(known.locked for known in session.project.objects(1))

    keyboard.press("1")
    press("K", selected(view, 11))
    assert (frames(session, DISC), frames(session, 11)) == (set(range(HERE)), set(range(HERE, FRAMES)))
    press("M", opened(view, "Merge into object 1 b"))
    keyboard.press("Enter")  # the first of the others: the rest of the disc
    view.until(lambda: DISC not in listed(view), "the other is gone")
    assert followed(session, 11) == FRAMES * [DISC]
    press("S", opened(view, "Swap object 1 b with"))
    keyboard.press("Enter")  # the first of the others: the square
    view.until(lambda: followed(session, SQUARE) == 12 * [SQUARE] + 12 * [DISC], "they are swapped from here on")
    keyboard.press("i")
    view.go(15)
    keyboard.press("o")
    press("S", opened(view, "Swap object 1 b with"))
    keyboard.press("Enter")
    view.until(lambda: followed(session, SQUARE) == 16 * [SQUARE] + 8 * [DISC], "they are swapped back in the range")

    press("Alt+ArrowUp", lambda: listed(view)[-2:] == [11, 10])
    press("Alt+ArrowDown", lambda: listed(view)[-2:] == [10, 11])
    press("Delete", opened(view, "Delete object 1 b?"))
    keyboard.press("Enter")
    view.until(lambda: 11 not in ids(session), "it is deleted")


def prompts(view: View, session: Session, press: Press) -> None:
    keyboard = view.page.keyboard
    press("B", tool(view, "brush"))
    press("]", reads(view, "#options output", "15 px"))
    press("[", reads(view, "#options output", "12 px"))
    view.drag((10, 45), (30, 45))
    view.until(lambda: view.drawn(shapes.SIZE)[45, 5:35].all(), "the stroke is drawn")
    press("E", tool(view, "eraser"))
    view.drag((40, 45), (44, 45))
    view.until(lambda: not view.drawn(shapes.SIZE)[45, 30:55].any(), "its end is erased")
    press("P", tool(view, "polygon"))
    for corner in ((50, 2), (85, 2), (85, 20), (50, 55)):
        view.click(*corner)
    keyboard.press("Backspace")
    view.click(50, 20)
    keyboard.press("Enter")
    view.until(lambda: view.drawn(shapes.SIZE)[3:19, 51:84].all(), "the polygon is closed")
    assert not view.drawn(shapes.SIZE)[22:32, 45:60].any()
    press("T", tool(view, "pan"))
    before = picture(view, "left")
    view.drag((45, 30), (55, 30))
    view.until(lambda: picture(view, "left") > before, "the picture has moved")
    press("V", tool(view, "prompt"))
    keyboard.press("n")
    view.drag((57, 31), (78, 49))
    view.until(lambda: followed(session, 4) == [SQUARE], "the box finds the square")

    keyboard.press("n")
    view.click(*ON_DISC)
    first, second = (reads(view, "#candidates [aria-pressed=true]", text) for text in ("1 · 90 %", "2 · 70 %"))
    view.until(first, "there are candidates")
    press("C", second)
    press("Shift+C", first)
    before = prompts_here(session, 5)
    view.click(*ON_SQUARE)
    view.until(lambda: prompts_here(session, 5) == before + 1, "there is one prompt more")
    press("Backspace", lambda: prompts_here(session, 5) == before)
    press("Shift+Backspace", lambda: not prompts_here(session, 5))
    for key in ("Ctrl+Shift+Z", "Ctrl+Y"):
        press("Ctrl+Z", lambda: prompts_here(session, 5) == before)
        press(key, lambda: not prompts_here(session, 5))

    keyboard.press("i")
    keyboard.press("p")
    view.click(10, 25)
    view.click(20, 25)
    view.until(lambda: view.alpha("#overlay", 15, 25), "a polygon is under way")
    press("Escape", lambda: not view.alpha("#overlay", 15, 25))
    press("Escape", reads(view, "#range", ""))
    press("Escape", selected(view))


def propagate(view: View, session: Session, press: Press) -> None:
    clicked = set(CLICKED)
    spans = {
        "F": range(12, FRAMES), "R": range(12), "G": range(FRAMES), "Shift+F": range(12, 20), "Shift+R": range(4, 12),
    }  # fmt: skip
    for key, span in spans.items():
        press(key, done(session, clicked | set(span)))
        session.do("undo")

    press("I", reads(view, "#range", "range 12–12"))
    view.go(15)
    press("O", reads(view, "#range", "range 12–15"))
    press("U", reads(view, "#range", ""))

    press("Shift+L", reads(view, "#learned", "from 4 masks"))
    session.do("model.forget")

    with held(view, session):
        press("Q", there(view, ".job.paused"))
    press("Q", done(session, clicked | set(range(12, FRAMES))))
    session.do("undo")
    with held(view, session):
        press("Shift+Q", there(view, ".job", 0))
    assert not session.jobs() and frames(session, DISC) == clicked | {13}


@contextmanager
def held(view: View, session: Session) -> Iterator[None]:
    """A propagation from HERE forward that has done its first frame and does not begin the next before the end."""
    end = threading.Event()

    def hold(event: dict[str, Any]) -> None:
        if event["event"] == "masks" and event["job"]:
            session.worker.submit(end.wait)

    view.until(there(view, ".job", 0), "nothing is at work")
    view.settle()  # after a job the page has its frame prepared, which would wait for the end, too
    leave = session.listen(hold)
    try:
        view.page.keyboard.press("f")
        view.until(lambda: there(view, ".job.running")() and 13 in frames(session, DISC), "it is at work")
        yield
    finally:
        leave()
        end.set()


def review(view: View, session: Session, press: Press) -> None:
    def span(first: int, last: int) -> set[tuple[int, int]]:
        return {(DISC, frame) for frame in range(first, last + 1)}

    def accepted(wanted: set[tuple[int, int]]) -> Condition:
        return lambda: judged(session, "accepted") == wanted

    def worst(frame: int) -> tuple[int, int]:
        found = session.do("review.next", video=1, frame=frame)
        return found["object"], found["frame"]

    keyboard = view.page.keyboard
    propagate_all(session)
    object, frame = worst(HERE)
    press("W", lambda: selected(view, object)() and view.frame == frame)
    view.go(HERE)
    press("Shift+W", lambda: selected(view, object)() and view.frame == frame)
    press("Ctrl+Enter", lambda: judged(session, "accepted") == {(object, frame)} and view.frame == worst(frame)[1])
    session.do("undo")

    keyboard.press("1")
    view.go(10)
    press("Shift+Enter", accepted(span(4, 12)))
    press("Z", accepted(span(4, 12) - {(DISC, 10)}))
    press("Enter", accepted(span(4, 12)))
    press("X", lambda: judged(session, "rejected") == {(DISC, 10)})
    keyboard.press("i")
    view.go(14)
    keyboard.press("o")
    press("Enter", accepted(span(4, 14)))
    press("X", lambda: judged(session, "rejected") == span(10, 14))


def proposals(view: View, session: Session, press: Press) -> None:
    def known(number: int) -> bool:
        return len(ids(session)) == number

    def left(number: int) -> Condition:
        return there(view, "#proposals:not([hidden]) li", number)

    keyboard = view.page.keyboard
    view.go(0)
    press("Shift+P", left(2))
    keyboard.press("c")
    view.until(there(view, "#proposals li:nth-child(2).current"), "the second is the current one")
    press("Shift+X", left(1))
    assert list(session.proposals[1, 0]) == ["p1"] and known(2)
    keyboard.press("Shift+P")
    view.until(left(2), "both are proposed again")
    press("Y", left(1))
    assert list(session.proposals[1, 0]) == ["p2"] and known(3)
    view.go(2)
    keyboard.press("Shift+P")
    view.until(left(2), "both are proposed here")
    press("Shift+Y", left(0))
    assert known(5)
    view.go(6)
    press("Alt+P", lambda: known(7) and all(len(frames(session, new)) == FRAMES for new in (6, 7)))


def appearance(view: View, session: Session, press: Press) -> None:
    def light(wanted: str) -> Condition:
        return lambda: view.page.locator("#picture").evaluate("(one) => one.style.filter") == wanted

    scale = picture(view, "scale")
    for key, factor in {"+": 1.25, "=": 1.25**2, "-": 1.25, "0": 1}.items():
        press(key, scaled(view, factor * scale))
    press("Shift+H", lambda: not view.drawn(shapes.SIZE).any())
    press("Shift+H", lambda: view.drawn(shapes.SIZE).any())
    press("Shift+ArrowUp", light("brightness(1.1)"))
    press("Shift+ArrowDown", light(""))


def program(view: View, session: Session, press: Press) -> None:
    for key, title in {"Ctrl+E": "Export masks", "Ctrl+I": "Import", "Ctrl+,": "Settings"}.items():
        press(key, opened(view, title))
        view.page.keyboard.press("Escape")
        view.until(there(view, "dialog", 0), "it is closed")
    press("?", opened(view, "Keys"))
    promised = {text for promises in read_help(view).values() for text in promises.values() if text}
    assert promised <= set(texts(view, "dialog dd"))


TOPICS = {
    "Player": player,
    "Objects": objects,
    "Prompts and drawing": prompts,
    "Propagate": propagate,
    "Review": review,
    "Proposals": proposals,
    "View": appearance,
    "Program": program,
}


@pytest.mark.parametrize("topic", TOPICS)
def test_every_key_does_what_the_help_promises(view: View, session: Session, topic: str) -> None:
    promises, pressed = read_help(view)[topic], set()

    def press(key: str, condition: Condition) -> None:
        view.page.locator("#status:not(.busy)").wait_for()  # what was asked before has been answered
        assert not condition(), f"so before it is pressed: {key}: {promises[key]}"
        view.page.keyboard.press(typed(key))
        view.until(condition, f"{key}: {promises[key]}")
        pressed.add(key)

    TOPICS[topic](view, session, press)
    assert pressed == set(promises)


def test_every_topic_of_the_help_is_tested(view: View) -> None:
    assert set(read_help(view)) == set(TOPICS)

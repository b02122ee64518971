"""The page in a real browser: a day's work on a drawn clip, from the first click to the exported masks."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapes
from browser import Serving, View
from PIL import Image

from vidseg.annotate import Session
from vidseg.masks import rle

FRAMES = 24
DISC, SQUARE = (12.5, 15.5), (67.5, 34.5)  # where the two are on frame 0


@pytest.fixture
def view(engine: Any, serving: Serving) -> Iterator[View]:
    """A tab with the project open at frame 0; a script error in it fails the test."""
    with View.open(engine, serving.address) as found:
        yield found


def masks(session: Session, object: int) -> dict[int, np.ndarray]:
    return {mask.frame: mask.decode() for mask in session.project.masks(1, object)}


def same(view: View, number: int, frame: int) -> bool:
    """Whether the masks that are drawn on the screen are the true one, pixel by pixel."""
    return bool(np.array_equal(view.drawn(shapes.SIZE), shapes.truth(frame)[number]))


def test_a_day_of_work_from_the_first_click_to_the_exported_masks(view: View, session: Session) -> None:
    page = view.page
    view.click(*DISC)
    view.until(lambda: same(view, 1, 0), "the mask of the click is on the screen")
    page.keyboard.press("c")  # the second candidate is too large, and the model loses the object with it
    view.until(lambda: view.drawn(shapes.SIZE).sum() > 1.3 * shapes.truth(0)[1].sum(), "the larger candidate is shown")
    page.keyboard.press("f")
    view.until(lambda: len(masks(session, 1)) == FRAMES, "it is propagated to the end")
    assert not masks(session, 1)[12].any()

    view.go(12)  # correct it on a later frame
    view.click(12.5 + 24, 15.5)
    view.until(lambda: same(view, 1, 12), "the correction is shown")
    page.keyboard.press("Control+z")
    view.until(lambda: not view.drawn(shapes.SIZE).any(), "the correction is undone")
    page.keyboard.press("Control+Shift+z")
    view.until(lambda: same(view, 1, 12), "it is done again")

    view.settle()  # reload in the middle: the place, the selection, the masks and the history are still there
    page.reload()
    view.until(lambda: view.frame == 12 and same(view, 1, 12), "the tab is where it was")
    assert page.locator(".object.current .name").inner_text() == "object 1"
    assert "click on object 1" in page.locator("#undo").get_attribute("aria-label")

    view.go(0)
    page.keyboard.press("Shift+Backspace")
    view.until(lambda: not session.project.prompts(1, 1, start=0, stop=1), "the prompts of frame 0 are gone")
    page.keyboard.press("n")
    view.click(*SQUARE)
    view.until(lambda: 2 in {known.id for known in session.project.objects(1)}, "there is a second object")
    view.until(lambda: len(masks(session, 2)) == 1, "it has a mask")
    page.keyboard.press("g")
    view.until(
        lambda: all(
            np.array_equal(masks(session, number).get(frame), shapes.truth(frame)[number])
            for number in (1, 2)
            for frame in range(FRAMES)
        ),
        "both are propagated both ways",
    )

    view.go(5)
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    view.until(lambda: session.project.mask(1, 1, 5).state == "accepted", "the frame is accepted")
    view.until(lambda: page.locator("#share").inner_text() == "2 % reviewed", "the share reviewed is told")
    worst = session.do("review.next", video=1, frame=5)
    page.keyboard.press("w")
    view.until(lambda: view.frame == worst["frame"], "the player is at the worst frame")
    assert f"frame {worst['frame']}" in page.locator("#reason").inner_text()

    page.keyboard.press("Control+e")
    page.locator("#export-format").select_option("davis")
    page.locator("#export-start").click()
    with page.expect_download() as waiting:
        page.locator("#export-download").click()
    compare(Path(waiting.value.path()).read_bytes())


def compare(archive: bytes) -> None:
    """Check every exported mask against the truth of the clip."""
    with zipfile.ZipFile(BytesIO(archive)) as files:
        names = sorted(name for name in files.namelist() if name.endswith(".png"))
        assert len(names) == FRAMES
        for frame, name in enumerate(names):
            index = np.array(Image.open(BytesIO(files.read(name))))
            for number, truth in shapes.truth(frame).items():
                assert np.array_equal(index == number, truth), f"object {number} on frame {frame}"


def test_accepted_frames_change_only_after_asking(view: View, session: Session) -> None:
    page = view.page
    view.click(*DISC)
    view.until(lambda: same(view, 1, 0), "there is a mask")
    page.keyboard.press("Enter")
    view.until(lambda: session.project.mask(1, 1, 0).state == "accepted", "it is accepted")
    view.click(*SQUARE)
    page.get_by_text("Change an accepted frame?").wait_for()
    page.get_by_text("Keep as accepted").click()
    view.settle()
    assert same(view, 1, 0)
    view.click(*SQUARE)
    page.get_by_role("button", name="Change", exact=True).click()
    view.until(lambda: view.drawn(shapes.SIZE)[34, 67], "the second click counts now")


def test_boxes_strokes_and_polygons_are_drawn_where_the_pointer_was(view: View, session: Session) -> None:
    page = view.page
    view.drag((57, 25), (78, 43))
    view.until(lambda: same(view, 2, 0), "the box finds the square")
    page.keyboard.press("e")
    view.drag((50, 34), (80, 34))
    view.until(lambda: not view.drawn(shapes.SIZE)[34, 67], "the eraser takes a stripe out of it")
    page.keyboard.press("Control+z")
    view.until(lambda: same(view, 2, 0), "undo brings it back")
    page.keyboard.press("p")
    for corner in ((10, 40), (30, 40), (30, 50), (10, 50)):
        view.click(*corner)
    page.keyboard.press("Enter")
    view.until(lambda: view.drawn(shapes.SIZE)[41:49, 11:29].all(), "the polygon is filled")
    around = view.drawn(shapes.SIZE) & ~shapes.truth(0)[2]
    around[39:51, 9:31] = False
    assert not around.any()
    page.keyboard.press("v")
    view.click(67.5, 34.5, button="right")
    view.until(lambda: not view.drawn(shapes.SIZE)[34, 67], "a right click takes away")


def test_what_a_new_tab_fetches_late_does_not_end_the_stroke_under_way(engine: Any, serving: Serving) -> None:
    with View.open(engine, serving.address, held="**/times") as view:
        view.page.keyboard.press("b")
        view.page.mouse.move(*view.place(10, 45))
        view.page.mouse.down()
        view.page.mouse.move(*view.place(20, 45))
        view.until(lambda: view.held, "the times of the frames were asked for")
        with view.page.expect_response("**/times"):
            view.held.pop().continue_()
        view.page.wait_for_timeout(100)
        view.page.mouse.move(*view.place(30, 45))
        view.page.mouse.up()
        view.until(lambda: view.drawn(shapes.SIZE)[45, 5:35].all(), "all of the stroke is drawn")


def test_a_brush_that_is_being_sized_keeps_its_size_when_other_settings_change(view: View, session: Session) -> None:
    size, picture = view.page.locator("#options output"), view.page.locator("#picture")
    view.page.keyboard.press("b")
    view.page.keyboard.press("]")
    session.do("settings.set", settings={"brightness": 1.5})
    view.until(lambda: "1.5" in picture.evaluate("one => one.style.filter"), "the news has come")
    assert size.text_content() == "15 px"
    view.until(lambda: session.project.settings()["brush_radius"] == 15, "the size is kept")
    session.do("settings.set", settings={"brush_radius": 30.0})
    view.until(lambda: size.text_content() == "30 px", "another tab has sized it")


def test_two_tabs_stay_in_step_and_names_stay_text(view: View, engine: Any, serving: Serving, session: Session) -> None:
    name = "<img src=x onerror=alert(1)>"
    with View.open(engine, serving.address) as other:
        view.click(*DISC)
        other.until(lambda: same(other, 1, 0), "the other tab shows the mask")
        session.do("object.update", video=1, object=1, name=name, **{"class": "<b>bold</b>"})
        for tab in (view, other):
            tab.page.locator(".object .name", has_text=name).wait_for()
            assert tab.page.locator(".object .class").inner_text() == "<b>bold</b>"
            assert tab.page.locator("#objects img, #objects b").count() == 0
        other.page.keyboard.press("1")
        other.page.keyboard.press("h")
        view.until(lambda: not view.drawn(shapes.SIZE).any(), "hidden in one tab, hidden in the other")


def test_the_worst_frame_may_be_one_of_another_video(
    engine: Any, serving: Serving, session: Session, tmp_path: Path
) -> None:
    session.project.add_video(shapes.write(tmp_path / "another", frames=20))
    session.do("object.add", video=2)
    session.do("prompt.click", video=2, object=1, frame=0, x=DISC[0], y=DISC[1], on=True)
    session.do("propagate.start", video=2, objects=None, direction="forward", frame=0, reach="all")
    session.wait(20)
    worst = session.do("review.next", video=1, anywhere=True)
    with View.open(engine, serving.address) as view:
        view.page.locator("#worst").click()
        view.until(lambda: "Everything is reviewed" in view.page.locator("#reason").inner_text(), "not in this video")
        view.page.locator("#worst-anywhere").click()
        view.until(lambda: view.frame == worst["frame"] > 0, "the player is at the worst frame")
        view.until(lambda: same(view, 1, worst["frame"]), "its mask is shown")
        assert view.page.locator("#reason").inner_text().startswith(f"object 1, frame {worst['frame']}: ")
        assert view.page.locator(".object.current .name").inner_text() == "object 1"


def test_proposals_become_objects_with_one_key(view: View, session: Session) -> None:
    page = view.page
    page.keyboard.press("Shift+P")
    page.locator("#proposals li").nth(1).wait_for()
    page.keyboard.press("y")
    view.until(lambda: len(session.project.objects(1)) == 1, "one is accepted")
    page.keyboard.press("Shift+Y")
    view.until(lambda: len(session.project.objects(1)) == 2, "all are accepted")
    page.locator("#proposals").wait_for(state="hidden")
    found = {mask.decode().sum() for mask in session.project.masks(1)}
    assert found == {mask.sum() for mask in shapes.truth(0).values()}


def test_the_model_learns_at_the_push_of_a_button_and_forgets_at_another(view: View, session: Session) -> None:
    page = view.page
    assert page.locator("#forget").is_disabled()
    page.locator("#learn").click()
    page.get_by_text("nothing to learn from").wait_for()
    view.click(*DISC)
    view.until(lambda: same(view, 1, 0), "the mask of the click is on the screen")
    page.keyboard.press("f")
    view.until(lambda: len(masks(session, 1)) == FRAMES, "it is propagated to the end")
    page.locator("#learn").click()
    view.until(lambda: page.locator("#learned").inner_text() == "from 1 mask", "it has learned from the click")
    view.go(5)
    view.until(lambda: "out of date" in page.locator("#readout").inner_text(), "the others are out of date")
    page.locator("#forget").click()
    view.until(lambda: page.locator("#learned").inner_text() == "", "it has forgotten")
    assert session.snapshot()["model"]["learned"] == 0


def test_the_page_comes_back_when_the_server_does(engine: Any, session: Session) -> None:
    session.prepare()
    first = Serving(session)
    try:
        with View.open(engine, first.address) as view:
            view.click(*DISC)
            view.until(lambda: same(view, 1, 0), "there is a mask")
            first.stop()
            view.page.locator("#banner").wait_for(state="visible")
            session.do("object.update", video=1, object=1, name="renamed meanwhile")
            first = Serving(session, port=first.port, token=first.server.token)
            view.page.locator("#banner").wait_for(state="hidden")
            view.page.locator(".object .name", has_text="renamed meanwhile").wait_for()
            view.click(*SQUARE)
            view.until(lambda: view.drawn(shapes.SIZE)[34, 67], "clicks are answered again")
    finally:
        first.stop()


def test_everything_fits_and_has_a_name_from_720p_to_4k(view: View) -> None:
    page = view.page
    view.click(*DISC)
    page.locator("#candidates").wait_for()
    for width, height in ((1280, 720), (3840, 2160)):
        page.set_viewport_size({"width": width, "height": height})
        boxes = page.locator("button:visible, select:visible, input:visible").evaluate_all(
            "all => all.map(one => ({...one.getBoundingClientRect().toJSON(), "
            "name: one.getAttribute('aria-label') || one.title || one.textContent.trim()}))"
        )
        assert len(boxes) > 30
        for box in boxes:
            assert box["name"]
            assert box["left"] >= 0 and box["top"] >= 0, box
            assert box["right"] <= width and box["bottom"] <= height, box
    page.keyboard.press("?")
    page.locator("dialog dt", has_text="Ctrl+Shift+Z").wait_for()
    assert page.locator("dialog dt", has_text="coco-video").count() == 1


def test_masks_are_decoded_and_outlined_as_they_were_encoded(view: View) -> None:
    random = np.random.default_rng(5)
    cases = [np.zeros((7, 5), bool), np.ones((7, 5), bool), *(random.random((9, 12)) < 0.5 for _ in range(20))]
    cases += [np.kron(random.random((5, 4)) < 0.4, np.ones((40, 60), bool)) for _ in range(5)]
    found = view.page.evaluate(
        "async (all) => { const {crop} = await import('/static/rle.js'), {loops} = await import('/static/outline.js');"
        " return all.map((one) => { const part = crop(one);"
        " return {...part, pixels: [...part.pixels], loops: loops(part)}; }); }",
        [rle.encode(mask) for mask in cases],
    )
    for mask, part in zip(cases, found, strict=True):
        drawn = np.zeros(mask.shape, bool)
        pixels = np.array(part["pixels"], bool).reshape(part["height"], part["width"])
        drawn[part["y"] : part["y"] + part["height"], part["x"] : part["x"] + part["width"]] = pixels
        assert np.array_equal(drawn, mask)
        assert sum(signed_area(loop) for loop in part["loops"]) == mask.sum()


def signed_area(loop: list[int]) -> float:
    """The area inside a closed line of x, y, x, y ...; holes run the other way round and count negative."""
    x, y = np.array(loop[0::2], float), np.array(loop[1::2], float)
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def test_what_was_exported_can_be_imported(view: View, session: Session, tmp_path: Path) -> None:
    page = view.page
    view.click(*DISC)
    view.until(lambda: same(view, 1, 0), "there is a mask")
    page.keyboard.press("Control+e")
    page.locator("#export-format").select_option("sav")
    page.locator("#export-start").click()
    with page.expect_download() as waiting:
        page.locator("#export-download").click()
    path = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(path)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as files:
            path = Path(files.extract(files.namelist()[0], tmp_path))
    page.keyboard.press("Escape")
    page.keyboard.press("Delete")
    page.get_by_role("button", name="Delete", exact=True).click()
    view.until(lambda: not session.project.objects(1), "the object is deleted")
    page.keyboard.press("Control+i")
    page.locator("#import-format").select_option("sav")
    page.locator("#import-file").set_input_files(str(path))
    page.locator("#import-start").click()
    page.get_by_text("1 objects, 1 masks, 0 prompts were read.").wait_for()
    page.keyboard.press("Escape")
    view.until(lambda: same(view, 1, 0), "the mask is back")


def test_the_preview_under_the_pointer_shows_what_a_click_would_give(view: View, session: Session) -> None:
    view.until(lambda: session.is_encoded(1, 0), "the model has looked at the frame by itself")
    view.settle()
    view.page.mouse.move(*view.place(*SQUARE))
    view.until(lambda: view.alpha("#overlay", 67.5, 34.5) > 0, "the square is lit up")
    view.page.mouse.move(*view.place(5, 50))
    view.until(
        lambda: view.alpha("#overlay", 67.5, 34.5) != view.alpha("#overlay", 30.5, 50.5), "it follows the pointer"
    )
    assert not session.project.objects(1)


def test_playing_shows_every_frame_and_objects_are_renamed_in_place(view: View, session: Session) -> None:
    page = view.page
    view.click(*DISC)
    view.until(lambda: same(view, 1, 0), "there is a mask")
    page.locator(".object .name").dblclick()
    page.keyboard.type("ball, red")
    page.keyboard.press("Tab")
    page.keyboard.type("ball")
    page.keyboard.press("Enter")
    page.locator(".object .class", has_text="ball").wait_for()
    known = session.project.object(1, 1)
    assert (known.name, known.class_name) == ("ball, red", "ball")
    page.locator("#overlay").evaluate(
        "(one) => { window.seen = []; new MutationObserver(() => window.seen.push(Number(one.dataset.frame)))"
        ".observe(one, {attributeFilter: ['data-frame']}); }"
    )
    page.keyboard.press("Space")
    view.until(lambda: view.frame == FRAMES - 1, "it has played to the end")
    assert page.evaluate("window.seen") == list(range(1, FRAMES))

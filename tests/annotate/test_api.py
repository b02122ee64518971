"""What comes from the page: every field is checked, and nothing but a refusal ever comes of bad input."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidseg.annotate import Refused, api
from vidseg.annotate.asking import ASKING
from vidseg.annotate.gestures import GESTURES
from vidseg.annotate.learning import LEARNING
from vidseg.annotate.project import DEFAULTS
from vidseg.annotate.proposing import PROPOSING

CLICK = {"video": 1, "object": 1, "frame": 0, "x": 1.5, "y": 2, "on": True}
DOC = Path(__file__).resolve().parents[2] / "docs" / "annotate-protocol.md"


def message(**fields: Any) -> str:
    return json.dumps({"id": 1, **fields})


def test_a_good_message_is_taken_apart() -> None:
    found = api.parse(message(do="prompt.click", **CLICK))
    assert (found.id, found.do, found.fields) == (1, "prompt.click", CLICK)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"video": None}, "video is not a whole number"),
        ({"frame": -1}, "frame is not a whole number from 0"),
        ({"frame": 1.5}, "frame is not a whole number"),
        ({"frame": True}, "frame is not a whole number"),
        ({"frame": 2**40}, "frame is not a whole number"),
        ({"object": 0}, "object is not a whole number from 1 to 65535"),
        ({"x": "1"}, "x is not a number"),
        ({"x": -0.5}, "x is not from 0"),
        ({"x": 1e300}, "x is not from 0"),
        ({"on": 1}, "on is not true or false"),
        ({"overwrite": "yes"}, "overwrite is not true or false"),
        ({"colour": "red"}, "prompt.click has no field 'colour'"),
    ],
)
def test_a_bad_field_is_named(change: dict[str, Any], says: str) -> None:
    with pytest.raises(Refused, match=re.escape(says)) as caught:
        api.parse(message(do="prompt.click", **{**CLICK, **change}))
    assert caught.value.code == "bad_request"
    assert caught.value.extra["id"] == 1
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "fields", "says"),
    [
        ("prompt.click", {"video": 1}, "object is missing"),
        ("object.add", {"video": 1, "name": ""}, "name does not have 1 to 100 characters"),
        ("object.add", {"video": 1, "name": "x" * 101}, "name does not have 1 to 100 characters"),
        ("object.add", {"video": 1, "name": "a\nb"}, "name has control characters"),
        ("object.add", {"video": 1, "name": "a\u202eb"}, "name has control characters"),
        ("object.add", {"video": 1, "name": ["a"]}, "name is not text"),
        ("object.add", {"video": 1, "colour": "#12345"}, "colour is not a colour"),
        ("prompt.box", {**CLICK, "box": [5, 5, 5, 9]}, "box has no area"),
        ("prompt.brush", {**CLICK, "mode": "add", "radius": 0.1, "points": [[1, 1]]}, "radius is not from 0.5 to 500"),
        ("prompt.brush", {**CLICK, "mode": "add", "radius": 5, "points": []}, "points is not a list of 1 to 5000"),
        ("prompt.brush", {**CLICK, "mode": "add", "radius": 5, "points": [[1]]}, "points is not a list of 2 to 2"),
        ("prompt.polygon", {**CLICK, "mode": "add", "points": [[1, 1]] * 2001}, "points is not a list of 3 to 2000"),
        (
            "prompt.polygon",
            {**CLICK, "mode": "smooth", "points": [[1, 1]] * 3},
            "mode is not one of add, erase, replace",
        ),
        ("prompt.mask", {**CLICK, "rle": {"size": [4, 4], "counts": "zz"}}, "rle is not a mask"),
        ("prompt.mask", {**CLICK, "rle": {"size": [4, 4], "counts": "0f"}}, "rle is not a mask"),
        ("prompt.mask", {**CLICK, "rle": {"size": [99999, 99999], "counts": "0"}}, "rle is not a mask"),
        ("prompt.mask", {**CLICK, "rle": {"size": [4, 4], "counts": [16]}}, "rle is not a mask"),
        (
            "review.set",
            {"video": 1, "objects": [], "start": 0, "stop": 1, "state": "accepted"},
            "objects is not a list",
        ),
        ("propagate.cancel", {"job": "1"}, "job is not a whole number"),
        ("settings.set", {"settings": {"volume": 11}}, "settings has no 'volume'"),
        ("settings.set", {"settings": {"opacity": 2}}, "settings opacity is not from 0 to 1"),
        ("settings.set", {"settings": {"page": {"x": "y" * 20000}}}, "page is not an object of at most"),
        ("proposals.make", {"video": 1, "frame": 0, "points": 99}, "points is not a whole number from 4 to 32"),
        ("__class__", {}, "there is no gesture"),
        (["undo"], {}, "there is no gesture"),
    ],
)
def test_bad_gestures_are_refused(name: Any, fields: dict[str, Any], says: str) -> None:
    known = api.FIELDS.get(name, {}) if isinstance(name, str) else {}
    kept = {key: value for key, value in fields.items() if key in known} or fields
    with pytest.raises(Refused, match=re.escape(says)):
        api.parse(message(do=name, **kept))


BAD_MESSAGES = (
    "", "{", "[]", "null", "1", '{"do": "undo"}', '{"id": 0, "do": "undo"}', "[" * 100_000,
    '{"id": 1, "do": "prompt.click", "x": NaN}', b"\xff\xfe",
)  # fmt: skip


@pytest.mark.parametrize("text", BAD_MESSAGES)
def test_what_is_no_message_is_refused(text: str | bytes) -> None:
    with pytest.raises(Refused) as caught:
        api.parse(text)
    assert caught.value.code == "bad_request"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=4,
)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(api.FIELDS)), st.data())
def test_anything_in_any_field_is_either_taken_or_refused(name: str, data: st.DataObject) -> None:
    fields = {field: data.draw(anything) for field in api.FIELDS[name]}
    try:
        found = api.check(name, fields)
    except Refused as refusal:
        assert refusal.code == "bad_request" and "\n" not in str(refusal)
    else:
        assert set(found) == set(fields)


def test_every_gesture_has_checked_fields_that_its_function_takes() -> None:
    known = {**ASKING, **GESTURES, **LEARNING, **PROPOSING}
    assert set(known) == set(api.FIELDS)
    for name, function in known.items():
        taken = inspect.signature(function).parameters
        if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in taken.values()):
            continue
        assert set(api.FIELDS[name]) == set(taken) - {"session"}, name


def test_every_setting_has_a_default_that_passes_its_check() -> None:
    assert set(api.SETTINGS) == set(DEFAULTS)
    assert api.settings(dict(DEFAULTS)) == DEFAULTS


def test_the_protocol_names_every_gesture_and_setting() -> None:
    text = DOC.read_text(encoding="utf-8")
    for name in (*api.FIELDS, *api.SETTINGS):
        assert f"`{name}`" in text, f"{name} is not in docs/annotate-protocol.md"


BAD_EXPORTS = (
    b"", b"[]", b"{}", b'{"format": "word"}', b'{"format": "coco", "videos": []}',
    b'{"format": "coco", "states": ["good"]}', b'{"format": "coco", "out": "/etc"}',
)  # fmt: skip


@pytest.mark.parametrize("body", BAD_EXPORTS)
def test_a_bad_export_request_is_refused(body: bytes) -> None:
    with pytest.raises(Refused):
        api.check_export(body)


def test_queries_take_whole_numbers_only() -> None:
    known = {"start": (api.whole(), True), "stop": (api.whole(1), False)}
    assert api.query({"start": "3", "v": "x"}, known) == {"start": 3}
    for bad in ({}, {"start": "-1"}, {"start": "1e3"}, {"start": "٣"}, {"start": "9" * 30}):
        with pytest.raises(Refused):
            api.query(bad, known)

"""The history: every gesture can be undone and done again, exactly, in order, across restarts."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidseg.annotate import schema
from vidseg.annotate.store import HISTORY, Store
from vidseg.errors import ProjectError

OBJECT = {
    "video": 1, "id": 1, "name": "dog", "class": "", "colour": "#000000", "position": 0, "hidden": 0, "locked": 0
}  # fmt: skip
PROMPT = {"video": 1, "object": 1, "frame": 3, "kind": "click", "value": "{}", "created": "now"}


def open_store(path: Path) -> Store:
    store = Store(schema.connect(path))
    with store.transaction() as connection:
        connection.execute("INSERT OR IGNORE INTO video VALUES (1, 'v', '/v', NULL, 4, 4, 9, 1.0, x'', 'f')")
    return store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "p.vidseg")


def rows(store: Store, noun: str) -> list[dict]:
    return [dict(row) for row in store.connection.execute(f"SELECT * FROM {noun} ORDER BY 1, 2")]


def test_undo_and_redo_of_an_insert_a_change_and_a_removal_give_the_same_rows(store: Store) -> None:
    states = [rows(store, "object")]
    with store.gesture("add") as gesture:
        gesture.put("object", OBJECT)
    states.append(rows(store, "object"))
    with store.gesture("rename") as gesture:
        gesture.update("object", (1, 1), name="cat")
    states.append(rows(store, "object"))
    with store.gesture("remove") as gesture:
        gesture.remove("object", (1, 1))
    states.append(rows(store, "object"))
    assert [state[0]["name"] if state else None for state in states] == [None, "dog", "cat", None]
    for expected in reversed(states[:-1]):
        store.undo()
        assert rows(store, "object") == expected
    for expected in states[1:]:
        store.redo()
        assert rows(store, "object") == expected


def test_several_changes_of_one_row_in_one_gesture_are_undone_together(store: Store) -> None:
    with store.gesture("add") as gesture:
        gesture.put("object", OBJECT)
    before = rows(store, "object")
    with store.gesture("many") as gesture:
        gesture.update("object", (1, 1), name="cat")
        gesture.update("object", (1, 1), colour="#ffffff", name="cow")
        gesture.put("object", {**OBJECT, "position": 7})
        gesture.remove("object", (1, 1))
        gesture.put("object", {**OBJECT, "name": "hen"})
    after = rows(store, "object")
    store.undo()
    assert rows(store, "object") == before
    store.redo()
    assert rows(store, "object") == after


def test_a_new_gesture_ends_what_could_be_redone(store: Store) -> None:
    with store.gesture("add") as gesture:
        gesture.put("object", OBJECT)
    store.undo()
    with store.gesture("add another") as gesture:
        gesture.put("object", {**OBJECT, "id": 2})
    assert store.redo() is None
    assert store.history()[2:] == (1, 0)


def test_a_gesture_that_fails_leaves_rows_and_history_as_they_were(store: Store) -> None:
    with store.gesture("add") as gesture:
        gesture.put("object", OBJECT)
    store.undo()
    revision = store.revision
    with pytest.raises(ZeroDivisionError), store.gesture("broken") as gesture:
        gesture.put("object", {**OBJECT, "id": 5})
        _ = 1 / 0
    assert rows(store, "object") == []
    assert store.revision == revision
    assert store.history()[1] is not None


def test_a_gesture_that_changes_nothing_leaves_no_line(store: Store) -> None:
    with store.gesture("nothing"):
        pass
    assert store.history() == (None, None, 0, 0)


def test_history_survives_closing_and_opening(store: Store, tmp_path: Path) -> None:
    with store.gesture("add", video=1, frame=3) as gesture:
        gesture.put("object", OBJECT)
        number = gesture.add_prompt(PROMPT)
    store.connection.close()
    again = open_store(tmp_path / "p.vidseg")
    undone = again.undo()
    assert undone is not None
    entry, touched = undone
    assert (entry.label, entry.video, entry.frame) == ("add", 1, 3)
    assert touched.places == {number: (1, 1, 3)}
    assert rows(again, "prompt") == []
    again.redo()
    assert [row["id"] for row in rows(again, "prompt")] == [number]


def test_a_prompt_id_is_never_used_twice(store: Store) -> None:
    with store.gesture("add") as gesture:
        gesture.put("object", OBJECT)
        first = gesture.add_prompt(PROMPT)
    store.undo()
    with store.gesture("add") as gesture:
        gesture.put("object", OBJECT)
        assert gesture.add_prompt(PROMPT) > first


def test_gestures_of_one_job_are_one_line_until_something_else_happens(store: Store) -> None:
    for number in (1, 2):
        with store.gesture("propagate", job=4) as gesture:
            gesture.put("object", {**OBJECT, "id": number})
    with store.gesture("rename") as gesture:
        gesture.update("object", (1, 1), name="cat")
    with store.gesture("propagate", job=4) as gesture:
        gesture.update("object", (1, 1), name="cow")
    assert store.history()[2] == 3
    for expected in ("cat", "dog"):
        store.undo()
        assert rows(store, "object")[0]["name"] == expected
    store.undo()
    assert rows(store, "object") == []


def test_foreign_keys_refuse_a_mask_of_no_object(store: Store) -> None:
    import sqlite3

    with pytest.raises(sqlite3.IntegrityError), store.gesture("lost") as gesture:
        gesture.add_prompt(PROMPT)
    assert rows(store, "prompt") == []


def test_only_the_last_gestures_are_kept(store: Store) -> None:
    with store.gesture("add") as gesture:
        gesture.put("object", OBJECT)
    store.connection.execute(
        "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
        "INSERT INTO gesture (id, label, created) SELECT i, 'old', '' FROM n",
        (HISTORY + 5,),
    )
    with store.gesture("rename") as gesture:
        gesture.update("object", (1, 1), name="cat")
    assert store.history()[2] == HISTORY


def test_changing_a_row_that_is_not_there_is_an_error(store: Store) -> None:
    with pytest.raises(ProjectError, match="there is no object \\[1, 9\\] to change"), store.gesture("x") as gesture:
        gesture.update("object", (1, 9), name="cat")

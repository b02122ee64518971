"""Rows with a memory: every change of a project goes through one gesture, and every gesture can be taken back.

A gesture is one transaction. For each row it touches it notes the values that are *not* current: before an undo the
old ones, after it the new ones. Undo and redo are therefore the same operation, an exchange, and the history lives in
the project file like everything else. What a row means is none of this file's business; see `project.py`.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from ..errors import ProjectError

KEYS: dict[str, tuple[str, ...]] = {
    "object": ("video", "id"),
    "prompt": ("id",),
    "mask": ("video", "object", "frame"),
}
"""The nouns that can be undone and the columns that identify a row of each."""

HISTORY = 500
"""Gestures that can be undone; older ones are forgotten."""

Key = tuple[int, ...]
Row = dict[str, Any]


@dataclass
class Touched:
    """The rows that a gesture, an undo or a redo changed: what has to be told to whoever watches.

    `places` maps the id of a touched prompt to its (video, object, frame), which a removed row no longer tells.
    """

    keys: dict[str, set[Key]] = field(default_factory=lambda: {noun: set() for noun in KEYS})
    places: dict[int, Key] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """One line of the history: what was done, and the video and frame where it can be seen."""

    id: int
    label: str
    video: int | None
    frame: int | None
    job: int | None


class Gesture:
    """Writes of one transaction; made by `Store.gesture`."""

    def __init__(self, connection: sqlite3.Connection, number: int) -> None:
        self._connection = connection
        self.id = number
        self.touched = Touched()

    def read(self, noun: str, key: Key) -> Row | None:
        """Return the row with that key, or None."""
        row = self._connection.execute(f"SELECT * FROM {noun} WHERE {_where(noun)}", key).fetchone()
        return None if row is None else dict(row)

    def put(self, noun: str, row: Mapping[str, Any]) -> None:
        """Insert a whole row or replace the one with its key."""
        key = tuple(row[column] for column in KEYS[noun])
        self._note(noun, key, None)
        _insert(self._connection, noun, row)
        self._touch(noun, key, row)

    def add_prompt(self, row: Mapping[str, Any]) -> int:
        """Insert a prompt under a new id (never used before, not even by a prompt that was undone); return the id."""
        columns = ", ".join(row)
        marks = ", ".join("?" * len(row))
        cursor = self._connection.execute(f"INSERT INTO prompt ({columns}) VALUES ({marks})", tuple(row.values()))
        number = int(cursor.lastrowid or 0)
        self._connection.execute("INSERT INTO change VALUES (?, 'prompt', ?, NULL)", (self.id, json.dumps([number])))
        self._touch("prompt", (number,), row)
        return number

    def update(self, noun: str, key: Key, **columns: Any) -> None:
        """Change some columns of a row that exists."""
        self._note(noun, key, columns)
        assignments = ", ".join(f"{name} = ?" for name in columns)
        self._connection.execute(f"UPDATE {noun} SET {assignments} WHERE {_where(noun)}", (*columns.values(), *key))
        self._touch(noun, key, self.read(noun, key) if noun == "prompt" else None)

    def remove(self, noun: str, key: Key) -> None:
        """Delete a row; does nothing if it does not exist."""
        row = self.read(noun, key)
        if row is not None:
            self._note(noun, key, None)
            self._connection.execute(f"DELETE FROM {noun} WHERE {_where(noun)}", key)
            self._touch(noun, key, row)

    def _touch(self, noun: str, key: Key, row: Mapping[str, Any] | None) -> None:
        _touch(self.touched, noun, key, row)

    def _note(self, noun: str, key: Key, columns: Mapping[str, Any] | None) -> None:
        """Remember a row's present values: of `columns`, or all (None), unless this gesture already changed them."""
        text = json.dumps(list(key))
        noted = self._connection.execute(
            "SELECT other FROM change WHERE gesture = ? AND noun = ? AND key = ?", (self.id, noun, text)
        ).fetchone()
        if noted is not None and noted[0] is None:
            return  # the row did not exist before this gesture
        row = self.read(noun, key)
        if columns is not None:
            if row is None:
                raise ProjectError(f"there is no {noun} {list(key)} to change")
            row = {name: row[name] for name in columns}
        if noted is not None:
            row = {**(row or {}), **json.loads(noted[0])}
        self._connection.execute(
            "INSERT OR REPLACE INTO change VALUES (?, ?, ?, ?)",
            (self.id, noun, text, None if row is None else json.dumps(row)),
        )


class Store:
    """The undoable rows of one connection. All methods may be called from any thread; a gesture excludes all others."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.lock = threading.RLock()

    @contextlib.contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """A plain transaction without history; all of it is on disk when the block ends, or none if it raises.

        If it is not `durable`, a power cut may lose it (with everything after it, never before), a crash of the
        process may not: the log is written but not flushed. Flushing took 15 ms on the disk of a cloud machine.
        """
        with self.lock:
            if self.connection.in_transaction:  # the lock is ours, so the outer block is, too
                yield self.connection
                return
            self.connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'revision'")
                self.connection.execute("COMMIT")
            except BaseException:
                self.connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def gesture(
        self, label: str, *, video: int | None = None, frame: int | None = None, job: int | None = None
    ) -> Iterator[Gesture]:
        """A transaction that becomes one line of the history; what had been undone can no longer be redone.

        With `job`, the gesture holds results that can be computed again (it is not flushed to the disk, see
        `transaction`), and continues the newest line if that belongs to the same job. A gesture that changed
        nothing leaves no line.
        """
        with self.lock, self.transaction(durable=job is None) as connection:
            last = self._last(undone=False)
            continued = job is not None and last is not None and last.job == job
            if continued and last is not None:
                number = last.id
            else:
                cursor = connection.execute(
                    "INSERT INTO gesture (label, video, frame, job, created) VALUES (?, ?, ?, ?, ?)",
                    (label, video, frame, job, now()),
                )
                number = int(cursor.lastrowid or 0)
            gesture = Gesture(connection, number)
            yield gesture
            if any(gesture.touched.keys.values()):
                _forget(connection)
            elif not continued:
                connection.execute("DELETE FROM gesture WHERE id = ?", (number,))

    def undo(self) -> tuple[Entry, Touched] | None:
        """Take the newest gesture back; None if there is none."""
        return self._exchange(self._last(undone=False), undone=1)

    def redo(self) -> tuple[Entry, Touched] | None:
        """Do again what was undone last; None if there is nothing."""
        return self._exchange(self._last(undone=True), undone=0)

    def history(self) -> tuple[Entry | None, Entry | None, int, int]:
        """Return what undo and redo would do and how many of each there are."""
        with self.lock:
            counts = dict(self.connection.execute("SELECT undone, count(*) FROM gesture GROUP BY undone").fetchall())
            return self._last(undone=False), self._last(undone=True), counts.get(0, 0), counts.get(1, 0)

    @property
    def revision(self) -> int:
        """A number that grows with every committed change."""
        with self.lock:
            return int(self.connection.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone()[0])

    def _last(self, *, undone: bool) -> Entry | None:
        with self.lock:
            row = self.connection.execute(
                "SELECT id, label, video, frame, job FROM gesture WHERE undone = ? "
                f"ORDER BY id {'ASC' if undone else 'DESC'} LIMIT 1",
                (int(undone),),
            ).fetchone()
        return None if row is None else Entry(*row)

    def _exchange(self, entry: Entry | None, *, undone: int) -> tuple[Entry, Touched] | None:
        if entry is None:
            return None
        touched = Touched()
        with self.transaction() as connection:
            changes = connection.execute(
                "SELECT noun, key, other FROM change WHERE gesture = ?", (entry.id,)
            ).fetchall()
            for noun, text, other in changes:
                key = tuple(json.loads(text))
                values = None if other is None else json.loads(other)
                present = connection.execute(f"SELECT * FROM {noun} WHERE {_where(noun)}", key).fetchone()
                row = None if present is None else dict(present)
                _touch(touched, noun, key, row or values)
                kept = _swap(connection, noun, key, row, values)
                connection.execute(
                    "UPDATE change SET other = ? WHERE gesture = ? AND noun = ? AND key = ?",
                    (None if kept is None else json.dumps(kept), entry.id, noun, text),
                )
            connection.execute("UPDATE gesture SET undone = ? WHERE id = ?", (undone, entry.id))
        return entry, touched


def _forget(connection: sqlite3.Connection) -> None:
    """Drop what can no longer be redone, and the gestures beyond the limit."""
    connection.execute("DELETE FROM gesture WHERE undone = 1")
    connection.execute(
        "DELETE FROM gesture WHERE id <= (SELECT id FROM gesture ORDER BY id DESC LIMIT 1 OFFSET ?)", (HISTORY,)
    )


def _swap(connection: sqlite3.Connection, noun: str, key: Key, row: Row | None, values: Row | None) -> Row | None:
    """Bring a row to `values` (None: gone; some columns: only those); return what must be noted to come back."""
    if values is None:
        connection.execute(f"DELETE FROM {noun} WHERE {_where(noun)}", key)
        return row
    if row is None:
        _insert(connection, noun, values)
        return None
    _insert(connection, noun, {**row, **values})
    return {name: row[name] for name in values}


def _insert(connection: sqlite3.Connection, noun: str, row: Mapping[str, Any]) -> None:
    columns = list(row)
    own = [name for name in columns if name not in KEYS[noun]]
    connection.execute(
        f"INSERT INTO {noun} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) "
        f"ON CONFLICT ({', '.join(KEYS[noun])}) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in own)}",
        tuple(row.values()),
    )


def _touch(touched: Touched, noun: str, key: Key, row: Mapping[str, Any] | None) -> None:
    touched.keys[noun].add(key)
    if noun == "prompt" and row is not None and "frame" in row:
        touched.places[key[0]] = (row["video"], row["object"], row["frame"])


def _where(noun: str) -> str:
    return " AND ".join(f"{column} = ?" for column in KEYS[noun])


def now() -> str:
    """The present time in UTC, to the millisecond, as ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")

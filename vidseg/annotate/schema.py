"""The tables of a project file and the steps from each version of them to the next.

`PRAGMA user_version` is the schema's version. A migration is one script that runs in one transaction; adding one means
appending to `MIGRATIONS` and nothing else. Foreign keys are deferred to the commit, because undo puts rows back in the
order in which they were touched.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ..errors import ProjectError

APPLICATION_ID = 0x76534547  # "vSEG": tells a project from any other SQLite file

_VERSION_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE video (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, path TEXT NOT NULL, relative TEXT,
  height INTEGER NOT NULL, width INTEGER NOT NULL, frames INTEGER NOT NULL, fps REAL,
  times BLOB NOT NULL, fingerprint TEXT NOT NULL
);
CREATE TABLE object (
  video INTEGER NOT NULL REFERENCES video (id) DEFERRABLE INITIALLY DEFERRED, id INTEGER NOT NULL CHECK (id > 0),
  name TEXT NOT NULL, class TEXT NOT NULL, colour TEXT NOT NULL, position INTEGER NOT NULL,
  hidden INTEGER NOT NULL DEFAULT 0, locked INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (video, id)
) WITHOUT ROWID;
CREATE TABLE prompt (
  id INTEGER PRIMARY KEY AUTOINCREMENT, video INTEGER NOT NULL, object INTEGER NOT NULL, frame INTEGER NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('click', 'box', 'brush', 'polygon', 'mask')),
  value TEXT NOT NULL, created TEXT NOT NULL,
  FOREIGN KEY (video, object) REFERENCES object (video, id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX prompt_place ON prompt (video, object, frame);
CREATE TABLE mask (
  video INTEGER NOT NULL, object INTEGER NOT NULL, frame INTEGER NOT NULL,
  area INTEGER NOT NULL, x1 REAL NOT NULL, y1 REAL NOT NULL, x2 REAL NOT NULL, y2 REAL NOT NULL,
  pieces INTEGER NOT NULL, score REAL NOT NULL, iou REAL NOT NULL, agreement REAL,
  source TEXT NOT NULL CHECK (source IN ('prompted', 'propagated', 'edited', 'imported')),
  state TEXT NOT NULL CHECK (state IN ('unreviewed', 'accepted', 'rejected')),
  origin INTEGER NOT NULL, revision INTEGER NOT NULL, seen INTEGER NOT NULL,
  counts TEXT NOT NULL, -- last, so that the numbers can be read without it
  PRIMARY KEY (video, object, frame),
  FOREIGN KEY (video, object) REFERENCES object (video, id) DEFERRABLE INITIALLY DEFERRED
) WITHOUT ROWID;
CREATE TABLE gesture (
  id INTEGER PRIMARY KEY AUTOINCREMENT, label TEXT NOT NULL, video INTEGER, frame INTEGER, job INTEGER,
  undone INTEGER NOT NULL DEFAULT 0, created TEXT NOT NULL
);
CREATE TABLE change (
  gesture INTEGER NOT NULL REFERENCES gesture (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  noun TEXT NOT NULL, key TEXT NOT NULL, other TEXT,
  PRIMARY KEY (gesture, noun, key)
) WITHOUT ROWID;
CREATE TABLE job (
  id INTEGER PRIMARY KEY AUTOINCREMENT, video INTEGER NOT NULL REFERENCES video (id),
  spec TEXT NOT NULL, state TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0, total INTEGER NOT NULL DEFAULT 0
);
INSERT INTO meta VALUES ('revision', '0');
"""

_VERSION_2 = """
CREATE TABLE learned (
  id INTEGER PRIMARY KEY CHECK (id = 1), number INTEGER NOT NULL, model TEXT NOT NULL, masks INTEGER NOT NULL,
  weights BLOB
);
"""

MIGRATIONS: tuple[str, ...] = (_VERSION_1, _VERSION_2)
"""Script n takes a file from version n to n + 1."""


def connect(path: Path, *, readonly: bool = False) -> sqlite3.Connection:
    """Open a project file and bring it to the newest schema (not if `readonly`).

    The log is written ahead (WAL), so that readers do not wait; when it is flushed is decided in `store`.

    Raises ProjectError if the file is not a project, is damaged, or was written by a newer vidseg.
    """
    try:
        where = f"{path.resolve().as_uri()}?mode={'rw' if readonly else 'rwc'}"
        connection = sqlite3.connect(where, uri=True, isolation_level=None, check_same_thread=False, timeout=10)
    except sqlite3.Error as error:
        raise ProjectError(f"{path} cannot be opened ({error}); expected a vidseg project file") from None
    try:
        _check(connection, path)
        connection.execute("PRAGMA foreign_keys = ON")
        if readonly:
            connection.execute("PRAGMA query_only = ON")
        else:
            connection.execute("PRAGMA journal_mode = WAL")
            _migrate(connection)
    except sqlite3.DatabaseError as error:
        connection.close()
        raise ProjectError(f"{path} is not a vidseg project or is damaged ({error})") from None
    except ProjectError:
        connection.close()
        raise
    connection.row_factory = sqlite3.Row
    return connection


def _check(connection: sqlite3.Connection, path: Path) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if not empty and application != APPLICATION_ID:
        raise ProjectError(f"{path} is an SQLite file of another program; expected a vidseg project")
    if version > len(MIGRATIONS):
        raise ProjectError(
            f"{path} was written by a newer vidseg (schema {version}, this one knows {len(MIGRATIONS)}); "
            "update vidseg to open it"
        )


def _migrate(connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    for number in range(version, len(MIGRATIONS)):
        connection.executescript(
            f"BEGIN IMMEDIATE; {MIGRATIONS[number]} PRAGMA application_id = {APPLICATION_ID};"
            f"PRAGMA user_version = {number + 1}; COMMIT;"
        )

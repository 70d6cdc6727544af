"""The file of a study: one SQLite database, which also other programs read.

studies   factory, epochs and handlers, which hold for all its fits; the process that runs it
trials    a fit each: what was removed, the arguments, the seed; outcome, reason, error, seconds in
          the fit, facts (versions, git commit, machine); NULL where it was not made yet
epochs    the rows of its History: counters, learning rate, outcome, and the metrics as JSON
costs     by handler class: calls, and nanoseconds in them
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ..output.usage_error import UsageError

_APPLICATION = 0x7461626C
VERSION = 1
_SCHEMA = """
CREATE TABLE studies (
    id INTEGER PRIMARY KEY, factory TEXT NOT NULL, epochs INTEGER, handlers TEXT NOT NULL,
    process TEXT);
CREATE TABLE trials (
    id INTEGER PRIMARY KEY, study INTEGER NOT NULL REFERENCES studies,
    without TEXT NOT NULL, arguments TEXT NOT NULL, seed INTEGER NOT NULL,
    outcome TEXT, reason TEXT, error TEXT, seconds REAL, facts TEXT,
    UNIQUE (study, without, arguments, seed));
CREATE TABLE epochs (
    trial INTEGER NOT NULL REFERENCES trials, number INTEGER NOT NULL,
    epoch INTEGER, step INTEGER, samples INTEGER, lr REAL, outcome TEXT, metrics TEXT NOT NULL,
    PRIMARY KEY (trial, number));
CREATE TABLE costs (
    trial INTEGER NOT NULL REFERENCES trials, handler TEXT NOT NULL, calls INTEGER, ns INTEGER,
    PRIMARY KEY (trial, handler));
"""


def is_study(path: Path) -> bool:
    """Whether a file is one of studies."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(72)
    return head.startswith(b"SQLite format 3\0") and head[68:72] == _APPLICATION.to_bytes(4, "big")


def open_database(path: Path) -> sqlite3.Connection:
    """Open the file of a study; a new one is created, with its folder.

    Raises:
        UsageError: it cannot be opened, or is no file of a study of this version.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(path)
    except (OSError, sqlite3.Error) as error:
        raise UsageError(f"cannot open the study {path}: {error}") from None
    try:
        _create_or_check(database)
    except (ValueError, sqlite3.Error) as error:
        database.close()
        raise UsageError(
            f"cannot open the study {path}: {error}; allowed: a file of a study, or a new one"
        ) from None
    return database


def _create_or_check(database: sqlite3.Connection) -> None:
    with database:
        if _is_empty(database):
            _create(database)
        [[application]] = database.execute("PRAGMA application_id")
        [[version]] = database.execute("PRAGMA user_version")
    if (application, version) != (_APPLICATION, VERSION):
        raise ValueError("it is another database, or of another version of trackside")


def _create(database: sqlite3.Connection) -> None:
    database.execute("BEGIN IMMEDIATE")
    if _is_empty(database):  # no other process has created it meanwhile
        for statement in _SCHEMA.split(";"):
            database.execute(statement)
        database.execute(f"PRAGMA application_id = {_APPLICATION}")
        database.execute(f"PRAGMA user_version = {VERSION}")


def _is_empty(database: sqlite3.Connection) -> bool:
    [[tables]] = database.execute("SELECT count(*) FROM sqlite_master")
    return not tables

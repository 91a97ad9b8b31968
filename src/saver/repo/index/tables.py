"""The tables of the index, and the queries that are asked of them."""

from __future__ import annotations

from collections.abc import Collection
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:  # imported when it is needed: `import saver` stays fast
    import sqlite3

SCHEMA = 0x5A0001
"""The number of this schema in the file; a file with another number is replaced."""

ROWS = 1_000_000
"""How many of the newest tensors are kept: some 90 MB."""

CANDIDATES = 4
"""The most versions that `find` names for a tensor."""

_VARIABLES = 900
"""Values in one query: every SQLite allows 999."""

# Hashes and probes are cut to the 64 bits that SQLite keeps as an integer: an index over them is a third as
# large as over text, and a wrong hint, once in 2**64, costs reading a manifest. Tensors are added at the
# end of their table, so that most pages that an addition touches are those of the two indexes.
_TABLES = """
CREATE TABLE head (number INTEGER NOT NULL);
INSERT INTO head VALUES (0);
CREATE TABLE versions (
    id INTEGER PRIMARY KEY, model TEXT NOT NULL, number INTEGER NOT NULL, manifest TEXT NOT NULL,
    UNIQUE (manifest, model, number)
);
CREATE TABLE tensors (
    id INTEGER PRIMARY KEY, hash INTEGER NOT NULL, length INTEGER NOT NULL, probe INTEGER,
    version INTEGER NOT NULL, name TEXT NOT NULL
);
CREATE UNIQUE INDEX by_hash ON tensors (hash, version);
CREATE INDEX by_length ON tensors (length, probe);
"""

Candidate: TypeAlias = tuple[str, int, str, str]
"""Model, number, hash of the manifest, name of the tensor."""


class Row(NamedTuple):
    """A tensor of a version. `hash` is the hash of its bytes, `length` their number; `probe` is the first
    16 bytes of the BLAKE3 of the first 4096 bytes, or None if it is not known."""

    hash: str
    length: int
    probe: bytes | None
    model: str
    number: int
    manifest: str
    name: str


def prepare(db: sqlite3.Connection) -> None:
    """Create the tables of a new file. Raises OperationalError for a file of another kind.

    No write-ahead log: its shared memory does not work if home folders are on a network. No fsync: a file
    that a power failure breaks is replaced.
    """
    import sqlite3

    for setting in ("trusted_schema=OFF", "synchronous=OFF", "journal_mode=TRUNCATE", "cache_size=-32768"):
        db.execute(f"PRAGMA {setting}")
    if number_of(db, "PRAGMA user_version") == SCHEMA:
        return
    with db:
        db.execute("BEGIN IMMEDIATE")
        if number_of(db, "PRAGMA user_version") == SCHEMA:
            return
        if number_of(db, "SELECT count(*) FROM sqlite_master"):
            raise sqlite3.OperationalError("made by another Saver")
        for statement in _TABLES.split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {SCHEMA}")


def number_of(db: sqlite3.Connection, query: str, *values: int | str) -> int:
    """The number that a query gives; 0 if it gives none."""
    row = db.execute(query, values).fetchone()
    return row[0] if row is not None and type(row[0]) is int else 0


def _hash_key(digest: str) -> int:
    return int(digest[:16], 16) - 2**63


def probe_key(probe: bytes) -> int:
    """A probe as the tables have it."""
    return int.from_bytes(probe[:8], "big") - 2**63


def find(db: sqlite3.Connection, hashes: list[str]) -> dict[str, list[Candidate]]:
    """The versions that may hold tensors with these hashes, the most recently added first."""
    wanted = {_hash_key(digest): digest for digest in hashes}
    rows = _rows_among(db, "hash, version, name FROM tensors WHERE hash", wanted, "ORDER BY id DESC")
    asked = {version for _, version, _ in rows if type(version) is int}
    versions = {
        version: (model, number, manifest)
        for version, model, number, manifest in _rows_among(
            db, "id, model, number, manifest FROM versions WHERE id", asked
        )
        if (type(model), type(number), type(manifest)) == (str, int, str)  # columns hold any type
    }
    found: dict[str, list[Candidate]] = {}
    for key, version, name in rows:
        if version in versions and type(name) is str:
            candidates = found.setdefault(wanted[key], [])
            if len(candidates) < CANDIDATES:
                candidates.append((*versions[version], name))
    return found


def _rows_among(db: sqlite3.Connection, query: str, keys: Collection[int], order: str = "") -> list[Any]:
    """The rows of a query, which ends with a column, for which that column is one of `keys`."""
    values = sorted(keys)  # neighbours are in the same pages
    found = []
    for start in range(0, len(values), _VARIABLES):
        some = values[start : start + _VARIABLES]
        found += db.execute(f"SELECT {query} IN ({','.join('?' * len(some))}) {order}", some).fetchall()
    return found


def add(db: sqlite3.Connection, head: int, rows: list[Row]) -> None:
    """Add tensors of versions up to the log record `head`, in one transaction."""
    with db:
        db.execute("BEGIN IMMEDIATE")
        versions = dict.fromkeys((row.model, row.number, row.manifest) for row in rows)
        ids = {version: _version(db, *version) for version in versions}
        stored = [_stored(row, ids[row.model, row.number, row.manifest]) for row in rows]
        db.executemany(
            "INSERT OR IGNORE INTO tensors (hash, length, probe, version, name) VALUES (?, ?, ?, ?, ?)",
            sorted(stored, key=itemgetter(3, 0)),  # neighbours go into the same pages
        )
        db.execute("DELETE FROM tensors WHERE id <= (SELECT max(id) FROM tensors) - ?", (ROWS,))
        db.execute("DELETE FROM versions WHERE id < (SELECT version FROM tensors ORDER BY id LIMIT 1)")
        db.execute("UPDATE head SET number = max(number, ?)", (head,))


def _stored(row: Row, version: int) -> tuple[int, int, int | None, int, str]:
    probe = None if row.probe is None else probe_key(row.probe)
    return _hash_key(row.hash), row.length, probe, version, row.name


def _version(db: sqlite3.Connection, model: str, number: int, manifest: str) -> int:
    values = (manifest, model, number)
    db.execute("INSERT OR IGNORE INTO versions (manifest, model, number) VALUES (?, ?, ?)", values)
    return number_of(db, "SELECT id FROM versions WHERE manifest = ? AND model = ? AND number = ?", *values)

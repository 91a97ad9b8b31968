"""The index: hints that are quick to get, and never a reason for a save to fail."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from saver.repo.index import Index, Row, index_path, tables
from saver.repo.index import index as module


def digest(text: object) -> str:
    return blake3(str(text).encode()).hexdigest()


def row(tensor: object, number: int = 1, length: int = 64, probe: bytes | None = None) -> Row:
    manifest = digest(f"manifest {number}")
    return Row(digest(tensor), length, probe, "team/iris", number, manifest, f"model/{tensor}.weight")


def candidate(tensor: object, number: int = 1) -> tuple[str, int, str, str]:
    return "team/iris", number, digest(f"manifest {number}"), f"model/{tensor}.weight"


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "cache" / "store.sqlite")


@pytest.fixture
def opened(path: str) -> Index:
    return Index(path)


def assert_works(index: Index) -> None:
    index.add(3, [row("new")])
    assert index.trouble is None
    assert index.find([digest("new")]) == {digest("new"): [candidate("new")]}
    assert index.head == 3


def assert_idle(index: Index, why: str) -> None:
    """Knows nothing, takes nothing, raises nothing, and says why."""
    index.add(3, [row("new")])
    assert index.find([digest("new"), digest("old")]) == {}
    assert not index.has(64, None)
    assert not index.has(64, bytes(16))
    assert index.head == 0
    assert index.trouble is not None
    assert why in index.trouble
    assert index.path in index.trouble
    index.close()


def test_a_new_index_knows_nothing(opened: Index) -> None:
    assert opened.head == 0
    assert opened.find([digest(1)]) == {}
    assert not opened.has(64, None)
    assert opened.trouble is None


def test_nothing_is_opened_before_it_is_needed(path: str) -> None:
    Index(path).close()
    assert not os.path.exists(os.path.dirname(path))


def test_importing_it_does_not_import_sqlite() -> None:
    program = "import sys, saver.repo.index; print('sqlite3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_what_was_added_is_found_the_newest_first(opened: Index, path: str) -> None:
    for number in (1, 3, 2):
        opened.add(number, [row("a", number), row(f"only {number}", number)])
    for index in (opened, Index(path)):
        assert index.head == 3
        found = index.find(iter([digest("a"), digest("only 3"), digest("unknown")]))
        assert found == {
            digest("a"): [candidate("a", number) for number in (2, 3, 1)],
            digest("only 3"): [candidate("only 3", 3)],
        }


def test_few_candidates_are_named(opened: Index) -> None:
    for number in range(10):
        opened.add(number, [row("a", number)])
    assert opened.find([digest("a")])[digest("a")] == [candidate("a", number) for number in (9, 8, 7, 6)]


def test_adding_twice_is_the_same(opened: Index, path: str) -> None:
    rows = [row(number) for number in range(10)]
    for head in (5, 5, 2):
        opened.add(head, rows)
    assert opened.head == 5
    assert opened.find([digest(3)]) == {digest(3): [candidate(3)]}
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM tensors").fetchone() == (10,)
        assert db.execute("SELECT count(*) FROM versions").fetchone() == (1,)
    db.close()


LENGTHS = st.integers(0, 3)
PROBES = st.none() | st.sampled_from([bytes([number]) * 16 for number in (0, 1, 127, 128, 255)])


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.tuples(LENGTHS, PROBES), max_size=6), max_size=4))
def test_lengths_and_probes_may_be_there_or_not(
    tmp_path: Path, batches: list[list[tuple[int, bytes | None]]]
) -> None:
    """What is not known, in the question or in the index, is the same as anything."""
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    index, known = Index(str(tmp_path / "cache" / "a.sqlite")), list[tuple[int, bytes | None]]()
    for batch in batches:
        index.add(1, [row(str(item), 1, *item) for item in batch])
        known += batch
        for length in range(4):
            for probe in (None, b"\0" * 16, b"\xff" * 16):
                expected = any(
                    size == length and (probe is None or other is None or probe == other)
                    for size, other in known
                )
                assert index.has(length, probe) == expected
    assert index.trouble is None
    index.close()


@pytest.mark.slow
def test_twenty_thousand_tensors_are_added_and_found(opened: Index) -> None:
    rows = [row(number, number % 3, length=8 * number) for number in range(20_000)]
    opened.add(7, rows)
    found = opened.find([item.hash for item in reversed(rows)] + [digest(-1)])
    assert opened.trouble is None
    assert found == {item.hash: [(item.model, item.number, item.manifest, item.name)] for item in rows}
    assert opened.has(8 * 19_999, None)
    assert not opened.has(8 * 20_000, None)


def test_the_oldest_are_forgotten_when_there_are_too_many(
    opened: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "ROWS", 100)
    for number in range(30):
        opened.add(number, [row(f"{number} {item}", number) for item in range(10)])
    found = opened.find(digest(f"{number} {item}") for number in range(30) for item in range(10))
    assert set(found) == {digest(f"{number} {item}") for number in range(20, 30) for item in range(10)}
    assert opened.trouble is None


def test_it_opens_again_after_it_was_closed(opened: Index) -> None:
    opened.add(1, [row("a")])
    opened.close()
    opened.close()
    assert_works(opened)
    assert digest("a") in opened.find([digest("a")])


def test_nothing_is_left_open_behind_it(path: str) -> None:
    index = Index(path)
    index.add(1, [row("a")])
    held = Path("/proc/self/fd")
    assert any(os.path.realpath(link) == os.path.realpath(path) for link in held.iterdir())
    del index
    assert not any(os.path.realpath(link) == os.path.realpath(path) for link in held.iterdir())


def test_failing_rows_leave_nothing_behind(opened: Index, path: str) -> None:
    opened.add(1, [row("a")])
    opened.add(2, [row("b"), row("c", length=2**70)])
    assert opened.trouble is not None
    assert Index(path).find([digest("a"), digest("b")]) == {digest("a"): [candidate("a")]}
    assert Index(path).head == 1


# Files that are no index


def other_kind(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE mine (a)")
    db.commit()
    db.close()


def other_schema(path: Path) -> None:
    Index(str(path)).add(1, [row("old")])
    change(path, "PRAGMA user_version = 7")


def write_ahead(path: Path) -> None:
    change(path, "PRAGMA journal_mode = WAL", "CREATE TABLE head (a)")


def without_tables(path: Path) -> None:
    other_schema(path)
    change(path, "DROP TABLE tensors", f"PRAGMA user_version = {tables.SCHEMA}")


def cut_off(path: Path) -> None:
    Index(str(path)).add(1, [row(number) for number in range(2000)])
    os.truncate(path, 8192)


def change(path: Path, *statements: str) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        db.execute(statement)
    db.close()


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_bytes(b"not a database, but long enough to look at" * 100),
        lambda path: path.write_bytes(b"SQLite format 3\0" + bytes(5000)),
        lambda path: path.write_bytes(b"x"),
        lambda path: path.write_bytes(b""),
        other_kind,
        other_schema,
        write_ahead,
        without_tables,
        cut_off,
    ],
    ids=["text", "zeros", "byte", "empty", "other kind", "other schema", "wal", "no tables", "cut off"],
)
def test_a_file_that_is_not_an_index_is_begun_anew(path: str, make: Callable[[Path], None]) -> None:
    os.makedirs(os.path.dirname(path))
    make(Path(path))
    index = Index(path)
    assert_works(index)
    assert_works(Index(path))
    assert digest("old") not in index.find([digest("old")])


def test_whatever_byte_is_broken_nothing_is_raised(path: str) -> None:
    """What is not noticed is a wrong hint, which those who ask find out."""
    rows = [row(number, number % 5) for number in range(300)]
    index = Index(path)
    index.add(9, rows)
    index.close()
    good = Path(path).read_bytes()
    dice = random.Random(7)
    for _ in range(60):
        bad = bytearray(good)
        for _ in range(dice.choice((1, 20, 400))):
            bad[dice.randrange(len(bad))] = dice.randrange(256)
        Path(path).write_bytes(bad)
        index = Index(path)
        found = index.find([item.hash for item in rows])
        assert all(
            list(map(type, hint)) == [str, int, str, str] for hints in found.values() for hint in hints
        )
        assert index.has(64, None) in (True, False)
        assert index.head.bit_length() < 64
        index.add(10, [row("new")])
        index.close()


def test_values_of_other_types_are_no_hints(opened: Index, path: str) -> None:
    opened.add(1, [row(name, number) for number, name in enumerate("abcdef")])
    change(
        Path(path),
        "UPDATE head SET number = 'x'",
        "UPDATE versions SET number = 'x' WHERE number = 0",
        "UPDATE versions SET manifest = x'00' WHERE number = 1",
        "UPDATE tensors SET name = x'00' WHERE name = 'model/c.weight'",
        "UPDATE tensors SET version = 'x' WHERE name = 'model/d.weight'",
        "UPDATE tensors SET version = 77 WHERE name = 'model/e.weight'",
    )
    assert opened.find(map(digest, "abcdef")) == {digest("f"): [candidate("f", 5)]}
    assert opened.head == 0
    assert opened.trouble is None


def test_text_that_is_not_text_is_begun_anew(opened: Index, path: str) -> None:
    opened.add(1, [row("a")])
    change(Path(path), "UPDATE tensors SET name = cast(x'ff' AS TEXT)")
    assert opened.find([digest("a")]) == {}
    assert_works(opened)


def test_a_file_deleted_while_it_is_open_does_no_harm(opened: Index, path: str) -> None:
    opened.add(1, [row("a")])
    shutil.rmtree(os.path.dirname(path))
    opened.add(2, [row("b")])
    opened.find([digest("b")])
    opened.close()
    assert_works(Index(path))


# Where there can be none


@pytest.mark.parametrize("place", ["/proc/saver/store.sqlite", "/dev/null/store.sqlite"])
def test_where_no_file_can_be_made_it_is_idle(place: str) -> None:
    assert_idle(Index(place), "SAVER_CACHE")


@pytest.mark.parametrize("place", ["\0", "x" * 300])
def test_a_path_that_cannot_be_makes_it_idle(tmp_path: Path, place: str) -> None:
    assert_idle(Index(f"{tmp_path}/{place}"), "not used")


def test_a_python_without_sqlite_makes_it_idle(opened: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlite3", None)
    assert_idle(opened, "sqlite3")


def test_a_folder_in_its_place_makes_it_idle(path: str) -> None:
    os.makedirs(path)
    assert_idle(Index(path), "unable to open")
    assert os.path.isdir(path)


def test_a_file_that_may_only_be_read_makes_it_idle() -> None:
    """Root may write anything; so it is done as nobody, in a folder that nobody may enter."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "store.sqlite")
        Index(path).add(1, [row("old")])
        os.chmod(path, 0o444)
        os.chmod(folder, 0o555)
        process = multiprocessing.get_context("fork").Process(target=_read_only, args=(path,))
        process.start()
        process.join(30)
        os.chmod(folder, 0o755)
        assert process.exitcode == 0
        assert digest("old") in Index(path).find([digest("old")])


def _read_only(path: str) -> None:
    if os.geteuid() == 0:
        os.setuid(65534)
    assert_idle(Index(path), "readonly" if os.access(path, os.R_OK) else "Permission denied")


def test_a_full_disk_makes_it_idle(opened: Index, path: str) -> None:
    opened.add(1, [row("old")])
    db = opened._connection
    assert db is not None
    db.execute("PRAGMA max_page_count = 20")
    opened.add(2, [row(number) for number in range(20_000)])
    assert_idle(opened, "full")
    assert Index(path).find([digest("old"), digest(5)]) == {digest("old"): [candidate("old")]}


def test_a_file_that_another_process_keeps_locked_makes_it_idle_for_a_while(
    opened: Index, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.01)
    Index(path).add(1, [row("old")])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert_idle(opened, "locked")
    other.execute("ROLLBACK")
    other.close()
    assert_idle(opened, "locked")
    monkeypatch.setattr(opened, "_again", 0.0)  # a minute later
    assert_works(opened)
    assert opened.find([digest("old")]) == {digest("old"): [candidate("old")]}, "nothing was deleted"


# Together


def _adds(path: str, who: int) -> None:
    index = Index(path)
    for number in range(25):
        index.add(25 * who + number, [row(f"{who} {number} {item}", number) for item in range(40)])
        assert index.has(64, None)
        assert digest(f"{who} {number} 3") in index.find([digest(f"{who} {number} 3")])
    assert index.trouble is None, index.trouble
    index.close()


@pytest.mark.slow
@pytest.mark.parametrize("start", ["spawn", "fork"])
def test_processes_add_at_the_same_time(path: str, start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 30.0)  # a test machine may be busy
    context = multiprocessing.get_context(start)
    processes = [context.Process(target=_adds, args=(path, who)) for who in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    index = Index(path)
    names = [f"{who} {number} {item}" for who in range(4) for number in range(25) for item in range(40)]
    found = index.find(map(digest, names))
    assert [name for name in names if digest(name) not in found] == []
    assert index.head == 99


def test_threads_share_one_index(opened: Index) -> None:
    def add(who: int) -> None:
        for number in range(20):
            opened.add(number, [row(f"{who} {number}", number)])
            opened.has(64, None)

    threads = [threading.Thread(target=add, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert opened.trouble is None
    assert len(opened.find(digest(f"{who} {number}") for who in range(4) for number in range(20))) == 80


def test_a_fork_opens_its_own(opened: Index) -> None:
    """SQLite's connections must not be used in another process."""
    opened.add(1, [row("before")])
    process = multiprocessing.get_context("fork").Process(target=_forked, args=(opened,))
    process.start()
    process.join(30)
    assert process.exitcode == 0
    assert set(opened.find([digest("before"), digest("new")])) == {digest("before"), digest("new")}


def _forked(index: Index) -> None:
    parents = index._connection
    assert_works(index)
    assert index._connection is not parents


def test_a_killed_process_leaves_a_usable_index(opened: Index, path: str) -> None:
    opened.add(1, [row("before")])
    program = f"""
import os, sqlite3
db = sqlite3.connect({path!r}, isolation_level=None)
db.execute("PRAGMA cache_size = 1")
db.execute("PRAGMA synchronous = OFF")
db.execute("BEGIN IMMEDIATE")
for number in range(5000):
    db.execute("INSERT INTO tensors VALUES (NULL, ?, 99, NULL, 1, 'x')", (number * 7919,))
print(os.path.getsize({path!r} + "-journal"), flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    assert int(done.stdout) > 0
    assert not opened.has(99, None)
    assert_works(opened)
    assert digest("before") in opened.find([digest("before")])


# Its place


def test_it_lies_in_the_cache_folder_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAVER_CACHE", "/somewhere")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    monkeypatch.setenv("HOME", "/home/ann")
    assert index_path("4f1c") == "/somewhere/4f1c.sqlite"
    monkeypatch.delenv("SAVER_CACHE")
    assert index_path("4f1c") == "/xdg/saver/4f1c.sqlite"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert index_path("4f1c") == "/home/ann/.cache/saver/4f1c.sqlite"


@pytest.mark.parametrize("ident", ["", "..", "../../x", "a/b", "a\0b", "x" * 65, "\ud800", "é", "a\n"])
def test_an_id_cannot_lead_anywhere_else(ident: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAVER_CACHE", "/somewhere")
    folder, name = os.path.split(index_path(ident))
    assert folder == "/somewhere"
    assert len(name) == 64 + len(".sqlite")
    assert name.isascii()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_fork_waits_until_nobody_is_in_sqlite(tmp_path: Path) -> None:
    """SQLite locks things for the whole process, which would stay locked in the child."""
    index, asked, answer = Index(str(tmp_path / "a.sqlite")), threading.Event(), threading.Event()
    assert index.head == 0

    def question(db: Any) -> int:
        asked.set()
        answer.wait(30)
        return 1

    asking = threading.Thread(target=index._ask, args=(question, 0))
    statuses: list[int] = []

    def fork() -> None:
        child = os.fork()
        if child == 0:
            os._exit(0 if answer.is_set() and index.head == 0 else 1)
        statuses.append(os.waitpid(child, 0)[1])

    asking.start()
    asked.wait()
    forking = threading.Thread(target=fork)
    forking.start()
    forking.join(0.2)
    answer.set()
    asking.join()
    forking.join()
    assert statuses == [0]
    assert index.head == 0


def test_an_index_without_memory_knows_nothing_and_fails_nobody(tmp_path: Path) -> None:
    index = Index(str(tmp_path / "a.sqlite"))

    def question(db: Any) -> int:
        raise MemoryError

    assert index._ask(question, 7) == 7
    assert index.trouble is not None

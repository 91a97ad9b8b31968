"""A store that was rolled back, or had records replaced, is noticed where a later head was seen.
What that cannot detect is here too."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

pytest.importorskip("cryptography")

import saver
from cli.running import run
from saver.errors import CannotReadError, DamagedError, IncompatibleError
from saver.keys.files import new_key_file
from saver.repo.events import Commit
from saver.repo.log import Record
from saver.signing import heads as heads_module
from saver.signing.heads import Head, Heads
from saver.store import Store
from signed import private, public, rewritten
from test_read_only import COMMANDS, READING


@pytest.fixture(autouse=True)
def heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAVER_HEADS", str(tmp_path / "heads"))
    return tmp_path / "heads"


def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    """From here on this process is on another machine."""
    monkeypatch.setenv("SAVER_HEADS", str(tmp_path / f"heads of {name}"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store = saver.Saver(tmp_path / "models", sign=private("alice"))
    for number in range(4):
        store.save("iris", {"a": number})
    return tmp_path / "models"


def rolled_back(folder: Path, to: int) -> None:
    for path in (folder / "log").glob("*.json"):
        if int(path.stem) > to:
            path.unlink()
    shutil.rmtree(folder / "state")


def reader(folder: Path) -> object:
    return saver.Saver(folder).load("iris@latest", signed_by=public("alice"))


READERS: dict[str, Callable[[Path], object]] = {
    "load": reader,
    "verify": lambda folder: saver.Saver(folder).verify("iris@latest", signed_by=public("alice")),
    "save": lambda folder: saver.Saver(folder, sign=private("alice")).save("iris", [1]),
    "tag": lambda folder: saver.Saver(folder, sign=private("alice")).tag("iris@1", "best"),
}


@pytest.mark.parametrize("door", READERS)
@pytest.mark.parametrize("to", [1, 2, 3])
def test_a_rollback_is_noticed_by_whom_saw_a_later_head(folder: Path, to: int, door: str) -> None:
    rolled_back(folder, to)
    with pytest.raises(DamagedError, match=f"record 4 of this store was seen .* record {to}: .*rolled back"):
        READERS[door](folder)


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_replaced_records_are_noticed_by_whom_saw_a_later_head(folder: Path, number: int) -> None:
    def change(record: Record) -> Record:
        event = record.event
        if record.number == number and isinstance(event, Commit):
            return replace(record, event=replace(event, labels={"changed": "1"}))
        return record

    rewritten(folder, change)
    with pytest.raises(DamagedError, match="another record 4 is there"):
        reader(folder)


def test_a_log_that_goes_on_from_what_was_seen_is_fine(folder: Path) -> None:
    for number in range(40):
        saver.Saver(folder).save("iris", {"b": number})
    saver.Saver(folder).load("iris@4", signed_by=public("alice"))
    rolled_back(folder, 43)
    with pytest.raises(DamagedError, match="record 44 of this store was seen"):
        reader(folder)


def test_what_it_cannot_detect(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not where a store is seen for the first time, nor if it goes on from what was seen last; nor, where
    nothing demands signatures, in a copy that is elsewhere."""
    whole = tmp_path / "whole"
    shutil.copytree(folder, whole)
    rolled_back(folder, 2)
    saver.Saver(shutil.copytree(folder, tmp_path / "copy")).load("iris@2")
    machine(monkeypatch, tmp_path, "one who was never here")
    saver.Saver(folder).verify("iris@2", signed_by=public("alice"))
    shutil.rmtree(folder)
    shutil.copytree(whole, folder)  # it goes on from there as if nothing had been
    saver.Saver(folder).verify("iris@4", signed_by=public("alice"))
    rolled_back(folder, 3)
    with pytest.raises(DamagedError):
        reader(folder)


def test_a_copy_that_was_restored_is_used_again_once_the_memory_is_deleted(folder: Path, heads: Path) -> None:
    rolled_back(folder, 2)
    with pytest.raises(DamagedError, match="delete") as caught:
        reader(folder)
    (path,) = heads.glob("*.json")
    assert str(path) in str(caught.value)
    path.unlink()
    assert saver.Saver(folder).load("iris", signed_by=public("alice")) == {"a": 1}


def test_every_method_that_reads_notices_a_rollback(folder: Path) -> None:
    rolled_back(folder, 2)
    for name, act in READING.items():
        if name != "exists":
            with pytest.raises(DamagedError, match="rolled back"):
                act(Store(folder), folder.parent)


def test_every_command_that_reads_notices_a_rollback(folder: Path) -> None:
    rolled_back(folder, 2)
    (folder.parent / "rows.npy").write_bytes(b"")
    for name in COMMANDS.keys() - {"completion", "convert", "doctor"}:
        words = COMMANDS[name].format(store=folder, mine=folder.parent, shelf=folder.parent).split()
        done = run(name, *words)
        assert done.exit_code == 1, (name, done.stderr)
        assert "the store was rolled back" in done.stderr + done.stdout, name
        document = run(name, *words, "--json").stdout
        assert json.loads(document)["schema"] == ("saver.checked.1" if name == "check" else "saver.failed.1")
        assert "the store was rolled back" in document


def test_doctor_says_that_a_store_was_rolled_back(folder: Path) -> None:
    def said(*words: str) -> list[str]:
        found = json.loads(run("doctor", *words, "--json").stdout)["findings"]
        return [each["meaning"] for each in found if each["severity"] == "problem"]

    assert said(str(folder)) == []
    rolled_back(folder, 2)
    for words in ([str(folder)], ["--store", str(folder)]):
        (meaning,) = said(*words)
        assert "the store was rolled back" in meaning
        assert run("doctor", *words).exit_code == 1


def test_doctor_without_the_key_says_that_the_log_was_not_read(tmp_path: Path) -> None:
    new_key_file(str(tmp_path / "own.key"))
    saver.Saver(tmp_path / "sealed", key=tmp_path / "own.key").save("iris", [1])
    found = json.loads(run("doctor", str(tmp_path / "sealed"), "--json").stdout)["findings"]
    assert [
        (each["here"], "no key was passed" in each["meaning"]) for each in found if each["topic"] == "log"
    ] == [("not read", True)]


def test_one_who_saw_a_later_state_notices_not_only_the_one_who_signed(folder: Path) -> None:
    """A machine that knows the store remembers what it reads there, also if another one wrote it."""
    whole = shutil.copytree(folder, folder.with_name("later"))
    saver.Saver(whole, author="another machine").note("iris", "later")
    for path in (whole / "log").iterdir():
        shutil.copy(path, folder / "log")
    assert len(list(Store(folder).log())) == 5
    rolled_back(folder, 4)
    with pytest.raises(DamagedError, match="record 5 of this store was seen"):
        Store(folder).models()


def test_a_place_is_the_same_from_every_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rolled_back(folder, 2)
    (folder.parent / "link").symlink_to(folder)
    monkeypatch.chdir(folder.parent)
    for name in ("models", "./link"):
        with pytest.raises(DamagedError, match="rolled back"):
            Store(name).models()


def test_a_store_that_has_to_do_with_no_signatures_leaves_no_memory(tmp_path: Path, heads: Path) -> None:
    saver.Saver(tmp_path / "plain").save("iris", [1])
    Store(tmp_path / "plain").load("iris")
    assert not heads.exists()


def test_two_stores_have_memories_of_their_own(folder: Path, tmp_path: Path) -> None:
    saver.Saver(tmp_path / "other", sign=private("alice")).save("iris", [1])
    reader(folder)
    assert saver.Saver(tmp_path / "other").load("iris", signed_by=public("alice")) == [1]


def test_a_memory_that_cannot_be_read_is_not_taken_for_an_empty_one(folder: Path, heads: Path) -> None:
    (path,) = heads.glob("*.json")
    for text in ("", "nonsense", "{}", '{"number": "x", "hash": ""}'):
        path.write_text(text)
        with pytest.raises(IncompatibleError, match="delete it to begin anew"):
            reader(folder)
    path.unlink()
    path.mkdir()
    with pytest.raises(CannotReadError, match="cannot be read"):
        reader(folder)


def test_a_memory_that_cannot_be_written_is_said(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SAVER_HEADS", str(tmp_path / "file" / "heads"))
    with pytest.raises(CannotReadError):
        reader(folder)
    monkeypatch.setenv("SAVER_HEADS", str(tmp_path / "heads of others"))
    monkeypatch.setattr(
        os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.warns(UserWarning, match="could not be remembered"):
        reader(folder)


def test_the_newest_head_stays(tmp_path: Path) -> None:
    found = Heads(str(tmp_path / "heads"))
    for number in (3, 5, 4):
        for memory in (found, Heads(str(tmp_path / "heads"))):  # another process has its own
            memory.note("ab", Head(number, str(number) * 64))
    assert Heads(str(tmp_path / "heads")).seen("ab") == Head(5, "5" * 64)
    with pytest.raises(IncompatibleError):
        found.path("../ab")


def test_of_two_that_note_heads_at_the_same_moment_the_newer_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One reads what is remembered, and is overtaken before it writes."""
    began, go, real = threading.Event(), threading.Event(), os.replace

    def slow(old: str, new: str) -> None:
        if not began.is_set():
            began.set()
            go.wait(10)
        real(old, new)

    monkeypatch.setattr(heads_module.os, "replace", slow)
    first, second = (
        threading.Thread(target=Heads(str(tmp_path)).note, args=("0a", Head(number, f"{number}" * 64)))
        for number in (6, 7)
    )
    first.start()
    assert began.wait(10)
    second.start()
    second.join(0.2)
    go.set()
    for each in (first, second):
        each.join(10)
    assert Heads(str(tmp_path)).seen("0a") == Head(7, "7" * 64)


def test_many_that_note_heads_leave_the_newest(tmp_path: Path) -> None:
    def noting(start: int) -> None:
        for number in range(start, 100, 4):
            Heads(str(tmp_path)).note("0a", Head(number, "0" * 64))

    threads = [threading.Thread(target=noting, args=(start,)) for start in range(1, 5)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    found = Heads(str(tmp_path)).seen("0a")
    assert found is not None
    assert found.number == 99


def test_a_memory_that_somebody_holds_for_long_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a process that was stopped while it wrote, for instance."""
    from saver.disk.locks import locked

    monkeypatch.setattr(heads_module, "PATIENCE", 0.05)
    (tmp_path / heads_module.LOCK).touch()
    with open(tmp_path / heads_module.LOCK, "r+b") as held:
        assert locked(held.fileno())
        with pytest.warns(UserWarning, match="could not be remembered .another process holds"):
            Heads(str(tmp_path)).note("0a", Head(1, "0" * 64))
    Heads(str(tmp_path)).note("0a", Head(2, "0" * 64))
    assert Heads(str(tmp_path)).seen("0a") == Head(2, "0" * 64)

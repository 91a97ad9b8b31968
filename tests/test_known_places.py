"""A plain store that somebody puts in the place of a sealed one, between two commands."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("cryptography")
pytest.importorskip("pyrage")

import saver
from saver.errors import IncompatibleError
from saver.keys.files import new_key_file
from saver.storages.memory import MemoryStorage


@pytest.fixture(autouse=True)
def _sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store `models`, which was opened with the key that SAVER_KEY names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAVER_HEADS", str(tmp_path / "heads"))
    new_key_file("ann.key")
    saver.Saver("models", key="ann.key").create()
    monkeypatch.setenv("SAVER_KEY", "ann.key")
    saver.Saver("models").save("iris", [1])


def exchanged() -> None:
    shutil.move("models", "taken")
    saver.Saver("models/../fresh").save("iris", ["evil"])
    shutil.move("fresh", "models")


@pytest.mark.parametrize("link", [False, True])
def test_it_is_refused_where_the_sealed_one_was_opened(link: bool) -> None:
    exchanged()
    if link:
        Path("other").symlink_to("models")
    place = "other" if link else "models"
    for act in (
        lambda: saver.Saver(place).load("iris"),
        lambda: saver.Saver(place).save("iris", ["secret"]),
        lambda: saver.Saver("taken").push("iris", place),
        lambda: saver.Saver("taken").pull("iris", place),
    ):
        with pytest.raises(IncompatibleError, match="may have put another one in its place; if that was you"):
            act()
    assert len(list(Path("models/log").iterdir())) == 1


def test_one_who_made_another_store_deletes_what_is_remembered() -> None:
    exchanged()
    with pytest.raises(IncompatibleError) as error:
        saver.Saver("models").load("iris")
    Path(str(error.value).rpartition("delete ")[2]).unlink()
    assert saver.Saver("models").load("iris") == ["evil"]


def test_what_is_remembered_tells_no_name_and_other_plain_stores_are_opened(tmp_path: Path) -> None:
    (found,) = (tmp_path / "heads" / "sealed").iterdir()
    assert (found.read_bytes(), len(found.name)) == (b"", 64)
    saver.Saver("plain").save("iris", [2])
    assert saver.Saver("plain").load("iris") == [2]


def test_a_memory_that_cannot_be_written_is_said_in_the_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SAVER_HEADS", str(tmp_path / "file"))
    assert saver.Saver("models").load("iris") == [1]
    assert "that a store is sealed could not be remembered" in caplog.text


class Nameless(MemoryStorage):
    """A storage of somebody who gave it no address."""

    def __str__(self) -> str:
        return "a storage of mine"


@pytest.mark.parametrize("made", [lambda: MemoryStorage("there"), Nameless])
def test_places_that_end_with_the_process_are_not_remembered(made: Callable[[], MemoryStorage]) -> None:
    """Another store is there next time, or in another process, and that says nothing."""
    sealed, plain = made(), made()
    saver.Saver(sealed, key="ann.key").save("iris", [1])
    assert saver.Saver(sealed, key="ann.key").load("iris") == [1]
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SAVER_KEY")
        saver.Saver(plain).save("iris", [2])
    assert saver.Saver(plain).load("iris") == [2]

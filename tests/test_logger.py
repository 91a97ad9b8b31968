"""What `logging` gets under the name `saver`: changes that are durable, what mended itself, warnings."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import saver
from saver.callers import warn
from saver.logger import logger
from saver.policy import Keep
from saver.repo.entry import said
from saver.repo.events import Tag


@pytest.fixture(autouse=True)
def _listening(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="saver")


def changed(store: saver.Saver) -> None:
    """Every kind of change that a call makes."""
    store.save("iris", np.ones(10), tags=["first"])
    store.save("iris", np.ones(20))
    store.tag("iris@2", "second")
    store.untag("iris", "second")
    store.label("iris@2", {"team": "fraud"})
    store.note("iris", "of flowers")
    store.delete("iris@2")
    store.save("iris", np.ones(30))
    store.prune("iris", Keep(last=1))
    store.gc(grace=0)


def test_every_record_that_this_process_wrote_is_in_the_log_with_its_words(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = saver.Saver(tmp_path / "models")
    changed(store)
    expected = [f"{store.storage}: record {each.record}: {said(each)}" for each in reversed([*store.log()])]
    told = [each.message for each in caplog.records if ": record " in each.message]
    assert told == expected
    assert len(told) >= 9
    assert {each.levelno for each in caplog.records} == {logging.INFO}


def test_what_others_wrote_is_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    changed(saver.Saver(tmp_path / "models"))
    caplog.clear()
    store = saver.Saver(tmp_path / "models")
    store.load("iris")
    assert [*store.log()]
    assert caplog.messages == []


def test_a_collection_a_check_and_a_backup_are_summed_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = saver.Saver(tmp_path / "models")
    changed(store)
    caplog.clear()
    store.gc(dry_run=True)
    assert caplog.messages == [], "nothing happened"
    store.gc()
    store.check()
    store.backup(tmp_path / "copy")
    for message, words in zip(
        caplog.messages, ("collected: ", "checked: ", " records copied to "), strict=True
    ):
        assert message.startswith(f"{store.storage}: ")
        assert words in message


def test_a_damaged_shortcut_is_in_the_log_and_so_is_its_mending(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = saver.Saver(tmp_path / "models")
    for number in range(40):
        store.save("iris", number)
    for path in (tmp_path / "models" / "state").rglob("*.json"):
        path.write_bytes(b"x" * path.stat().st_size)
    caplog.clear()
    again = saver.Saver(tmp_path / "models")
    assert len(again.versions("iris")) == 40
    assert any("a shortcut to the log is not used" in each for each in caplog.messages)
    again.check()
    assert any("made again" in each for each in caplog.messages)


def test_a_warning_is_in_the_log_too(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.warns(UserWarning, match="100% of it"):
        warn("100% of it", UserWarning)
    (record,) = caplog.records
    assert (record.levelname, record.message, record.category) == ("WARNING", "100% of it", "UserWarning")  # type: ignore[attr-defined]


def test_names_in_the_log_cannot_steer_a_terminal(caplog: pytest.LogCaptureFixture) -> None:
    logger.info("%s: saved", "a\x1b[2J\nb")
    assert caplog.messages == ["a\\x1b[2J\\nb: saved"]


def test_a_program_that_asks_for_nothing_gets_nothing() -> None:
    """Not even warnings, which `logging` prints by itself if a library has no handler."""
    code = "from saver.logger import logger; logger.warning('a')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == done.stdout == ""


def test_no_text_is_made_if_nobody_listens(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="saver")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("saver.repo.state.state.said", None)
        saver.Saver(tmp_path / "models").save("iris", [1])
    assert caplog.messages == []


def test_a_number_that_another_writer_took_is_debug(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = saver.Saver(tmp_path / "models")
    store.save("iris", [1])
    other, asked = saver.Saver(tmp_path / "models"), []

    def decide() -> Tag:
        asked.append(1)
        if len(asked) == 1:
            other.note("iris", "faster")
        return Tag("iris", "late", 1)

    caplog.clear()
    store._repo.append(decide)
    assert len(asked) == 2
    assert [each.levelname for each in caplog.records] == ["INFO", "DEBUG", "INFO"]
    assert caplog.messages[1] == f"{store.storage}: record 2 is another writer's; decided again"

"""The history of a model among those of many others, in a log that no page reads whole."""

from __future__ import annotations

import time

import pytest
from visiting import Visitor

import saver
from saver.pages import history, trail
from saver.pages.server import Pages
from saver.repo import audit
from saver.storages.memory import MemoryStorage


def logged(records: int = 60) -> Visitor:
    """A store whose log is about two models by turns, with tags, labels and a deletion."""
    store = saver.Saver(MemoryStorage("trail"))
    for number in range(records // 5):
        store.save("rare", number)
        store.save("often", number)
        store.tag(f"often@{number + 1}", "newest")
        store.label(f"often@{max(1, number)}", {"n": str(number)})
        store.note("rare", f"{number}")
    store.delete("often@2")
    return Visitor(Pages(store).site)


def through(visitor: Visitor, path: str) -> list[int]:
    """The records of all pages from one on."""
    numbers, query, here = list[int](), "&" if "?" in path else "?", path
    while here:
        found = visitor.json(here)
        numbers += [each.record for each in found.entries]
        here = f"{path}{query}from={found.older}" if found.older is not None else ""
    return numbers


def expected(visitor: Visitor, ref: str | None, kind: str = "") -> list[int]:
    """What the log says, read whole."""
    repo = visitor.store._repo
    about = audit.wanted(repo, ref) if ref else None
    return [each.record for each in audit.entries(repo, about, frozenset([kind] if kind else []))]  # type: ignore[list-item]


REFS = None, "rare", "rare@1", "often@newest"


@pytest.mark.parametrize("seconds", [0.0, 9.0])
def test_each_history_is_whole_however_it_is_read(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail, "AT_ONCE", 9)
    monkeypatch.setattr(history, "PATIENCE", seconds)
    monkeypatch.setattr(history, "PER_PAGE", 6)
    visitor = logged(20)
    for turn in range(2):
        for ref in REFS:
            for kind in ("", "tag"):
                path = (f"/log/{ref}" if ref else "/log") + (f"?kind={kind}" if kind else "")
                assert through(visitor, path) == expected(visitor, ref, kind), (path, turn)
        for number in (3, 4):
            visitor.store.tag(f"often@{number}", f"turn-{turn}")  # the next turn finds what is new


def test_many_new_records_and_a_page_far_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail, "FAR", 5)
    monkeypatch.setattr(history, "PATIENCE", 0.0)
    visitor = logged()
    assert through(visitor, "/log/rare") == expected(visitor, "rare")
    for number in range(9):
        visitor.store.label("rare@1", {"later": str(number)})
    far = visitor.json("/log?from=12").entries
    assert far[0].record == 12, "it begins there, though the log was not read back so far"
    assert through(visitor, "/log/rare@1") == expected(visitor, "rare@1")


def test_a_page_reads_what_it_shows_and_not_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = logged(250)
    path, log = "/log/rare@1", visitor.store._repo.state.log
    through(visitor, path)
    read, counted = log.read, list[int]()
    monkeypatch.setattr(log, "read", lambda number: counted.append(number) or read(number))  # type: ignore[func-returns-value]
    assert [each.record for each in visitor.json(path).entries] == [1]
    assert len(counted) < 10, "of 251 records"


def test_a_page_that_lacks_something_says_so_and_is_whole_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "PATIENCE", 0.0)
    monkeypatch.setattr(trail, "FAR", 5)
    visitor, path = logged(250), "/log/rare@1"
    page = visitor.get(path)
    assert "was read back to record" in page.text
    assert path in page.links()
    end = time.monotonic() + 60
    while "was read back to record" in page.text and time.monotonic() < end:
        page = visitor.get(path)
    assert "saved rare@1" in page.text

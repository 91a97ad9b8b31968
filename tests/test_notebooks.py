"""What Saver returns is shown as tables in notebooks, and its errors end at the line that called it."""

from __future__ import annotations

import io
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import saver
from saver import html, line
from saver.errors import printable


class Page(HTMLParser):
    """The cells of tables, and whether every element that begins ends again, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._open: list[str] = []
        self.cells: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self._open.append(tag)
        self.tags.add(tag)
        assert all(name in ("style", "colspan") for name, _ in attrs)
        if tag in ("td", "th", "caption"):
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.cells[-1] += data


HARMLESS = {"div", "table", "caption", "thead", "tbody", "tr", "th", "td"}


@given(st.lists(st.tuples(st.text(), st.text()), max_size=5), st.text())
def test_all_text_is_shown_as_text(rows: list[tuple[str, str]], title: str) -> None:
    page = Page(html.block([html.table(title, ("a", ">b"), rows), html.facts("", dict(rows))]))
    assert page.tags <= HARMLESS
    shown = [printable(cell) for row in rows for cell in row]
    begin = 3 if title else 2
    assert page.cells[begin : begin + len(shown)] == shown


def test_a_long_table_is_cut_and_says_so() -> None:
    page = Page(html.table("", ("n",), [(str(n),) for n in range(1000)]))
    assert len(page.cells) == html.ROWS + 2
    assert page.cells[-1] == "and 800 more"


NASTY = "<script>alert('x')</script>\x1b[2J"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> saver.Saver:
    found = saver.Saver(tmp_path_factory.mktemp("notebook") / "models")
    for seed in range(3):
        parts = {"w": np.arange(5.0) + seed, "settings": {NASTY: seed, "name": NASTY}}
        found.save("net", parts, metrics={"loss": 1 / (seed + 1)}, notes=NASTY, tags=["best"])
    return found


RESULTS = {
    "version": lambda store: store.version("net"),
    "versions": lambda store: store.versions("net"),
    "no versions": lambda store: store.versions("net", last=0),
    "difference": lambda store: store.diff("net@1", "net@2"),
    "description": lambda store: store.describe("net"),
    "report": lambda store: store.restore("net", into={"w": np.zeros(5)}, strict=False),
    "check": lambda store: store.check(),
}


@pytest.mark.parametrize("name", RESULTS)
def test_results_are_tables(name: str, store: saver.Saver) -> None:
    page = Page(RESULTS[name](store)._repr_html_())
    assert page.tags <= HARMLESS
    assert page.cells


def test_the_newest_version_is_on_top(store: saver.Saver) -> None:
    cells = Page(store.versions("net")._repr_html_()).cells
    assert [cell for cell in cells if cell.startswith("@")] == ["@3", "@2", "@1"]


def test_sorted_versions_are_shown_as_they_are_sorted(store: saver.Saver) -> None:
    for number, auc in ((4, 0.5), (5, 0.9), (6, 0.7)):
        store.save("net", number, metrics={"auc": auc}, labels={"stage": f"s{number}"})
    cells = Page(store.versions("net", where="auc", sort="auc")._repr_html_()).cells
    assert [cell for cell in cells if cell.startswith("@")] == ["@5", "@6", "@4"]
    assert "stage=s5" in cells


CALLS = {
    "a missing file": lambda store: saver.load("/nowhere/missing"),
    "an object without a data form": lambda store: saver.dumps(lambda: 1),
    "a missing model": lambda store: store.load("nothing"),
    "a background save": lambda store: store.save("net", object(), wait=False).result(),
}


@pytest.mark.parametrize("what", CALLS)
def test_a_traceback_ends_at_the_caller(what: str, store: saver.Saver, monkeypatch: Any) -> None:
    monkeypatch.delenv("SAVER_TRACEBACK", raising=False)
    with pytest.raises(saver.SaverError) as found:
        CALLS[what](store)
    own = str(Path(saver.__file__).parent)
    shown = "".join(found.value._render_traceback_())
    assert __file__ in shown
    assert own not in shown
    assert str(found.value) in shown
    monkeypatch.setenv("SAVER_TRACEBACK", "full")
    assert own in "".join(found.value._render_traceback_())


def test_an_error_that_nobody_raised_can_be_shown() -> None:
    assert saver.NotFoundError("x")._render_traceback_() == ["saver.errors.NotFoundError: x\n"]


class Weights:
    def state_dict(self) -> dict[str, Any]:
        return {"x": 1}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def test_a_warning_names_the_line_that_called_saver(tmp_path: Path, monkeypatch: Any) -> None:
    store = saver.Saver(tmp_path / "models")
    run = store.checkpoints("run", {"x": Weights()}, every=saver.Every(steps=100))
    with pytest.warns(RuntimeWarning, match="nothing was saved") as of_a_run, run:
        run.step(0)
    saver.dump({"w": np.zeros(3)}, tmp_path / "a.saver")
    monkeypatch.setattr("saver.opened.package_version", lambda package: "0.0")
    monkeypatch.setattr("saver.opened._version_bound", lambda: ("numpy",))
    with pytest.warns(saver.VersionWarning) as of_a_load:
        saver.load(tmp_path / "a.saver")
    with pytest.warns(saver.VersionWarning) as of_a_lazy_load:
        saver.load(tmp_path / "a.saver", lazy=True)["w"]
    for found in (of_a_run, of_a_load, of_a_lazy_load):
        assert [each.filename for each in found] == [__file__]
    monkeypatch.setattr("saver.opened.package_version", lambda package: None)
    saver.load(tmp_path / "a.saver")  # nothing is called another version of what is not there


def test_a_cell_of_a_notebook_shows_the_line_of_a_run() -> None:
    stream = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})()
    assert line.is_terminal(stream)
    assert not line.is_terminal(io.StringIO())

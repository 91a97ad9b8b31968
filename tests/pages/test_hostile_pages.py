"""What strangers write into a store, or ask of the pages: nothing of it becomes markup, and nothing hangs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import numpy as np
import pytest
from markupsafe import Markup
from msgspec.structs import replace
from visiting import Visitor

import saver
from saver.pages.catalog import line
from saver.pages.page import local_path
from saver.pages.rendering import as_json, exact, plain, templates, when
from saver.pages.server import Pages
from saver.pages.tree import tree
from saver.repo.events import Commit
from saver.storages.memory import MemoryStorage
from saver.tensors import TensorInfo
from signed import appended

MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'`{{ 7*7 }}{% raw %}</textarea></title>&amp;"
BIDI = "\u202e\u2066\u200f\u061c\x1b[31m\x00\ufeff\u2028"
NASTY = MARKUP + BIDI


@pytest.fixture(scope="module")
def hostile() -> Visitor:
    """Markup, characters that turn text around, and very long texts, wherever a store takes a text."""
    store = saver.Saver(MemoryStorage("hostile<b>"), author="<b>mallory</b>")
    value = {"<i>a</i>": np.arange(5000), "b": {"<u>key</u>": NASTY, "x\u202e": 1}}
    store.save(
        "evil", {"<i>part</i>": value, "p&amp;": {f"{NASTY}.w": np.zeros(9000)}},
        metrics={MARKUP[:150]: 0.5, "m'\"": float("nan")}, labels={"team": MARKUP}, notes=NASTY,
        tags=["production"], data={MARKUP[:80]: np.arange(20)},
    )  # fmt: skip
    store.note("evil", "\n".join([NASTY] * 80))
    store.label("evil", {"owner": MARKUP})
    store.save("modèle-ñ", 1, notes="x" * 10_000)
    return Visitor(Pages(store).site)


PAGES = (
    "/", "/?text=%3Cscript%3E%22", "/?metric=%3Cb%3E", "/model/evil", "/version/evil@1", "/card/evil@1",
    "/model/evil?text=%3C/title%3E%E2%80%AE", "/model/evil?sort=metric:%3Cb%3E", "/log", "/log/evil@1",
    "/health", "/delete/evil@1", "/model/mod%C3%A8le-%C3%B1", "/version/mod%C3%A8le-%C3%B1@1",
    "/version/evil@1?part=%3Ci%3Epart%3C/i%3E",
)  # fmt: skip


@pytest.mark.parametrize("path", PAGES)
def test_no_text_becomes_markup_or_turns_text_around(hostile: Visitor, path: str) -> None:
    page = hostile.get(path)  # which holds it to the rules of all pages
    for tag, given in page.elements:
        assert tag not in ("b", "i", "u") or "onerror" not in given
        assert tag != "img" or given["src"].startswith("/static/")  # type: ignore[union-attr]
    assert {tag for tag, _ in page.elements}.isdisjoint({"i", "b", "u"})
    text = hostile.client.get(path).text
    assert "49" not in re.sub(r"[0-9a-f:.]{8,}", "", text) or "{{ 7*7 }}" in page.text, "no template is run"
    assert not {each for each in BIDI if not each.isprintable()} & set(outside(text))
    hostile.json(path)


def outside(text: str) -> str:
    """A page without what is in fields that are edited."""
    text = re.sub(r"<textarea.*?</textarea>", "", text, flags=re.DOTALL)
    return re.sub(r"(<input\b[^>]*?)value=\"[^\"]*\"", r"\1", text)


FIELD = re.compile(
    r"<textarea\b[^>]*>\{\{[^}]*\| exact \}\}</textarea>|<input\b[^>]* value=\"\{\{[^}]*\| exactly \}\}\""
)


@pytest.mark.parametrize("name", sorted(templates().list_templates()))
def test_texts_are_exact_in_fields_alone(name: str) -> None:
    source = templates().loader.get_source(templates(), name)[0]  # type: ignore[union-attr]
    assert not re.findall(r"\| *(exact|exactly|safe)\b", FIELD.sub("", source))


def test_metrics_with_names_that_nobody_can_type_are_not_offered() -> None:
    store = saver.Saver(MemoryStorage("typed"))
    store.save("evil", 1, metrics={"auc": 1.0})
    event = store._repo.state.log.read(1)[0].event
    assert isinstance(event, Commit)
    names = ("auc", *(f"a{each}b" for each in BIDI))
    appended(store._repo, replace(event, number=2, metrics=dict.fromkeys(names, 0.5)), None)
    text = Visitor(Pages(store).site).client.get("/model/evil").text
    offered = re.search(r'<datalist id="metrics">(.*?)</datalist>', text, re.DOTALL)
    assert offered is not None
    assert set(re.findall(r'value="(.*?)"', offered[1])) == {each for each in names if each.isprintable()}
    assert not {each for each in BIDI if not each.isprintable()} & set(outside(text))


def test_fields_to_try_a_model_are_named_as_json() -> None:
    for text in texts():
        name = as_json(f"<\"{text}'")
        assert name.isascii()
        assert str(name).isprintable()
        assert json.loads(name.unescape()) == f"<\"{text}'"


def test_what_is_edited_is_what_was_written(hostile: Visitor) -> None:
    notes = hostile.store.version("evil@1").notes
    text = hostile.client.get("/version/evil@1").text
    found = re.search(r"<textarea[^>]*>\n(.*?)</textarea>", text, re.DOTALL)
    assert found is not None
    assert Markup(found[1]).unescape() == notes


TRICKS = (
    "/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/static/",
    "/static/pages.css/..", "/static/__init__.py", "/static/pages.css%00", "/../../etc/passwd",
    "/version/../../etc/passwd", "/card/..%2f..%2fetc%2fpasswd@1", "/model//etc/passwd", "/model/a/../b",
    "/log/%00", "/version/%ff%fe@1", "/delete/evil@1/../2", "/version/evil@" + "9" * 500,
    "/?page=" + "9" * 13, "/?" + "&".join(f"a{n}=1" for n in range(100)), "/model/" + "x" * 5000,
)  # fmt: skip


@pytest.mark.parametrize("path", TRICKS, ids=lambda path: path[:20])
def test_tricks_with_addresses_find_nothing(hostile: Visitor, path: str) -> None:
    answer = hostile.client.get(path)
    assert answer.status_code in (400, 404), answer.text[:300]
    assert "root:" not in answer.text


def test_a_defect_says_no_more_than_that(hostile: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: object) -> None:
        raise RuntimeError("secret of the defect")

    monkeypatch.setattr(hostile.site.catalog, "found", fail)
    assert "secret" not in hostile.get("/", 500).text
    assert hostile.json("/", 500).error == "the server failed; its log says more"


@pytest.mark.parametrize("form", ["a=1&" * 300, "page_token=" + "0" * 64, "\xff\xfe", "tag=%ff", ""])
def test_forms_that_are_no_forms_change_nothing(hostile: Visitor, form: str) -> None:
    head = len(list(hostile.store.log()))
    answer = hostile.client.post(
        "/tag/evil@1", content=form.encode("latin-1"),
        headers={"content-type": "application/x-www-form-urlencoded"},
    )  # fmt: skip
    assert answer.status_code in (400, 403)
    assert len(list(hostile.store.log())) == head


def test_a_form_that_is_too_large_is_refused(hostile: Visitor) -> None:
    given = {"page_token": hostile.token("/version/evil@1"), "notes": "x" * 2_000_000}
    assert hostile.client.post("/note/evil@1", data=given).status_code == 413


@pytest.mark.parametrize("methods", [("PUT", "DELETE", "PATCH", "OPTIONS", "POST", "TRACE")])
def test_other_methods_do_nothing(hostile: Visitor, methods: tuple[str, ...]) -> None:
    for method in methods:
        for path in ("/", "/version/evil@1", "/delete/evil@1", "/static/pages.css"):
            assert hostile.client.request(method, path).status_code == 405


def texts() -> Iterator[str]:
    for code in (
        *range(0x20),
        *range(0x7F, 0xA0),
        *range(0x2000, 0x2070),
        0x61C,
        0xFEFF,
        0xE0001,
        0xFFF9,
        0xAD,
    ):
        yield chr(code)


def test_no_character_that_is_not_shown_is_printed() -> None:
    for text in texts():
        shown = plain(f"a{text}b")
        assert shown == "a b" if text == " " else text not in shown or text == "\u2010" or text.isprintable()
    assert plain(Markup("<b>")) == "<b>"
    assert plain(None) == ""


def test_texts_of_fields_are_exact() -> None:
    assert exact("\na<b>\u202e").unescape() == "\n\na<b>\u202e", "HTML leaves out the first line break"


def test_addresses_to_go_back_to_are_on_this_server() -> None:
    for text in ("/", "/model/iris?page=2#tags"):
        assert local_path(text) == text
    for text in ("", "//a", "/\\a", "\\\\a", "http://a", "javascript:a", "/é", "/a\r\nb", "a", "///a"):
        assert local_path(text) == "/"


def test_times_outside_the_calendar_are_texts() -> None:
    for seconds in (1e300, -1e300, float("nan")):
        assert "time" in when(seconds)
    assert "datetime=" in when(0)


def test_a_line_is_drawn_of_numbers_alone() -> None:
    from saver.documents import Trend

    def drawn(*values: float | str) -> str:
        return line(Trend(metric="m", numbers=(), values=values))  # type: ignore[arg-type]

    for values in ((), (1.0,), ("nan", "inf"), ("nan", 1.0), (-1.7e308, 1.7e308)):
        assert drawn(*values) == ""
    assert drawn(1.0, 1.0) == "2.0,25.0 118.0,25.0"
    assert drawn(0.0, "nan", 1.0) == "2.0,25.0 118.0,3.0"


def test_a_tree_has_each_tensor_once_whatever_its_name() -> None:
    names = ["m", "m/a", "m/a.b", "m/a.b.c", "m/..", "m/" + "x." * 300, "m/a/b", "other", "m//", "m/a.b"]
    found = tree("m", [TensorInfo(name, "F32", (2,), ()) for name in names], 1000)

    def leaves(node: object, depth: int = 0) -> int:
        assert depth < 20
        below = [leaves(each, depth + 1) for each in node.branches]  # type: ignore[attr-defined]
        return sum(below) + (node.tensor is not None)  # type: ignore[attr-defined]

    assert found.count == len(names)
    assert leaves(found) >= 7

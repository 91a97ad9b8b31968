"""The card of a version as people look at it: no text in it is HTML, a link or a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from visiting import Found, Visitor

import saver
from saver.pages.rendered import rendered
from saver.pages.server import Pages
from saver.storages.memory import MemoryStorage

HOSTILE = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[x](javascript:alert(1))",
    "<javascript:alert(1)>", "[x](data:text/html;base64,PHN2Zz4=)", "[x](//evil.example)",
    "[x](HTTPS://evil\"onclick=1)", "![x](https://e/x.png)", "[a]: javascript:alert(1)\n\n[a]",
    "[x](vbscript:x)", "[x](/delete/m@1)", "&lt;script&gt;", "```<b>\n</code><script>\n```",
    '| a |\n| --- |\n| <b onclick="x"> |', "<https://evil.example>", "https://evil.example", "# <h1>",
    "<!-- x -->",
]  # fmt: skip
TAGS = {
    "p", "a", "h1", "h2", "h3", "pre", "code", "div", "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_that_nobody_escaped_is_harmless(text: str) -> None:
    found = Found(rendered(f"---\n---\n\n# x\n{text}\n"))
    for tag, given in found.elements:
        assert tag in TAGS
        assert set(given) <= {"class", "scope", "tabindex", "role", "aria-label", "href"}
        assert (given.get("href") or "https://").lower().startswith("https://")


@pytest.mark.parametrize("text", [*HOSTILE, "\u202eevil", "x\n---\n# y"])
def test_a_card_looks_the_same_whatever_is_in_the_store(text: str) -> None:
    def elements(text: str) -> list[Any]:
        store = saver.Saver(MemoryStorage("rendered"))
        named = " ".join(text.split())[:50].replace("\u202e", "")
        labels = {"licence": named}
        store.save("m", {"w": [1.0, text]}, notes=text, labels=labels, metrics={named: 1.0})
        page = Visitor(Pages(store).site).get("/card/m@1")
        assert "\u202e" not in page.text
        return [each for each in page.elements if each[0] != "p"]

    assert elements(text) == elements("plain")


def test_a_card_has_tables_and_its_markdown_and_the_licence() -> None:
    store = saver.Saver(MemoryStorage("rendered"))
    store.save("m", {"w": np.arange(900.0)}, metrics={"auc": 0.5}, labels={"license": "Apache-2.0"})
    visitor = Visitor(Pages(store).site)
    page = visitor.get("/card/m@1")
    names = [given["aria-label"] for tag, given in page.elements if given.get("role") == "region"]
    assert names[:3] == ["Table 1: Facts", "Table 2: Parts", "Table 3: Metrics"]
    assert ("th", {"scope": "row"}) in page.elements
    assert ("th", {"class": "right", "scope": "col"}) in page.elements
    assert "| licence | Apache-2.0 |" in page.text, "the Markdown, to be copied"
    assert "licenceApache-2.0" in visitor.get("/version/m@1").text

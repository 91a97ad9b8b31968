"""Versions with thousands of tags and metrics: a page shows the first of each, and how many others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest
from visiting import Visitor

import saver
from saver import documents
from saver.pages.rendering import CUT, Few, cut, few
from saver.pages.server import Pages
from saver.pages.shortening import OF_RECORD, OF_VERSION
from saver.repo import bounds
from saver.storages.memory import MemoryStorage

MANY = 3000
PAGES = {
    "/": ("2,990",), "/model/large": ("2,900",), "/log": (), "/health": (),
    "/delete/large@2": ("2,980 others",),
    "/version/large@2": ("2,800 more metrics", "2,900 more tags"),
    "/compare/large@1?with=large@2": ("2,800 more metrics",), "/curves": (), "/compare": (),
    "/card/large@2": (),
}  # fmt: skip


@pytest.fixture(scope="module")
def large() -> Visitor:
    store = saver.Saver(MemoryStorage("large"))
    with without_limits():
        for number in range(2):
            store.save(
                "large", {"options": {f"o{n}": number + n for n in range(MANY)}},
                metrics={f"m{n}": float(n) for n in range(MANY)}, tags=[f"t{n}" for n in range(MANY)],
            )  # fmt: skip
    return Visitor(Pages(store).site)


@contextmanager
def without_limits() -> Iterator[None]:
    """As other programs write."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "TAGS_LIMIT", MANY)
        yield


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_the_first_of_many(large: Visitor, path: str) -> None:
    page = large.get(path)
    assert len(large.client.get(path).content) < 250_000
    for each in PAGES[path]:
        assert each in page.text, page.text[:5000]


def test_a_filter_for_a_tag_that_is_not_among_the_first_stays(large: Visitor) -> None:
    page = large.client.get("/model/large?tag=t2999").text
    assert "<option selected>t2999</option>" in page


def test_a_version_with_thousands_of_tags_is_deleted_by_its_form(large: Visitor) -> None:
    store = large.store
    with without_limits():
        store.save("other", 1, tags=[f"t{n}" for n in range(MANY)])
    page = large.get("/delete/other@1")
    (tags,) = [given["value"] for tag, given in page.elements if tag == "input" and given["name"] == "tags"]
    form = {"sure": "other@1", "tags": tags or ""}
    assert large.post("/delete-now/other@1", {**form, "tags": f"{tags}0"}, "/health").status_code == 409
    assert large.post("/delete-now/other@1", form, "/health").status_code == 303


def test_few() -> None:
    assert few("abc", 2) == Few(("a", "b"), 1)
    assert few({}.items()) == Few((), 0)
    assert cut("x" * CUT) == "x" * CUT
    assert cut("x" * (CUT + 1)) == "x" * CUT + "…"


@pytest.mark.parametrize("path", ["/", "/model/large", "/log", "/log/large@2"])
def test_the_json_of_a_list_is_as_bounded_as_its_page(large: Visitor, path: str) -> None:
    answer = large.client.get(path, headers={"accept": "application/json"})
    assert len(answer.content) < 250_000
    large.json(path)


def test_the_json_of_a_list_says_what_it_leaves_out(large: Visitor) -> None:
    (model,) = (each for each in large.json("/").models if each.model == "large")
    assert (len(model.tags), model.left_out) == (100, {"tags": MANY - 100})
    assert (len(model.newest.metrics), len(model.newest.tags)) == (200, 100)
    assert model.newest.left_out == {"metrics": MANY - 200, "tags": MANY - 100}
    page = large.json("/model/large")
    assert (len(page.tags), page.left_out) == (MANY, {}), "where the page leads to all tags"
    assert [each.left_out for each in page.versions] == [
        {"metrics": MANY - 200, "tags": MANY - 100}, {"metrics": MANY - 200}
    ]  # fmt: skip
    newest = large.json("/log/large").entries[0]
    assert (len(newest.tags), newest.left_out["tags"]) == (100, MANY - 100)
    whole = large.json("/version/large@2").version
    assert (len(whole.metrics), len(whole.tags)) == (MANY, MANY), "a version alone is whole"


def test_every_field_of_a_listed_document_that_can_be_long_is_bounded() -> None:
    for kind, most in ((documents.FoundVersion, OF_VERSION), (documents.FoundEntry, OF_RECORD)):
        long = {
            each.name for each in msgspec.structs.fields(kind)
            if str(each.type).partition("[")[0] in ("dict", "tuple")
        }  # fmt: skip
        assert long - {"left_out"} == set(most)

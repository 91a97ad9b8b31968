"""Each page: what it says, the same as JSON, and what every page keeps to."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from visiting import Visitor

import saver
from saver import documents
from saver.pages.app import addresses
from saver.pages.server import Pages
from saver.storages.memory import MemoryStorage

SHOWN = {
    "/": documents.FoundModels,
    "/model/team/net": documents.FoundVersions,
    "/version/team/net@3": documents.ShownVersion,
    "/card/team/net@3": documents.Card,
    "/log": documents.FoundEntries,
    "/log/team/net@3": documents.FoundEntries,
    "/health": documents.Health,
    "/delete/team/net@3": documents.ToDelete,
}
"""A page of each kind, and its document."""

OF_CHARTS = ("/compare", "/curves")


@pytest.mark.parametrize("path", SHOWN)
def test_a_page_and_its_document(ready: Visitor, path: str) -> None:
    assert "Saver" in ready.get(path).text
    assert type(ready.json(path)) is SHOWN[path]
    assert ready.client.get(f"{path}?format=json").content == ready.client.get(f"{path}?format=json").content
    head = ready.client.head(path)
    assert head.status_code == 200
    assert head.content == b""


def test_every_address_is_visited_here() -> None:
    own = {each.path for each in addresses() if not each.action and not each.path.startswith(OF_CHARTS)}
    begins = {each.partition("{")[0] for each in own} - {"/static/"}
    assert begins == {"/", "/model/", "/version/", "/card/", "/log", "/log/", "/health", "/delete/"}


@pytest.mark.parametrize("path", SHOWN)
def test_links_of_a_page_lead_somewhere(ready: Visitor, path: str) -> None:
    for link in sorted(ready.get(path).links()):
        if link.startswith("/") and not link.startswith(OF_CHARTS):
            assert ready.client.get(link).status_code == 200, link


def test_models_are_found_by_name_tag_label_notes_and_author(ready: Visitor) -> None:
    def found(text: str) -> list[str]:
        return [each.model for each in ready.json(f"/?text={text}").models]

    assert found("") == ["team/net", "tuned"]
    assert found("NET") == ["team/net"]
    assert found("production") == ["team/net"]
    assert found("ann tuned") == ["tuned"]
    assert found("nothing-like-it") == []
    assert "No model has all of these words" in ready.get("/?text=nothing-like-it").text


def test_models_have_an_order_and_a_metric_that_is_drawn(ready: Visitor) -> None:
    by_size = ready.json("/?sort=versions&metric=loss")
    assert [each.model for each in by_size.models] == ["team/net", "tuned"]
    trend = by_size.models[0].trend
    assert (trend.metric, trend.numbers) == ("loss", (1, 2, 3, 4))
    assert by_size.models[1].trend is None
    ready.get("/?sort=color", 400)


def test_versions_are_filtered_and_sorted(ready: Visitor) -> None:
    def found(query: str) -> list[int]:
        return [each.number for each in ready.json(f"/model/team/net?{query}").versions]

    assert found("") == [4, 3, 2, 1]
    assert found("order=up") == [1, 2, 3, 4]
    assert found("sort=metric:loss&order=up") == [4, 3, 2, 1]
    assert found("sort=metric:nothing") == [4, 3, 2, 1], "what is missing comes last, by number"
    assert found("tag=production") == [3]
    assert found("text=TRY+net@2") == [2]
    assert found("metric=auc&least=0.74&most_value=0.8") == [3, 2]
    assert found("where=auc+%3E+0.8+and+not+tag+=+production") == [4]
    assert found("since=2020-01-01") == [4, 3, 2, 1]
    assert found("until=2020-01-01") == []
    assert found("most=3&page=2") == [1]
    assert found("most=3&page=99") == [1], "the nearest page that there is"
    for query in ("since=yesterday", "metric=auc&least=much", "sort=color", "page=two", "where=auc+>+(+0"):
        assert ready.client.get(f"/model/team/net?{query}").status_code == 400


def test_a_version_says_what_is_known_of_it(ready: Visitor) -> None:
    page = ready.get("/version/team/net@production").text
    size = "F32 200 \N{MULTIPLICATION SIGN} 200"
    for text in ("try 2", "layer.0", size, "team = vision", 'store.load("team/net@3")', "production"):
        assert text in page
    found = ready.json("/version/team/net@3")
    assert (found.version.number, found.trouble) == (3, "")
    assert found.description.parts[0].tensors[0].shape == (200, 200)
    assert found.lineage.parent == "team/net@2"
    assert found.lineage.children == ("team/net@4",)
    assert found.lineage.in_others == ("tuned@1",)
    assert ready.json("/version/tuned@1").lineage.from_others[0].startswith("team/net@")


def test_the_history_says_who_moved_a_tag(ready: Visitor) -> None:
    page = ready.get("/version/team/net@2").text
    assert "tagged team/net@3 production, which was @2" in page
    found = ready.json("/log/team/net?kind=tag").entries
    assert [(each.author, each.numbers) for each in found] == [("ann", (3,)), ("ann", (2,))]


def test_the_history_goes_on_where_a_page_ends() -> None:
    store = saver.Saver(MemoryStorage("long"))
    store.save("m", 1)
    for number in range(120):
        store.label("m@1", {"n": str(number)})
    visitor = Visitor(Pages(store).site)
    numbers, path = list[int](), "/log/m"
    while path:
        found = visitor.json(path)
        numbers += [each.record for each in found.entries]
        path = f"/log/m?from={found.older}" if found.older is not None else ""
    assert numbers == list(range(121, 0, -1))


def test_what_is_not_there_is_a_page_and_a_document(ready: Visitor) -> None:
    for path in ("/version/no@1", "/model/no", "/nothing", "/log/no@latest", "/version/team/net@max:zeal"):
        ready.get(path, 404)
        assert ready.json(path, 404).code == "not-found"
    for path in ("/version/%20", "/model/a@b@c", "/version/team/net@%F0%9F%98%80"):
        assert ready.json(path, 400).code in ("bad-name", "bad-request")


def test_many_parts_and_ten_thousand_tensors_are_shown_in_pages() -> None:
    store = saver.Saver(MemoryStorage("wide"))
    store.save("many", {f"part{number}": number for number in range(64)})
    tensors = {f"a.{number}.w": np.full(300, number, "f8") for number in range(10_000)}
    store.save("deep", {"model": tensors})
    visitor = Visitor(Pages(store).site)
    many = visitor.client.get("/version/many@1").text
    assert many.count('class="part"') == 40
    assert "Page 1 of 2" in many
    assert "part63" in visitor.get("/version/many@1?page=2").text
    deep = visitor.client.get("/version/deep@1").text
    assert "9,700 more" in deep
    assert len(deep) < 100_000
    assert "5,000 more" in visitor.get("/version/deep@1?part=model").text
    assert len(visitor.json("/version/deep@1").description.parts[0].tensors) == 10_000


def test_a_store_that_grows_is_shown_as_it_is(visitor: Visitor) -> None:
    visitor.get("/")
    other = saver.Saver(str(visitor.store.storage))
    other.save("late", 1, metrics={"auc": float("nan"), "loss": float("inf")})
    other.save("late", 2, metrics={"auc": 1.0, "loss": -float("inf")})
    assert "late" in visitor.get("/").text
    assert visitor.json("/").models[0].trend.values == ("nan", 1.0)
    assert visitor.json("/model/late?sort=metric:auc").total == 2


def test_an_empty_store_says_what_to_do() -> None:
    store = saver.Saver(MemoryStorage("empty"))
    store.save("m", 1)
    store.delete("m@1")
    assert "no models yet" in Visitor(Pages(store).site).get("/").text


def test_a_damaged_version_still_says_who_saved_it(visitor: Visitor) -> None:
    for path in Path(str(visitor.store.storage)).glob("manifests/*/*"):
        data = bytearray(path.read_bytes())
        data[200:260] = b"x" * 60
        path.chmod(0o600)
        path.write_bytes(data)
    visitor = Visitor(Pages(saver.Saver(str(visitor.store.storage))).site)
    for ref in ("tuned@1", "team/net@3"):
        page = visitor.get(f"/version/{ref}").text
        assert "cannot be read whole" in page
        assert "ann" in page
        found = visitor.json(f"/version/{ref}")
        assert found.description is None
        assert "damaged" in found.trouble
        visitor.get(f"/delete/{ref}")
        visitor.get(f"/card/{ref}", 422)


def test_each_page_has_a_title_of_its_own(ready: Visitor) -> None:
    paths = (
        *SHOWN, "/?text=net", "/?most=1&page=2", "/?text=e&most=1&page=2", "/model/tuned", "/version/tuned@1",
        "/model/team/net?most=2&page=2", "/model/team/net?tag=production", "/model/team/net?sort=size",
        "/version/team/net@3?part=model", "/version/team/net@3?most=1&page=2", "/log?kind=tag", "/log?from=2",
        "/log/team/net", "/compare", "/compare/team/net@1?with=tuned@1", "/curves", "/version/team/net@99",
        "/compare/team/net@1?with=tuned@1&start=1",
    )  # fmt: skip
    titles: dict[str, str] = {}
    for path in paths:
        found = re.search("<title>(.*?)</title>", ready.client.get(path).text, re.DOTALL)
        assert found is not None
        assert found[1] not in titles, (path, titles[found[1]])
        titles[found[1]] = path

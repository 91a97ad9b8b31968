"""Where a store is: known to those who may read all of it, and to nobody else, whatever they visit."""

from __future__ import annotations

from pathlib import Path

import pytest
from deeds import gate_with
from nets import filled
from visiting import Visitor

import saver
from saver.pages.app import addresses
from saver.pages.page import without_place
from saver.pages.server import LIMITS
from saver.pages.site import Site
from saver.serve.door import House
from saver.serve.metrics import Metrics
from saver.serve.tokens import Gate
from saver.training_log import TrainingLog

PLACE = "SECRETPLACE"
VISITS = {
    "/": "/", "/model/{name:path}": "/model/tuned", "/version/{ref:path}": "/version/tuned@1",
    "/card/{ref:path}": "/card/tuned@1", "/log": "/log", "/log/{ref:path}": "/log/tuned@1",
    "/health": "/health", "/delete/{ref:path}": "/delete/tuned@1", "/compare": "/compare",
    "/compare/{ref:path}": "/compare/tuned@1?with=tuned@2", "/curves": "/curves",
    "/curves/{ref:path}": "/curves/tuned@2", "/compare-progress/{ref:path}": "/compare-progress/tuned@1",
    "/curves-live/{ref:path}": "/curves-live/tuned@1", "/static/{file}": "/static/nope",
}  # fmt: skip
"""A visit to each page; those below are streams, which say no place (their messages: `shown`)."""
STREAMS = ("/compare-progress/{ref:path}", "/curves-live/{ref:path}")


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, saver.Saver]:
    folder = tmp_path_factory.mktemp("places")
    store, log = filled(folder / PLACE), TrainingLog()
    log.append(0, loss=1.0)
    store.save("tuned", {"log": log, "layer.0.weight": [1.0]})
    return folder, store


def visitor(secret: tuple[Path, saver.Saver], public: tuple[str, ...] = ()) -> tuple[Visitor, dict[str, str]]:
    folder, store = secret
    gate, tokens = gate_with(folder)
    if public:
        gate = Gate(folder / "tokens.json", public)
    house = House(LIMITS, gate, Metrics(), terse=False, hosts=None)
    return Visitor(Site(store, house)), tokens


def test_every_page_is_visited_here() -> None:
    assert {each.path for each in addresses() if not each.action} == set(VISITS)


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("path", sorted(set(VISITS) - set(STREAMS)))
@pytest.mark.parametrize("name", ["nobody", "narrow", "robot", "public", "reader"])
def test_a_place_is_for_those_who_may_read_everything(
    secret: tuple[Path, saver.Saver], path: str, name: str, as_json: bool
) -> None:
    one, tokens = visitor(secret, ("read",) if name == "public" else ())
    headers = {"authorization": f"Bearer {tokens[name]}"} if name in tokens else {}
    if as_json:
        headers["accept"] = "application/json"
    for at in (VISITS[path], VISITS[path] + "?sort=x&most=-1", VISITS[path].replace("@1", "@9")):
        assert (PLACE in one.client.get(at, headers=headers).text) <= (name == "reader"), at
    known = PLACE in one.client.get("/", headers=headers).text
    assert known == (name == "reader")


@pytest.mark.parametrize("path", ["/compare", "/curves"])
def test_forms_are_for_those_who_may_read_something(secret: tuple[Path, saver.Saver], path: str) -> None:
    one, tokens = visitor(secret)
    one.get(path, 401)
    for name, status in (("robot", 403), ("narrow", 200), ("reader", 200), ("owner", 200)):
        one.get(path, status, authorization=f"Bearer {tokens[name]}")
    assert (
        'value="team/net"'
        not in one.client.get(path, headers={"authorization": f"Bearer {tokens['narrow']}"}).text
    )
    visitor(secret, ("read:tuned",))[0].get(path)


def test_damage_is_said_without_the_place(tmp_path: Path) -> None:
    folder = tmp_path / PLACE
    store = filled(folder)
    for each in (folder / "manifests").rglob("*"):
        if each.is_file():
            each.write_bytes(b"damaged")
    one, tokens = visitor((tmp_path, store))
    headers = {"authorization": f"Bearer {tokens['narrow']}"}
    for path in ("/version/tuned@1", "/card/tuned@1", "/curves/tuned", "/compare/tuned@1?with=tuned"):
        found = one.client.get(path, headers=headers).text
        assert "damaged" in found or "needs" in found or "two" in found, found
        assert PLACE not in found
    assert (
        PLACE
        in one.client.get("/version/tuned@1", headers={"authorization": f"Bearer {tokens['reader']}"}).text
    )


def test_a_card_names_no_model_that_one_may_not_read(secret: tuple[Path, saver.Saver]) -> None:
    one, tokens = visitor(secret)
    headers = {"authorization": f"Bearer {tokens['narrow']}"}
    assert "team/net" not in one.client.get("/card/tuned@1", headers=headers).text
    headers = {"authorization": f"Bearer {tokens['reader']}"}
    assert "team/net" in one.client.get("/card/tuned@1", headers=headers).text


def test_a_message_without_the_place() -> None:
    for place in ("/a/b", "models", "s3://bucket/x", "b\u202e", "."):
        shown = without_place(f"{place}: no model; see {place}/manifests/0", place)
        assert shown == "the store: no model; see the store/manifests/0"
    assert without_place("models-2: a", "models") == "models-2: a"
    assert without_place("in bmodels.", "models") == "in bmodels."

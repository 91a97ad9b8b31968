"""Tags, notes, labels, deletions: done for those who may, with the token of a page, and for nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest
from deeds import ACTIONS, gate_with
from starlette.testclient import TestClient
from visiting import Visitor

import saver
from saver import documents
from saver.pages.app import addresses, application
from saver.pages.server import LIMITS
from saver.pages.site import Site
from saver.serve.door import House
from saver.serve.metrics import Metrics


def test_every_action_is_tried_here() -> None:
    own = {each.path.partition("{")[0] for each in addresses() if each.action} - {"/sign-in", "/sign-out"}
    assert own == {"/" + each.split("/")[1] + "/" for each in ACTIONS}


@pytest.mark.parametrize("path", ACTIONS)
def test_an_action_leads_to_a_page_that_shows_it(visitor: Visitor, path: str) -> None:
    answer = visitor.post(path, ACTIONS[path])
    assert answer.status_code == 303, answer.text
    visitor.get(answer.headers["location"].partition("#")[0])


@pytest.mark.parametrize("path", ACTIONS)
def test_an_action_without_the_token_of_a_page_is_refused(visitor: Visitor, path: str) -> None:
    before = len(list(visitor.store.log()))
    for token in ({}, {"page_token": ""}, {"page_token": "0" * 64}, {"page_token": "é"}):
        assert visitor.client.post(path, data={**ACTIONS[path], **token}).status_code == 403
    foreign = Visitor(Site(visitor.store, visitor.site.house)).token("/model/team/net")
    assert visitor.client.post(path, data={**ACTIONS[path], "page_token": foreign}).status_code == 403
    assert visitor.client.get(path).status_code == 405
    assert len(list(visitor.store.log())) == before


@pytest.mark.parametrize("path", ACTIONS)
def test_an_action_that_a_page_of_another_origin_sends_is_refused(visitor: Visitor, path: str) -> None:
    for origin in ("http://evil.example", "null", "http://localhost.evil.example", "https://127.0.0.1:1"):
        assert visitor.post(path, ACTIONS[path], origin=origin).status_code == 403
    token = visitor.token("/model/team/net")
    json = visitor.client.post(path, json={**ACTIONS[path], "page_token": token})
    assert json.status_code == 415
    assert visitor.post(path, ACTIONS[path], origin="http://localhost").status_code == 303


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "localhost.evil.example", "0.0.0.0", ""])
@pytest.mark.parametrize("path", ["/", "/version/team/net@1", "/static/pages.css"])
def test_a_forged_host_sees_nothing(ready: Visitor, host: str, path: str) -> None:
    answer = ready.client.get(path, headers={"host": host})
    assert answer.status_code == 403
    assert str(ready.store.storage) not in answer.text
    assert "page_token" not in answer.text


def test_tags_notes_and_labels(visitor: Visitor) -> None:
    store = visitor.store
    visitor.post("/tag/team/net@1", {"tag": "production"})
    assert store.version("team/net@production").number == 1
    visitor.post("/untag/team/net", {"tag": "production"})
    assert store.version("team/net@1").tags == ()
    visitor.post("/note/team/net@1", {"notes": "one\r\n\r\n  two "})
    assert store.version("team/net@1").notes == "one\n\n  two "
    visitor.post("/note/team/net", {"notes": "of the model"})
    assert store.summary("team/net").notes == "of the model"
    visitor.post("/label/team/net@1", {"key": "licence", "value": "MIT"})
    assert store.version("team/net@1").labels["licence"] == "MIT"
    visitor.post("/label/team/net@1", {"key": "licence", "remove": "yes"})
    assert "licence" not in store.version("team/net@1").labels
    wrong = (
        ("/tag/team/net@1", {"tag": "two words"}), ("/label/team/net", {"key": ""}),
        ("/note/team/net@1", {"notes": "x" * 20_000}), ("/label/team/net", {"key": "a", "value": "\n"}),
        ("/note/team/net@1..3", {"notes": ""}), ("/tag/team/net@1", {"tag": "latest"}),
    )  # fmt: skip
    for path, form in wrong:
        assert visitor.post(path, form).status_code == 400
    assert visitor.post("/untag/team/net", {"tag": "nope"}).status_code == 404


def test_an_action_has_a_document(visitor: Visitor) -> None:
    answer = visitor.post("/tag/team/net@1", {"tag": "production"}, accept="application/json")
    assert answer.status_code == 200
    assert answer.json() == {
        "schema": "saver.tag-moved.1", "model": "team/net", "tag": "production", "number": 1, "before": 3,
    }  # fmt: skip


def test_deleting_says_what_is_lost_and_takes_what_was_asked(visitor: Visitor) -> None:
    page = visitor.get("/delete/team/net@3").text
    assert "the tags production, which then name nothing" in page
    found = visitor.json("/delete/team/net@3")
    assert isinstance(found, documents.ToDelete)
    assert found.packs == 1
    assert found.bytes > 70_000
    unsure = visitor.post("/delete-now/team/net@3", {"sure": "yes"})
    assert (unsure.status_code, len(visitor.store.versions("team/net"))) == (400, 4)
    tagged = visitor.post("/delete-now/team/net@3", {"sure": "team/net@3"})
    assert tagged.status_code == 409, "its tags were not named"
    assert (
        visitor.post("/delete-now/team/net@3", {"sure": "team/net@3", "tags": "production"}).status_code
        == 303
    )
    assert [each.number for each in visitor.store.versions("team/net")] == [1, 2, 4]
    for ref in ("team/net", "team/net@latest", "team/net@1..4"):
        assert visitor.post(f"/delete-now/{ref}", {"sure": ref}).status_code in (400, 404)
    last = visitor.post("/delete-now/tuned@1", {"sure": "tuned@1"})
    assert last.headers["location"] == "/"


def test_a_store_that_cannot_be_written_says_so(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object, **named: object) -> None:
        raise saver.errors.CannotWriteError("models: read-only file system; nothing changed")

    monkeypatch.setattr(saver.Saver, "tag", refuse)
    answer = visitor.post("/tag/team/net@1", {"tag": "old"})
    assert answer.status_code == 409
    assert "read-only file system" in answer.text


def test_health_works_and_says_what_it_found(visitor: Visitor) -> None:
    import time

    for kind in ("check", "collect", "measure"):
        visitor.post(f"/health/{kind}", {})
    end = time.monotonic() + 60
    while any(each.running for each in visitor.json("/health").works) and time.monotonic() < end:
        time.sleep(0.02)
    works = {each.kind: each for each in visitor.json("/health").works}
    assert works["check"].said["verdict"].startswith("none: ")
    assert "saved by sharing" in works["measure"].said
    assert works["collect"].error == ""
    assert "verdict" in visitor.get("/health").text
    assert visitor.post("/health/nothing", {}).status_code == 404


# With tokens


@pytest.fixture
def gated(visitor: Visitor, tmp_path: Path) -> tuple[Visitor, dict[str, str]]:
    """The same store where tokens are needed, and a token of each right."""
    gate, tokens = gate_with(tmp_path)
    house = House(LIMITS, gate, Metrics(), terse=False, hosts=None)
    return Visitor(Site(visitor.store, house)), tokens


def signed_in(gated: tuple[Visitor, dict[str, str]], name: str) -> Visitor:
    visitor, tokens = gated
    visitor.client.cookies.clear()
    page_token = visitor.token("/")
    form = {"page_token": page_token, "token": tokens[name], "back": "/health"}
    answer = visitor.client.post("/sign-in", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/health")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    return visitor


def test_without_a_token_there_is_a_form_to_sign_in(gated: tuple[Visitor, dict[str, str]]) -> None:
    visitor, tokens = gated
    page = visitor.get("/version/team/net@1?page=1", 401)
    assert "Sign in" in page.text
    assert (
        "input",
        {"type": "hidden", "name": "back", "value": "/version/team/net@1?page=1"},
    ) in page.elements
    assert visitor.json("/", 401).code == "unauthorized"
    for wrong in ("saver_000000000000_" + "x" * 43, "", tokens["reader"][:-1]):
        form = {"page_token": visitor.token(), "token": wrong, "back": "/model/team/net"}
        answer = visitor.client.post("/sign-in", data=form)
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
        assert "this token is wrong" in answer.text
        assert 'value="/model/team/net"' in answer.text, "the right one leads to where they were going"


def test_the_form_to_sign_in_has_an_address(gated: tuple[Visitor, dict[str, str]]) -> None:
    visitor, _ = gated
    page = visitor.get("/sign-in?back=/model/tuned")
    assert ("input", {"type": "hidden", "name": "back", "value": "/model/tuned"}) in page.elements
    assert visitor.client.head("/sign-in").status_code == 200
    assert visitor.json("/sign-in").code == "unauthorized"
    away = visitor.get("/sign-in?back=//evil.example")
    assert ("input", {"type": "hidden", "name": "back", "value": "/"}) in away.elements
    signed_in(gated, "reader")
    left = visitor.client.get("/sign-out")
    assert (left.status_code, left.headers["location"], "set-cookie" in left.headers) == (303, "/", False)
    visitor.get("/health")
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        assert visitor.client.request(method, "/sign-in").status_code == 405


def test_where_no_token_is_needed_nobody_signs_in(ready: Visitor) -> None:
    answer = ready.client.get("/sign-in")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


@pytest.mark.parametrize("path", ACTIONS)
def test_the_address_of_an_action_says_that_a_button_sends_it(ready: Visitor, path: str) -> None:
    assert "a button of a page sends it; open the page" in ready.get(path, 405).text


@pytest.mark.parametrize(
    "back", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:1", "\t/", "/\r\nx: 1"]
)
def test_signing_in_leads_nowhere_else(gated: tuple[Visitor, dict[str, str]], back: str) -> None:
    visitor, tokens = gated
    form = {"page_token": visitor.token(), "token": tokens["reader"], "back": back}
    assert visitor.client.post("/sign-in", data=form).headers["location"] == "/"


def test_each_right_allows_its_actions_and_no_others(gated: tuple[Visitor, dict[str, str]]) -> None:
    allowed = {
        "reader": set(),
        "narrow": set(),
        "writer": {path for path in ACTIONS if not path.startswith("/delete")},
        "owner": set(ACTIONS),
    }
    for name, paths in allowed.items():
        visitor = signed_in(gated, name)
        page = "/version/tuned@1" if name == "narrow" else "/model/team/net"
        for path, form in sorted(ACTIONS.items(), key=lambda each: each[0].startswith("/delete")):
            visitor.store.tag("team/net@3", "production")
            tags = ",".join(visitor.store.version("team/net@1").tags)  # which an earlier action set
            given = {"tags": tags, **form, "page_token": visitor.token(page)}
            answer = visitor.client.post(path, data=given)
            assert (answer.status_code == 303) == (path in paths), (name, path, answer.text)


def test_pages_show_the_forms_of_those_who_may(gated: tuple[Visitor, dict[str, str]]) -> None:
    def actions(name: str) -> set[str]:
        elements = signed_in(gated, name).get("/version/team/net@1").elements
        found = {given.get("action" if tag == "form" else "href") or "" for tag, given in elements}
        return {each.partition("/")[2].partition("/")[0] for each in found} & {"tag", "note", "delete"}

    assert actions("reader") == set()
    assert actions("writer") == {"tag", "note"}
    assert actions("owner") == {"tag", "note", "delete"}


def test_a_token_for_one_model_sees_that_one(gated: tuple[Visitor, dict[str, str]]) -> None:
    visitor = signed_in(gated, "narrow")
    page = visitor.get("/version/tuned@1").text
    assert "team/net" not in page, "nor relations to what it may not see"
    visitor.get("/version/team/net@1", 403)
    visitor.get("/", 403)
    visitor.get("/log", 403)


def test_the_log_names_who_signed_in(gated: tuple[Visitor, dict[str, str]]) -> None:
    visitor = signed_in(gated, "writer")
    visitor.client.post("/tag/team/net@1", data={"tag": "x", "page_token": visitor.token("/model/team/net")})
    assert next(visitor.store.log()).author == "writer"


def test_a_program_shows_its_token_and_needs_none_of_a_page(gated: tuple[Visitor, dict[str, str]]) -> None:
    visitor, tokens = gated
    bearer = {"authorization": f"Bearer {tokens['owner']}", "accept": "application/json"}
    assert visitor.client.post("/tag/team/net@1", data={"tag": "x"}, headers=bearer).status_code == 200
    with TestClient(application(visitor.site), base_url="http://localhost") as other:
        other.cookies.set("saver-token", tokens["owner"])
        assert other.post("/tag/team/net@1", data={"tag": "y"}).status_code == 403, "a cookie alone"


def test_the_token_of_a_page_is_of_one_visitor(gated: tuple[Visitor, dict[str, str]]) -> None:
    stolen = signed_in(gated, "reader").token("/health")
    visitor = signed_in(gated, "owner")
    answer = visitor.client.post("/tag/team/net@1", data={"tag": "x", "page_token": stolen})
    assert answer.status_code == 403


def test_signing_out_forgets_the_token(gated: tuple[Visitor, dict[str, str]]) -> None:
    visitor = signed_in(gated, "owner")
    assert visitor.client.post("/sign-out").status_code == 403
    visitor.client.post("/sign-out", data={"page_token": visitor.token("/health")})
    visitor.get("/", 401)

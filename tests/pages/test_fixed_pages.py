"""Pages that change nothing: of a store that is shared for reading, and of one with roles behind tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
from deeds import ACTIONS, KEEPING, gate_with
from nets import filled
from visiting import Visitor

import saver
from saver.errors import SignatureError
from saver.pages.app import addresses, beside
from saver.pages.server import LIMITS, Pages
from saver.pages.site import Site
from saver.serve.door import House
from saver.serve.metrics import Metrics
from saver.serve.server import Server
from saver.serve.settings import Settings
from saver.serve.tokens import Gate
from signed import private, public

pytest.importorskip("cryptography")


def test_every_action_but_these_changes_the_store() -> None:
    keeping = {each.path for each in addresses() if each.action and each.keeps}
    assert keeping == {"/sign-in", "/sign-out", "/health/{kind}"}


@pytest.fixture
def reading(tmp_path: Path) -> tuple[Visitor, dict[str, str]]:
    """The pages of a store that is shared for reading, and tokens with every right."""
    gate, tokens = gate_with(tmp_path)
    site = Site(filled(tmp_path / "store"), house(gate), fixed=True)
    return Visitor(site), tokens


def house(gate: Gate) -> House:
    return House(LIMITS, gate, Metrics(), terse=False, hosts=None)


def refused(visitor: Visitor, token: str, why: str) -> None:
    """Every action is refused with its reason, the forms are not there, and the log is as it was."""
    bearer, before = {"authorization": f"Bearer {token}"}, len(list(visitor.store.log()))
    for path, form in ACTIONS.items():
        answer = visitor.client.post(path, data=form, headers=bearer)
        assert answer.status_code == (303 if path in KEEPING else 403), (path, answer.text)
        assert path in KEEPING or why in answer.text
    assert why in visitor.get("/delete/team/net@1", 403, **bearer).text
    for path in ("/version/team/net@1", "/model/team/net", "/health"):
        page = visitor.get(path, **bearer)
        forms = {given.get("action") or "" for tag, given in page.elements if tag == "form"}
        assert not {each for each in forms if each in ACTIONS and each not in KEEPING}
        assert not any(each.startswith(("/tag", "/untag/", "/note", "/delete")) for each in forms)
        assert not any(each.startswith("/delete") for each in page.links())
        assert why in page.text, "the page says so"
    assert len(list(visitor.store.log())) == before


def test_a_store_that_is_shared_for_reading_is_not_changed(reading: tuple[Visitor, dict[str, str]]) -> None:
    visitor, tokens = reading
    refused(visitor, tokens["owner"], "shares its store for reading alone")


@pytest.mark.parametrize(("share", "fixed"), [("read", True), ("checked", False), ("full", False)])
def test_a_server_that_shares_says_so_to_its_pages(tmp_path: Path, share: str, fixed: bool) -> None:
    folder = tmp_path / "store"
    filled(folder)
    server = Server(Settings(store=str(folder), names={}, port=0, share=share))  # type: ignore[arg-type]
    (page, *_) = [each for each in beside(server) if each.path == "/"]
    assert bool(page.endpoint._site.why_fixed()) == fixed


@pytest.fixture
def keyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> saver.Saver:
    """A store with roles, opened with the key of one who may do everything."""
    monkeypatch.setenv("SAVER_HEADS", str(tmp_path / "heads"))
    filled(tmp_path / "store")
    store = saver.Saver(tmp_path / "store", sign=private("alice"))
    store.grant(public("alice"), "save", "tag", "delete", "collect", "sign", "grant")
    return store


def test_tokens_do_not_use_the_key_of_the_server(keyed: saver.Saver, tmp_path: Path) -> None:
    gate, tokens = gate_with(tmp_path)
    visitor = Visitor(Site(keyed, house(gate)))
    refused(visitor, tokens["owner"], "the store has roles, which belong to keys")
    for author in ("owner", ""):
        with pytest.raises(SignatureError, match="roles"):
            visitor.site.store_of(author).tag("team/net@1", "mine")
    assert keyed._repo.signer.key is not None, "of others, the store still signs"


def test_strangers_with_a_public_right_do_not_either(keyed: saver.Saver, tmp_path: Path) -> None:
    visitor = Visitor(Site(keyed, house(Gate(tmp_path / "none", ("admin",)))))
    assert visitor.post("/tag/team/net@1", {"tag": "mine"}, "/health").status_code == 403


def test_on_ones_own_machine_pages_sign_as_commands_do(keyed: saver.Saver) -> None:
    visitor = Visitor(Pages(keyed).site)
    assert visitor.post("/tag/team/net@1", {"tag": "mine"}).status_code == 303
    assert keyed.version("team/net@mine").number == 1

"""The Hub takes a version in one commit, as libraries and people read it, and gives it back the same.

The server is one of these tests: huggingface.co, and its own way for large files (Xet), were not tried.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from huggingface import Hub, hub
from pushed import kept
from registries import WEIGHTS
from saver.storages.memory import MemoryStorage

library = pytest.importorskip("huggingface_hub", reason="needs huggingface_hub")

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # within the library

PLACE = "hf://org/model"


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """The Hub of these tests. Nothing waits to be repeated."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # which tests of Transformers set for all
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_test")
    with hub() as found:
        monkeypatch.setenv("HF_ENDPOINT", found.url)
        yield found


def empty() -> saver.Saver:
    return saver.Saver(MemoryStorage("there"))


def test_what_was_pushed_is_pulled_the_same(here: saver.Saver, server: Hub) -> None:
    found = here.push("team/m@production", PLACE)
    assert [str(each) for each in found.versions] == ["team/m@3"]
    assert (found.present, found.left_out) == (0, ())
    assert found.bytes == sum(map(len, server.files("org/model").values()))
    there = empty()
    assert [str(each) for each in there.pull("team/m", PLACE).versions] == ["team/m@3"]
    assert kept(there, "team/m", 3) == kept(here, "team/m", 3)
    assert np.array_equal(there.load("team/m@production")["w"], WEIGHTS)
    assert there.check().sound
    assert there.pull("team/m@3", PLACE).present == 1
    with pytest.raises(saver.NotFoundError, match="team/m@4"):
        there.pull("team/m@4", PLACE)
    with pytest.raises(saver.NotFoundError, match=r"hf://org/model.*rose"):
        there.pull("rose", PLACE)


def test_what_is_there_is_what_people_and_libraries_read(
    here: saver.Saver, server: Hub, tmp_path: Path
) -> None:
    here.push("team/m@4", PLACE)
    files = server.files("org/model")
    assert files.keys() == {".gitattributes", "README.md", "model.saver", "saver.json"}
    (tmp_path / "model.saver").write_bytes(files["model.saver"])
    assert saver.load(tmp_path / "model.saver")["settings"] == {"lr": 4}
    card = library.ModelCard(files["README.md"].decode())
    assert card.data.to_dict()["tags"] == ["saver", "t4"]
    assert card.data.to_dict()["metrics"] == ["auc"]
    assert 'store.pull("team/m@4", "hf://org/model")' in card.text
    assert str(here.storage) not in card.text
    assert "secret" not in b"".join(files.values()).decode(errors="replace")
    assert server.messages == ["team/m@4"]
    assert server.private == {"org/model": True}


def test_the_token_is_that_of_the_library_and_is_said_nowhere(here: saver.Saver, server: Hub) -> None:
    here.push("team/m", PLACE)
    assert "Bearer hf_of_the_test" in server.tokens
    assert b"hf_of_the_test" not in b"".join(server.files("org/model").values())


def test_a_folder_of_transformers_has_its_configuration_and_weights(server: Hub, tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy", reason="needs safetensors")
    here = saver.Saver(MemoryStorage())
    state = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "a.bias": np.ones(2, np.float32)}
    here.save("bert", {"config": {"model_type": "bert", "hidden_size": 3}, "model": state, "optimizer": [1]})
    here.push("bert", PLACE)
    files = server.files("org/model")
    assert json.loads(files["config.json"])["model_type"] == "bert"
    found = safetensors.load(files["model.safetensors"])
    assert {name: each.tolist() for name, each in found.items()} == {
        name: each.tolist() for name, each in state.items()
    }
    there = empty()
    there.pull("bert", PLACE)
    assert there.load("bert")["optimizer"] == [1]
    here.save("bert", {"other": 1})
    here.push("bert", PLACE)
    assert server.files("org/model").keys() == {".gitattributes", "README.md", "model.saver", "saver.json"}


def test_a_module_of_pytorch_has_its_state_dict(server: Hub) -> None:
    torch = pytest.importorskip("torch", reason="needs torch")
    safetensors = pytest.importorskip("safetensors.torch", reason="needs safetensors")
    here, net = saver.Saver(MemoryStorage()), torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU())
    here.save("net", {"model": net, "optimizer": torch.optim.Adam(net.parameters())})
    here.push("net", PLACE)
    other = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU())
    other.load_state_dict(safetensors.load(server.files("org/model")["model.safetensors"]))
    assert torch.equal(other[0].weight, net[0].weight)


def test_pushing_again_sends_nothing(here: saver.Saver, server: Hub) -> None:
    here.push("team/m@3", PLACE)
    calls, files = len(server.sent()), dict(server.files("org/model"))
    again = here.push("team/m@3", PLACE)
    assert (again.versions, again.present, again.bytes, again.tags) == ((), 1, 0, {})
    assert (len(server.sent()), server.files("org/model"), len(server.messages)) == (calls, files, 1)
    here.tag("team/m@3", "new")
    tagged = here.push("team/m@3", PLACE)
    assert (tagged.versions, tagged.present, tagged.tags) == ((), 1, {"new": 3})
    assert len(server.sent()) == calls, "only what is said of it is new"
    there = empty()
    there.pull("team/m@new", PLACE)
    assert there.version("team/m").tags == ("new", "production", "t3")


def test_the_next_version_replaces_it_and_a_revision_has_its_own(here: saver.Saver, server: Hub) -> None:
    here.push("team/m@1", PLACE)
    here.push("team/m@3", f"{PLACE}@three")
    here.push("team/m@4", PLACE)
    assert [*server.repos["org/model"]] == ["main", "three"]
    for place, number in ((PLACE, 4), (f"{PLACE}@three", 3)):
        there = empty()
        there.pull("team/m", place)
        assert [each.number for each in there.versions("team/m")] == [number]


def test_another_model_or_other_content_is_refused_and_nothing_is_changed(
    here: saver.Saver, server: Hub
) -> None:
    here.push("team/m@4", PLACE)
    before = dict(server.repos["org/model"])
    other = saver.Saver(MemoryStorage())
    for number in range(4):
        other.save("team/m", {"w": number})
    for store, ref in ((here, "secret"), (other, "team/m@4")):
        with pytest.raises(saver.CannotWriteError, match=r"team/m@4 is there.*--as NAME"):
            store.push(ref, PLACE)
    assert server.repos["org/model"] == before
    here.push("secret", "hf://org/other", model="public", tags=False)
    assert b"secret" not in b"".join(server.files("org/other").values())
    there = empty()
    there.pull("public", "hf://org/other", model="mine")
    assert there.models() == ["mine"]


def test_whatever_request_fails_nothing_is_half_there_and_the_next_push_goes_on(
    here: saver.Saver, server: Hub, own_cache: Path
) -> None:
    here.push("team/m@1", PLACE)
    start = dict(server.repos["org/model"])
    server.calls.clear()
    here.push("team/m@4", PLACE)
    total, after = len(server.calls), server.files("org/model")
    assert total > 4
    for at in range(1, total + 1):
        server.repos["org/model"] = dict(start)
        server.large.clear()
        server.calls.clear()
        server.down_from = at
        with pytest.raises(saver.SaverError) as error:
            here.push("team/m@4", PLACE)
        assert str(error.value).startswith(PLACE)
        assert server.repos["org/model"] == start
        assert not list(own_cache.glob("hubs/*/objects"))
        server.down_from, sent = None, {*server.large}
        server.calls.clear()
        here.push("team/m@4", PLACE)
        assert server.files("org/model") == after
        assert not sent & {each.partition("?")[0] for each in server.sent()}, "it is not sent again"


def test_whatever_request_fails_a_pull_changes_nothing(here: saver.Saver, server: Hub) -> None:
    here.push("team/m@4", PLACE)
    server.calls.clear()
    empty().pull("team/m", PLACE)
    total = len(server.calls)
    for at in range(1, total + 1):
        server.calls.clear()
        server.down_from, storage = at, MemoryStorage("there")
        with pytest.raises(saver.SaverError) as error:
            saver.Saver(storage).pull("team/m", PLACE)
        assert str(error.value).startswith(PLACE)
        assert [*storage.list("")] == []
        server.down_from = None
        there = saver.Saver(storage)
        there.pull("team/m", PLACE)
        assert kept(there, "team/m", 4) == kept(here, "team/m", 4)


def test_somebody_else_who_pushes_meanwhile_is_not_overtaken(here: saver.Saver, server: Hub) -> None:
    here.push("team/m@1", PLACE)

    def meanwhile(handler: Any) -> bool:
        if handler.path.endswith("/preupload/main"):
            server.commit("org/model", "main", {"theirs": b"x"})
        return False

    server.instead = meanwhile
    with pytest.raises(saver.CannotWriteError, match="412"):
        here.push("team/m@4", PLACE)
    assert server.files("org/model") == {"theirs": b"x"}


def forged(server: Hub, name: str, data: bytes) -> None:
    files = dict(server.files("org/model"))
    server.commit("org/model", "main", files | {name: data})


def test_a_file_that_is_not_the_one_that_was_pushed_is_refused(here: saver.Saver, server: Hub) -> None:
    here.push("team/m@4", PLACE)
    good = server.files("org/model")["model.saver"]
    here.push("team/m@1", "hf://org/other")
    harmed = [
        server.files("org/other")["model.saver"], good[:-1], good[: len(good) // 2], b"", b"{}" * 99,
        good[:200] + bytes([good[200] ^ 1]) + good[201:], good[:-9] + bytes([good[-9] ^ 1]) + good[-8:],
    ]  # fmt: skip
    for data in harmed:
        forged(server, "model.saver", data)
        storage = MemoryStorage()
        with pytest.raises((saver.DamagedError, saver.IncompatibleError)):
            saver.Saver(storage).pull("team/m", PLACE)
        assert [*storage.list("")] == []


@pytest.mark.parametrize(
    "change",
    [
        {"model": "../evil"}, {"model": ""}, {"model": "a b"}, {"number": 0}, {"number": 10**13},
        {"number": "1"},
        {"tags": ["a b"]}, {"tags": ["latest"]}, {"labels": {"a b": "c"}}, {"labels": {"a": 3}},
        {"parts": {}},
        {"parts": {"w": {"number": -1, "hash": ""}}}, {"hash": "0" * 64}, {"format": 2}, {"format": None},
        {"tags": "x"}, {"author": 3}, {"parts": {"../x": {"number": 1, "hash": ""}}}, {"number": 1.5},
    ],
)  # fmt: skip
def test_what_is_said_of_a_file_is_not_trusted(
    here: saver.Saver, server: Hub, change: dict[str, Any]
) -> None:
    here.push("team/m@4", PLACE)
    found = json.loads(server.files("org/model")["saver.json"]) | change
    forged(server, "saver.json", json.dumps(found).encode())
    storage = MemoryStorage()
    with pytest.raises((saver.DamagedError, saver.IncompatibleError), match=r"saver\.json"):
        saver.Saver(storage).pull("team/m", PLACE)
    assert [*storage.list("")] == []


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b'{"format": 1, "format": 1}', b"[" * 99_999, b" " * (2 << 20), b"\xff"],
)
def test_a_document_that_saver_did_not_write_is_refused_by_pulls_and_pushes(
    here: saver.Saver, server: Hub, data: bytes
) -> None:
    here.push("team/m@4", PLACE)
    forged(server, "saver.json", data)
    for act in (lambda: empty().pull("team/m", PLACE), lambda: here.push("team/m@4", PLACE)):
        with pytest.raises(saver.IncompatibleError, match=r"hf://org/model: saver\.json"):
            act()
    assert server.files("org/model")["saver.json"] == data


def test_files_that_a_document_names_are_removed_only_if_a_push_wrote_them(
    here: saver.Saver, server: Hub
) -> None:
    here.push("team/m@1", PLACE)
    found = json.loads(server.files("org/model")["saver.json"])
    found["files"] = ["model.safetensors", "precious.txt", "../x", "missing", ".gitattributes", "README.md"]
    forged(server, "saver.json", json.dumps(found).encode())
    forged(server, "precious.txt", b"x")
    forged(server, "model.safetensors", b"x")
    here.push("team/m@4", PLACE)
    assert server.files("org/model").keys() == {
        ".gitattributes", "README.md", "model.saver", "saver.json", "precious.txt",
    }  # fmt: skip


def test_signatures_go_along_and_are_in_the_card(server: Hub) -> None:
    pytest.importorskip("cryptography", reason="needs cryptography")
    from signed import private, public

    here = saver.Saver(MemoryStorage())
    here.save("m", {"w": 1})
    here.save("m", {"w": np.arange(9000.0)}, metrics={"acc": 0.5}, notes="x", sign=private("alice"))
    here.push("m@2", PLACE)
    assert "## Signatures" in server.files("org/model")["README.md"].decode()
    there = empty()
    there.pull("m", PLACE)
    assert there.version("m").signatures == here.version("m").signatures != ()
    assert there.load("m", signed_by=[public("alice")])["w"][3] == 3
    with pytest.raises(saver.SaverError, match="sign"):
        there.load("m", signed_by=[public("carol")])
    here.push("m@2", "hf://org/other", model="renamed")
    there.pull("renamed", "hf://org/other")
    assert there.version("renamed").signatures == (), "a signature is of the name, too"


@pytest.mark.parametrize("name", ["saver.json", "model.saver"])
def test_a_file_without_end_is_not_fetched_to_its_end(
    here: saver.Saver, server: Hub, name: str, own_cache: Path
) -> None:
    here.push("team/m@4", PLACE)
    sent = []

    def endless(handler: Any) -> bool:
        if handler.command != "GET" or not handler.path.endswith(name):
            return False
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.send_header("ETag", '"x"')
        handler.send_header("X-Repo-Commit", "0" * 40)
        handler.end_headers()
        piece = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
        with suppress(OSError):
            while len(sent) < 1000:
                handler.wfile.write(piece)
                sent.append(len(piece))
        return True

    server.instead = endless
    storage = MemoryStorage()
    with pytest.raises(saver.SaverError, match=r"hf://org/model: .*has more than [0-9,]+ bytes"):
        saver.Saver(storage).pull("team/m", PLACE)
    assert len(sent) < 100
    assert [*storage.list("")] == []


def test_what_is_not_there_is_said(server: Hub) -> None:
    with pytest.raises(saver.NotFoundError, match=r"hf://org/model: .*hf auth login"):
        empty().pull("team/m", PLACE)
    server.commit("org/model", "main", {"config.json": b"{}"})
    with pytest.raises(saver.NotFoundError, match=r"there is no saver\.json.*saver import"):
        empty().pull("team/m", PLACE)
    with pytest.raises(saver.NotFoundError, match="hf://org/model@other: "):
        empty().pull("team/m", f"{PLACE}@other")


@pytest.mark.parametrize(
    "address",
    [
        "hf://", "hf://org", "hf://org/", "hf://org/a/b", "hf://org/a b", "hf://../x", "hf://org/..", "hf://org/a@",
        "hf://org/a@../x", "hf://org/a@b c", "hf://org/a?x", "hf:///a", "hf://o--r/a", "hf://org/a@-x", "hf://a@b/c",
        "hf://datasets/org/a", "hf://" + "a" * 99 + "/b", "hf://org/a\n", "hf://org/a@main\n",
    ],
)  # fmt: skip
def test_a_wrong_address_is_said(address: str, here: saver.Saver, server: Hub) -> None:
    with pytest.raises(
        ValueError, match=r"target: .*is not the address of a repository; write hf://org/name"
    ):
        here.push("team/m", address)
    assert not server.repos


def test_a_missing_package_is_named(here: saver.Saver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(saver.IncompatibleError, match=r"needs the package huggingface_hub.*saver-ml\[hub\]"):
        here.push("team/m", PLACE)


def test_progress_goes_up_to_all(here: saver.Saver) -> None:
    calls: list[tuple[int, int]] = []
    here.push("team/m", PLACE, progress=lambda *each: calls.append(each))
    assert calls[0][0] == 0
    assert calls[-1][0] == calls[-1][1] > 0


@pytest.mark.slow
def test_commands_push_and_pull(here: saver.Saver, server: Hub, tmp_path: Path) -> None:
    """In a process of its own, with the environment that the library reads."""
    saver.Saver(tmp_path / "models").pull("team/m", here)
    environment = {**os.environ, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path / "hf")}

    def run(*arguments: str) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "saver", *arguments, "--json"], cwd=tmp_path, env=environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    pushed = run("push", "team/m@production", PLACE)
    assert (pushed["schema"], pushed["target"], len(pushed["versions"])) == ("saver.pushed.1", PLACE, 1)
    pulled = run("pull", "team/m@3", PLACE, "--store", "other", "--as", "mine")
    assert (pulled["store"], pulled["model"], pulled["versions"][0]["ref"]) == (PLACE, "mine", "mine@3")
    assert np.array_equal(saver.Saver(tmp_path / "other").load("mine")["w"], WEIGHTS)


def answered(parts: Any, batch: Any) -> Any:
    return {"sum": batch.sum(axis=1)}


def test_an_example_goes_to_the_hub_and_back(server: Hub) -> None:
    store, there = saver.Saver(MemoryStorage("golden")), empty()
    store.save("net", {"w": WEIGHTS}, example=np.arange(6.0).reshape(3, 2), pipeline=answered)
    store.push("net", PLACE)
    there.pull("net", PLACE)
    assert there.check_predictions("net", trust=["*.answered"]).identical == 3
    assert there.version("net").parts == store.version("net").parts

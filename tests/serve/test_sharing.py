"""A store that is shared: used as any other, and each request examined by what it says and by whom it is."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from click.testing import CliRunner
from msgspec.structs import replace
from sharings import Guarded, guarded, shared

import saver
from saver.addresses import open_storage
from saver.cli import program
from saver.errors import CannotReadError, CannotWriteError, DamagedError, IncompatibleError, SaverError
from saver.policy import Every, Keep
from saver.repo import appending, document
from saver.repo.commit import _Commit
from saver.repo.events import (
    Commit,
    Condemn,
    Delete,
    Event,
    Harm,
    Holders,
    Label,
    Note,
    Relocate,
    Roles,
    Sign,
    Tag,
    Void,
)
from saver.repo.log import Record, log_key, record_after
from saver.repo.objects import pack_key, page_key
from saver.serve.limits import Limits
from saver.storage import Bytes
from saver.testing.storages.contents import Pieces, bytes_of

W = np.arange(200_000.0)
ALICE = ("read", "write:alice")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Guarded]:
    with guarded(tmp_path / "store", tmp_path / "tokens.json") as found:
        found.local.save("alice", {"w": W})
        found.local.save("bob", {"w": W + 1})
        yield found


def test_everything_goes_through_a_server(tmp_path: Path) -> None:
    """Save, load, list, label, delete, collect, check: what comes out is what is in the folder."""
    with shared(str(tmp_path / "store")) as running:
        store = saver.Saver(running.server.address)
        assert not store.exists()
        for number in range(20):  # past a checkpoint
            store.save("iris", {"w": W + number % 3, "small": number}, metrics={"loss": float(number)})
        store.tag("iris@3", "production")
        store.label("iris@3", {"by": "me"})
        store.note("iris", "all of it")
        assert store.load("iris@production")["small"] == 2
        assert store.version("iris@3").labels == {"by": "me"}
        store.delete("iris@1", "iris@4..9")
        assert len(store.gc(grace=0).freed) > 0
        assert store.check().sound
        local = saver.Saver(tmp_path / "store")
        assert local.check().sound
        assert local.versions("iris") == store.versions("iris")
        assert [str(each) for each in local.log()] == [str(each) for each in store.log()]
        assert len([*local.storage.keys("state/", "state/9")]) > 0


def test_a_run_saves_and_resumes_with_a_token_for_its_model_alone(house: Guarded) -> None:
    state = {"w": np.zeros(1000), "n": 0}
    store = house.store("read", "write:run-*")
    with store.checkpoints("run-1", {"model": state}, every=Every(steps=1), keep=Keep(last=2)) as run:
        for step in range(run.resume(), 5):
            state["w"] += 1
            run.step(step, loss=float(step))
    again = {"w": np.zeros(1000), "n": 0}
    with house.store("read", "write:run-*").checkpoints(
        "run-1", {"model": again}, every=Every(steps=1), keep=Keep(last=2)
    ) as run:
        assert run.resume() == 5
    assert again["w"][0] == 5
    assert house.local.check().sound


def test_versions_move_between_folder_and_server(house: Guarded, tmp_path: Path) -> None:
    other = saver.Saver(tmp_path / "other")
    other.save("carol", {"w": W}, tags=["best"])
    other.save("carol", {"w": W * 2})
    remote = house.store("read", "write:carol")
    pushed = other.push("carol", remote)
    assert len(pushed.versions) == 2
    assert np.array_equal(remote.load("carol@best")["w"], W)
    third = saver.Saver(tmp_path / "third")
    third.pull("carol", remote)
    assert np.array_equal(third.load("carol")["w"], W * 2)
    with pytest.raises(CannotWriteError, match="write:dave"):
        other.push("carol", remote, model="dave")
    assert house.local.check().sound


def test_the_command_line_takes_the_address(house: Guarded, tmp_path: Path) -> None:
    text = house.token("admin")
    token = tmp_path / "token"
    token.write_text(text + "\n")
    there = str(tmp_path / "there")
    for line, want in (
        (["ls"], "alice"), (["show", "alice@1"], "1.6 MB"), (["check"], "as it was saved"),
        (["log"], "saved alice@1"), (["tag", "alice@1", "best"], "best"),
        (["push", "alice", there], "1.6 MB"),
        (["pull", "alice", there, "--as", "ann"], "ann"), (["gc"], "nothing"),
        (["note", "alice", "x"], "noted"),
        (["rm", "ann@1", "--yes", "--tags"], "ann@1"),
    ):  # fmt: skip
        found = CliRunner().invoke(
            program, [*line, "--store", house.address], env={"SAVER_TOKEN_FILE": str(token)}
        )
        assert found.exit_code == 0, (line, found.output)
        assert want in found.output, (line, found.output)
        assert text not in found.output
    found = CliRunner().invoke(program, ["ls", "--store", house.address], env={"SAVER_TOKEN_FILE": ""})
    assert found.exit_code != 0
    assert "a token is needed" in found.output
    for line in (["doctor", house.address], ["backup", house.address, str(tmp_path / "copy")]):
        found = CliRunner().invoke(program, line, env={"SAVER_TOKEN": text})
        assert found.exit_code == 0, found.output
    assert saver.Saver(tmp_path / "copy").check().sound


def test_two_servers_with_a_token_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is that of the one; `--token` is that of the other."""
    with (
        guarded(tmp_path / "ours", tmp_path / "our.json") as ours,
        guarded(tmp_path / "theirs", tmp_path / "their.json") as theirs,
    ):
        ours.local.save("iris", {"w": W})
        theirs.local.save("lily", 1)
        file = tmp_path / "their.token"
        file.write_text(theirs.token("read", "write:iris"))
        monkeypatch.setenv("SAVER_TOKEN", ours.token("read", "write:rose"))
        line = ["push", "iris", theirs.address, "--store", ours.address]
        refused = CliRunner().invoke(program, line)
        assert refused.exit_code != 0
        assert "does not take this token" in refused.output
        done = CliRunner().invoke(program, [*line, "--token", str(file)])
        assert done.exit_code == 0, done.output
        assert theirs.local.load("iris")["w"][1] == 1
        line = ["pull", "iris", theirs.address, "--as", "rose", "--store", ours.address]
        done = CliRunner().invoke(program, [*line, "--token", str(file)])
        assert done.exit_code == 0, done.output
        assert ours.local.load("rose")["w"][1] == 1
        for line in (["push", "iris", str(tmp_path / "there")], ["pull", "iris", "memory://there"]):
            wrong = CliRunner().invoke(
                program, [*line, "--store", str(tmp_path / "ours"), "--token", str(file)]
            )
            assert wrong.exit_code == 2, wrong.output
            assert "the address of a server" in wrong.output


# Who may do what


MOVE = {"a" * 32: ((0, 1, "b" * 32, 0),)}
EVENTS: list[tuple[Event, str]] = [
    (Void("0" * 32), "write:some"),
    (Harm({"a" * 32: ((0, 1),)}), "write"),
    (Condemn((pack_key("a" * 32),)), "admin"),
    (Relocate(MOVE), "admin"),
    (Holders("c" * 32, {}, {}), "admin"),
    (Roles({"ed25519:" + "A" * 43: ("grant",)}), "admin"),
    (Tag("bob", "x", 1), "write:bob"),
    (Label("bob", 1, {"a": "b"}), "write:bob"),
    (Note("bob", 1, "x"), "write:bob"),
    (Sign("bob", 1, ()), "write:bob"),
    (Commit("bob", 2, "0" * 64, {}, parent=1), "write:bob"),
    (Delete("bob", (1,)), "write:bob"),
]
"""A record of each kind, and the scope that it needs; `write:some` is that of any model."""


def test_each_kind_of_record_is_tried() -> None:
    assert {type(event) for event, _ in EVENTS} == {*get_args(Event)}


def next_record(house: Guarded, event: Event, **changes: Any) -> bytes:
    """The record that follows, as somebody may forge it."""
    repo = saver.Saver(house.folder)._repo
    repo.open()
    record = record_after(repo.state.last(), event, repo.fresh(), time.time(), "eve")
    fields = {**{name: getattr(record, name) for name in Record.__struct_fields__}, **changes}
    return document.encode(Record(**fields))


@pytest.mark.parametrize(
    "scopes", [ALICE, ("read", "write:bob"), ("read", "write:any"), ("read", "write"), ("read",), ("admin",)],
    ids=str,
)  # fmt: skip
def test_a_record_needs_the_right_to_it(house: Guarded, scopes: tuple[str, ...]) -> None:
    """All kinds of records by all kinds of tokens. Refused for another reason is let in."""
    for event, needed in EVENTS:
        _demand_right(house, event, needed, scopes)


def _demand_right(house: Guarded, event: Event, needed: str, scopes: tuple[str, ...]) -> None:
    right = needed.partition(":")[0]
    some = needed == "write:some" and any(scope.startswith("write") for scope in scopes)
    may = "admin" in scopes or needed in scopes or (right == "write" and "write" in scopes) or some
    data = next_record(house, event)
    number = len([*house.local.storage.keys("log/")]) + 1
    answer = house.ask(f"/store/objects/{log_key(number)}", data, scopes, method="PUT")
    said = answer.json
    if not may:
        assert answer.status == 403, said
        assert said["code"] == "forbidden"
    else:
        assert answer.status != 403 or "void" in said["error"], said
    assert house.local.storage.stat(log_key(number)) is None or (may and answer.status == 201)


@pytest.mark.parametrize("scopes", [ALICE, ("read", "write"), ("admin",)], ids=str)
def test_a_forged_record_is_refused(house: Guarded, scopes: tuple[str, ...]) -> None:
    """Records that do not follow, that lie, or that cannot be read."""
    number = len([*house.local.storage.keys("log/")]) + 1
    key = log_key(number)
    version = house.local.version("alice@1")
    commit = Commit("alice", 2, version.manifest, version.parts, version.packs, file=version.file, parent=1)
    wrong: dict[str, bytes] = {
        "not the next": next_record(house, Note("alice", 1, "x"), number=number + 5),
        "another past": next_record(house, Note("alice", 1, "x"), previous="0" * 64),
        "no document": b"{}",
        "no JSON": b"\xff\xfe",
        "deep": b'{"hash":"' + b"[" * 100_000,
        "bad hash": next_record(house, Note("alice", 1, "x")).replace(b'"x"', b'"y"'),
        "of a version that is not there": next_record(house, Tag("alice", "x", 99)),
        "a manifest of another version": next_record(house, commit),
        "a manifest that is not there": next_record(house, Commit("alice", 2, "0" * 64, {}, parent=1)),
        "a pack that is not there": next_record(
            house, Commit("alice", 2, version.manifest, version.parts, ("f" * 32,), parent=1)
        ),
        "a number that was given": next_record(house, Commit("alice", 1, version.manifest, version.parts)),
        "a bad tag": next_record(house, Tag("alice", "../x", 1)),
        "needed": next_record(house, Condemn((pack_key(version.packs[0]),))),
        "not Saver's": next_record(house, Condemn(("log/00000000000000000001.json",))),
    }
    before = house.stored()
    for name, data in wrong.items():
        for at in (key, log_key(number + 5)):
            answer = house.ask(f"/store/objects/{at}", data, scopes, method="PUT")
            assert answer.status in (403, 413, 422, 400), (name, answer.status, answer.data)
    assert house.stored() == before
    assert house.local.check().sound


def _numbered(event: Commit, number: int) -> dict[str, Any]:
    return {"parts": {name: replace(part, number=number) for name, part in event.parts.items()}}


FORGED: dict[str, Callable[[Commit], dict[str, Any]]] = {
    "the highest number of a part": lambda event: _numbered(event, 2**53),
    "a number of a part that leaves some out": lambda event: _numbered(event, 3),
    "a number of a part that went back": lambda event: _numbered(event, 0),
    "more bytes than there are": lambda event: {"bytes_added": 2**40},
    "a parent that is not there": lambda event: {"parent": 7},
    "no parent": lambda event: {"parent": None},
    "a tag that named nothing": lambda event: {"tags": ("x",), "moved": {"x": 1}},
    "a tag of another version": lambda event: {"moved": {"best": 1}},
    "a tag that named something": lambda event: {"tags": ("best",)},
    "a tag twice": lambda event: {"tags": ("x", "x")},
    "many tags": lambda event: {"tags": tuple(f"t{number}" for number in range(1001))},
    "many metrics": lambda event: {"metrics": {f"m{number}": 1.0 for number in range(10_001)}},
    "the metric foo": lambda event: {"metrics": {"x": "foo"}},
    "a metric that cannot be shown": lambda event: {"metrics": {"\x1b": 1.0}},
}


@pytest.mark.parametrize("what", FORGED)
def test_a_version_of_which_too_much_or_what_is_not_true_is_said(
    house: Guarded, monkeypatch: Any, what: str
) -> None:
    """By one who may write the model, and whose manifest agrees with the record."""
    house.local.tag("alice@1", "best")
    honest = _Commit._event
    with monkeypatch.context() as patch:
        patch.setattr(appending, "changes_of", lambda *given: {})
        patch.setattr(
            _Commit, "_event", lambda *given: replace(found := honest(*given), **FORGED[what](found))
        )
        with pytest.raises(CannotWriteError, match="refused it"):
            house.store(*ALICE).save("alice", {"w": W + 5})
    house.store(*ALICE).save("alice", {"w": W + 6}, tags=["best"], metrics={"x": float("nan")})
    assert house.local.check().sound


@pytest.mark.parametrize("field", ["time", "author", "transaction"])
def test_a_record_by_whom_and_when_nobody_could_be(house: Guarded, field: str) -> None:
    number = len([*house.local.storage.keys("log/")]) + 1
    last = house.local._repo.state.log.read(number - 1)[0]
    wrong: dict[str, list[Any]] = {
        "time": [1e300, -1.0],
        "author": ["a" * 201, "\x1b[2J"],
        "transaction": ["", "a" * 65, last.transaction],
    }
    for value in wrong[field]:
        data = next_record(house, Note("alice", 1, "x"), **{field: value})
        answer = house.ask(f"/store/objects/{log_key(number)}", data, ALICE, method="PUT")
        assert answer.status == 422, (value, answer.data)
    data = next_record(house, Void(last.transaction))
    answer = house.ask(f"/store/objects/{log_key(number)}", data, ("write", "read"), method="PUT")
    assert (answer.status, "in the log" in answer.json["error"]) == (422, True)


@pytest.mark.parametrize(
    "event",
    [Tag("alice", "x", 1, 1), Tag("alice", "best", 1), Tag("alice", "best", None, 7), Delete("alice", (1,)),
     Delete("alice", (1, 1), {"best": 1}), Delete("alice", (1,), {"best": 1, "x": 1}),
     Label("alice", 1, {f"k{number}": None for number in range(200)}), Void("")],
    ids=str,
)  # fmt: skip
def test_a_record_that_says_of_tags_what_was_not_so(house: Guarded, event: Event) -> None:
    house.local.tag("alice@1", "best")
    number = len([*house.local.storage.keys("log/")]) + 1
    data = next_record(house, event)
    answer = house.ask(f"/store/objects/{log_key(number)}", data, ("read", "write"), method="PUT")
    assert answer.status == 422, answer.data
    store = house.store(*ALICE)
    store.save("alice", {"w": 1})
    store.tag("alice@2", "best")
    store.delete("alice@1")
    store.untag("alice", "best")


def test_a_record_that_is_there_is_not_written_again(house: Guarded) -> None:
    first = house.local.storage.read(log_key(1))
    answer = house.ask(f"/store/objects/{log_key(1)}", b"other", ALICE, method="PUT")
    assert (answer.status, answer.json["code"]) == (412, "exists")
    assert house.local.storage.read(log_key(1)) == first


def test_a_token_for_one_model_writes_nothing_of_another(house: Guarded) -> None:
    store = house.store(*ALICE)
    for act in (
        lambda: store.save("bob", {"w": 1}),
        lambda: store.save("bob", {"w": W * 3}),
        lambda: store.tag("bob@1", "x"),
        lambda: store.delete("bob@1"),
    ):
        before = house.stored() - {key for key in house.stored() if key.startswith("packs/")}
        with pytest.raises(CannotWriteError):
            act()
        assert house.stored() - {key for key in house.stored() if key.startswith("packs/")} == before
    pack = saver.Saver("memory://of-carol").save("carol", {"w": 1}).file
    with pytest.raises(CannotWriteError, match="write:carol"):
        store.storage.put(pack_key(pack), Bytes(open_storage("memory://of-carol").read(pack_key(pack))))
    assert pack_key(pack) not in house.stored()
    store.save("alice", {"w": W * 3}, tags=["production"])
    store.delete("alice@1")
    with pytest.raises(CannotWriteError, match="admin for the whole store"):
        store.gc(grace=0)
    with pytest.raises(CannotWriteError, match="write"):
        house.store("read").save("alice", {"w": 1})
    with pytest.raises(CannotReadError, match="read"):
        house.store("write:alice", "predict").load("alice")


def test_only_condemned_objects_are_deleted(house: Guarded) -> None:
    """Whatever one asks: nobody can delete what a version, or the log, needs."""
    before = house.stored()
    for scopes in (ALICE, ("read", "write"), ("admin",)):
        storage = house.storage(*scopes)
        for key in sorted(before - {key for key in before if key.startswith("state/")}):
            with pytest.raises(CannotWriteError):
                storage.delete(key)
        for key in (key for key in before if key.startswith("state/")):
            with pytest.raises(CannotWriteError):
                storage.delete(key)
    assert house.stored() == before
    admin = house.store("admin")
    version = admin.version("alice@1")
    admin.delete("alice@1")
    with pytest.raises(CannotWriteError, match="condemn"):
        admin.storage.delete(pack_key(version.packs[0]))
    admin.gc(grace=3600)
    admin.gc(grace=0)
    assert pack_key(version.packs[0]) not in house.stored()
    assert house.local.check().sound


def test_a_condemned_object_stays_for_the_grace_of_the_server(tmp_path: Path) -> None:
    with guarded(tmp_path / "store", tmp_path / "tokens.json", grace=3600.0) as house:
        store = house.store("admin")
        pack = store.save("iris", {"w": W}).packs[0]
        store.save("iris", {"w": 1})
        store.delete("iris@1")
        with pytest.raises(CannotWriteError, match="a short time ago"):
            store.gc(grace=0)
        assert pack_key(pack) in house.stored()


def test_shortcuts_that_nothing_needs_are_deleted_by_an_admin(house: Guarded) -> None:
    for number in range(16):
        house.store("admin").note("alice", str(number))
    key = page_key("0" * 64)
    house.local.storage.create(key, b"{}")
    with pytest.raises(CannotWriteError, match="in use"):
        house.storage("admin").delete(key)  # it is new
    os.utime(house.folder / key, (1, 1))
    with pytest.raises(CannotWriteError, match="only an admin"):
        house.storage("read", "write").delete(key)
    before = {each for each in house.stored() if each.startswith("state/")} - {key}
    assert len(before) > 4
    house.store("admin").gc(grace=0, everything=True)
    assert {each for each in house.stored() if each.startswith("state/")} == before


def test_an_answer_is_bounded_and_a_client_asks_again(tmp_path: Path) -> None:
    with shared(str(tmp_path / "store"), "full") as running:
        data = bytes_of(20 << 20)
        saver.addresses.open_storage(str(tmp_path / "store")).create("a", data)
        answer = running.ask("/store/objects/a", headers={"saver-store": "1"})
        assert (answer.status, len(answer.data), answer.headers["saver-size"]) == (
            206,
            16 << 20,
            str(20 << 20),
        )
        assert open_storage(running.server.address).read("a") == data


def test_only_sound_objects_of_saver_come_in(house: Guarded) -> None:
    """Keys of other kinds, tricks with paths, and bytes that are not what their key says."""
    before = house.stored()
    pack = next(key for key in before if key.startswith("packs/"))
    data = house.local.storage.read(pack)
    other = f"packs/{'e' * 32}.safetensors"
    fresh = pack_key("d" * 32)
    tries: list[tuple[str, bytes]] = [
        ("a/b", b"x"), ("packs/x.safetensors", b"x"), ("log/1.json", b"x"), ("probe/a", b"x"),
        (f"manifests/00/{'0' * 64}.json", b"{}"), (f"trees/00/{'0' * 64}.json", b"{}"),
        (f"state/{'0' * 20}.json", b"{}"), (f"state/pages/00/{'0' * 64}.json", b"{}"), ("state/free-1", b""),
        (f"state/users/{'0' * 20}.json", b"{}"), (f"clock/{'0' * 32}", b"x"), (f"keys/{'0' * 32}.age", b"x"),
        (other, data), (fresh, b""), (fresh, b"x" * 100), (fresh, data[:-1]), (fresh, data + b"x"),
    ]  # fmt: skip
    for key, bad in tries:
        answer = house.ask(f"/store/objects/{key}", bad, method="PUT")
        assert answer.status in (400, 403, 412, 413, 422), (key, answer.status, answer.data)
    for path in (
        "../x",
        "..%2fx",
        "%2e%2e/x",
        "/etc/passwd",
        "a%00b",
        "packs/..",
        "log/../store.json",
        "A",
        "a" * 300,
        "a/" * 600 + "a",
        "store.json%0a",
        "store.json%0d%0a",
    ):
        for method in ("GET", "PUT"):
            body = b"x" if method == "PUT" else None
            answer = house.ask(f"/store/objects/{path}", body, method=method)
            assert answer.status in (400, 404, 422), (path, answer.status)
            assert b"root:" not in answer.data
    for query in ("prefix=../", "prefix=a", "prefix=/", "prefix=%2e%2e/"):
        assert house.ask(f"/store/list?{query}").status == 400
    for keys in (["../x"], ["a"] * 1001, "a", [1], None):
        for path in ("/store/stats", "/store/delete"):
            assert house.ask(path, {"keys": keys}, method="POST").status in (400, 413, 422)
    assert house.stored() - {key for key in house.stored() if key.startswith("state/")} <= before


def test_messages_do_not_say_where_the_store_is(house: Guarded) -> None:
    kept: Any = house.running.server._sharing
    keeper, place = kept._keeper, str(house.folder)
    assert keeper.clean(f"{place}: x") == "the store: x"
    assert keeper.clean(f"in {place}/log/1.json and {place}") == "in log/1.json and the store"
    keeper.outer = open_storage("memory://store")
    name = str(keeper.outer)
    assert (
        keeper.clean(f"restore {name}; a{name} {name}s {name}-1")
        == f"restore the store; a{name} {name}s {name}-1"
    )


@pytest.mark.parametrize("at", [10, 200, -100, -1])
def test_a_pack_with_one_changed_bit_is_refused(house: Guarded, tmp_path: Path, at: int) -> None:
    other = saver.Saver(tmp_path / "other")
    pack = other.save("alice", {"w": W + 7}).packs[0]
    data = bytearray(other.storage.read(pack_key(pack)))
    data[at] ^= 1
    with pytest.raises((DamagedError, IncompatibleError)):
        house.storage(*ALICE).put(pack_key(pack), Bytes(bytes(data)))
    assert pack_key(pack) not in house.stored()
    data[at] ^= 1
    house.storage(*ALICE).put(pack_key(pack), Bytes(bytes(data)))
    assert house.local.storage.read(pack_key(pack)) == data


def test_compressed_packs_are_examined_in_bounded_steps(house: Guarded) -> None:
    pytest.importorskip("zstandard")
    store = house.store("read", "write:alice")
    store.save("alice", {"n": np.zeros(3_000_000, np.int64)}, compress=True)
    assert house.local.check().sound
    assert not store.load("alice")["n"].any()


# Tokens


def test_tokens_are_needed_and_never_shown(
    house: Guarded, tmp_path: Path, monkeypatch: Any, caplog: Any
) -> None:
    text = house.token("read")
    other = text[:-3] + "abc"
    store = saver.Saver(house.address, token=text)
    assert store.versions("alice")
    file = tmp_path / "token"
    file.write_text(f"{text}\n")
    assert saver.Saver(house.address, token=file).versions("alice")
    monkeypatch.setenv("SAVER_TOKEN", text)
    assert saver.Saver(house.address).versions("alice")
    monkeypatch.delenv("SAVER_TOKEN")
    expired = house.token("read", days=-1)
    for token, want in ((None, "a token is needed"), (other, "does not take"), (expired, "expired")):
        with pytest.raises(CannotReadError, match=want) as found:
            saver.Saver(house.address, token=token).versions("alice")
        assert found.value.errno is not None
        for secret in (text, other, expired):
            assert secret not in str(found.value) + repr(found.value) + caplog.text
    assert text not in repr(store) + repr(store.storage) + repr(vars(store.storage))
    import pickle

    assert text.encode() not in pickle.dumps(store.storage)
    assert store.storage.__reduce__()


def test_too_many_guesses_are_refused_and_good_tokens_go_on(house: Guarded) -> None:
    good = house.store("read")
    guesser = saver.Saver(f"{house.address}?deadline=0.3", token="saver_" + "0" * 12 + "_" + "A" * 43)
    for _ in range(12):
        with pytest.raises(CannotReadError):
            guesser.versions("alice")
    with pytest.raises(CannotReadError, match="often"):
        guesser.versions("alice")
    assert good.versions("alice")


def test_a_token_with_a_rate_waits(house: Guarded) -> None:
    store = saver.Saver(house.address, token=house.token("read", rate=20))
    assert store.load("alice")["w"][1] == 1
    for _ in range(3):
        assert store.versions("alice")


# Limits


def test_giant_bodies_are_refused_before_they_are_kept(tmp_path: Path) -> None:
    limits = Limits(object_bytes=2 << 20, document_bytes=4096, spool_bytes=3 << 20, body_seconds=1)
    with guarded(tmp_path / "store", tmp_path / "tokens.json", limits=limits) as house:
        store = house.store("admin")
        store.save("alice", {"w": W})
        with pytest.raises(CannotWriteError, match="at most"):
            store.save("alice", {"w": np.random.default_rng(0).random(1_000_000)})
        with pytest.raises(CannotWriteError, match="at most"):
            store.note("alice", "x" * 8000)
        unannounced = Pieces(12 << 20, lambda: iter([bytes(1 << 20)] * 12))
        with pytest.raises(CannotWriteError, match="at most"):
            house.storage("admin").put(pack_key("d" * 32), unannounced)
        for size in ("99999999999999", "2097153"):
            asked = house.running.raw(
                f"PUT /store/objects/packs/{'0' * 32}.safetensors HTTP/1.1\r\nhost: localhost\r\n"
                f"authorization: Bearer {house.token('admin')}\r\nsaver-store: 1\r\nif-none-match: *\r\n"
                f"content-length: {size}\r\n\r\n".encode()
            )
            assert asked.startswith(b"HTTP/1.1 413")
        sharing: Any = house.running.server._sharing
        assert sharing._spool.held == 0
        assert house.running.server.house.bodies.held == 0
        assert house.local.check().sound


def test_a_body_that_stops_is_given_up(tmp_path: Path) -> None:
    limits = Limits(body_seconds=0.3)
    with guarded(tmp_path / "store", tmp_path / "tokens.json", limits=limits) as house:
        house.store("admin").save("alice", 1)
        before = house.stored()
        asked = house.running.raw(
            f"PUT /store/objects/packs/{'0' * 32}.safetensors HTTP/1.1\r\nhost: localhost\r\n"
            f"authorization: Bearer {house.token('admin')}\r\nsaver-store: 1\r\nif-none-match: *\r\n"
            "content-length: 3000000\r\n\r\n".encode()
            + b"x" * 2_000_000
        )
        assert asked.startswith(b"HTTP/1.1 408")
        sharing: Any = house.running.server._sharing
        assert sharing._spool.held == 0
        assert house.stored() == before


# What a server shares, and what it cannot read


@pytest.mark.parametrize("share", ["read", "full"])
def test_how_much_is_shared(tmp_path: Path, share: str) -> None:
    with guarded(tmp_path / "store", tmp_path / "tokens.json", share) as house:
        house.local.save("alice", {"w": W})
        assert house.store("read").load("alice")["w"][1] == 1
        if share == "read":
            with pytest.raises(CannotWriteError, match="reading alone"):
                house.store("admin").save("alice", 1)
        else:
            with pytest.raises(CannotWriteError, match="write for the whole store"):
                house.store(*ALICE).save("alice", 1)
            house.store("read", "write").save("alice", 1)
            assert house.local.load("alice") == 1


@pytest.mark.parametrize("share", ["read", "checked", "full"])
def test_a_sealed_store_that_the_server_cannot_open(tmp_path: Path, share: str) -> None:
    pytest.importorskip("cryptography")
    key = _key(tmp_path)
    saver.Saver(tmp_path / "store", key=key).save("alice", {"w": W})
    with guarded(tmp_path / "store", tmp_path / "tokens.json", share) as house:
        before = house.stored()
        assert house.store("read", key=key).load("alice")["w"][1] == 1
        with pytest.raises(SaverError, match="sealed"):
            house.store("read").load("alice")
        store = house.store("admin", key=key)
        if share == "full":
            store.save("alice", {"w": W + 1})
            assert saver.Saver(tmp_path / "store", key=key).load("alice")["w"][1] == 2
        else:
            with pytest.raises(CannotWriteError, match="reading"):
                store.save("alice", {"w": W + 1})
            assert house.stored() == before


def test_a_sealed_store_that_the_server_can_open_is_examined(tmp_path: Path, monkeypatch: Any) -> None:
    pytest.importorskip("cryptography")
    key = _key(tmp_path)
    saver.Saver(tmp_path / "store", key=key).save("bob", {"w": W})
    monkeypatch.setenv("SAVER_KEY", key)
    with guarded(tmp_path / "store", tmp_path / "tokens.json") as house:
        store = house.store("read", "write:alice", key=key)
        for number in range(20):
            store.save("alice", {"w": W + number, "big": "x" * 100_000})
        with pytest.raises(CannotWriteError, match="write:bob"):
            store.save("bob", {"w": 1})
        with pytest.raises(CannotWriteError):
            store.storage.delete(*store.storage.keys("packs/"))
        again = saver.Saver(tmp_path / "store", key=key)
        assert again.load("alice")["w"][1] == 20
        assert again.check().sound


def _key(folder: Path) -> str:
    from saver.keys.files import new_key_file

    path = folder / "team.key"
    new_key_file(str(path), "x25519")
    return str(path)


def test_records_of_a_store_with_roles_count_by_their_signer(house: Guarded, tmp_path: Path) -> None:
    """Nobody appends a record that would be void, whatever the token."""
    pytest.importorskip("cryptography")
    from signed import private, public

    ann, eve = private("alice"), private("carol")
    admin = house.store("admin", sign=ann)
    admin.grant(public("alice"), "save", "tag", "grant", "delete", "collect", "sign")
    house.store(*ALICE, sign=ann).save("alice", {"w": 2})
    before = house.stored()
    with pytest.raises(SaverError):
        house.store(*ALICE, sign=eve).save("alice", {"w": 3})
    number = len([*house.local.storage.keys("log/")]) + 1
    data = next_record(house, Tag("alice", "x", 1))
    answer = house.ask(f"/store/objects/{log_key(number)}", data, method="PUT")
    assert (answer.status, "void" in answer.json["error"]) == (403, True)
    assert {key for key in house.stored() - before if key.startswith("log/")} == set()

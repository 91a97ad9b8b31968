"""Roles: a record counts if its signer has the right to it, for readers, writers and checks alike."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

pytest.importorskip("cryptography")

import saver
from saver.errors import SignatureError
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
from saver.repo.log import Record
from saver.repo.numbered import PartVersion
from saver.repo.replay import Replay
from saver.repo.repository import Repository
from saver.repo.state import State
from saver.repo.state.rights import RIGHTS, is_right, lacking, refusal
from saver.repo.written import Written
from saver.signing.signatures import Signature, signed
from saver.storages.memory import MemoryStorage
from signed import appended, key_of, private, public, text_of

PACK = "packs/" + "0" * 32 + ".safetensors"


@pytest.fixture(autouse=True)
def heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAVER_HEADS", str(tmp_path / "heads"))


def commit(number: int, tags: tuple[str, ...] = ()) -> Commit:
    return Commit("iris", number, "0" * 64, {"model": PartVersion(1, "0" * 64, 1)}, tags=tags)


EVENTS: dict[str, tuple[Event, set[str]]] = {
    "commit": (commit(9), {"save"}),
    "tag": (Tag("iris", "best", 1), {"tag", "tag:best", "tag:be*", "tag:*"}),
    "untag": (Tag("iris", "best", None), {"tag", "tag:best", "tag:be*", "tag:*"}),
    "label": (Label("iris", 1, {"a": "b"}), {"save"}),
    "note": (Note("iris", 1, "x"), {"save"}),
    "delete": (Delete("iris", (1,)), {"delete"}),
    "condemn": (Condemn((PACK,)), {"collect"}),
    "relocate": (Relocate({"0" * 32: ()}, (PACK,)), {"collect"}),
    "heal": (Relocate({"0" * 32: ()}), {"collect", "save"}),
    "harm": (Harm({"0" * 32: ((0, 1),)}), {"collect", "save"}),
    "void": (Void("0" * 32), {"save"}),
    "sign": (Sign("iris", 1, ()), {"sign", "save"}),
    "holders": (Holders("0" * 32, {}, {}), {"grant"}),
    "roles": (Roles({"ed25519:" + "0" * 64: ("grant",)}), {"grant"}),
}
"""Of each kind: a record, and the rights of which one is needed."""

HELD = {*RIGHTS, "tag:best", "tag:be*", "tag:*", "tag:worst", "tag:b"}


def test_each_kind_of_record_needs_its_right() -> None:
    kinds = {str(event.__struct_config__.tag) for event, _ in EVENTS.values()}
    assert kinds == {str(each.__struct_config__.tag) for each in Event.__args__}
    for name, (event, needed) in EVENTS.items():
        for right in HELD:
            assert (lacking(event, (right,), lambda _: {}) == "") == (right in needed), (name, right)
        assert lacking(event, (), lambda _: {}) in needed | {"tag:best"}
        assert lacking(event, HELD, lambda _: {}) == ""


def test_tags_of_a_commit_and_of_what_is_deleted_need_their_right_too() -> None:
    assert lacking(commit(9, ("best",)), ("save",), lambda _: {}) == "tag:best"
    assert lacking(commit(9, ("best",)), ("save", "tag:best"), lambda _: {}) == ""
    assert lacking(Delete("iris", (1,)), ("delete",), lambda _: {"best": 1, "old": 2}) == "tag:best"
    assert lacking(Delete("iris", (3,)), ("delete",), lambda _: {"best": 1, "old": 2}) == ""


def test_a_kind_that_is_added_needs_the_right_to_grant_unless_somebody_says_otherwise() -> None:
    class Other(Void, frozen=True, tag="other", tag_field="kind"):
        pass

    assert lacking(Other(""), [right for right in HELD if right != "grant"], lambda _: {}) == "grant"
    assert lacking(Other(""), ("grant",), lambda _: {}) == ""


@pytest.mark.parametrize(
    ("right", "valid"),
    [(right, True) for right in sorted(HELD)]
    + [(right, False) for right in ("", "tag:", "saves", "save:x", "tag:" + "x" * 200, "grant ")],
)
def test_what_can_be_granted(right: str, valid: bool) -> None:
    assert is_right(right) == valid


# A store with roles: alice may grant, bob may save, and tag as rc-*


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store = saver.Saver(tmp_path / "models", sign=private("alice"))
    store.save("iris", {"a": [1]})
    store.grant(public("alice"), *RIGHTS)
    store.grant(public("bob"), "save", "tag:rc-*")
    return tmp_path / "models"


def as_(folder: Path, name: str | None) -> saver.Saver:
    return saver.Saver(folder, sign=None if name is None else private(name))


WRITERS: dict[str, tuple[Callable[[saver.Saver], object], str]] = {
    "save": (lambda s: s.save("iris", [2]), "bob"),
    "save in the background": (lambda s: s.save("iris", [2], wait=False).result(), "bob"),
    "tag": (lambda s: s.tag("iris@1", "rc-1"), "bob"),
    "label": (lambda s: s.label("iris@1", {"a": "b"}), "bob"),
    "note": (lambda s: s.note("iris@1", "x"), "bob"),
    "sign": (lambda s: s.sign("iris@1", private("bob")), "bob"),
    "import": (lambda s: s.import_(Path(str(s.storage)).parent / "a.saver", "iris"), "bob"),
    "tag production": (lambda s: s.tag("iris@1", "production"), "alice"),
    "save and tag": (lambda s: s.save("iris", [2], tags=["production"]), "alice"),
    "delete": (lambda s: s.delete("iris@1"), "alice"),
    "grant": (lambda s: s.grant(public("bob"), *RIGHTS), "alice"),
}


@pytest.mark.parametrize("name", ["alice", "bob", "carol", None])
@pytest.mark.parametrize("door", WRITERS)
def test_each_writer_with_the_right_writes_and_others_are_refused_beforehand(
    folder: Path, door: str, name: str | None
) -> None:
    saver.dump([3], folder.parent / "a.saver")
    call, needed = WRITERS[door]
    before = sorted(folder.rglob("*.safetensors")), sorted((folder / "log").iterdir())
    if name == "alice" or name == needed == "bob" or door == "sign":
        call(as_(folder, name))
        assert len(list((folder / "log").iterdir())) == len(before[1]) + 1
    else:
        error = ValueError if door == "grant" and name is None else SignatureError
        with pytest.raises(error):
            call(as_(folder, name))
        assert (sorted(folder.rglob("*.safetensors")), sorted((folder / "log").iterdir())) == before
    assert saver.Saver(folder).check().sound


def test_a_writer_without_a_key_is_refused_before_it_writes_a_byte(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(*_: object) -> None:
        raise AssertionError("it wrote something")

    monkeypatch.setattr(Written, "put", put)
    for name in (None, "carol"):
        with pytest.raises(SignatureError, match="the store has roles"):
            as_(folder, name).save("iris", {"a": list(range(100_000))})


def test_a_run_saves_and_drops_with_the_key_of_its_store(folder: Path) -> None:
    store = as_(folder, "alice")
    with store.checkpoints("run", {"a": [1]}, every=saver.Every(steps=1), keep=saver.Keep(last=2)) as run:
        for step in range(run.resume(), 5):
            run.step(step)
    assert len(store.versions("run")) == 2
    store.gc(grace=0)
    found = store.check()
    assert found.sound
    assert found.refused == ()
    other = as_(folder, None).checkpoints("n", {"a": [1]}, every=saver.Every(steps=1))

    def begin() -> None:
        with other:
            other.resume()
            other.step(0)

    with pytest.raises(SignatureError):
        begin()


def test_a_push_signs_over_there_with_the_key_of_the_store_that_pushes(folder: Path, tmp_path: Path) -> None:
    other = saver.Saver(tmp_path / "other")
    other.save("net", [1], sign=private("carol"))
    with pytest.raises(SignatureError):
        other.push("net", folder)
    pushed = saver.Saver(tmp_path / "other", sign=private("bob")).push("net", folder)
    assert [str(version) for version in pushed.versions] == ["net@1"]
    assert saver.Saver(folder).verify("net@1").signed_by == (text_of("carol"), text_of("bob"))
    other.push("net", as_(folder, "bob"), model="net2")
    assert saver.Saver(folder).check().refused == ()


def test_readers_need_no_key(folder: Path) -> None:
    store = as_(folder, None)
    assert store.load("iris") == {"a": [1]}
    assert store.check().sound
    assert [entry.kind for entry in store.log()] == ["grant", "grant", "save"]
    assert dict(store.roles())[text_of("bob")] == ("save", "tag:rc-*")


FORGED: dict[str, tuple[Event, str | None]] = {
    "unsigned": (Tag("iris", "production", 1), None),
    "by a stranger": (Tag("iris", "production", 1), "carol"),
    "without the right": (Tag("iris", "production", 1), "bob"),
    "a deletion": (Delete("iris", (1,)), "bob"),
    "a condemnation": (Condemn((PACK,)), "bob"),
    "rights of one's own": (Roles({"self": ("grant",)}), "bob"),
    "a signature by a stranger": (Sign("iris", 1, (Signature("ed25519:0", "0"),)), "carol"),
    "a save": (commit(2), "carol"),
    "nonsense, which a reader would refuse": (commit(1, ("latest",)), "carol"),
}


@pytest.mark.parametrize("what", FORGED)
def test_a_record_without_the_right_changes_nothing_and_is_named(folder: Path, what: str) -> None:
    event, name = FORGED[what]
    before = saver.Saver(folder).versions("iris")
    repo = saver.Saver(folder)._repo
    record = appended(repo, event, name)
    fresh = saver.Saver(folder)
    assert fresh.versions("iris") == before
    assert fresh.summary("iris").tags == {}
    assert set(fresh.roles()) == {text_of("alice"), text_of("bob")}
    found = fresh.check()
    assert found.sound
    assert [each.partition(":")[0] for each in found.refused] == [f"log/{record.number:020}.json"]
    assert "void, as " in str(next(fresh.log()))
    as_(folder, "bob").save("iris", [5])
    assert saver.Saver(folder).load("iris@2") == [5]


def test_a_signature_for_another_place_in_the_log_is_void(folder: Path) -> None:
    """A record that alice signed, appended again: it says another number, and another record before it."""
    repo = saver.Saver(folder)._repo
    good = appended(repo, Tag("iris", "production", 1), "alice")
    appended(repo, Tag("iris", "production", None), "alice")
    head, digest = repo.state.last()
    again = replace(good, number=head + 1, previous=digest)
    assert repo.state.log.append(again)
    assert saver.Saver(folder).summary("iris").tags == {}
    assert len(saver.Saver(folder).check().refused) == 1


def test_the_first_roles_let_their_signer_grant_and_somebody_always_may(tmp_path: Path) -> None:
    store = saver.Saver(tmp_path / "models")
    store.save("iris", [1])
    for event, name in (
        (Roles({text_of("bob"): ("grant",)}), "alice"),
        (Roles({text_of("alice"): ("grant",)}), None),
        (Roles({text_of("alice"): ("save",)}), "alice"),
        (Roles({}), "alice"),
    ):
        appended(store._repo, event, name)
        assert dict(saver.Saver(tmp_path / "models").roles()) == {}
        assert "void, as " in str(next(saver.Saver(tmp_path / "models").log()))
    mine = saver.Saver(tmp_path / "models", sign=private("alice"))
    mine.grant(public("bob"), "save")
    assert dict(mine.roles()) == {text_of("alice"): ("grant",), text_of("bob"): ("save",)}
    with pytest.raises(SignatureError, match="nobody could grant anything after it"):
        mine.grant(public("alice"), "save")
    for other in ("ed25519:01" + "0" * 62, "ed25519:02" + "0" * 62, "p256:02" + "f" * 64, "rsa:1"):
        with pytest.raises(SignatureError, match="nobody could grant anything after it"):  # with such a key
            mine._repo.append(lambda other=other: Roles({text_of("alice"): (), other: ("grant",)}))  # type: ignore[misc]
    mine.grant(public("bob"), "grant")
    mine.grant(public("alice"))
    assert dict(mine.roles()) == {text_of("bob"): ("grant",)}
    with pytest.raises(SignatureError, match="has no rights"):
        mine.grant(public("alice"), "grant")


def test_roles_have_limits(tmp_path: Path) -> None:
    mine = saver.Saver(tmp_path / "models", sign=private("alice"))
    mine.save("iris", [1])
    many = {f"ed25519:{number:064x}": ("save",) for number in range(1001)}
    for grants in (many, {"k" * 201: ("save",)}, {"k": ("r" * 201,)}, {"k": ("save",) * 10_000}):
        with pytest.raises(SignatureError, match="more than a log can say"):
            mine._repo.append(lambda grants=grants: Roles({text_of("alice"): ("grant",), **grants}))  # type: ignore[misc]


def test_what_cannot_be_granted_is_said(folder: Path) -> None:
    with pytest.raises(ValueError, match="rights: 'load' is not a right"):
        as_(folder, "alice").grant(public("carol"), "load")
    with pytest.raises(ValueError, match="a grant must be signed"):
        as_(folder, None).grant(public("carol"), "save")
    as_(folder, "alice").grant(public("bob"), "save", "tag:rc-*")  # as it is: writes nothing
    assert len(list((folder / "log").iterdir())) == 3


# The state is a pure function of the log


def facts(state: State) -> object:
    return (
        dict(state.models()), list(state.all_versions()), list(state.all_tags()), dict(state.roles),
        list(state.all_refused()), state.all_freed(), list(state.all_gone()),
    )  # fmt: skip


def some(choose: random.Random, repo: Repository) -> Event:
    model = repo.state.model("iris")
    number = choose.choice([each for each, _ in repo.state.versions("iris")] or [1])
    keys = [text_of(name) for name in ("alice", "bob", "carol", "dave")]
    rights = tuple(choose.sample(sorted(HELD), choose.randrange(5)))
    chosen: Event = choose.choice((
        commit((model.last if model else 0) + 1, choose.choice(((), ("best",), ("rc",)))),
        Tag("iris", choose.choice(("best", "worst")), choose.choice((number, None))),
        Label("iris", number, {"a": "b"}), Sign("iris", number, (Signature(choose.choice(keys), "0"),)),
        Delete("iris", (number,)), Condemn((PACK,)), Roles({choose.choice(keys): rights}),
        Roles({text_of("alice"): RIGHTS}), Void("0"),
    ))  # fmt: skip
    return chosen


@pytest.mark.parametrize("seed", range(12))
def test_the_state_is_a_pure_function_of_the_log_however_it_is_read(seed: int) -> None:
    """Read on, from shortcuts, from the log alone, or replayed by a check: it is the same."""
    choose, storage = random.Random(seed), MemoryStorage(f"roles {seed}")
    writer = Repository(storage)
    writer.open_to_write().finish()
    writer.append(lambda: commit(1))
    refused = 0
    for _ in range(60):
        writer.open()
        event, name = some(choose, writer), choose.choice(("alice", "alice", "bob", "carol", None))
        last = writer.state.last()
        record = Record(1, last[0] + 1, last[1], writer.fresh(), 0.0, event)
        if name is not None:
            record = replace(record, signed=signed(record, key_of(name)))
        void = refusal(record, writer.state.roles, writer.state.tags)
        gone = not any(each for each, _ in writer.state.versions("iris"))
        if (
            not void
            and gone
            and isinstance(event, Tag | Label | Sign)
            and getattr(event, "number", 1) is not None
        ):
            continue
        assert writer.state.log.append(record)
        refused += bool(void)
        writer.open()
        writer.state.keep_checkpoint().finish()
    alone = State(storage)
    alone.alone = True
    shortcut, replay = State(storage), Replay()
    for state in (alone, shortcut):
        state.refresh()
        assert facts(state) == facts(writer.state)
    for number in range(1, alone.head + 1):
        replay.follow(alone.log.read(number)[0])
    assert (replay.roles, replay.refused) == (dict(alone.roles), dict(alone.all_refused()))
    assert replay.contradicted(dict(alone.models()), list(replay.versions().values())) == []
    assert refused == len(replay.refused)
    assert not alone.roles or refused


def test_a_checkpoint_that_grants_what_the_log_does_not_is_found(folder: Path) -> None:
    store = as_(folder, "alice")
    for number in range(20):
        store.label("iris@1", {"n": number})
    (path,) = (folder / "state").glob("[0-9]*.json")
    from saver.repo import document
    from saver.repo.state.checkpoint import Checkpoint

    found, _ = document.decode(path.read_bytes(), Checkpoint, "")
    path.unlink()
    path.write_bytes(document.encode(replace(found, roles={text_of("carol"): ("grant",)})))
    checked = saver.Saver(folder).check()
    assert {each.key for each in checked.damage} == {"state"}
    assert set(as_(folder, None).roles()) == {text_of("alice"), text_of("bob")}

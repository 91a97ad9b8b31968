"""Holders are added and removed, and data keys begun: every interleaving of two who do so, every call that
fails, and nobody who was added is lost, nor any data key."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from asking import Held as Contents
from cases import content_of, stored
from explorer import Actor, Failed, Moment, explore

pytest.importorskip("cryptography")
pytest.importorskip("pyrage")

import saver
from saver.errors import CannotWriteError, DamagedError, NotFoundError, SaverError, WrongKeyError
from saver.keys import age, scrypt
from saver.keys.holders import StoreKeys, bundle_key, holder_of, seal_header, with_new_epoch, write_bundle
from saver.keys.opening import open_bundles, opened
from saver.keys.secret import Identity, Passphrase, SecretBytes
from saver.keys.sources import Keys
from saver.repo import document, holding
from saver.repo.audit import entries
from saver.repo.backup import backup
from saver.repo.entry import said
from saver.repo.events import Holders
from saver.repo.format import STORE_KEY, Format
from saver.repo.holding import Held
from saver.repo.log import Log
from saver.repo.repository import Repository
from saver.storage import Bytes, Storage
from saver.storages.memory import MemoryStorage
from saver.testing.enumeration import every_fault
from saver.testing.faults import Crash
from saver.testing.kinds import overtaken
from secrecy import leaks
from signed import appended

ADA, ANN, BOB = age.new_identity(), age.new_identity(), age.new_identity()
EPOCHS = (b"the first data key of the store!", b"another data key, for what comes")
KEYS = StoreKeys(bytes(range(32)), EPOCHS[:1])
FIRST = "0" * 32


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrypt, "FACTOR", scrypt.FACTORS[0])


@pytest.fixture(autouse=True)
def _unsealed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here objects are stored as they are, so that equal states of a store are equal."""
    monkeypatch.setattr(Storage, "admit", lambda self, ident, seal: None)


def key(identity: Identity) -> Keys:
    return Keys(identity.reveal)


def repository(storage: Storage) -> Repository:
    return Repository(storage, lambda: "ada")


def made() -> MemoryStorage:
    """A store that Ada holds."""
    storage = MemoryStorage()
    write_bundle(storage, FIRST, KEYS, [holder_of(ADA.public, "ada", 1.0)])
    storage.create(STORE_KEY, document.encode(Format(1, "5" * 32, seal=seal_header(KEYS))))
    return storage


def adds(storage: Storage, who: Identity, name: str, by: Identity = ADA) -> Held:
    return holding.add(repository(storage), storage, key(by), who.public, name)


def names(storage: Storage, who: Identity = ADA) -> list[str]:
    return [each.name for each in holding.held(repository(storage), storage, key(who)).holders]


def opens(storage: Storage, *who: Identity) -> None:
    for each in who:
        assert open_bundles(storage, key(each), seal_header(KEYS)).names == KEYS.names


def opens_not(storage: Storage, who: Identity) -> None:
    with pytest.raises(WrongKeyError):
        open_bundles(storage, key(who), seal_header(KEYS))


def test_a_holder_is_added_and_opens_the_store() -> None:
    storage = made()
    opens_not(storage, ANN)
    held = adds(storage, ANN, "ann")
    assert held.changed == {"ann": ANN.public}
    assert names(storage, ANN) == ["ada", "ann"]
    opens(storage, ADA, ANN)
    assert len([*storage.keys("keys/")]) == 1, "those of before are gone"
    adds(storage, BOB, "bob", by=ANN)
    opens(storage, ADA, ANN, BOB)


def test_adding_again_changes_nothing_and_a_name_is_taken_once() -> None:
    storage = made()
    adds(storage, ANN, "ann")
    before = content_of(storage)
    assert adds(storage, ANN, "anna").changed == {}
    with pytest.raises(ValueError, match="there is a holder ann already; nothing was changed"):
        adds(storage, BOB, "ann")
    with pytest.raises(ValueError, match="is not a public key"):
        holding.add(repository(storage), storage, key(ADA), "age1nothing", "x")
    assert content_of(storage) == before


def test_a_holder_is_removed_by_name_or_key() -> None:
    for by in ("ann", ANN.public):
        storage = made()
        adds(storage, ANN, "ann")
        held = holding.remove(repository(storage), storage, key(ADA), by)
        assert held.changed == {"ann": None}
        opens_not(storage, ANN)
        opens(storage, ADA)
        with pytest.raises(NotFoundError, match="is not a holder; nothing was changed; there are ada"):
            holding.remove(repository(storage), storage, key(ADA), by)


def test_the_last_holder_stays() -> None:
    storage = made()
    with pytest.raises(ValueError, match="ada is the only holder, and nobody could open the store"):
        holding.remove(repository(storage), storage, key(ADA), "ada")
    opens(storage, ADA)


def test_one_may_remove_oneself() -> None:
    storage = made()
    adds(storage, ANN, "ann")
    holding.remove(repository(storage), storage, key(ADA), "ada")
    opens_not(storage, ADA)
    opens(storage, ANN)


def test_a_passphrase_is_a_holder_and_gets_new_data_keys() -> None:
    storage = made()
    held = holding.add_passphrase(repository(storage), storage, key(ADA), Passphrase("correct horse"), "team")
    assert [each.kind for each in held.holders] == ["x25519", "passphrase"]
    holding.rotate(repository(storage), storage, key(ADA))
    adds(storage, ANN, "ann")
    found = open_bundles(storage, Keys(lambda: "correct horse"), seal_header(KEYS))
    assert found == open_bundles(storage, key(ANN), seal_header(KEYS))
    assert len(found.epochs) == 2
    assert len([*storage.keys("keys/")]) == 2
    holding.remove(repository(storage), storage, Keys(lambda: "correct horse"), "team")
    assert len([*storage.keys("keys/")]) == 1, "its identity is gone too"
    with pytest.raises(SaverError):
        open_bundles(storage, Keys(lambda: "correct horse"), seal_header(KEYS))


def test_a_rotation_begins_a_new_data_key_and_keeps_the_others() -> None:
    storage, repo = made(), repository(made())
    for number in range(2, 6):
        held = holding.rotate(repository(storage), storage, key(ADA))
        assert held.epochs == number
    found = open_bundles(storage, key(ADA), seal_header(KEYS))
    assert (found.names, found.epochs[0]) == (KEYS.names, KEYS.epochs[0])
    assert len(set(found.epochs)) == 5
    assert repo.format().seal == seal_header(KEYS)


def test_what_a_removed_holder_knows_is_not_the_new_data_key() -> None:
    storage = made()
    adds(storage, ANN, "ann")
    known = open_bundles(storage, key(ANN), seal_header(KEYS))
    holding.remove(repository(storage), storage, key(ADA), "ann")
    holding.rotate(repository(storage), storage, key(ADA))
    assert open_bundles(storage, key(ADA), seal_header(KEYS)).epochs[-1] not in known.epochs


def test_a_store_has_at_most_64_holders() -> None:
    storage = made()
    holders = [holder_of(age.new_identity().public, f"h{number}", 1.0) for number in range(63)]
    storage.delete(bundle_key(FIRST))
    write_bundle(storage, FIRST, KEYS, [holder_of(ADA.public, "ada", 1.0), *holders])
    with pytest.raises(ValueError, match="the store has 64 holders, which is the most; nothing was changed"):
        adds(storage, ANN, "ann")
    holding.remove(repository(storage), storage, key(ADA), "h5")
    assert len(adds(storage, ANN, "ann").holders) == 64
    opens(storage, ADA, ANN)


def test_the_log_says_who_was_added_and_removed() -> None:
    storage = made()
    adds(storage, ANN, "ann")
    holding.rotate(repository(storage), storage, key(ADA))
    holding.remove(repository(storage), storage, key(ADA), "ann")
    repo = repository(storage)
    repo.open()
    found = [(each.kind, each.author, dict(each.holders), said(each)) for each in entries(repo)]
    assert found == [
        ("holders", "ada", {"ann": None}, "removed the holder ann"),
        ("holders", "ada", {}, "began a new data key"),
        ("holders", "ada", {"ann": ANN.public}, f"added the holder ann ({ANN.public})"),
    ]
    assert [*entries(repo, kinds=frozenset({"tag"}))] == []


def test_who_counts_is_in_the_checkpoints_of_the_log() -> None:
    storage = made()
    store = saver.Saver(storage)
    adds(storage, ANN, "ann")
    named = repository(storage)
    named.open()
    for number in range(40):
        store.save("m", number)
    again = repository(storage)
    again.open()
    assert again.state.bundle() == named.state.bundle() != ""
    assert [key for key in storage.keys("state/") if "pages" in key]


@pytest.mark.parametrize(
    "bundle", ["", "x", "../../etc/passwd", "a" * 31, "A" * 32, "a" * 33, "a\n" + "a" * 30]
)
def test_a_record_that_names_what_cannot_be_a_bundle_is_refused(bundle: str) -> None:
    repo = repository(made())
    with pytest.raises(saver.CannotWriteError, match="is not the name of a bundle"):
        repo.append(lambda: Holders(bundle, {}, {}))
    with pytest.raises(saver.IncompatibleError, match="is not the name of a bundle"):
        appended(repo, Holders(bundle, {}, {}), None)


# Two at once


def _fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrapping without chance, so that a bundle is the same each time: an actor must do the same each time
    that it lives."""

    def wrap(data: bytes, recipients: list[str]) -> bytes:
        return json.dumps([sorted(recipients), data.decode()]).encode()

    def unwrap(data: bytes, identities: Any = (), passphrases: Any = (), where: str = "") -> bytes:
        recipients, content = json.loads(data)
        if not {each.public for each in identities} & set(recipients):
            raise WrongKeyError(where)
        return bytes(content.encode())

    monkeypatch.setattr(age, "wrap", wrap)
    monkeypatch.setattr(age, "unwrap", unwrap)
    monkeypatch.setattr(age, "for_passphrase", lambda data, where: data == b"phrase")
    monkeypatch.setattr(age, "wrap_for_passphrase", lambda data, passphrase: b"phrase")
    monkeypatch.setattr(age, "new_identity", lambda: BOB)
    monkeypatch.setattr(
        age, "identity", lambda text, where: next(each for each in (ADA, ANN, BOB) if each.reveal() == text)
    )


def _actor(name: str, act: Callable[[Repository, Storage], Held]) -> Actor:
    def live(storage: Storage) -> Any:
        numbers = iter(range(1, 1000))
        repo = Repository(storage, fresh=lambda: f"{name}{next(numbers):031}", clock=lambda: 1.0)
        held = act(repo, storage)
        return tuple(sorted(held.changed.items(), key=str)), held.epochs

    return live


ACTS: dict[str, Callable[[Repository, Storage], Held]] = {
    "adds ann": lambda repo, storage: holding.add(repo, storage, key(ADA), ANN.public, "ann"),
    "adds bob": lambda repo, storage: holding.add(repo, storage, key(ADA), BOB.public, "bob"),
    "adds bob as ann": lambda repo, storage: holding.add(repo, storage, key(ADA), BOB.public, "ann"),
    "adds a passphrase": lambda repo, storage: holding.add_passphrase(
        repo, storage, key(ADA), Passphrase("a"), "team"
    ),
    "removes ada": lambda repo, storage: holding.remove(repo, storage, key(ADA), "ada"),
    "rotates": lambda repo, storage: holding.rotate(repo, storage, key(ADA)),
}


class _Judged:
    """What must hold at every moment, so also when anyone is killed there: the bundle that the log names is
    there, with all data keys that were ever in one that it named; those who were added open it, and in the
    end nobody else opens anything."""

    def __init__(self) -> None:
        self.ends: set[tuple[str, str]] = set()

    def __call__(self, moment: Moment) -> None:
        storage = stored(moment.content)
        events = _events(storage)
        if not events:
            assert bundle_key(FIRST) in moment.content
            return
        newest = events[-1]
        assert bundle_key(newest.bundle) in moment.content, "the bundle that counts is there"
        recipients, content = json.loads(moment.content[bundle_key(newest.bundle)])
        assert sorted(newest.holders.values()) == recipients
        wrapped = {each["wrapped"] for each in json.loads(content)["holders"] if "wrapped" in each}
        assert all(bundle_key(each) in moment.content for each in wrapped)
        held = set(json.loads(content)["epochs"])
        every = {each for data in _bundles(moment.content) for each in json.loads(data[1])["epochs"]}
        assert KEYS.epochs[0].hex() in held
        for name, end in moment.ended.items():
            self.ends.add((name, end.kind if isinstance(end, Failed) else "done"))
            if not isinstance(end, Failed):
                gone = {who for who, key in end[0] if key is None}
                assert all(who not in newest.holders for who in gone)
                assert all(newest.holders.get(who) == key for who, key in end[0] if key is not None)
                assert len(held) >= end[1]
        if len(moment.ended) == 2:
            assert every == held, "no data key is only in what is left over"
            left = {each for each in moment.content if each.startswith("keys/")}
            assert left >= {*map(bundle_key, (newest.bundle, *wrapped))}
            for data in _bundles(moment.content):
                assert set(data[0]) <= {*newest.holders.values()}, "nothing is left for others"


def _bundles(content: Contents) -> list[Any]:
    return [
        json.loads(data) for each, data in content.items() if each.startswith("keys/") and data != b"phrase"
    ]


def _events(storage: Storage) -> list[Holders]:
    log = Log(storage)
    found = [record.event for record, _ in log.read_on(1, log.head())]
    return [event for event in found if isinstance(event, Holders)]


PAIRS = [
    ("adds ann", "adds bob"),
    ("adds ann", "adds ann"),
    ("adds ann", "adds bob as ann"),
    ("adds ann", "adds a passphrase"),
    ("adds ann", "rotates"),
    ("rotates", "rotates"),
]


@pytest.mark.parametrize("pair", PAIRS, ids=" and ".join)
@pytest.mark.parametrize("remote", [False, True], ids=["near", "far"])
def test_two_at_once_in_every_interleaving(
    pair: tuple[str, str], remote: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fake(monkeypatch)
    epochs = {"a": bytes([7]) * 32, "b": bytes([8]) * 32}
    judge = _Judged()
    storage = MemoryStorage()
    write_bundle(storage, FIRST, KEYS, [holder_of(ADA.public, "ada", 1.0)])
    storage.create(STORE_KEY, document.encode(Format(1, "5" * 32, seal=seal_header(KEYS))))

    def act(name: str, what: str) -> Actor:
        if what == "rotates":
            return _actor(name, lambda repo, storage: holding._change(
                repo, storage, key(ADA),
                lambda found: (with_new_epoch(found.keys, epochs[name]), found.holders),
            ))  # fmt: skip
        return _actor(name, ACTS[what])

    actors = {name: act(name, what) for name, what in zip("ab", pair, strict=True)}
    found = explore(content_of(storage), actors, judge, remote=remote)
    assert found.ends
    failing = pair == ("adds ann", "adds bob as ann")
    assert {end for _, end in judge.ends} == ({"done", "ValueError"} if failing else {"done"})


@pytest.mark.slow
@pytest.mark.parametrize("what", ["adds ann", "rotates", "removes"])
def test_every_call_fails_once_and_the_store_still_opens(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer may get lost, too, or another holder be added in between."""

    def start() -> MemoryStorage:
        storage = made()
        adds(storage, BOB, "bob")
        return storage

    def act(storage: Storage) -> Held:
        if what == "removes":
            return holding.remove(repository(storage), storage, key(ADA), "bob")
        return ACTS[what](repository(storage), storage)

    other = overtaken(lambda storage: adds(storage, age.new_identity(), f"x{len([*storage.keys('log/')])}"))
    monkeypatch.setattr(holding, "new_epoch", lambda: SecretBytes(EPOCHS[1]))
    cases = [*every_fault(start, act), *every_fault(start, act, other)]
    assert len(cases) > 100
    for case in cases:
        struck = case.strike()
        storage = struck.storage
        assert struck.error is None or leaks(struck.error, KEYS.names, *EPOCHS, ADA.reveal()) == []
        found = open_bundles(storage, key(ADA), seal_header(KEYS))
        assert KEYS.epochs[0] in found.epochs, case
        if struck.error is None and what == "adds ann":
            opens(storage, ANN)
            assert "ann" in names(storage)
        if struck.error is None and what == "removes":
            assert "bob" not in names(storage), case
            opens_not(storage, BOB)
        assert struck.error is None or isinstance(struck.error, SaverError | Crash), struck.error
        adds(storage, age.new_identity(), "later")
        assert "later" in names(storage), case
        assert bundle_key(FIRST) not in content_of(storage), (
            "what a failed change left is cleared by the next"
        )


def test_a_killed_change_leaves_what_the_next_one_clears() -> None:
    storage = made()
    lost = with_new_epoch(KEYS, bytes([9]) * 32)
    holders = [holder_of(ADA.public, "ada", 1.0), holder_of(BOB.public, "bob", 1.0)]
    write_bundle(storage, "f" * 32, lost, holders, 1)
    assert names(storage) == ["ada"], "no record says that Bob was added"
    adds(storage, ANN, "ann")
    opens_not(storage, BOB)
    assert set(open_bundles(storage, key(ANN), seal_header(KEYS)).epochs) == {*lost.epochs}, (
        "no data key is lost"
    )
    assert len([*storage.keys("keys/")]) == 1


def test_a_holder_who_was_removed_meanwhile_changes_nothing() -> None:
    storage = made()
    adds(storage, ANN, "ann")
    write_bundle(storage, "f" * 32, KEYS, [holder_of(ANN.public, "ann", 1.0)], 2)  # what a try of hers left
    holding.remove(repository(storage), storage, key(ADA), "ann")
    with pytest.raises(WrongKeyError, match="opened the store before its holder was removed"):
        adds(storage, BOB, "bob", by=ANN)


def test_an_old_bundle_that_cannot_be_deleted_is_said() -> None:
    class Stubborn(MemoryStorage):
        def delete(self, *keys: str) -> None:
            if any(key.startswith("keys/") for key in keys):
                raise CannotWriteError(f"{self}: {keys[0]}: no permission")
            super().delete(*keys)

    storage = Stubborn()
    for each, data in content_of(made()).items():
        storage.create(each, data)
    with pytest.raises(
        CannotWriteError, match="the change took place, but 1 object with the keys of before may"
    ):
        adds(storage, ANN, "ann")
    opens(storage, ADA, ANN)
    assert names(storage) == ["ada", "ann"]


# Beside the holders


def test_a_check_names_missing_keys() -> None:
    storage = made()
    adds(storage, ANN, "ann")
    store = saver.Saver(storage)
    store.save("m", [1])
    assert store.check().sound
    assert store.check().foreign == ()
    (name,) = storage.keys("keys/")
    storage.delete(name)
    (damage,) = store.check().damage
    assert (damage.key, damage.what) == (name, "the keys of those who can open the store are missing")


def test_a_collection_leaves_the_keys_alone() -> None:
    storage = made()
    adds(storage, ANN, "ann")
    store = saver.Saver(storage)
    store.save("m", [1])
    store.delete("m@1")
    store.gc(grace=0)
    opens(storage, ADA, ANN)


def test_a_backup_has_the_keys_and_no_more_those_of_removed_holders() -> None:
    storage, copy = made(), MemoryStorage()
    adds(storage, ANN, "ann")
    backup(repository(storage), copy)
    opens(copy, ADA, ANN)
    adds(storage, BOB, "bob")
    holding.remove(repository(storage), storage, key(ADA), "ann")
    opens(copy, ANN)
    backup(repository(storage), copy)
    opens(copy, ADA, BOB)
    opens_not(copy, ANN)
    assert content_of(copy).keys() == {key for key in content_of(storage) if not key.startswith("state/")}
    (name,) = storage.keys("keys/")
    storage.delete(name)
    backup(repository(storage), copy)
    opens(copy, ADA, BOB), "the copy may have the only ones"


def test_a_copy_without_the_bundle_that_counts_opens_with_the_newest() -> None:
    storage = made()
    adds(storage, ANN, "ann")
    (old,) = storage.keys("keys/")
    data = storage.read(old)
    adds(storage, BOB, "bob")
    (new,) = storage.keys("keys/")
    storage.delete(new)
    storage.put(old, Bytes(data))
    assert names(storage, ANN) == ["ada", "ann"]
    assert opened(storage, key(ANN), seal_header(KEYS)).listed == {old[5:-4]}


def test_a_bundle_of_another_store_is_refused() -> None:
    storage = made()
    storage.delete(bundle_key(FIRST))
    write_bundle(storage, FIRST, StoreKeys(bytes(32), [bytes(32)]), [holder_of(ADA.public, "ada", 1.0)])
    with pytest.raises(DamagedError, match="that is not of this store: somebody put it there"):
        adds(storage, ANN, "ann")

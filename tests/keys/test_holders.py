"""The keys of a store, and the bundles that hold them: who opens them, and with which keys."""

from __future__ import annotations

import copy
import json
import os
import pickle
import shutil
import subprocess
from collections.abc import Mapping
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("cryptography")
pytest.importorskip("pyrage")

from saver.errors import (
    DamagedError,
    IncompatibleError,
    KeyNeededError,
    NotFoundError,
    SaverError,
    WrongKeyError,
)
from saver.keys import age
from saver.keys.holders import (
    EPOCHS,
    Holder,
    StoreKeys,
    bundle_key,
    check_name,
    holder_of,
    is_of,
    merged,
    new_identity,
    new_store_keys,
    seal_header,
    with_new_epoch,
    wrap_identity,
    write_bundle,
)
from saver.keys.opening import OBJECTS, SIZE, open_bundles, opened
from saver.keys.secret import Identity, Passphrase
from saver.keys.sources import Keys
from saver.storage import Bytes
from saver.storages.memory import MemoryStorage
from saver.testing.enumeration import every_fault
from saver.testing.faults import Crash
from secrecy import GOLDEN, SECRET, leaks, raised

ANN, BOB, EVE = age.new_identity(), age.new_identity(), age.new_identity()
KEYS = StoreKeys(bytes(range(32)), [bytes(range(1, 33))])


def key(identity: Identity) -> Keys:
    return Keys(identity.reveal)


def holder(identity: Identity, name: str = "ann") -> Holder:
    return holder_of(identity.public, name, 1.0)


def sealed(*holders: Holder, keys: StoreKeys = KEYS) -> MemoryStorage:
    storage = MemoryStorage()
    write_bundle(storage, "a" * 32, keys, holders or (holder(ANN), holder(BOB, "bob")))
    return storage


SEAL = seal_header(KEYS)


# The keys


def test_their_json_is_fixed() -> None:
    """And with it what the seal of a store commits to."""
    assert KEYS.to_json() == (
        b'{"epochs":["0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"],'
        b'"names":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"}'
    )
    assert seal_header(KEYS) == {
        "seal": "aead-1", "keys": "8857271130309b5f74defd0a271e9a0d719de0dea4a5fbfd0d0f8b4f842a4c20",
    }  # fmt: skip


@given(
    st.binary(min_size=32, max_size=32), st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=9)
)
def test_they_come_back_from_json(names: bytes, epochs: list[bytes]) -> None:
    keys = StoreKeys(names, epochs)
    assert StoreKeys.from_json(keys.to_json(), "") == keys
    assert is_of(keys, seal_header(keys))
    assert not is_of(StoreKeys(bytes(32), epochs), seal_header(keys)) or names == bytes(32)


@pytest.mark.parametrize(
    "text",
    ["{}", "[]", "3", '{"names": "00", "epochs": ["00"]}', '{"names": 3, "epochs": []}',
    '{"names":"zz","epochs":["a"]}', json.dumps({"names": "00" * 32, "epochs": []}), json.dumps({"names":
    "00" * 32, "epochs": ["00" * 32] * (EPOCHS + 1)}), json.dumps({"names": "00" * 32, "epochs": "00"}),
    json.dumps({"names": "00" * 32, "epochs": {"a": 1}})], )  # fmt: skip
def test_other_json_is_refused(text: str) -> None:
    error = raised(lambda: StoreKeys.from_json(text.encode(), "keys"), IncompatibleError)
    assert leaks(error, "00" * 32) == []


def test_new_keys_are_random() -> None:
    assert len({*(new_store_keys() for _ in range(9))}) == 9
    assert new_store_keys().names != new_store_keys().names


def test_they_show_nothing_and_do_not_change() -> None:
    for text in (repr(KEYS), str(KEYS), f"{KEYS}", repr([KEYS]), repr(opened(sealed(), key(ANN), SEAL))):
        assert KEYS.names.hex() not in text
        assert repr(KEYS.names) not in text
    with pytest.raises(AttributeError):
        KEYS.names = bytes(32)  # type: ignore[misc]
    for act in (pickle.dumps, copy.copy, copy.deepcopy):
        assert leaks(raised(lambda act=act: act(KEYS), TypeError), KEYS.names, KEYS.epochs[0]) == []
    pytest.importorskip("rich")
    from rich.pretty import pretty_repr

    assert KEYS.names.hex()[:20] not in pretty_repr(KEYS)


@pytest.mark.parametrize("names", [b"", bytes(31), bytes(33)])
def test_a_key_has_32_bytes(names: bytes) -> None:
    for act in (lambda: StoreKeys(names, [bytes(32)]), lambda: StoreKeys(bytes(32), [names])):
        with pytest.raises(ValueError, match="32 bytes each"):
            act()


def test_a_new_epoch_comes_last_and_those_before_stay() -> None:
    keys = KEYS
    for number in range(2, EPOCHS + 1):
        keys = with_new_epoch(keys, number.to_bytes(32, "big"))
    assert (keys.names, keys.epochs[0], len(keys.epochs)) == (KEYS.names, KEYS.epochs[0], EPOCHS)
    assert keys.epochs[-1] == EPOCHS.to_bytes(32, "big")
    with pytest.raises(ValueError, match="at most 1,024 data keys"):
        with_new_epoch(keys, bytes(32))


@given(st.lists(st.lists(st.integers(0, 5), min_size=1, unique=True), min_size=1, max_size=4))
def test_merged_keys_lose_none_and_write_with_the_own_last_one(some: list[list[int]]) -> None:
    first, *others = (StoreKeys(bytes(32), [bytes([each]) * 32 for each in epochs]) for epochs in some)
    found = merged(first, others)
    assert set(found.epochs) == {epoch for each in (first, *others) for epoch in each.epochs}
    assert found.epochs[-1] == first.epochs[-1]
    assert len(set(found.epochs)) == len(found.epochs)


# Bundles


@pytest.mark.parametrize("who", [ANN, BOB], ids=["ann", "bob"])
@pytest.mark.parametrize("seal", [SEAL, None], ids=["sealed", "not yet"])
def test_each_holder_opens_it(who: Identity, seal: Mapping[str, Any] | None) -> None:
    assert open_bundles(sealed(), key(who), seal) == KEYS
    assert open_bundles(sealed(), Keys(age.new_identity().reveal, who.reveal), seal) == KEYS


def test_nobody_else_does() -> None:
    with pytest.raises(
        WrongKeyError, match=r"memory.*: 1 key tried, and none opens the store; pass one that opens it"
    ):
        open_bundles(sealed(), key(EVE), SEAL)
    with pytest.raises(WrongKeyError, match="2 keys tried"):
        open_bundles(sealed(), Keys(EVE.reveal, age.new_identity().reveal), SEAL)
    with pytest.raises(
        KeyNeededError, match="is sealed, and no key was passed; pass one that opens it: key=FILE, --key FILE"
    ):
        open_bundles(sealed(), Keys(), SEAL)
    with pytest.raises(KeyNeededError, match="no passphrase opens the store"):
        open_bundles(sealed(), Keys(lambda: "a passphrase"), SEAL)


def test_a_passphrase_opens_it() -> None:
    identity, its = new_identity("team", 1.0)
    storage = sealed(holder(ANN), its)
    storage.put(bundle_key("b" * 32), Bytes(wrap_identity(identity, Passphrase("correct horse"))))
    other, its = new_identity("other", 1.0)
    storage.put(bundle_key("c" * 32), Bytes(wrap_identity(other, Passphrase("another"))))
    assert open_bundles(storage, Keys(lambda: "wrong", lambda: "correct horse"), SEAL) == KEYS
    assert open_bundles(storage, key(ANN), SEAL) == KEYS
    with pytest.raises(WrongKeyError, match="1 passphrase tried"):
        open_bundles(storage, Keys(lambda: "wrong"), SEAL)
    with pytest.raises(WrongKeyError, match="1 key and 1 passphrase tried"):
        open_bundles(storage, Keys(lambda: "wrong", EVE.reveal), SEAL)


def test_a_passphrase_is_not_asked_for_where_a_key_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(question: str) -> str:
        raise AssertionError(question)

    monkeypatch.setattr("saver.keys.sources.ask", ask)
    assert open_bundles(sealed(), Keys("prompt", ANN.reveal), SEAL) == KEYS


@pytest.mark.parametrize("order", list(permutations("abc")), ids="".join)
def test_several_bundles_give_all_data_keys_and_the_newest_writes(order: tuple[str, ...]) -> None:
    """As a change that was killed may leave one."""
    second = with_new_epoch(KEYS, bytes([2]) * 32)
    third, lost = with_new_epoch(second, bytes([3]) * 32), with_new_epoch(KEYS, bytes([4]) * 32)
    storage = MemoryStorage()
    for name, keys in zip(order, (KEYS, third, lost), strict=True):
        write_bundle(storage, name * 32, keys, [holder(ANN)], len(keys.epochs))
    found = open_bundles(storage, key(ANN), SEAL)
    assert set(found.epochs) == {*third.epochs, *lost.epochs}
    assert found.epochs[0] == KEYS.epochs[0]
    assert found.epochs[-1] == third.epochs[-1]


def test_a_store_without_keys_says_so() -> None:
    with pytest.raises(DamagedError, match="keys/ has no keys for anyone; restore it from a copy"):
        open_bundles(MemoryStorage(), key(ANN), SEAL)
    with pytest.raises(NotFoundError, match="the store is not sealed, so nobody needs a key"):
        open_bundles(MemoryStorage(), key(ANN), None)


def test_other_files_in_the_folder_are_left_alone() -> None:
    storage = sealed()
    for other in ("keys/notes.txt", "keys/a.age", "keys/a/b.age", f"keys/{'A' * 32}.agex".lower()):
        storage.put(other, Bytes(b"anything"))
    found = opened(storage, key(ANN), SEAL)
    assert found.listed == {"a" * 32}


# Faults


CALLS = every_fault(lambda: sealed(), lambda storage: open_bundles(storage, key(ANN), SEAL))


@pytest.mark.parametrize("case", CALLS, ids=str)
def test_a_storage_that_fails_gives_the_keys_or_an_error(case: Any) -> None:
    struck = case.strike()
    assert isinstance(struck.error, SaverError | Crash) if struck.error is not None else struck.result == KEYS
    if struck.error is not None:
        assert leaks(struck.error, KEYS.names, KEYS.epochs[0], ANN.reveal()) == []
    assert len(CALLS) > 3


def test_a_bundle_that_vanishes_is_looked_for_again() -> None:
    """As when a holder is added between the listing and the read."""

    class Moving(MemoryStorage):
        def open(self, key: str) -> Any:
            if key == bundle_key("a" * 32) and self.stat(key) is not None:
                write_bundle(self, "b" * 32, KEYS, [holder(ANN)])
                self.delete(key)
            return super().open(key)

    storage = Moving()
    write_bundle(storage, "a" * 32, KEYS, [holder(ANN)])
    assert open_bundles(storage, key(ANN), SEAL) == KEYS


@pytest.mark.parametrize("name", ["", " a", "a\nb", "x" * 101, "\x1b", 3, "a\u200b"])
def test_a_name_is_a_name(name: Any) -> None:
    with pytest.raises(ValueError, match="is not a name of 1 to 100 printable characters"):
        check_name(name)


def test_there_are_holders() -> None:
    with pytest.raises(ValueError, match="0 public keys"):
        write_bundle(MemoryStorage(), "a" * 32, KEYS, [])


def test_bounds() -> None:
    storage = sealed()
    storage.put(bundle_key("b" * 32), Bytes(bytes(SIZE + 1)))
    assert open_bundles(storage, key(ANN), SEAL) == KEYS
    for number in range(OBJECTS):
        storage.put(bundle_key(f"{number:032x}"), Bytes(os.urandom(10)))
    with pytest.raises(IncompatibleError, match="more than 256 objects"):
        open_bundles(storage, key(ANN), SEAL)


def test_a_golden_bundle_is_read() -> None:
    """Made by tests/golden/keys/make.py."""
    storage = MemoryStorage()
    storage.put(bundle_key("a" * 32), Bytes((GOLDEN / "bundle.1.age").read_bytes()))
    ann = age.identity(SECRET, "golden.key")
    found = opened(storage, key(ann), None).bundles["a" * 32]
    assert found.keys == StoreKeys(bytes(range(32)), [bytes([number]) * 32 for number in (1, 2)])
    assert found.number == 7
    assert found.holders == (
        Holder("golden", ann.public, "x25519", 1.5), Holder("b", ann.public, "passphrase", 0.0, "b" * 32),
    )  # fmt: skip
    assert age.unwrap((GOLDEN / "bundle.1.age").read_bytes(), [ann]).startswith(b'{"epochs":["01010101')


def test_the_page_about_the_format_opens_the_golden_bundle() -> None:
    """A reader of the specification alone: what `age -d` gives is this JSON."""
    if shutil.which("age") is None:
        pytest.skip("the program age is not installed")
    command = ["age", "-d", "-i", str(GOLDEN / "golden.key"), str(GOLDEN / "bundle.1.age")]
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    public = age.identity(SECRET, "golden.key").public
    phrased = {"name": "b", "public_key": public, "kind": "passphrase", "time": 0, "wrapped": "b" * 32}
    assert found == {
        "format": 1, "number": 7, "names": bytes(range(32)).hex(), "epochs": ["01" * 32, "02" * 32],
        "holders": [{"name": "golden", "public_key": public, "time": 1.5}, phrased],
    }  # fmt: skip

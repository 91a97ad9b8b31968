"""What is pushed to a hub for somebody tells others nothing, is opened by those alone, and is the same to
them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from huggingface import hub
from pushed import kept
from registries import WEIGHTS, Fake
from saver.errors import CannotWriteError, IncompatibleError, KeyNeededError, NotFoundError, WrongKeyError
from saver.storages.memory import MemoryStorage
from signed import private

pytest.importorskip("cryptography")
pytest.importorskip("pyrage")

from saver.keys import age

KNOWN = [
    b"team/m", b'"owner"', b'"author":"ann"', b"note 4", b'"settings"', b"0.571428571", b'["t4"]',
    b"production", b"float64", b"numpy.array", b"saver.manifest", b'"python"',
    WEIGHTS.tobytes()[:64], WEIGHTS.tobytes()[5000:5064],
]  # fmt: skip
"""Names, numbers and runs of bytes of the versions that are pushed. None is shorter than 6 bytes: a run of 4
is among the 193 MB that these tests push once in twenty times, by chance."""

pytestmark = [
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),  # within the library
    pytest.mark.filterwarnings(
        "ignore:.* everybody who may read there:UserWarning"
    ),  # of pulls into a plain store
]


class People:
    """Somebody who pushes, somebody who may read, and somebody who may not."""

    def __init__(self, folder: Path) -> None:
        self.secret, self.public = {}, {}
        for name in ("ann", "bob", "eve"):
            identity = age.new_identity()
            path = folder / f"{name}.key"
            path.write_text(identity.reveal() + "\n")
            path.chmod(0o600)
            (folder / f"{name}.key.pub").write_text(identity.public + "\n")
            self.secret[name], self.public[name] = str(path), str(folder / f"{name}.key.pub")

    @property
    def both(self) -> list[str]:
        return [self.public["ann"], self.public["bob"]]


@pytest.fixture
def people(tmp_path: Path) -> People:
    return People(tmp_path)


class Place:
    """A hub, and all bytes that it has, with their names."""

    def __init__(self, address: str, server: Any) -> None:
        self.address, self.server = address, server

    def stored(self) -> bytes:
        return everything(self.server)


@pytest.fixture(params=["oci", "hf"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "oci":
        registry: Fake = request.getfixturevalue("registry")
        from saver.hubs import _registry

        request.getfixturevalue("monkeypatch").setattr(_registry, "PAUSES", ())
        yield Place(f"oci://{registry.host}/x/y:v1", registry)
        return
    pytest.importorskip("huggingface_hub", reason="needs huggingface_hub")
    patch = request.getfixturevalue("monkeypatch")
    from huggingface_hub import constants

    patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    patch.setattr(constants, "HF_HUB_OFFLINE", False)
    patch.delenv("HF_HUB_OFFLINE", raising=False)
    patch.setattr(constants, "HF_TOKEN_PATH", "/nonexistent/token")
    patch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    patch.setenv("HF_TOKEN", "hf_of_the_test")
    with hub() as server:
        patch.setenv("HF_ENDPOINT", server.url)
        yield Place("hf://org/model", server)


def everything(server: Any) -> bytes:
    """All that a server was sent and keeps."""
    return b"\n".join(_bytes(vars(server)))


def _bytes(value: Any) -> Iterator[bytes]:
    if isinstance(value, bytes | bytearray):
        yield bytes(value)
    elif isinstance(value, str):
        yield value.encode()
    elif isinstance(value, dict):
        for pair in value.items():
            yield from _bytes(list(pair))
    elif isinstance(value, list | tuple | set):
        for each in value:
            yield from _bytes(each)
    elif hasattr(value, "__dict__") and type(value).__module__ in ("huggingface", "registries"):
        yield from _bytes(vars(value))


def empty(key: str | None = None) -> saver.Saver:
    return saver.Saver(MemoryStorage("there"), key=key)


@pytest.mark.parametrize("place", ["oci"], indirect=True)
def test_what_is_looked_for_is_found_where_nothing_is_sealed(here: saver.Saver, place: Place) -> None:
    here.push("team/m", place.address)
    stored = place.stored()
    assert all(len(needle) >= 6 and needle in stored for needle in KNOWN)


def test_what_is_sealed_is_in_clear_nowhere_and_opens_for_those(
    here: saver.Saver, place: Place, people: People, own_cache: Path
) -> None:
    here.push("team/m", place.address, to=people.both)
    stored = place.stored()
    cached = b"".join(path.read_bytes() for path in (own_cache / "hubs").rglob("*") if path.is_file())
    for needle in KNOWN:
        assert needle not in stored, needle
        assert needle not in cached, needle
    for name in ("ann", "bob"):
        there = empty()
        with pytest.warns(UserWarning, match="is sealed, and what is pushed to memory://there is not"):
            there.pull("team/m", place.address, key=people.secret[name])
        assert kept(there, number=4) == kept(here, number=4)
        assert np.array_equal(there.load("team/m")["w"], WEIGHTS)


def test_the_key_of_the_store_that_pulls_opens_it_too(
    here: saver.Saver, place: Place, people: People
) -> None:
    here.push("team/m", place.address, to=people.both)
    there = empty(people.secret["bob"])
    there.pull("team/m", place.address)
    assert kept(there, number=4) == kept(here, number=4)


def test_nobody_else_opens_it(
    here: saver.Saver, place: Place, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.push("team/m", place.address, to=people.both)
    with pytest.raises(KeyNeededError, match="sealed"):
        empty().pull("team/m", place.address)
    with pytest.raises(WrongKeyError):
        empty().pull("team/m", place.address, key=people.secret["eve"])
    with pytest.raises(WrongKeyError):
        empty(people.secret["eve"]).pull("team/m", place.address)
    monkeypatch.setenv("SAVER_KEY", people.secret["ann"])
    there = empty()
    there.pull("team/m", place.address)
    assert there.versions("team/m")


def test_what_is_sealed_is_pushed_to_again_by_one_who_can_open_it(
    here: saver.Saver, place: Place, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.push("team/m@3", place.address, to=people.both)
    with pytest.raises(KeyNeededError, match="sealed"):
        here.push("team/m", place.address, to=people.both)
    monkeypatch.setenv("SAVER_KEY", people.secret["eve"])
    with pytest.raises(WrongKeyError):
        here.push("team/m", place.address, to=people.both)
    monkeypatch.setenv("SAVER_KEY", people.secret["ann"])
    assert [each.number for each in here.push("team/m", place.address, to=people.both).versions] == [4]
    there = empty()
    there.pull("team/m", place.address, key=people.secret["bob"])
    assert kept(there, number=4) == kept(here, number=4)
    stored = place.stored()
    assert not any(needle in stored for needle in KNOWN)


@pytest.mark.slow
def test_whatever_request_fails_nothing_is_in_clear_and_another_attempt_succeeds(
    here: saver.Saver, place: Place, people: People
) -> None:
    """The first push that is sealed, and a pull: neither leaves anything that stands in its way."""
    blank = place.address + "-whole" if place.address.startswith("oci") else "hf://org/whole"
    here.push("team/m", blank, to=people.both)
    total = len(place.server.calls)
    for at in range(1, total + 1):
        address = f"{place.address}-{at}" if place.address.startswith("oci") else f"hf://org/m{at}"
        place.server.calls.clear()
        place.server.down_from = at
        pushed = False
        with suppress(saver.SaverError):
            here.push("team/m", address, to=people.both)
            pushed = True
        assert not pushed or len(place.server.calls) < at, "what is there already needs no requests"
        with pytest.raises(saver.SaverError):
            empty().pull("team/m", address, key=people.secret["bob"])
        place.server.down_from = None
        if pushed:
            break
        here.push("team/m", address, to=people.both)
        there = empty()
        place.server.calls.clear()
        place.server.down_from = 1 + at % 5
        with suppress(saver.SaverError):
            there.pull("team/m", address, key=people.secret["bob"])
        place.server.down_from = None
        there.pull("team/m", address, key=people.secret["bob"])
        assert kept(there, number=4) == kept(here, number=4)
    stored = place.stored()
    assert not any(needle in stored for needle in KNOWN)


def test_clear_and_sealed_do_not_mix(
    here: saver.Saver, place: Place, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.push("team/m@3", place.address)
    before = place.stored()
    with pytest.raises(CannotWriteError, match="not sealed"):
        here.push("team/m", place.address, to=people.both)
    with pytest.raises(IncompatibleError, match="not sealed"):
        empty().pull("team/m", place.address, key=people.secret["ann"])
    there = empty(people.secret["ann"])  # the store's own key is not a demand
    there.pull("team/m", place.address)
    assert there.versions("team/m")
    assert b"team" in before


def test_a_passphrase_seals_too(here: saver.Saver, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHRASE", "five random words are enough")
    here.push("team/m", place.address, to="env:PHRASE")
    there = empty()
    there.pull("team/m", place.address, key="env:PHRASE")
    assert kept(there, number=4) == kept(here, number=4)


def test_a_sealed_store_that_is_pushed_in_clear_is_warned_of(
    place: Place, people: People, here: saver.Saver
) -> None:
    sealed = empty(people.secret["ann"])
    sealed.pull("team/m", here)
    with pytest.warns(UserWarning, match=r"weights, names of models.*authors.*--to"):
        sealed.push("team/m", place.address)


def test_a_sealed_push_of_a_sealed_store_warns_of_nothing(
    place: Place, people: People, here: saver.Saver
) -> None:
    sealed = empty(people.secret["ann"])
    sealed.pull("team/m", here)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        sealed.push("team/m", place.address, to=people.both)


@pytest.mark.parametrize("to", [[], "nobody", "age1nonsense", 7, [None]])
def test_who_is_nobody_is_said_before_anything_is_sent(here: saver.Saver, place: Place, to: Any) -> None:
    before = place.stored()
    with pytest.raises((ValueError, TypeError, NotFoundError)):
        here.push("team/m", place.address, to=to)
    assert not any(needle in place.stored() for needle in KNOWN) or place.stored() == before


def test_another_store_is_not_sealed_for_somebody(here: saver.Saver, people: People, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="to: only what is pushed to a hub"):
        here.push("team/m", tmp_path / "other", to=people.both)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("place", ["oci"], indirect=True)
def test_a_registry_is_not_sealed_for_others_afterwards(
    here: saver.Saver, place: Place, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = place.address
    here.push("team/m@3", where, to=people.both)
    monkeypatch.setenv("SAVER_KEY", people.secret["ann"])
    with pytest.raises(CannotWriteError, match="cannot open it"):
        here.push("team/m", where, to=[*people.both, people.public["eve"]])
    here.push("team/m", where)  # for those who can open it
    there = empty()
    there.pull("team/m@4", where, key=people.secret["bob"])
    assert kept(there, number=4) == kept(here, number=4)


@pytest.mark.parametrize("place", ["hf"], indirect=True)
def test_each_sealed_push_to_the_hub_is_for_those_whom_it_names(
    here: saver.Saver, people: People, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.push("team/m", place.address, to=people.both)
    monkeypatch.setenv("SAVER_KEY", people.secret["ann"])
    here.push("team/m", place.address, to=[people.public["ann"], people.public["eve"]])
    empty().pull("team/m", place.address, key=people.secret["eve"])
    with pytest.raises(WrongKeyError):
        empty().pull("team/m", place.address, key=people.secret["bob"])


@pytest.fixture
def phrase(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PHRASE", "five words that nobody knows")
    return "env:PHRASE"


@pytest.mark.slow
@pytest.mark.parametrize("place", ["oci"], indirect=True)
@pytest.mark.parametrize("source", ["plain", "sealed"])
def test_a_first_sealed_push_that_breaks_off_goes_on_with_the_layer_at_which_it_stopped(
    source: str, here: saver.Saver, place: Place, people: People, own_cache: Path
) -> None:
    """And what it keeps on this machine meanwhile tells nothing of a sealed store."""
    if source == "sealed":
        own = empty(people.secret["eve"])
        own.pull("team/m", here)
        here = own
    to = people.both
    here.push("team/m", place.address + "-whole", to=to)
    total = len(place.server.calls)
    for at in range(2, total - 2, 2):  # the last requests are not needed: the configuration is there
        address = f"{place.address}-{at}"
        place.server.calls.clear()
        place.server.down_from = at
        with pytest.raises(saver.SaverError):
            here.push("team/m", address, to=to)
        sent = place.server.uploaded()[:-1]  # the last request found the server down
        for path in (own_cache / "hubs").rglob("*"):
            left = path.read_bytes() if path.is_file() else b""
            found = [
                needle for needle in KNOWN if len(needle) > 5 and needle in left
            ]  # shorter ones hit by chance
            assert not found, path
            assert source == "plain" or b'"epochs"' not in left
        place.server.calls.clear()
        place.server.down_from = None
        here.push("team/m", address, to=to)
        assert not {*sent} & {*place.server.uploaded()}, f"sent again after request {at}"
        there = empty()
        there.pull("team/m", address, key=people.secret["bob"])
        assert kept(there, number=4) == kept(here, number=4)
        assert not list(own_cache.glob("hubs/*/objects")), "the keys are gone, too"


@pytest.mark.parametrize("place", ["oci"], indirect=True)
def test_a_sealed_push_for_others_than_the_one_that_broke_off_begins_anew(
    here: saver.Saver, place: Place, people: People, monkeypatch: pytest.MonkeyPatch, phrase: str
) -> None:
    here.push("team/m", place.address + "-whole", to=people.both)
    total = len(place.server.calls)

    def broken_off(number: int, to: Any) -> str:
        address = f"{place.address}-{number}"
        place.server.calls.clear()
        place.server.down_from = total // 2
        with pytest.raises(saver.SaverError):
            here.push("team/m", address, to=to)
        place.server.down_from = None
        return address

    address = broken_off(1, people.both)
    here.push("team/m", address, to=[people.public["ann"]])
    empty().pull("team/m", address, key=people.secret["ann"])
    with pytest.raises(WrongKeyError):
        empty().pull("team/m", address, key=people.secret["bob"])
    address = broken_off(2, phrase)
    monkeypatch.setenv("PHRASE", "other words than those before")
    here.push("team/m", address, to=phrase)
    empty().pull("team/m", address, key=phrase)
    monkeypatch.setenv("PHRASE", "five words that nobody knows")
    with pytest.raises(WrongKeyError):
        empty().pull("team/m", address, key=phrase)


@pytest.mark.parametrize("place", ["oci"], indirect=True)
def test_keys_that_a_push_left_and_lost_are_an_error_that_says_what_to_delete(
    here: saver.Saver, place: Place, people: People, own_cache: Path
) -> None:
    here.push("team/m", place.address + "-whole", to=people.both)
    place.server.down_from = len(place.server.calls) // 2
    place.server.calls.clear()
    with pytest.raises(saver.SaverError):
        here.push("team/m", place.address, to=people.both)
    place.server.down_from = None
    (left,) = own_cache.glob("hubs/*/objects/keys")
    left.write_text("{}")
    with pytest.raises(WrongKeyError, match=r"delete the folder .*objects to begin anew"):
        here.push("team/m", place.address, to=people.both)


def clear_in(folder: Path) -> set[bytes]:
    """What of the versions is in clear in the files of a folder. Shorter names hit by chance."""
    files = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    return {needle for needle in KNOWN if len(needle) > 5 and any(needle in each for each in files)}


def large(server: Any) -> set[str]:
    """The digests of the large files that were sent."""
    return {each.partition("?")[0] for each in server.sent()}


@pytest.mark.slow
@pytest.mark.parametrize("place", ["hf"], indirect=True)
@pytest.mark.parametrize(("source", "turn"), [("plain", "first"), ("sealed", "next")])
def test_a_sealed_push_to_the_hub_that_breaks_off_sends_no_file_twice(
    source: str, turn: str, here: saver.Saver, place: Place, people: People, own_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """And what it keeps on this machine meanwhile is sealed, and its key is nowhere."""
    if source == "sealed":
        own = empty(people.secret["ann"])
        own.pull("team/m", here)
        here = own
    monkeypatch.setenv("SAVER_KEY", people.secret["ann"])
    server, to, broken = place.server, people.both, 0

    def prepared(number: int) -> str:
        address = f"hf://org/{turn}{number}"
        if turn == "next":
            here.push("team/m@3", address, to=to)
        server.calls.clear()
        return address

    here.push("team/m", prepared(0), to=to)
    for at in range(1, len(server.calls) + 1):
        address = prepared(at)
        server.down_from = at
        with pytest.raises(saver.SaverError):
            here.push("team/m", address, to=to)
        sent = large(server) & {*server.large}
        broken += len(sent)
        assert not clear_in(own_cache / "hubs")
        server.calls.clear()
        server.down_from = None
        here.push("team/m", address, to=to)
        assert not sent & large(server), f"sent again after request {at}"
        assert len(sent) + len(large(server)) == 2, f"sealed again after request {at}"
        there = empty()
        there.pull("team/m@4", address, key=people.secret["bob"])
        assert kept(there, number=4) == kept(here, number=4)
        assert not list(own_cache.glob("hubs/*/objects"))
    assert broken > 2, "some of them broke off with large files on the other side"


REFUSALS: dict[str, Any] = {
    "another model": lambda here, address, to: here.push("team/m@3", address, model="rose", to=to),
    "in clear": lambda here, address, to: here.push("team/m@3", address),
}


@pytest.mark.parametrize("place", ["hf"], indirect=True)
@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_sealed_push_to_the_hub_that_is_refused_leaves_nothing(
    refusal: str, here: saver.Saver, place: Place, people: People, own_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Neither what it would have sealed itself, nor what an attempt left that broke off."""
    monkeypatch.setenv("SAVER_KEY", people.secret["ann"])
    here.push("team/m", "hf://org/tried", to=people.both)
    last = len(place.server.calls)
    place.server.calls.clear()
    place.server.down_from = last
    with pytest.raises(saver.SaverError):
        here.push("team/m", place.address, to=people.both)
    assert left_behind().exists()
    place.server.down_from = None
    REFUSALS[refusal](here, place.address, people.both)
    for _ in range(2):
        with pytest.raises(CannotWriteError, match="nothing was changed"):
            here.push("team/m", place.address, to=people.both)
        assert not [each for each in own_cache.glob("hubs/*/*") if each.is_dir()]


def left_behind(name: str = "new/model.saver") -> Path:
    """A file of the push that broke off."""
    (found,) = Path(os.environ["SAVER_CACHE"]).glob(f"hubs/*/objects/{name}")
    return found


def _other_people(here: saver.Saver, people: People) -> None:
    people.public["bob"] = people.public["eve"]


def _other_phrase(here: saver.Saver, people: People) -> None:
    os.environ["PHRASE"] = "other words than those before"  # the fixture `phrase` puts it back


def _spoiled(here: saver.Saver, people: People) -> None:
    path = left_behind()
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)


CHANGES: dict[str, Any] = {
    "holders": _other_people,
    "a passphrase": _other_phrase,
    "labels": lambda here, people: here.label("team/m@4", {"owner": "bob"}),
    "a tag": lambda here, people: here.tag("team/m@4", "fresh"),
    "notes": lambda here, people: here.note("team/m@4", "another note"),
    "a signature": lambda here, people: here.sign("team/m@4", private("alice")),
    "another version": lambda here, people: here.save("team/m", {"other": [1]}),
    "a spoiled file": _spoiled,
    "a file that was cut off": lambda here, people: left_behind().write_bytes(b""),
    "a lost file": lambda here, people: left_behind().unlink(),
    "another file": lambda here, people: left_behind().with_name("secret.txt").write_bytes(b"mine"),
    "a spoiled list": lambda here, people: left_behind("new.list").write_bytes(b"[1]"),
    "a lost list": lambda here, people: left_behind("new.list").unlink(),
}


@pytest.mark.parametrize("place", ["hf"], indirect=True)
@pytest.mark.parametrize("what", CHANGES)
def test_a_sealed_push_to_the_hub_of_anything_else_than_what_broke_off_begins_anew(
    what: str, here: saver.Saver, place: Place, people: People, phrase: str
) -> None:
    """And what was left is used as it was sealed, or not at all."""

    def to() -> Any:
        return phrase if what == "a passphrase" else people.both

    here.push("team/m", "hf://org/whole", to=to())
    place.server.down_from = len(place.server.calls)
    place.server.calls.clear()
    with pytest.raises(saver.SaverError):
        here.push("team/m", place.address, to=to())
    place.server.down_from = None
    sent = large(place.server)
    place.server.calls.clear()
    CHANGES[what](here, people)
    here.push("team/m", place.address, to=to())
    assert sent
    assert not sent & large(place.server)
    assert large(place.server), "other files were sent"
    files = place.server.files("org/model").keys()
    assert files == {".gitattributes", "README.md", "model.saver", "saver.json", "saver.sealed"}
    there, newest = empty(), here.versions("team/m")[-1]
    there.pull("team/m", place.address, key=phrase if what == "a passphrase" else people.secret["ann"])
    assert kept(there, number=newest.number) == kept(here, number=newest.number)
    assert [each.key for each in there.versions("team/m")[-1].signatures] == [
        each.key for each in newest.signatures
    ]
    if what == "holders":
        empty().pull("team/m", place.address, key=people.secret["eve"])
        with pytest.raises(WrongKeyError):
            empty().pull("team/m", place.address, key=people.secret["bob"])

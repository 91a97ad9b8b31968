"""Hostile age files and bundles: every byte changed, every length cut, headers without end. Each is an error
that says which, after work that is bounded, and none shows a secret."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("cryptography")
pytest.importorskip("pyrage")

import saver
from saver.errors import DamagedError, IncompatibleError, KeyNeededError, SaverError, WrongKeyError
from saver.keys import age, header, scrypt
from saver.keys.header import ARGUMENTS, BODY_LINES, LINE, STANZAS, VERSION, parse, to_base64
from saver.keys.holders import (
    StoreKeys,
    bundle_key,
    holder_of,
    new_identity,
    new_store_keys,
    seal_header,
    wrap_identity,
    write_bundle,
)
from saver.keys.opening import OBJECTS, open_bundles
from saver.keys.secret import Passphrase
from saver.keys.sources import Keys
from saver.repo.resealing import reseal
from saver.seals.aead import Aead
from saver.storage import Bytes
from saver.storages.memory import MemoryStorage
from secrecy import SECRET, leaks, raised

ANN = age.identity(SECRET, "golden.key")
PHRASE = "correct horse battery staple"
DATA = bytes(range(200)) * 3


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrypt, "FACTOR", scrypt.FACTORS[0])


@pytest.fixture(scope="module")
def sealed() -> bytes:
    return age.wrap(DATA, [ANN.public, age.new_identity().public])


@pytest.fixture(scope="module")
def phrased() -> bytes:
    return scrypt.wrapped(DATA, Passphrase(PHRASE), lambda size: bytes(range(size)), 10)


def opens(data: bytes) -> bytes:
    return age.unwrap(data, [ANN], [PHRASE], "the file")


def refused(data: bytes, *kinds: type[SaverError]) -> str:
    """The error of a file that must not be opened; it shows no secret."""
    error = raised(lambda: opens(data), *(kinds or (DamagedError, IncompatibleError, WrongKeyError)))
    assert str(error).startswith("the file"), error
    assert "; " in str(error)
    assert leaks(error, PHRASE, SECRET, DATA) == []
    return str(error)


def stanza(kind: bytes = b"X25519", *arguments: bytes, body: bytes = bytes(32)) -> bytes:
    text = to_base64(body)
    rows = [text[at : at + 64] for at in range(0, len(text) + 1, 64)]
    return b"\n".join((b" ".join((b"->", kind, *arguments)), *rows, b""))


SHARE = to_base64(bytes(range(32)))
SALT = to_base64(bytes(16))


def file_of(
    *stanzas: bytes, end: bytes = b"--- " + to_base64(bytes(32)) + b"\n", payload: bytes = bytes(48)
) -> bytes:
    return b"".join((VERSION, b"\n", *stanzas, end, payload))


# Every byte, every length


EVERY = pytest.mark.parametrize("bits", [1, pytest.param(8, marks=pytest.mark.long)])


def changes(data: bytes, bits: int) -> Iterator[bytes]:
    """So many bits of each byte flipped, and every byte left out or doubled."""
    for at in range(len(data)):
        for bit in range(8) if bits == 8 else (at % 8,):
            yield data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]
        yield data[:at] + data[at + 1 :]
        yield data[: at + 1] + data[at:]


@EVERY
@pytest.mark.slow
def test_every_bit_of_a_file_for_recipients(sealed: bytes, bits: int) -> None:
    """Changes that leave a header of age may make the key a wrong one: nobody can tell."""
    said = {refused(each).partition(": ")[2][:30] for each in changes(sealed, bits)}
    assert len(said) > 5


@EVERY
@pytest.mark.slow
def test_every_bit_of_a_file_for_a_passphrase(phrased: bytes, bits: int) -> None:
    said = {refused(each).partition(": ")[2][:30] for each in changes(phrased, bits)}
    assert len(said) > 5


@pytest.mark.slow
def test_every_length(sealed: bytes, phrased: bytes) -> None:
    for data in (sealed, phrased):
        for size in range(len(data)):
            kinds = (DamagedError,) if size else (DamagedError, IncompatibleError)
            assert "cut off" in refused(data[:size], *kinds) or size == 0
        for more in (b"\0", b"x" * 16, data):
            refused(data + more, DamagedError)


def test_payload_chunks_are_in_their_places() -> None:
    data = scrypt.wrapped(
        bytes(65536) + b"x" * 65536 + b"end", Passphrase(PHRASE), lambda size: bytes(size), 10
    )
    start, chunk = parse(data, "").end + 16, 65536 + 16
    head, one, two, last = (
        data[:start],
        data[start:][:chunk],
        data[start + chunk :][:chunk],
        data[start + 2 * chunk :],
    )
    assert opens(head + one + two + last)
    for parts in (
        (two, one, last),
        (one, last),
        (one, two),
        (one,),
        (one, two, last, last),
        (last,),
        (),
        (one, one, last),
    ):
        refused(head + b"".join(parts), DamagedError)


words = st.binary(min_size=1, max_size=20).map(lambda data: bytes(33 + byte % 94 for byte in data))
stanzas = st.tuples(words, st.lists(words, max_size=ARGUMENTS - 1), st.binary(max_size=200))


@given(st.lists(stanzas, min_size=1, max_size=9), st.binary(max_size=60))
def test_any_header_is_parsed_as_it_was_written(
    some: list[tuple[bytes, list[bytes], bytes]], payload: bytes
) -> None:
    data = file_of(*(stanza(kind, *words, body=body) for kind, words, body in some), payload=payload)
    found = parse(data, "")
    assert [(each.kind.encode(), [*each.arguments], each.body) for each in found.stanzas] == some
    assert data[found.end :] == payload
    assert found.signed == data[: data.rindex(b"\n--- ", 0, found.end) + 4]


PIECES = [
    VERSION,
    b"\n",
    b"-> ",
    b"--- ",
    b"X25519 ",
    b"scrypt ",
    SHARE,
    SALT,
    b"10",
    b"\n\n",
    b" ",
    b"A" * 43,
    b"A" * 64,
]


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=4)), max_size=30))
def test_what_is_not_a_header_is_an_error_and_no_other(pieces: list[bytes]) -> None:
    try:
        found = parse(VERSION + b"\n" + b"".join(pieces), "the file")
    except (DamagedError, IncompatibleError):
        return
    assert 1 <= len(found.stanzas) <= STANZAS + 1
    assert len(found.mac) == 32


# Headers without end


def _counted(act: Callable[[], Any]) -> int:
    """How many lines of `header.py` an act runs: its work, by no clock."""
    ran = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal ran
        if frame.f_code.co_filename != header.__file__:
            return None
        ran += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(before)
    return ran


@pytest.fixture
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but our own parse sees the file."""

    def seen(*_: Any) -> None:
        raise AssertionError("a file beyond the bounds went on")

    pyrage = age.pyrage()
    monkeypatch.setattr(pyrage, "decrypt", seen)
    monkeypatch.setattr(scrypt, "unwrapped", seen)


@pytest.mark.usefixtures("_alone")
def test_a_million_recipients_are_no_more_work_than_65() -> None:
    work = []
    for count in (65, 1000, 1_000_000):
        data = file_of(stanza(b"X25519", SHARE) * count)
        with pytest.raises(IncompatibleError, match="more than 64 recipients; Saver reads no more than that"):
            opens(data)
        work.append(_counted(lambda data=data: raised(lambda: parse(data, ""), IncompatibleError)))
    assert work[0] == work[1] == work[2] < 10_000


@pytest.mark.usefixtures("_alone")
@pytest.mark.parametrize("count", [66, 1000])
def test_grease_does_not_make_room_for_more(count: int) -> None:
    refused(file_of(stanza(b"x-grease", b"a") * count), IncompatibleError)
    refused(file_of(stanza(b"x-grease", b"a"), stanza(b"X25519", SHARE) * 65), IncompatibleError)
    refused(
        file_of(stanza(b"X25519", SHARE) * 64, stanza(b"x-grease"), stanza(b"y-grease")), IncompatibleError
    )


def test_64_recipients_and_a_grease_are_within_the_bounds() -> None:
    found = parse(file_of(stanza(b"X25519", SHARE) * 64, stanza(b"x-grease", b"a")), "")
    assert len(found.stanzas) == STANZAS + 1
    refused(file_of(stanza(b"X25519", SHARE) * 64, stanza(b"x-grease", b"a")), WrongKeyError, DamagedError)


LONG = {
    "a line without end": VERSION + b"\n-> X25519 " + b"a" * 2_000_000,
    "a first line without end": VERSION + b" " * 2_000_000,
    "arguments": file_of(stanza(b"X25519", *([b"a"] * (ARGUMENTS + 1)))),
    "very many arguments": file_of(stanza(b"X25519", *([b"a"] * (LINE // 2)))),
    "a body without end": file_of(stanza(body=bytes(48 * BODY_LINES + 48))),
    "a body of a megabyte": file_of(stanza(body=bytes(1_000_000))),
    "an end without end": file_of(stanza(b"X25519", SHARE), end=b"--- " + b"A" * 2_000_000),
    "newlines": VERSION + b"\n" + b"\n" * 2_000_000,
    "nothing but a version": VERSION + b"\n",
    "nothing": b"",
    "no recipients": file_of(),
    "zeros": bytes(2_000_000),
    "a text": b"hello world\n" * 100,
}


@pytest.mark.usefixtures("_alone")
@pytest.mark.parametrize("name", LONG)
def test_what_has_no_end_is_little_work(name: str) -> None:
    assert _counted(lambda: refused(LONG[name], DamagedError, IncompatibleError)) < 3000


MALFORMED = {
    "another version": b"age-encryption.org/v2\n" + file_of(stanza(b"X25519", SHARE))[len(VERSION) + 1 :],
    "a line feed of Windows": file_of(stanza(b"X25519", SHARE)).replace(b"\n", b"\r\n", 3),
    "two spaces": file_of(b"->  X25519 " + SHARE + b"\n\n"),
    "a space at the end": file_of(b"-> X25519 " + SHARE + b" \n\n"),
    "no kind": file_of(b"-> \n\n"),
    "a control character": file_of(b"-> X25\x0119 " + SHARE + b"\n\n"),
    "beyond ASCII": file_of("-> Xé ".encode() + SHARE + b"\n\n"),
    "a long line of a body": file_of(b"-> X25519 " + SHARE + b"\n" + b"A" * 68 + b"\n\n"),
    "padding": file_of(b"-> X25519 " + SHARE + b"\n" + to_base64(bytes(32)) + b"=\n"),
    "bits that are not zero": file_of(b"-> X25519 " + SHARE + b"\n" + b"A" * 42 + b"B\n"),
    "url base64": file_of(b"-> X25519 " + SHARE + b"\n" + b"-_" * 21 + b"A\n"),
    "one base64 character": file_of(b"-> X25519 " + SHARE + b"\nA\n"),
    "a share of 31 bytes": file_of(stanza(b"X25519", to_base64(bytes(31)))),
    "a share that is not canonical": file_of(stanza(b"X25519", b"A" * 42 + b"B")),
    "two shares": file_of(stanza(b"X25519", SHARE, SHARE)),
    "no share": file_of(stanza(b"X25519")),
    "a body of 31 bytes": file_of(stanza(b"X25519", SHARE, body=bytes(31))),
    "a MAC of 31 bytes": file_of(stanza(b"X25519", SHARE), end=b"--- " + to_base64(bytes(31)) + b"\n"),
    "a MAC that is not canonical": file_of(stanza(b"X25519", SHARE), end=b"--- " + b"A" * 42 + b"B\n"),
    "no MAC": file_of(stanza(b"X25519", SHARE), end=b"---\n"),
    "a body and no stanza": file_of(SHARE + b"\n"),
}


@pytest.mark.usefixtures("_alone")
@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_header_is_refused_before_anything_else_sees_it(name: str) -> None:
    refused(MALFORMED[name], DamagedError, IncompatibleError)


@pytest.mark.usefixtures("_alone")
@pytest.mark.parametrize(
    "kinds",
    [(b"ssh-ed25519",), (b"piv-p256", b"x-grease"), (b"x-grease",), (b"mlkem768x25519",), (b"x25519",)],
)
def test_recipients_of_other_kinds_are_named(kinds: tuple[bytes, ...]) -> None:
    said = refused(file_of(*(stanza(kind, b"a") for kind in kinds)), IncompatibleError)
    assert all(kind.decode() in said for kind in kinds)


# Passphrases


def with_factor(factor: bytes) -> bytes:
    return file_of(stanza(b"scrypt", SALT, factor))


@pytest.mark.usefixtures("_alone")
@pytest.mark.parametrize(
    "factor", [*range(10), *range(19, 65), 100, 999, 9999, 2**31, 2**64, 10**100, 10**1000]
)
def test_a_tiny_or_huge_work_factor_is_refused_before_any_work(factor: int) -> None:
    """`_alone` lets no factor of 10 to 18 pass either, so the arguments are read here."""
    data = with_factor(str(factor).encode())
    with pytest.raises((IncompatibleError, DamagedError)) as caught:
        scrypt._arguments(parse(data, "").stanzas[0], "the file")
    kind = DamagedError if factor == 0 else IncompatibleError
    assert type(caught.value) is kind
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("factor", scrypt.FACTORS)
def test_the_factors_between_are_read(factor: int) -> None:
    assert scrypt._arguments(parse(with_factor(b"%d" % factor), "").stanzas[0], "")[1] == factor


@pytest.mark.parametrize(
    "factor", [b"", b"-1", b"+10", b"010", b"0x10", b"1e1", b"10.0", "\uff11\uff10".encode(), b"a"]
)
def test_a_factor_is_a_plain_number(factor: bytes) -> None:
    refused(with_factor(factor), DamagedError)


@pytest.mark.usefixtures("_alone")
@pytest.mark.parametrize("count", [2, 3, 64])
def test_a_passphrase_stands_alone(count: int) -> None:
    """A file that is for somebody else, too, was not made by one who knows the passphrase alone."""
    one, other = stanza(b"scrypt", SALT, b"10"), stanza(b"X25519", SHARE)
    for stanzas in ([one] * count, [one, *[other] * (count - 1)], [*[other] * (count - 1), one]):
        assert "for a passphrase and for others" in refused(file_of(*stanzas), IncompatibleError)
    refused(file_of(one, stanza(b"x-grease")), IncompatibleError)


@pytest.mark.parametrize(
    "data",
    [
        file_of(stanza(b"scrypt")), file_of(stanza(b"scrypt", SALT)), file_of(stanza(b"scrypt", SALT, b"10",
        b"a")), file_of(stanza(b"scrypt", to_base64(bytes(15)), b"10")), file_of(stanza(b"scrypt", SALT,
        b"10", body=bytes(31))), file_of(stanza(b"scrypt", b"A" * 21 + b"B", b"10")),
    ],
)  # fmt: skip
def test_a_malformed_recipient_of_a_passphrase_is_damage(data: bytes) -> None:
    refused(data, DamagedError)


def test_a_header_with_another_mac_is_damage(phrased: bytes, sealed: bytes) -> None:
    for data in (phrased, sealed):
        at = data.index(b"\n--- ") + 5
        changed = data[:at] + to_base64(bytes(32)) + data[at + 43 :]
        assert refused(changed, DamagedError)


def test_nothing_is_decrypted_under_a_wrong_mac(phrased: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def seen(*_: Any) -> None:
        raise AssertionError("the content was decrypted")

    monkeypatch.setattr(scrypt, "_opened", seen)
    at = phrased.index(b"\n--- ") + 5
    refused(phrased[:at] + to_base64(bytes(32)) + phrased[at + 43 :], DamagedError)


def test_the_wrong_key_and_no_key(sealed: bytes, phrased: bytes) -> None:
    for data, others in (
        (sealed, {"identities": [age.new_identity()]}),
        (phrased, {"passphrases": ["other"]}),
    ):
        assert isinstance(raised(lambda data=data, others=others: age.unwrap(data, **others)), WrongKeyError)
        assert isinstance(raised(lambda data=data: age.unwrap(data)), KeyNeededError)
        assert isinstance(raised(lambda data=data: age.unwrap(data), PermissionError), SaverError)


# Bundles that an attacker puts there


KEYS = StoreKeys(bytes(range(32)), [bytes(range(1, 33))])
SEAL = seal_header(KEYS)


def store() -> MemoryStorage:
    storage = MemoryStorage()
    write_bundle(storage, "5" * 32, KEYS, [holder_of(ANN.public, "ann", 1.0)])
    return storage


@pytest.mark.parametrize("name", ["0" * 32, "f" * 32])
def test_keys_that_an_attacker_wraps_for_a_holder_are_not_used(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A public key is public: anyone can wrap anything for it."""
    storage, foreign = store(), new_store_keys()
    write_bundle(
        storage,
        name,
        StoreKeys(foreign.names, [*foreign.epochs * 5]),
        [holder_of(ANN.public, "ann", 1.0)],
        99,
    )
    assert open_bundles(storage, Keys(ANN.reveal), SEAL) == KEYS
    assert "has the keys of another store; it is not used" in caplog.text
    storage.delete(bundle_key("5" * 32))
    with pytest.raises(DamagedError, match="that is not of this store: somebody put it there"):
        open_bundles(storage, Keys(ANN.reveal), SEAL)


@pytest.mark.parametrize("opened", ["before", "after"])
@pytest.mark.parametrize("everything", [False, True])
def test_keys_of_a_holder_who_was_removed_are_not_written_with(opened: str, everything: bool) -> None:
    """They know the key for names, so their bundle is one of the store; but the log does not name it."""
    storage, ann = MemoryStorage(), Keys(ANN.reveal)
    owner = saver.Saver(storage, key=ann)
    owner.save("m", {"a": 1})
    known = open_bundles(storage, ann, None)
    owner.add_holder(age.new_identity().public, "bob")
    owner.remove_holder("bob")
    owner.rotate()
    if opened == "after":
        owner = saver.Saver(storage, key=ann)
    theirs = StoreKeys(known.names, [*known.epochs, bytes(32), bytes(range(32))])
    write_bundle(storage, "0" * 32, theirs, [holder_of(ANN.public, "ann", 1.0)], 99)
    before = {*storage.keys("")}
    if everything:
        owner._repo.open()
        assert reseal(owner._repo).objects > 0
    saver.Saver(storage, key=ann).save("m", {"a": 2})
    owner.save("m", {"a": 3})
    assert [owner.load(f"m@{number}") for number in (1, 2, 3)] == [{"a": 1}, {"a": 2}, {"a": 3}]
    evil = Aead(lambda: theirs.epochs)
    ident = owner._repo.format().id
    packs = {key for key in storage.keys("packs/") if everything or key not in before}
    assert packs
    for key in packs:
        with pytest.raises(WrongKeyError, match="a data key that yours do not open"):
            evil.blob(f"{ident}/{key}", storage.open(key), lambda key=key: storage.open(key)).read()
    for key in {*storage.keys("log/")} - before:
        with pytest.raises(WrongKeyError, match="a data key that yours do not open"):
            evil.opened(f"{ident}/{key}", storage.read(key), key)


def test_a_foreign_bundle_is_noticed_before_the_first_seal_too() -> None:
    storage = store()
    write_bundle(storage, "0" * 32, new_store_keys(), [holder_of(ANN.public, "ann", 1.0)])
    with pytest.raises(DamagedError, match="the keys of several stores"):
        open_bundles(storage, Keys(ANN.reveal), None)


JUNK = {
    "not age": b"junk",
    "empty": b"",
    "not JSON": age.wrap(b"\xff", [ANN.public]),
    "another document": age.wrap(b'{"a":1}', [ANN.public]),
    "twice": age.wrap(b'{"format":1,"format":1}', [ANN.public]),
    "deep": age.wrap(b"[" * 100_000, [ANN.public]),
    "a newer format": age.wrap(
        b'{"format":2,"number":0,"holders":[{"name":"a","public_key":"b"}]}', [ANN.public]
    ),
    "no holders": age.wrap(
        b'{"format":1,"number":0,"holders":[],"names":"' + b"0" * 64 + b'","epochs":["' + b"0" * 64 + b'"]}',
        [ANN.public],
    ),
    "short keys": age.wrap(
        b'{"format":1,"number":0,"holders":[{"name":"a","public_key":"b"}],"names":"00","epochs":["00"]}',
        [ANN.public],
    ),
    "a million recipients": file_of(stanza(b"X25519", SHARE) * 2000),
    "a scrypt of others": file_of(stanza(b"scrypt", SALT, b"63")),
    "large": bytes(3_000_000),
}


@pytest.mark.parametrize("name", JUNK)
def test_junk_beside_the_keys_hides_nothing(name: str) -> None:
    storage = store()
    storage.put(bundle_key("0" * 32), Bytes(JUNK[name]))
    assert open_bundles(storage, Keys(ANN.reveal), SEAL) == KEYS
    storage.delete(bundle_key("5" * 32))
    error = raised(lambda: open_bundles(storage, Keys(ANN.reveal), SEAL), DamagedError, IncompatibleError)
    assert bundle_key("0" * 32) in str(error) or name == "a scrypt of others"
    assert leaks(error, SECRET, KEYS.names) == []


def test_keys_of_passphrases_without_end_are_tried_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each try takes a second of a processor and 256 MiB."""
    storage, tried = store(), []
    data = file_of(stanza(b"scrypt", SALT, b"18"))
    for number in range(OBJECTS - 1):
        storage.put(bundle_key(f"{number:032x}"), Bytes(data))
    monkeypatch.setattr(scrypt, "_stretched", lambda *given: tried.append(given) or bytes(32))
    assert isinstance(raised(lambda: open_bundles(storage, Keys(lambda: PHRASE), SEAL)), WrongKeyError)
    assert len(tried) == 64
    tried.clear()
    assert open_bundles(storage, Keys(lambda: PHRASE, ANN.reveal), SEAL) == KEYS
    assert tried == [], "a key that opens spares the passphrases"


def test_an_identity_that_an_attacker_swaps_opens_nothing_else() -> None:
    """One who knows the passphrase of nobody puts an identity of his own in its place."""
    identity, holder = new_identity("team", 1.0)
    storage = MemoryStorage()
    write_bundle(storage, "5" * 32, KEYS, [holder_of(ANN.public, "ann", 1.0), holder])
    storage.put(bundle_key("a" * 32), Bytes(wrap_identity(age.new_identity(), Passphrase("known"))))
    with pytest.raises(WrongKeyError):
        open_bundles(storage, Keys(lambda: "known"), SEAL)
    storage.put(bundle_key("b" * 32), Bytes(wrap_identity(identity, Passphrase(PHRASE))))
    assert open_bundles(storage, Keys(lambda: PHRASE), SEAL) == KEYS

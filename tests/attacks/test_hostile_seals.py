"""Sealed files and stores in the hands of an enemy who has no key: whatever is changed, cut, exchanged or put
there is refused, and no byte is handed out that its owner did not seal as that object."""

from __future__ import annotations

import base64
import gc
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import TracebackType
from typing import Any

import numpy as np
import pytest
from blake3 import blake3

pytest.importorskip("cryptography")
pytest.importorskip("pyrage")

import saver
from equality import assert_same
from saver import sealing
from saver.errors import DamagedError, IncompatibleError, KeyNeededError, NotFoundError, WrongKeyError
from saver.keys import age
from saver.seals.aead import MAGIC, Aead
from saver.seals.layout import PREFIX
from saver.seals.segments import SEGMENT, TAG, Grid
from saver.storage import Bytes
from saver.storages.memory import MemoryBlob, MemoryStorage
from saver.storages.sealed import SealedStorage
from sealing import OneHolder

REFUSED = (DamagedError, IncompatibleError, WrongKeyError)
KEY = bytes(range(32))
FIRST = 4096
DATA = np.random.default_rng(5).bytes(FIRST + 2 * SEGMENT + 777)
"""A pack of four segments: a short one, two whole ones, and a rest."""


def with_bit(data: bytes, bit: int) -> bytes:
    """The same with one bit flipped."""
    at = bit // 8
    return data[:at] + bytes([data[at] ^ 1 << bit % 8]) + data[at + 1 :]


@cache
def pack(name: str = "store/packs/a", data: bytes = DATA, key: bytes = KEY, first: int = FIRST) -> bytes:
    """A sealed pack."""
    content = Bytes(data)
    content.start = first  # type: ignore[misc]
    return b"".join(Aead(lambda: [key]).content(name, content).pieces())


def opened(raw: bytes, name: str = "store/packs/a") -> bytes:
    return Aead(lambda: [KEY]).blob(name, MemoryBlob("memory://a", raw)).read()


def refused(act: Callable[[], object], errors: Any = REFUSED) -> None:
    with pytest.raises(errors) as caught:
        act()
    assert type(caught.value) in (*REFUSED, KeyNeededError, NotFoundError)


# Headers


@pytest.mark.slow
def test_every_bit_of_the_header_of_a_pack_counts() -> None:
    raw = pack(data=b"secret" * 100, first=0)
    assert opened(raw) == b"secret" * 100
    for bit in range(8 * 4096):
        refused(lambda bit=bit: opened(with_bit(raw, bit)))


def test_every_bit_of_a_document_counts() -> None:
    seal = Aead(lambda: [KEY])
    raw = seal.document("store/log/1", b"a record")
    assert seal.opened("store/log/1", raw, "it") == b"a record"
    for bit in range(8 * len(raw)):
        refused(lambda bit=bit: seal.opened("store/log/1", with_bit(raw, bit), "it"))
    for length in range(len(raw)):
        refused(lambda length=length: seal.opened("store/log/1", raw[:length], "it"))
    for more in (b"\0", raw, bytes(TAG)):
        refused(lambda more=more: seal.opened("store/log/1", raw + more, "it"))


@cache
def identity() -> Any:
    return age.new_identity()


@pytest.fixture
def key(tmp_path: Any) -> str:
    path = tmp_path / "a.key"
    path.write_text(identity().reveal() + "\n")
    path.chmod(0o600)
    return str(path)


@cache
def file() -> bytes:
    return saver.dumps({"weights": np.arange(20.0)}, to=identity().public)


@pytest.mark.slow
def test_every_bit_of_the_header_of_a_file_counts(key: str) -> None:
    for bit in range(8 * 4096):
        raw = with_bit(file(), bit)
        refused(lambda raw=raw: sealing.opened(MemoryBlob("memory://a", raw), keys(key)).read(0, 1))


@cache
def keys(path: str) -> Any:
    from saver.keys.sources import Keys

    return Keys.of(path)


def test_a_file_that_was_cut_anywhere_is_refused(key: str) -> None:
    lengths = {*range(0, len(file()), 61), *range(4000, 4200), *range(len(file()) - 50, len(file()))}
    for length in sorted(lengths):
        refused(lambda length=length: saver.loads(file()[:length], key=key), (*REFUSED, KeyNeededError))
    for more in (b"\0", bytes(16), bytes(4096), file()):
        refused(lambda more=more: saver.loads(file() + more, key=key))


def forged(form: Mapping[str, Any], stored: Any, table: Any, more: str = "", data: bytes = b"") -> bytes:
    """A sealed file with any header."""
    text = json.dumps(form, separators=(",", ":"), ensure_ascii=False)
    tensors = "".join(
        f',"{name}":{{"dtype":"U8","shape":[{json.dumps(size)}],"data_offsets":[{one},{other}]}}'
        for name, size, one, other in (
            ("sealed", stored, "0", json.dumps(stored)),
            ("table", table, json.dumps(stored), added(stored, table)),
        )
    )
    header = f'{{"__metadata__":{{"saver.seal":{json.dumps(text)}}}{tensors}{more}}}'.encode()
    length = -(-(8 + len(header)) // 4096) * 4096 - 8
    return length.to_bytes(8, "little") + header.ljust(length) + data


def added(one: Any, other: Any) -> str:
    try:
        return json.dumps(one + other, separators=(",", ":"))
    except TypeError:
        return "0"


FORM = {"commitment": "0" * 64, "seal": "aes-256-gcm", "salt": "0" * 64, "size": 100, "epoch": "0" * 16,
        "keys": "YQ=="}  # fmt: skip
SIZES: list[Any] = [-1, 0, 1, 100.0, 1e300, "1", "", [], [1], {}, None, True, False, 2**63, 2**64, 10**40]


def forms() -> Iterator[tuple[str, bytes]]:
    good = bytes(100 + 32)
    for stored, table in itertools.product([100, *SIZES], [32, *SIZES]):
        if (stored, table) != (100, 32):
            yield f"shapes {stored!r}, {table!r}", forged(FORM, stored, table, data=good)
    for name in FORM:
        for value in (
            *SIZES,
            "é",
            "0" * 63,
            "0" * 65,
            " " * 64,
            "g" * 64,
            "\ud800" if name == "keys" else "x",
        ):
            yield f"{name}: {str(value)[:20]!r}", forged({**FORM, name: value}, 100, 32, data=good)
        yield f"no {name}", forged({k: v for k, v in FORM.items() if k != name}, 100, 32, data=good)
    order = ("commitment", "seal", "salt", "size", "first", "epoch", "keys")
    for first in (*SIZES, SEGMENT, SEGMENT - 1, -SEGMENT):
        form = {**FORM, "first": first}
        yield f"first {first}", forged({name: form[name] for name in order}, 100, 32, data=good)
    deep = "[" * 100_000 + "]" * 100_000
    yield "deep", forged(FORM, 100, 32, f',"x":{deep}', good)
    yield "a deep text", forged(FORM, 100, 32, data=good).replace(b'\\"epoch', b'\\"x\\":' + b"[" * 50)
    for length in (0, 1, 4088, 2**20, 2**32, 2**63, 2**64 - 1, 2**64 - 8):
        yield f"length {length}", length.to_bytes(8, "little") + forged(FORM, 100, 32, data=good)[8:]
    yield "only the beginning", (4088).to_bytes(8, "little") + PREFIX
    yield "nothing", b""


def test_a_forged_header_is_refused(key: str) -> None:
    """Those who know a public key can make files for it: what is in a header is not yet to be trusted."""
    for what, raw in forms():
        for act in (
            lambda raw=raw: opened(raw),
            lambda raw=raw: sealing.opened(blob_of(raw), keys(key)).read(0, 1),
        ):
            try:
                act()
            except REFUSED:
                continue
            except BaseException as error:
                pytest.fail(f"{what}: {error!r}")
            pytest.fail(what)


@pytest.mark.parametrize("with_key", [True, False])
@pytest.mark.parametrize("seal", ["aes-512-new", "", "zst", "none", "AES-256-GCM"])
def test_a_file_with_a_seal_that_is_not_known_is_not_read_as_plain_tensors(
    seal: str, with_key: bool, key: str, tmp_path: Any
) -> None:
    """A sealed file is a safetensors file too, of bytes that mean nothing: nobody takes them for a model."""
    raw = forged({**FORM, "seal": seal}, 100, 32, data=bytes(100 + 32))
    (tmp_path / "m.safetensors").write_bytes(raw)
    given = {"key": key} if with_key else {}
    for act in (
        lambda: saver.loads(raw, **given),
        lambda: saver.load(tmp_path / "m.safetensors", **given),
        lambda: saver.describe(tmp_path / "m.safetensors", **given),
    ):
        refused(act)


@pytest.mark.parametrize("with_key", [True, False])
def test_a_pack_of_a_store_is_not_read_as_plain_tensors(with_key: bool, key: str) -> None:
    given = {"key": key} if with_key else {}
    refused(lambda: saver.loads(pack(), **given), IncompatibleError)


def blob_of(raw: bytes) -> MemoryBlob:
    return MemoryBlob("memory://a", raw)


def test_a_file_whose_key_has_another_length_is_refused(key: str) -> None:
    """Anyone can wrap anything for a public key."""
    for data in (b"", b"a" * 31, b"a" * 33):
        wrapped = base64.b64encode(age.wrap(data, [identity().public])).decode()
        seal = Aead(lambda data=data: [data], wrapped=wrapped)
        raw = b"".join(seal.content("", Bytes(b"x" * 100)).pieces())
        refused(lambda raw=raw: sealing.opened(blob_of(raw), keys(key)).read())


@pytest.mark.slow
def test_a_file_for_sixty_four_recipients_opens(tmp_path: Any) -> None:
    people = [age.new_identity() for _ in range(64)]
    raw = saver.dumps([1, 2], to=[each.public for each in people])
    for each in people[::21]:
        path = tmp_path / "one.key"
        path.write_text(each.reveal() + "\n")
        path.chmod(0o600)
        assert saver.loads(raw, key=str(path)) == [1, 2]
    with pytest.raises(ValueError, match="64"):
        saver.dumps([1], to=[*(each.public for each in people), identity().public])
    path.write_text(identity().reveal() + "\n")
    refused(lambda: saver.loads(raw, key=str(path)))


# Segments


GRID = Grid(len(DATA), FIRST)
HEADER = 4096


def pieces(raw: bytes) -> tuple[bytes, list[bytes], list[bytes], bytes]:
    """The header, the segments, their tags, and the rest of the table."""
    body, table = raw[HEADER : HEADER + len(DATA)], raw[HEADER + len(DATA) :]
    segments = [body[GRID.start(n) : GRID.end(n)] for n in range(GRID.count)]
    tags = [table[TAG * n : TAG * n + TAG] for n in range(GRID.count)]
    return raw[:HEADER], segments, tags, table[TAG * GRID.count :]


def joined(header: bytes, segments: list[bytes], tags: list[bytes], rest: bytes) -> bytes:
    return b"".join((header, *segments, *tags, rest))


def only_right(raw: bytes, wrong: set[int]) -> None:
    """Every segment but the wrong ones is as it was; ranges with bytes of those are refused."""
    for number in range(GRID.count):
        start, end = GRID.start(number), GRID.end(number)
        ranges = [(start, end), (start, start + 1), (end - 1, end), (max(start - 1, 0), end)]
        for one, other in ranges:
            blob = Aead(lambda: [KEY]).blob("store/packs/a", MemoryBlob("memory://a", raw))
            touched = {GRID.number(one), GRID.number(other - 1)}
            if touched & wrong:
                refused(lambda blob=blob, one=one, other=other: blob.read(one, other), DamagedError)
            else:
                assert blob.read(one, other) == DATA[one:other]


def test_the_pack_of_the_tests_is_cut_as_they_assume() -> None:
    assert GRID.count == 4
    assert opened(pack()) == DATA
    assert joined(*pieces(pack())) == pack()
    only_right(pack(), set())


def test_a_flipped_bit_of_a_segment_closes_that_segment() -> None:
    _, segments, _, _ = pieces(pack())
    for number, segment in enumerate(segments):
        for bit in (0, 8 * (len(segment) // 2) + 3, 8 * len(segment) - 1):
            only_right(with_bit(pack(), 8 * (HEADER + GRID.start(number)) + bit), {number})


def test_every_flipped_bit_of_the_table_closes_its_segment() -> None:
    start = 8 * (HEADER + len(DATA))
    for bit in range(8 * TAG * GRID.count):
        number = bit // (8 * TAG)
        blob = Aead(lambda: [KEY]).blob("store/packs/a", blob_of(with_bit(pack(), start + bit)))
        refused(
            lambda blob=blob, number=number: blob.read(GRID.start(number), GRID.end(number)), DamagedError
        )


def test_segments_do_not_change_places() -> None:
    header, segments, tags, rest = pieces(pack())
    for one, other in itertools.permutations(range(GRID.count), 2):
        size = min(len(segments[one]), len(segments[other]))
        for with_tag in (True, False):
            changed, changed_tags = [*segments], [*tags]
            changed[one] = segments[other][:size] + segments[one][size:]
            if with_tag:
                changed_tags[one] = tags[other]
            only_right(joined(header, changed, changed_tags, rest), {one})
    both = [segments[0], segments[2], segments[1], segments[3]]
    only_right(joined(header, both, [tags[0], tags[2], tags[1], tags[3]], rest), {1, 2})


def test_segments_are_not_left_out_or_added() -> None:
    header, segments, tags, rest = pieces(pack())
    for gone in range(GRID.count):
        left, left_tags = [*segments[:gone], *segments[gone + 1 :]], [*tags[:gone], *tags[gone + 1 :]]
        refused(lambda a=left, b=left_tags: opened(joined(header, a, b, rest)), DamagedError)
        twice = [*segments[: gone + 1], *segments[gone:]]
        double = [*tags[: gone + 1], *tags[gone:]]
        refused(lambda a=twice, b=double: opened(joined(header, a, b, rest)), DamagedError)


def test_segments_of_another_object_version_store_or_key_are_refused() -> None:
    header, segments, tags, rest = pieces(pack())
    others = {
        "object": pack("store/packs/b"),
        "version": joined(*pieces(b"".join(Aead(lambda: [KEY]).content("store/packs/a", same()).pieces()))),
        "store": pack("other/packs/a"),
        "key": pack(key=b"k" * 32),
        "content": pack(data=DATA[::-1]),
    }
    for what, other in others.items():
        foreign, their_segments, their_tags, their_rest = pieces(other)
        for number in range(GRID.count):
            changed, changed_tags = [*segments], [*tags]
            changed[number], changed_tags[number] = their_segments[number], their_tags[number]
            only_right(joined(header, changed, changed_tags, rest), {number})
        if what != "version":
            name = {"content": "store/packs/b"}.get(what, "store/packs/a")
            refused(lambda other=other, name=name: opened(other, name))
        refused(lambda head=foreign: opened(joined(head, segments, tags, rest)))
        refused(lambda a=their_segments, b=their_tags, c=their_rest: opened(joined(header, a, b, c)))


def same() -> Bytes:
    content = Bytes(DATA)
    content.start = FIRST  # type: ignore[misc]
    return content


def test_a_pack_that_was_cut_anywhere_is_refused() -> None:
    raw = pack(data=b"secret" * 100, first=0)
    for length in range(len(raw)):
        refused(lambda length=length: opened(raw[:length]), DamagedError)
    for length in (*range(1, 40), 4096, len(raw)):
        refused(lambda length=length: opened(raw + bytes(length)), DamagedError)
    for length in range(HEADER - 3, len(pack()), 1009):
        refused(lambda length=length: opened(pack()[:length]), DamagedError)


@pytest.mark.parametrize("size", [0, 100, SEGMENT + 5, len(DATA)])
def test_a_pack_whose_header_has_several_pages_is_not_one_of_a_store(size: int) -> None:
    """Its size would not tell that of its content. Only someone with the key can make it."""
    seal = Aead(lambda: [KEY], wrapped="A" * 9000)
    raw = b"".join(seal.content("store/packs/a", Bytes(DATA[:size])).pieces())
    for act in (
        lambda blob: blob.read(),
        lambda blob: blob.read(0, 10),
        lambda blob: blob.fetch(0, blob.size or 1, memoryview(b"")),
        lambda blob: blob.read_into(0, memoryview(bytearray(4096))),
    ):
        refused(lambda act=act: act(Aead(lambda: [KEY]).blob("store/packs/a", blob_of(raw))), DamagedError)


# What is left in memory


def variables(trace: TracebackType | None) -> Iterator[object]:
    """What a debugger, or a crash report, would see: the variables of all frames, and what they hold."""
    seen: set[int] = set()
    todo: list[object] = []
    while trace is not None:
        todo += trace.tb_frame.f_locals.values()
        trace = trace.tb_next
    for _ in range(4):
        found = []
        for each in todo:
            if id(each) not in seen and not isinstance(each, type) and not callable(each):
                seen.add(id(each))
                yield each
                found += gc.get_referents(each)
        todo = found


def has(each: object, needle: bytes) -> bool:
    try:
        return needle in bytes(memoryview(each).cast("B"))  # type: ignore[arg-type]
    except (TypeError, ValueError, BufferError):
        return False


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("way", ["fetch", "fetch_many", "read", "part", "read_into"])
def test_after_a_wrong_tag_no_plaintext_is_left(number: int, way: str) -> None:
    start, end = GRID.start(number), GRID.end(number)
    raw = with_bit(pack(), 8 * (HEADER + end - 1))
    blob = Aead(lambda: [KEY]).blob("store/packs/a", blob_of(raw))
    memory, scratch = bytearray(len(DATA)), memoryview(bytearray(0))
    acts: dict[str, Callable[[], object]] = {
        "fetch": lambda: blob.fetch(0, len(DATA), scratch),
        "fetch_many": lambda: blob.fetch_many([(start, start + 10), (end - 10, end)], scratch),
        "read": blob.read,
        "part": lambda: blob.read(start + 1, end - 1),
        "read_into": lambda: blob.read_into(0, memoryview(memory)),
    }
    with pytest.raises(DamagedError) as caught:
        acts[way]()
    needle = DATA[start + 100 : start + 132]
    assert needle not in bytes(blob.map())
    assert needle not in memory
    assert caught.tb.tb_next is not None
    assert not any(has(each, needle) for each in variables(caught.tb.tb_next) if each is not DATA)


# Whole stores


def states() -> dict[str, Any]:
    weights = np.random.default_rng(1).normal(size=20_000)
    words = {f"word {n}": (n, "a word") for n in range(3000)}
    return {
        "small@1": {"weights": np.arange(4.0), "words": ["a"]},
        "small@2": {"weights": np.arange(5.0), "words": ["b"]},
        "net@1": {"weights": weights, "words": words, "scale": np.zeros(3)},
        "net@2": {"weights": weights, "words": words, "scale": np.ones(3)},
        "net@3": {"weights": weights[::-1].copy(), "words": words, "scale": np.ones(3)},
        "large@1": np.arange(40_000.0),
    }


def made(holder: OneHolder) -> MemoryStorage:
    storage = MemoryStorage()
    store = saver.Saver(SealedStorage(storage, holder))
    for ref, state in states().items():
        store.save(ref.partition("@")[0], state)
    for turn in range(40):
        store.tag(f"small@{turn % 2 + 1}", "moving")
    return storage


HOLDER = OneHolder()


@cache
def first() -> MemoryStorage:
    return made(HOLDER)


@cache
def second() -> MemoryStorage:
    return made(HOLDER)


def replaced(storage: MemoryStorage, objects: Mapping[str, bytes | None]) -> MemoryStorage:
    """A copy with other objects under these keys; None for no object."""
    found = storage.copy()
    found.delete(*objects)
    for key, data in objects.items():
        if data is not None:
            found.create(key, data)
    return found


def inner(key: str) -> str:
    """The key of an object as those who have the key know it."""
    storage = SealedStorage(first(), HOLDER)
    storage.read("log/" + "1".zfill(20) + ".json")
    assert storage.mask is not None
    return storage.mask.opened(key) or ""


def loads_right_or_not_at_all(storage: MemoryStorage) -> int:
    """How many versions load; each as it was saved."""
    count = 0
    for ref, state in states().items():
        try:
            found = saver.Saver(SealedStorage(storage, HOLDER)).load(ref)
        except (*REFUSED, NotFoundError):
            continue
        assert_same(state, found)
        count += 1
    return count


def folder_of(key: str) -> str:
    return key.split("/")[0] + ("/pages" if key.startswith("state/pages") else "")


def sealed_keys() -> list[str]:
    plain = ("store.json", "keys/", "clock/", "state/free")
    return [key for key in first().keys("") if not key.startswith(plain)]


def test_the_stores_of_the_tests_have_objects_of_every_kind() -> None:
    kinds = {folder_of(key) for key in sealed_keys()}
    assert kinds == {"log", "manifests", "packs", "trees", "state", "state/pages"}
    assert loads_right_or_not_at_all(first()) == len(states())


@pytest.mark.slow
def test_an_object_in_the_place_of_another_is_refused() -> None:
    """Of the same store; and of the same kind, or another."""
    some = [key for key in sealed_keys() if not key.startswith("log/") or key[-7:-5] in ("01", "02", "40")]
    for place, other in itertools.permutations(some, 2):
        storage = SealedStorage(replaced(first(), {place: first().read(other)}), HOLDER)
        refused(lambda storage=storage, place=place: storage.read(inner(place)))
    for kind in sorted({folder_of(key) for key in some}):
        own = [key for key in some if folder_of(key) == kind]
        for place, other in zip(own, own[1:] + own[:1], strict=True):
            if place != other:
                loads_right_or_not_at_all(replaced(first(), {place: first().read(other)}))


@pytest.mark.slow
def test_an_object_of_another_store_with_the_same_keys_is_refused() -> None:
    numbered = [key for key in sealed_keys() if key.startswith(("log/", "state/9"))]
    for key in numbered:
        if second().stat(key) is not None:
            storage = replaced(first(), {key: second().read(key)})
            refused(lambda s=storage, k=key: SealedStorage(s, HOLDER).read(k))
    loads_right_or_not_at_all(replaced(first(), {key: second().read(key) for key in numbered}))
    for kind in ("packs/", "manifests/", "trees/", "state/pages/"):
        place, foreign = (next(storage.keys(kind)) for storage in (first(), second()))
        storage = replaced(first(), {place: second().read(foreign)})
        refused(lambda s=storage, k=place: SealedStorage(s, HOLDER).read(inner(k)))
        loads_right_or_not_at_all(storage)


def test_an_object_that_is_not_sealed_is_refused_in_a_sealed_store() -> None:
    """Anyone can write those."""
    own = SealedStorage(first(), HOLDER)
    for key in sealed_keys():
        name = inner(key)
        data = own.read(name)
        storage = replaced(first(), {key: data})
        refused(lambda s=storage, n=name: SealedStorage(s, HOLDER).read(n), DamagedError)
        if name != key:  # and under the name that it would have in a store that is not sealed
            storage = replaced(first(), {key: None, name: data})
            refused(lambda s=storage, n=name: SealedStorage(s, HOLDER).read(n), NotFoundError)
            assert name not in SealedStorage(storage, HOLDER).keys(folder_of(key) + "/")
    plain = {key: own.read(inner(key)) for key in sealed_keys()}
    assert loads_right_or_not_at_all(replaced(first(), plain)) == 0


def rehashed(document: dict[str, Any]) -> bytes:
    rest = {name: value for name, value in document.items() if name != "hash"}
    text = json.dumps(rest, separators=(",", ":"), sort_keys=True)
    body = b'{"hash":"' + b"0" * 64 + b'",' + text.encode()[1:]
    return body[:9] + blake3(body).hexdigest().encode() + body[73:]


def described(storage: MemoryStorage, **changes: Any) -> MemoryStorage:
    """The store with another `store.json`, whose hash is right."""
    document = json.loads(storage.read("store.json"))
    assert rehashed(document) == storage.read("store.json")
    document = {k: v for k, v in {**document, **changes}.items() if v is not None}
    return replaced(storage, {"store.json": rehashed(document)})


def test_a_store_does_not_lose_its_seal() -> None:
    """Without it, with or without the features, with a part of it, or with another identity."""
    features = {"read": None, "write": None, "collect": None}
    for changes in ({"seal": None}, {"seal": None, **features}, features, {"id": "0" * 32}, {"id": "0"}):
        storage = described(first(), **changes)
        refused(saver.Saver(storage).models, (*REFUSED, KeyNeededError))
        if changes == features:  # the seal is there, and so is all that it protects
            assert loads_right_or_not_at_all(storage) == len(states())
            continue
        assert loads_right_or_not_at_all(storage) == 0
        for new in (True, False):
            store = saver.Saver(SealedStorage(storage, HOLDER, new))
            refused(store.models)
            refused(lambda store=store: store.load("small"))
            refused(lambda store=store: store.save("small", [1]))


def test_an_enemy_cannot_put_a_store_without_a_seal_in_the_place_of_one(tmp_path: Any, key: str) -> None:
    """Who passes a key means a sealed store."""
    saver.Saver(tmp_path / "store").save("small", {"weights": "of the enemy"})
    store = saver.Saver(tmp_path / "store", key=key)
    for act in (store.models, lambda: store.load("small"), lambda: store.save("small", ["secret"])):
        refused(act, IncompatibleError)
    assert len(saver.Saver(tmp_path / "store").versions("small")) == 1


@pytest.fixture
def named(tmp_path: Any, key: str) -> Callable[[], Any]:
    """Makes stores of the owner of a key, in folders."""
    count = itertools.count()

    def make() -> Any:
        folder = tmp_path / f"store {next(count)}"
        saver.Saver(folder, key=key).save("small", {"a": np.arange(3.0)})
        return folder

    return make


def test_a_store_without_its_keys_is_closed(named: Callable[[], Any], key: str) -> None:
    folder = named()
    for path in (folder / "keys").iterdir():
        path.unlink()
    refused(lambda: saver.Saver(folder, key=key).load("small"), DamagedError)
    (folder / "keys").rmdir()
    refused(lambda: saver.Saver(folder, key=key).load("small"), DamagedError)
    refused(lambda: saver.Saver(folder, key=key).save("small", [1]), DamagedError)


def test_the_seal_or_the_keys_of_another_store_open_nothing(named: Callable[[], Any], key: str) -> None:
    one, other = named(), named()
    mine, theirs = (json.loads((each / "store.json").read_bytes()) for each in (one, other))
    before = (one / "store.json").read_bytes()
    (one / "store.json").chmod(0o644)
    for seal in (
        theirs["seal"],
        {"seal": "aead-1"},
        {**mine["seal"], "seal": "aead-2"},
        {},
        {"seal": "none"},
    ):
        (one / "store.json").write_bytes(rehashed({**mine, "seal": {**seal}}))
        refused(lambda: saver.Saver(one, key=key).load("small"), (*REFUSED, KeyNeededError))
    (one / "store.json").write_bytes(before)
    bundles = {path: path.read_bytes() for path in (one / "keys").iterdir()}
    for path in bundles:
        path.unlink()
    for path in (other / "keys").iterdir():
        (one / "keys" / path.name).write_bytes(path.read_bytes())
    refused(lambda: saver.Saver(one, key=key).load("small"), DamagedError)
    (one / "store.json").write_bytes(rehashed({**mine, "seal": theirs["seal"]}))
    refused(lambda: saver.Saver(one, key=key).load("small"), WrongKeyError)
    (one / "store.json").write_bytes(before)
    for path, data in bundles.items():
        path.write_bytes(data)
    assert saver.Saver(one, key=key).load("small")["a"][2] == 2


@pytest.mark.slow
def test_every_bit_of_a_bundle_counts(named: Callable[[], Any], key: str) -> None:
    folder = named()
    (path,) = (folder / "keys").iterdir()
    raw = path.read_bytes()
    path.chmod(0o644)
    for bit in range(0, 8 * len(raw), 5):
        path.write_bytes(with_bit(raw, bit))
        refused(lambda: saver.Saver(folder, key=key).models(), (*REFUSED, KeyNeededError))


def test_documents_begin_as_the_specification_says() -> None:
    assert all(first().read(key).startswith(MAGIC) for key in sealed_keys() if not key.startswith("packs/"))

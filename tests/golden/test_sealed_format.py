"""Sealed files and stores are read forever; the specification is enough to read them; and the program
age opens their keys."""

from __future__ import annotations

import ast
import base64
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cryptography")
pytest.importorskip("pyrage")

import age_reader
import golden_sealed
from cryptography.exceptions import InvalidTag
from format_reader import Reader, Values, Wrong
from golden_sealed import EPOCHS, FILES, IDENTITY, PASSPHRASE, STORE
from sealed_reader import MAGIC, SEGMENT, Sealed, SealedStore, commitment_to, opened_file
from store_reader import StoreReader

import saver
from equality import assert_same
from saver.errors import KeyNeededError, WrongKeyError
from saver.seals.aead import Aead
from saver.storage import Bytes, Content

FOLDER = Path(__file__).parent / "sealed"
GOLDEN_STORE = FOLDER / "store.1"

stored = pytest.mark.parametrize("ref", STORE)


@pytest.fixture
def key(tmp_path: Path) -> str:
    """The path of a key file with the golden identity."""
    path = tmp_path / "golden.key"
    path.write_text(IDENTITY + "\n")
    path.chmod(0o600)
    return str(path)


@pytest.fixture
def phrase(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("GOLDEN_PASSPHRASE", PASSPHRASE)
    return "env:GOLDEN_PASSPHRASE"


@pytest.fixture(scope="module")
def objects() -> dict[str, bytes]:
    """What was sealed in the golden store, as the reader of the specification opens it."""
    return SealedStore(GOLDEN_STORE, IDENTITY).objects()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden store, opened by the reader of the specification, as a folder of plain files."""
    found = tmp_path_factory.mktemp("opened") / "store"
    SealedStore(GOLDEN_STORE, IDENTITY).opened_in(found)
    return found


def test_the_readers_of_sealed_bytes_do_not_know_saver() -> None:
    known = {*sys.stdlib_module_names, "blake3", "cryptography", "format_reader", "age_reader"}
    for module in ("age_reader.py", "sealed_reader.py"):
        tree = ast.parse((Path(__file__).parent / module).read_text())
        names = {each.name for item in ast.walk(tree) if isinstance(item, ast.Import) for each in item.names}
        names |= {item.module or "" for item in ast.walk(tree) if isinstance(item, ast.ImportFrom)}
        assert {name.partition(".")[0] for name in names} <= known


# Saver


@stored
def test_sealed_stores_of_the_first_format_are_read_forever(ref: str, key: str) -> None:
    assert_same(STORE[ref](), saver.Saver(GOLDEN_STORE, key=key).load(ref))


def test_a_sealed_store_of_the_first_format_is_opened_with_its_passphrase(phrase: str) -> None:
    store = saver.Saver(GOLDEN_STORE, key=phrase)
    assert_same(STORE["later@1"](), store.load("later"))
    assert_same(STORE["small@1"](), store.load("small@first"))


def test_sealed_files_of_the_first_format_are_read_forever(key: str, phrase: str) -> None:
    assert_same(FILES["recipient"](), saver.load(FOLDER / "recipient.1.saver", key=key))
    assert_same(FILES["passphrase"](), saver.load(FOLDER / "passphrase.1.saver", key=phrase))


def test_golden_files_stay_closed_without_their_keys(tmp_path: Path, phrase: str) -> None:
    with pytest.raises(KeyNeededError):
        saver.load(FOLDER / "recipient.1.saver")
    with pytest.raises((KeyNeededError, WrongKeyError)):
        saver.load(FOLDER / "recipient.1.saver", key=phrase)
    with pytest.raises(KeyNeededError):
        saver.Saver(GOLDEN_STORE).models()


def test_a_sealed_store_of_the_first_format_can_be_written_on(tmp_path: Path, key: str) -> None:
    shutil.copytree(GOLDEN_STORE, tmp_path / "store")
    store = saver.Saver(tmp_path / "store", key=key)
    assert store.save("large", golden_sealed.changed()).number == 3
    assert store.check().sound
    SealedStore(tmp_path / "store", IDENTITY).opened_in(tmp_path / "plain")
    read = Values(StoreReader(tmp_path / "plain", ("sealed",)).open("large@3")).load()
    assert_same(golden_sealed.changed(), read)


# The reader of the specification


@stored
def test_the_reader_of_the_specification_reads_the_golden_sealed_store(ref: str, plain: Path) -> None:
    assert_same(STORE[ref](), Values(StoreReader(plain, ("sealed",)).open(ref)).load())


def test_the_reader_of_the_specification_opens_the_same_bytes(objects: dict[str, bytes], key: str) -> None:
    store = saver.Saver(GOLDEN_STORE, key=key)
    storage = store._repo.storage
    store.models()
    listed = {each for each in storage.keys("") if not each.startswith("keys/")}
    assert {each for each in objects if not each.startswith("keys/")} == listed
    for name in listed:
        assert storage.read(name) == objects[name], name


def test_the_reader_of_the_specification_opens_the_store_by_passphrase(
    objects: dict[str, bytes],
) -> None:
    assert SealedStore(GOLDEN_STORE, passphrase=PASSPHRASE).objects() == objects


def test_the_reader_of_the_specification_reads_the_golden_sealed_files(tmp_path: Path) -> None:
    keys = {"recipient": {"identity": IDENTITY}, "passphrase": {"passphrase": PASSPHRASE}}
    for name, make in FILES.items():
        path = tmp_path / f"{name}.saver"
        path.write_bytes(opened_file(FOLDER / f"{name}.1.saver", **keys[name]))
        assert_same(make(), Values(Reader(path)).load())
        assert_same(make(), saver.load(path))


def test_the_reader_of_the_specification_refuses_what_was_changed(tmp_path: Path) -> None:
    raw = (FOLDER / "recipient.1.saver").read_bytes()
    start = Sealed(raw).start
    for at in (30, 70, 400, start - 1, start, start + SEGMENT, len(raw) - 40, len(raw) - 1):
        path = tmp_path / "a.saver"
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
        with pytest.raises((Wrong, InvalidTag, ValueError, KeyError)):
            opened_file(path, IDENTITY)


def test_the_golden_store_has_what_the_specification_tells_of() -> None:
    names = {path.relative_to(GOLDEN_STORE).as_posix() for path in GOLDEN_STORE.rglob("*") if path.is_file()}
    folders = {name.split("/")[0] for name in names}
    assert {"store.json", "keys", "log", "manifests", "packs", "state", "trees"} <= folders
    assert any(re.fullmatch(r"state/pages/[0-9a-f]{2}/[0-9a-f]{96}\.json", name) for name in names)
    packs = [Sealed((GOLDEN_STORE / name).read_bytes()) for name in names if name.startswith("packs/")]
    assert len({pack.form["epoch"] for pack in packs}) == 2
    assert any(pack.form.get("first") and pack.size > pack.form["first"] + SEGMENT for pack in packs)
    store = SealedStore(GOLDEN_STORE, IDENTITY)
    assert {len(bundle["epochs"]) for bundle in store.bundles} == {2}
    assert {commitment_to(bundle) for bundle in store.bundles} == {
        commitment_to({"names": golden_sealed.NAMES.hex()})
    }


# The same bytes


def resealed(seal: Aead, name: str, data: bytes, first: int) -> bytes:
    content = Bytes(data)
    content.start = first  # type: ignore[misc]
    return b"".join(seal.content(name, content).pieces())


def test_what_was_sealed_becomes_the_same_bytes_again(objects: dict[str, bytes]) -> None:
    """With the keys and the salts that the golden store has."""
    store = SealedStore(GOLDEN_STORE, IDENTITY)
    tried = set()
    for path in sorted(GOLDEN_STORE.rglob("*")):
        outer = path.relative_to(GOLDEN_STORE).as_posix()
        if not path.is_file() or outer.startswith(("store.json", "keys/", "state/free")):
            continue
        raw = path.read_bytes()
        ((key, data),) = store.opened(outer, raw).items()
        name = f"{store.id}/{key}"
        if key.startswith("packs/"):
            form = Sealed(raw).form
            seal = seal_with(form["epoch"], bytes.fromhex(form["salt"]))
            assert resealed(seal, name, data, form.get("first", 0)) == raw
        else:
            at = len(MAGIC)
            seal = seal_with(raw[at : at + 8].hex(), raw[at + 8 : at + 40])
            assert seal.document(name, data) == raw
        tried.add(key.split("/")[0])
    assert tried == {"log", "manifests", "packs", "state", "trees"}


def seal_with(epoch: str, salt: bytes) -> Aead:
    from sealed_reader import epoch_of

    (key,) = (each for each in EPOCHS if epoch_of(each).hex() == epoch)
    return Aead(lambda: [key], fresh=lambda size: salt[:size])


def test_a_file_becomes_the_same_bytes_again() -> None:
    raw = (FOLDER / "recipient.1.saver").read_bytes()
    sealed = Sealed(raw)
    key = age_reader.opened(sealed.wrapped, IDENTITY)
    salt = bytes.fromhex(sealed.form["salt"])
    wrapped = base64.b64encode(sealed.wrapped).decode()
    seal = Aead(lambda: [key], wrapped=wrapped, fresh=lambda size: salt[:size])
    assert resealed(seal, "", sealed.opened(key), sealed.form.get("first", 0)) == raw


def test_a_pack_has_the_same_bytes_however_it_is_written() -> None:
    """In order, or in pieces of any order, as writers of packs do."""
    from golden_sealed import Fixed

    data = bytes(range(256)) * 3000

    class Pieces(Bytes):  # type: ignore[misc]
        start = 4096

        def write(self, sink: Any) -> None:
            for at in reversed(range(0, len(data), 100_000)):
                sink.write(data[at : at + 100_000], at)

    class Memory:
        def __init__(self, size: int) -> None:
            self.data = bytearray(size)

        def write(self, piece: Any, offset: int) -> None:
            self.data[offset : offset + len(piece)] = piece

        write_aligned = write

    made: list[bytes] = []
    for way in ("pieces", "write"):
        content: Content = Aead(lambda: [EPOCHS[0]], fresh=Fixed()).content("a", Pieces(data))
        if way == "pieces":
            made.append(b"".join(content.pieces()))
        else:
            memory = Memory(content.size)
            content.write(memory)  # type: ignore[arg-type]
            made.append(bytes(memory.data))
    assert made[0] == made[1]


# The program


def test_age_itself_opens_the_keys(tmp_path: Path, key: str) -> None:
    age = shutil.which("age")
    if age is None:
        pytest.skip("age, the program, is missing")
    sealed = Sealed((FOLDER / "recipient.1.saver").read_bytes())
    run = [age, "--decrypt", "--identity", key]
    found = subprocess.run(run, input=sealed.wrapped, capture_output=True, check=True).stdout
    assert sealed.opened(found) == opened_file(FOLDER / "recipient.1.saver", IDENTITY)
    bundle = (GOLDEN_STORE / "keys" / ("3" * 32 + ".age")).read_bytes()
    found = subprocess.run(run, input=bundle, capture_output=True, check=True).stdout
    assert found == age_reader.opened(bundle, IDENTITY)

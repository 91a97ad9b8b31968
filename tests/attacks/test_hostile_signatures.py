"""Signatures in the hands of an enemy, who computes every hash anew: what he changes is refused.

Rolled-back stores and replaced records: also tests/signing/test_heads.py. Records without a right: also
tests/repo/test_roles.py.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

pytest.importorskip("cryptography")

import saver
from saver.canonical import canonical
from saver.encoding import encode_opened
from saver.errors import DamagedError, IncompatibleError, SaverError, SignatureError
from saver.file import content_of
from saver.needed import needed, rests_on
from saver.opened import Opened, open_version
from saver.opening import open_file
from saver.pack import Pack, PackWriter
from saver.repo import document
from saver.repo.events import Commit, Sign, Tag
from saver.repo.log import Record, log_key, record_after
from saver.repo.manifest import Manifest
from saver.repo.signing import statement_in
from saver.repo.stated import SIGNATURES, statement_of
from saver.signing.keys import SigningKey
from saver.signing.signatures import RECORD, STATEMENT, Signature, failures, sign
from saver.signing.statement import Statement
from saver.streams import Memory
from saver.tree import Node
from signed import appended, key_of, private, public, rewritten, text_of


@pytest.fixture(autouse=True)
def heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAVER_HEADS", str(tmp_path / "heads"))


def opened(obj: Any = None, name: str = "alice") -> Opened:
    parts = {"b": np.arange(10.0), "a": [1, 2.5]} if obj is None else obj
    return open_file(io.BytesIO(saver.dumps(parts, sign=private(name))))


def written(writer: PackWriter) -> io.BytesIO:
    return io.BytesIO(b"".join(bytes(piece) for piece in writer.pieces()))


def with_signatures(found: Opened, signatures: tuple[Signature, ...]) -> io.BytesIO:
    """The same file with other signatures, and the right hashes."""
    return written(content_of(found.manifest, encode_opened(found), signatures=signatures))


def metadata_of(file: io.BytesIO) -> dict[str, str]:
    found = Pack(Memory(bytearray(file.getvalue()), "a file")).metadata
    return {key: value for key, value in found.items() if key not in ("saver", "saver.header")}


def with_metadata(found: Opened, text: str) -> io.BytesIO:
    metadata = metadata_of(with_signatures(found, found.signatures)) | {SIGNATURES: text}
    return written(PackWriter(encode_opened(found).stored, metadata))


def demanded(file: io.BytesIO) -> Any:
    return saver.load(file, signed_by=public("alice"))


# A file


def test_the_file_itself_loads() -> None:
    found = opened()
    assert demanded(with_signatures(found, found.signatures))["a"] == [1, 2.5]


@pytest.mark.parametrize("name", ["alice", "bob"])
def test_each_bit_of_a_signature_is_looked_at(name: str) -> None:
    found = opened([1], name)
    (good,) = found.signatures
    raw = bytes.fromhex(good.signature)
    for bit in range(0, len(raw) * 8, 7):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        file = with_signatures(found, (replace(good, signature=changed.hex()),))
        with pytest.raises(SignatureError, match=r"does not hold .*does not verify"):
            saver.load(file, signed_by=public(name))


def test_each_bit_of_a_statement_is_signed() -> None:
    found = opened([1])
    statement = statement_of(found.manifest, found.tensors.info, "")
    text, key = STATEMENT + statement.text(), key_of("alice")
    signature = key.sign(text)
    from saver.signing.keys import failure

    for bit in range(len(text) * 8):
        changed = bytearray(text)
        changed[bit // 8] ^= 1 << bit % 8
        assert failure(key.public, signature, bytes(changed)), bit


MANIFESTS: dict[str, Callable[[Manifest], Manifest]] = {
    "author": lambda m: replace(m, author="mallory"),
    "data": lambda m: replace(m, data={"x": {"kind": "other"}}),
    "environment": lambda m: replace(m, environment={}),
    "a package of it": lambda m: replace(m, environment={**m.environment, "packages": {"evil": "1"}}),
    "metrics": lambda m: replace(m, metrics={"accuracy": 1.0}),
    "step": lambda m: replace(m, step=1),
    "time": lambda m: replace(m, time=m.time + 1),
    "model": lambda m: replace(m, model="payroll"),
}


@pytest.mark.parametrize("field", MANIFESTS)
def test_each_field_of_the_metadata_is_signed(field: str) -> None:
    found = opened()
    changed = MANIFESTS[field](found.manifest)
    file = written(content_of(changed, encode_opened(found), signatures=found.signatures))
    with pytest.raises(SignatureError, match="does not verify"):
        demanded(file)


CONTENTS: dict[str, Any] = {
    "a value": {"b": np.arange(10.0), "a": [1, 2.75]},
    "the kind of a value": {"b": np.arange(10.0), "a": (1, 2.5)},
    "a number of an array": {"b": np.array([*range(9), 9.5]), "a": [1, 2.5]},
    "the dtype of an array": {"b": np.arange(10.0).view(np.int64), "a": [1, 2.5]},
    "the shape of an array": {"b": np.arange(10.0).reshape(2, 5), "a": [1, 2.5]},
    "the order of the parts": {"a": [1, 2.5], "b": np.arange(10.0)},
    "a part less": {"b": np.arange(10.0)},
    "a part more": {"b": np.arange(10.0), "a": [1, 2.5], "c": 1},
    "the name of a part": {"b": np.arange(10.0), "c": [1, 2.5]},
    "parts that change places": {"a": np.arange(10.0), "b": [1, 2.5]},
    "not a mapping": [np.arange(10.0), [1, 2.5]],
}


@pytest.mark.parametrize("what", CONTENTS)
def test_each_part_of_the_content_is_signed(what: str) -> None:
    found, other = opened(), open_file(io.BytesIO(saver.dumps(CONTENTS[what])))
    file = written(content_of(found.manifest, encode_opened(other), signatures=found.signatures))
    saver.load(file)
    with pytest.raises(SignatureError, match="does not verify"):
        demanded(io.BytesIO(file.getvalue()))


def test_a_document_that_lies_about_the_hashes_of_its_parts_is_not_believed() -> None:
    """A manifest says which hash a part has. The statement is made from the part itself."""
    found, other = opened(), opened({"b": np.arange(10.0), "a": ["evil"]}, "bob")
    hashes = {name: part.hash for name, part in found.manifest.parts.items()}
    whole = written(content_of(found.manifest, encode_opened(other), signatures=found.signatures))
    metadata = metadata_of(whole)
    manifest = json.loads(metadata["saver.manifest"])
    for name, part in manifest["parts"].items():
        part["hash"] = hashes[name]
    metadata["saver.manifest"] = json.dumps(manifest)
    file = written(PackWriter(encode_opened(other).stored, metadata))
    assert saver.load(io.BytesIO(file.getvalue()))["a"] == ["evil"]
    with pytest.raises(SignatureError, match="does not verify"):
        demanded(file)


def test_keys_that_stand_in_another_order_change_nothing_of_what_is_signed() -> None:
    """A signature is of canonical JSON, in which keys are sorted: a text that has them otherwise says the
    same."""
    found = opened({"b": {"x": 1, "y": {"v": 2, "w": np.arange(9.0)}}, "a": SimpleNamespace(t=[1], u=2.5)})
    metadata = metadata_of(with_signatures(found, found.signatures))
    manifest = turned(json.loads(metadata["saver.manifest"]))
    metadata["saver.manifest"] = json.dumps(manifest, separators=(",", ":"))
    loaded = demanded(written(PackWriter(encode_opened(found).stored, metadata)))
    assert list(loaded) == ["b", "a"]
    assert list(loaded["b"]) == ["x", "y"]
    assert list(loaded["b"]["y"]) == ["v", "w"]
    assert list(vars(loaded["a"])) == ["t", "u"]


def test_packages_that_a_part_says_it_needs_count_as_far_as_what_is_signed_bears_them_out() -> None:
    """The list is in no statement. Else a signed file could have a stranger's package recommended, or keep a
    warning back: that of scikit-learn's version, for instance."""
    found = opened({"a": np.arange(9.0), "b": [1]})

    def listed(*packages: str) -> io.BytesIO:
        metadata = metadata_of(with_signatures(found, found.signatures))
        manifest = json.loads(metadata["saver.manifest"])
        for part in manifest["parts"].values():
            part["packages"] = packages
        metadata["saver.manifest"] = canonical(manifest).decode()
        return written(PackWriter(encode_opened(found).stored, metadata))

    assert [*demanded(listed("evil", "numpy"))] == ["a", "b"]
    assert [part.packages for part in saver.describe(listed("evil", "numpy")).parts] == [("numpy",)] * 2
    items = [Node("sklearn.estimator", cls="sklearn.svm._classes:SVC"), Node("list")]
    assert needed(("evil", "sklearn", "joblib"), items, {"joblib": "1"}) == ("sklearn", "joblib")
    assert rests_on("sklearn", (), items)
    assert not rests_on("torch", (), items)


def turned(value: Any) -> Any:
    """The same JSON, with the keys of each object the other way round."""
    if isinstance(value, dict):
        return {key: turned(value[key]) for key in reversed(value)}
    return [*map(turned, value)] if isinstance(value, list) else value


def test_a_signature_that_is_removed_leaves_an_unsigned_file() -> None:
    file = with_signatures(opened(), ())
    assert saver.verify(io.BytesIO(file.getvalue())).signatures == ()
    with pytest.raises(SignatureError, match="it has no signature"):
        demanded(file)


def test_changing_the_metadata_without_its_hash_is_damage() -> None:
    data = saver.dumps([1], sign=private("alice"))
    at = data.index(SIGNATURES.encode())
    with pytest.raises(DamagedError):
        saver.loads(data[:at] + b"x" + data[at + 1 :])


BAD_LISTS = {
    "not JSON": "[",
    "not a list": "{}",
    "not signatures": "[1]",
    "no key": '[{"signature":"00"}]',
    "a key twice": '[{"key":"a","signature":"0"},{"key":"a","signature":"1"}]',
    "a field twice": '[{"key":"a","key":"b","signature":"0"}]',
    "a long key": json.dumps([{"key": "a" * 201, "signature": "0"}]),
    "a long signature": json.dumps([{"key": "a", "signature": "0" * 201}]),
    "65": json.dumps([{"key": str(n), "signature": "0"} for n in range(65)]),
    "a million": json.dumps([{"key": str(n), "signature": "0"} for n in range(1_000_000)]),
    "65 parents": json.dumps([{"key": "a", "signature": "0", "parents": ["0" * 64] * 65}]),
    "parents that are not hashes": json.dumps([{"key": "a", "signature": "0", "parents": ["0"]}]),
}


@pytest.mark.parametrize("what", BAD_LISTS)
def test_a_list_that_no_saver_writes_is_refused_at_once(what: str) -> None:
    with pytest.raises(IncompatibleError, match=r"signatures|JSON"):
        saver.load(with_metadata(opened([1]), BAD_LISTS[what]))


@pytest.mark.parametrize(
    "key",
    ["rsa:" + "0" * 64, "ed25519:" + "0" * 64, "ed448:0", "", "p256:02" + "f" * 64, "\n\x1b[2J", "é" * 50],
)
def test_a_key_of_any_text_is_a_signature_that_does_not_hold(key: str) -> None:
    found = opened()
    file = with_signatures(found, (*found.signatures, Signature(key, "0" * 128)))
    verified = saver.verify(io.BytesIO(file.getvalue()))
    assert verified.signed_by == (text_of("alice"),)
    assert str(verified).replace("\n", "").isprintable()
    demanded(file)


ODD: dict[str, Any] = {
    "an integer that JSON does not have exactly": {"a": 2**60, "b": 1.0},
    "many of them": {str(n): 2**63 + n for n in range(50)} | {"b": 1e300},
    "depth": 0,
}


@pytest.mark.parametrize("what", ODD)
def test_metadata_of_any_kind_is_refused_or_does_not_verify(what: str) -> None:
    found, odd = opened(), ODD[what]
    if what == "depth":
        for _ in range(400):
            odd = {"a": odd, "b": 0.5}
    metadata = metadata_of(with_signatures(found, found.signatures))
    metadata["saver.manifest"] = json.dumps(
        json.loads(metadata["saver.manifest"]) | {"environment": {"x": odd}}
    )
    file = written(PackWriter(encode_opened(found).stored, metadata))
    with pytest.raises((SignatureError, IncompatibleError)):
        demanded(file)


def test_a_record_with_numbers_that_json_does_not_have_is_void(folder: Path) -> None:
    store = saver.Saver(folder, sign=private("alice"))
    store.grant(public("alice"), "save", "tag", "grant")
    repo = store._repo
    repo.open()
    odd = Commit("iris", 3, "0" * 64, {}, bytes=2**60 + 1)
    record = record_after(repo.state.last(), odd, repo.fresh(), 1e16, "")
    forged = json.loads(msgspec.json.encode(record))
    forged["time"] = 10**16  # canonical, and not as msgspec writes it
    forged["signed"] = {"key": text_of("alice"), "signature": "0" * 128}
    text = json.dumps(forged, sort_keys=True, separators=(",", ":")).encode()
    data = b'{"hash":"' + b"0" * 64 + b'",' + text[1:]
    data = data.replace(b"0" * 64, document.digest(data).encode(), 1)
    (folder / log_key(record.number)).write_bytes(data)
    fresh = saver.Saver(folder)
    assert [version.number for version in fresh.versions("iris")] == [1, 2]
    assert "numbers that JSON does not have" in fresh.check().refused[0]
    assert "numbers that JSON does not have" in str(next(fresh.log()))


def test_messages_of_one_kind_are_not_of_another() -> None:
    """A record that says what a statement says, signed, is not a signature of the statement."""
    found = opened()
    statement = statement_of(found.manifest, found.tensors.info, "")
    key = key_of("alice")
    for text in (statement.text(), RECORD + statement.text(), STATEMENT + STATEMENT + statement.text()):
        forged = Signature(key.public, key.sign(text))
        assert failures((forged,), statement)[key.public] == "the signature does not verify"


# A store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store = saver.Saver(tmp_path / "models")
    store.save("iris", {"a": [1]}, metrics={"loss": 0.5})
    store.save("iris", {"a": [2]}, metrics={"loss": 0.5}, sign=private("alice"))
    store.save("payroll", {"a": [2]}, metrics={"loss": 0.5})
    return tmp_path / "models"


def moved(record: Record, to: str, signatures: tuple[Signature, ...]) -> Record:
    event = record.event
    if isinstance(event, Commit):
        return replace(
            record,
            event=replace(event, signatures=signatures if to == f"{event.model}@{event.number}" else ()),
        )
    return record


@pytest.mark.parametrize("call", ["load", "restore", "export"])
def test_a_tag_that_is_moved_away_while_it_is_read_needs_its_signatures_all_the_same(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Who may write to the store can let a tag name a version for as long as it takes to look it up."""
    rules = f'[keys]\nalice = "{text_of("alice")}"\n[[require]]\ntags = ["production"]'
    (tmp_path / "trust.toml").write_text(rules)
    saver.Saver(folder).tag("iris@1", "production")
    store = saver.Saver(folder, trust_file=tmp_path / "trust.toml")

    def opened(repo: Any, version: Any) -> Opened:
        found = open_version(repo, version)
        saver.Saver(folder).tag("iris@2", "production")
        repo.open()  # as another thread may, which uses the same store
        return found

    monkeypatch.setattr("saver.demanding.open_version", opened)
    into = {"a": [0]}
    calls = {
        "load": lambda: store.load("iris@production"),
        "restore": lambda: store.restore("iris@production", into),
        "export": lambda: store.export("iris@production", tmp_path / "a.json"),
    }
    with pytest.raises(SignatureError, match="iris@1: it has no signature"):
        calls[call]()
    assert into == {"a": [0]}
    assert store.load("iris@production") == {"a": [2]}


@pytest.mark.parametrize("ref", ["iris@1", "payroll@1"])
def test_a_signature_of_another_version_or_model_does_not_hold(folder: Path, ref: str) -> None:
    signatures = saver.Saver(folder).version("iris@2").signatures
    rewritten(folder, lambda record: moved(record, ref, signatures))
    shutil.rmtree(folder.parent / "heads")
    store = saver.Saver(folder)
    assert store.load("iris@2") == {"a": [2]}
    with pytest.raises(SignatureError, match="does not verify"):
        store.load(ref, signed_by=public("alice"))
    with pytest.raises(SignatureError, match="it has no signature"):
        store.load("iris@2", signed_by=public("alice"))


def test_a_signature_of_another_store_does_not_hold_for_other_content(folder: Path, tmp_path: Path) -> None:
    signatures = saver.Saver(folder).version("iris@2").signatures
    other = saver.Saver(tmp_path / "other")
    other.save("iris", {"a": [3]}, metrics={"loss": 0.5})
    other._repo.append(lambda: Sign("iris", 1, signatures))
    with pytest.raises(SignatureError, match="does not verify"):
        other.load("iris", signed_by=public("alice"))


def test_records_that_were_replaced_or_removed_are_noticed_where_they_were_signed(folder: Path) -> None:
    saver.Saver(folder, sign=private("alice")).tag("iris@2", "production")
    shutil.copytree(folder, folder.parent / "copy")
    rewritten(folder, lambda record: replace(record, author="mallory"))
    with pytest.raises(DamagedError, match="records were replaced"):
        saver.Saver(folder).load("iris@2", signed_by=public("alice"))
    shutil.rmtree(folder)
    shutil.copytree(folder.parent / "copy", folder)
    shutil.rmtree(folder / "state", ignore_errors=True)
    max((folder / "log").iterdir()).unlink()
    with pytest.raises(DamagedError, match="rolled back"):
        saver.Saver(folder).load("iris@2", signed_by=public("alice"))


def test_the_log_shows_whose_signature_of_a_record_does_not_hold(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To change a record before a signed one, that must be changed too, which its signer did not sign. Where
    nobody remembers the true one, the log shows it."""
    saver.Saver(folder, sign=private("alice")).tag("iris@2", "production")
    good = next(saver.Saver(folder).log())
    assert (good.signed_by, good.signature, good.seen) == (text_of("alice"), "holds", True)
    rewritten(folder, lambda record: replace(record, author="mallory"))
    with pytest.raises(DamagedError, match="the store was rolled back, or its records were replaced"):
        saver.Saver(folder).log()
    monkeypatch.setenv("SAVER_HEADS", str(tmp_path / "another machine"))
    bad = next(saver.Saver(folder).log())
    assert (bad.signed_by, bad.signature, bad.seen) == (
        text_of("alice"),
        "the signature does not verify",
        False,
    )
    assert "does not verify" in str(bad)


@pytest.mark.parametrize(
    "signatures",
    [
        tuple(Signature(str(n), "0") for n in range(65)),
        (Signature("a", "0"), Signature("a", "1")),
        (Signature("a" * 201, "0"),),
        (Signature("a", "0", ("x",)),),
    ],
)
def test_a_record_with_signatures_that_no_saver_writes_is_refused(
    folder: Path, signatures: tuple[Signature, ...]
) -> None:
    rewritten(folder, lambda record: moved(record, "iris@1", signatures))
    with pytest.raises(IncompatibleError, match="record 1: it has"):
        saver.Saver(folder).load("iris@2")


def test_many_signatures_displace_older_ones_and_keep_nobody_from_signing(folder: Path) -> None:
    store = saver.Saver(folder)
    for first in (0, 32):
        some = tuple(Signature(str(number), "0") for number in range(first, first + 32))
        store._repo.append(lambda some=some: Sign("iris", 1, some))  # type: ignore[misc]
    store.sign("iris@1", private("alice"))
    assert len(store.version("iris@1").signatures) == 64
    assert store.load("iris@1", signed_by=public("alice")) == {"a": [1]}
    assert saver.Saver(folder).check().sound


@pytest.mark.parametrize("how", ["push", "pull"])
@pytest.mark.parametrize("many", [0, 3, 64])
def test_a_store_that_versions_come_from_cannot_spoil_signatures(
    folder: Path, tmp_path: Path, how: str, many: int
) -> None:
    """It has the same version, with a signature that does not hold, or so many that others would give way."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    other, mine = saver.Saver(tmp_path / "other"), saver.Saver(folder)
    mine.push("iris", other)
    statement = statement_in(other._repo, other.version("iris@2"))
    keys = [Ed25519PrivateKey.from_private_bytes(bytes([number + 9]) * 32) for number in range(many)]
    named = [SigningKey(f"ed25519:{key.public_key().public_bytes_raw().hex()}", key.sign) for key in keys]
    some = [Signature(text_of("alice"), "0" * 128), *(sign(statement, key) for key in named)][-64:]
    other._repo.append(lambda: Sign("iris", 2, tuple(some)))
    with pytest.raises(SignatureError, match=r"does not verify|signed by someone else"):
        other.load("iris@2", signed_by=public("alice"))
    for _ in range(2):
        other.push("iris", mine) if how == "push" else mine.pull("iris", other)
    assert mine.load("iris@2", signed_by=public("alice")) == {"a": [2]}
    assert mine.verify("iris@2").signed_by == (text_of("alice"), *(key.public for key in named[:63]))
    assert len([*mine.log(kinds=["sign"])]) == (many > 0)
    mine.push("iris", other)
    mended = other.verify("iris@2").signed_by
    assert (text_of("alice") in mended) == (many < 64)  # one that holds takes the place of one that does not


def test_signatures_from_another_store_are_added_only_if_they_hold_and_are_new(
    folder: Path, tmp_path: Path
) -> None:
    other, mine = saver.Saver(tmp_path / "other"), saver.Saver(folder)
    mine.sign("iris@1", private("bob"))
    other.pull("iris@1", mine)
    statement = statement_in(other._repo, other.version("iris@1"))
    again = sign(statement, key_of("bob"))  # of P-256, so that each one differs
    other._repo.append(lambda: Sign("iris", 1, (again, Signature(text_of("dave"), "0" * 128))))
    before = mine.version("iris@1").signatures
    assert again not in before
    other.push("iris@1", mine)
    assert mine.version("iris@1").signatures == before


def test_somebody_else_can_spoil_a_signature_and_not_forge_one(folder: Path) -> None:
    """Without roles, anyone who writes may put one that does not hold in the place of a signature: then the
    version is refused, and signing it again repairs it."""
    store = saver.Saver(folder)
    store._repo.append(lambda: Sign("iris", 2, (Signature(text_of("alice"), "0" * 128),)))
    with pytest.raises(SignatureError, match="does not verify"):
        store.load("iris@2", signed_by=public("alice"))
    store.sign("iris@2", private("alice"))
    assert store.load("iris@2", signed_by=public("alice")) == {"a": [2]}


def test_nobody_signs_the_parents_that_a_signature_of_somebody_else_claims(folder: Path) -> None:
    store = saver.Saver(folder)
    false = Signature(text_of("carol"), "0" * 128, ("e" * 64,))
    store._repo.append(lambda: Sign("iris", 1, (false,)))
    store._repo.append(lambda: Sign("iris", 2, (false,)))
    store.save("iris", {"a": [3]})

    def parents(ref: str) -> tuple[str, ...]:
        (own,) = (each for each in store.sign(ref, private("bob")).signatures if each.key == text_of("bob"))
        return own.parents

    before, second = store.verify("iris@1").statement, store.verify("iris@2").statement
    assert (parents("iris@1"), parents("iris@3"), parents("iris@2")) == ((), (second,), (before,))
    assert store.verify("iris@1").statement == before


def test_a_shortcut_is_not_believed_where_a_policy_is(folder: Path, tmp_path: Path) -> None:
    """Who can write a checkpoint can say anything there, such as rights of their own. With a trust file, the
    log alone is read."""
    from saver.repo.state.checkpoint import Checkpoint

    store = saver.Saver(folder, sign=private("alice"))
    store.grant(public("alice"), "save", "grant")
    for number in range(40):
        store.label("payroll@1", {"n": number})
    for path in (folder / "state").glob("[0-9]*.json"):
        found, _ = document.decode(path.read_bytes(), Checkpoint, "")
        path.unlink()
        path.write_bytes(document.encode(replace(found, roles={text_of("carol"): ("tag",)})))
    appended(saver.Saver(folder)._repo, Tag("iris", "production", 1), "carol")
    rules = f'[keys]\nalice = "{text_of("alice")}"\n[[require]]\nmodels = ["payroll"]'
    (tmp_path / "trust.toml").write_text(rules)
    assert saver.Saver(folder).summary("iris").tags == {"production": 1}, "until `check` compares them"
    trusting = saver.Saver(folder, trust_file=tmp_path / "trust.toml")
    assert trusting.summary("iris").tags == {}
    assert set(trusting.roles()) == {text_of("alice")}
    assert not saver.Saver(folder).check().sound
    assert saver.Saver(folder).summary("iris").tags == {}


def test_every_statement_differs(tmp_path: Path) -> None:
    """Two versions never have the same statement, in one store or in two."""
    stores = [saver.Saver(tmp_path / name) for name in ("a", "b")]
    texts = set()
    for store in stores:
        for model in ("iris", "payroll"):
            for value in (1, 2):
                store.save(model, {"a": [value]}, sign=private("alice"))
        texts |= {store.verify(f"{m}@{n}").statement for m in ("iris", "payroll") for n in (1, 2)}
    assert len(texts) == 8


def test_a_statement_says_the_same_after_a_push_and_a_collection(folder: Path, tmp_path: Path) -> None:
    store = saver.Saver(folder)
    store.save("big", {"a": np.arange(300_000.0), "b": np.arange(5.0)}, sign=private("alice"))
    store.save("big", {"a": np.arange(300_000.0), "b": np.arange(6.0)}, sign=private("alice"))
    before = [store.verify(f"big@{number}") for number in (1, 2)]
    store.push("big", tmp_path / "other")
    store.note("big@2", "edited after it was signed")
    store.label("big@2", {"a": "b"})
    store.delete("big@1")
    store.gc(grace=0)
    store.gc(grace=0)
    assert store.verify("big@2", signed_by=public("alice")) == before[1]
    there = saver.Saver(tmp_path / "other")
    assert [there.verify(f"big@{number}") for number in (1, 2)] == before
    there.push("big", tmp_path / "third", model="renamed")
    assert saver.Saver(tmp_path / "third").verify("renamed@1").signatures == ()


def test_an_error_of_signatures_is_one_that_saver_raises_on_purpose() -> None:
    assert issubclass(SignatureError, SaverError)
    assert issubclass(SignatureError, PermissionError)
    statement = msgspec.structs.asdict(Statement(model="", parts={}, order=(), whole=False, metadata={}))
    assert set(statement) == {"model", "parts", "order", "whole", "metadata", "parents", "kind"}
    assert sign(Statement(**statement), key_of("alice")).key == text_of("alice")

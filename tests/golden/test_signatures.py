"""Signatures of fixed keys are fixed, and a verifier that knows only docs/format/ agrees with Saver."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cryptography")

import golden_signed
from signature_reader import SignedStore, of_file, verifies

import saver
from saver.errors import SignatureError
from saver.signing.keys import failure
from signed import key_of, private, public, text_of

FOLDER = Path(__file__).parent / "signing"


@pytest.fixture(autouse=True)
def heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAVER_HEADS", str(tmp_path / "heads"))


def test_fixed_keys_make_fixed_signatures() -> None:
    vectors = json.loads((FOLDER / "vectors.json").read_text())
    assert vectors == golden_signed.vectors()
    for each in vectors:
        message = each["message"].encode()
        assert failure(each["key"], each["signature"], message) == ""
        assert verifies(each["key"], each["signature"], message)
        assert not verifies(each["key"], each["signature"], message + b" ")
    for name in ("alice", "bob", "carol", "dave"):
        assert (FOLDER / f"{name}.pub").read_bytes() == public(name)


def test_a_signature_of_p256_verifies_independently() -> None:
    assert verifies(text_of("bob"), key_of("bob").sign(b"message"), b"message")


@pytest.mark.parametrize("name", ["alice", "bob"])
def test_the_golden_files_are_signed(name: str) -> None:
    path = FOLDER / f"{name}.saver"
    assert of_file(path) == {text_of(name)}
    assert saver.verify(path, signed_by=public(name)).signed_by == (text_of(name),)
    assert saver.load(path, signed_by=[public(name)], parts=["words"]) == {"words": ["a", 2.5, -0.0]}
    with pytest.raises(SignatureError, match="signed by someone else"):
        saver.load(path, signed_by=public("carol"))


def test_the_golden_store_has_roles(tmp_path: Path) -> None:
    shutil.copytree(FOLDER / "store", tmp_path / "store")
    theirs, ours = SignedStore(tmp_path / "store"), saver.Saver(tmp_path / "store")
    found = ours.check()
    assert found.sound
    assert [f"log/{number:020}.json" for number in theirs.void] == [
        each.partition(":")[0] for each in found.refused
    ]
    assert len(theirs.void) == len(golden_signed.VOID)
    assert {key: tuple(rights) for key, rights in theirs.roles.items()} == dict(ours.roles())
    assert theirs.tags == {"iris@rc-1": "iris@2", "iris@rc-2": "iris@3", "iris@rc-3": "iris@3"}
    assert ours.summary("iris").tags == {
        tag.partition("@")[2]: int(ref[-1]) for tag, ref in theirs.tags.items()
    }
    assert set(theirs.versions) == {str(version) for version in ours.versions("iris")}
    for ref in theirs.versions:
        assert theirs.signers(ref) == set(ours.verify(ref).signed_by)
    assert theirs.signers("iris@2") == {text_of("alice"), text_of("bob")}


def test_what_is_signed_now_verifies_independently(tmp_path: Path) -> None:
    store = saver.Saver(tmp_path / "models", sign=private("alice"))
    parts = {"z": np.arange(50_000.0), "a": {"ä": [0.1, 1e300, -0.0, None, True]}, "é": "x" * 2000}
    for number in range(3):
        store.save(
            "team/net",
            parts | {"n": number},
            metrics={"loss": 1e-7 + number, "nan": float("nan")},
            step=number,
        )
    store.sign("team/net@2", private("bob"))
    other = saver.Saver(tmp_path / "other", sign=private("carol"))
    store.push("team/net", other)
    for folder in ("models", "other"):
        found = SignedStore(tmp_path / folder)
        for number in (1, 2, 3):
            ref = f"team/net@{number}"
            verified = saver.Saver(tmp_path / folder).verify(ref)
            assert found.signers(ref) == set(verified.signed_by)
            assert text_of("alice") in verified.signed_by
            parents = next(iter(found.signatures[ref].values())).get("parents", [])
            assert found.statement_hash(ref, parents) == verified.statement
            if number > 1:
                before = f"team/net@{number - 1}"
                theirs = next(iter(found.signatures[before].values())).get("parents", [])
                assert parents == [found.statement_hash(before, theirs)]
    store.export("team/net@2", tmp_path / "out.saver")
    assert of_file(tmp_path / "out.saver") == {text_of("alice"), text_of("bob")}

"""Manifests: one text for each, and the same manifest from any text that says the same."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

import saver
from saver.canonical import canonical
from saver.repo.forms import ShardForm, TensorForm
from saver.repo.manifest import Manifest, Part, decode, encode
from saver.tensors import ZERO

TREE = msgspec.Raw(b'{"$":"dict","state":{"$order":[1,0],"a":{"$float":1},"b":0.5}}')
PART = Part(hash=ZERO, tree=TREE, packages=("numpy",), batches={"b": TREE, "a": TREE})
FORM = TensorForm("F32", (4, 2), (
    ShardForm(hash=ZERO, extents=((0, 8, 16),), box=((0, 0), (2, 2))),
    ShardForm(hash="1" * 64, extents=((1, 0, 16),), box=((2, 0), (2, 2)), blocks=()),
))  # fmt: skip
PLAIN = Manifest(format=1, parts={"model": PART})
FULL = Manifest(
    format=1, parts={"z": PART, "é": PART, "a": PART}, whole=True, time=1e9, model="m", number=2, parent=1,
    step=7, author="ada", notes="1.0, 2.5", packs=("p", "q"), transaction="x",
    environment={"z": 1.0, "a": [1e-7, 1e21], "packages": {"numpy": "2.0"}}, data={"y": {"n": 2}, "x": 1e16},
    metrics={"loss": 0.25, "accuracy": 1.0, "bad": "nan"}, tensors={"b": FORM, "a": FORM},
    unknown={"new": {"b": 1, "a": 2.0}, "unknown": {"model": "other"}},
)  # fmt: skip
MANIFESTS = pytest.mark.parametrize("manifest", [PLAIN, FULL], ids=["plain", "full"])


def sorted_inside(manifest: Manifest) -> Any:
    """What a manifest says, whatever the order in which its JSON has it; but that of its parts."""
    return json.loads(encode(manifest)), list(manifest.parts), manifest.unknown


@MANIFESTS
def test_a_manifest_is_written_as_canonical_json(manifest: Manifest) -> None:
    assert canonical(json.loads(encode(manifest))) == encode(manifest)


@MANIFESTS
def test_what_was_written_is_what_is_read(manifest: Manifest) -> None:
    assert sorted_inside(decode(encode(manifest), "here")) == sorted_inside(manifest)


@MANIFESTS
def test_another_program_may_write_the_same_in_another_way(manifest: Manifest) -> None:
    document = json.loads(encode(manifest))
    for text in (json.dumps(document, indent=1), json.dumps(dict(reversed(document.items())))):
        assert sorted_inside(decode(text.encode(), "here")) == sorted_inside(manifest)


def test_a_field_that_this_saver_does_not_know_cannot_pass_for_one_that_it_knows() -> None:
    found = decode(encode(FULL), "here")
    assert found.unknown == FULL.unknown
    assert json.loads(encode(found))["model"] == "m"


@pytest.mark.parametrize(
    "twice",
    [(b'"format":1', b'"format":1,"format":1'), (b'"hash":', b'"hash":"","hash":'),
     (b'"shape":', b'"shape":[8],"shape":'), (b'"dtype":', b'"dtype":"U8","dtype":'),
     (b'"extents":', b'"extents":[],"extents":'), (b'"metrics":{', b'"metrics":{"loss":1,'),
     (b'"tensors":{', b'"tensors":{"a":{},'), (b'"parts":{', b'"parts":{"a":{},')],
    ids=lambda twice: twice[0].decode(),
)  # fmt: skip
def test_a_key_that_is_there_twice_is_refused_wherever_it_is(twice: tuple[bytes, bytes]) -> None:
    text = encode(FULL)
    assert twice[0] in text
    with pytest.raises(saver.IncompatibleError, match="stands there twice"):
        decode(text.replace(*twice, 1), "here")


@pytest.mark.parametrize("digest", ["", "0" * 63, "0" * 65, "0" * 63 + "A", "0" * 63 + "\n", "\u0660" * 64])
def test_a_hash_has_64_digits(digest: str) -> None:
    for shard in (ShardForm(hash=digest), ShardForm(hash=ZERO, blocks=(digest,))):
        form = TensorForm("F32", (4,), (shard,))
        with pytest.raises(saver.IncompatibleError, match="a hash of a tensor is not one"):
            decode(encode(msgspec.structs.replace(PLAIN, tensors={"a": form})), "here")

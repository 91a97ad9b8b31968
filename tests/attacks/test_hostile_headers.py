"""Headers, manifests and metadata that lie, with hashes that match."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blake3 import blake3
from forge import PREFIX, ZEROS, File, dumps, forged, sealed

import saver
from saver.tensors import hashing

Change = Callable[[File], object]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> File:
    return forged(tmp_path_factory.mktemp("two"), {"a": np.arange(256.0), "b": np.ones(600, np.uint8)})


def slot(file: File, name: str = "a") -> Any:
    return file.tensors[name]


LIES: dict[str, Change] = {
    "a shape of another size": lambda f: slot(f).update(shape=[255]),
    "a product beyond 64 bits": lambda f: slot(f).update(shape=[2**32, 2**32]),
    "a negative shape": lambda f: slot(f).update(shape=[-16, -16]),
    "a shape of 2**63": lambda f: slot(f).update(shape=[2**63]),
    "a shape of 10**40": lambda f: slot(f).update(shape=[10**40]),
    "a shape of floats": lambda f: slot(f).update(shape=[256.5]),
    "a shape of words": lambda f: slot(f).update(shape=["256"]),
    "a shape of many axes": lambda f: slot(f).update(shape=[256] + [1] * 64),
    "a shape of a million axes": lambda f: slot(f).update(shape=[1] * 1_000_000),
    "no shape": lambda f: slot(f).pop("shape"),
    "no dtype": lambda f: slot(f).pop("dtype"),
    "a dtype that is not a string": lambda f: slot(f).update(dtype=["F64"]),
    "no offsets": lambda f: slot(f).pop("data_offsets"),
    "one offset": lambda f: slot(f).update(data_offsets=[0]),
    "three offsets": lambda f: slot(f).update(data_offsets=[0, 2048, 0]),
    "offsets backwards": lambda f: slot(f).update(data_offsets=[2048, 0]),
    "offsets below zero": lambda f: slot(f).update(data_offsets=[-2048, 0]),
    "offsets beyond the file": lambda f: slot(f, "b").update(
        shape=[2**40], data_offsets=[2048, 2048 + 2**40]
    ),
    "offsets of 2**63": lambda f: slot(f).update(data_offsets=[2**63, 2**63 + 2048]),
    "tensors that overlap": lambda f: slot(f, "b").update(data_offsets=[2000, 2600]),
    "tensors upon each other": lambda f: slot(f, "b").update(data_offsets=[0, 600]),
    "a gap between tensors": lambda f: (slot(f, "b").update(data_offsets=[2049, 2649]), _longer(f, 1)),
    "a gap between tensors whose hashes match": lambda f: _moved(f, b"hidden"),
    "a tensor upon another one whose hash it has": lambda f: _doubled(f),
    "a shape that leaves bytes out of the hash": lambda f: (
        slot(f).update(shape=[255]),
        f.own["hashes"].__setitem__(0, blake3(f.data[: 255 * 8]).hexdigest()),
    ),
    "an unknown field": lambda f: slot(f).update(call="os.system"),
    "a tensor that is a number": lambda f: f.tensors.update(c=1),
    "too few hashes": lambda f: f.own["hashes"].pop(),
    "too many hashes": lambda f: f.own["hashes"].append(ZEROS),
    "no hashes": lambda f: f.own.pop("hashes"),
    "hashes by name": lambda f: f.own.update(hashes=dict.fromkeys("ab", ZEROS)),
    "a hash in capitals": lambda f: f.own["hashes"].__setitem__(0, f.own["hashes"][0].upper()),
    "a hash that is not hexadecimal": lambda f: f.own["hashes"].__setitem__(0, "g" * 64),
    "a short hash": lambda f: f.own["hashes"].__setitem__(0, f.own["hashes"][0][:-1]),
    "a hash that is a number": lambda f: f.own["hashes"].__setitem__(0, 1),
    "blocks for a small tensor": lambda f: f.own.update(blocks={"a": [ZEROS]}),
    "blocks that are no lists": lambda f: f.own.update(blocks={"a": ZEROS}),
    "no blocks": lambda f: f.own.pop("blocks"),
    "no id": lambda f: f.own.pop("id"),
    "no format": lambda f: f.own.pop("format"),
    "metadata that are numbers": lambda f: f.metadata.update(x=1),
    "metadata that are objects": lambda f: f.metadata.update(x={}),
    "no own metadata": lambda f: f.metadata.update(saver=""),
    "own metadata that are a list": lambda f: f.metadata.update(saver="[]"),
    "own metadata that are not JSON": lambda f: f.metadata.update(saver="{"),
    "own metadata with a key twice": lambda f: f.metadata.update(saver='{"format":1,"format":1}'),
    "a manifest that is not JSON": lambda f: f.metadata.update({"saver.manifest": "nothing"}),
    "a manifest that is a list": lambda f: f.metadata.update({"saver.manifest": "[]"}),
    "a manifest that is a number": lambda f: f.metadata.update({"saver.manifest": "1"}),
    "a manifest with nan": lambda f: f.metadata.update(
        {"saver.manifest": '{"format":1,"parts":{},"time":NaN}'}
    ),
    "a manifest with a key twice": lambda f: f.metadata.update(
        {"saver.manifest": dumps(f.manifest).replace('"whole":', '"whole":false,"whole":', 1)}
    ),
    "parts that are a list": lambda f: f.manifest.update(parts=[]),
    "no parts": lambda f: f.manifest.pop("parts"),
    "a part that is a number": lambda f: f.manifest["parts"].update(a=1),
    "a part without a tree": lambda f: f.manifest["parts"]["a"].pop("tree"),
    "a part without a hash": lambda f: f.manifest["parts"]["a"].pop("hash"),
    "a part whose version is a word": lambda f: f.manifest["parts"]["a"].update(version="1"),
    "a part whose packages are a word": lambda f: f.manifest["parts"]["a"].update(packages="numpy"),
    "batches that are a list": lambda f: f.manifest["parts"]["a"].update(batches=[]),
    "several parts that are not one mapping": lambda f: f.manifest.update(whole=False),
    "whole that is a number": lambda f: f.manifest.update(whole=2),
    "a time that is a word": lambda f: f.manifest.update(time="now"),
    "an environment that is a list": lambda f: f.manifest.update(environment=[]),
    "packages that are a number": lambda f: f.manifest.update(environment={"packages": 1}),
    "packages whose versions are numbers": lambda f: f.manifest.update(
        environment={"packages": {"sklearn": 1}}
    ),
    "a hash with a newline": lambda f: f.own["hashes"].__setitem__(0, f.own["hashes"][0] + "\n"),
    "requirements that are a word": lambda f: f.manifest.update(requires="x"),
}

OTHER_BYTES: dict[str, Change] = {
    "bytes behind the last tensor": lambda f: _longer(f, 1),
    "many bytes behind the last tensor": lambda f: _longer(f, 1 << 20),
    "bytes that are missing at the end": lambda f: _shorter(f, 1),
    "hashes exchanged": lambda f: f.own["hashes"].reverse(),
    "a wrong hash": lambda f: f.own["hashes"].__setitem__(0, ZEROS),
}

UNSUPPORTED: dict[str, Change] = {
    "a dtype of the future": lambda f: slot(f).update(dtype="F4"),
    "a format of the future": lambda f: f.own.update(format=2),
    "a format that is a word": lambda f: f.own.update(format="1"),
    "a long format": lambda f: f.own.update(format="9" * 10_000),
    "a manifest of the future": lambda f: f.manifest.update(format=2),
    "a manifest without format": lambda f: f.manifest.pop("format"),
    "a feature of the future": lambda f: f.manifest.update(requires=["teleport"]),
    "many features of the future": lambda f: f.manifest.update(requires=["x" * 1000] * 1000),
}


def _longer(file: File, count: int) -> None:
    file.data += b"\0" * count


def _shorter(file: File, count: int) -> None:
    file.data = file.data[:-count]


def _moved(file: File, hidden: bytes) -> None:
    """The second tensor begins after some bytes that no hash covers."""
    begin, end = slot(file, "b")["data_offsets"]
    slot(file, "b")["data_offsets"] = [begin + len(hidden), end + len(hidden)]
    file.data = file.data[:begin] + hidden + file.data[begin:]


def _doubled(file: File) -> None:
    file.tensors = {"a": slot(file), "again": slot(file).copy(), "b": slot(file, "b")}
    file.rehash()


def _check_message(error: saver.SaverError) -> None:
    assert len(str(error)) < 2_000, "an error message is for people"


@pytest.mark.parametrize("change", LIES.values(), ids=LIES.keys())
def test_a_header_that_lies_is_refused(change: Change, two: File, tmp_path: Path, refused: Any) -> None:
    file = two.copy()
    change(file)
    _check_message(refused(file.write(tmp_path / "bad.saver"), saver.IncompatibleError))


@pytest.mark.parametrize("change", OTHER_BYTES.values(), ids=OTHER_BYTES.keys())
def test_bytes_that_are_not_those_of_the_header_are_damage(
    change: Change, two: File, tmp_path: Path, refused: Any
) -> None:
    file = two.copy()
    change(file)
    _check_message(refused(file.write(tmp_path / "bad.saver"), saver.DamagedError))


@pytest.mark.parametrize("change", UNSUPPORTED.values(), ids=UNSUPPORTED.keys())
def test_what_is_newer_is_refused_and_says_so(
    change: Change, two: File, tmp_path: Path, refused: Any
) -> None:
    file = two.copy()
    change(file)
    _check_message(refused(file.write(tmp_path / "bad.saver"), saver.IncompatibleError, "newer"))


def test_a_required_feature_is_refused_by_name(two: File, tmp_path: Path, refused: Any) -> None:
    file = two.copy()
    file.manifest["requires"] = ["teleport"]
    refused(file.write(tmp_path / "bad.saver"), saver.IncompatibleError, "teleport")


def test_an_unknown_field_does_no_harm(two: File, tmp_path: Path) -> None:
    file = two.copy()
    file.manifest["later"] = {"x": [1]}
    file.metadata["note"] = "hello"
    assert list(saver.load(file.write(tmp_path / "good.saver"))) == ["a", "b"]


@pytest.mark.parametrize("key", ["a", "b", "__metadata__"])
def test_a_name_that_stands_twice_in_the_header_is_refused(
    key: str, two: File, tmp_path: Path, refused: Any
) -> None:
    text = two.text()
    again = b"," + json.dumps(key).encode() + b":" + dumps(two.document()[key]).encode() + b"}"
    path = tmp_path / "bad.saver"
    path.write_bytes(sealed(text[:-1] + again) + two.data)
    refused(path, saver.IncompatibleError, "twice")


@pytest.mark.parametrize("field", ["shape", "dtype", "data_offsets"])
def test_a_field_that_stands_twice_in_a_tensor_is_refused(
    field: str, two: File, tmp_path: Path, refused: Any
) -> None:
    name = f'"{field}":'.encode()
    first = dumps(slot(two)[field]).encode()
    path = tmp_path / "bad.saver"
    path.write_bytes(sealed(two.text().replace(name, name + first + b"," + name, 1)) + two.data)
    refused(path, saver.IncompatibleError, "twice")


@pytest.mark.parametrize(
    "length", [0, 1, 8, 100, 4087, 4089, 100_000_000, 100_000_001, 2**31, 2**63, 2**64 - 1]
)
def test_a_header_length_that_lies_is_refused(length: int, two: File, tmp_path: Path, refused: Any) -> None:
    path = tmp_path / "bad.saver"
    path.write_bytes(sealed(two.text(), length) + two.data)
    refused(path, (saver.DamagedError, saver.IncompatibleError))


def test_a_header_beyond_the_limit_is_not_even_read(
    two: File, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Any
) -> None:
    path = two.write(tmp_path / "long.saver")
    assert list(saver.load(path)) == ["a", "b"]
    monkeypatch.setattr("saver.pack.read.HEADER_LIMIT", 4000)
    refused(path, saver.IncompatibleError, "not a Saver file")


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"null", b'{"__metadata__":[]}', b'{"__metadata__":{"a":1}}', b"{\xff}",
     PREFIX, PREFIX + ZEROS.encode(), PREFIX + ZEROS.encode() + b'"}}',
     PREFIX + ZEROS.encode() + b'"},"a":1}',
     PREFIX + ZEROS.encode() + b'","saver":"{\\"format\\":1}"}}', PREFIX + ZEROS.encode() + b'"}}garbage',
     PREFIX + ZEROS.encode() + b'","saver":"\\ud800"}}', PREFIX + b"[" * 100_000,
     PREFIX + ZEROS.encode() + b'","saver":"' + b"[" * 100_000 + b'"}}',
     PREFIX + ZEROS.encode() + b'","saver":"{}","x":"' + b"\x00" + b'"}}',
     PREFIX + ZEROS.encode() + b'","saver":"{}"},"a":' + b"9" * 100_000 + b"}"],
    ids=range(18),
)  # fmt: skip
def test_any_header_is_refused_calmly(text: bytes, tmp_path: Path, refused: Any) -> None:
    path = tmp_path / "bad.saver"
    path.write_bytes(sealed(text))
    _check_message(refused(path, (saver.DamagedError, saver.IncompatibleError)))


@pytest.mark.parametrize(
    "environment",
    [{}, {"python": 3}, {"git": "x"}, {"git": {"commit": 1, "dirty": "maybe"}}, {"random": []},
     {"random": {"seeds": 1, "generators": [2]}}, {"platform": {"a": ["b"]}}, {"packages": {}}],
)  # fmt: skip
def test_a_strange_environment_is_described_as_it_is(environment: Any, two: File, tmp_path: Path) -> None:
    file = two.copy()
    file.manifest["environment"] = environment
    path = file.write(tmp_path / "odd.saver")
    assert saver.describe(path).environment == environment
    assert list(saver.load(path)) == ["a", "b"]


def test_blocks_of_a_large_tensor_are_bound_to_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Any
) -> None:
    monkeypatch.setattr(hashing, "BLOCKS_FROM", 2048)
    monkeypatch.setattr(hashing, "BLOCK", 512)
    file = forged(tmp_path, np.arange(300.0))
    name = next(iter(file.tensors))
    assert len(file.own["blocks"][name]) == 5

    def changed(change: Callable[[list[str]], object]) -> Path:
        other = file.copy()
        change(other.own["blocks"][name])
        return other.write(tmp_path / "bad.saver")

    saver.load(file.write(tmp_path / "good.saver"))
    refused(changed(lambda blocks: blocks.reverse()), saver.DamagedError)
    refused(changed(lambda blocks: blocks.pop()), saver.IncompatibleError)
    refused(changed(lambda blocks: blocks.append(ZEROS)), saver.IncompatibleError)
    refused(changed(lambda blocks: blocks.clear()), saver.IncompatibleError)
    refused(changed(lambda blocks: blocks.__setitem__(2, blocks[1])), saver.DamagedError)
    refused(changed(lambda blocks: blocks.__setitem__(2, "xyz")), saver.IncompatibleError)
    honest = file.own["hashes"][0]
    file.own["hashes"][0] = blake3(b"".join(map(bytes.fromhex, file.own["blocks"][name][:4]))).hexdigest()
    refused(changed(lambda blocks: blocks.pop()), saver.IncompatibleError, "4 block hashes")
    file.own["hashes"][0] = honest
    file.data = file.data[:1030] + b"!" + file.data[1031:]
    own = blake3(file.data[1024:1536]).hexdigest()
    refused(changed(lambda blocks: blocks.__setitem__(2, own)), saver.DamagedError)

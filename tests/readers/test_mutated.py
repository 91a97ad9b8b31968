"""Of sound files with one field changed, the reader in JavaScript accepts those that Saver accepts, and reads
the same in them. Wherever the two differ, a page of the format leaves something open."""

from __future__ import annotations

import copy
import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from javascript_reader import verdicts

CONFORMANCE = Path(__file__).parents[1] / "conformance"
sys.path.append(str(CONFORMANCE))

from runner import verdict  # noqa: E402

BEGINNING = b'{"__metadata__":{"saver.header":"'
JUNK: list[Any] = [
    None, True, False, 0, 1, -1, 2, 7, 2**53, -(2**53), 1.5, "", "a", "0", "F64", "U8", "<f8", ">i4", "list",
    "$", "__proto__", [], {}, [0], [1, 0], {"a": 1}, {"$ref": 1}, {"$ref": 0}, {"$tensor": "model"},
    {"$float": 1},
    {"$": "list", "state": []}, {"$": "tuple", "state": [1]}, {"$": "dict", "state": {"a": 1}},
    {"$": "float", "state": "7ff8000000000000"}, {"$": "stdlib.deque", "state": [None, []]},
]  # fmt: skip
KEYS = ["x", "$x", "", "id", "v", "class", "part", "$order", "$ref", "__array_z", "dtype", "state"]
FOR_PYTHON = (
    "slice",
    "module",
    "ml_dtypes",
    "a default factory must make",
    "only functions can be in a partial",
)
"""In messages of Saver, where the page lets a reader that builds objects refuse more."""


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [path, *(each for key in keys for each in places(value[key], (*path, key)))]


def near(value: Any, rng: random.Random) -> Any:
    """Nearly the same."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, (int, float)):
        return value + rng.choice([-1, 1, 8, -8])
    if isinstance(value, str):
        at = rng.randrange(len(value) + 1)
        return (
            value[:at]
            + rng.choice(["0", "a", "F", "<", ">", "|", ":", ".", "$", "-", "/", "="])
            + value[at + rng.randrange(2) :]
        )
    if isinstance(value, list) and value:
        at = rng.randrange(len(value))
        return value[:at] + value[at + 1 :] if rng.random() < 0.5 else [*value, copy.deepcopy(value[at])]
    return rng.choice(JUNK)


def changed(document: Any, rng: random.Random) -> tuple[Any, ...]:
    """Changes one field, and says which."""
    fixed = ((), ("__metadata__",), ("__metadata__", "saver.header"))
    path = rng.choice([each for each in places(document) if each not in fixed])
    parent, key, chance = document, path[-1], rng.random()
    for step in path[:-1]:
        parent = parent[step]
    if chance < 0.12:
        del parent[key]
        return *path, "deleted"
    if chance < 0.25 and isinstance(parent, dict):
        parent[rng.choice(KEYS)] = rng.choice(JUNK)
        return *path, parent
    parent[key] = near(parent[key], rng) if chance < 0.7 else rng.choice(JUNK)
    return *path, parent[key]


def mutated(raw: bytes, rng: random.Random) -> tuple[bytes, tuple[Any, ...]]:
    """A file with one field changed, whose header has the hash that it then needs; and which field."""
    size = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:size])
    where = rng.choice(["", "saver", "saver.manifest", "saver.manifest", "saver.manifest"])
    inner = json.loads(header["__metadata__"][where]) if where else header
    what = changed(inner, rng)
    if where:
        header["__metadata__"][where] = json.dumps(inner, separators=(",", ":"))
    text = json.dumps(header, separators=(",", ":")).encode()
    length = -(-(8 + len(text)) // 4096) * 4096 - 8
    head = length.to_bytes(8, "little") + text.ljust(length)
    assert head[8:41] == BEGINNING
    digest = blake3(head[:41] + b"0" * 64 + head[105:]).hexdigest().encode()
    return head[:41] + digest + head[105:] + raw[size:], (where, *what)


def disagreements(folder: Path, seed: int, count: int) -> list[tuple[Any, ...]]:
    """Where the two readers say different things."""
    rng = random.Random(seed)
    sound = sorted(CONFORMANCE.glob("valid/[123]-*.saver"))
    made = []
    for number in range(count):
        source = rng.choice(sound)
        data, what = mutated(source.read_bytes(), rng)
        made.append((folder / f"{number}.saver", source.name, what))
        made[-1][0].write_bytes(data)
    differ = []
    for (path, name, what), other in zip(made, verdicts([path for path, _, _ in made]), strict=True):
        found = verdict(str(path))
        if other["verdict"] == "unsupported" or any(each in found.get("message", "") for each in FOR_PYTHON):
            continue
        if found["verdict"] == "invalid":
            agree = other["verdict"] == "invalid" and found["rule"] is not None
        else:
            agree = all(other.get(key) == value for key, value in found.items())
        if not agree:
            differ.append((path.name, name, what, found.get("rule"), found.get("message"), other))
    return differ


def test_of_files_with_one_field_changed_it_accepts_what_saver_accepts(tmp_path: Path) -> None:
    assert disagreements(tmp_path, 20, 400) == []


@pytest.mark.long
@pytest.mark.slow
def test_of_very_many_files_with_one_field_changed_too(tmp_path: Path) -> None:
    for seed in range(20):
        folder = tmp_path / str(seed)
        folder.mkdir()
        assert disagreements(folder, 100 + seed, 2000) == []

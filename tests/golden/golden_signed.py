"""Files, a store with roles, and vectors, signed by keys that are always the same. Never change them: add."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

import saver
from saver.repo.events import Tag
from saver.signing.signatures import RECORD, STATEMENT
from saver.signing.statement import Statement
from signed import NAMES, appended, key_of, private, public, text_of


def statements() -> list[Statement]:
    """Statements whose canonical JSON is not obvious."""
    plain = {"author": "ann", "data": {}, "environment": {}, "metrics": {}, "step": None, "time": 0}
    odd = {"z": 1e-7, "ä": 1e21, "a": 0.1, "\ue000": 5e-324, "\U0001f600": -1.5}
    return [
        Statement(model="", parts={"model": "0" * 64}, order=("model",), whole=False, metadata=plain),
        Statement(
            model="team/bert", parts={"b": "1" * 64, "a": "2" * 64}, order=("b", "a"), whole=True,
            metadata=plain | {"metrics": odd, "step": 10**15 - 1, "time": 1764374400.5}, parents=("3" * 64,),
        ),
    ]  # fmt: skip


def vectors() -> list[dict[str, str]]:
    """Messages with the signatures of each Ed25519 key, of which there is one each."""
    texts = [(STATEMENT, each.text()) for each in statements()] + [(RECORD, b'{"format":1}')]
    return [
        {
            "key": text_of(name), "seed": bytes([NAMES.index(name) + 1] * 32).hex(),
            "message": (kind + text).decode(), "signature": key_of(name).sign(kind + text),
        }
        for name in ("alice", "carol", "dave")
        for kind, text in texts
    ]  # fmt: skip


def make(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "vectors.json").write_text(json.dumps(vectors(), indent=1, ensure_ascii=False) + "\n")
    for name in NAMES:
        (folder / f"{name}.pub").write_bytes(public(name))
    for name in ("alice", "bob"):
        parts = {"weights": np.arange(2000.0), "words": ["a", 2.5, -0.0]}
        saver.dump(parts, folder / f"{name}.saver", sign=private(name))
    store = saver.Saver(folder / "store", sign=private("alice"))
    store.save("iris", {"a": np.arange(9.0)}, metrics={"loss": 0.25}, step=3)
    store.save("iris", {"b": np.arange(99_000.0), "a": [1]}, tags=["rc-1"])
    store.sign("iris@2", private("bob"))
    store.save("other", [1])
    store.grant(public("bob"), "save", "tag:rc-*", "delete")
    store = saver.Saver(folder / "store", sign=private("bob"))
    store.save("iris", {"a": [2]}, tags=["rc-2"])
    store.label("iris@3", {"of": "bob"})
    repo = store._repo
    for event, name in VOID:
        appended(repo, event, name)
    store.tag("iris@3", "rc-3")
    store.delete("other@1")


VOID: list[tuple[Tag, str | None]] = [
    (Tag("iris", "production", 3), "bob"), (Tag("iris", "production", 3), None),
    (Tag("iris", "rc-4", 3), "carol"),
    (Tag("iris", "rc-5", 3), "alice"),
]  # fmt: skip
"""Records that somebody appended who has no right to them: alice may grant, and nothing else."""

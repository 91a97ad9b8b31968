"""Keys of which a bucket gets many have entropy from the start (docs/decisions/0028)."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np

import saver
from saver.storage import Content
from saver.storages.memory import MemoryStorage

SEQUENTIAL = re.compile(r"store\.json|log/.*|state/(users/)?[0-9]{20}\.json|state/free-[0-9]")
"""Written by one after another, or once."""

_RANDOM = re.compile(r"(packs|clock)/(?P<name>.*)|(manifests|trees|state/pages)/(?P<hash>.*)")


class Noting(MemoryStorage):
    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []

    def put(self, key: str, content: Content) -> None:
        self.written.append(key)
        super().put(key, content)

    def create(self, key: str, data: bytes) -> bool:
        self.written.append(key)
        return super().create(key, data)


def test_what_many_write_begins_with_entropy_and_the_rest_is_written_in_turn() -> None:
    storage = Noting()
    store = saver.Saver(storage)
    for number in range(400):
        store.save(f"m{number % 7}", {"w": np.full(2000, number), "n": {"deep": [number] * 300}})
    for number in range(1, 20):
        store.delete(f"m1@{number}")
    store.gc(grace=0)
    firsts = Counter[str]()
    for key in storage.written:
        if SEQUENTIAL.fullmatch(key):
            continue
        found = _RANDOM.fullmatch(key)
        assert found is not None, key
        firsts[(found["name"] or found["hash"]).replace("/", "")[:2]] += 1
    total = firsts.total()
    assert total >= 400
    assert len(firsts) > 150  # of 256
    assert max(firsts.values()) < total / 20
    in_turn = sum(bool(SEQUENTIAL.fullmatch(key)) for key in storage.written)
    assert in_turn <= 1.5 * (400 + 20)

"""Keys and elements with one hash, each of which Python would compare with all others."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Any

import pytest

import saver
from saver.codec import Encoder
from saver.errors import CannotSaveError, IncompatibleError
from saver.families.python import items

MODULUS = (1 << 61) - 1
"""Of Python's hashes of integers."""


def _keys(count: int) -> list[int]:
    return [(at << 3) * MODULUS for at in range(1, count + 1)]


@pytest.mark.parametrize("make", [set, frozenset, dict.fromkeys, OrderedDict.fromkeys, Counter])
def test_too_many_keys_of_one_hash_are_refused(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    most = items._MOST_ALIKE
    assert saver.loads(saver.dumps(make(_keys(most)))) == make(_keys(most))
    with pytest.raises(CannotSaveError, match="1,001 keys or elements have one hash"):
        saver.dumps(make(_keys(most + 1)))
    monkeypatch.setattr(items, "_MOST_ALIKE", 1 << 20)
    data = saver.dumps(make(_keys(most + 1)))
    monkeypatch.undo()
    with pytest.raises(IncompatibleError, match="1,001 keys or elements have one hash"):
        saver.loads(data)


def test_many_keys_of_many_hashes_are_fine() -> None:
    found = {f"feature {at}": at for at in range(20_000)}
    assert saver.loads(saver.dumps(found)) == found
    assert Encoder().part("", set(range(5000)))
